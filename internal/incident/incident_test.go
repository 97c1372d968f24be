package incident_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"homeostat/internal/incident"
	"homeostat/internal/signal"
	"homeostat/internal/store"
	"homeostat/internal/store/storetest"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const quiet = 5 * time.Minute

// world is incidents over a database of their own, and what they told.
type world struct {
	*incident.Incidents
	s    *store.Store
	fail func(format string, args ...any)
	ctx  context.Context
	told []signal.Event
}

func newWorld(t testing.TB) *world {
	w := &world{s: storetest.Open(t), fail: t.Fatalf, ctx: t.Context()}
	w.Incidents = incident.New(incident.Config{Quiet: quiet}, incident.Needs{
		DB: w.s.DB, Read: w.s.Read, Audit: w.s.Audit, Chain: w.s.Chain,
		Publish: func(_ context.Context, _ *sql.Tx, evs ...signal.Event) error {
			w.told = append(w.told, evs...)
			return nil
		},
	}, nil, nil)
	return w
}

// see shows one event to the incidents, as the bus does, and returns what they told.
func (w *world) see(ev *signal.Event) []signal.Event {
	tx, err := w.s.DB.BeginTx(w.ctx, nil)
	if err != nil {
		w.fail("%v", err)
	}
	defer tx.Rollback()
	told, err := w.See(w.ctx, tx, ev)
	if err != nil {
		w.fail("%v", err)
	}
	if err := tx.Commit(); err != nil {
		w.fail("%v", err)
	}
	w.told = append(w.told, told...)
	return told
}

func (w *world) step(now time.Time) {
	if err := w.Step(w.ctx, now); err != nil {
		w.fail("%v", err)
	}
}

// open returns the open incidents.
func (w *world) open() []signal.Incident {
	list, _, err := w.List(w.ctx, signal.Query{State: "open"})
	if err != nil {
		w.fail("%v", err)
	}
	return list
}

// types returns the detail-types told since the last call.
func (w *world) types() []string {
	out := []string{}
	for _, ev := range w.told {
		out = append(out, strings.TrimPrefix(ev.DetailType, "Incident "))
	}
	w.told = nil
	return out
}

func (w *world) wantTypes(want ...string) {
	if diff := cmp.Diff(append([]string{}, want...), w.types()); diff != "" {
		w.fail("told (-want +got):\n%s", diff)
	}
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func minutes(n float64) time.Time { return noon.Add(time.Duration(n * float64(time.Minute))) }

func event(stage, detailType, subject string, at time.Time, detail any) *signal.Event {
	ev, err := signal.NewEvent(stage, detailType, subject, at, detail)
	if err != nil {
		panic(err)
	}
	return &ev
}

func firing(rule string, began float64, so signal.Severity) *signal.Event {
	return event("history", signal.AlertFiring, "al-"+rule, minutes(began), signal.Alert{
		Head: signal.Head{ID: "al-" + rule, Entity: "host:web-1", Cause: []string{"ba-1-1"}, Severity: so},
		Rule: rule, Began: minutes(began), Reason: rule + " is high.",
	})
}

func resolved(rule string, began, ended float64) *signal.Event {
	return event("history", signal.AlertResolved, "al-"+rule, minutes(ended), signal.Alert{
		Head: signal.Head{ID: "al-" + rule, Entity: "host:web-1", Cause: []string{"ba-1-2"}, Severity: signal.Warning},
		Rule: rule, Began: minutes(began), Ended: minutes(ended), Reason: rule + " is fine",
	})
}

func anomaly(id string, began float64, so signal.Severity) *signal.Event {
	return event("detect", signal.AnomalyDetected, id, minutes(began), signal.Anomaly{
		Head: signal.Head{ID: id, Entity: "host:web-1", Cause: []string{"ba-1-1"}, Severity: so}, Began: minutes(began), Detector: "host",
		Reason: "memory is 3.1 GB on web-1, where 1.0 to 1.4 GB is expected",
	})
}

func execution(detailType, id, in string, at float64, x signal.Execution) *signal.Event {
	x.ID, x.Incident, x.Entity = id, in, "host:web-1"
	if x.Runbook == "" {
		x.Runbook = "HighCPU-Host"
	}
	return event("runbook", detailType, id, minutes(at), x)
}

func TestIncidentFromTheFirstAlertToTheEnd(t *testing.T) {
	w := newWorld(t)
	ev := firing("CPU", 0, signal.Warning)
	w.see(ev)
	w.wantTypes("Opened")
	in := w.open()[0]
	if in.Title != "CPU is high on web-1" || in.Severity != signal.Warning || in.Entity != "host:web-1" || !in.Opened.Equal(noon) {
		t.Errorf("opened: %+v", in)
	}
	if !strings.HasPrefix(string(ev.Detail), `{"incident":"`+in.ID+`",`) || !strings.Contains(string(ev.Detail), `"rule":"CPU"`) {
		t.Errorf("the event's detail: %s", ev.Detail)
	}
	if alerts, err := w.OpenAlerts(t.Context()); len(alerts) != 1 || alerts[0].Rule != "CPU" || alerts[0].Incident != in.ID || err != nil {
		t.Errorf("open alerts: %+v, %v", alerts, err)
	}

	w.see(anomaly("an-1", 1, signal.Critical))
	w.wantTypes("Updated")
	in = w.open()[0]
	if in.Title != "memory is 3.1 GB on web-1, where 1.0 to 1.4 GB is expected, and 1 more" || in.Severity != signal.Critical || len(in.Members) != 2 {
		t.Errorf("with an anomaly: %+v", in)
	}

	w.see(execution(signal.ExecutionStarted, "ex-1", in.ID, 1, signal.Execution{State: signal.InProgress, Mode: signal.Auto}))
	w.wantTypes("Updated")
	if got := w.open()[0].Note; got != "HighCPU-Host runs" {
		t.Errorf("note: %q", got)
	}
	w.see(resolved("CPU", 0, 2))
	w.see(event("detect", signal.AnomalyEnded, "an-1", minutes(3), signal.Anomaly{
		Head: signal.Head{ID: "an-1", Entity: "host:web-1", Severity: signal.Info}, Began: minutes(1), Ended: minutes(3),
	}))
	w.wantTypes("Updated") // the first end changes nothing that anybody needs to hear
	w.step(minutes(30))    // the execution still runs
	w.wantTypes()

	w.see(execution(signal.ExecutionSucceeded, "ex-1", in.ID, 4, signal.Execution{State: signal.Success, Verify: "passed", Outcome: "ended process 4242 (yes)"}))
	w.wantTypes("Updated")
	if got := w.open()[0].Note; got != "HighCPU-Host is done and verified: ended process 4242 (yes); all is well again; it resolves when that lasts for 5 minutes" {
		t.Errorf("note: %q", got)
	}
	w.step(minutes(3 + 4.99))
	w.wantTypes()
	w.step(minutes(3 + 5))
	w.wantTypes("Resolved")

	in, err := w.Get(t.Context(), in.ID)
	if err != nil || in.State != "resolved" || in.Severity != signal.Critical || in.Note != "HighCPU-Host put it right, verified" ||
		!in.Resolved.Equal(minutes(8)) || len(in.Members) != 2 || in.Members[0].Ended.IsZero() || len(in.Members[0].Detail) == 0 {
		t.Errorf("resolved: %+v, %v", in, err)
	}
	page, _, err := w.s.Audit.Audit(t.Context(), signal.Query{Incident: in.ID})
	if len(page) != 2 || page[0].Verb != "incident.open" || page[1].Verb != "incident.resolve" || err != nil {
		t.Errorf("audit: %+v, %v", page, err)
	}
	links, err := w.s.Chain.Walk(t.Context(), "ex-1")
	ids := []string{}
	for _, l := range links {
		ids = append(ids, l.ID)
	}
	if h := w.Health(); !h.Ready {
		t.Errorf("health: %+v", h)
	}
	for _, want := range []string{in.ID, "al-CPU", "an-1", "ex-1"} {
		if !strings.Contains(strings.Join(ids, " "), want) {
			t.Errorf("chain of the execution: %v, %v; want %s in it", ids, err, want)
		}
	}
}

// TestTitleIsOfWhatGoesOn: who is woken for a second thing must not read of the first, which is over.
func TestTitleIsOfWhatGoesOn(t *testing.T) {
	w := newWorld(t)
	is := func(want string) {
		t.Helper()
		if got := w.open()[0].Title; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	w.see(firing("Disk", 0, signal.Critical))
	is("Disk is high on web-1")
	w.see(resolved("Disk", 0, 2))
	is("Disk is high on web-1")
	w.see(firing("CPU", 3, signal.Warning))
	is("CPU is high on web-1, and 1 more")
	w.see(resolved("CPU", 3, 4))
	is("Disk is high on web-1, and 1 more")
}

func TestFlappingAlertOpensOneIncident(t *testing.T) {
	w := newWorld(t)
	for i := range 20 { // every four minutes, for two
		began := float64(4 * i)
		w.see(firing("CPU", began, signal.Warning))
		w.step(minutes(began + 1))
		w.see(resolved("CPU", began, began+2))
		w.step(minutes(began + 3.9))
	}
	opened, resolvedCount := 0, 0
	for _, ty := range w.types() {
		switch ty {
		case "Opened":
			opened++
		case "Resolved":
			resolvedCount++
		}
	}
	if opened != 1 || resolvedCount != 0 {
		t.Errorf("%d opened, %d resolved; want one that stays open", opened, resolvedCount)
	}
	in := w.open()[0]
	if in.Title != "CPU is high on web-1" || len(in.Members) != 20 {
		t.Errorf("%q with %d members: one thing that comes and goes is no 20 things", in.Title, len(in.Members))
	}
	w.step(minutes(4*19 + 2 + 5))
	w.wantTypes("Resolved")
}

func TestVerifyThatFailedKeepsTheIncidentOpenAndSaysSo(t *testing.T) {
	w := newWorld(t)
	w.see(firing("CPU", 0, signal.Warning))
	in := w.open()[0]
	w.see(execution(signal.ExecutionFailed, "ex-1", in.ID, 2, signal.Execution{State: signal.Failed, Verify: "failed", Reason: "verify: CPU is still high"}))
	w.see(resolved("CPU", 0, 3))
	w.step(minutes(600))
	if got := w.open(); len(got) != 1 || !strings.Contains(got[0].Note, "the trouble did not go away: a person has to look") {
		t.Fatalf("after a failed verify: %+v", got)
	}
	// A later execution that puts it right does.
	w.see(execution(signal.ExecutionStarted, "ex-2", in.ID, 601, signal.Execution{State: signal.InProgress}))
	w.see(execution(signal.ExecutionSucceeded, "ex-2", in.ID, 602, signal.Execution{State: signal.Success, Verify: "passed"}))
	w.step(minutes(602))
	if got := w.open(); len(got) != 0 {
		t.Errorf("after a verify that passed: %+v", got)
	}
}

func TestWaitingExecutionKeepsTheIncidentOpen(t *testing.T) {
	w := newWorld(t)
	w.see(firing("CPU", 0, signal.Warning))
	in := w.open()[0]
	w.see(execution(signal.ExecutionWaitingForApproval, "ex-1", in.ID, 1, signal.Execution{State: signal.Waiting, Mode: signal.Approve}))
	w.see(resolved("CPU", 0, 3))
	w.step(minutes(60))
	if got := w.open(); len(got) != 1 || got[0].Note != "HighCPU-Host waits for approval; all is well again; it resolves when that lasts for 5 minutes" {
		t.Fatalf("while it waits: %+v", got)
	}
	w.see(execution(signal.ExecutionFailed, "ex-1", in.ID, 61, signal.Execution{State: signal.Cancelled, Reason: "ana said no"}))
	// An execution's events may come late; one that has ended runs no more.
	w.see(execution(signal.ExecutionStarted, "ex-1", in.ID, 62, signal.Execution{State: signal.InProgress}))
	w.step(minutes(62))
	if got := w.open(); len(got) != 0 {
		t.Errorf("after it was cancelled: %+v", got)
	}
}

func TestResolveByAPerson(t *testing.T) {
	w := newWorld(t)
	w.see(firing("CPU", 0, signal.Warning))
	in := w.open()[0]
	w.types()
	if err := w.Resolve(t.Context(), in.ID, "ana", "known load test"); err != nil {
		t.Fatal(err)
	}
	w.wantTypes("Resolved")
	in, err := w.Get(t.Context(), in.ID)
	if err != nil || in.State != "resolved" || in.Note != "resolved by ana: known load test" {
		t.Errorf("%+v, %v", in, err)
	}
	if err := w.Resolve(t.Context(), in.ID, "ana", ""); !errors.Is(err, signal.ErrConflict) {
		t.Errorf("a second time: %v, want ErrConflict", err)
	}
	if err := w.Resolve(t.Context(), "in-none", "ana", ""); !errors.Is(err, signal.ErrNotFound) {
		t.Errorf("an unknown one: %v, want ErrNotFound", err)
	}

	// What went on in it still ends in it, and nothing is opened or told for that.
	ev := resolved("CPU", 0, 7)
	w.see(ev)
	w.wantTypes()
	if !strings.Contains(string(ev.Detail), in.ID) {
		t.Errorf("the end isn't marked: %s", ev.Detail)
	}
	if alerts, err := w.OpenAlerts(t.Context()); len(alerts) != 0 || err != nil {
		t.Errorf("open alerts: %+v, %v", alerts, err)
	}
	w.see(firing("CPU", 8, signal.Warning))
	w.wantTypes("Opened")
	if got := w.open(); len(got) != 1 || got[0].ID == in.ID {
		t.Errorf("new trouble: %+v, want an incident of its own", got)
	}
}

func TestWhatIsToldTwiceOrUnknown(t *testing.T) {
	w := newWorld(t)
	w.see(resolved("CPU", 0, 1)) // of before our time
	w.see(execution(signal.ExecutionStarted, "ex-1", "in-none", 1, signal.Execution{}))
	w.see(execution(signal.ExecutionStarted, "ex-1", "", 1, signal.Execution{}))
	w.wantTypes()
	outside := firing("CPU", 0, signal.Warning)
	outside.Source = "shop"
	w.see(outside)
	w.wantTypes()

	w.see(anomaly("an-1", 0, signal.Warning))
	w.see(anomaly("an-1", 0, signal.Warning))
	w.wantTypes("Opened")
	w.see(anomaly("an-1", 0, signal.Critical)) // it has become worse
	w.wantTypes("Updated")
	w.see(anomaly("an-1", 0, signal.Info)) // it is never told better than it was
	w.wantTypes()
	if in := w.open(); len(in) != 1 || len(in[0].Members) != 1 || in[0].Severity != signal.Critical {
		t.Errorf("%+v", in)
	}
	if ended, err := w.Ended(t.Context(), "an-1"); ended || err != nil {
		t.Errorf("ended: %v, %v", ended, err)
	}
	if _, err := w.Ended(t.Context(), "an-none"); !errors.Is(err, signal.ErrNotFound) {
		t.Errorf("an unknown one: %v, want ErrNotFound", err)
	}
}

func TestListsPage(t *testing.T) {
	w := newWorld(t)
	for i := range 25 {
		id := fmt.Sprintf("an-%02d", i)
		w.see(event("detect", signal.AnomalyDetected, id, minutes(float64(i)), signal.Anomaly{
			Head: signal.Head{ID: id, Entity: signal.EntityID(fmt.Sprintf("host:web-%d", i)), Severity: signal.Info}, Began: minutes(float64(i)),
		}))
	}
	for _, newest := range []bool{false, true} {
		var incidents, anomalies []string
		for after := ""; ; {
			page, next, err := w.List(t.Context(), signal.Query{Limit: 10, After: after, Newest: newest})
			if err != nil {
				t.Fatal(err)
			}
			for _, in := range page {
				incidents = append(incidents, in.Members[0].ID)
			}
			if after = next; next == "" {
				break
			}
		}
		for after := ""; ; {
			page, next, err := w.Anomalies(t.Context(), signal.Query{Limit: 10, After: after, Newest: newest, State: "open"})
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range page {
				anomalies = append(anomalies, a.ID)
			}
			if after = next; next == "" {
				break
			}
		}
		if diff := cmp.Diff(incidents, anomalies); diff != "" || len(incidents) != 25 || (incidents[0] == "an-00") == newest {
			t.Errorf("newest %v: %v\n%s", newest, incidents, diff)
		}
	}
	all, _, err := w.List(t.Context(), signal.Query{})
	if err != nil {
		t.Fatal(err)
	}
	page, _, err := w.List(t.Context(), signal.Query{After: all[20].ID})
	if len(page) != 4 || err != nil {
		t.Errorf("after an incident's id: %d, %v; want 4", len(page), err)
	}
	if a, _, err := w.Anomalies(t.Context(), signal.Query{Entity: "host:web-7", Incident: all[7].ID}); len(a) != 1 || err != nil {
		t.Errorf("of one entity: %v, %v", a, err)
	}
	if _, _, err := w.List(t.Context(), signal.Query{After: "x"}); !errors.Is(err, signal.ErrInvalid) {
		t.Errorf("after nothing known: %v, want ErrInvalid", err)
	}
	if _, err := w.Get(t.Context(), "in-none"); !errors.Is(err, signal.ErrNotFound) {
		t.Errorf("an unknown one: %v, want ErrNotFound", err)
	}
}

func TestPruneKeepsWhatGoesOn(t *testing.T) {
	w := newWorld(t)
	for i := range 4 {
		began := float64(100 * i)
		w.see(firing("CPU", began, signal.Warning))
		switch i {
		case 0: // over
			w.see(resolved("CPU", began, began+1))
			w.step(minutes(began + 50))
		case 1: // resolved by a person, while the alert goes on
			if err := w.Resolve(t.Context(), w.open()[0].ID, "ana", ""); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.s.Prune(t.Context(), time.Now().Add(time.Hour), w.Prune); err != nil {
		t.Fatal(err)
	}
	list, _, err := w.List(t.Context(), signal.Query{})
	if len(list) != 2 || err != nil {
		t.Errorf("%d incidents are left, %v; want the one that ana resolved and the open one", len(list), err)
	}
	if alerts, err := w.OpenAlerts(t.Context()); len(alerts) != 3 || err != nil {
		t.Errorf("open alerts: %d, %v; want 3", len(alerts), err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestProcessesOfTheBeginStayWithTheEnd(t *testing.T) {
	w := newWorld(t)
	w.see(event("history", signal.AlertFiring, "al-CPU", minutes(0), signal.Alert{
		Head: signal.Head{ID: "al-CPU", Entity: "host:web-1", Cause: []string{}}, Rule: "CPU", Began: minutes(0),
		Processes: []signal.Process{{PID: 4242, Name: "stress"}},
	}))
	id := w.open()[0].ID
	w.see(resolved("CPU", 0, 3))
	in, err := w.Get(w.ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	var a signal.Alert
	if err := json.Unmarshal(in.Members[0].Detail, &a); err != nil {
		t.Fatal(err)
	}
	if len(a.Processes) != 1 || a.Processes[0].PID != 4242 || a.Ended.IsZero() {
		t.Errorf("after its end: %s", in.Members[0].Detail)
	}
}
