package automation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"
)

// defaultPluginTime is what a plugin may take that says nothing else.
const defaultPluginTime = time.Hour

// runCommand runs a Command document plugin by plugin, or hands the step on whole where Hands send commands themselves.
func runCommand(ctx context.Context, f *frame, s Step, e Entry, begun bool) (Entry, error) {
	in, err := f.inputsButParameters(s)
	if err != nil {
		return f.ended(ctx, e, Failed, err.Error())
	}
	e.Inputs = in
	if sender, ok := f.w.Hands.(Sender); ok {
		given, tainted, err := resolve(s.Inputs["Parameters"], f.lookup)
		if err != nil {
			return f.ended(ctx, e, Failed, err.Error())
		}
		whole := e
		whole.Inputs = make(map[string]any, len(in)+1)
		maps.Copy(whole.Inputs, in)
		if given != nil {
			whole.Inputs["Parameters"] = given
		}
		if c := f.callOf(s, whole); sender.Sends(c) {
			if tainted && builtin(textOf(in["DocumentName"])) != nil {
				return f.ended(ctx, e, Failed, unsafeIn(s.Inputs["Parameters"], f.lookup))
			}
			return f.call(ctx, s, whole, begun, c)
		}
	}
	var instances []string
	if t, ok := in["Targets"]; ok {
		if instances, err = f.valuesOf(ctx, "InstanceIds", t); err == nil && len(instances) == 0 {
			err = errors.New("targets: nothing was found")
		}
		if err != nil {
			return f.ended(ctx, e, Failed, err.Error())
		}
	}
	if u, ok := in["DocumentName"].(Unknown); ok {
		e.Would = "run the commands of " + u.String()
		return f.ended(ctx, e, Success, "")
	}
	d, err := f.documentOf(&e, in, TypeCommand, begun)
	if err != nil {
		return f.ended(ctx, e, Failed, err.Error())
	}
	params, clean, err := f.bindStep(d, s.Inputs["Parameters"])
	if err == nil && builtin(e.Document) != nil && clean != nil && !clean["commands"] {
		err = fmt.Errorf("%w: %s", errUnsafe, unsafeIn(s.Inputs["Parameters"], f.lookup))
	}
	if err != nil {
		return f.ended(ctx, e, Failed, err.Error())
	}
	e.Inputs["Parameters"] = params
	if ids, err := coerce(cmpAny(in["InstanceIds"]), "StringList"); err == nil {
		if l, ok := ids.([]any); ok {
			for _, id := range l {
				instances = append(instances, textOf(id))
			}
		}
	}
	return f.contained(ctx, s, e, begun, func(ctx context.Context, prefix string, e *Entry) (end, error) {
		g := f.frame(d, prefix, params, clean)
		g.depth = f.depth + 1
		g.instances = instances
		done, err := g.runDocument(ctx)
		if err != nil || done.wait != nil {
			return done, err
		}
		e.Outputs = map[string]any{
			"CommandId": e.Token[:8] + "-" + e.Token[8:12] + "-" + e.Token[12:16] + "-" + e.Token[16:20] + "-" + e.Token[20:32],
			"Status":    done.state, "ResponseCode": g.code, "Output": strings.TrimRight(g.text.String(), "\r\n"),
		}
		for _, o := range s.Outputs {
			if v, ok := f.response(s, e.Outputs)[o.Name]; ok {
				e.Outputs[o.Name] = v
			}
		}
		e.Would, e.Effect = strings.Join(g.would, "; "), effectOf(g)
		return done, nil
	})
}

func cmpAny(v any) any {
	if v == nil {
		return []any{}
	}
	return v
}

// inputsButParameters resolves all inputs but Parameters, whose values are looked at one by one.
func (f *frame) inputsButParameters(s Step) (map[string]any, error) {
	rest := s
	rest.Inputs = make(map[string]any, len(s.Inputs))
	for k, v := range s.Inputs {
		if k != "Parameters" {
			rest.Inputs[k] = v
		}
	}
	return f.inputs(rest)
}

func unsafeIn(v any, s scope) string {
	if m, ok := v.(map[string]any); ok {
		return unsafeText(m["commands"], s)
	}
	return unsafeText(v, s)
}

// runDocument runs a Command document's plugins in order. A failed plugin makes the document fail, but those after it still
// run, unless it says onFailure: exit; the finallyStep always runs.
func (f *frame) runDocument(ctx context.Context) (end, error) {
	result := end{state: Success}
	f.code = 0
	if done, over, err := f.readStored(ctx); over || err != nil {
		return done, err
	}
	exit := false
	for _, s := range f.doc.Steps {
		var err error
		if ctx, err = f.alive(ctx); err != nil {
			return end{}, err
		}
		if exit && !isTrueInput(s.Inputs["finallyStep"]) {
			continue
		}
		e, err := f.pluginStep(ctx, s)
		if err != nil {
			return end{}, err
		}
		if e.Open() {
			return end{wait: &e}, nil
		}
		f.took(e)
		switch e.State {
		case Success:
			exit = exit || textOf(s.Inputs["onSuccess"]) == "exit" && e.Note == ""
		case Cancelled, Refused:
			return end{state: e.State, step: e.Path, reason: e.Error}, nil
		default:
			how := textOf(s.Inputs["onFailure"])
			if how != "successAndExit" && result.state == Success {
				result = end{state: e.State, step: e.Path, reason: e.Error}
			}
			exit = exit || how != ""
		}
	}
	return result, nil
}

func isTrueInput(v any) bool {
	b, err := coerce(v, "Boolean")
	return err == nil && b == true
}

// took gathers what a plugin has said.
func (f *frame) took(e Entry) {
	f.changes = f.changes || e.Effect == Changing
	outs, _ := f.known(e.Outputs).(map[string]any)
	if text, ok := outs["Output"]; ok {
		f.text.WriteString(textOf(text))
	}
	if code, ok := outs["ResponseCode"].(int64); ok && f.code == 0 {
		f.code = code
	}
	if e.Would != "" {
		f.would = append(f.would, e.Would)
	}
}

// pluginStep runs one plugin.
func (f *frame) pluginStep(ctx context.Context, s Step) (Entry, error) {
	ctx, e, begun, err := f.entry(ctx, s)
	if err != nil || begun && !e.Open() {
		return e, err
	}
	if f.cancel != "" && f.cancelAt.IsZero() {
		e, err = f.cancelled(ctx, s, e, begun)
		if e.State == Cancelled {
			f.cancelAt = e.Ended
		}
		return e, err
	}
	if why, err := f.skips(s); err != nil {
		return f.ended(ctx, e, Failed, err.Error())
	} else if why != "" {
		e.Note = why
		return f.ended(ctx, e, Success, "")
	}
	in, env, err := f.pluginInputs(s)
	if err != nil {
		return f.ended(ctx, e, Failed, err.Error())
	}
	e.Inputs = in
	s.Timeout = defaultPluginTime
	if v, ok := in["timeoutSeconds"]; ok && textOf(v) != "" && len(unknowns(v)) == 0 {
		n, err := coerce(v, "Integer")
		seconds, isInt := n.(int64)
		if err != nil || !isInt || seconds < 1 || seconds > 172_800 {
			return f.ended(ctx, e, Failed, fmt.Sprintf("timeoutSeconds: 1 to 172800 is wanted, not %s", quoted(v)))
		}
		s.Timeout = time.Duration(seconds) * time.Second
	}
	c := f.callOf(s, e)
	c.Environment, c.Instances, c.Document, c.Version = env, f.instances, f.doc.Name, f.doc.Version
	return f.call(ctx, s, e, begun, c)
}

// skips says why a plugin does not run on this platform, "" when it runs.
func (f *frame) skips(s Step) (string, error) {
	platform := cmp.Or(f.x.Platform, "Linux")
	if len(s.Precondition) == 2 {
		two := [2]string{}
		for i, side := range s.Precondition {
			v, _, err := resolve(side, f.lookup)
			if err != nil {
				return "", err
			}
			if two[i] = textOf(v); side == "platformType" {
				two[i] = platform
			}
		}
		if two[0] != two[1] {
			return fmt.Sprintf("skipped: its precondition asks for %s = %s", s.Precondition[0], s.Precondition[1]), nil
		}
		return "", nil
	}
	switch fits := f.plugins[s.Action].platform; {
	case fits == "", fits == platform, fits == "Linux" && platform == "MacOS":
		return "", nil
	default:
		return fmt.Sprintf("skipped: %s is for %s", s.Action, fits), nil
	}
}

// errUnsafe is why a script is not run: a value within its text could be more than a value.
var errUnsafe = errors.New("refused to put a value into a script's text")

// pluginInputs resolves a plugin's inputs, and makes the environment through which its script gets the parameters as data.
func (f *frame) pluginInputs(s Step) (in map[string]any, env map[string]string, err error) {
	lookup := func(name string) (value, error) {
		if q, ok := f.doc.Parameter(name); ok && q.EnvVar {
			return value{asIs: true}, nil // the script has $SSM_NAME
		}
		return f.lookup(name)
	}
	in = make(map[string]any, len(s.Inputs))
	for _, name := range sortedKeys(s.Inputs) {
		v, tainted, err := resolve(s.Inputs[name], lookup)
		if err != nil {
			return nil, nil, fmt.Errorf("input %s: %w", name, err)
		}
		if tainted && name == "runCommand" {
			return nil, nil, fmt.Errorf("%w: %s", errUnsafe, unsafeText(s.Inputs[name], lookup))
		}
		in[name] = v
	}
	if text, ok := in["runCommand"].(string); ok {
		in["runCommand"] = []any{text}
	}
	env = make(map[string]string, len(f.params))
	script, _ := s.Inputs["runCommand"].(string)
	for name, v := range f.params {
		if isReference(script) && references(script)[0] == name {
			continue // the script itself
		}
		text := textOf(v)
		if strings.IndexByte(text, 0) >= 0 {
			return nil, nil, fmt.Errorf("parameter %s has a NUL, which no environment can hold", name)
		}
		if len(text) <= maxVariable {
			env["SSM_"+strings.ReplaceAll(name, "-", "_")] = text
		}
	}
	return in, env, nil
}

// maxVariable is the longest value that goes into the environment, in bytes: Linux takes 128 KiB, name included. A longer one
// is a script, not data.
const maxVariable = 64 << 10
