package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/prompb"

	"homeostat/internal/detect"
	"homeostat/internal/history"
	"homeostat/internal/signal"
)

// The benchmarks' load: each request is a sample of each series of one host, as Prometheus sends it.
const (
	benchHosts = 8
	benchRows  = 1000
)

// benchLoop runs the whole loop in this process over an empty folder, but for reading this machine, until the benchmark ends.
func benchLoop(b *testing.B, change func(c *Config, p *parts)) *loop {
	b.Helper()
	c := defaultConfig()
	c.Listen, c.Sources.Host.Off, c.Stream.MaxBytes = "127.0.0.1:0", true, 16<<30
	p := checked(b, &c)
	change(&c, p)
	l, _ := runInProcess(b, c, p, b.TempDir())
	return l
}

// benchSender sends requests of one host over a connection of its own. Its work, to encode and to compress, is in the figures.
type benchSender struct {
	client http.Client
	base   string
	w      prompb.WriteRequest
	raw    []byte
	body   []byte
}

func newBenchSender(l *loop, host int) *benchSender {
	s := &benchSender{base: "http://" + l.listener.Addr().String(), client: http.Client{Transport: &http.Transport{}}}
	for i := range benchRows {
		s.w.Timeseries = append(s.w.Timeseries, prompb.TimeSeries{
			Labels: promLabels("__name__", fmt.Sprintf("bench_metric_%d_seconds_total", i%40), "az", "eu-central-1a", "cluster", "production",
				"cpu", strconv.Itoa(i%8), "env", "production", "host_name", fmt.Sprint("web-", host), "instance", fmt.Sprintf("10.0.0.%d:9100", host),
				"job", "node", "path", fmt.Sprint("/api/v1/things/", i), "region", "eu-central-1"),
			Samples: make([]prompb.Sample, 1),
		})
	}
	return s
}

// send sends one sample of each series, until it is acknowledged.
func (s *benchSender) send(ctx context.Context, at int64, round int) error {
	for i := range s.w.Timeseries {
		s.w.Timeseries[i].Samples[0] = prompb.Sample{Timestamp: at, Value: float64(round*i) / 8}
	}
	n := s.w.Size()
	s.raw = slices.Grow(s.raw[:0], n)[:n]
	if _, err := s.w.MarshalToSizedBuffer(s.raw); err != nil {
		return err
	}
	s.body = snappy.Encode(s.body[:cap(s.body)], s.raw)
	status, said, err := remoteWriteRaw(ctx, &s.client, s.base, s.body)
	if err == nil && status/100 != 2 {
		err = fmt.Errorf("remote write: %d %s", status, said)
	}
	return err
}

// committed waits until the history has all that the stream holds.
func committed(b *testing.B, l *loop) {
	b.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); l.history.Committed() < l.samples.Last(); <-tick.C {
		if time.Now().After(end) {
			b.Fatalf("history at %d, stream at %d after a minute", l.history.Committed(), l.samples.Last())
		}
	}
}

// BenchmarkPipeline measures the whole loop, as it runs by default, from a loopback connection on.
func BenchmarkPipeline(b *testing.B) {
	b.Run("ingest", benchmarkIngest)
	b.Run("lag", benchmarkLag)
}

// processorTime is what this process has had of the processors, senders and all: beside other work the rate for each second of it
// says more than that of the clock.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchmarkIngest sends requests of 1,000 samples as fast as they are acknowledged: an op is one request. It ends when the
// history has all, and fails when one sample is missing.
func benchmarkIngest(b *testing.B) {
	l := benchLoop(b, func(*Config, *parts) {})
	base := time.Now().Add(-50 * time.Minute).UnixMilli()
	all := make([]*benchSender, benchHosts)
	for host := range all {
		all[host] = newBenchSender(l, host)
		defer all[host].client.CloseIdleConnections()
		if err := all[host].send(b.Context(), base, 0); err != nil { // the series are made once
			b.Fatal(err)
		}
	}
	committed(b, l)
	var turn, peak atomic.Int64
	var senders sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	before := processorTime(b)
	for host, s := range all {
		senders.Go(func() {
			for k := 1; turn.Add(1) <= int64(b.N); k++ {
				if err := s.send(b.Context(), base+500*int64(k), k); err != nil {
					b.Error(err)
					return
				}
				if host == 0 {
					peak.Store(max(peak.Load(), residentBytes(b)))
				}
			}
		})
	}
	senders.Wait()
	committed(b, l)
	b.StopTimer()
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "samples/s")
	b.ReportMetric(float64(b.N)*benchRows/(processorTime(b)-before).Seconds(), "samples/cpu-s")
	b.ReportMetric(float64(max(peak.Load(), residentBytes(b))), "rss-bytes")
	if got, want := stored(b, l.history, benchHosts), (b.N+benchHosts)*benchRows; got != want {
		b.Errorf("%d samples are in the history, %d were acknowledged", got, want)
	}
}

// The probes of benchmarkLag: for each a host of its own, whose series makes a rule true, and one whose series becomes strange
// once the model has learnt it.
const (
	lagProbes   = 20          // each a model: 100 of them fill the memory that we aim for, and the collector then takes a third of a core
	lagInterval = time.Second // of the detector
	lagLearn    = 300         // intervals
	lagRate     = 100_000     // samples a second beside the probes
)

// lagNews are the events of a benchmark, with when they were told.
type lagNews struct {
	mu    sync.Mutex
	alert map[signal.EntityID]time.Duration // from the sample's being sent
	anom  map[signal.EntityID]time.Duration
	sent  map[signal.EntityID]time.Time // the sample that makes the rule true
	shut  map[signal.EntityID]time.Time // the sample that closes the strange interval
	odd   map[signal.EntityID]time.Time // where that interval began
}

// follow notes each alert and anomaly of the probes when the bus tells it.
func (n *lagNews) follow(ctx context.Context, l *loop) {
	events, cancel := l.bus.Subscribe()
	defer cancel()
	for {
		var ev signal.Event
		select {
		case <-ctx.Done():
			return
		case ev = <-events:
		}
		now := time.Now()
		var a signal.Anomaly
		if json.Unmarshal(ev.Detail, &a) != nil {
			continue
		}
		n.mu.Lock()
		switch sent, due := n.sent[a.Entity]; {
		case ev.DetailType == signal.AlertFiring && due:
			n.alert[a.Entity] = now.Sub(sent)
		case ev.DetailType == signal.AnomalyDetected && a.Began.Equal(n.odd[a.Entity]):
			n.anom[a.Entity] = now.Sub(n.shut[a.Entity])
		}
		n.mu.Unlock()
	}
}

// all says that every probe has been told of.
func (n *lagNews) all() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.alert) == len(n.sent) && len(n.anom) == len(n.sent)
}

// benchmarkLag sends 100,000 samples a second in bursts, and beside them samples that make a rule true, and samples that close
// an interval in which a series was strange. It measures from the sending of such a sample to its event, all else included:
// the wait for the rule's next evaluation, too. An op is 20 probes of either kind: -benchtime 5x for a p99 that
// is more than the slowest of them.
func benchmarkLag(b *testing.B) {
	rule := history.RuleFile{Name: "probe.yaml", Text: []byte(`{groups: [{name: probe, rules: [{alert: Probe, expr: probe_alert > 0}]}]}`)}
	l := benchLoop(b, func(c *Config, p *parts) {
		c.RulesInterval = 200 * time.Millisecond
		c.Detectors = append(detect.Defaults(), detect.Config{
			Name: "probe", Entity: "host", Series: []string{"probe_level"}, Interval: lagInterval,
		})
		p.rules = append(p.rules, rule)
	})
	ctx, cancel := context.WithCancel(b.Context())
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel()
	news := &lagNews{
		alert: map[signal.EntityID]time.Duration{}, anom: map[signal.EntityID]time.Duration{},
		sent: map[signal.EntityID]time.Time{}, shut: map[signal.EntityID]time.Time{}, odd: map[signal.EntityID]time.Time{},
	}
	beside.Go(func() { news.follow(ctx, l) })
	p := &lagProbe{l: l, news: news}
	var brought, peak atomic.Int64
	began := time.Now()
	burst := sync.OnceFunc(func() {
		began = time.Now()
		for host := range benchHosts {
			s := newBenchSender(l, host)
			beside.Go(func() { s.burst(ctx, b, &brought, &peak) })
		}
	})
	var alerts, anomalies []time.Duration
	op := 0
	for ; b.Loop(); op++ {
		p.learn(b, op)
		as, ns := p.round(b, burst)
		alerts, anomalies = append(alerts, as...), append(anomalies, ns...)
	}
	b.ReportMetric(float64(brought.Load())/time.Since(began).Seconds(), "samples/s")
	b.ReportMetric(float64(peak.Load()), "rss-bytes")
	for what, took := range map[string][]time.Duration{"alert": alerts, "anomaly": anomalies} {
		if len(took) < op*lagProbes*9/10 {
			b.Errorf("%d of %d probes had their %s", len(took), op*lagProbes, what)
			continue
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Milliseconds()), what+"-p50-ms")
		b.ReportMetric(float64(took[len(took)*99/100].Milliseconds()), what+"-p99-ms")
	}
}

// burst sends with all other senders at the same moment, so often that they bring lagRate together.
func (s *benchSender) burst(ctx context.Context, b *testing.B, brought, peak *atomic.Int64) {
	defer s.client.CloseIdleConnections()
	due := time.Now()
	for k := 0; ; k++ {
		due = due.Add(benchHosts * benchRows * time.Second / lagRate) // a sender that was held up makes up for it
		if pause(ctx, time.Until(due)) != nil {
			return
		}
		if err := s.send(ctx, time.Now().UnixMilli(), k); err != nil {
			if ctx.Err() == nil {
				b.Error(err)
			}
			return
		}
		brought.Add(benchRows)
		peak.Store(max(peak.Load(), residentBytes(b)))
	}
}

// lagProbe brings the probes' samples, by the same door as all others.
type lagProbe struct {
	l     *loop
	news  *lagNews
	names []string // of the round's hosts
}

func (p *lagProbe) write(b *testing.B, ts ...prompb.TimeSeries) {
	b.Helper()
	status, said, err := remoteWrite(b.Context(), http.DefaultClient, "http://"+p.l.listener.Addr().String(), &prompb.WriteRequest{Timeseries: ts})
	if err != nil || status/100 != 2 {
		b.Fatal(status, said, err)
	}
}

func probeSeries(metric, name string, samples ...prompb.Sample) prompb.TimeSeries {
	return prompb.TimeSeries{Labels: promLabels("__name__", metric, "host_name", name), Samples: samples}
}

// level is what is usual of a probe.
func level(at time.Time) prompb.Sample {
	return prompb.Sample{Timestamp: at.UnixMilli(), Value: 10 + rand.Float64()}
}

// learn makes a round's hosts known, with as much of the past as their models need.
func (p *lagProbe) learn(b *testing.B, round int) {
	p.names = p.names[:0]
	now := time.Now().Truncate(lagInterval)
	for i := range lagProbes {
		name := fmt.Sprintf("probe-%d-%d", round, i)
		p.names = append(p.names, name)
		ts := probeSeries("probe_level", name, level(now.Add(-25*time.Hour))) // of a model's first day more than one interval is asked
		for k := -lagLearn; k < 0; k++ {
			ts.Samples = append(ts.Samples, level(now.Add(time.Duration(k)*lagInterval)))
		}
		p.write(b, ts)
	}
	committed(b, p.l)
}

// caught says that the detector has all models trained and is up with the probes' samples.
func (p *lagProbe) caught(b *testing.B) bool {
	b.Helper()
	if p.l.detectors.Health().State != "ok" {
		return false
	}
	now := time.Now()
	lines, err := p.l.history.QueryRange(b.Context(), fmt.Sprintf(
		`count(timestamp(homeostat_score{detector="probe"}) > %d)`, now.Add(-3*lagInterval).Unix()), now, now, time.Second)
	if err != nil {
		b.Fatal(err)
	}
	return len(lines) == 1 && slices.Max(lines[0].Values) >= lagProbes
}

// round goes through a detector's interval for each ten of the hosts: their series are strange in it, and the next closes it.
// The load begins when the detector has caught up, and the first interval three after that. Each host's samples come at a moment of its own, a quarter of an interval after
// its begin at the soonest, when the ones before are closed.
func (p *lagProbe) round(b *testing.B, burst func()) (alerts, anomalies []time.Duration) {
	const turns = lagProbes / 10
	var writes sync.WaitGroup
	turn, end := -4, time.Now().Add(5*time.Minute)
	for at := time.Now().Truncate(lagInterval).Add(lagInterval); turn < turns+1; at = at.Add(lagInterval) {
		if turn > -4 || p.caught(b) {
			turn++
			burst()
		} else if time.Now().After(end) {
			b.Fatalf("the detector has not caught up: %+v", p.l.detectors.Health())
		}
		for i, name := range p.names {
			moment := at.Add(lagInterval/4 + lagInterval/2*time.Duration(i)/lagProbes)
			if err := pause(b.Context(), time.Until(moment)); err != nil {
				b.Fatal(err)
			}
			now, entity := time.Now(), signal.EntityID("host:"+name)
			ts := []prompb.TimeSeries{probeSeries("probe_level", name, level(now))}
			p.news.mu.Lock()
			switch {
			case turn >= 0 && i%turns == turn:
				ts[0].Samples[0].Value = 1000
				ts = append(ts, probeSeries("probe_alert", name, prompb.Sample{Timestamp: now.UnixMilli(), Value: 1}))
				p.news.sent[entity], p.news.odd[entity] = now, now.UTC().Truncate(lagInterval)
			case turn >= 1 && i%turns == turn-1:
				p.news.shut[entity] = now
			}
			p.news.mu.Unlock()
			writes.Go(func() { p.write(b, ts...) })
		}
	}
	writes.Wait()
	for end := time.Now().Add(20 * time.Second); !p.news.all() && time.Now().Before(end); {
		if err := pause(b.Context(), 10*time.Millisecond); err != nil {
			b.Fatal(err)
		}
	}
	p.news.mu.Lock()
	defer p.news.mu.Unlock()
	for _, name := range p.names {
		entity := signal.EntityID("host:" + name)
		if d, ok := p.news.alert[entity]; ok {
			alerts = append(alerts, d)
		}
		if d, ok := p.news.anom[entity]; ok {
			anomalies = append(anomalies, d)
		}
	}
	return alerts, anomalies
}
