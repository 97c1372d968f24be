package console

import (
	"context"
	"net/http"
	"strings"
	"time"

	"homeostat/internal/signal"
)

// executionsView is the list of executions, newest first.
type executionsView struct {
	Rows   []executionRow
	State  string
	States []choice
	Older  string
	Later  bool
	MayAct bool
}

func (executionsView) title() string { return "Executions" }

func (c *Console) executions(ctx context.Context, r *http.Request) (titled, error) {
	q := r.URL.Query()
	v := executionsView{State: q.Get("state"), Later: q.Get("after") != "", MayAct: signal.ActorOf(ctx).Role.Allows(signal.Approver)}
	v.States = choices("/executions", "state", v.State, "", "all", signal.Waiting, "waiting", signal.InProgress, "in progress",
		signal.Success, "success", signal.Failed, "failed", signal.Refused, "refused")
	if c.loop.Executions == nil {
		return v, nil
	}
	xs, next, err := c.loop.Executions.Executions(ctx, signal.Query{Newest: true, Limit: pageRows, After: q.Get("after"), State: v.State})
	if err != nil {
		return nil, err
	}
	for _, x := range xs {
		v.Rows = append(v.Rows, newExecutionRow(x))
	}
	v.Older = older("/executions", next, "state", v.State)
	return v, nil
}

// executionView is one execution with its steps.
type executionView struct {
	executionRow
	Outcome, Reason    string
	Route, Event       string
	Version            string
	Parameters         []pair
	Outputs            []pair
	Steps              []stepRow
	Asks               bool // it waits for approval
	MayAct             bool
	MayCancel          bool
	Running            bool
	Causes             []string
	VerifyWords, VTone string
}

func (v executionView) title() string { return v.Runbook + " on " + v.Entity }

// stepRow is a step of an execution.
type stepRow struct {
	ID, Name, Action, Effect, State, Tone, Would, Error, Took, Attempt string
	Depth                                                              int // how many documents it is nested in
	Began                                                              time.Time
	Inputs, Outputs                                                    []pair
}

func (c *Console) execution(ctx context.Context, r *http.Request) (titled, error) {
	if c.loop.Executions == nil {
		return nil, errAbsent
	}
	x, err := c.loop.Executions.Execution(ctx, r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	a := signal.ActorOf(ctx)
	v := executionView{
		executionRow: newExecutionRow(x), Outcome: x.Outcome, Reason: x.Reason, Route: x.Route, Event: x.Event, Version: x.Version,
		Parameters: pairs(x.Parameters), Outputs: pairs(x.Outputs), Asks: x.State == signal.Waiting && x.Approval != nil,
		MayAct: a.Role.Allows(signal.Approver), Running: x.Ended.IsZero(), Causes: x.Cause,
	}
	if x.Mode == signal.Observe && strings.HasPrefix(x.Outcome, "would ") {
		v.Words, v.Outcome = x.Outcome, ""
	}
	v.MayCancel = v.Running && x.State != signal.Cancelling && a.Role.Allows(signal.Operator)
	switch x.Verify {
	case "pending":
		v.VerifyWords, v.VTone = "The condition that started it is being looked at again.", "active"
	case "passed":
		v.VerifyWords, v.VTone = "The condition that started it is gone.", "good"
	case "failed":
		v.VerifyWords, v.VTone = "The condition that started it is still there. The incident stays open.", "critical"
	case "skipped":
		v.VerifyWords, v.VTone = "Nothing was changed, so there was nothing to verify.", "calm"
	}
	for _, s := range x.Steps {
		row := stepRow{
			ID: s.ID, Name: s.Name, Action: s.Action, Effect: s.Effect, State: s.State, Tone: stateTone(s.State), Would: s.Would, Error: s.Error,
			Depth: strings.Count(s.Name, "/"), Began: s.Began, Inputs: pairs(s.Inputs), Outputs: pairs(s.Outputs),
		}
		if !s.Ended.IsZero() && !s.Began.IsZero() {
			row.Took = length(s.Ended.Sub(s.Began))
		}
		if s.Attempt > 1 {
			row.Attempt = count(s.Attempt, "attempt")
		}
		v.Steps = append(v.Steps, row)
	}
	return v, nil
}

// pairs lists a map by name; what isn't text is written as JSON.
func pairs(m map[string]any) []pair {
	var out []pair
	for _, k := range sortedKeys(m) {
		s, ok := m[k].(string)
		if !ok {
			s = pretty(m[k])
		}
		out = append(out, pair{k, cutText(s, 20000)})
	}
	return out
}
