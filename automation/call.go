package automation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// runHands runs a step that goes to Hands as it is.
func runHands(ctx context.Context, f *frame, s Step, e Entry, begun bool) (Entry, error) {
	in, err := f.inputs(s)
	if err != nil {
		return f.ended(ctx, e, Failed, err.Error())
	}
	e.Inputs = in
	return f.call(ctx, s, e, begun, f.callOf(s, e))
}

// callOf makes the call of a step whose inputs are resolved.
func (f *frame) callOf(s Step, e Entry) Call {
	c := Call{Execution: f.x.ID, Step: e.Path, Token: e.Token, Attempt: e.Attempt, Action: s.Action, Inputs: e.Inputs, Timeout: s.Timeout, Account: f.x.Account, Region: f.x.Region}
	if s.Action == "aws:executeScript" {
		c.Document, c.Version = f.doc.Name, f.doc.Version
	}
	if role, _, err := resolve(f.doc.AssumeRole, f.lookup); err == nil {
		c.AssumeRole = textOf(role)
	}
	return c
}

// call makes one call of Hands, whatever the journal says about it: never twice once it has ended, never blindly again.
func (f *frame) call(ctx context.Context, s Step, e Entry, begun bool, c Call) (Entry, error) {
	if effect := f.w.Hands.Effect(c); !begun || effect == Changing {
		e.Effect = effect
	}
	if !f.auto() {
		return f.tell(ctx, s, e, begun, c)
	}
	if begun {
		again, e, err := f.resume(ctx, s, e, c)
		if err != nil || !again {
			return e, err
		}
		return f.try(ctx, s, e, c)
	}
	return f.try(ctx, s, e, c)
}

// try makes attempts until one succeeds, has to wait, or none is left.
func (f *frame) try(ctx context.Context, s Step, e Entry, c Call) (Entry, error) {
	for {
		if e.Effect == Changing && f.w.Gate != nil {
			c.Attempt = e.Attempt
			if err := f.w.Gate(ctx, c); errors.Is(err, ErrRefused) {
				return f.ended(ctx, e, Refused, err.Error())
			} else if err != nil {
				return e, fmt.Errorf("gate, step %s: %w", e.Path, err)
			}
		}
		if e.State != Waiting || e.Approval != nil {
			e.Tried = time.Now() // a condition that is waited for is one attempt, however often it is looked at
		}
		e.Until, e.Approval, e.Heard, e.Note = time.Time{}, nil, len(e.Answers), ""
		var err error
		if e, err = f.intend(ctx, e, InProgress); err != nil {
			return e, err
		}
		out, err := f.do(ctx, s, e, &c)
		var again bool
		if again, e, err = f.came(ctx, s, e, out, err); err != nil || !again {
			return e, err
		}
	}
}

// do calls Hands under the step's time-out.
func (f *frame) do(ctx context.Context, s Step, e Entry, c *Call) (map[string]any, error) {
	c.Attempt = e.Attempt
	if s.Timeout > 0 {
		due := f.due(s, e)
		c.Timeout = time.Until(due)
		var stop context.CancelFunc
		ctx, stop = context.WithDeadlineCause(ctx, due, errStepTime)
		defer stop()
	}
	out, err := f.w.Hands.Do(ctx, *c)
	if err != nil && context.Cause(ctx) == errStepTime && !errors.Is(err, errStepTime) {
		err = fmt.Errorf("%w: %w", errStepTime, err)
	}
	return out, err
}

var errStepTime = errors.New("the step's time was up")

// came records what came of an attempt. again: another attempt is due, and e is ready for it.
func (f *frame) came(ctx context.Context, s Step, e Entry, out map[string]any, err error) (again bool, _ Entry, _ error) {
	if err == nil {
		if e.State == Waiting {
			e.Note = "" // how far it was
		}
		e, err = f.succeeded(ctx, s, e, out)
		return false, e, err
	}
	if pending, ok := errors.AsType[*Again](err); ok {
		if !f.overdue(s, e) {
			e.Until = time.Now().Add(cmp.Or(pending.After, 15*time.Second))
			if due := f.due(s, e); s.Timeout > 0 && due.Before(e.Until) {
				e.Until = due
			}
			e.Note = pending.State
			e, err = f.intend(ctx, e, Waiting)
			return false, e, err
		}
		err = fmt.Errorf("%w: %s", errStepTime, pending.State)
	}
	if ctx.Err() != nil && !errors.Is(err, errStepTime) {
		cause := context.Cause(ctx)
		if errors.Is(cause, ErrCancel) {
			f.cancel = cmp.Or(f.cancel, cause.Error())
			e.Outputs = out
			e, err = f.ended(ctx, e, Cancelled, f.cancel+": "+err.Error())
			return false, e, err
		}
		if f.cancelAt.IsZero() || !errors.Is(cause, context.DeadlineExceeded) {
			return false, e, fmt.Errorf("step %s was cut off: %w", e.Path, cause) // no outcome: the next Run finds out
		}
	}
	state := Failed
	if errors.Is(err, errStepTime) {
		state = TimedOut
	}
	if e.Attempt < s.MaxAttempts {
		e.Attempt++
		return true, e, nil
	}
	e.Outputs = f.response(s, out)
	e, err = f.ended(ctx, e, state, err.Error())
	return false, e, err
}

// succeeded records a success with the outputs that the step declares.
func (f *frame) succeeded(ctx context.Context, s Step, e Entry, out map[string]any) (Entry, error) {
	e.Outputs = f.response(s, out)
	return f.ended(ctx, e, Success, "")
}

// response is what is kept of a response: the declared outputs, and the rest of it unless it is an API's, which can be large.
func (f *frame) response(s Step, out map[string]any) map[string]any {
	if out == nil {
		return nil
	}
	whole, _ := normal(out).(map[string]any)
	kept := map[string]any{}
	if len(s.Outputs) == 0 || !f.actions[s.Action].open {
		kept = whole
	}
	for _, o := range s.Outputs {
		p, err := parsePath(o.Selector)
		if err != nil {
			continue // Parse has accepted it
		}
		v, ok := p.find(whole)
		if !ok {
			if inner, is := whole["Payload"].(map[string]any); is {
				v, ok = p.find(inner)
			}
		}
		if !ok || v == nil {
			continue
		}
		if o.Type != "" {
			if c, err := coerce(v, o.Type); err == nil {
				v = c
			}
		}
		kept[o.Name] = v
	}
	return kept
}

// resume takes up a call that the journal has as begun. again: it is to be made now.
func (f *frame) resume(ctx context.Context, s Step, e Entry, c Call) (again bool, _ Entry, _ error) {
	if e.State == Waiting && e.Approval != nil {
		return f.answered(ctx, s, e)
	}
	if e.State == Waiting && time.Now().Before(e.Until) {
		return false, e, nil
	}
	if e.Effect == Reading {
		return true, e, nil
	}
	out, err := f.w.Hands.LookUp(ctx, c)
	_, goesOn := errors.AsType[*Again](err)
	switch {
	case errors.Is(err, ErrNotDone):
		return true, e, nil
	case err == nil, goesOn, errors.Is(err, ErrFailed):
		return f.came(ctx, s, e, out, err)
	case ctx.Err() != nil:
		return false, e, context.Cause(ctx)
	}
	e.Approval = &ApprovalRequest{
		Step: e.Path, Kind: AskOutcome, Needed: 1,
		Message: fmt.Sprintf("Step %s (%s) was cut off, and whether it took effect is not known: %v. Answer %s if it did, %s to do it again, %s to take it as failed.",
			e.Path, e.Action, err, Continue, Retry, Reject),
	}
	e.Note, e.Until = e.Approval.Message, time.Time{}
	e, err = f.intend(ctx, e, Waiting)
	return false, e, err
}

// answered acts on what a person said about a call that was cut off.
func (f *frame) answered(ctx context.Context, s Step, e Entry) (again bool, _ Entry, _ error) {
	for _, a := range e.Answers[min(e.Heard, len(e.Answers)):] {
		var err error
		switch a.Verb {
		case Continue, Approve, Resume:
			e.Note = a.Who + " says that it took effect"
			e, err = f.ended(ctx, e, Success, "")
			return false, e, err
		case Retry:
			return true, e, nil
		case Reject:
			e, err = f.ended(ctx, e, Failed, withComment(a.Who+" says that it failed", a.Comment))
			return false, e, err
		}
	}
	return false, e, nil
}

func withComment(text, comment string) string {
	if comment == "" {
		return text
	}
	return text + ": " + comment
}

// tell is what is done in Observe: a reading call whose inputs are known is made, any other only told.
func (f *frame) tell(ctx context.Context, s Step, e Entry, begun bool, c Call) (Entry, error) {
	if able, ok := f.w.Hands.(Able); ok {
		if err := able.Able(c); err != nil {
			e.Would = "do nothing: " + err.Error() // it can't be run here
			return f.ended(ctx, e, Success, "")
		}
	}
	missing := unknowns(c.Inputs)
	if e.Effect == Reading && len(missing) == 0 {
		return f.read(ctx, s, e, c)
	}
	would, err := f.w.Hands.Would(ctx, c)
	switch {
	case ctx.Err() != nil:
		return e, context.Cause(ctx)
	case err != nil && len(missing) == 0:
		return f.ended(ctx, e, Failed, "it would fail: "+err.Error())
	case err != nil:
		would = "can't be told yet: " + err.Error()
	}
	e.Would = cmp.Or(would, s.Action)
	if len(missing) > 0 {
		e.Note = "depends on " + strings.Join(missing, ", ")
	}
	if e.Effect == Changing && f.w.Gate != nil {
		if err := f.w.Gate(ctx, c); err != nil {
			e.Note = strings.TrimPrefix(e.Note+"; a guard would refuse it now: "+err.Error(), "; ")
		}
	}
	return f.ended(ctx, e, Success, "")
}

// read makes a reading call in Observe. Nothing has been changed, so what it would wait for is not waited for.
func (f *frame) read(ctx context.Context, s Step, e Entry, c Call) (Entry, error) {
	for {
		var err error
		if e, err = f.intend(ctx, e, InProgress); err != nil {
			return e, err
		}
		out, err := f.do(ctx, s, e, &c)
		if pending, ok := errors.AsType[*Again](err); ok {
			e.Would = "wait: now " + pending.State
			return f.ended(ctx, e, Success, "")
		}
		var again bool
		if again, e, err = f.came(ctx, s, e, out, err); err != nil || !again {
			return e, err
		}
	}
}
