package runbook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/ext"

	"homeostat/internal/signal"
)

// Condition is a guard in CEL. What it can ask:
//
//	event    the event that began the execution, as its envelope has it: event.detail.rule
//	entity   id, kind, name, labels, and tags (labels, and tags that came as labels tag_NAME, without that prefix)
//	time     hour, minute, day, month, year, weekday ("Monday"), in this machine's zone; unix (seconds)
//	history  acted (executions of this runbook that acted on this entity within a day), failed (how often verification has
//	         failed there), since (seconds since it acted there last; -1 never), acting (executions that act now)
//	runbook, route, mode, incident   texts
//
// A condition that can't be evaluated (a field that isn't there, too much work) refuses.
type Condition struct {
	text    string
	program cel.Program
}

// Bounds on a condition.
const (
	maxCondition  = 4096
	conditionCost = 100_000
	conditionTime = time.Second
)

// NewCondition compiles a condition.
func NewCondition(text string) (Condition, error) {
	c := Condition{text: text}
	if len(text) > maxCondition {
		return c, fmt.Errorf("%d bytes; %d are the most", len(text), maxCondition)
	}
	things := cel.MapType(cel.StringType, cel.DynType)
	env, err := cel.NewEnv(
		cel.Variable("event", things), cel.Variable("entity", things), cel.Variable("time", things), cel.Variable("history", things),
		cel.Variable("runbook", cel.StringType), cel.Variable("route", cel.StringType), cel.Variable("mode", cel.StringType),
		cel.Variable("incident", cel.StringType), ext.Strings(),
	)
	if err != nil {
		return c, err
	}
	ast, issues := env.Compile(text)
	if err := issues.Err(); err != nil {
		return c, errors.New(strings.Join(strings.Fields(err.Error()), " "))
	}
	if t := ast.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return c, fmt.Errorf("it is of type %s, and true or false is wanted", t)
	}
	c.program, err = env.Program(ast, cel.CostLimit(conditionCost), cel.InterruptCheckFrequency(100), cel.EvalOptions(cel.OptOptimize))
	return c, err
}

// Name implements Guard.
func (Condition) Name() string { return "condition" }

// Check implements Guard.
func (c Condition) Check(a Act) (Verdict, string) {
	if c.program == nil {
		return Refuse, "the condition is not known"
	}
	ctx, cancel := context.WithTimeout(context.Background(), conditionTime)
	defer cancel()
	v, _, err := c.program.ContextEval(ctx, a.facts(a.now()))
	if err != nil {
		return Refuse, fmt.Sprintf("the condition %s can't be evaluated: %v", c.text, err)
	}
	switch ok := v.Value().(type) {
	case bool:
		if ok {
			return Allow, ""
		}
		return Refuse, "the condition does not hold: " + c.text
	default:
		return Refuse, fmt.Sprintf("the condition %s is %v, and neither true nor false", c.text, ok)
	}
}

// facts are what a condition can ask.
func (a Act) facts(now time.Time) map[string]any {
	tags := make(map[string]string, len(a.Labels))
	maps.Copy(tags, a.Labels)
	for k, v := range a.Labels {
		if name, ok := strings.CutPrefix(k, "tag_"); ok {
			tags[name] = v
		}
	}
	since := -1.0
	if !a.LastActed.IsZero() {
		since = now.Sub(a.LastActed).Seconds()
	}
	labels := a.Labels
	if labels == nil {
		labels = map[string]string{}
	}
	event := a.Event
	if event == nil {
		event = map[string]any{}
	}
	now = now.Local()
	return map[string]any{
		"event": event,
		"entity": map[string]any{
			"id": string(a.Entity), "kind": a.Entity.Kind(), "name": a.Entity.Name(), "labels": labels, "tags": tags,
		},
		"time": map[string]any{
			"hour": now.Hour(), "minute": now.Minute(), "day": now.Day(), "month": int(now.Month()), "year": now.Year(),
			"weekday": now.Weekday().String(), "unix": now.Unix(),
		},
		"history": map[string]any{"acted": a.Acted, "failed": a.Failed, "since": since, "acting": a.Acting},
		"runbook": a.Runbook, "route": a.Route, "mode": string(a.Mode), "incident": a.Incident,
	}
}

// eventMap is an event as conditions see it.
func eventMap(ev signal.Event) map[string]any {
	out := map[string]any{}
	text, err := json.Marshal(ev)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		return map[string]any{}
	}
	return out
}
