package runbook

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"homeostat/automation"
	"homeostat/internal/signal"
)

// forTargets makes the document that runs another one once for each target: one step, aws:executeAutomation with rate control.
// What is given goes in as its parameters, so that no value is read as part of a document.
func forTargets(doc *automation.Document, given map[string]any, c signal.RateControl) (*automation.Document, string, error) {
	into := c.Parameter
	if into == "" {
		into = "Entity"
	}
	if _, ok := doc.Parameter(into); !ok {
		return nil, "", fmt.Errorf("%s has no parameter %s for targets to go into", doc.Name, into)
	}
	if _, ok := given[into]; ok {
		return nil, "", fmt.Errorf("parameter %s is what the targets go into", into)
	}
	parameters, passed := map[string]any{}, map[string]any{}
	for name := range given {
		q, ok := doc.Parameter(name)
		if !ok {
			return nil, "", fmt.Errorf("%s has no parameter %s", doc.Name, name)
		}
		parameters[name], passed[name] = map[string]any{"type": q.Type}, "{{ "+name+" }}"
	}
	targets := make([]any, len(c.Targets))
	for i, t := range c.Targets {
		targets[i] = map[string]any{"Key": t.Key, "Values": t.Values}
	}
	inputs := map[string]any{"DocumentName": doc.Name, "RuntimeParameters": passed, "Targets": targets, "TargetParameterName": into}
	if c.MaxConcurrency != "" {
		inputs["MaxConcurrency"] = c.MaxConcurrency
	}
	if c.MaxErrors != "" {
		inputs["MaxErrors"] = c.MaxErrors
	}
	text, err := json.MarshalIndent(map[string]any{
		"schemaVersion": "0.3", "description": doc.Name + " for several targets", "parameters": parameters,
		"mainSteps": []any{map[string]any{"name": "targets", "action": "aws:executeAutomation", "inputs": inputs}},
	}, "", " ")
	if err != nil {
		return nil, "", err
	}
	made, err := automation.Parse(doc.Name+".json", text)
	return made, string(text), err
}

// targeted is the target that a step is for, and all the others of the same execution: of the outermost step with rate control
// that it lies within. ok is false where there is none.
func (j *journal) targeted(path string) (target string, others []string, ok bool) {
	for _, p := range j.order {
		rest, within := strings.CutPrefix(path, p+"[")
		number, _, is := strings.Cut(rest, "]")
		list, _ := j.entries[p].Outputs["Targets"].([]any)
		nth, err := strconv.Atoi(number)
		if !within || !is || err != nil || nth < 1 || nth > len(list) {
			continue
		}
		for i, it := range list {
			one, _ := it.(map[string]any)
			value, named := one["Entity"].(string)
			if !named && len(one) == 1 {
				for _, v := range one {
					value, named = v.(string)
				}
			}
			switch {
			case !named:
			case i == nth-1:
				target = value
			default:
				others = append(others, value)
			}
		}
		return target, others, target != ""
	}
	return "", nil, false
}

// aimed is the act that a step within rate control is: it is about its own target, and the other targets count as acted on, as
// all of them will be. Where no entity that is watched is called as the target, or has it as its host.id, the target's own
// name stands for one.
func (g *gate) aimed(ctx context.Context, path string) (entity signal.EntityID, others []signal.EntityID, err error) {
	target, rest, ok := g.j.targeted(path)
	if !ok {
		return g.x.Entity, nil, nil
	}
	var all []signal.Entity
	if g.r.need.Entities != nil {
		if all, err = g.r.need.Entities(ctx); err != nil {
			return g.x.Entity, nil, err
		}
	}
	find := func(name string) signal.EntityID {
		i := slices.IndexFunc(all, func(e signal.Entity) bool { return string(e.ID) == name || name != "" && e.Labels["host_id"] == name })
		if i < 0 {
			return signal.EntityID(name)
		}
		return all[i].ID
	}
	for _, o := range rest {
		others = append(others, find(o))
	}
	return find(target), others, nil
}
