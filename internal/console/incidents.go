package console

import (
	"context"
	"net/http"
	"slices"

	"homeostat/internal/signal"
)

// incidentsView is the list of incidents, newest first.
type incidentsView struct {
	Rows   []incidentRow
	State  string
	States []choice
	Older  string
	Later  bool
}

func (incidentsView) title() string { return "Incidents" }

func (c *Console) incidents(ctx context.Context, r *http.Request) (titled, error) {
	q := r.URL.Query()
	v := incidentsView{State: q.Get("state"), Later: q.Get("after") != ""}
	v.States = choices("/incidents", "state", v.State, "", "all", "open", "open", "resolved", "resolved")
	if c.loop.Incidents == nil {
		return v, nil
	}
	ins, next, err := c.loop.Incidents.List(ctx, signal.Query{Newest: true, Limit: pageRows, After: q.Get("after"), State: v.State})
	if err != nil {
		return nil, err
	}
	for _, in := range ins {
		v.Rows = append(v.Rows, newIncidentRow(in))
	}
	v.Older = older("/incidents", next, "state", v.State)
	return v, nil
}

// choices makes links that set one parameter: values and names alternate.
func choices(path, param, at string, valuesAndNames ...string) []choice {
	var out []choice
	for i := 0; i < len(valuesAndNames); i += 2 {
		link := path
		if valuesAndNames[i] != "" {
			link += "?" + param + "=" + seg(valuesAndNames[i])
		}
		out = append(out, choice{valuesAndNames[i+1], link, valuesAndNames[i] == at})
	}
	return out
}

// incidentView is one incident: what was seen, what was done, and everything in order.
type incidentView struct {
	incidentRow
	Findings   []*findingView
	Executions []executionRow
	Timeline   []eventRow
	Cut        bool // the timeline is longer than shown
	MayResolve bool
	MayAct     bool
}

func (v incidentView) title() string { return v.Title }

// newMember lays out what an incident holds. What the incident knows goes before what the detail says: it is newer.
func newMember(m signal.Member) *findingView {
	f := newFinding(m.Kind, m.Detail)
	if f == nil {
		f = &findingView{}
	}
	f.ID, f.Kind, f.Tone, f.Began, f.Ended = m.ID, m.Kind, tone(m.Severity), m.Began, m.Ended
	if m.Title != "" && f.Access == nil { // whose title says what it is, as the line below does
		f.Reason = m.Title
	}
	return f
}

func (c *Console) incident(ctx context.Context, r *http.Request) (titled, error) {
	if c.loop.Incidents == nil {
		return nil, errAbsent
	}
	in, err := c.loop.Incidents.Get(ctx, r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	a := signal.ActorOf(ctx)
	v := incidentView{incidentRow: newIncidentRow(in), MayResolve: in.State == "open" && a.Role.Allows(signal.Operator), MayAct: a.Role.Allows(signal.Approver)}
	for _, m := range in.Members {
		v.Findings = append(v.Findings, newMember(m))
	}
	if err := c.judged(ctx, "/incidents/"+seg(in.ID), v.Findings...); err != nil {
		return nil, err
	}
	if c.loop.Executions != nil {
		xs, _, err := c.loop.Executions.Executions(ctx, signal.Query{Incident: in.ID, Limit: 100})
		if err != nil {
			return nil, err
		}
		for _, x := range xs {
			v.Executions = append(v.Executions, newExecutionRow(x))
		}
	}
	if c.loop.Events != nil {
		es, next, err := c.loop.Events.Events(ctx, signal.Query{Incident: in.ID, Limit: 200})
		if err != nil {
			return nil, err
		}
		v.Cut = next != ""
		// In the order of their own times: what a log tells late was not late.
		slices.SortStableFunc(es, func(a, b signal.Event) int { return a.Time.Compare(b.Time) })
		for _, e := range es {
			v.Timeline = append(v.Timeline, newEventRow(e))
		}
	}
	return v, nil
}
