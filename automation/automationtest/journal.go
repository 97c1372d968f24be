package automationtest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"homeostat/automation"
)

// Journal tests what Run relies on in a Journal. open returns a new, empty one for each test.
func Journal(t *testing.T, open func(t *testing.T) automation.Journal) {
	now := time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)
	entry := automation.Entry{
		Path: "outer/inner", Action: "aws:runShellScript", State: automation.InProgress, Attempt: 1, Token: "t", Began: now, Tried: now,
		Inputs: map[string]any{"runCommand": []any{"true"}},
	}

	t.Run("unknown", func(t *testing.T) {
		if _, ok, err := open(t).Step(t.Context(), "nothing"); ok || err != nil {
			t.Errorf("an unknown step: %v, %v", ok, err)
		}
	})
	t.Run("keeps", func(t *testing.T) {
		j := open(t)
		if err := j.Intend(t.Context(), entry); err != nil {
			t.Fatal(err)
		}
		got, ok, err := j.Step(t.Context(), entry.Path)
		if !ok || err != nil {
			t.Fatalf("Step after Intend: %v, %v", ok, err)
		}
		if diff := cmp.Diff(entry, got); diff != "" {
			t.Errorf("Intend then Step (-want +got):\n%s", diff)
		}
	})
	t.Run("replaces what is open", func(t *testing.T) {
		j := open(t)
		waiting := entry
		waiting.State, waiting.Until, waiting.Attempt = automation.Waiting, now.Add(time.Hour), 2
		waiting.Approval = &automation.ApprovalRequest{Step: entry.Path, Kind: automation.AskApproval, Message: "May I?", Needed: 2, Approvers: []string{"ana"}, Expires: now.Add(time.Hour)}
		done := waiting
		done.State, done.Outputs, done.Ended, done.Until = automation.Success, map[string]any{"Output": "x"}, now, time.Time{}
		if err := j.Intend(t.Context(), entry); err != nil {
			t.Fatal(err)
		}
		if err := j.Intend(t.Context(), waiting); err != nil {
			t.Fatal(err)
		}
		if got, _, _ := j.Step(t.Context(), entry.Path); !cmp.Equal(waiting, got) {
			t.Errorf("the second Intend (-want +got):\n%s", cmp.Diff(waiting, got))
		}
		if err := j.Outcome(t.Context(), done); err != nil {
			t.Fatal(err)
		}
		if got, _, _ := j.Step(t.Context(), entry.Path); !cmp.Equal(done, got) {
			t.Errorf("Outcome (-want +got):\n%s", cmp.Diff(done, got))
		}
	})
	t.Run("never replaces what has ended", func(t *testing.T) {
		j := open(t)
		done := entry
		done.State, done.Ended = automation.Failed, now
		if err := j.Outcome(t.Context(), done); err != nil { // steps that need no intent have only an outcome
			t.Fatal(err)
		}
		again := done
		again.State = automation.Success
		if err := j.Outcome(t.Context(), again); err == nil {
			t.Error("a second Outcome was taken")
		}
		if err := j.Intend(t.Context(), entry); err == nil {
			t.Error("an Intend after the Outcome was taken")
		}
		if got, _, _ := j.Step(t.Context(), entry.Path); got.State != automation.Failed {
			t.Errorf("the ended step is now %s", got.State)
		}
	})
}
