package automation

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// find returns the document that a step names: one that the package brings along, or the caller's.
func (f *frame) find(name, version string) (*Document, error) {
	if w := f.w.Documents; w != nil {
		d, err := w.Document(name, version)
		if err == nil || !errors.Is(err, ErrNoDocument) || builtin(name) == nil {
			return d, err
		}
	}
	if d, ok := f.brought[name]; ok {
		return d, nil
	}
	if text := builtin(name); text != nil {
		d, err := Parse(name+".json", text)
		if err == nil {
			f.brought[name] = d
		}
		return d, err
	}
	return nil, fmt.Errorf("%w: %s", ErrNoDocument, name)
}

// documentOf finds the document of a step and notes it in the entry, so that the execution keeps the text that it began with.
func (f *frame) documentOf(e *Entry, in map[string]any, typ string, begun bool) (*Document, error) {
	name, version := textOf(in["DocumentName"]), textOf(in["DocumentVersion"])
	if begun {
		name, version = e.Document, e.Version
	}
	d, err := f.find(name, version)
	if err != nil {
		return nil, fmt.Errorf("document %s: %w", name, err)
	}
	if d.Type != typ {
		return nil, fmt.Errorf("document %s is of type %s, and %s is wanted", name, d.Type, typ)
	}
	e.Document, e.Version = name, d.Version
	return d, nil
}

// bindStep binds what a step gives to a document's parameters. Systems Manager's API has every value in a list, so a list of
// one is taken for a single value. clean are the parameters to which nothing tainted was given.
func (f *frame) bindStep(d *Document, given any) (params map[string]any, clean map[string]bool, err error) {
	values, clean, err := f.given(given)
	if err != nil {
		return nil, nil, err
	}
	params, err = d.Bind(single(d, values))
	return params, clean, err
}

func single(d *Document, given map[string]any) map[string]any {
	out := make(map[string]any, len(given))
	for name, v := range given {
		if l, ok := v.([]any); ok && len(l) == 1 {
			if q, declared := d.Parameter(name); declared && !isList(q.Type) {
				v = l[0]
			}
		}
		out[name] = v
	}
	return out
}

// runAutomation runs another Automation document within this execution.
func runAutomation(ctx context.Context, f *frame, s Step, e Entry, begun bool) (Entry, error) {
	in, err := f.inputs(s)
	if err != nil {
		return f.ended(ctx, e, Failed, err.Error())
	}
	e.Inputs = in
	rated := false
	for _, name := range []string{"Targets", "TargetMaps", "TargetLocations", "TargetLocationsURL"} {
		if _, ok := in[name]; ok {
			rated = true
		}
	}
	if c := f.callOf(s, e); rated && !f.targetsHere(in) || !(begun && e.Document != "") && f.sends(c) {
		return f.call(ctx, s, e, begun, c)
	}
	if f.depth+1 >= maxNested {
		return f.ended(ctx, e, Failed, fmt.Sprintf("documents start documents %d levels deep; no more are allowed", maxNested))
	}
	if _, ok := in["DocumentName"].(Unknown); ok {
		e.Would = "run " + textOf(in["DocumentName"])
		return f.ended(ctx, e, Success, "")
	}
	d, err := f.documentOf(&e, in, TypeAutomation, begun)
	if err != nil {
		return f.ended(ctx, e, Failed, err.Error())
	}
	if rated {
		return f.runTargets(ctx, s, e, begun, d)
	}
	params, clean, err := f.bindStep(d, s.Inputs["RuntimeParameters"])
	if err != nil {
		return f.ended(ctx, e, Failed, err.Error())
	}
	return f.contained(ctx, s, e, begun, func(ctx context.Context, prefix string, e *Entry) (end, error) {
		g := f.frame(d, prefix, params, clean)
		g.depth = f.depth + 1
		done, err := g.walk(ctx, d.Steps)
		if err != nil || done.wait != nil {
			return done, err
		}
		e.Effect = effectOf(g)
		outs := g.documentOutputs()
		list := []any{}
		for _, name := range d.Outputs {
			if inner, ok := outs[name].([]any); ok {
				list = append(list, inner...)
			} else if v, ok := outs[name]; ok {
				list = append(list, v)
			}
		}
		e.Outputs = map[string]any{"Output": list, "ExecutionId": f.x.ID + "/" + strings.TrimSuffix(prefix, "/"), "Status": done.state}
		return done, nil
	})
}

// sends says that Hands carry out aws:executeAutomation themselves: they do so for documents that the execution hasn't.
func (f *frame) sends(c Call) bool {
	sender, ok := f.w.Hands.(Sender)
	if !ok || !sender.Sends(c) {
		return false
	}
	_, err := f.find(textOf(c.Inputs["DocumentName"]), textOf(c.Inputs["DocumentVersion"]))
	return errors.Is(err, ErrNoDocument)
}

// contained runs what a step contains, attempt after attempt, and records the step's own end. The steps within have their own
// entries, so this one needs no looking up after a crash.
func (f *frame) contained(ctx context.Context, s Step, e Entry, begun bool, body func(ctx context.Context, prefix string, e *Entry) (end, error)) (Entry, error) {
	if !begun {
		var err error
		if e, err = f.intend(ctx, e, InProgress); err != nil {
			return e, err
		}
	}
	for {
		prefix := e.Path + "/"
		if e.Attempt > 1 {
			prefix = fmt.Sprintf("%s#%d/", e.Path, e.Attempt)
		}
		done, err := f.within(ctx, s, e, prefix, &e, body)
		switch {
		case errors.Is(err, errStepTime) && ctx.Err() == nil:
			done = end{state: TimedOut, reason: errStepTime.Error()}
		case err != nil:
			return e, err
		case done.wait != nil && f.overdue(s, e) && !asksOutcome(*done.wait):
			// What it waits for has taken too long: the wait ends with the step.
			if _, err := f.ended(ctx, *done.wait, TimedOut, errStepTime.Error()); err != nil {
				return e, err
			}
			done = end{state: TimedOut, step: done.wait.Path, reason: errStepTime.Error()}
		case done.wait != nil:
			w := *done.wait
			if s.Timeout > 0 && !asksOutcome(w) {
				if due := f.due(s, e); w.Until.IsZero() || due.Before(w.Until) {
					w.Until = due
				}
			}
			return w, nil
		}
		switch {
		case done.state == Success || done.state == Cancelled || done.state == Refused || e.Attempt >= s.MaxAttempts:
			why := done.reason
			if done.state != Success && done.step != "" {
				why = fmt.Sprintf("step %s: %s", done.step, done.reason)
			}
			return f.ended(ctx, e, done.state, why)
		}
		e.Attempt++
		e.Tried = time.Now()
		if e, err = f.intend(ctx, e, InProgress); err != nil {
			return e, err
		}
	}
}

// asksOutcome says that a person is asked what came of a changing call: no time-out may decide that.
func asksOutcome(e Entry) bool { return e.Approval != nil && e.Approval.Kind == AskOutcome }

func (f *frame) overdue(s Step, e Entry) bool {
	return s.Timeout > 0 && !time.Now().Before(f.due(s, e))
}

// due is when the present attempt's time is up.
func (f *frame) due(s Step, e Entry) time.Time {
	t := e.Tried.Add(s.Timeout)
	if f.w.Held != nil {
		t = t.Add(f.w.Held(e.Tried))
	}
	return t
}

// within runs the body under the step's time-out.
func (f *frame) within(ctx context.Context, s Step, e Entry, prefix string, out *Entry, body func(context.Context, string, *Entry) (end, error)) (end, error) {
	if s.Timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithDeadlineCause(ctx, f.due(s, e), errStepTime)
		defer stop()
	}
	return body(ctx, prefix, out)
}

// effectOf is the effect of the steps that a frame ran, for the record of the step that contains them.
func effectOf(f *frame) Effect {
	if f.changes {
		return Changing
	}
	return Reading
}
