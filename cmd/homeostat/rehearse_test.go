package main

import (
	"io"
	"testing"
	"time"

	"homeostat/internal/history"
	"homeostat/internal/signal"
)

// A day of a host that was busy three times, the second and third time within one incident: what would have been done.
func TestRehearsalSaysWhatWouldHaveBeenDone(t *testing.T) {
	dir := t.TempDir()
	h, err := history.Open(t.Context(), history.Config{Dir: dir + "/history"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &signal.Batch{}
	for _, mode := range []string{"idle", "iowait"} {
		b.AddSeries(signal.MakeSeries(signal.MakeLabels(map[string]string{
			signal.MetricName: "system_cpu_utilization_ratio", "cpu_mode": mode, "host_name": "web-1",
		})))
	}
	end := time.Now().Truncate(time.Minute)
	from := end.Add(-24 * time.Hour)
	busy := func(at time.Time) bool {
		for _, began := range []time.Duration{6 * time.Hour, 12 * time.Hour, 12*time.Hour + 14*time.Minute} {
			if d := at.Sub(from.Add(began)); d >= 0 && d < 10*time.Minute {
				return true
			}
		}
		return false
	}
	for at := from; at.Before(end); at = at.Add(30 * time.Second) {
		idle := 0.9
		if busy(at) {
			idle = 0.02
		}
		b.Add(0, at.UnixMilli(), idle)
		b.Add(1, at.UnixMilli(), 0)
	}
	if err := h.Record(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}

	cfg := defaultConfig()
	cfg.Listen, cfg.Mode, cfg.Sources.Host.Name, cfg.Incidents.Quiet = "127.0.0.1:0", signal.Auto, "web-1", time.Hour
	l, _ := openInProcess(t, cfg, checked(t, &cfg), dir)
	r := &rehearser{cfg: cfg, history: l.history, rules: l.rules, bus: l.bus, runbooks: l.runbooks, turn: make(chan struct{}, 1)}
	got, err := r.Rehearse(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if got.Events[signal.AlertFiring] != 3 || got.Events[signal.AlertResolved] != 3 || len(got.Executions) != 3 || len(got.Runbooks) != 1 {
		t.Fatalf("%+v", got)
	}
	for i, want := range []struct {
		after   time.Duration
		outcome string
		guard   string
	}{{6 * time.Hour, "asked", ""}, {12 * time.Hour, "asked", ""}, {12*time.Hour + 14*time.Minute, "refused", "once"}} {
		x := got.Executions[i]
		if d := x.Time.Sub(from.Add(want.after)); d < 5*time.Minute || d > 7*time.Minute || x.Outcome != want.outcome || x.Guard != want.guard || x.Entity != "host:web-1" {
			t.Errorf("%d: %v after its begin: %+v", i, d, x)
		}
	}
	if s := got.Runbooks[0]; s.Runbook != "HighCPU-Host" || s.Started != 3 || s.Asked != 2 || s.Refused["once"] != 1 {
		t.Errorf("%+v", s)
	}
	printRehearsal(io.Discard, got)
	xs, _, err := l.runbooks.Executions(t.Context(), signal.Query{})
	if err != nil || len(xs) != 0 {
		t.Errorf("it began something: %+v, %v", xs, err)
	}
	r.turn <- struct{}{}
	if _, err := r.Rehearse(t.Context(), 1); err == nil {
		t.Error("two rehearsals at once")
	}
}
