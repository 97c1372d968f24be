package runbook

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"homeostat/internal/signal"
)

func gone() (bool, string, error) { return false, "all is well", nil }

func TestAutoActsVerifiesAndTells(t *testing.T) {
	t.Parallel()
	var looks atomic.Int32
	s := startTest(t, quick(), func() (bool, string, error) { return looks.Add(1) <= 3, "HighCPU", nil })
	id := s.mustFire(t, alert(1, "in-1"), Target{Runbook: "Fix", Mode: signal.Auto})
	x := s.await(t, id, ended)
	if x.State != signal.Success || x.Verify != "passed" || x.Outcome != "changed host:h" || x.Incident != "in-1" || x.By != "route r" {
		t.Errorf("%+v", x)
	}
	if diff := cmp.Diff([]string{"look Success", "change Success", "after Success", "verify Success"}, stepNames(x)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{signal.ExecutionStarted, signal.ActionTaken, signal.ExecutionSucceeded}, s.told(t, id)); diff != "" {
		t.Error(diff)
	}
	if got := s.world.changes(); len(got) != 1 {
		t.Errorf("changes: %q", got)
	}
	links, err := s.store.Chain.Walk(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, l := range links {
		said = append(said, l.Text)
	}
	for _, want := range []string{"changed host:h", "verify passed", "Fix on host:h, in mode auto: changed host:h; verified"} {
		if !strings.Contains(strings.Join(said, "\n"), want) {
			t.Errorf("the chain doesn't say %q: %q", want, said)
		}
	}
	if diff := cmp.Diff([]string{"execution.begin", "step.intent", "step.outcome", "verify", "execution.end"}, s.audited(t)); diff != "" {
		t.Error(diff)
	}
}

// audited lists the verbs of the audit log.
func (s *stage) audited(t *testing.T) []string {
	t.Helper()
	entries, _, err := s.store.Audit.Audit(t.Context(), signal.Query{})
	if err != nil {
		t.Fatal(err)
	}
	var verbs []string
	for _, e := range entries {
		verbs = append(verbs, e.Verb)
	}
	return verbs
}

func TestObserveSaysWhatItWouldDo(t *testing.T) {
	t.Parallel()
	s := startTest(t, Config{}, gone) // the default
	id := s.mustFire(t, alert(1, "in-1"), Target{Runbook: "Fix", Mode: signal.Auto})
	x := s.await(t, id, ended)
	if x.Mode != signal.Observe || x.State != signal.Success || x.Outcome != "would change host:h" || x.Verify != "" {
		t.Errorf("%+v", x)
	}
	if got := s.world.changes(); len(got) != 0 {
		t.Errorf("it changed something: %q", got)
	}
	// The next incident comes within the cooldown: observe says that, too.
	id = s.mustFire(t, alert(2, "in-2"), Target{Runbook: "Fix", Mode: signal.Auto})
	if x = s.await(t, id, ended); x.State != signal.Refused || !strings.Contains(x.Reason, "cooldown") {
		t.Errorf("%+v", x)
	}
}

func TestStepWithinAStepIsToldOnce(t *testing.T) {
	t.Parallel()
	s := startTest(t, quick(), gone)
	id := s.mustFire(t, alert(1, "in-1"), Target{Runbook: "Shell", Mode: signal.Auto})
	x := s.await(t, id, ended)
	if x.State != signal.Success || len(s.world.changes()) != 1 || x.Outcome != "changed <nil>" {
		t.Errorf("%+v", x)
	}
	if diff := cmp.Diff([]string{"run Success", "run/say Success", "verify Success"}, stepNames(x)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"execution.begin", "step.intent", "step.outcome", "verify", "execution.end"}, s.audited(t)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{signal.ExecutionStarted, signal.ActionTaken, signal.ExecutionSucceeded}, s.told(t, id)); diff != "" {
		t.Error(diff)
	}
}

func TestRunbookThatOnlyReadsVerifiesNothing(t *testing.T) {
	t.Parallel()
	s := startTest(t, quick(), gone)
	id := s.mustFire(t, alert(1, "in-1"), Target{Runbook: "Look", Mode: signal.Auto})
	if x := s.await(t, id, ended); x.State != signal.Success || x.Verify != "" || x.Outcome != "it was looked at" {
		t.Errorf("%+v", x)
	}
}

func TestConditionThatStaysFailsTheExecution(t *testing.T) {
	t.Parallel()
	c := quick()
	c.VerifyTimeout = 100 * time.Millisecond
	s := startTest(t, c, func() (bool, string, error) { return true, "HighCPU fires", nil })
	id := s.mustFire(t, alert(1, "in-1"), Target{Runbook: "Fix", Mode: signal.Auto})
	x := s.await(t, id, ended)
	if x.State != signal.Failed || x.Verify != "failed" || x.Reason != "verify: the condition is still there: HighCPU fires" {
		t.Errorf("%+v", x)
	}
	if got := s.told(t, id); got[len(got)-1] != signal.ExecutionFailed {
		t.Errorf("%q", got)
	}
}

func TestApproveAsksBeforeTheFirstChange(t *testing.T) {
	t.Parallel()
	s := startTest(t, quick(), gone)
	id := s.mustFire(t, alert(1, "in-1"), Target{Runbook: "Fix", Mode: signal.Approve})
	x := s.await(t, id, waiting)
	if x.State != signal.Waiting || x.Approval.Message != "Fix on host:h would change host:h. May it?" {
		t.Errorf("%+v", x.Approval)
	}
	if left := time.Until(x.Approval.Expires); left < 59*time.Minute || left > time.Hour {
		t.Errorf("it expires in %v", left)
	}
	if got := s.world.changes(); len(got) != 0 {
		t.Errorf("it changed something: %q", got)
	}
	if err := s.Approve(t.Context(), "ex-none", "ana", ""); !errors.Is(err, signal.ErrNotFound) {
		t.Errorf("an unknown id: %v", err)
	}
	if err := s.Approve(t.Context(), id, "ana", "go ahead"); err != nil {
		t.Fatal(err)
	}
	x = s.await(t, id, ended)
	if x.State != signal.Success || x.Verify != "passed" || len(s.world.changes()) != 1 {
		t.Errorf("%+v", x)
	}
	want := []string{signal.ExecutionStarted, signal.ExecutionWaitingForApproval, signal.ActionTaken, signal.ExecutionSucceeded}
	if diff := cmp.Diff(want, s.told(t, id)); diff != "" {
		t.Error(diff)
	}
	if err := s.Approve(t.Context(), id, "ana", ""); !errors.Is(err, signal.ErrConflict) {
		t.Errorf("a second time: %v", err)
	}
}

func TestRejectedIsRefused(t *testing.T) {
	t.Parallel()
	s := startTest(t, quick(), gone)
	id := s.mustFire(t, alert(1, "in-1"), Target{Runbook: "Fix", Mode: signal.Approve})
	s.await(t, id, waiting)
	if err := s.Reject(t.Context(), id, "ana", "not now"); err != nil {
		t.Fatal(err)
	}
	x := s.await(t, id, ended)
	if x.State != signal.Refused || !strings.Contains(x.Reason, "ana rejected it: not now") || len(s.world.changes()) != 0 {
		t.Errorf("%+v", x)
	}
}

// TestTheQuestionNamesWhatElseTheAnswerIsFor: a person is asked once, so whatever may follow belongs into the question.
func TestTheQuestionNamesWhatElseTheAnswerIsFor(t *testing.T) {
	t.Parallel()
	s := startTest(t, quick(), gone)
	id := s.mustFire(t, alert(1, "in-1"), Target{Runbook: "Ladder", Mode: signal.Approve})
	want := "Ladder on host:h would change one. It may go on with the rest of inner, harder, and doesn't ask again. May it?"
	if x := s.await(t, id, waiting); x.State != signal.Waiting || x.Approval.Message != want {
		t.Errorf("%q: %+v", x.State, x.Approval)
	}
}

func TestNobodyApprovesInTime(t *testing.T) {
	t.Parallel()
	c := quick()
	c.ApprovalExpiry = 50 * time.Millisecond
	s := startTest(t, c, gone)
	id := s.mustFire(t, alert(1, "in-1"), Target{Runbook: "Fix", Mode: signal.Approve})
	x := s.await(t, id, ended)
	if x.State != signal.Refused || !strings.Contains(x.Reason, "nobody approved it within 50ms") || len(s.world.changes()) != 0 {
		t.Errorf("%+v", x)
	}
}

func TestDocumentsOwnQuestion(t *testing.T) {
	t.Parallel()
	s := startTest(t, quick(), gone)
	id := s.mustFire(t, alert(1, "in-1"), Target{Runbook: "Ask", Mode: signal.Auto})
	x := s.await(t, id, waiting)
	if x.Approval.Message != "Shall it?" {
		t.Errorf("%+v", x.Approval)
	}
	if err := s.Approve(t.Context(), id, "bob", ""); !errors.Is(err, signal.ErrConflict) {
		t.Errorf("bob isn't among the approvers: %v", err)
	}
	if err := s.Approve(t.Context(), id, "ana", ""); err != nil {
		t.Fatal(err)
	}
	if x = s.await(t, id, ended); x.State != signal.Success || len(s.world.changes()) != 1 {
		t.Errorf("%+v", x)
	}
}

func TestKillSwitch(t *testing.T) {
	t.Parallel()
	s := startTest(t, quick(), gone)
	waits := s.mustFire(t, alert(1, "in-1"), Target{Runbook: "Fix", Mode: signal.Approve})
	s.await(t, waits, waiting)
	if err := s.Pause(t.Context(), "ana", "drill"); err != nil {
		t.Fatal(err)
	}
	if sw, err := s.Paused(t.Context()); err != nil || !sw.Paused || sw.By != "ana" || sw.Reason != "drill" || sw.Since.IsZero() {
		t.Errorf("%+v, %v", sw, err)
	}
	x := s.await(t, s.mustFire(t, alert(2, "in-2"), Target{Runbook: "Fix", Mode: signal.Auto}), ended)
	if x.State != signal.Refused || x.Reason != "automatic actions are paused by ana: drill" || len(x.Steps) != 0 {
		t.Errorf("begun while paused: %+v", x)
	}
	if err := s.Approve(t.Context(), waits, "ana", ""); err != nil {
		t.Fatal(err)
	}
	if x = s.await(t, waits, ended); x.State != signal.Refused || !strings.Contains(x.Reason, "paused by ana") || len(s.world.changes()) != 0 {
		t.Errorf("approved while paused: %+v", x)
	}
	if err := s.Resume(t.Context(), "ana", ""); err != nil {
		t.Fatal(err)
	}
	x = s.await(t, s.mustFire(t, alert(3, "in-3"), Target{Runbook: "Fix", Mode: signal.Auto}), ended)
	if x.State != signal.Success {
		t.Errorf("after resume: %+v", x)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := startTest(t, quick(), gone)
	s.need.Reaches = func(e string) error {
		if e != "host:h" {
			return errors.New("this is host:h")
		}
		return nil
	}
	s.await(t, s.mustFire(t, alert(1, "in-1"), Target{Runbook: "Fix", Mode: signal.Auto}), ended)
	for i, tt := range []struct {
		name   string
		target Target
		reason string
	}{
		{"unknown", Target{Runbook: "None"}, "there is no runbook called None"},
		{"again for the incident", Target{Runbook: "Fix", Mode: signal.Auto}, "ran for incident in-1 on host:h already"},
		{"another host", Target{Runbook: "Fix", Mode: signal.Auto, Parameters: map[string]any{"Entity": "host:z"}}, "this is host:h"},
		{"a parameter that isn't allowed", Target{Runbook: "Fix", Parameters: map[string]any{"Entity": "x; rm -rf /"}}, "parameters don't fit"},
		{"a parameter that isn't there", Target{Runbook: "Look", Parameters: map[string]any{"Other": "x"}}, "parameters don't fit"},
		{"again, which its route allows, in the cooldown", Target{Runbook: "Fix", Mode: signal.Auto, Repeat: true}, "cooldown"},
	} {
		id := s.mustFire(t, alert(10+i, "in-1"), tt.target)
		x := s.await(t, id, ended)
		if x.State != signal.Refused || !strings.Contains(x.Reason, tt.reason) {
			t.Errorf("%s: %s, %q", tt.name, x.State, x.Reason)
		}
		if got := s.told(t, id); got[len(got)-1] != signal.ExecutionRefused {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
	if n := len(s.world.changes()); n != 1 {
		t.Errorf("%d changes, want 1", n)
	}
}

// A finding that is told again, graver, is still the same finding: its route starts one execution, and nothing is refused.
func TestFindingToldAgainStartsNoSecondExecution(t *testing.T) {
	t.Parallel()
	s := startTest(t, quick(), gone)
	telling := func(n int, id string) signal.Event {
		ev, err := signal.NewEvent("detect", signal.UnusualAccess, id, time.Unix(1e9+int64(n), 0), signal.Head{
			ID: id, Entity: "host:h", Cause: []string{}, Severity: signal.Critical, Incident: "in-1",
		})
		if err != nil {
			t.Fatal(err)
		}
		return ev
	}
	fix := Target{Runbook: "Fix", Mode: signal.Auto}
	first, second := telling(1, "an-1"), telling(2, "an-1")
	if first.ID == second.ID {
		t.Fatal("the two tellings are one event")
	}
	id := s.mustFire(t, first, fix)
	s.mustFire(t, second, fix)
	s.await(t, id, ended)
	s.mustFire(t, telling(3, "an-1"), fix)
	all, _, err := s.Executions(t.Context(), signal.Query{})
	if err != nil || len(all) != 1 || all[0].ID != id {
		t.Fatalf("%+v %v", all, err)
	}
	// Where the route wants it each time, each telling counts; so does another finding.
	again := fix
	again.Repeat = true
	if ids := []string{s.mustFire(t, second, again), s.mustFire(t, telling(4, "an-2"), fix)}; ids[0] == id || ids[1] == id || ids[0] == ids[1] {
		t.Errorf("%q, the first %s", ids, id)
	}
	if all, _, err = s.Executions(t.Context(), signal.Query{}); err != nil || len(all) != 3 {
		t.Errorf("%d executions, %v", len(all), err)
	}
}

func TestCancelStopsTheStep(t *testing.T) {
	t.Parallel()
	s := startTest(t, quick(), gone)
	id := s.mustFire(t, alert(1, "in-1"), Target{Runbook: "Slow", Mode: signal.Auto})
	s.await(t, id, func(x signal.Execution) bool { return len(x.Steps) > 0 })
	if err := s.Cancel(t.Context(), id, "ana", "enough"); err != nil {
		t.Fatal(err)
	}
	x := s.await(t, id, ended)
	if x.State != signal.Cancelled || !strings.Contains(x.Reason, "ana: enough") {
		t.Errorf("%+v", x)
	}
	if err := s.Cancel(t.Context(), id, "ana", ""); !errors.Is(err, signal.ErrConflict) {
		t.Errorf("a second time: %v", err)
	}
}

func TestPersonsStart(t *testing.T) {
	t.Parallel()
	c := quick()
	c.Mode = signal.Approve
	s := startTest(t, c, gone)
	if _, err := s.StartRunbook(t.Context(), signal.Start{Runbook: "Fix", Mode: signal.Auto, Entity: "host:h", By: "ana"}); !errors.Is(err, signal.ErrConflict) {
		t.Errorf("above the configuration's mode: %v", err)
	}
	if _, err := s.StartRunbook(t.Context(), signal.Start{Runbook: "None", By: "ana"}); !errors.Is(err, signal.ErrNotFound) {
		t.Errorf("an unknown one: %v", err)
	}
	if _, err := s.StartRunbook(t.Context(), signal.Start{Runbook: "Fix", By: "ana"}); !errors.Is(err, signal.ErrInvalid) {
		t.Errorf("without its parameter: %v", err)
	}
	id, err := s.StartRunbook(t.Context(), signal.Start{Runbook: "Fix", Entity: "host:h", By: "ana"})
	if err != nil {
		t.Fatal(err)
	}
	if x := s.await(t, id, ended); x.Mode != signal.Observe || x.Outcome != "would change host:h" || x.By != "ana" {
		t.Errorf("%+v", x)
	}
	s.cfg.Host = "host:here"
	for _, tt := range []struct {
		given signal.EntityID
		want  signal.EntityID
	}{{"", "host:here"}, {"host:h", "host:h"}} {
		id, err := s.StartRunbook(t.Context(), signal.Start{Runbook: "Fix", Entity: tt.given, By: "ana"})
		if err != nil {
			t.Fatal(err)
		}
		if x := s.await(t, id, ended); x.Entity != tt.want || x.Parameters["Entity"] != string(tt.want) {
			t.Errorf("%q given: %+v", tt.given, x)
		}
	}
}

func TestExecutionsPage(t *testing.T) {
	t.Parallel()
	s := startTest(t, quick(), gone)
	for i := range 7 {
		s.mustFire(t, alert(i, ""), Target{Runbook: "None"})
	}
	for _, newest := range []bool{false, true} {
		seen := map[string]bool{}
		q := signal.Query{Limit: 3, Newest: newest, State: signal.Refused}
		for pages := 1; ; pages++ {
			xs, next, err := s.Executions(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range xs {
				seen[x.ID] = true
			}
			if next == "" {
				if pages != 3 || len(seen) != 7 {
					t.Errorf("newest %v: %d pages, %d executions", newest, pages, len(seen))
				}
				break
			}
			q.After = next
		}
	}
}

// Whatever modes meet, changing hands move only when both say so.
func TestNothingIsChangedUnlessBothModesSaySo(t *testing.T) {
	t.Parallel()
	modes := []signal.Mode{"", signal.Observe, signal.Approve, signal.Auto, "AUTO", "yes"}
	for i, configured := range []signal.Mode{"", signal.Approve, signal.Auto, "AUTO"} {
		c := quick()
		c.Mode, c.Guards = configured, signal.Guards{Cooldown: time.Nanosecond, Concurrent: 100, BlastRadius: "100"}
		s := startTest(t, c, gone)
		var ids []string
		want := 0
		for k, asked := range modes {
			ids = append(ids, s.mustFire(t, alert(10*i+k, fmt.Sprintf("in-%d-%d", i, k)), Target{Runbook: "Fix", Mode: asked}))
			if configured == signal.Auto && asked == signal.Auto {
				want++
			}
		}
		for _, id := range ids {
			s.await(t, id, func(x signal.Execution) bool { return ended(x) || waiting(x) })
		}
		if n := len(s.world.changes()); n != want {
			t.Errorf("mode %q: %d changes, want %d", configured, n, want)
		}
	}
}

func TestPruneTakesWhatHasEndedAlone(t *testing.T) {
	t.Parallel()
	s := startTest(t, quick(), gone)
	waits := s.mustFire(t, alert(1, "in-1"), Target{Runbook: "Fix", Mode: signal.Approve})
	s.await(t, waits, waiting)
	over := s.mustFire(t, alert(2, "in-2"), Target{Runbook: "Look", Mode: signal.Auto})
	s.await(t, over, ended)
	var n int
	err := s.inTx(t.Context(), func(tx *sql.Tx) error {
		var err error
		n, err = s.Prune(t.Context(), tx, time.Now().Add(time.Minute), 100)
		return err
	})
	if err != nil || n != 1 {
		t.Fatalf("%d, %v", n, err)
	}
	if _, err := s.Execution(t.Context(), over); !errors.Is(err, signal.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if x := s.await(t, waits, waiting); len(x.Steps) != 2 {
		t.Errorf("%+v", x)
	}
}

// An event that comes a thousand times, from many at once, starts one execution.
func TestEventAThousandTimesStartsOne(t *testing.T) {
	t.Parallel()
	s := startTest(t, quick(), gone)
	ev := alert(1, "in-1")
	var g sync.WaitGroup
	for range 8 {
		g.Go(func() {
			for range 125 {
				if _, err := s.fire(t.Context(), ev, Target{Runbook: "Fix", Mode: signal.Auto}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	g.Wait()
	x := s.await(t, s.mustFire(t, ev, Target{Runbook: "Fix", Mode: signal.Auto}), ended)
	xs, _, err := s.Executions(t.Context(), signal.Query{})
	if err != nil || len(xs) != 1 || x.State != signal.Success || len(s.world.changes()) != 1 {
		t.Errorf("%d executions, %q, %v: %+v", len(xs), s.world.changes(), err, x)
	}
	if _, err := s.store.Audit.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}
