package runbook

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"homeostat/automation"
	"homeostat/internal/signal"
)

// Rehearsal plays starts through guards, in the order of their times, and keeps what was found. It touches nothing: neither
// tables nor the world. Steps are not run, so an execution counts as one that acts, and as over within a minute.
type Rehearsal struct {
	r      *Runbooks
	out    signal.Rehearsal
	acted  []rehearsedAct
	begun  map[string]bool // by finding, route and runbook
	labels map[signal.EntityID]map[string]string
	all    []signal.Entity
}

// rehearsedAct is an execution that would have acted, or asked to.
type rehearsedAct struct {
	at       time.Time
	runbook  string
	entity   signal.EntityID
	incident string
}

// rehearsedTime is how long an execution acts in a rehearsal.
const rehearsedTime = time.Minute

// maxRehearsed bounds the executions that are listed; all are counted.
const maxRehearsed = 10_000

// Rehearse begins a rehearsal.
func (r *Runbooks) Rehearse(ctx context.Context) (*Rehearsal, error) {
	p := &Rehearsal{r: r, begun: map[string]bool{}, labels: map[signal.EntityID]map[string]string{}}
	p.out.Executions, p.out.Runbooks = []signal.RehearsedExecution{}, []signal.RehearsedRunbook{}
	if r.need.Entities == nil {
		return p, nil
	}
	var err error
	if p.all, err = r.need.Entities(ctx); err != nil {
		return nil, err
	}
	for _, e := range p.all {
		p.labels[e.ID] = e.Labels
	}
	return p, nil
}

// Start rehearses what a route would have started for an event at its time. incident is the one that it would be of.
func (p *Rehearsal) Start(ctx context.Context, ev signal.Event, head signal.Head, why, incident, route string, t Target) {
	id := signal.MakeID(signal.KindExecution, finding(ev, head, t), route, t.Runbook)
	if p.begun[id] {
		return
	}
	p.begun[id] = true
	mode := signal.Least(p.r.cfg.Mode, t.Mode)
	x := signal.RehearsedExecution{
		Time: ev.Time, Runbook: t.Runbook, Route: route, Entity: head.Entity, Mode: mode, Incident: incident, Why: why,
	}
	guard, reason := p.refusal(ctx, ev, x, t)
	sum := p.sum(route, t.Runbook, mode)
	sum.Started++
	switch {
	case guard != "":
		x.Outcome, x.Guard, x.Reason = "refused", guard, reason
		sum.Refused[guard]++
	case mode == signal.Auto:
		x.Outcome = "done"
		sum.Done++
	case mode == signal.Approve:
		x.Outcome = "asked"
		sum.Asked++
	default:
		x.Outcome = "observed"
		sum.Observed++
	}
	if guard == "" {
		p.acted = append(p.acted, rehearsedAct{ev.Time, t.Runbook, head.Entity, incident})
	}
	if len(p.out.Executions) < maxRehearsed {
		p.out.Executions = append(p.out.Executions, x)
	}
}

// refusal asks the guards of today about a moment of the past. The kill switch is of today alone, and isn't asked.
func (p *Rehearsal) refusal(ctx context.Context, ev signal.Event, x signal.RehearsedExecution, t Target) (guard, reason string) {
	doc, err := p.r.need.Catalog.Document(t.Runbook, "")
	switch {
	case err != nil:
		return "unknown", fmt.Sprintf("there is no runbook called %s", t.Runbook)
	case doc.Type != automation.TypeAutomation:
		return "unknown", t.Runbook + " is a Command document, and no runbook by itself"
	}
	given := map[string]any{}
	maps.Copy(given, t.Parameters)
	if _, ok := doc.Parameter("Entity"); ok && given["Entity"] == nil && x.Entity != "" {
		given["Entity"] = string(x.Entity)
	}
	if _, err := doc.Bind(given); err != nil {
		return "parameters", "its parameters don't fit: " + err.Error()
	}
	if e, ok := given["Entity"].(string); ok && p.r.need.Reaches != nil {
		if err := p.r.need.Reaches(e); err != nil {
			return "entity", err.Error()
		}
	}
	rules := p.r.rulesFor(&execution{Execution: signal.Execution{Runbook: t.Runbook, Route: x.Route}})
	a := Act{
		Runbook: t.Runbook, Route: x.Route, Entity: x.Entity, Incident: x.Incident, Mode: x.Mode, Repeat: t.Repeat, Now: ev.Time,
		Outside: Outside{Event: eventMap(ev), Labels: p.labels[x.Entity]},
	}
	a.Group, a.GroupErr = groupOf(x.Entity, a.Labels, p.all, rules.Group)
	a.Frozen, a.FreezeErr = frozenAt(ctx, p.r.need.Calendars, rules.Freezes, ev.Time)
	for _, o := range p.acted {
		same := o.runbook == a.Runbook && o.entity == a.Entity
		if ago := ev.Time.Sub(o.at); ago < rehearsedTime {
			a.Acting++
		}
		if ev.Time.Sub(o.at) < max(rules.Cooldown, rehearsedTime) {
			a.Touched = append(a.Touched, o.entity)
		}
		if same {
			a.LastActed = o.at
			if ev.Time.Sub(o.at) < 24*time.Hour {
				a.Acted++
			}
			if o.incident == a.Incident && o.incident != "" {
				a.SameIncident = "one at " + o.at.Format(time.RFC3339)
			}
		}
	}
	_, guard, reason = ask(rules.guards, a)
	return guard, reason
}

// sum returns where a route's runbook is counted.
func (p *Rehearsal) sum(route, runbook string, mode signal.Mode) *signal.RehearsedRunbook {
	i := slices.IndexFunc(p.out.Runbooks, func(s signal.RehearsedRunbook) bool { return s.Route == route && s.Runbook == runbook })
	if i < 0 {
		p.out.Runbooks = append(p.out.Runbooks, signal.RehearsedRunbook{Runbook: runbook, Route: route, Mode: mode, Refused: map[string]int{}})
		i = len(p.out.Runbooks) - 1
	}
	return &p.out.Runbooks[i]
}

// Report returns what was found.
func (p *Rehearsal) Report() signal.Rehearsal {
	slices.SortFunc(p.out.Runbooks, func(a, b signal.RehearsedRunbook) int {
		return strings.Compare(a.Route+"\x00"+a.Runbook, b.Route+"\x00"+b.Runbook)
	})
	return p.out
}
