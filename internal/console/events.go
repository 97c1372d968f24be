package console

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"homeostat/internal/signal"
)

// pageRows is how many rows a list shows at once.
const pageRows = 50

// eventTypes are those that the list can be narrowed to.
var eventTypes = []string{
	signal.AnomalyDetected, signal.AnomalyEnded, signal.AnomalyJudged, signal.ModelChanged, signal.UnusualAccess, signal.ForecastBreach, signal.AlertFiring, signal.AlertResolved, signal.IncidentOpened,
	signal.IncidentUpdated, signal.IncidentResolved, signal.ExecutionStarted, signal.ExecutionWaitingForApproval, signal.ExecutionSucceeded, signal.ExecutionFailed,
	signal.ExecutionRefused, signal.ActionTaken,
}

// eventsView is the list of events, newest first.
type eventsView struct {
	Rows   []eventRow
	Types  []string
	Type   string
	Entity string
	Older  string // the link to the next page
	Later  bool   // this is not the first page
}

func (eventsView) title() string { return "Events" }

func (c *Console) events(ctx context.Context, r *http.Request) (titled, error) {
	q := r.URL.Query()
	v := eventsView{Types: eventTypes, Type: q.Get("type"), Entity: q.Get("entity"), Later: q.Get("after") != ""}
	if c.loop.Events == nil {
		return v, nil
	}
	es, next, err := c.loop.Events.Events(ctx, signal.Query{Newest: true, Limit: pageRows, After: q.Get("after"), Type: v.Type, Entity: signal.EntityID(v.Entity)})
	if err != nil {
		return nil, err
	}
	for _, e := range es {
		v.Rows = append(v.Rows, newEventRow(e))
	}
	v.Older = older("/events", next, "type", v.Type, "entity", v.Entity)
	return v, nil
}

// older makes the link to a list's next page; "" when there is none.
func older(path, next string, params ...string) string {
	if next == "" {
		return ""
	}
	q := url.Values{"after": {next}}
	for i := 0; i < len(params); i += 2 {
		if params[i+1] != "" {
			q.Set(params[i], params[i+1])
		}
	}
	return path + "?" + q.Encode()
}

// eventView is one event.
type eventView struct {
	eventRow
	Subject, SubjectLink string
	Account, Region      string
	Resources            []string
	Causes               []string
	Finding              *findingView
	Envelope             string
}

func (v eventView) title() string { return v.Type }

func (c *Console) event(ctx context.Context, r *http.Request) (titled, error) {
	if c.loop.Events == nil {
		return nil, errAbsent
	}
	e, err := c.loop.Events.Event(ctx, r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	v := eventView{eventRow: newEventRow(e), Account: e.Account, Region: e.Region, Resources: e.Resources, Envelope: pretty(e)}
	var h signal.Head
	_ = json.Unmarshal(e.Detail, &h)
	v.Subject, v.Causes = h.ID, h.Cause
	switch e.DetailType {
	case signal.AnomalyDetected, signal.AnomalyEnded:
		v.Finding = newFinding("anomaly", e.Detail)
	case signal.AlertFiring, signal.AlertResolved:
		v.Finding = newFinding("alert", e.Detail)
	case signal.UnusualAccess:
		v.Finding = newFinding(kindAccess, e.Detail)
	case signal.ForecastBreach:
		v.Finding = newFinding(kindBreach, e.Detail)
	}
	if v.Finding != nil {
		err = c.judged(ctx, "/events/"+seg(e.ID), v.Finding)
	}
	return v, err
}
