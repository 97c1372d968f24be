package automation

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// runBranch decides which step follows: the first choice that is true, else the default, else the next one. In Observe a
// choice may depend on a step that was not done; then every way is followed that might be taken.
func runBranch(ctx context.Context, f *frame, s Step, e Entry, _ bool) (Entry, error) {
	next := following(f.steps, slices.IndexFunc(f.steps, func(t Step) bool { return t.Name == s.Name }))
	why := "no choice is true"
	if v, ok := s.Inputs["Default"]; ok {
		next = textOf(v)
	}
	var maybe, open []string
	choices, _ := s.Inputs["Choices"].([]any)
	for _, c := range choices {
		choice, _ := c.(map[string]any)
		t, compared, err := evaluate(choice, f.lookup)
		if err != nil {
			return f.ended(ctx, e, Failed, err.Error())
		}
		to := textOf(choice["NextStep"])
		if t == isUnknown {
			maybe = append(maybe, to)
			open = append(open, fmt.Sprintf("%s, if %s", to, compared))
			continue
		}
		if t == isTrue {
			next, why = to, compared
			break
		}
	}
	e.Next, e.Note = next, why
	if len(maybe) > 0 {
		e.Next, e.Maybe = maybe[0], append(maybe[1:], next)
		e.Note = "can't be decided yet; might go to " + strings.Join(open, "; to ") + "; else to " + orEnd(next)
	}
	return f.ended(ctx, e, Success, "")
}

func orEnd(step string) string {
	if step == "" {
		return "the end"
	}
	return step
}

// runUpdateVariable gives a variable a value. It changes nothing but the execution, so it is done in Observe too.
func runUpdateVariable(ctx context.Context, f *frame, s Step, e Entry, _ bool) (Entry, error) {
	in, err := f.inputs(s)
	if err != nil {
		return f.ended(ctx, e, Failed, err.Error())
	}
	e.Inputs = in
	name := strings.TrimPrefix(textOf(in["Name"]), "variable:")
	i := slices.IndexFunc(f.doc.Variables, func(q Parameter) bool { return q.Name == name })
	if i < 0 {
		return f.ended(ctx, e, Failed, fmt.Sprintf("the document declares no variable %q", name))
	}
	v, err := coerce(in["Value"], f.doc.Variables[i].Type)
	if err == nil && len(unknowns(v)) == 0 {
		err = f.doc.Variables[i].check(v)
	}
	if err != nil {
		return f.ended(ctx, e, Failed, fmt.Sprintf("variable %s: %s", name, err))
	}
	e.Outputs = map[string]any{"Value": v}
	return f.ended(ctx, e, Success, "")
}
