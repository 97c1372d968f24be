package console

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"homeostat/internal/signal"
)

// noon is when the worlds of these tests are.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// world is a loop in memory: what the console asks for, and what was asked of it.
type world struct {
	mu         sync.Mutex
	began      time.Time
	events     []signal.Event
	incidents  []signal.Incident
	executions []signal.Execution
	entities   []signal.Entity
	runbooks   []signal.Runbook
	stages     []signal.Stage
	learning   []signal.Learning
	outlooks   []signal.Outlook
	models     []signal.Model
	chain      []signal.Link
	processes  []signal.Process
	sw         signal.Switch
	did        []string // "approve ex-1 by local"
	feeds      []chan signal.Event
	high       bool // whether the CPU's figures are above their band
}

func (w *world) loop() Loop {
	return Loop{
		Version: "1.2.3", Mode: signal.Approve, Began: w.began,
		Events: w, Feed: w, Incidents: w, Executions: w, Decisions: w, Judge: w, Models: w, Switch: w, Runbooks: w, Starter: w, Entities: w,
		Processes: w, Chain: w, Stages: w, Learning: w, Outlooks: w, Prometheus: http.HandlerFunc(w.prometheus),
	}
}

func paged[T any](all []T, q signal.Query, id func(T) string, keep func(T) bool) ([]T, string, error) {
	var out []T
	for _, v := range all {
		if keep(v) {
			out = append(out, v)
		}
	}
	if q.Newest {
		slices.Reverse(out)
	}
	if q.After != "" {
		i := slices.IndexFunc(out, func(v T) bool { return id(v) == q.After })
		out = out[i+1:]
	}
	if n := q.Limit; n > 0 && len(out) > n {
		return out[:n], id(out[n-1]), nil
	}
	return out, "", nil
}

func (w *world) Events(_ context.Context, q signal.Query) ([]signal.Event, string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return paged(w.events, q, func(e signal.Event) string { return e.ID }, func(e signal.Event) bool {
		var d told
		_ = json.Unmarshal(e.Detail, &d)
		return (q.Type == "" || e.DetailType == q.Type) && (q.Incident == "" || d.Incident == q.Incident) && (q.Entity == "" || d.Entity == q.Entity)
	})
}

func find[T any](all []T, id string, of func(T) string) (T, error) {
	for _, v := range all {
		if of(v) == id {
			return v, nil
		}
	}
	var zero T
	return zero, fmt.Errorf("%q: %w", id, signal.ErrNotFound)
}

func (w *world) Event(_ context.Context, id string) (signal.Event, error) {
	return find(w.events, id, func(e signal.Event) string { return e.ID })
}

func (w *world) Subscribe() (<-chan signal.Event, func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := make(chan signal.Event, 16)
	w.feeds = append(w.feeds, c)
	return c, func() {}
}

func (w *world) publish(e signal.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
	for _, c := range w.feeds {
		c <- e
	}
}

func (w *world) List(_ context.Context, q signal.Query) ([]signal.Incident, string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return paged(w.incidents, q, func(i signal.Incident) string { return i.ID }, func(i signal.Incident) bool {
		return (q.State == "" || i.State == q.State) && (q.Entity == "" || i.Entity == q.Entity)
	})
}

func (w *world) Get(_ context.Context, id string) (signal.Incident, error) {
	return find(w.incidents, id, func(i signal.Incident) string { return i.ID })
}

func (w *world) note(format string, args ...any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.did = append(w.did, fmt.Sprintf(format, args...))
	return nil
}

func (w *world) Resolve(_ context.Context, id, by, note string) error {
	return w.note("resolve %s by %s: %s", id, by, note)
}

func (w *world) Executions(_ context.Context, q signal.Query) ([]signal.Execution, string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return paged(w.executions, q, func(x signal.Execution) string { return x.ID }, func(x signal.Execution) bool {
		return (q.State == "" || x.State == q.State) && (q.Entity == "" || x.Entity == q.Entity) && (q.Incident == "" || x.Incident == q.Incident)
	})
}

func (w *world) Execution(_ context.Context, id string) (signal.Execution, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return find(w.executions, id, func(x signal.Execution) string { return x.ID })
}

func (w *world) Approve(_ context.Context, id, by, note string) error {
	w.mu.Lock()
	for i := range w.executions {
		if x := &w.executions[i]; x.ID == id {
			if x.State != signal.Waiting {
				w.mu.Unlock()
				return fmt.Errorf("execution %s is %s: %w", id, x.State, signal.ErrConflict)
			}
			x.State, x.Approval = signal.InProgress, nil
		}
	}
	w.mu.Unlock()
	return w.note("approve %s by %s: %s", id, by, note)
}

func (w *world) Reject(_ context.Context, id, by, note string) error {
	return w.note("reject %s by %s: %s", id, by, note)
}

func (w *world) Cancel(_ context.Context, id, by, note string) error {
	return w.note("cancel %s by %s: %s", id, by, note)
}

func (w *world) Judge(_ context.Context, anomaly string, do signal.OrderKind, by, note string) (signal.Order, error) {
	return signal.Order{}, w.note("%s %s by %s: %s", do, anomaly, by, note)
}

func (w *world) Models(context.Context) ([]signal.Model, error) { return w.models, nil }

func (w *world) Pause(_ context.Context, by, reason string) error {
	w.mu.Lock()
	w.sw = signal.Switch{Paused: true, By: by, Reason: reason, Since: w.began}
	w.mu.Unlock()
	return w.note("pause by %s", by)
}

func (w *world) Resume(_ context.Context, by, _ string) error {
	w.mu.Lock()
	w.sw = signal.Switch{}
	w.mu.Unlock()
	return w.note("resume by %s", by)
}

func (w *world) Paused(context.Context) (signal.Switch, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sw, nil
}

func (w *world) Runbooks(context.Context) ([]signal.Runbook, error) { return w.runbooks, nil }

func (w *world) Runbook(_ context.Context, name string) (signal.Runbook, error) {
	return find(w.runbooks, name, func(r signal.Runbook) string { return r.Name })
}

func (w *world) StartRunbook(_ context.Context, s signal.Start) (string, error) {
	return "ex-1", w.note("run %s on %s mode %s %v by %s", s.Runbook, s.Entity, s.Mode, s.Parameters, s.By)
}

func (w *world) Entities(context.Context) ([]signal.Entity, error) { return w.entities, nil }

func (w *world) Processes(context.Context, signal.EntityID, time.Time) ([]signal.Process, error) {
	return w.processes, nil
}

func (w *world) Walk(_ context.Context, id string) ([]signal.Link, error) {
	for _, l := range w.chain {
		if l.ID == id {
			return w.chain, nil
		}
	}
	return nil, fmt.Errorf("%q: %w", id, signal.ErrNotFound)
}

func (w *world) Stages() []signal.Stage { return w.stages }

func (w *world) Learning() []signal.Learning { return w.learning }

// prometheus answers query_range with figures that look like a host's day.
func (w *world) prometheus(rw http.ResponseWriter, r *http.Request) {
	q := r.FormValue("query")
	from, _ := strconv.ParseFloat(r.FormValue("start"), 64)
	to, _ := strconv.ParseFloat(r.FormValue("end"), 64)
	step, _ := strconv.ParseFloat(r.FormValue("step"), 64)
	type series struct {
		Metric map[string]string `json:"metric"`
		Values [][2]any          `json:"values"`
	}
	var out []series
	add := func(metric map[string]string, f func(x float64) float64) {
		s := series{Metric: metric}
		for t := from; t <= to; t += step {
			s.Values = append(s.Values, [2]any{t, strconv.FormatFloat(f((t-from)/(to-from)), 'g', -1, 64)})
		}
		out = append(out, s)
	}
	bases := map[string]float64{"cpu": 0.18, "memory": 0.42, "disk": 2.4e6, "network": 310e3, "storage": 0.61}
	wave := func(name string, high bool) func(float64) float64 {
		base := bases[name]
		return func(x float64) float64 {
			v := base * (1 + 0.12*math.Sin(23*x) + 0.07*math.Sin(61*x) + 0.03*math.Sin(171*x))
			if name == "cpu" && high && x > 0.8 {
				v = min(0.97, v+4*(x-0.8)*1.2)
			}
			return v
		}
	}
	for _, e := range w.entities {
		if m := regexp.MustCompile(`(?:host_name|homeostat_entity)="([^"]+)"`).FindStringSubmatch(q); m != nil && m[1] != e.ID.Name() && m[1] != string(e.ID) {
			continue
		}
		host := map[string]string{"host_name": e.ID.Name()}
		switch {
		case strings.Contains(q, "homeostat_lower"):
			for name := range bases {
				for metric, k := range map[string]float64{"homeostat_lower": 0.75, "homeostat_upper": 1.28, "homeostat_expected": 1} {
					base := bases[name] * k
					add(map[string]string{"__name__": metric, "homeostat_entity": string(e.ID), "detector": "host", "feature": name},
						func(x float64) float64 { return base * (1 + 0.08*math.Sin(23*x)) })
				}
			}
		case strings.Contains(q, "system_cpu"):
			add(host, wave("cpu", w.high && e.ID == "host:web-1"))
		case strings.Contains(q, "system_memory"):
			add(host, wave("memory", w.high && e.ID == "host:web-1"))
		case strings.Contains(q, "system_disk"):
			add(host, wave("disk", w.high && e.ID == "host:web-1"))
		case strings.Contains(q, "system_network"):
			add(host, wave("network", w.high && e.ID == "host:web-1"))
		case strings.Contains(q, "system_filesystem"):
			add(host, wave("storage", w.high && e.ID == "host:web-1"))
		}
	}
	_ = json.NewEncoder(rw).Encode(map[string]any{"status": "success", "data": map[string]any{"resultType": "matrix", "result": out}})
}

// acting wraps a console as the server does, with everybody as one actor.
func acting(h http.Handler, a signal.Actor) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(signal.WithActor(r.Context(), a)))
	})
}

var (
	somebody = signal.Actor{Name: "local", Role: signal.Admin}
	onlooker = signal.Actor{Name: "vera", Role: signal.Viewer}
)

func newConsole(t testing.TB, l Loop) *Console {
	t.Helper()
	c, err := New(l, slog.New(slog.NewTextHandler(testWriter{t}, nil)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// get asks for a page.
func get(t testing.TB, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w
}

// testWriter logs to the test.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// newLines reads r line by line until it ends.
func newLines(r io.Reader) iter.Seq[string] {
	return func(yield func(string) bool) {
		s := bufio.NewScanner(r)
		s.Buffer(nil, 4<<20)
		for s.Scan() {
			if !yield(s.Text()) {
				return
			}
		}
	}
}

func (w *world) Continue(_ context.Context, id, by, note string, retry bool) error {
	return w.note("continue %s (retry %t) by %s: %s", id, retry, by, note)
}

func (w *world) Reset(_ context.Context, runbook string, entity signal.EntityID, by, note string) error {
	return w.note("reset %s on %s by %s: %s", runbook, entity, by, note)
}
