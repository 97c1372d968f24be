package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"homeostat/internal/history"
	"homeostat/internal/signal"
	"homeostat/internal/stream"
)

// pipeline is stream and history over one folder.
type pipeline struct {
	stream  *stream.Stream
	history *history.History
	stop    func()
}

func openPipeline(ctx context.Context, dir string) (*pipeline, error) {
	s, err := stream.Open(ctx, stream.Config{Dir: filepath.Join(dir, "stream")}, nil, nil)
	if err != nil {
		return nil, err
	}
	h, err := history.Open(ctx, history.Config{Dir: filepath.Join(dir, "history")}, nil, nil)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	rctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = h.Run(rctx, s) // ends with the context alone
	}()
	return &pipeline{stream: s, history: h, stop: func() { cancel(); <-done }}, nil
}

func (p *pipeline) close() error {
	p.stop()
	return errors.Join(p.history.Close(), p.stream.Close())
}

// caughtUp waits until the history has committed all that the stream holds.
func (p *pipeline) caughtUp(t testing.TB) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for p.history.Committed() < p.stream.Last() {
		if time.Now().After(deadline) {
			t.Fatalf("history at %d, stream at %d after a minute", p.history.Committed(), p.stream.Last())
		}
		<-tick.C
	}
}

// stageSources is how many sources append at once while the child is killed.
const stageSources = 6

// TestKillChild is the process that TestKillLosesNothingAcknowledged kills: where its folder is set, it runs stream and history
// and appends until it dies, printing each batch that it was told is durable.
func TestKillChild(t *testing.T) {
	dir := os.Getenv("HOMEOSTAT_TEST_KILL_DIR")
	if dir == "" {
		return
	}
	p, err := openPipeline(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("ready")
	for i := range stageSources {
		go func() {
			b := &signal.Batch{}
			last := int64(0)
			for {
				n := 1 + rand.IntN(40)
				if i%2 == 0 { // half of the sources send what fills messages of its own, as fast as it goes
					n = 1200
				}
				at := max(time.Now().UnixMilli(), last+1)
				last = at
				b.Reset()
				for k := range n {
					b.Add(b.AddSeries(killLabels(i, k)), at, stageValue(at, k))
				}
				// One sample a batch is late: the TSDB writes those to another log.
				late := at - killLate.Milliseconds()
				b.Add(b.AddSeries(killLabels(i, lateSeries)), at, stageValue(at, lateSeries))
				b.Add(int32(len(b.Dict)-1), late, stageValue(late, lateSeries))
				if err := p.stream.Append(t.Context(), b); err != nil {
					fmt.Println("error", err)
					return
				}
				fmt.Println("ack", i, at, n)
			}
		}()
	}
	<-t.Context().Done() // never: the parent kills
}

// lateSeries is the series of each source that gets a second sample, late by killLate.
const (
	lateSeries = 5000
	killLate   = 30 * time.Minute
)

func killLabels(source, k int) signal.Series {
	return signal.MakeSeries(signal.MakeLabels(map[string]string{
		"__name__": "kill_test", "host_name": fmt.Sprint("host-", source), "k": strconv.Itoa(k),
	}))
}

func stageValue(at int64, k int) float64 { return float64(at%100_000)*10_000 + float64(k) }

// moment names one batch of the kill test.
type moment struct {
	source int
	at     int64
}

// killRound runs a child until it is killed at a random moment, and adds the batches that it had acknowledged, each with its
// number of samples.
func killRound(t *testing.T, dir string, acked map[moment]int) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKillChild$")
	cmd.Env = append(os.Environ(), "HOMEOSTAT_TEST_KILL_DIR="+dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var kill *time.Timer
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var m moment
		var n int
		if lines.Text() == "ready" {
			kill = time.AfterFunc(time.Duration(rand.IntN(900))*time.Millisecond, func() { _ = cmd.Process.Kill() })
			defer kill.Stop()
		} else if _, err := fmt.Sscanf(lines.Text()+"\n", "ack %d %d %d\n", &m.source, &m.at, &n); err == nil {
			acked[m] = n
		} else {
			t.Logf("child: %s", lines.Text()) // the line that the kill has cut, or an error
		}
	}
	err = cmd.Wait()
	if ee, ok := errors.AsType[*exec.ExitError](err); kill == nil || !ok || ee.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child ended by itself: %v\n%s", err, &stderr)
	}
}

func TestKillLosesNothingAcknowledged(t *testing.T) {
	rounds := 4
	if os.Getenv("HOMEOSTAT_SOAK") != "" {
		rounds = 100
	}
	dir := t.TempDir()
	acked := map[moment]int{}
	for range rounds {
		killRound(t, dir, acked)
	}
	p, err := openPipeline(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.close(); err != nil {
			t.Error(err)
		}
	}()
	p.caughtUp(t)
	stored := map[moment]int{}
	late := map[moment]int{} // 1 for each of the series' two samples
	for i := range stageSources {
		err := p.history.Samples(t.Context(), signal.EntityID(fmt.Sprint("host:host-", i)), 0, math.MaxInt64, []string{"kill_test"},
			func(ls signal.Labels, times []int64, values []float64) error {
				k, err := strconv.Atoi(ls.Value("k"))
				if err != nil {
					return err
				}
				for r, at := range times {
					if values[r] != stageValue(at, k) {
						t.Errorf("%s at %d is %g, want %g", ls, at, values[r], stageValue(at, k))
					}
					if k == lateSeries {
						late[moment{i, at}]++
					} else {
						stored[moment{i, at}]++
					}
				}
				return nil
			})
		if err != nil {
			t.Fatal(err)
		}
	}
	samples, missing := 0, 0
	for m, n := range acked {
		samples += n + 2
		before := moment{m.source, m.at - killLate.Milliseconds()}
		if stored[m] != n || late[m] != 1 || late[before] != 1 {
			if missing++; missing <= 10 {
				t.Errorf("acknowledged %d samples of %+v and two of the late series, stored %d, %d and %d", n, m, stored[m], late[m], late[before])
			}
		}
	}
	t.Logf("%d rounds, %d batches with %d samples acknowledged, %d batches wrong", rounds, len(acked), samples, missing)
	if len(acked) == 0 {
		t.Error("no batch was acknowledged: the test tested nothing")
	}
}

// residentBytes returns what the process holds in memory.
func residentBytes(b testing.TB) int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// pipelineBatch is a batch of n samples, a series each, of one host, as remote write brings it.
func pipelineBatch(host, n int) *signal.Batch {
	b := &signal.Batch{}
	for i := range n {
		b.Add(b.AddSeries(signal.MakeSeries(signal.MakeLabels(map[string]string{
			"__name__": fmt.Sprint("bench_metric_", i%40, "_seconds_total"), "host_name": fmt.Sprint("web-", host), "job": "node",
			"cloud_region": "eu-central-1", "http_route": fmt.Sprint("/api/v1/things/", i), "service_name": "shop",
		}))), 0, 0)
	}
	return b
}

// stored counts the benchmark's samples in the history.
func stored(b testing.TB, h *history.History, hosts int) int {
	n := 0
	for i := range hosts {
		err := h.Samples(b.Context(), signal.EntityID(fmt.Sprint("host:web-", i)), 0, math.MaxInt64, nil,
			func(_ signal.Labels, times []int64, _ []float64) error { n += len(times); return nil })
		if err != nil {
			b.Fatal(err)
		}
	}
	return n
}
