package automation

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// unable says why an execution can't be carried out here at all, before its first step: an action that Hands can't do, a
// document that isn't there. In Observe the plan says so at the step instead.
func (f *frame) unable(ctx context.Context) (string, error) {
	if !f.auto() || len(f.doc.Steps) == 0 {
		return "", nil
	}
	if _, begun, err := f.w.Journal.Step(ctx, f.doc.Steps[0].Name); err != nil || begun {
		return "", err
	}
	return f.unableDocument(f.doc, "", 0), nil
}

// unableDocument looks at the values that a document refers to, and at its steps.
func (f *frame) unableDocument(d *Document, prefix string, depth int) string {
	if able, picky := f.w.Hands.(Able); picky && len(d.stored) > 0 {
		s := storedStep(1, d.stored)
		c := Call{Execution: f.x.ID, Step: prefix + s.Name, Action: s.Action, Inputs: s.Inputs, Timeout: s.Timeout, Account: f.x.Account, Region: f.x.Region}
		if err := able.Able(c); err != nil {
			return fmt.Sprintf("{{ ssm:%s }} can't be read here: %s", d.stored[0], err)
		}
	}
	return f.unableSteps(d, d.Steps, prefix, depth)
}

func (f *frame) unableSteps(d *Document, steps []Step, prefix string, depth int) string {
	able, picky := f.w.Hands.(Able)
	for _, s := range steps {
		path := prefix + s.Name
		c := Call{
			Execution: f.x.ID, Step: path, Action: s.Action, Inputs: s.Inputs, Timeout: s.Timeout, Document: d.Name, Version: d.Version,
			Account: f.x.Account, Region: f.x.Region,
		}
		if d == f.doc {
			c.Inputs = f.foreseen(s.Inputs)
			if role, _, err := resolve(d.AssumeRole, f.lookup); err == nil {
				c.AssumeRole = textOf(role)
			}
		}
		name := textOf(s.Inputs["DocumentName"])
		written := name != "" && !strings.Contains(name, "{{")
		sender, sends := f.w.Hands.(Sender)
		switch {
		case s.Action == "aws:loop":
			if why := f.unableSteps(d, s.Steps, path+"/", depth); why != "" {
				return why
			}
		case (s.Action == "aws:runCommand" && !(sends && sender.Sends(c)) || s.Action == "aws:executeAutomation") && written && depth < maxNested:
			inner, err := f.find(name, textOf(s.Inputs["DocumentVersion"]))
			if errors.Is(err, ErrNoDocument) && sends && sender.Sends(c) {
				continue
			}
			if err != nil {
				return fmt.Sprintf("step %s can't run here: document %s: %s", path, name, err)
			}
			if why := f.unableDocument(inner, path+"/", depth+1); why != "" {
				return why
			}
		case f.actions[s.Action].run == nil && picky && !f.isSkipped(d, s):
			if err := able.Able(c); err != nil {
				return fmt.Sprintf("step %s can't run here: %s", path, err)
			}
		}
	}
	return ""
}

// foreseen resolves in a step's inputs what is known before any step has run; what isn't stays as it is written.
func (f *frame) foreseen(in map[string]any) map[string]any {
	out := make(map[string]any, len(in))
	for name, v := range in {
		out[name] = v
		if r, _, err := resolve(v, f.lookup); err == nil {
			out[name] = r
		}
	}
	return out
}

// isSkipped says that a plugin is for another platform, as far as can be said before the parameters are known.
func (f *frame) isSkipped(d *Document, s Step) bool {
	if d.Type != TypeCommand || strings.Contains(strings.Join(s.Precondition, ""), "{{") {
		return false
	}
	why, err := f.skips(s)
	return err == nil && why != ""
}
