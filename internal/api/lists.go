package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"homeostat/internal/signal"
)

// page is a page of a list.
type page[T any] struct {
	Body struct {
		Items []T    `json:"items" nullable:"false" doc:"Oldest first."`
		Next  string `json:"next,omitempty" doc:"Pass it as after for the following page. The last page has none."`
	}
}

func newPage[T any](items []T, next string, err error) (*page[T], error) {
	if err != nil {
		return nil, err
	}
	p := &page[T]{}
	p.Body.Items, p.Body.Next = items, next
	if p.Body.Items == nil {
		p.Body.Items = []T{} // an empty list is [], never null
	}
	return p, nil
}

// one is an answer that is the thing itself.
type one[T any] struct{ Body T }

func newOne[T any](v T, err error) (*one[T], error) {
	if err != nil {
		return nil, err
	}
	return &one[T]{v}, nil
}

// Paging are the parameters of every list. It is exported, as what is embedded is else not filled in.
type Paging struct {
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"How many at most."`
	After string `query:"after" maxLength:"500" doc:"The next of the page before."`
}

func (p Paging) query() signal.Query { return signal.Query{Limit: p.Limit, After: p.After} }

// Ordered are the parameters of a list that grows.
type Ordered struct {
	Paging
	Order string `query:"order" enum:"oldest,newest" default:"oldest" doc:"Which come first."`
}

func (o Ordered) query() signal.Query {
	q := o.Paging.query()
	q.Newest = o.Order == "newest"
	return q
}

// ByID is the parameter of one thing.
type ByID struct {
	ID string `path:"id" maxLength:"200"`
}

// lists registers what only reads.
func (s *Server) lists(d huma.API) {
	get := func(id, path, tag, summary, description string) operation {
		return operation{id: id, method: http.MethodGet, path: path, tag: tag, summary: summary, description: description, least: signal.Viewer}
	}

	type eventsIn struct {
		Ordered
		Type     string `query:"type" maxLength:"200" doc:"Only of this detail-type."`
		Entity   string `query:"entity" maxLength:"500" doc:"Only of this entity, such as host:web-1."`
		Incident string `query:"incident" maxLength:"200" doc:"Only of this incident, by id."`
	}
	handle(d, get("list-events", "/api/events", "events", "Events", "Each item is the whole EventBridge envelope."), s.loop.Events,
		func(ctx context.Context, in *eventsIn) (*page[signal.Event], error) {
			q := in.query()
			q.Type, q.Entity, q.Incident = in.Type, signal.EntityID(in.Entity), in.Incident
			return newPage(s.loop.Events.Events(ctx, q))
		})
	handle(d, get("get-event", "/api/events/{id}", "events", "One event", "The whole envelope."), s.loop.Events,
		func(ctx context.Context, in *ByID) (*one[signal.Event], error) {
			return newOne(s.loop.Events.Event(ctx, in.ID))
		})

	type incidentsIn struct {
		Ordered
		State  string `query:"state" enum:"open,resolved" doc:"Only in this state."`
		Entity string `query:"entity" maxLength:"500" doc:"Only of this entity, such as host:web-1."`
	}
	handle(d, get("list-incidents", "/api/incidents", "incidents", "Incidents", "The anomalies and alerts that belong together."), s.loop.Incidents,
		func(ctx context.Context, in *incidentsIn) (*page[signal.Incident], error) {
			q := in.query()
			q.State, q.Entity = in.State, signal.EntityID(in.Entity)
			return newPage(s.loop.Incidents.List(ctx, q))
		})
	handle(d, get("get-incident", "/api/incidents/{id}", "incidents", "One incident", "With its anomalies and alerts."), s.loop.Incidents,
		func(ctx context.Context, in *ByID) (*one[signal.Incident], error) {
			return newOne(s.loop.Incidents.Get(ctx, in.ID))
		})

	type anomaliesIn struct {
		Ordered
		Entity   string `query:"entity" maxLength:"500" doc:"Only of this entity, such as host:web-1."`
		Incident string `query:"incident" maxLength:"200" doc:"Only of this incident, by id."`
		State    string `query:"state" enum:"open,ended" doc:"Only in this state."`
	}
	handle(d, get("list-anomalies", "/api/anomalies", "anomalies", "Anomalies", "What detectors found in figures, as last told. Unusual access is under /api/findings."), s.loop.Anomalies,
		func(ctx context.Context, in *anomaliesIn) (*page[signal.Anomaly], error) {
			q := in.query()
			q.State, q.Entity, q.Incident = in.State, signal.EntityID(in.Entity), in.Incident
			return newPage(s.loop.Anomalies.Anomalies(ctx, q))
		})
	handle(d, get("get-anomaly", "/api/anomalies/{id}", "anomalies", "One anomaly", "As last told."), s.loop.Anomalies,
		func(ctx context.Context, in *ByID) (*one[signal.Anomaly], error) {
			return newOne(s.loop.Anomalies.Anomaly(ctx, in.ID))
		})
	handle(d, get("list-findings", "/api/findings", "anomalies", "Unusual access", "What detectors found in the records of who called which API, as last told."), s.loop.Findings,
		func(ctx context.Context, in *anomaliesIn) (*page[signal.Finding], error) {
			q := in.query()
			q.State, q.Entity, q.Incident = in.State, signal.EntityID(in.Entity), in.Incident
			return newPage(s.loop.Findings.Findings(ctx, q))
		})
	handle(d, get("get-finding", "/api/findings/{id}", "anomalies", "One finding of unusual access", "As last told."), s.loop.Findings,
		func(ctx context.Context, in *ByID) (*one[signal.Finding], error) {
			return newOne(s.loop.Findings.Finding(ctx, in.ID))
		})

	type executionsIn struct {
		Ordered
		State    string `query:"state" enum:"Pending,InProgress,Waiting,Success,TimedOut,Cancelling,Cancelled,Failed,Refused" doc:"Only in this state."`
		Entity   string `query:"entity" maxLength:"500" doc:"Only of this entity, such as host:web-1."`
		Incident string `query:"incident" maxLength:"200" doc:"Only of this incident, by id."`
	}
	handle(d, get("list-executions", "/api/executions", "executions", "Executions", "Runs of runbooks."), s.loop.Executions,
		func(ctx context.Context, in *executionsIn) (*page[signal.Execution], error) {
			q := in.query()
			q.State, q.Entity, q.Incident = in.State, signal.EntityID(in.Entity), in.Incident
			return newPage(s.loop.Executions.Executions(ctx, q))
		})
	handle(d, get("get-execution", "/api/executions/{id}", "executions", "One execution", "With its steps, and what it waits for."), s.loop.Executions,
		func(ctx context.Context, in *ByID) (*one[signal.Execution], error) {
			return newOne(s.loop.Executions.Execution(ctx, in.ID))
		})

	handle(d, get("list-runbooks", "/api/runbooks", "runbooks", "Runbooks", "The documents that are loaded, by name."), s.loop.Runbooks,
		func(ctx context.Context, in *Paging) (*page[signal.Runbook], error) {
			all, err := s.loop.Runbooks.Runbooks(ctx)
			items, next := cut(all, *in, func(r signal.Runbook) string { return r.Name })
			return newPage(items, next, err)
		})
	type byName struct {
		Name string `path:"name" maxLength:"200"`
	}
	handle(d, get("get-runbook", "/api/runbooks/{name}", "runbooks", "One runbook", "With its text."), s.loop.Runbooks,
		func(ctx context.Context, in *byName) (*one[signal.Runbook], error) {
			return newOne(s.loop.Runbooks.Runbook(ctx, in.Name))
		})

	handle(d, get("list-entities", "/api/entities", "entities", "Entities", "What is watched, by id."), s.loop.Entities,
		func(ctx context.Context, in *Paging) (*page[signal.Entity], error) {
			all, err := s.loop.Entities.Entities(ctx)
			items, next := cut(all, *in, func(e signal.Entity) string { return string(e.ID) })
			return newPage(items, next, err)
		})

	handle(d, get("list-audit", "/api/audit", "audit", "The audit log", "Who or what did what to what, and why."), s.loop.Audit,
		func(ctx context.Context, in *Paging) (*page[signal.AuditEntry], error) {
			return newPage(s.loop.Audit.Audit(ctx, in.query()))
		})
}

// cut pages a list that comes whole: sorted by key, behind After, at most Limit.
func cut[T any](all []T, p Paging, key func(T) string) ([]T, string) {
	all = slices.SortedFunc(slices.Values(all), func(a, b T) int { return cmp.Compare(key(a), key(b)) })
	if p.After != "" {
		i, found := slices.BinarySearchFunc(all, p.After, func(v T, k string) int { return cmp.Compare(key(v), k) })
		if found {
			i++
		}
		all = all[i:]
	}
	if len(all) <= p.Limit {
		return all, ""
	}
	return all[:p.Limit], key(all[p.Limit-1])
}
