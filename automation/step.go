package automation

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

var (
	stepName = regexp.MustCompile(`^[a-zA-Z0-9_]{1,128}$`)
	stepKeys = []string{
		"name", "action", "description", "inputs", "onFailure", "onCancel", "isCritical", "isEnd", "nextStep",
		"timeoutSeconds", "maxAttempts", "outputs",
	}
)

// maxSteps bounds a list of steps.
const maxSteps = 1000

// stepScope is a list of steps that see each other: mainSteps, or the steps of a loop within an outer scope.
type stepScope struct {
	steps []Step
	outer *stepScope
	at    int          // index of the loop in the outer scope
	reach [][]bool     // reach[i][j]: step j can come after step i
	known map[int]bool // indexes of steps whose action is known, so that their outputs are
}

func (sc *stepScope) index(name string) int {
	return slices.IndexFunc(sc.steps, func(s Step) bool { return s.Name == name })
}

func (sc *stepScope) names() []string {
	var names []string
	for _, s := range sc.steps {
		names = append(names, s.Name)
	}
	return names
}

// steps reads a list of Automation steps and checks the ways between them.
func (p *parser) steps(list node, outer *stepScope, at int) *stepScope {
	sc := &stepScope{outer: outer, at: at, known: map[int]bool{}}
	if len(list.items) > maxSteps {
		p.errorf(list.pos, "%d steps: %d are the most", len(list.items), maxSteps)
		list.items = list.items[:maxSteps]
	}
	if outer != nil && len(list.items) == 0 {
		p.errorf(list.pos, "a loop needs steps")
	}
	for i, it := range list.items {
		sc.steps = append(sc.steps, Step{})
		sc.steps[i] = p.step(it, sc, i)
	}
	p.checkNames(list, sc)
	p.checkWays(list, sc)
	return sc
}

func (p *parser) step(n node, sc *stepScope, i int) Step {
	s := Step{Pos: n.pos, OnFailure: "Abort", OnCancel: "Abort", IsCritical: true, MaxAttempts: 1}
	if !p.want(n, mapNode, "a step") {
		return s
	}
	s.Name = p.stepName(n)
	where := fmt.Sprintf("step %q", s.Name)
	p.knownKeys(n, where, stepKeys)
	s.Description = p.textAt(n, "description", where)
	s.NextStep = p.textAt(n, "nextStep", where)
	if v, ok := n.get("onFailure"); ok {
		if s.OnFailure = p.way(v, where+".onFailure", "Abort", "Continue"); s.OnFailure == "Continue" {
			s.IsCritical = false
		}
	}
	if v, ok := n.get("isCritical"); ok {
		s.IsCritical = p.boolean(v, where+".isCritical")
	}
	if v, ok := n.get("isEnd"); ok {
		s.IsEnd = p.boolean(v, where+".isEnd")
	}
	if v, ok := n.get("maxAttempts"); ok {
		s.MaxAttempts = int(p.integer(v, where+".maxAttempts", 1, 1000))
	}
	if v, ok := n.get("timeoutSeconds"); ok {
		s.Timeout = time.Duration(p.integer(v, where+".timeoutSeconds", 1, 31_536_000)) * time.Second
	}
	if v, ok := n.get("outputs"); ok {
		s.Outputs = p.stepOutputs(v, where)
	}
	a, known := p.action(n, &s, where)
	sc.known[i] = known
	if v, ok := n.get("onCancel"); ok {
		s.OnCancel = p.way(v, where+".onCancel", "Abort")
		if known && a.deaf {
			p.warnf(v.pos, "%s: onCancel has no effect on %s", where, s.Action)
		}
	}
	if !known {
		return s
	}
	if s.Timeout == 0 {
		s.Timeout = a.timeout
	}
	for _, o := range s.Outputs {
		// A script's own response has one part only, which documents of AWS's name after itself.
		if s.Action != "aws:executeScript" && (slices.Contains(a.outputs, o.Name) || o.Name == "OutputPayload") {
			p.errorf(o.Pos, "%s.outputs: %s has an output %s of its own", where, s.Action, o.Name)
		}
	}
	p.inputs(n, &s, a, sc, i)
	return s
}

func (p *parser) stepName(n node) string {
	v, ok := n.get("name")
	if !ok {
		p.errorf(n.pos, "a step needs a name")
		return ""
	}
	name := p.text(v, "name")
	if !stepName.MatchString(name) {
		p.errorf(v.pos, "%q is not a step's name: letters, digits and _, 128 at most", name)
	}
	return name
}

// way reads where to go: one of the words, or step:NAME.
func (p *parser) way(n node, where string, words ...string) string {
	way := p.text(n, where)
	if name, ok := strings.CutPrefix(way, "step:"); ok {
		return "step:" + strings.TrimSpace(name)
	}
	if !slices.Contains(words, way) {
		p.errorf(n.pos, "%s: %s or step:NAME, not %q%s", where, strings.Join(words, ", "), way, didYouMean(way, words))
		return "Abort"
	}
	return way
}

func (p *parser) action(n node, s *Step, where string) (action, bool) {
	v, ok := n.get("action")
	if !ok {
		p.errorf(n.pos, "%s needs an action", where)
		return action{}, false
	}
	s.Action = p.text(v, where+".action")
	a, ok := p.actions[s.Action]
	if !ok {
		why := didYouMean(s.Action, sortedKeys(p.actions))
		if _, command := p.plugins[s.Action]; command {
			why = " of Automation documents, but a plugin of Command documents"
		}
		p.errorf(v.pos, "%s: %q is not an action%s", where, s.Action, why)
	}
	return a, ok
}

// inputs reads and checks a step's inputs.
func (p *parser) inputs(n node, s *Step, a action, sc *stepScope, i int) {
	where := fmt.Sprintf("step %q", s.Name)
	in, ok := n.get("inputs")
	switch {
	case !ok && len(a.required) == 0:
		p.errorf(n.pos, "%s needs inputs, be it an empty map", where)
		return
	case !ok || in.kind == scalarNode && in.value == nil:
		in = node{pos: n.pos, kind: mapNode}
	}
	if !p.want(in, mapNode, where+".inputs") {
		return
	}
	for _, name := range a.required {
		if _, ok := in.get(name); !ok {
			p.errorf(in.pos, "%s: %s needs the input %s", where, s.Action, name)
		}
	}
	known := slices.Concat(a.required, a.optional)
	scope, at := sc, i
	if body, ok := in.get("Steps"); ok && s.Action == "aws:loop" && p.want(body, listNode, where+".Steps") {
		scope = p.steps(body, sc, i) // LoopCondition sees the outputs of the loop's steps
		at = len(scope.steps)
		s.Steps = scope.steps
	}
	from := len(p.uses)
	for _, f := range in.fields {
		switch {
		case a.open || slices.Contains(known, f.name):
		case a.idle:
			p.warnf(f.pos, "%s: %s takes no inputs, so %s has no effect", where, s.Action, f.name)
		default:
			p.errorf(f.pos, "%s: %s has no input %q%s", where, s.Action, f.name, didYouMean(f.name, known))
		}
		switch {
		case s.Action == "aws:loop" && f.name == "Steps":
		case s.Action == "aws:loop" && f.name == "LoopCondition":
			p.usesIn(f.value, scope, at, f.name, false)
		default:
			p.usesIn(f.value, sc, i, f.name, s.Action == "aws:executeScript" && f.name == "Script")
		}
	}
	p.scriptUses(s, in, p.uses[from:])
	s.Inputs, _ = in.plain().(map[string]any)
	if s.Action == "aws:loop" {
		delete(s.Inputs, "Steps")
	}
	if a.check != nil {
		a.check(p, s, in)
	}
}

// usesIn notes the references in a node, for checkUses.
func (p *parser) usesIn(n node, sc *stepScope, i int, key string, lax bool) {
	n.walk(func(n node) {
		text, ok := n.value.(string)
		if ok && n.kind == scalarNode {
			for _, name := range references(text) {
				p.uses = append(p.uses, use{name: name, pos: n.pos, scope: sc, step: i, key: key, lax: lax})
			}
		}
		for _, f := range n.fields {
			for _, name := range references(f.name) {
				p.uses = append(p.uses, use{name: name, pos: f.pos, scope: sc, step: i, key: key, lax: lax})
			}
		}
	})
}

func (p *parser) stepOutputs(n node, where string) []Output {
	if !p.want(n, listNode, where+".outputs") {
		return nil
	}
	var outs []Output
	for _, it := range n.items {
		if !p.want(it, mapNode, where+".outputs") {
			continue
		}
		p.knownKeys(it, where+".outputs", []string{"Name", "Selector", "Type"})
		o := Output{Pos: it.pos, Name: p.textAt(it, "Name", where), Selector: p.textAt(it, "Selector", where), Type: p.textAt(it, "Type", where)}
		if o.Name == "" || o.Selector == "" {
			p.errorf(it.pos, "%s.outputs: an output needs a Name and a Selector", where)
		}
		if slices.ContainsFunc(outs, func(b Output) bool { return b.Name == o.Name }) {
			p.errorf(it.pos, "%s.outputs: %q is here twice", where, o.Name)
		}
		if v, ok := it.get("Type"); ok {
			if !slices.Contains(parameterTypes, o.Type) {
				p.errorf(v.pos, "%s.outputs.%s: %q is not a type%s", where, o.Name, o.Type, didYouMean(o.Type, parameterTypes))
			}
		}
		if v, ok := it.get("Selector"); ok && o.Selector != "" {
			if _, err := parsePath(o.Selector); err != nil {
				p.errorf(v.pos, "%s.outputs.%s.Selector: %w", where, o.Name, err)
			}
		}
		outs = append(outs, o)
	}
	return outs
}

// literal is the text of an input when it is there and holds no reference.
func literal(in node, name string) (string, node, bool) {
	n, ok := in.get(name)
	if !ok || n.kind != scalarNode || n.value == nil || strings.Contains(n.raw, "{{") {
		return "", n, false
	}
	return n.raw, n, true
}

// oneOf checks that an input, where it is written out, is one of the words.
func oneOf(name string, words ...string) func(*parser, *Step, node) {
	return func(p *parser, s *Step, in node) {
		if v, n, ok := literal(in, name); ok && !slices.Contains(words, v) {
			p.errorf(n.pos, "step %q.%s: one of %s, not %s%s", s.Name, name, strings.Join(words, ", "), strconv.Quote(v), didYouMean(v, words))
		}
	}
}
