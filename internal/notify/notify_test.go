package notify

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"go.uber.org/goleak"

	"homeostat/internal/signal"
	"homeostat/internal/store"
	"homeostat/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pager is a real HTTP service that people's messages are sent to.
type pager struct {
	*httptest.Server
	mu   sync.Mutex
	got  []string
	fail int // so many requests are refused first
	came chan struct{}
}

func newPager(t *testing.T) *pager {
	p := &pager{came: make(chan struct{}, 100)}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.fail > 0 {
			p.fail--
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		p.got = append(p.got, string(body))
		p.came <- struct{}{}
	}))
	t.Cleanup(func() { p.Close(); http.DefaultClient.CloseIdleConnections() })
	return p
}

func (p *pager) url() string {
	return "generic://" + strings.TrimPrefix(p.URL, "http://") + "/hook?disabletls=yes&template=json&token=s3cret"
}

func (p *pager) messages() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.got...)
}

// open returns notices over a real database and River, whose workers run when work is true.
func open(t *testing.T, c Config, work bool) (*Notices, *store.Store) {
	t.Helper()
	st := storetest.Open(t)
	workers := river.NewWorkers()
	late := &lateJobs{}
	s, err := New(c, Needs{DB: st.DB, Read: st.Read, Jobs: late, Audit: st.Audit, Chain: st.Chain}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.AddWorkers(workers)
	late.Client, err = river.NewClient(riversqlite.New(st.DB), &river.Config{
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 2}}, Workers: workers,
		FetchPollInterval: 50 * time.Millisecond, FetchCooldown: 20 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	if work {
		ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
		if err := late.Start(ctx); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			cancel()
			<-late.Stopped()
		})
	}
	return s, st
}

// lateJobs is the client that can only be made once the workers are known.
type lateJobs struct{ *river.Client[*sql.Tx] }

func start(t *testing.T, s *Notices, st *store.Store, target string, evs ...signal.Event) {
	t.Helper()
	tx, err := st.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	for _, ev := range evs {
		if err := s.Start(t.Context(), tx, ev, "page", target); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

var at = time.Date(2026, 3, 1, 2, 14, 5, 0, time.UTC)

func event(t *testing.T, detailType, subject string, detail any) signal.Event {
	t.Helper()
	ev, err := signal.NewEvent("test", detailType, subject, at, detail)
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

func opened(t *testing.T, id string) signal.Event {
	return event(t, signal.IncidentOpened, id, signal.Incident{
		Head:  signal.Head{ID: id, Entity: "host:web-1", Cause: []string{}, Severity: signal.Critical, Incident: id},
		State: "open", Title: "CPU 97 % on web-1", Opened: at,
	})
}

func waiting(t *testing.T, id string) signal.Event {
	return event(t, signal.ExecutionWaitingForApproval, id, signal.Execution{
		Head:    signal.Head{ID: "ex-1", Entity: "host:web-1", Cause: []string{}, Severity: signal.Warning, Incident: id},
		Runbook: "HighCPU-Host", Mode: signal.Approve, State: signal.Waiting,
		Approval: &signal.Approval{Message: "Would end process 4242 (stress) using 1.9 cores.", Needed: 1, Expires: at.Add(time.Hour)},
	})
}

func TestNoticesOfOneIncidentTravelTogether(t *testing.T) {
	p := newPager(t)
	s, st := open(t, Config{Targets: map[string]string{"ops": p.url()}, Gather: 2 * time.Second}, true)
	start(t, s, st, "ops", opened(t, "in-1"), waiting(t, "in-1"))
	start(t, s, st, "ops", opened(t, "in-1")) // the same event again
	<-p.came
	got := p.messages()
	if len(got) != 1 {
		t.Fatalf("%d messages, want 1: %q", len(got), got)
	}
	var msg struct{ Title, Message string }
	if err := json.Unmarshal([]byte(got[0]), &msg); err != nil {
		t.Fatalf("%v: %s", err, got[0])
	}
	if msg.Title != "[critical] CPU 97 % on web-1" {
		t.Errorf("title %q", msg.Title)
	}
	for _, want := range []string{
		"Needs your approval: HighCPU-Host on web-1", "Would end process 4242 (stress)", "homeostat runbook approve ex-1",
		"until 03:14 UTC", "http://127.0.0.1:8080/executions/ex-1",
	} {
		if !strings.Contains(msg.Message, want) {
			t.Errorf("%q is not in\n%s", want, msg.Message)
		}
	}
}

func TestFailedDeliveryIsTriedAgainAndOnRecord(t *testing.T) {
	p := newPager(t)
	p.fail = 1
	s, st := open(t, Config{Targets: map[string]string{"ops": p.url()}}, false)
	start(t, s, st, "ops", opened(t, "in-1"))
	_, err := s.deliver(t.Context(), "ops", "in-1")
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Fatalf("first attempt: %v", err)
	}
	told := func(stage, chain string) {
		t.Helper()
		if h := s.Health(); !h.Ready || !strings.HasPrefix(h.State, stage) || strings.Contains(h.State, "s3cret") {
			t.Errorf("health %+v, want ready and %q", h, stage)
		}
		id := signal.MakeID(signal.KindNotice, opened(t, "in-1").ID, "ops")
		links, err := st.Chain.Walk(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if got := links[len(links)-1]; got.Kind != "notice" || !strings.HasPrefix(got.Text, chain) {
			t.Errorf("the chain says %+v, want %q", got, chain)
		}
	}
	told("the last message to ops was not delivered: ", "ops has not been told: CPU 97 % on web-1 (")
	if _, err := s.deliver(t.Context(), "ops", "in-1"); err != nil {
		t.Fatal(err)
	}
	told("ok", "ops was told: CPU 97 % on web-1")
	if _, err := s.deliver(t.Context(), "ops", "in-1"); err != nil { // nothing waits any more
		t.Fatal(err)
	}
	if got := p.messages(); len(got) != 1 {
		t.Errorf("%d messages, want 1", len(got))
	}
	if n, err := st.Audit.Verify(t.Context()); err != nil || n != 1 {
		t.Errorf("audit log: %d entries, %v; want one of the delivery", n, err)
	}
}

// TestTwoJobsAtOnceTellOnce: each notice has a job, and those of one incident come due together.
func TestTwoJobsAtOnceTellOnce(t *testing.T) {
	asked, answer := make(chan struct{}, 10), make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-answer
	}))
	defer slow.Close()
	s, st := open(t, Config{Targets: map[string]string{"ops": (&pager{Server: slow}).url()}}, false)
	start(t, s, st, "ops", opened(t, "in-1"), waiting(t, "in-1"))
	first := make(chan error)
	go func() {
		_, err := s.deliver(t.Context(), "ops", "in-1")
		first <- err
	}()
	<-asked
	if wait, err := s.deliver(t.Context(), "ops", "in-1"); err != nil || wait <= 0 {
		t.Errorf("while the first is on its way: wait %v, %v", wait, err)
	}
	close(answer)
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	if wait, err := s.deliver(t.Context(), "ops", "in-1"); err != nil || wait != 0 || len(asked) != 0 {
		t.Errorf("afterwards: wait %v, %v, %d more messages", wait, err, len(asked))
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestStormIsToldInOneMessage(t *testing.T) {
	p := newPager(t)
	s, st := open(t, Config{Targets: map[string]string{"ops": p.url()}, PerHour: 3}, false)
	ids := []string{"in-1", "in-2", "in-3", "in-4", "in-5", "in-6"}
	for _, id := range ids {
		start(t, s, st, "ops", opened(t, id))
	}
	for _, id := range ids {
		if _, err := s.deliver(t.Context(), "ops", id); err != nil {
			t.Fatal(err)
		}
	}
	got := p.messages()
	if len(got) != 3 || strings.Count(got[2], "CPU 97 % on web-1") != 5 { // four lines and the title
		t.Fatalf("%d messages; the last: %s", len(got), got[len(got)-1])
	}
	start(t, s, st, "ops", opened(t, "in-7"))
	if wait, err := s.deliver(t.Context(), "ops", "in-7"); err != nil || wait < 59*time.Minute {
		t.Errorf("over its share: wait %v, %v", wait, err)
	}
}

func TestRolledBackEventTellsNobody(t *testing.T) {
	p := newPager(t)
	s, st := open(t, Config{Targets: map[string]string{"ops": p.url()}}, false)
	tx, err := st.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context(), tx, opened(t, "in-1"), "page", "ops"); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.deliver(t.Context(), "ops", "in-1"); err != nil || len(p.messages()) != 0 {
		t.Errorf("%v, %q", err, p.messages())
	}
}

func TestUnknownTargetIsNamed(t *testing.T) {
	s, st := open(t, Config{}, false)
	tx, err := st.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if err := s.Start(t.Context(), tx, opened(t, "in-1"), "page", "nobody"); !errors.Is(err, ErrNoTarget) {
		t.Errorf("%v", err)
	}
}

func TestBadURLKeepsItsSecret(t *testing.T) {
	for _, u := range []string{"slack://hook:xoxb-s3cret@bad", "nosuch://s3cret@host", "generic://%zzs3cret"} {
		if err := Check(u); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", u, err)
		}
	}
}

func TestWords(t *testing.T) {
	x := signal.Execution{
		Head:    signal.Head{ID: "ex-1", Entity: "host:web-1", Cause: []string{}, Severity: signal.Warning},
		Runbook: "HighCPU-Host", Mode: signal.Auto, By: "route high-cpu",
	}
	with := func(f func(*signal.Execution)) signal.Execution { y := x; f(&y); return y }
	for _, tt := range []struct {
		name, detailType string
		detail           any
		title, body      string
	}{
		{
			"resolved", signal.IncidentResolved,
			signal.Incident{Head: signal.Head{ID: "in-1"}, Title: "CPU 97 % on web-1", Opened: at, Resolved: at.Add(11*time.Minute + 7*time.Second)},
			"Resolved: CPU 97 % on web-1", "All is well again, 11m after it began.",
		},
		{
			"resolved, and why", signal.IncidentResolved,
			signal.Incident{Head: signal.Head{ID: "in-1"}, Title: "CPU 97 % on web-1", Opened: at, Resolved: at.Add(11 * time.Minute), Note: "all in it have ended", Members: []signal.Member{{ID: "al-1", Ended: at.Add(time.Minute)}}},
			"Resolved: CPU 97 % on web-1", "All is well again, 11m after it began: all in it have ended.",
		},
		{
			"resolved by hand", signal.IncidentResolved,
			signal.Incident{Head: signal.Head{ID: "in-1"}, Title: "CPU 97 % on web-1", Opened: at, Resolved: at.Add(11 * time.Minute), Note: "resolved by ana: known", Members: []signal.Member{{ID: "al-1"}, {ID: "al-2", Ended: at.Add(time.Minute)}}},
			"Resolved: CPU 97 % on web-1", "Ended by hand, 11m after it began: resolved by ana: known. Not over yet: 1 of its findings.",
		},
		{
			"done", signal.ExecutionSucceeded,
			with(func(x *signal.Execution) { x.Outcome, x.Verify = "Ended process 4242 (stress).", "passed" }),
			"Done: HighCPU-Host on web-1", "Ended process 4242 (stress). Checked afterwards: the trouble is gone.",
		},
		{
			"observed", signal.ExecutionSucceeded,
			with(func(x *signal.Execution) { x.Mode, x.Outcome = signal.Observe, "Would end process 4242 (stress)." }),
			"Would have run: HighCPU-Host on web-1", "Would end process 4242 (stress).",
		},
		{
			"still there", signal.ExecutionFailed,
			with(func(x *signal.Execution) { x.Reason, x.Verify = "HighCPU still fires.", "failed" }),
			"FAILED: HighCPU-Host on web-1", "HighCPU still fires. Checked afterwards: the trouble is still there. A person is needed.",
		},
		{
			"refused", signal.ExecutionRefused,
			with(func(x *signal.Execution) { x.Reason = "automatic actions are paused" }),
			"Refused: HighCPU-Host on web-1", "automatic actions are paused",
		},
		{
			"hostile", signal.AnomalyDetected,
			signal.Anomaly{Head: signal.Head{ID: "an-1", Entity: "host:a\x1b[2J\u202eb\nc"}, Reason: "x\x00y"},
			"Unusual on a[2Jb c", "xy",
		},
		{"of others", "Backup Late", map[string]any{"id": "1", "entity": "service:shop"}, "Backup Late: shop", ""},
		{"of others, with a sentence", "Backup Late", map[string]any{"reason": "none for 26 hours"}, "Backup Late", "none for 26 hours"},
		{"of others, of another shape", "Backup Late", map[string]any{"reason": 26}, "Backup Late", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := compose(event(t, tt.detailType, "s", tt.detail), "http://h")
			if err != nil || got.title != tt.title || got.body != tt.body {
				t.Errorf("%q, %q, %v", got.title, got.body, err)
			}
		})
	}
}

func TestLongMessageIsCutAndKeepsItsLink(t *testing.T) {
	ns := make([]notice, 100)
	for i := range ns {
		ns[i] = notice{title: strings.Repeat("ä", 100), body: strings.Repeat("ö", 200), link: "http://h/incidents/in-1", created: at}
	}
	_, body := message(ns)
	if len(body) > maxText || !strings.HasSuffix(body, "...\nhttp://h/incidents/in-1") {
		t.Errorf("%d bytes, ends %q", len(body), body[len(body)-60:])
	}
}
