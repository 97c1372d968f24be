package automation_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"homeostat/automation"
	"homeostat/automation/automationtest"
)

// TestTimeOfAQuestionIsNobodysTime: a person has until the question expires, however short the steps' own times are, and then the
// step has all of its time yet.
func TestTimeOfAQuestionIsNobodysTime(t *testing.T) {
	parse := func(name, text string) *automation.Document {
		t.Helper()
		d, err := automation.Parse(name, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	docs := automationtest.Documents{"Clean": parse("Clean.yaml", `
schemaVersion: "2.2"
mainSteps:
  - {name: clean, action: aws:runShellScript, inputs: {timeoutSeconds: "60", runCommand: [clean]}}
`)}
	doc := parse("Fix.yaml", `
schemaVersion: "0.3"
mainSteps:
  - name: fix
    action: aws:loop
    timeoutSeconds: 120
    inputs:
      MaxIterations: 1
      LoopCondition: {Variable: "{{ fix.CurrentIteration }}", NumericGreaterOrEquals: 9}
      Steps:
        - {name: run, action: aws:runCommand, timeoutSeconds: 90, inputs: {DocumentName: Clean, InstanceIds: [here]}}
`)
	for _, tt := range []struct {
		name     string
		answered bool // by the gate, which then lets the step pass
		takes    time.Duration
		want     string
	}{
		{"answered late", true, time.Hour, automation.Success},
		{"still asked when a crash is over", false, time.Hour, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := errors.New("a person is asked")
				var from, until time.Time
				h := &automationtest.Hands{}
				w := automation.World{Hands: h, Journal: &automation.MemoryJournal{}, Documents: docs, Gate: func(context.Context, automation.Call) error {
					if from.IsZero() {
						from = time.Now()
						return asked
					}
					if !tt.answered {
						return asked
					}
					until = time.Now()
					return nil
				}, Held: func(since time.Time) time.Duration {
					if from.IsZero() {
						return 0
					}
					begin, end := from, time.Now()
					if since.After(begin) {
						begin = since
					}
					if !until.IsZero() {
						end = until
					}
					return max(0, end.Sub(begin))
				}}
				x := automation.Execution{ID: "ex-1", Mode: automation.Auto, Began: time.Now()}
				time.Sleep(time.Second)
				if _, err := automation.Run(t.Context(), doc, x, w); !errors.Is(err, asked) {
					t.Fatal(err)
				}
				time.Sleep(tt.takes)
				r, err := automation.Run(t.Context(), doc, x, w)
				if tt.want == "" {
					if !errors.Is(err, asked) || len(h.Done()) != 0 {
						t.Errorf("%+v, %v, done %v", r, err, h.Done())
					}
					return
				}
				if err != nil || r.State != tt.want || len(h.Done()) != 1 || h.Done()[0].Timeout < 50*time.Second {
					t.Errorf("%+v, %v, done %+v", r, err, h.Done())
				}
			})
		})
	}
}
