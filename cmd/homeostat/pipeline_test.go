package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

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

// killSources is how many sources append at once while the child is killed.
const killSources = 6

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
	for i := range killSources {
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
					b.Add(b.AddSeries(killSeries(i, k)), at, killValue(at, k))
				}
				// One sample a batch is late: the TSDB writes those to another log.
				late := at - killLate.Milliseconds()
				b.Add(b.AddSeries(killSeries(i, lateSeries)), at, killValue(at, lateSeries))
				b.Add(int32(len(b.Dict)-1), late, killValue(late, lateSeries))
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

func killSeries(source, k int) signal.Series {
	return signal.MakeSeries(signal.MakeLabels(map[string]string{
		"__name__": "kill_test", "host_name": fmt.Sprint("host-", source), "k": strconv.Itoa(k),
	}))
}

func killValue(at int64, k int) float64 { return float64(at%100_000)*10_000 + float64(k) }

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
	for i := range killSources {
		err := p.history.Samples(t.Context(), signal.EntityID(fmt.Sprint("host:host-", i)), 0, math.MaxInt64, []string{"kill_test"},
			func(ls signal.Labels, times []int64, values []float64) error {
				k, err := strconv.Atoi(ls.Value("k"))
				if err != nil {
					return err
				}
				for r, at := range times {
					if values[r] != killValue(at, k) {
						t.Errorf("%s at %d is %g, want %g", ls, at, values[r], killValue(at, k))
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

// BenchmarkPipeline measures the path from Append to the committed sample: eight sources, each with its own 1,000 series,
// append batches of 1,000 as fast as they are acknowledged. It ends when the history has all, and fails when one is missing.
func BenchmarkPipeline(b *testing.B) {
	reg := prometheus.NewRegistry()
	dir := b.TempDir()
	s, err := stream.Open(b.Context(), stream.Config{Dir: filepath.Join(dir, "stream"), MaxBytes: 16 << 30}, nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	h, err := history.Open(b.Context(), history.Config{Dir: filepath.Join(dir, "history")}, nil, reg)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var run sync.WaitGroup
	run.Go(func() { _ = h.Run(ctx, s) })
	p := &pipeline{stream: s, history: h, stop: func() { cancel(); run.Wait() }}
	defer func() {
		if err := p.close(); err != nil {
			b.Error(err)
		}
	}()
	const hosts, rows = 8, 1000
	batches := make([]*signal.Batch, hosts)
	for i := range batches {
		batches[i] = pipelineBatch(i, rows)
	}
	base := time.Now().Add(-50 * time.Minute).UnixMilli()
	var turn, peak atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for i, batch := range batches {
		wg.Go(func() {
			for k := int64(0); turn.Add(1) <= int64(b.N); k++ {
				for r := range batch.Times {
					batch.Times[r], batch.Values[r] = base+500*k, float64(k*int64(r))/8
				}
				if err := s.Append(b.Context(), batch); err != nil {
					b.Error(err)
					return
				}
				if i == 0 && k%16 == 0 {
					peak.Store(max(peak.Load(), residentBytes(b)))
				}
			}
		})
	}
	wg.Wait()
	p.caughtUp(b)
	b.StopTimer()
	samples := float64(b.N) * rows
	b.ReportMetric(samples/b.Elapsed().Seconds(), "samples/s")
	b.ReportMetric(float64(max(peak.Load(), residentBytes(b)))/(1<<20), "MB-RSS")
	if n := h.Health().Dropped; n != 0 {
		b.Errorf("%d samples were set aside", n)
	}
	if got := stored(b, h, hosts); got != int(samples) {
		b.Errorf("%d samples stored, %d appended", got, int(samples))
	}
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

// lags collects, for each probe, when its event was published.
type lags struct {
	mu sync.Mutex
	at map[string]time.Time // by the label probe
}

func (l *lags) Publish(_ context.Context, es ...signal.Event) error {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range es {
		var a signal.Alert
		if err := json.Unmarshal(e.Detail, &a); err != nil {
			return err
		}
		l.at[a.Labels["probe"]] = now
	}
	return nil
}

func (l *lags) seen(probe string) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, ok := l.at[probe]
	return at, ok
}

// BenchmarkPipelineLag measures the time from the arrival of a sample that makes a rule true to the alert's event, while eight
// sources bring 100,000 samples a second. The rule is evaluated every 100 ms, and the wait for that is in the figures.
func BenchmarkPipelineLag(b *testing.B) {
	p, err := openPipeline(b.Context(), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := p.close(); err != nil {
			b.Error(err)
		}
	}()
	pub := &lags{at: map[string]time.Time{}}
	rules, err := history.NewRules(p.history, history.RulesConfig{Interval: 100 * time.Millisecond, Files: []history.RuleFile{{
		Name: "probe.yaml", Text: []byte(`{groups: [{name: probe, rules: [{alert: Probe, expr: probe > 0}]}]}`),
	}}}, pub, nil, nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var run sync.WaitGroup
	defer run.Wait()
	defer cancel()
	run.Go(func() { _ = rules.Run(ctx) })
	const hosts, rows = 8, 1000
	base := time.Now().UnixMilli()
	var brought atomic.Int64
	for i := range hosts {
		batch := pipelineBatch(i, rows)
		run.Go(func() {
			tick := time.NewTicker(hosts * rows * time.Second / 100_000)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				at := time.Now().UnixMilli()
				for r := range batch.Times {
					batch.Times[r], batch.Values[r] = at, float64(at-base)*float64(r)
				}
				if err := p.stream.Append(ctx, batch); err == nil {
					brought.Add(rows)
				} else if ctx.Err() == nil {
					b.Error(err)
				}
			}
		})
	}
	probe := func(name string) time.Duration {
		sample := &signal.Batch{}
		began := time.Now()
		sample.Add(sample.AddSeries(signal.MakeSeries(signal.MakeLabels(map[string]string{
			"__name__": "probe", "probe": name, "host_name": "probe",
		}))), began.UnixMilli(), 1)
		if err := p.stream.Append(ctx, sample); err != nil {
			b.Fatal(err)
		}
		for {
			if at, ok := pub.seen(name); ok {
				return at.Sub(began)
			}
			if time.Since(began) > 30*time.Second {
				b.Fatal("no event within 30 s")
			}
			<-time.After(time.Millisecond)
		}
	}
	probe("first") // the sources' series are made, and the rules have begun
	var took []time.Duration
	before := brought.Load()
	for b.Loop() {
		took = append(took, probe(strconv.Itoa(len(took))))
	}
	rate := float64(brought.Load()-before) / b.Elapsed().Seconds()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Milliseconds()), "p99-ms")
	b.ReportMetric(rate, "samples/s")
	b.ReportMetric(float64(residentBytes(b))/(1<<20), "MB-RSS")
}
