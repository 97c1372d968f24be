package console

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"homeostat/internal/signal"
)

// incidentRow is an incident in a list.
type incidentRow struct {
	ID, Title, Entity, State, Tone, Note string
	Opened, Resolved                     time.Time
	Members                              string
}

func newIncidentRow(in signal.Incident) incidentRow {
	r := incidentRow{
		ID: in.ID, Title: in.Title, Entity: string(in.Entity), State: in.State, Tone: tone(in.Severity), Note: in.Note,
		Opened: in.Opened, Resolved: in.Resolved,
	}
	if in.State == "resolved" {
		r.Tone = "calm"
	}
	if n := len(in.Members); n > 0 {
		r.Members = count(n, "finding")
	}
	return r
}

// tone is the colour of a severity.
func tone(s signal.Severity) string {
	switch s {
	case signal.Critical:
		return "critical"
	case signal.Warning:
		return "warning"
	}
	return "calm"
}

// executionRow is an execution in a list.
type executionRow struct {
	ID, Runbook, Entity, Mode, State, Tone, Step, By, Incident string
	Words                                                      string // what happens, in a sentence
	Message                                                    string // what an approval asks
	Answers                                                    []button
	Given                                                      string
	Expires                                                    time.Time
	Began, Ended                                               time.Time
	Took, Verify                                               string
}

func newExecutionRow(x signal.Execution) executionRow {
	r := executionRow{
		ID: x.ID, Runbook: x.Runbook, Entity: string(x.Entity), Mode: string(x.Mode), State: x.State, Step: x.Step, By: x.By,
		Incident: x.Incident, Began: x.Began, Ended: x.Ended, Verify: x.Verify, Tone: stateTone(x.State), Words: executionWords(x),
	}
	if !x.Ended.IsZero() {
		r.Took = length(x.Ended.Sub(x.Began))
	}
	if a := x.Approval; a != nil {
		r.Message, r.Expires = a.Message, a.Expires
		r.Answers = buttonsFor(a.Kind)
		r.Given = strconv.Itoa(len(a.Given)) + " of " + strconv.Itoa(max(a.Needed, 1)) + " given"
	}
	return r
}

// button is how a person answers what an execution asks.
type button struct {
	Verb, Words string
	Retry       bool // do the cut-off change again
	First       bool // what is most often wanted
}

// buttonsFor are the answers to a question of one kind.
func buttonsFor(kind string) []button {
	switch kind {
	case signal.AskResume:
		return []button{{Verb: "continue", Words: "Continue", First: true}, {Verb: "reject", Words: "End it"}}
	case signal.AskOutcome:
		return []button{{Verb: "continue", Words: "It took effect", First: true}, {Verb: "continue", Words: "Do it again", Retry: true}, {Verb: "reject", Words: "It failed"}}
	}
	return []button{{Verb: "approve", Words: "Approve", First: true}, {Verb: "reject", Words: "Reject"}}
}

// stateTone is the colour of an execution's or step's state.
func stateTone(state string) string {
	switch state {
	case signal.Success:
		return "good"
	case signal.Failed, signal.TimedOut:
		return "critical"
	case signal.Refused, signal.Cancelled, signal.Cancelling, signal.Waiting:
		return "warning"
	case signal.InProgress:
		return "active"
	}
	return "calm"
}

// executionWords says in a sentence what an execution does or did.
func executionWords(x signal.Execution) string {
	at := ""
	if x.Step != "" && !strings.HasPrefix(x.Reason, "step "+x.Step) { // of what is within a step the reason says it
		at = " at step " + x.Step
	}
	because := ""
	if x.Reason != "" {
		because = ": " + x.Reason
	}
	would := ""
	if x.Mode == signal.Observe {
		would = " (observe: it only says what it would do)"
	}
	switch x.State {
	case signal.Pending:
		return "is about to begin" + would
	case signal.InProgress:
		return "runs" + at + would
	case signal.Waiting:
		switch {
		case x.Approval == nil:
		case x.Approval.Kind == signal.AskResume:
			return "is paused" + at
		case x.Approval.Kind == signal.AskOutcome:
			return "asks what came of a change that was cut off" + at
		default:
			return "waits for approval" + at
		}
		return "waits" + at + because
	case signal.Success:
		switch {
		case x.Mode == signal.Observe:
			return "said what it would do"
		case x.Verify == "passed":
			return "did its work; verified: the trouble is gone"
		case x.Verify == "failed":
			return "did its work; verify failed: the trouble is not gone"
		case x.Verify == "pending":
			return "did its work; verify looks again"
		}
		return "did its work"
	case signal.Refused:
		return "was refused" + because
	case signal.Failed:
		return "failed" + at + because
	case signal.TimedOut:
		return "ran out of time" + at + because
	case signal.Cancelled, signal.Cancelling:
		return "was cancelled" + because
	}
	return x.State
}

// eventRow is an event in a list.
type eventRow struct {
	ID, Type, Source, Entity, Tone, Words, Incident string
	Time                                            time.Time
}

// told is what details of ours, and many others', have in common. All of it is a stranger's text until it is escaped.
type told struct {
	signal.Head
	Reason  string `json:"reason"`
	Title   string `json:"title"`
	Rule    string `json:"rule"`
	Runbook string `json:"runbook"`
	Outcome string `json:"outcome"`
	Message string `json:"message"`
	Note    string `json:"note"`
}

func newEventRow(e signal.Event) eventRow {
	var d told
	_ = json.Unmarshal(e.Detail, &d) // a detail of another shape has none of these, or some: what was read stands
	r := eventRow{ID: e.ID, Type: e.DetailType, Source: e.Source, Entity: string(d.Entity), Incident: d.Incident, Time: e.Time, Tone: tone(d.Severity)}
	switch e.DetailType {
	case signal.AnomalyEnded, signal.AlertResolved, signal.IncidentResolved, signal.ExecutionSucceeded:
		r.Tone = "good"
	}
	if e.DetailType == signal.IncidentUpdated && d.Note != "" {
		d.Title = d.Note // what is new about it
	}
	if e.DetailType == signal.AlertResolved && d.Rule != "" {
		d.Title = d.Rule + " no longer holds" // its reason says what was wrong
	}
	for _, s := range []string{d.Title, d.Reason, d.Message, d.Outcome, d.Rule} {
		if s != "" {
			r.Words = cutText(s, 240)
			break
		}
	}
	if d.Runbook != "" {
		if r.Words != "" {
			r.Words = d.Runbook + ": " + r.Words
		} else {
			r.Words = d.Runbook
		}
	}
	return r
}

// cutText cuts s to n runes.
func cutText(s string, n int) string {
	rs := []rune(s)
	if len(rs) <= n {
		return s
	}
	return string(rs[:n-1]) + "…"
}

// stageRow is a stage's health.
type stageRow struct {
	Name, State, Rate, Lag, Dropped string
	Ready                           bool
	Says                            bool // it works, and has something to say besides "ok"
}

func (c *Console) stageRows() []stageRow {
	if c.loop.Stages == nil {
		return nil
	}
	var rows []stageRow
	for _, s := range c.loop.Stages.Stages() {
		r := stageRow{Name: s.Name, State: s.State, Ready: s.Ready, Rate: strconv.FormatFloat(s.Rate, 'f', 1, 64) + "/s", Lag: "none", Dropped: "none"}
		switch {
		case s.Rate == 0:
			r.Rate = "quiet"
		case s.Rate < 0.05:
			r.Rate = "under 0.1/s"
		case s.Rate >= 100:
			r.Rate = strconv.FormatFloat(s.Rate, 'f', 0, 64) + "/s"
		}
		if s.Lag > 0.05 {
			r.Lag = length(time.Duration(s.Lag * float64(time.Second)))
		}
		if s.Dropped > 0 {
			r.Dropped = strconv.FormatUint(s.Dropped, 10)
		}
		if r.State == "" {
			r.State = "ok"
		}
		r.Says = r.Ready && r.State != "ok" && !strings.HasPrefix(r.State, "ok,")
		rows = append(rows, r)
	}
	return rows
}

// switchView is the kill switch and how far Homeostat may go.
type switchView struct {
	Known, Paused    bool
	By, Reason       string
	Since            time.Time
	MayPause, MayRun bool
	Mode             string
}

func (c *Console) switchView(ctx context.Context) switchView {
	v := switchView{Mode: string(signal.Least(c.loop.Mode, signal.Auto))}
	if c.loop.Switch == nil {
		return v
	}
	s, err := c.loop.Switch.Paused(ctx)
	if err != nil {
		return v
	}
	a := signal.ActorOf(ctx)
	return switchView{true, s.Paused, s.By, s.Reason, s.Since, a.Role.Allows(signal.Operator), a.Role.Allows(signal.Approver), v.Mode}
}
