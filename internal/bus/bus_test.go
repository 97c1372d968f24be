package bus_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"homeostat/internal/bus"
	"homeostat/internal/signal"
	"homeostat/internal/store"
	"homeostat/internal/store/storetest"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(crashDir) != "" {
		publishUntilKilled()
		return
	}
	goleak.VerifyTestMain(m)
}

// starts writes what it is asked to start into a table, as runbook and notify do, and then does what the test wants.
type starts func(ctx context.Context, tx *sql.Tx, ev signal.Event, r bus.Route, t bus.Target) error

func (f starts) Start(ctx context.Context, tx *sql.Tx, ev signal.Event, r bus.Route, t bus.Target) error {
	parameters, err := json.Marshal(t.Parameters)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO started (event, route, target, parameters) VALUES ($1, $2, $3, $4)",
		ev.ID, r.Name, t.Runbook+t.Notify, string(parameters))
	if err != nil || f == nil {
		return err
	}
	return f(ctx, tx, ev, r, t)
}

// sees is what incidents do with an event.
type sees func(ctx context.Context, tx *sql.Tx, ev *signal.Event) ([]signal.Event, error)

func (f sees) See(ctx context.Context, tx *sql.Tx, ev *signal.Event) ([]signal.Event, error) {
	return f(ctx, tx, ev)
}

// loop is a bus over a database of its own.
type loop struct {
	*bus.Bus
	*store.Store
	t testing.TB
}

func newLoop(t testing.TB, s *store.Store, targets bus.Targets, incidents bus.Incidents, routes ...bus.Route) loop {
	t.Helper()
	_, err := s.DB.ExecContext(t.Context(), "CREATE TABLE IF NOT EXISTS started (event TEXT, route TEXT, target TEXT, parameters TEXT)")
	if err != nil {
		t.Fatal(err)
	}
	b, err := bus.New(bus.Needs{
		DB: s.DB, Read: s.Read, Incidents: incidents, Targets: targets, Audit: s.Audit, Chain: s.Chain,
	}, routes, nil, prometheus.NewPedanticRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return loop{b, s, t}
}

// count returns what a query for one number says.
func (l loop) count(query string, args ...any) int {
	l.t.Helper()
	var n int
	if err := l.Read.QueryRowContext(l.t.Context(), query, args...).Scan(&n); err != nil {
		l.t.Fatal(err)
	}
	return n
}

func (l loop) want(what string, want int, query string, args ...any) {
	l.t.Helper()
	if got := l.count(query, args...); got != want {
		l.t.Errorf("%s: %d, want %d", what, got, want)
	}
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// alert is the n-th alert's event.
func alert(t testing.TB, n int) signal.Event {
	t.Helper()
	at := noon.Add(time.Duration(n) * time.Second)
	id := fmt.Sprintf("al-%d", n)
	ev, err := signal.NewEvent("history", signal.AlertFiring, id, at, signal.Alert{
		Head: signal.Head{ID: id, Entity: "host:web-1", Cause: []string{"ba-3-17"}, Severity: signal.Warning},
		Rule: "HighCPU", Labels: map[string]string{"host_name": "web-1"}, Value: 0.97, Began: at, Reason: "CPU on web-1 is at 97 %",
	})
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

func route(name string, detailType string, targets ...bus.Target) bus.Route {
	return bus.Route{Name: name, Pattern: map[string]any{"detail-type": []any{detailType}}, Targets: targets}
}

func TestPublishedAThousandTimesItHappensOnce(t *testing.T) {
	var seen sync.Map
	l := newLoop(t, storetest.Open(t), starts(nil), sees(func(_ context.Context, _ *sql.Tx, ev *signal.Event) ([]signal.Event, error) {
		if _, again := seen.LoadOrStore(ev.ID, true); again {
			t.Errorf("incidents saw %s twice", ev.ID)
		}
		return nil, nil
	}), route("r", signal.AlertFiring, bus.Target{Runbook: "HighCPU-Host"}, bus.Target{Notify: "ops"}))

	evs := []signal.Event{alert(t, 1), alert(t, 2)}
	var wg sync.WaitGroup
	for range 8 { // publishers at once
		wg.Go(func() {
			for range 125 {
				if err := l.Publish(t.Context(), evs...); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	l.want("events", 2, "SELECT count(*) FROM events")
	l.want("targets started", 4, "SELECT count(*) FROM started")
	l.want("audit entries", 2, "SELECT count(*) FROM audit WHERE verb = 'publish'")
	l.want("links", 5, "SELECT count(*) FROM chain") // each event and each alert, and the batch of both
	if n, err := l.Audit.Verify(t.Context()); n != 2 || err != nil {
		t.Errorf("audit: %d entries, %v", n, err)
	}
}

func TestTargetThatFailsLosesNothingElse(t *testing.T) {
	broken := errors.New("the runbook's table is on fire")
	l := newLoop(t, storetest.Open(t), starts(func(_ context.Context, _ *sql.Tx, _ signal.Event, _ bus.Route, target bus.Target) error {
		if target.Runbook == "Broken" {
			return broken // after it has written
		}
		return nil
	}), nil, route("r", signal.AlertFiring, bus.Target{Notify: "first"}, bus.Target{Runbook: "Broken"}, bus.Target{Notify: "last"}))

	ev := alert(t, 1)
	if err := l.Publish(t.Context(), ev); err != nil {
		t.Fatal(err)
	}
	l.want("events", 1, "SELECT count(*) FROM events")
	l.want("targets started", 2, "SELECT count(*) FROM started WHERE target IN ('first', 'last')")
	l.want("traces of the broken one", 0, "SELECT count(*) FROM started WHERE target = 'Broken'")
	page, _, err := l.Audit.Audit(t.Context(), signal.Query{Type: "target.fail"})
	if err != nil {
		t.Fatal(err)
	}
	if len(page) != 1 || page[0].Actor != "route r" || page[0].Subject != ev.ID || page[0].Reason != broken.Error() {
		t.Errorf("audit: %+v", page)
	}
	if h := l.Health(); !h.Ready {
		t.Errorf("the bus isn't ready: %+v", h)
	}
}

func TestFullDiskFailsThePublicationAndNothingIsLeft(t *testing.T) {
	s := storetest.Open(t)
	l := newLoop(t, s, starts(func(ctx context.Context, tx *sql.Tx, _ signal.Event, _ bus.Route, _ bus.Target) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO started (parameters) VALUES ($1)", strings.Repeat("x", 1<<20))
		return err
	}), nil, route("r", signal.AlertFiring, bus.Target{Runbook: "HighCPU-Host"}))
	if _, err := s.DB.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", l.count("PRAGMA page_count")+20)); err != nil {
		t.Fatal(err)
	}
	if err := l.Publish(t.Context(), alert(t, 1)); !errors.Is(err, store.ErrFull) {
		t.Fatalf("got %v, want ErrFull", err)
	}
	if h := l.Health(); h.Ready || !strings.Contains(h.State, "no room") {
		t.Errorf("health: %+v", h)
	}
	l.Probe(t.Context())
	if h := l.Health(); h.Ready {
		t.Errorf("still full: %+v", h)
	}
	l.want("events", 0, "SELECT count(*) FROM events")
	l.want("audit entries", 0, "SELECT count(*) FROM audit")

	if _, err := s.DB.ExecContext(t.Context(), "PRAGMA max_page_count = 1000000"); err != nil {
		t.Fatal(err)
	}
	l.Probe(t.Context())
	if h := l.Health(); !h.Ready || s.Full() {
		t.Errorf("with room again: %+v, full %v", h, s.Full())
	}
	l.want("events", 0, "SELECT count(*) FROM events")
	if err := l.Publish(t.Context(), alert(t, 1)); err != nil {
		t.Fatalf("with room again: %v", err)
	}
	l.want("events", 1, "SELECT count(*) FROM events")
}

func TestIncidentsComeBeforeRoutes(t *testing.T) {
	l := newLoop(t, storetest.Open(t), starts(nil), sees(func(_ context.Context, _ *sql.Tx, ev *signal.Event) ([]signal.Event, error) {
		if ev.DetailType != signal.AlertFiring {
			return nil, nil
		}
		ev.Detail = json.RawMessage(`{"incident":"in-1",` + string(ev.Detail[1:]))
		opened, err := signal.NewEvent("incident", signal.IncidentOpened, "in-1", ev.Time, signal.Incident{
			Head: signal.Head{ID: "in-1", Entity: "host:web-1", Incident: "in-1", Cause: []string{ev.ID, "al-1"}}, Title: "CPU on web-1 is at 97 %",
		})
		return []signal.Event{opened}, err
	}),
		bus.Route{
			Name: "stamped", Pattern: map[string]any{"detail": map[string]any{"incident": []any{"in-1"}, "rule": []any{"HighCPU"}}},
			Targets: []bus.Target{{Runbook: "x", Parameters: map[string]any{"Incident": "<incident>", "Event": "<$.id>"}}},
		},
		route("opened", signal.IncidentOpened, bus.Target{Notify: "*"}),
	)
	ev := alert(t, 1)
	if err := l.Publish(t.Context(), ev); err != nil {
		t.Fatal(err)
	}
	l.want("targets of the mark", 1, "SELECT count(*) FROM started WHERE route = 'stamped' AND parameters = $1",
		fmt.Sprintf(`{"Event":"%s","Incident":"in-1"}`, ev.ID))
	l.want("targets of the incident's event", 1, "SELECT count(*) FROM started WHERE route = 'opened'")
	got, err := l.Event(t.Context(), ev.ID)
	if err != nil || !strings.Contains(string(got.Detail), `"incident":"in-1"`) {
		t.Errorf("stored: %s, %v", got.Detail, err)
	}
	evs, _, err := l.Events(t.Context(), signal.Query{Incident: "in-1"})
	if len(evs) != 2 || err != nil {
		t.Errorf("events of the incident: %v, %v", evs, err)
	}
	links, err := l.Chain.Walk(t.Context(), "ba-3-17")
	if len(links) != 4 || err != nil { // the batch, the alert, both events
		t.Errorf("chain: %+v, %v", links, err)
	}
}

// TestRouteIsNotStartedByItsOwnExecution has a route that matches what its executions tell, as a person might write it.
func TestRouteIsNotStartedByItsOwnExecution(t *testing.T) {
	var l loop
	l = newLoop(t, storetest.Open(t), starts(func(ctx context.Context, tx *sql.Tx, ev signal.Event, r bus.Route, target bus.Target) error {
		if target.Runbook == "" {
			return nil
		}
		id := signal.MakeID(signal.KindExecution, ev.ID, r.Name, target.Runbook)
		told, err := signal.NewEvent("runbook", signal.ExecutionStarted, id, ev.Time.Add(time.Second), signal.Execution{
			Head: signal.Head{ID: id, Entity: "host:web-1", Cause: []string{ev.ID}}, Runbook: target.Runbook, Route: r.Name,
		})
		if err != nil {
			return err
		}
		return l.PublishTx(ctx, tx, told)
	}), nil,
		bus.Route{Name: "all", Pattern: map[string]any{"source": []any{map[string]any{"prefix": "homeostat."}}}, Targets: []bus.Target{{Runbook: "a"}, {Notify: "ops"}}},
		bus.Route{Name: "others", Pattern: map[string]any{"detail-type": []any{signal.ExecutionStarted}}, Targets: []bus.Target{{Runbook: "b"}}},
	)
	if err := l.Publish(t.Context(), alert(t, 1)); err != nil {
		t.Fatal(err)
	}
	// The alert starts a, whose event starts b, whose event starts nothing: both routes led to it. People are told of all three.
	l.want("executions of a", 1, "SELECT count(*) FROM started WHERE target = 'a'")
	l.want("executions of b", 1, "SELECT count(*) FROM started WHERE target = 'b'")
	l.want("notices", 3, "SELECT count(*) FROM started WHERE target = 'ops'")
	l.want("skips on record", 3, "SELECT count(*) FROM audit WHERE verb = 'target.skip'")
	l.want("events", 3, "SELECT count(*) FROM events")
}

func TestChainOfEventsEnds(t *testing.T) {
	var l loop
	l = newLoop(t, storetest.Open(t), starts(func(ctx context.Context, tx *sql.Tx, ev signal.Event, _ bus.Route, _ bus.Target) error {
		// A target that tells under ever new names leaves no trail.
		detail, err := json.Marshal(map[string]any{"cause": []string{ev.ID}})
		if err != nil {
			return err
		}
		next := ev
		next.ID, next.Source, next.Detail = ev.ID+"x", "shop", detail
		return l.PublishTx(ctx, tx, next)
	}), nil, route("r", signal.AlertFiring, bus.Target{Runbook: "a"}))
	if err := l.Publish(t.Context(), alert(t, 1)); err != nil {
		t.Fatal(err)
	}
	l.want("events", 18, "SELECT count(*) FROM events")
	l.want("skips on record", 1, "SELECT count(*) FROM audit WHERE verb = 'target.skip'")
}

func TestPublishRefusesWhatIsNoEvent(t *testing.T) {
	l := newLoop(t, storetest.Open(t), nil, nil)
	for name, spoil := range map[string]func(*signal.Event){
		"no id":              func(e *signal.Event) { e.ID = "" },
		"no time":            func(e *signal.Event) { e.Time = time.Time{} },
		"no detail":          func(e *signal.Event) { e.Detail = nil },
		"a detail of a list": func(e *signal.Event) { e.Detail = json.RawMessage("[]") },
		"a detail cut short": func(e *signal.Event) { e.Detail = json.RawMessage(`{"a":`) },
	} {
		ev := alert(t, 1)
		spoil(&ev)
		if err := l.Publish(t.Context(), ev); !errors.Is(err, signal.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	if h := l.Health(); !h.Ready {
		t.Errorf("another's mistake makes the bus unready: %+v", h)
	}
}

func TestEventsPageInOrder(t *testing.T) {
	l := newLoop(t, storetest.Open(t), nil, nil)
	var want []string
	for i := range 25 {
		ev := alert(t, 25-i) // the order is that of storing, not of the events' own times
		want = append(want, ev.ID)
		if err := l.Publish(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
	}
	for _, byID := range []bool{false, true} {
		var got []string
		for after := ""; ; {
			page, next, err := l.Events(t.Context(), signal.Query{After: after, Limit: 10, Type: signal.AlertFiring, Entity: "host:web-1"})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page {
				got = append(got, e.ID)
			}
			if after = next; next == "" {
				break
			}
			if byID {
				after = page[len(page)-1].ID
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("after an id %v (-want +got):\n%s", byID, diff)
		}
	}
	page, next, err := l.Events(t.Context(), signal.Query{Newest: true, Limit: 1})
	if len(page) != 1 || page[0].ID != want[24] || next == "" || err != nil {
		t.Errorf("newest: %v, %q, %v", page, next, err)
	}
	if _, _, err := l.Events(t.Context(), signal.Query{After: "ev-none"}); !errors.Is(err, signal.ErrInvalid) {
		t.Errorf("after an unknown id: %v, want ErrInvalid", err)
	}
	if _, err := l.Event(t.Context(), "ev-none"); !errors.Is(err, signal.ErrNotFound) {
		t.Errorf("an unknown id: %v, want ErrNotFound", err)
	}
	if err := l.Store.Prune(t.Context(), time.Now().Add(time.Hour), l.Bus.Prune); err != nil {
		t.Fatal(err)
	}
	l.want("events that are left", 1, "SELECT count(*) FROM events")
}

func TestSubscribersSeeWhatIsStoredAndNothingElse(t *testing.T) {
	l := newLoop(t, storetest.Open(t), nil, nil)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()

	events, cancel := l.Subscribe()
	tx, err := l.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.PublishTx(t.Context(), tx, alert(t, 1)); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(); err != nil { // it never happened
		t.Fatal(err)
	}
	for i := 2; i < 300; i++ {
		if err := l.Publish(t.Context(), alert(t, i)); err != nil {
			t.Fatal(err)
		}
		if i < 40 {
			if got := <-events; got.ID != alert(t, i).ID {
				t.Fatalf("got %s, want the alert number %d", got.ID, i)
			}
		}
	}
	cancel()
	if err := l.Publish(t.Context(), alert(t, 300)); err != nil { // nobody listens: nobody waits
		t.Fatal(err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func BenchmarkPublish(b *testing.B) {
	for _, targets := range []int{0, 1} {
		b.Run(fmt.Sprintf("targets=%d", targets), func(b *testing.B) {
			var routes []bus.Route
			if targets > 0 {
				routes = []bus.Route{route("r", signal.AlertFiring, bus.Target{Runbook: "HighCPU-Host", Parameters: map[string]any{"Entity": "<entity>"}})}
			}
			l := newLoop(b, storetest.Open(b), starts(nil), nil, routes...)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				n++
				if err := l.Publish(b.Context(), alert(b, n)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
