package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"homeostat/internal/history"
	"homeostat/internal/signal"
)

// startLoop opens and runs a loop over dir and returns how long it took until every stage was ready.
func startLoop(t *testing.T, dir string) time.Duration {
	t.Helper()
	began := time.Now()
	cfg := defaultConfig()
	cfg.Listen = "127.0.0.1:0"
	l, done := runInProcess(t, cfg, checked(t, &cfg), dir)
	ready := func() bool {
		for _, s := range l.stages.Stages() {
			if !s.Ready {
				return false
			}
		}
		return true
	}
	end := time.After(time.Minute)
	for !ready() {
		select {
		case <-end:
			t.Fatalf("not ready after a minute: %+v", l.stages.Stages())
		case <-time.After(time.Millisecond):
		}
	}
	took := time.Since(began)
	done()
	return took
}

func TestStartIsSoonReady(t *testing.T) {
	dir := t.TempDir()
	// The README's figure is under a second; beside other tests, and under the race detector, it may take longer.
	for _, what := range []string{"empty", "again"} {
		took := startLoop(t, dir)
		t.Logf("%s data folder: ready after %v", what, took)
		if took > 15*time.Second {
			t.Errorf("%s data folder: ready after %v", what, took)
		}
	}
}

func TestStartSweepsScriptsOfAnEarlierLife(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, "steps", "homeostat-step-1")
	if err := os.MkdirAll(left, 0o700); err != nil {
		t.Fatal(err)
	}
	startLoop(t, dir)
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

// TestSoakStartOverAMonth fills a history with 30 days of one host at 5 s and starts a loop over it. It takes minutes: make soak.
func TestSoakStartOverAMonth(t *testing.T) {
	if os.Getenv("HOMEOSTAT_SOAK") == "" {
		return // a month of samples is too much for every run of the tests
	}
	dir := t.TempDir()
	h, err := history.Open(t.Context(), history.Config{Dir: dir + "/history"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	const series, step = 60, 5 * time.Second
	b := &signal.Batch{}
	for i := range series {
		b.AddSeries(signal.MakeSeries(signal.MakeLabels(map[string]string{
			signal.MetricName: "month_" + strconv.Itoa(i) + "_ratio", "host_name": "month", "host_id": "m",
		})))
	}
	n := 0
	end := time.Now()
	for at := end.Add(-30 * 24 * time.Hour); at.Before(end); at = at.Add(step) {
		for i := range series {
			b.Add(int32(i), at.UnixMilli(), float64((n+i*31)%1000)/1000)
		}
		if n++; n%100 == 0 {
			if err := h.Record(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			b.Series, b.Times, b.Values = b.Series[:0], b.Times[:0], b.Values[:0]
		}
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	took := startLoop(t, dir)
	t.Logf("%d samples of a month: ready after %v", n*series, took)
	if took > 3*time.Second {
		t.Errorf("ready after %v, want under 3 s", took)
	}
}
