package automation

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// runSleep waits until a time. Run never sleeps itself: it records when to go on.
func runSleep(ctx context.Context, f *frame, s Step, e Entry, begun bool) (Entry, error) {
	if begun {
		if time.Now().Before(e.Until) {
			return e, nil
		}
		return f.ended(ctx, e, Success, "")
	}
	in, err := f.inputs(s)
	if err != nil {
		return f.ended(ctx, e, Failed, err.Error())
	}
	e.Inputs = in
	if missing := unknowns(in); len(missing) > 0 {
		e.Note = "would wait for a time that depends on " + strings.Join(missing, ", ")
		return f.ended(ctx, e, Success, "")
	}
	until := e.Began
	if v, ok := in["Duration"]; ok {
		d, err := parseDuration(textOf(v))
		if err != nil {
			return f.ended(ctx, e, Failed, err.Error())
		}
		until = until.Add(d)
	} else if until, err = parseStamp(textOf(in["Timestamp"])); err != nil {
		return f.ended(ctx, e, Failed, err.Error())
	}
	wait := until.Sub(e.Began)
	switch {
	case wait > maxSleep:
		return f.ended(ctx, e, Failed, fmt.Sprintf("%s is too long to wait: 604799 seconds are the most", wait))
	case !f.auto():
		e.Note = fmt.Sprintf("would wait %s", max(wait, 0).Round(time.Second))
		return f.ended(ctx, e, Success, "")
	case wait <= 0:
		return f.ended(ctx, e, Success, "")
	}
	e.Until, e.Note = until, "waits until "+until.UTC().Format(time.RFC3339)
	return f.intend(ctx, e, Waiting)
}

// runApprove waits until enough people have approved, one has rejected, or the time is up.
func runApprove(ctx context.Context, f *frame, s Step, e Entry, begun bool) (Entry, error) {
	if begun {
		return f.decided(ctx, e)
	}
	in, err := f.inputs(s)
	if err != nil {
		return f.ended(ctx, e, Failed, err.Error())
	}
	e.Inputs = in
	ask := &ApprovalRequest{Step: e.Path, Kind: AskApproval, Message: cmp.Or(textOf(in["Message"]), "May the execution go on at step "+e.Path+"?"), Needed: 1, Expires: e.Began.Add(s.Timeout)}
	if list, err := coerce(in["Approvers"], "StringList"); err == nil {
		if l, ok := list.([]any); ok {
			for _, who := range l {
				ask.Approvers = append(ask.Approvers, textOf(who))
			}
		}
	}
	if v, ok := in["MinRequiredApprovals"]; ok {
		n, err := coerce(v, "Integer")
		if count, ok := n.(int64); err == nil && ok && count >= 1 && count <= 10 {
			ask.Needed = int(count)
		} else {
			return f.ended(ctx, e, Failed, fmt.Sprintf("MinRequiredApprovals: 1 to 10 is wanted, not %s", quoted(v)))
		}
	}
	if !f.auto() {
		e.Note = fmt.Sprintf("would ask %s for %d approval(s): %s", strings.Join(ask.Approvers, ", "), ask.Needed, ask.Message)
		e.Outputs = map[string]any{"ApprovalStatus": "Approved", "ApproverDecisions": []any{}}
		return f.ended(ctx, e, Success, "")
	}
	e.Approval, e.Until, e.Note = ask, ask.Expires, "waits for approval: "+ask.Message
	return f.intend(ctx, e, Waiting)
}

func (f *frame) decided(ctx context.Context, e Entry) (Entry, error) {
	ask := *e.Approval
	ask.Given = nil
	var decisions []any
	for _, a := range e.Answers {
		decisions = append(decisions, map[string]any{"Approver": a.Who, "Decision": a.Verb, "Comment": a.Comment, "Time": a.At.UTC().Format(time.RFC3339)})
		switch a.Verb {
		case Reject:
			e.Outputs = map[string]any{"ApprovalStatus": "Rejected", "ApproverDecisions": decisions}
			return f.ended(ctx, e, Failed, withComment("rejected by "+a.Who, a.Comment))
		case Approve:
			if a.At.After(ask.Expires) {
				continue
			}
			if !slices.Contains(ask.Given, a.Who) {
				ask.Given = append(ask.Given, a.Who)
			}
		}
	}
	changed := len(ask.Given) != len(e.Approval.Given)
	e.Approval = &ask
	switch {
	case len(ask.Given) >= ask.Needed:
		e.Outputs = map[string]any{"ApprovalStatus": "Approved", "ApproverDecisions": decisions}
		e.Note = "approved by " + strings.Join(ask.Given, ", ")
		return f.ended(ctx, e, Success, "")
	case !time.Now().Before(ask.Expires):
		return f.ended(ctx, e, TimedOut, "nobody has approved in time")
	case changed:
		return f.intend(ctx, e, Waiting)
	}
	return e, nil
}

// runPause waits until somebody says Resume.
func runPause(ctx context.Context, f *frame, s Step, e Entry, begun bool) (Entry, error) {
	if !begun {
		if !f.auto() {
			e.Note = "would wait until somebody resumes it"
			return f.ended(ctx, e, Success, "")
		}
		e.Approval = &ApprovalRequest{Step: e.Path, Kind: AskResume, Needed: 1, Message: "The execution is paused at " + e.Path + ".", Expires: e.Began.Add(s.Timeout)}
		e.Until, e.Note = e.Approval.Expires, "waits until somebody resumes it"
		return f.intend(ctx, e, Waiting)
	}
	for _, a := range e.Answers {
		switch a.Verb {
		case Resume, Continue, Approve:
			e.Note = "resumed by " + a.Who
			return f.ended(ctx, e, Success, "")
		case Reject:
			return f.ended(ctx, e, Failed, withComment("stopped by "+a.Who, a.Comment))
		}
	}
	if !time.Now().Before(e.Approval.Expires) {
		return f.ended(ctx, e, TimedOut, "nobody has resumed it in time")
	}
	return e, nil
}
