package runbook

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"homeostat/internal/signal"
)

// never are settings with which verify fails soon.
func never() Config {
	c := quick()
	c.VerifyTimeout, c.Guards.Cooldown = 60*time.Millisecond, time.Nanosecond
	return c
}

func stays() (bool, string, error) { return true, "HighCPU fires", nil }

func TestTwoFailedVerificationsMakeItAsk(t *testing.T) {
	t.Parallel()
	s := startTest(t, never(), stays)
	for n, incident := range []string{"in-1", "in-2"} {
		x := s.await(t, s.mustFire(t, alert(n, incident), Target{Runbook: "Fix", Mode: signal.Auto}), ended)
		if x.Mode != signal.Auto || x.Verify != "failed" {
			t.Fatalf("%+v", x)
		}
		if told := strings.Contains(x.Reason, "asks before it acts on host:h again"); told != (n == 1) {
			t.Errorf("after %d: %q", n+1, x.Reason)
		}
	}
	id := s.mustFire(t, alert(3, "in-3"), Target{Runbook: "Fix", Mode: signal.Auto})
	if x := s.await(t, id, waiting); x.Mode != signal.Approve {
		t.Errorf("%+v", x)
	}
	b, err := s.Runbook(t.Context(), "Fix")
	if err != nil || len(b.Held) != 1 || b.Held[0].Failed != 2 || b.Held[0].Entity != "host:h" {
		t.Errorf("%+v, %v", b.Held, err)
	}
	if err := s.Reset(t.Context(), "Fix", "host:other", "ana", ""); !errors.Is(err, signal.ErrConflict) {
		t.Errorf("reset elsewhere: %v", err)
	}
	if err := s.Reset(t.Context(), "None", "host:h", "ana", ""); !errors.Is(err, signal.ErrNotFound) {
		t.Errorf("reset of nothing: %v", err)
	}
	if err := s.Reset(t.Context(), "Fix", "host:h", "ana", "mended"); err != nil {
		t.Fatal(err)
	}
	if x := s.await(t, s.mustFire(t, alert(4, "in-4"), Target{Runbook: "Fix", Mode: signal.Auto}), ended); x.Mode != signal.Auto {
		t.Errorf("after the reset: %+v", x)
	}
}

func TestFailedVerificationIsRolledBack(t *testing.T) {
	t.Parallel()
	s := startTest(t, never(), stays)
	id := s.mustFire(t, alert(1, "in-1"), Target{Runbook: "Swap", Mode: signal.Auto})
	s.await(t, id, ended)
	back := s.await(t, signal.MakeID(signal.KindExecution, id, "rollback"), ended)
	if back.State != signal.Success || back.Runbook != "Swap-Rollback" || back.By != "rollback of Swap" || back.Incident != "in-1" || back.Verify != "" {
		t.Errorf("%+v", back)
	}
	if back.Outcome != "changed was it was looked at on host:h" || back.Cause[0] != id {
		t.Errorf("it wasn't told what to go back to: %+v", back)
	}
	if got := s.world.changes(); len(got) != 2 {
		t.Errorf("changes: %q", got)
	}
}

func TestNothingToDoUsesNothingUp(t *testing.T) {
	t.Parallel()
	s := startTest(t, quick(), gone)
	for n := range 2 { // of one incident, within the cooldown
		x := s.await(t, s.mustFire(t, alert(n, "in-1"), Target{Runbook: "Idle", Mode: signal.Auto}), ended)
		if x.State != signal.Success || x.Outcome != "left it alone" || x.Verify != "" {
			t.Errorf("%d: %+v", n, x)
		}
		if told := s.told(t, x.ID); len(told) != 2 {
			t.Errorf("an action was told of: %q", told)
		}
	}
}

func TestNobodyApprovesWhatTheyAskedFor(t *testing.T) {
	t.Parallel()
	s := startTest(t, quick(), gone)
	id, err := s.StartRunbook(t.Context(), signal.Start{Runbook: "Fix", Entity: "host:h", Mode: signal.Approve, By: "ana"})
	if err != nil {
		t.Fatal(err)
	}
	s.await(t, id, waiting)
	if err := s.Approve(t.Context(), id, "ana", ""); !errors.Is(err, signal.ErrConflict) {
		t.Errorf("%v", err)
	}
	if err := s.Approve(t.Context(), id, "ben", ""); err != nil {
		t.Error(err)
	}
	if x := s.await(t, id, ended); x.State != signal.Success {
		t.Errorf("%+v", x)
	}
}

// TestApprovedAfterTheStepsTime: a step's timeoutSeconds are not the person's, who has until the question expires.
func TestApprovedAfterTheStepsTime(t *testing.T) {
	t.Parallel()
	s := startTest(t, quick(), gone)
	id := s.mustFire(t, alert(1, "in-1"), Target{Runbook: "Shell", Mode: signal.Approve})
	s.await(t, id, waiting)
	entries, err := entriesOf(t.Context(), s.need.DB, id)
	if err != nil || len(entries) < 2 {
		t.Fatal(entries, err)
	}
	for _, e := range entries { // as if all of this had been two hours ago; the step has ten minutes
		e.Began, e.Tried = e.Began.Add(-2*time.Hour), e.Tried.Add(-2*time.Hour)
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.need.DB.ExecContext(t.Context(), `UPDATE steps SET entry = $1 WHERE execution = $2 AND path = $3`, string(text), id, e.Path); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Approve(t.Context(), id, "ben", ""); err != nil {
		t.Fatal(err)
	}
	if x := s.await(t, id, ended); x.State != signal.Success || x.Outcome == "" {
		t.Errorf("%+v", x)
	}
}

func TestRoutesGuardsHold(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "freeze.ics")
	put := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(ics("DEFAULT_OPEN"))
	c := quick()
	c.Guards.Cooldown = time.Nanosecond
	c.Route = map[string]map[string]signal.Guards{"r": {"Fix": {Freezes: []string{file}, Approvers: []string{"ana", "ben", "cat"}, Approvals: 2}}}
	s := startTest(t, c, gone)

	id := s.mustFire(t, alert(1, "in-1"), Target{Runbook: "Fix", Mode: signal.Approve})
	if x := s.await(t, id, waiting); x.Approval.Needed != 2 || len(x.Approval.Approvers) != 3 {
		t.Errorf("%+v", x.Approval)
	}
	if err := s.Approve(t.Context(), id, "dan", ""); !errors.Is(err, signal.ErrConflict) {
		t.Errorf("dan isn't among them: %v", err)
	}
	for range 2 { // the same person twice is one
		if err := s.Approve(t.Context(), id, "ana", ""); err != nil {
			t.Fatal(err)
		}
	}
	x := s.await(t, id, func(x signal.Execution) bool { return x.Approval != nil && len(x.Approval.Given) == 1 })
	if ended(x) || len(s.world.changes()) != 0 {
		t.Errorf("one of two was enough: %+v", x)
	}
	if err := s.Approve(t.Context(), id, "cat", "me too"); err != nil {
		t.Fatal(err)
	}
	if x = s.await(t, id, ended); x.State != signal.Success || x.Steps[1].Note != "approved by ana and cat: me too" {
		t.Errorf("%+v", x)
	}

	put(ics("DEFAULT_CLOSED"))
	for n, mode := range []signal.Mode{signal.Auto, signal.Observe} {
		x := s.await(t, s.mustFire(t, alert(10+n, fmt.Sprint("in-", 10+n)), Target{Runbook: "Fix", Mode: mode}), ended)
		if x.State != signal.Refused || !strings.Contains(x.Reason, "there is a freeze: it is closed") {
			t.Errorf("%s: %+v", mode, x)
		}
		if told := s.told(t, x.ID); told[len(told)-1] != signal.ExecutionRefused {
			t.Errorf("%q", told)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if x := s.await(t, s.mustFire(t, alert(20, "in-20"), Target{Runbook: "Fix", Mode: signal.Auto}), ended); x.State != signal.Refused || !strings.Contains(x.Reason, "can't be known") {
		t.Errorf("a freeze that isn't there: %+v", x)
	}
	if got := s.world.changes(); len(got) != 1 {
		t.Errorf("changes: %q", got)
	}
}

func TestLinkAnswersOnceForItsPerson(t *testing.T) {
	t.Parallel()
	c := quick()
	c.Guards = signal.Guards{Cooldown: time.Nanosecond, Approvers: []string{"ana", "ben"}, Approvals: 2}
	c.LinksTo = map[string]string{"pager": "ana", "chat": "dan"}
	s := startTest(t, c, gone)
	id := s.mustFire(t, alert(1, "in-1"), Target{Runbook: "Fix", Mode: signal.Approve})
	x := s.await(t, id, waiting)
	link := s.Link(x, "pager")
	if link == "" || s.Link(x, "ops") != "" || s.Link(x, "chat") != "" {
		t.Fatalf("links: %q, %q, %q", link, s.Link(x, "ops"), s.Link(x, "chat"))
	}
	if got, who, err := s.Asked(t.Context(), link); err != nil || who != "ana" || got.ID != id || got.Approval == nil {
		t.Errorf("%+v, %q, %v", got, who, err)
	}
	if x = s.await(t, id, waiting); len(x.Approval.Given) != 0 {
		t.Error("to open it was to answer")
	}
	payload, sum, _ := strings.Cut(link, ".")
	flip := func(b string) string { return string(b[0]^1) + b[1:] }
	for _, bad := range []string{"", ".", "x.y", payload, flip(payload) + "." + sum, payload + "." + flip(sum), payload + "." + sum + "A"} {
		if err := s.AnswerLink(t.Context(), bad, true, ""); !errors.Is(err, signal.ErrNotFound) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if err := s.AnswerLink(t.Context(), link, true, ""); err != nil {
		t.Fatal(err)
	}
	for _, approve := range []bool{true, false} {
		if err := s.AnswerLink(t.Context(), link, approve, ""); !errors.Is(err, signal.ErrNotFound) {
			t.Errorf("a second time: %v", err)
		}
	}
	if err := s.Approve(t.Context(), id, "ben", ""); err != nil {
		t.Fatal(err)
	}
	if x = s.await(t, id, ended); x.State != signal.Success {
		t.Errorf("%+v", x)
	}
	if _, _, err := s.Asked(t.Context(), link); !errors.Is(err, signal.ErrNotFound) {
		t.Errorf("after its end: %v", err)
	}
}
