package automation

import (
	"fmt"
	"go/token"
	"slices"
	"strings"
)

// Way is one way from a step to another.
type Way struct {
	From string
	To   string // "" is the end
	When string // "" after success; else "failure", "cancel", or a choice in words
}

// Ways lists all ways between the steps of a list, in the steps' order: the graph that consoles draw.
func Ways(steps []Step) []Way {
	var all []Way
	for i := range steps {
		all = append(all, waysFrom(steps, i)...)
	}
	return all
}

func waysFrom(steps []Step, i int) []Way {
	s := steps[i]
	var ways []Way
	switch {
	case s.Action == "aws:branch":
		choices, _ := s.Inputs["Choices"].([]any)
		for _, c := range choices {
			if m, ok := c.(map[string]any); ok {
				ways = append(ways, Way{From: s.Name, To: textOf(m["NextStep"]), When: conditionText(m)})
			}
		}
		if to, ok := s.Inputs["Default"]; ok {
			ways = append(ways, Way{From: s.Name, To: textOf(to), When: "otherwise"})
		} else {
			ways = append(ways, Way{From: s.Name, To: following(steps, i), When: "otherwise"})
		}
	default:
		ways = append(ways, Way{From: s.Name, To: following(steps, i)})
	}
	if s.OnFailure == "Continue" {
		ways = append(ways, Way{From: s.Name, To: following(steps, i), When: "failure"})
	}
	if to, ok := strings.CutPrefix(s.OnFailure, "step:"); ok && !s.IsEnd {
		ways = append(ways, Way{From: s.Name, To: to, When: "failure"})
	}
	if to, ok := strings.CutPrefix(s.OnCancel, "step:"); ok {
		ways = append(ways, Way{From: s.Name, To: to, When: "cancel"})
	}
	return ways
}

// following is the step after steps[i] when nothing else is decided, "" at the end.
func following(steps []Step, i int) string {
	switch s := steps[i]; {
	case s.IsEnd:
		return ""
	case s.NextStep != "":
		return s.NextStep
	case i+1 < len(steps):
		return steps[i+1].Name
	}
	return ""
}

// checkNames refuses names that are there twice, in loops too: their outputs could not be told apart.
func (p *parser) checkNames(list node, sc *stepScope) {
	for i, s := range sc.steps {
		if s.Name == "" {
			continue
		}
		pos := placeOf(list.items[i], "name")
		if first, ok := p.stepNames[s.Name]; ok {
			p.errorf(pos, "a second step %q (first in line %d)", s.Name, first.Line)
			continue
		}
		if p.stepNames == nil {
			p.stepNames = map[string]token.Position{}
		}
		p.stepNames[s.Name] = pos
	}
}

// placeOf is where a field's value is, or the node itself when there is no such field.
func placeOf(n node, keys ...string) token.Position {
	for _, key := range keys {
		v, ok := n.get(key)
		if !ok {
			break
		}
		n = v
	}
	return n.pos
}

// checkWays refuses ways to steps that don't exist and ways that go round in a circle, and finds which step can come after
// which.
func (p *parser) checkWays(list node, sc *stepScope) {
	n := len(sc.steps)
	next := make([][]int, n)
	for i, s := range sc.steps {
		for _, w := range waysFrom(sc.steps, i) {
			if w.To == "" {
				continue
			}
			to := sc.index(w.To)
			if to < 0 {
				p.errorf(wayPlace(list.items[i], s, w), "step %q goes to step %q, which %s does not have%s", s.Name, w.To, sc.what(), didYouMean(w.To, sc.names()))
				continue
			}
			if a := sc.steps[to].Action; w.When == "cancel" && p.actions[a].noCancel {
				p.errorf(wayPlace(list.items[i], s, w), "step %q: onCancel can't lead to step %q, which is %s", s.Name, w.To, a)
			}
			if !slices.Contains(next[i], to) {
				next[i] = append(next[i], to)
			}
		}
	}
	sc.reach = make([][]bool, n)
	for i := range n {
		sc.reach[i] = make([]bool, n)
		todo := slices.Clone(next[i])
		for len(todo) > 0 {
			j := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			if !sc.reach[i][j] {
				sc.reach[i][j] = true
				todo = append(todo, next[j]...)
			}
		}
	}
	for i, s := range sc.steps {
		for _, w := range waysFrom(sc.steps, i) {
			// A circle has at least one way that goes back, or to itself: that is the place to tell.
			if to := sc.index(w.To); w.To != "" && to >= 0 && to <= i && !sc.twice(w.To) && (to == i || sc.reach[to][i]) {
				p.errorf(wayPlace(list.items[i], s, w), "step %q goes back to step %q: steps would go round in a circle; use aws:loop", s.Name, w.To)
			}
		}
		if i > 0 && !slices.ContainsFunc(sc.reach, func(r []bool) bool { return r[i] }) {
			p.warnf(placeOf(list.items[i], "name"), "step %q is never reached", s.Name)
		}
	}
}

// twice says that two steps have the name, which is a mistake that is told already.
func (sc *stepScope) twice(name string) bool {
	i := sc.index(name)
	return slices.ContainsFunc(sc.steps[i+1:], func(s Step) bool { return s.Name == name })
}

func (sc *stepScope) what() string {
	if sc.outer != nil {
		return "the loop"
	}
	return "the document"
}

// wayPlace is where in a step's text a way is written.
func wayPlace(n node, s Step, w Way) token.Position {
	in, _ := n.get("inputs")
	switch {
	case w.When == "failure" && strings.HasPrefix(s.OnFailure, "step:"):
		return placeOf(n, "onFailure")
	case w.When == "cancel":
		return placeOf(n, "onCancel")
	case w.When == "otherwise":
		return placeOf(in, "Default")
	case s.Action == "aws:branch":
		choices, _ := in.get("Choices")
		for _, c := range choices.items {
			if v, ok := c.get("NextStep"); ok && v.raw == w.To {
				return v.pos
			}
		}
	}
	return placeOf(n, "nextStep")
}

// The system variables, besides references to parameters, variables and steps.
func systemVariables() []string {
	return []string{
		"global:DATE", "global:DATE_TIME", "global:REGION", "global:ACCOUNT_ID", "global:AWS_PARTITION",
		"automation:EXECUTION_ID", "automation:REGION", "automation:ACCOUNT_ID",
	}
}

// The pseudo parameters that a maintenance window fills in.
var windowParameters = []string{"TARGET_ID", "RESOURCE_ID", "WINDOW_ID", "WINDOW_EXECUTION_ID", "TARGET_TYPE", "INVOCATION_ID"}

// checkUses checks every reference, now that all names are known.
func (p *parser) checkUses() {
	for _, u := range p.uses {
		if why := p.wrongUse(u); why != "" {
			if u.lax {
				p.warnf(u.pos, "{{ %s }} in the script is left as it is: %s", u.name, why)
			} else {
				p.errorf(u.pos, "{{ %s }}: %s", u.name, why)
			}
		}
	}
}

func (p *parser) wrongUse(u use) string {
	if prefix, rest, ok := strings.Cut(u.name, ":"); ok {
		switch prefix {
		case "global", "automation":
			if !slices.Contains(systemVariables(), u.name) {
				return "there is no such system variable" + didYouMean(u.name, systemVariables())
			}
		case "variable":
			rest, _, _ = strings.Cut(rest, ".")
			if names := parameterNames(p.doc.Variables); !slices.Contains(names, rest) {
				return "the document declares no such variable" + didYouMean(rest, names)
			}
		case "ssm":
			p.doc.stored = storedIn(p.doc.stored, "{{ "+u.name+" }}")
			p.warnf(u.pos, "{{ %s }} is read from Parameter Store when an execution begins, which can't begin where AWS is not at hand", u.name)
		case "ssm-secure", "resolve":
			p.warnf(u.pos, "{{ %s }}: secrets are not at hand here", u.name)
		default:
			return "no such kind of reference" + didYouMean(prefix, []string{"global", "automation", "variable", "ssm"})
		}
		return ""
	}
	if _, ok := p.doc.Parameter(u.name); ok && u.key != "outputs" {
		return ""
	}
	if slices.Contains(windowParameters, u.name) {
		p.warnf(u.pos, "{{ %s }} is filled in by maintenance windows, which are not here: it is left as it is", u.name)
		return ""
	}
	step, output, ok := strings.Cut(u.name, ".")
	if !ok {
		names := parameterNames(p.doc.Parameters)
		return "the document declares no such parameter" + didYouMean(u.name, names)
	}
	if q, ok := p.doc.Parameter(step); ok && q.Type == "StringMap" && p.stepNames[step].Line == 0 {
		return ""
	}
	if u.scope == nil {
		if _, ok := p.stepNames[step]; ok || p.doc.Type == TypeCommand {
			return "steps' outputs are not known here"
		}
	}
	return p.wrongOutput(u, step, output)
}

// wrongOutput checks {{ step.output }} against the steps that can have run before.
func (p *parser) wrongOutput(u use, step, output string) string {
	at := u.step
	for sc := u.scope; sc != nil; at, sc = sc.at, sc.outer {
		i := sc.index(step)
		if i < 0 {
			continue
		}
		s := sc.steps[i]
		inLoop := s.Action == "aws:loop" && sc != u.scope && i == at
		switch {
		case inLoop:
		case at >= len(sc.steps): // the document's outputs
		case i == at:
			return "a step can't use its own output"
		case sc.reach == nil || !sc.reach[i][at] && i > at:
			return fmt.Sprintf("step %q does not run before step %q", step, sc.steps[at].Name)
		case !sc.reach[i][at]:
			// It stands before, but no way leads from it to here. AWS looks at the order only.
			p.warnf(u.pos, "{{ %s }}: no way leads from step %q to step %q, which will fail here", u.name, step, sc.steps[at].Name)
		}
		if !sc.known[i] {
			return ""
		}
		name, _, _ := strings.Cut(output, ".")
		name, _, _ = strings.Cut(name, "[")
		names := append([]string{"OutputPayload"}, p.actions[s.Action].outputs...)
		for _, o := range s.Outputs {
			names = append(names, o.Name)
		}
		if !slices.Contains(names, name) && !slices.Contains(names, output) {
			return fmt.Sprintf("step %q has no output %q%s", step, name, didYouMean(name, names))
		}
		return ""
	}
	return fmt.Sprintf("there is no step %q", step)
}

func parameterNames(ps []Parameter) []string {
	var names []string
	for _, q := range ps {
		names = append(names, q.Name)
	}
	return names
}
