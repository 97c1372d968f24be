package automation

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// lookup resolves a reference's name in a frame.
func (f *frame) lookup(name string) (value, error) {
	if prefix, rest, ok := strings.Cut(name, ":"); ok {
		return f.system(name, prefix, rest)
	}
	if f.declares(name) {
		return value{v: f.params[name], tainted: f.dirty[name]}, nil
	}
	step, output, ok := strings.Cut(name, ".")
	if !ok {
		if slices.Contains(windowParameters, name) {
			return value{asIs: true}, nil
		}
		return value{}, fmt.Errorf("{{ %s }}: no such parameter", name)
	}
	for g := f; g != nil; g = g.outer {
		if g.untold[step] {
			return value{v: Unknown{Ref: name}}, nil
		}
		outs, ran := g.outputs[step]
		if !ran {
			continue
		}
		v, ok := within(outs, output)
		if !ok {
			return value{}, fmt.Errorf("{{ %s }}: step %s has given no output %s", name, step, output)
		}
		return value{v: v, tainted: !harmless(v)}, nil
	}
	if f.declares(step) {
		if m, ok := f.params[step].(map[string]any); ok {
			v, ok := within(m, output)
			if !ok {
				return value{}, fmt.Errorf("{{ %s }}: the parameter has no %s", name, output)
			}
			return value{v: v, tainted: f.dirty[step] && !harmless(v)}, nil
		}
	}
	return value{}, fmt.Errorf("{{ %s }}: step %s has not run", name, step)
}

func (f *frame) declares(name string) bool {
	_, ok := f.doc.Parameter(name)
	return ok
}

// within finds a name, or a way of names and indexes, in a map.
func within(m map[string]any, way string) (any, bool) {
	if v, ok := m[way]; ok {
		return v, true
	}
	p, err := parseHops("." + way)
	if err != nil {
		return nil, false
	}
	return p.find(m)
}

func (f *frame) system(name, prefix, rest string) (value, error) {
	began := f.x.Began.UTC()
	switch name {
	case "global:DATE":
		return value{v: began.Format("2006-01-02")}, nil
	case "global:DATE_TIME":
		return value{v: began.Format("2006-01-02_15.04.05")}, nil
	case "global:REGION", "automation:REGION":
		return value{v: cmp.Or(f.x.Region, "local")}, nil
	case "global:ACCOUNT_ID", "automation:ACCOUNT_ID":
		return value{v: cmp.Or(f.x.Account, "000000000000")}, nil
	case "global:AWS_PARTITION":
		return value{v: cmp.Or(f.x.Partition, "aws")}, nil
	case "automation:EXECUTION_ID":
		return value{v: f.x.ID, tainted: !harmless(f.x.ID)}, nil
	}
	if v, ok := f.stored[rest]; ok && prefix == "ssm" {
		return value{v: v, tainted: !harmless(v)}, nil
	}
	if prefix == "variable" {
		variable, way, deep := strings.Cut(rest, ".")
		v, ok := f.vars[variable]
		if m, isMap := v.(map[string]any); deep && isMap {
			v, ok = within(m, way)
		}
		if !ok || v == nil {
			return value{}, fmt.Errorf("{{ %s }}: the variable has no value", name)
		}
		return value{v: v, tainted: !harmless(v)}, nil
	}
	return value{}, fmt.Errorf("{{ %s }} can't be resolved here", name)
}

// inputs resolves a step's inputs. Values that may not stand in a script's text are refused where they would.
func (f *frame) inputs(s Step) (map[string]any, error) {
	in := make(map[string]any, len(s.Inputs))
	for _, name := range sortedKeys(s.Inputs) {
		v, tainted, err := resolve(s.Inputs[name], f.scopeOf(s, name))
		if err != nil {
			return nil, fmt.Errorf("input %s: %w", name, err)
		}
		if tainted && s.Action == "aws:executeScript" && name == "Script" {
			return nil, fmt.Errorf("input %s: %s", name, unsafeText(s.Inputs[name], f.lookup))
		}
		in[name] = v
	}
	return in, nil
}

// scopeOf is how references in an input are resolved: in a script, braces that aren't ours are left alone.
func (f *frame) scopeOf(s Step, input string) scope {
	if s.Action != "aws:executeScript" || input != "Script" {
		return f.lookup
	}
	return func(name string) (value, error) {
		r, err := f.lookup(name)
		if err != nil {
			return value{asIs: true}, nil
		}
		return r, nil
	}
}

// unsafeText says which reference put a value into a script's text that may not stand there.
func unsafeText(v any, s scope) string {
	why := "a value may not stand in a script's text"
	var visit func(v any)
	visit = func(v any) {
		switch v := v.(type) {
		case string:
			for _, name := range references(v) {
				if r, err := s(name); err == nil && r.tainted {
					why = fmt.Sprintf("the value of {{ %s }}, %s, may not stand in a script's text: it is not harmless, and no allowedPattern or allowedValues vouch for it",
						name, quoted(r.v))
				}
			}
		case []any:
			for _, it := range v {
				visit(it)
			}
		}
	}
	visit(v)
	return why
}
