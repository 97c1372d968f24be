package automation

import (
	"context"
	"fmt"
)

// maxIterations is the most rounds of a loop.
const maxIterations = 100

// runLoop runs the steps of aws:loop, for each item or while a condition holds after a round. The steps of round i, counted
// from 1, have the paths loop[i]/step.
func runLoop(ctx context.Context, f *frame, s Step, e Entry, begun bool) (Entry, error) {
	items, each, err := f.iterators(s)
	if err != nil {
		return f.ended(ctx, e, Failed, err.Error())
	}
	rounds := maxIterations
	if v, ok := s.Inputs["MaxIterations"]; ok {
		r, _, err := resolve(v, f.lookup)
		n, err2 := coerce(r, "Integer")
		count, isInt := n.(int64)
		if err != nil || err2 != nil || !isInt || count < 1 || count > maxIterations {
			return f.ended(ctx, e, Failed, fmt.Sprintf("MaxIterations: 1 to %d is wanted, not %s", maxIterations, quoted(r)))
		}
		rounds = int(count)
	}
	if each {
		rounds = min(rounds, len(items))
	}
	if !begun {
		if e, err = f.intend(ctx, e, InProgress); err != nil {
			return e, err
		}
	}
	i := 0
	for i < rounds {
		i++
		if f.overdue(s, e) {
			return f.ended(ctx, e, TimedOut, errStepTime.Error())
		}
		current := map[string]any{"CurrentIteration": int64(i)}
		if each {
			current["CurrentIteratorValue"] = items[i-1]
		}
		f.outputs[s.Name] = current // what the loop's own steps see
		g := f.round(fmt.Sprintf("%s[%d]/", e.Path, i))
		done, err := g.walk(ctx, s.Steps)
		delete(f.outputs, s.Name)
		if err != nil {
			return e, err
		}
		e.Outputs = current
		if g.changes {
			e.Effect = Changing
		}
		switch {
		case done.wait != nil:
			return *done.wait, nil
		case done.state != Success:
			return f.ended(ctx, e, done.state, fmt.Sprintf("round %d, step %s: %s", i, done.step, done.reason))
		}
		if !each {
			again, err := g.again(s, current)
			if err != nil {
				return f.ended(ctx, e, Failed, err.Error())
			}
			if again == isUnknown {
				e.Note = fmt.Sprintf("whether it goes round again after round %d can't be known yet", i)
			}
			if again != isTrue {
				break
			}
		}
	}
	return f.ended(ctx, e, Success, "")
}

// iterators are the items of a for-each loop, of the type that it declares.
func (f *frame) iterators(s Step) (items []any, each bool, err error) {
	v, each := s.Inputs["Iterators"]
	if !each {
		return nil, false, nil
	}
	r, _, err := resolve(v, f.lookup)
	if err != nil {
		return nil, true, err
	}
	if u, ok := r.(Unknown); ok {
		return []any{u}, true, nil // one round, to show what it would do
	}
	list, ok := r.([]any)
	if !ok {
		c, err := coerce(r, "StringList")
		if err != nil {
			return nil, true, fmt.Errorf("input Iterators: a list is wanted, not %s", quoted(r))
		}
		list, _ = c.([]any)
	}
	if len(list) > maxIterations {
		return nil, true, fmt.Errorf("%d items to go through: %d are the most", len(list), maxIterations)
	}
	typ := "String"
	if t, ok := s.Inputs["IteratorDataType"].(string); ok {
		typ = t
	}
	for i, it := range list {
		c, err := coerce(it, typ)
		if err != nil {
			return nil, true, fmt.Errorf("input Iterators, item %d: %w", i+1, err)
		}
		items = append(items, c)
	}
	return items, true, nil
}

// again evaluates the LoopCondition after a round, with the outputs of the round's steps.
func (f *frame) again(s Step, current map[string]any) (truth, error) {
	f.outputs[s.Name] = current
	m, _ := s.Inputs["LoopCondition"].(map[string]any)
	t, _, err := evaluate(m, f.lookup)
	return t, err
}
