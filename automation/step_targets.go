package automation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Targeter is implemented by Hands that can find what a target of rate control stands for. Targets returns the values that
// parameter takes, the step's TargetParameterName ("InstanceIds" of aws:runCommand), one for each thing that key ("tag:Env",
// "ResourceGroup") and values name, in the order in which they are to be taken. It only reads. The keys "ParameterValues" and
// "InstanceIds" name values outright, and aren't asked.
type Targeter interface {
	Targets(ctx context.Context, parameter, key string, values []string) ([]string, error)
}

// What Systems Manager takes when a step doesn't say.
const (
	defaultConcurrency = "10"
	defaultErrors      = "0"
)

// maxTargets bounds a step's targets.
const maxTargets = 1000

// targeted is an execution of a document for each of several targets.
type targeted struct {
	each        []map[string]any // what each target adds to the parameters
	concurrency int              // how many may be under way at once
	errors      int              // how many may fail before no more are begun
}

// rateOf works out a number or a percentage of n.
func rateOf(v any, def string, n int) (int, error) {
	text := strings.TrimSpace(textOf(v))
	if text == "" {
		text = def
	}
	if !rate.MatchString(text) {
		return 0, fmt.Errorf("a number or a percentage is wanted, not %q", text)
	}
	if share, ok := strings.CutSuffix(text, "%"); ok {
		p, err := strconv.Atoi(share)
		return int(math.Floor(float64(n) * float64(p) / 100)), err
	}
	return strconv.Atoi(text)
}

// targets resolves a step's targets. What was resolved when the step began is what it goes on with.
func (f *frame) targets(ctx context.Context, e Entry) (targeted, error) {
	var t targeted
	if kept, ok := f.known(e.Outputs["Targets"]).([]any); ok {
		for _, m := range kept {
			one, _ := m.(map[string]any)
			t.each = append(t.each, one)
		}
	} else if err := f.findTargets(ctx, e, &t); err != nil {
		return t, err
	}
	if len(t.each) > maxTargets {
		return t, fmt.Errorf("%d targets; %d are the most", len(t.each), maxTargets)
	}
	var err1, err2 error
	t.concurrency, err1 = rateOf(e.Inputs["MaxConcurrency"], defaultConcurrency, len(t.each))
	t.concurrency = max(t.concurrency, 1)
	t.errors, err2 = rateOf(e.Inputs["MaxErrors"], defaultErrors, len(t.each))
	if err1 != nil {
		err1 = fmt.Errorf("MaxConcurrency: %w", err1)
	}
	if err2 != nil {
		err2 = fmt.Errorf("MaxErrors: %w", err2)
	}
	return t, errors.Join(err1, err2)
}

// findTargets finds the targets that the step's inputs name, each once.
func (f *frame) findTargets(ctx context.Context, e Entry, t *targeted) error {
	if maps, ok := e.Inputs["TargetMaps"].([]any); ok {
		for _, m := range maps {
			one, ok := m.(map[string]any)
			if !ok {
				return fmt.Errorf("target maps: a list of maps is wanted, not %s", quoted(maps))
			}
			t.each = append(t.each, one)
		}
		return nil
	}
	into := textOf(e.Inputs["TargetParameterName"])
	if into == "" {
		return errors.New("targets need a TargetParameterName")
	}
	values, err := f.valuesOf(ctx, into, e.Inputs["Targets"])
	for _, v := range values {
		t.each = append(t.each, map[string]any{into: v})
	}
	return err
}

// valuesOf resolves a list of targets, {Key, Values} each.
func (f *frame) valuesOf(ctx context.Context, parameter string, targets any) ([]string, error) {
	list, ok := targets.([]any)
	if !ok {
		return nil, fmt.Errorf("targets: a list is wanted, not %s", quoted(targets))
	}
	var out []string
	for _, it := range list {
		m, _ := it.(map[string]any)
		key := textOf(m["Key"])
		named, err := coerce(cmpAny(m["Values"]), "StringList")
		if err != nil || key == "" {
			return nil, fmt.Errorf("targets: a Key and Values are wanted, not %s", quoted(it))
		}
		var values []string
		l, _ := named.([]any)
		for _, v := range l {
			values = append(values, textOf(v))
		}
		if key != "ParameterValues" && key != "InstanceIds" {
			finder, ok := f.w.Hands.(Targeter)
			if !ok {
				return nil, fmt.Errorf("targets: %s can't be found here", key)
			}
			if values, err = finder.Targets(ctx, parameter, key, values); err != nil {
				return nil, fmt.Errorf("targets: %s: %w", key, err)
			}
		}
		for _, v := range values {
			if !slices.Contains(out, v) {
				out = append(out, v)
			}
		}
	}
	return out, nil
}

// targetsHere says that the targets of a step are found by the package, or by Hands for it; else the step goes to Hands whole.
func (f *frame) targetsHere(in map[string]any) bool {
	for _, name := range []string{"TargetLocations", "TargetLocationsURL"} {
		if _, ok := in[name]; ok {
			return false
		}
	}
	if _, ok := f.w.Hands.(Targeter); ok {
		return true
	}
	list, _ := in["Targets"].([]any)
	return !slices.ContainsFunc(list, func(it any) bool {
		m, _ := it.(map[string]any)
		key := textOf(m["Key"])
		return key != "ParameterValues" && key != "InstanceIds"
	})
}

// runTargets runs a document once for each target: as many at once as MaxConcurrency says (while one waits, the next is begun),
// and none more once more than MaxErrors have failed; those under way then go on to their ends. The steps for target i,
// counted from 1, have the paths step[i]/inner.
func (f *frame) runTargets(ctx context.Context, s Step, e Entry, begun bool, d *Document) (Entry, error) {
	t, err := f.targets(ctx, e)
	if err != nil {
		return f.ended(ctx, e, Failed, err.Error())
	}
	kept := make([]any, len(t.each))
	for i, m := range t.each {
		kept[i] = m
	}
	if e.Outputs == nil {
		e.Outputs = map[string]any{}
	}
	e.Outputs["Targets"] = kept
	given, clean, err := f.given(s.Inputs["RuntimeParameters"])
	if err != nil {
		return f.ended(ctx, e, Failed, err.Error())
	}
	return f.contained(ctx, s, e, begun, func(ctx context.Context, prefix string, e *Entry) (end, error) {
		prefix = strings.TrimSuffix(prefix, "/")
		var open []Entry
		failed, done := 0, 0
		outs, states := []any{}, map[string]any{}
		reason := ""
		changes := false
		for i, one := range t.each {
			path := fmt.Sprintf("%s[%d]/", prefix, i+1)
			started, err := f.started(ctx, path, d)
			if err != nil {
				return end{}, err
			}
			if !started && (len(open) >= t.concurrency || failed > t.errors) {
				continue
			}
			params := make(map[string]any, len(given)+len(one))
			maps.Copy(params, given)
			trusted := make(map[string]bool, len(clean))
			maps.Copy(trusted, clean)
			for k, v := range one {
				params[k] = v
				delete(trusted, k)
			}
			bound, err := d.Bind(single(d, params))
			if err != nil {
				failed, done, reason = failed+1, done+1, fmt.Sprintf("target %d: %v", i+1, err)
				states[strconv.Itoa(i+1)] = Failed
				continue
			}
			g := f.frame(d, path, bound, trusted)
			g.depth = f.depth + 1
			r, err := g.walk(ctx, d.Steps)
			changes = changes || g.changes
			switch {
			case err != nil:
				return r, err
			case r.wait != nil:
				open = append(open, *r.wait)
				continue
			case r.state == Cancelled || r.state == Refused:
				return r, nil
			case r.state != Success:
				failed++
				reason = fmt.Sprintf("step %s: %s", r.step, r.reason)
			}
			done++
			states[strconv.Itoa(i+1)] = r.state
			for _, name := range d.Outputs {
				if v, ok := g.documentOutputs()[name]; ok {
					outs = append(outs, v)
				}
			}
		}
		if changes {
			e.Effect = Changing
		}
		if len(open) > 0 {
			w := waitFor(open)
			return end{wait: &w}, nil
		}
		result := end{state: Success}
		e.Note = fmt.Sprintf("%d of %d targets, %d failed", done, len(t.each), failed)
		if failed > t.errors {
			result.state, result.reason = Failed, fmt.Sprintf("%s, and %d may; the last: %s", e.Note, t.errors, reason)
		}
		e.Outputs = map[string]any{"Output": outs, "ExecutionId": f.x.ID + "/" + prefix, "Status": result.state, "Targets": kept, "States": states}
		return result, nil
	})
}

// started says that a target's document has begun.
func (f *frame) started(ctx context.Context, path string, d *Document) (bool, error) {
	_, begun, err := f.w.Journal.Step(context.WithoutCancel(ctx), path+d.Steps[0].Name)
	return begun, err
}

// waitFor is the one entry that stands for several that wait: a person's question, where there is one, at the earliest time of
// them all.
func waitFor(open []Entry) Entry {
	w := open[0]
	var until time.Time
	for _, e := range open {
		if w.Approval == nil && e.Approval != nil {
			w = e
		}
		if !e.Until.IsZero() && (until.IsZero() || e.Until.Before(until)) {
			until = e.Until
		}
	}
	w.Until = until
	return w
}

// given resolves what a step gives to a document's parameters. clean are those that nothing tainted went into.
func (f *frame) given(v any) (params map[string]any, clean map[string]bool, err error) {
	written, ok := v.(map[string]any)
	if !ok && v != nil {
		r, _, err := resolve(v, f.lookup)
		if err != nil {
			return nil, nil, err
		}
		if written, ok = r.(map[string]any); !ok {
			return nil, nil, fmt.Errorf("parameters: a map is wanted, not %s", quoted(r))
		}
		return written, nil, nil // a map from elsewhere: nothing vouches for its values
	}
	params, clean = map[string]any{}, map[string]bool{}
	for _, name := range sortedKeys(written) {
		r, tainted, err := resolve(written[name], f.lookup)
		if err != nil {
			return nil, nil, fmt.Errorf("parameter %s: %w", name, err)
		}
		params[name], clean[name] = r, !tainted
	}
	return params, clean, nil
}
