package history

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"homeostat/internal/signal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tape is a stream in memory.
type tape struct {
	mu      sync.Mutex
	batches []*signal.Batch
	opened  uint64
	more    chan struct{}
}

func newTape() *tape { return &tape{more: make(chan struct{})} }

func (s *tape) put(b *signal.Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.ID = fmt.Sprintf("ba-0-%d", len(s.batches)+1)
	s.batches = append(s.batches, b)
	close(s.more)
	s.more = make(chan struct{})
}

func (s *tape) Last() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return uint64(len(s.batches))
}

func (s *tape) Opened() uint64 { return s.opened }

func (s *tape) Read(ctx context.Context, after uint64, fn func(uint64, *signal.Batch) error) error {
	for {
		s.mu.Lock()
		more, batches := s.more, s.batches
		s.mu.Unlock()
		for ; after < uint64(len(batches)); after++ {
			if err := fn(after+1, batches[after]); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-more:
		}
	}
}

// events collects what is published, and refuses while it is told to.
type events struct {
	mu     sync.Mutex
	list   []signal.Event
	refuse error
}

func (p *events) Publish(_ context.Context, es ...signal.Event) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse != nil {
		return p.refuse
	}
	p.list = append(p.list, es...)
	return nil
}

func (p *events) all() []signal.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]signal.Event(nil), p.list...)
}

func open(t testing.TB, cfg Config) *History {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.Reserve == 0 {
		cfg.Reserve = -1
	}
	h, err := Open(t.Context(), cfg, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// start runs f until the test ends or the returned function is called, which waits for it.
func start(t testing.TB, f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := f(ctx); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	}()
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); <-done }) }
	t.Cleanup(stop)
	return stop
}

// eventually waits for a condition that comes about by itself.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
		<-tick.C
	}
}

// cpu is a batch as the source host makes it: a host's idle share.
func cpu(hostName string, idle float64, at time.Time) *signal.Batch {
	b := &signal.Batch{}
	for mode, v := range map[string]float64{"idle": idle, "user": 1 - idle, "iowait": 0} {
		s := b.AddSeries(signal.MakeSeries(signal.MakeLabels(map[string]string{
			"__name__": "system_cpu_utilization_ratio", "cpu_mode": mode, "host_name": hostName,
		})))
		b.Add(s, at.UnixMilli(), v)
	}
	return b
}

func TestCPURuleFiresAndResolves(t *testing.T) {
	h := open(t, Config{})
	defer h.Close()
	s := newTape()
	stopRun := start(t, func(ctx context.Context) error { return h.Run(ctx, s) })
	defer stopRun()
	text, err := os.ReadFile("../../rules/host.yaml")
	if err != nil {
		t.Fatal(err)
	}
	pub := &events{}
	r, err := NewRules(h, RulesConfig{
		Files: []RuleFile{{Name: "host.yaml", Text: text}}, Interval: 100 * time.Millisecond,
		For: map[string]time.Duration{"HighCPU": 200 * time.Millisecond},
	}, pub, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	stopRules := start(t, r.Run)
	defer stopRules()
	s.put(cpu("web-1", 0.02, time.Now()))
	eventually(t, "an alert fires", func() bool { return len(pub.all()) == 1 })
	e := pub.all()[0]
	var a signal.Alert
	if err := json.Unmarshal(e.Detail, &a); err != nil {
		t.Fatal(err)
	}
	if e.DetailType != signal.AlertFiring || a.Rule != "HighCPU" || a.Entity != "host:web-1" || len(a.Cause) != 1 || a.Cause[0] != "ba-0-1" {
		t.Errorf("event %s, alert %+v", e.DetailType, a)
	}
	if want := "CPU on web-1 has been above 80 % for 5 minutes; it is at 98% now"; a.Reason != want {
		t.Errorf("reason %q, want %q", a.Reason, want)
	}
	holds, v, err := r.Holds(t.Context(), "HighCPU", a.Labels)
	if err != nil || !holds || v < 0.97 {
		t.Errorf("Holds = %v, %v, %v", holds, v, err)
	}
	for range 5 {
		s.put(cpu("web-1", 0.99, time.Now()))
	}
	// The mean of a minute: enough idle samples bring it down.
	eventually(t, "the alert ends", func() bool {
		s.put(cpu("web-1", 0.99, time.Now()))
		return len(pub.all()) == 2
	})
	if e := pub.all()[1]; e.DetailType != signal.AlertResolved {
		t.Errorf("second event is %s", e.DetailType)
	}
}

func TestAPIAnswers(t *testing.T) {
	h := open(t, Config{})
	defer h.Close()
	s := newTape()
	stop := start(t, func(ctx context.Context) error { return h.Run(ctx, s) })
	defer stop()
	b := cpu("web-1", 0.5, time.Now())
	b.Meta = []signal.Meta{{Name: "system_cpu_utilization_ratio", Type: "gauge", Unit: "1", Help: "CPU by mode."}}
	s.put(b)
	eventually(t, "the batch is committed", func() bool { return h.Committed() == 1 })
	srv := httptest.NewServer(h.Handler())
	defer srv.Close()
	for _, path := range []string{
		"/query?query=sum(system_cpu_utilization_ratio)", "/query_range?query=up&start=0&end=10&step=5", "/labels",
		"/label/host_name/values", "/series?match[]=system_cpu_utilization_ratio", "/metadata", "/rules", "/alerts",
		"/status/buildinfo", "/status/runtimeinfo", "/status/flags", "/status/config", "/status/tsdb", "/status/tsdb/blocks",
		"/status/walreplay", "/targets", "/targets/metadata", "/alertmanagers", "/scrape_pools",
		"/query_exemplars?query=up&start=0&end=10", "/features", "/format_query?query=up", "/parse_query?query=up",
		"/openapi.yaml", "/notifications",
	} {
		resp, err := srv.Client().Get(srv.URL + "/api/v1" + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 {
			t.Errorf("%s: %d %s %v", path, resp.StatusCode, body, err)
		}
		t.Logf("%s: %.200s", path, body)
	}
}
