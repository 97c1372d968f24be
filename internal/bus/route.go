package bus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"homeostat/eventpattern"
	"homeostat/internal/signal"
)

// Route is an event pattern and the targets that an event which matches it starts.
type Route struct {
	// Name names the route in the audit log and on pages, and makes ids: keep it. A route of the configuration takes the place of
	// a built-in one with the same name.
	Name string `json:"name" yaml:"name"`
	// Pattern is an EventBridge event pattern.
	Pattern map[string]any `json:"pattern" yaml:"pattern"`
	// Targets are started in their order.
	Targets []Target `json:"targets" yaml:"targets"`
	// Off takes the route out of use and keeps its name.
	Off bool `json:"off,omitempty" yaml:"off"`
}

// Target is what a route starts: a runbook or a notification.
type Target struct {
	// Runbook is the name of an SSM document.
	Runbook string `json:"runbook,omitempty" yaml:"runbook"`
	// Notify is a name under notify, or "*" for all of them.
	Notify string `json:"notify,omitempty" yaml:"notify"`
	// Mode is how far the runbook may go: observe, approve or auto, and never further than the configuration's own mode.
	Mode signal.Mode `json:"mode,omitempty" yaml:"mode"`
	// Parameters are given to the runbook, as data. <name> in a text stands for what the event's detail, or else the event, has
	// there: <entity>, <labels.host_name>, <detail.labels.host_name>, <$.id>. A text that is one placeholder and nothing else
	// becomes the value itself, whatever its type, and is left out where the event has nothing there.
	Parameters map[string]any `json:"parameters,omitempty" yaml:"parameters"`
	// Repeat lets the runbook act more than once for an incident and entity.
	Repeat bool `json:"repeat,omitempty" yaml:"repeat"`
	// Guards of this runbook on this route.
	Guards signal.Guards `json:"guards,omitzero" yaml:"guards"`
	// InputPaths are the variables of an EventBridge input transformer: names and JSON paths into the event.
	InputPaths map[string]string `json:"input_paths,omitempty" yaml:"input_paths"`
	// InputTemplate is its template. What it makes is the notification's text, or, of a runbook, a JSON object of parameters in
	// place of those above.
	InputTemplate string `json:"input_template,omitempty" yaml:"input_template"`
	// Input is what the transformer made of the event.
	Input json.RawMessage `json:"-" yaml:"-"`
}

func (t *Target) kind() string {
	if t.Runbook != "" {
		return "runbook"
	}
	return "notify"
}

func (t *Target) name() string {
	if t.Runbook != "" {
		return "runbook " + t.Runbook
	}
	return "notify " + t.Notify
}

// ReadRoutes reads each *.json of a folder as a list of routes: the built-in ones are kept so.
func ReadRoutes(files fs.FS) ([]Route, error) {
	names, err := fs.Glob(files, "*.json")
	if err != nil {
		return nil, err
	}
	var out []Route
	for _, n := range names {
		text, err := fs.ReadFile(files, n)
		if err != nil {
			return nil, err
		}
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.DisallowUnknownFields()
		var list []Route
		if err := dec.Decode(&list); err != nil {
			return nil, fmt.Errorf("%s: %w", path.Base(n), err)
		}
		out = append(out, list...)
	}
	return out, nil
}

// Merge returns the built-in routes with a person's own: one of the same name takes the built-in's place, the rest come after.
func Merge(builtin, own []Route) []Route {
	out := slices.Clone(builtin)
	for _, r := range own {
		if i := slices.IndexFunc(builtin, func(b Route) bool { return b.Name == r.Name }); i >= 0 {
			out[i] = r
		} else {
			out = append(out, r)
		}
	}
	return out
}

// routeSet is all routes, ready to match. It never changes.
type routeSet struct {
	routes []*compiled
	all    []Route
}

type compiled struct {
	route   Route
	pattern *eventpattern.Pattern
	targets []compiledTarget
}

type compiledTarget struct {
	Target
	transformer *eventpattern.Transformer
}

func (s *routeSet) list() []Route { return slices.Clone(s.all) }

func compile(routes []Route) (*routeSet, error) {
	set := &routeSet{all: slices.Clone(routes)}
	var errs []error
	names := map[string]bool{}
	for i, r := range routes {
		where := "route " + r.Name
		if r.Name == "" {
			where = fmt.Sprintf("route %d", i+1)
			errs = append(errs, fmt.Errorf("%s: it has no name", where))
		} else if names[r.Name] {
			errs = append(errs, fmt.Errorf("%s: there is another with this name", where))
		}
		names[r.Name] = true
		if r.Off {
			continue
		}
		c, err := r.compile(where)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		set.routes = append(set.routes, c)
	}
	return set, errors.Join(errs...)
}

// Check returns what is wrong with the route, all at once: for the configuration, before there is a bus.
func (r Route) Check() error {
	_, err := r.compile("route " + r.Name)
	return err
}

func (r Route) compile(where string) (*compiled, error) {
	c := &compiled{route: r}
	var errs []error
	text, err := json.Marshal(r.Pattern)
	if err == nil {
		c.pattern, err = eventpattern.Parse(where+": pattern", text)
	}
	if err != nil {
		errs = append(errs, err)
	}
	if len(r.Targets) == 0 {
		errs = append(errs, fmt.Errorf("%s: it has no targets", where))
	}
	for i, t := range r.Targets {
		at := fmt.Sprintf("%s: target %d", where, i+1)
		ct := compiledTarget{Target: t}
		switch {
		case (t.Runbook == "") == (t.Notify == ""):
			errs = append(errs, fmt.Errorf("%s: it needs either runbook or notify", at))
		case t.Notify != "" && (t.Mode != "" || len(t.Parameters) > 0 || t.Repeat):
			errs = append(errs, fmt.Errorf("%s: mode, parameters and repeat are a runbook's", at))
		case t.Mode != "" && signal.Least(t.Mode, signal.Auto) != t.Mode:
			errs = append(errs, fmt.Errorf("%s: mode: want observe, approve or auto, not %q", at, t.Mode))
		}
		if t.InputTemplate != "" {
			ct.transformer, err = eventpattern.NewTransformer(at+": input_template", t.InputPaths, t.InputTemplate)
			if err != nil {
				errs = append(errs, err)
			}
		} else if len(t.InputPaths) > 0 {
			errs = append(errs, fmt.Errorf("%s: input_paths without input_template", at))
		}
		c.targets = append(c.targets, ct)
	}
	return c, errors.Join(errs...)
}

// fill returns the target with its parameters and input for one event.
func (t *compiledTarget) fill(route string, envelope []byte, now time.Time) (Target, error) {
	out := t.Target
	if t.transformer != nil {
		input, err := t.transformer.Transform(envelope, eventpattern.Variables{RuleName: route, IngestionTime: now})
		if err != nil {
			return out, fmt.Errorf("input_template: %w", err)
		}
		out.Input = input
		if t.Runbook != "" {
			out.Parameters = nil
			if err := json.Unmarshal(input, &out.Parameters); err != nil {
				return out, fmt.Errorf("input_template: a runbook's input has to be a JSON object: %w", err)
			}
		}
		return out, nil
	}
	if len(t.Parameters) == 0 {
		return out, nil
	}
	var event map[string]any
	if err := json.Unmarshal(envelope, &event); err != nil {
		return out, err
	}
	out.Parameters = make(map[string]any, len(t.Parameters))
	for name, v := range t.Parameters {
		if filled, ok := fillValue(v, event); ok {
			out.Parameters[name] = filled
		}
	}
	return out, nil
}

// fillValue replaces placeholders in a value, and in lists and objects in it. It reports false for a placeholder alone that
// finds nothing.
func fillValue(v any, event map[string]any) (any, bool) {
	switch v := v.(type) {
	case string:
		return fillText(v, event)
	case []any:
		out := make([]any, 0, len(v))
		for _, e := range v {
			if f, ok := fillValue(e, event); ok {
				out = append(out, f)
			}
		}
		return out, true
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			if f, ok := fillValue(e, event); ok {
				out[k] = f
			}
		}
		return out, true
	}
	return v, true
}

func fillText(s string, event map[string]any) (any, bool) {
	if path, rest, ok := placeholder(s); ok && rest == "" {
		return lookup(event, path)
	}
	var b strings.Builder
	for s != "" {
		path, rest, ok := placeholder(s)
		if !ok {
			b.WriteByte(s[0])
			s = s[1:]
			continue
		}
		if v, found := lookup(event, path); found {
			if text, isText := v.(string); isText {
				b.WriteString(text)
			} else if text, err := json.Marshal(v); err == nil {
				b.Write(text)
			}
		}
		s = rest
	}
	return b.String(), true
}

// placeholder reads one at the start of s. What doesn't look like one, such as "a < b", is text.
func placeholder(s string) (path, rest string, ok bool) {
	if !strings.HasPrefix(s, "<") {
		return "", "", false
	}
	path, rest, ok = strings.Cut(s[1:], ">")
	if !ok || path == "" || strings.ContainsFunc(path, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("_-.$", r)
	}) {
		return "", "", false
	}
	return path, rest, true
}

// lookup finds what stands at a path, in the detail, or else in the whole event. "$." always means the whole event.
func lookup(event map[string]any, path string) (any, bool) {
	if p, whole := strings.CutPrefix(path, "$."); whole {
		return walk(event, p)
	}
	if detail, ok := event["detail"].(map[string]any); ok {
		if v, ok := walk(detail, path); ok {
			return v, true
		}
	}
	return walk(event, path)
}

func walk(v any, path string) (any, bool) {
	for step := range strings.SplitSeq(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = m[step]; !ok {
			return nil, false
		}
	}
	return v, v != nil
}

// Routed is a target that an event starts.
type Routed struct {
	Route  string
	Target Target // with its parameters filled in
}

// Targets returns what an event would start, without starting anything.
func (b *Bus) Targets(ev signal.Event) ([]Routed, error) {
	envelope, err := json.Marshal(ev)
	if err != nil {
		return nil, err
	}
	var out []Routed
	for _, c := range b.routes.Load().routes {
		ok, err := c.pattern.Match(envelope)
		if err != nil {
			return nil, fmt.Errorf("route %s: %w", c.route.Name, err)
		}
		if !ok {
			continue
		}
		for i := range c.targets {
			t, err := c.targets[i].fill(c.route.Name, envelope, ev.Time)
			if err != nil {
				return nil, fmt.Errorf("route %s: %w", c.route.Name, err)
			}
			out = append(out, Routed{Route: c.route.Name, Target: t})
		}
	}
	return out, nil
}
