package automation

import (
	"fmt"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"time"
)

var (
	commandStepKeys = []string{"name", "action", "description", "precondition", "inputs", "timeoutSeconds", "onFailure", "maxAttempts", "settings"}
	idleStepKeys    = []string{"timeoutSeconds", "onFailure", "maxAttempts", "settings"} // the agent reads them and does nothing with them
	pluginName      = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,128}$`)
)

// commandSteps reads the plugins of a Command document.
func (p *parser) commandSteps(list node) []Step {
	var steps []Step
	if len(list.items) > maxSteps {
		p.errorf(list.pos, "%d steps: %d are the most", len(list.items), maxSteps)
		return nil
	}
	for i, it := range list.items {
		s := Step{Pos: it.pos, MaxAttempts: 1, IsCritical: true}
		if !p.want(it, mapNode, "a step") {
			continue
		}
		s.Name = p.textAt(it, "name", "a step")
		if !pluginName.MatchString(s.Name) {
			p.errorf(placeOf(it, "name"), "%q is not a step's name: letters, digits, _, - and ., 128 at most", s.Name)
		}
		if slices.ContainsFunc(steps, func(b Step) bool { return b.Name == s.Name }) {
			p.errorf(placeOf(it, "name"), "a second step %q", s.Name)
		}
		where := fmt.Sprintf("step %q", s.Name)
		p.knownKeys(it, where, commandStepKeys)
		for _, f := range it.fields {
			if slices.Contains(idleStepKeys, f.name) {
				p.warnf(f.pos, "%s: %s has no effect beside inputs; within them it may", where, f.name)
			}
		}
		s.Description = p.textAt(it, "description", where)
		if n, ok := it.get("precondition"); ok {
			s.Precondition = p.precondition(n, where)
		}
		p.plugin(it, &s, where, i == len(list.items)-1)
		steps = append(steps, s)
	}
	return steps
}

// runtimeConfig writes schema 1.2's map of plugins, each with one or more properties, as the steps that 2.2 has.
func (p *parser) runtimeConfig(n node) node {
	steps := node{pos: n.pos, kind: listNode}
	if n.kind != mapNode {
		return n
	}
	scalar := func(pos token.Position, s string) node { return node{pos: pos, value: s, raw: s} }
	for _, f := range n.fields {
		where := "runtimeConfig." + f.name
		if !p.want(f.value, mapNode, where) {
			continue
		}
		p.knownKeys(f.value, where, []string{"properties", "settings"})
		props, ok := f.value.get("properties")
		if !ok {
			p.errorf(f.value.pos, "%s needs properties", where)
			continue
		}
		all := []node{props}
		if props.kind == listNode {
			all = props.items
		}
		for i, in := range all {
			if in.kind == mapNode {
				in.fields = slices.DeleteFunc(slices.Clone(in.fields), func(f field) bool { return f.name == "id" })
			}
			name := strings.TrimPrefix(f.name, "aws:")
			if len(all) > 1 {
				name = fmt.Sprintf("%s.%d", name, i+1)
			}
			steps.items = append(steps.items, node{pos: in.pos, kind: mapNode, fields: []field{
				{"name", f.pos, scalar(f.pos, name)}, {"action", f.pos, scalar(f.pos, f.name)}, {"inputs", in.pos, in},
			}})
		}
	}
	return steps
}

func (p *parser) precondition(n node, where string) []string {
	where += ".precondition"
	if !p.want(n, mapNode, where) {
		return nil
	}
	p.knownKeys(n, where, []string{"StringEquals"})
	eq, ok := n.get("StringEquals")
	if !ok || !p.want(eq, listNode, where+".StringEquals") {
		return nil
	}
	if len(eq.items) != 2 {
		p.errorf(eq.pos, "%s.StringEquals: two values are wanted, not %d", where, len(eq.items))
		return nil
	}
	p.usesIn(eq, nil, -1, "precondition", false)
	two := []string{p.text(eq.items[0], where), p.text(eq.items[1], where)}
	for i, platforms := 0, []string{"Linux", "Windows", "MacOS"}; i < 2; i++ {
		if two[i] == "platformType" && !slices.Contains(platforms, two[1-i]) && !strings.Contains(two[1-i], "{{") {
			p.errorf(eq.items[1-i].pos, "%s: platformType is Linux, Windows or MacOS, not %q%s", where, two[1-i], didYouMean(two[1-i], platforms))
		}
	}
	return two
}

func (p *parser) plugin(n node, s *Step, where string, last bool) {
	v, ok := n.get("action")
	if !ok {
		p.errorf(n.pos, "%s needs an action", where)
		return
	}
	s.Action = p.text(v, where+".action")
	known, ok := p.plugins[s.Action]
	if !ok {
		why := didYouMean(s.Action, sortedKeys(p.plugins))
		if _, is := p.actions[s.Action]; is {
			why = " of Command documents, but an action of Automation documents"
		}
		p.errorf(v.pos, "%s: %q is not a plugin%s", where, s.Action, why)
		return
	}
	if known.platform == "Windows" {
		p.warnf(v.pos, "%s: %s is for Windows: on any other host it is skipped", where, s.Action)
	} else if s.Action != "aws:runShellScript" {
		p.warnf(v.pos, "%s: %s can't be run here, though AWS can", where, s.Action)
	}
	in, ok := n.get("inputs")
	if !ok {
		in = node{pos: n.pos, kind: mapNode}
	}
	if !p.want(in, mapNode, where+".inputs") {
		return
	}
	for _, name := range known.required {
		if _, ok := in.get(name); !ok {
			p.errorf(in.pos, "%s: %s needs the input %s", where, s.Action, name)
		}
	}
	names := slices.Concat(known.required, known.optional, sharedInputs())
	for _, f := range in.fields {
		if !known.open && !slices.Contains(names, f.name) {
			// AWS takes it, and the agent does nothing with it.
			p.warnf(f.pos, "%s: %s has no input %q, so it has no effect%s", where, s.Action, f.name, didYouMean(f.name, names))
		}
		from := len(p.uses)
		p.usesIn(f.value, nil, -1, f.name, false)
		if f.name == "runCommand" {
			for i := range p.uses[from:] {
				p.uses[from+i].shell = true
			}
			if f.value.kind == mapNode {
				p.errorf(f.value.pos, "%s.runCommand: a list of lines is wanted", where)
			}
		}
	}
	oneOf("onFailure", "exit", "successAndExit")(p, s, in)
	oneOf("onSuccess", "exit")(p, s, in)
	if f, ok := in.get("finallyStep"); ok && p.boolean(f, where+".finallyStep") && !last {
		p.errorf(f.pos, "%s: only the last step can be the finallyStep", where)
	}
	if _, t, ok := literal(in, "timeoutSeconds"); ok {
		s.Timeout = time.Duration(p.integer(t, where+".timeoutSeconds", 1, 172_800)) * time.Second
	}
	s.Inputs, _ = in.plain().(map[string]any)
}

// scriptUses marks the references that an Automation step puts into a script: executeScript's own, and the commands of the
// Command documents that run whatever they are given.
func (p *parser) scriptUses(s *Step, in node, uses []use) {
	var text node
	switch s.Action {
	case "aws:executeScript":
		text, _ = in.get("Script")
	case "aws:runCommand":
		if name, _, ok := literal(in, "DocumentName"); ok && builtin(name) != nil {
			params, _ := in.get("Parameters")
			text, _ = params.get("commands")
		}
	}
	at := map[token.Position]bool{}
	text.walk(func(n node) { at[n.pos] = true })
	for i := range uses {
		uses[i].shell = at[uses[i].pos]
	}
}

// checkShellText warns of references in a script's text whose values nothing vouches for.
func (p *parser) checkShellText() {
	for _, u := range p.uses {
		if !u.shell || u.lax && p.wrongUse(u) != "" {
			continue
		}
		q, isParameter := p.doc.Parameter(u.name)
		switch {
		case isParameter && q.EnvVar && !strings.Contains(p.source, "SSM_"+u.name):
			p.warnf(u.pos, "{{ %s }} is left as it is: interpolationType ENV_VAR keeps the value out of the text; write $SSM_%s", u.name, u.name)
		case isParameter && (q.EnvVar || q.vouches() || q.Type == "Integer" || q.Type == "Boolean"):
		case isParameter:
			hint := "or give it an allowedPattern that keeps the shell's characters out, or allowedValues"
			if p.doc.Type == TypeCommand {
				hint = "use $SSM_" + u.name + ", " + hint
			} else {
				hint = "hand it to a Command document's parameter, " + hint
			}
			p.warnf(u.pos, "{{ %s }} goes into the text of a script, so only harmless values are taken: %s", u.name, hint)
		case strings.Contains(u.name, ".") || strings.HasPrefix(u.name, "variable:"):
			p.warnf(u.pos, "{{ %s }} goes into the text of a script, so only harmless values are taken (letters, digits and _ . , : / @ %% + = -)", u.name)
		}
	}
}

// builtin returns the text of a Command document of AWS's own that the package brings along (written for it: the parameters
// are AWS's), or nil.
func builtin(name string) []byte {
	const text = `{"schemaVersion": "2.2", "description": "Run commands.",
"parameters": {
  "commands": {"type": "StringList", "description": "The lines of the script.", "minItems": 1},
  "workingDirectory": {"type": "String", "default": "", "description": "The folder to run in."},
  "executionTimeout": {"type": "String", "default": "3600", "allowedPattern": "([1-9][0-9]{0,4})|(1[0-6][0-9]{4})|(17[0-1][0-9]{3})|(172[0-7][0-9]{2})|(172800)",
    "description": "The seconds that it may take."}},
"mainSteps": [{"action": "aws:%s", "name": "%s",
  "inputs": {"runCommand": "{{ commands }}", "workingDirectory": "{{ workingDirectory }}", "timeoutSeconds": "{{ executionTimeout }}"}}]}`
	name = strings.TrimPrefix(name, "arn:aws:ssm:::document/")
	switch name {
	case "AWS-RunShellScript":
		return fmt.Appendf(nil, text, "runShellScript", "runShellScript")
	case "AWS-RunPowerShellScript":
		return fmt.Appendf(nil, text, "runPowerShellScript", "runPowerShellScript")
	}
	return nil
}
