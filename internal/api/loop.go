package api

import (
	"context"
	"net/http"
	"time"

	"homeostat/internal/signal"
)

// Loop is what the server asks of the rest. A nil part makes its operations answer 501, or its mounts 404.
type Loop struct {
	Version string
	Mode    signal.Mode // the highest that any route may use
	Began   time.Time

	Events     Events
	Ingest     Ingest
	Incidents  Incidents
	Anomalies  Anomalies
	Findings   Findings
	Judge      Judge
	Models     Models
	Executions Executions
	Decisions  Decisions
	Switch     Switch
	Runbooks   Runbooks
	Starter    Starter
	Rehearser  Rehearser
	Links      Links
	Entities   Entities
	Processes  Processes
	Audit      Audit
	Chain      Chain
	Stages     Stages

	Prometheus  http.Handler // mounted under /prometheus/, with that prefix cut off
	RemoteWrite http.Handler // POST /api/v1/write
	OTLP        http.Handler // POST /v1/metrics
	Metrics     http.Handler // GET /metrics
	Console     http.Handler // everything else
}

// Events reads what happened. Lists are oldest first unless the query says otherwise; the string is the cursor of the next
// page, "" on the last. An unknown id is [signal.ErrNotFound].
type Events interface {
	Events(ctx context.Context, q signal.Query) ([]signal.Event, string, error)
	Event(ctx context.Context, id string) (signal.Event, error)
}

// Ingest takes one event from outside, a JSON object, and returns its id when it is stored. An id that the event brings is
// kept, and a second time changes nothing. A malformed one is [signal.ErrInvalid].
type Ingest interface {
	Ingest(ctx context.Context, event []byte) (string, error)
}

// Incidents reads incidents, and ends one on a person's word.
type Incidents interface {
	List(ctx context.Context, q signal.Query) ([]signal.Incident, string, error)
	Get(ctx context.Context, id string) (signal.Incident, error)
	Resolve(ctx context.Context, id, by, note string) error
}

// Anomalies reads anomalies, as last told.
type Anomalies interface {
	Anomalies(ctx context.Context, q signal.Query) ([]signal.Anomaly, string, error)
	Anomaly(ctx context.Context, id string) (signal.Anomaly, error)
}

// Findings reads unusual access, as last told.
type Findings interface {
	Findings(ctx context.Context, q signal.Query) ([]signal.Finding, string, error)
	Finding(ctx context.Context, id string) (signal.Finding, error)
}

// Judge takes what a person says of an anomaly to the detector that found it. The order that it returns is durable, and the
// detector carries it out when it meets it.
type Judge interface {
	Judge(ctx context.Context, anomaly string, do signal.OrderKind, by, note string) (signal.Order, error)
}

// Models lists the versions of what detectors have learnt, the oldest first; has one trained, which it returns at once; and
// has a detector go on with another one.
type Models interface {
	Models(ctx context.Context) ([]signal.Model, error)
	Model(ctx context.Context, id string) (signal.Model, error)
	TrainModel(ctx context.Context, t signal.Train) (signal.Model, error)
	UseModel(ctx context.Context, id, by, note string) (signal.Order, error)
}

// Executions reads executions; lists leave steps out, one alone has them.
type Executions interface {
	Executions(ctx context.Context, q signal.Query) ([]signal.Execution, string, error)
	Execution(ctx context.Context, id string) (signal.Execution, error)
}

// Decisions are what people say to a waiting or running execution. One that doesn't wait for it is [signal.ErrConflict].
type Decisions interface {
	Approve(ctx context.Context, id, by, note string) error
	Reject(ctx context.Context, id, by, note string) error
	Cancel(ctx context.Context, id, by, note string) error
	Continue(ctx context.Context, id, by, note string, retry bool) error
	Reset(ctx context.Context, runbook string, entity signal.EntityID, by, note string) error
}

// Switch is the kill switch.
type Switch interface {
	Pause(ctx context.Context, by, reason string) error
	Resume(ctx context.Context, by, reason string) error
	Paused(ctx context.Context) (signal.Switch, error)
}

// Runbooks lists the documents that are loaded, by name; one alone has its text.
type Runbooks interface {
	Runbooks(ctx context.Context) ([]signal.Runbook, error)
	Runbook(ctx context.Context, name string) (signal.Runbook, error)
}

// Starter starts a runbook on a person's word, behind the same guards as a route's. It returns the execution's id.
type Starter interface {
	StartRunbook(ctx context.Context, s signal.Start) (string, error)
}

// Rehearser plays what is stored through today's rules, detectors, routes and guards, and says what would have been done.
type Rehearser interface {
	Rehearse(ctx context.Context, days float64) (signal.Rehearsal, error)
}

// Entities lists what is watched, by id.
type Entities interface {
	Entities(ctx context.Context) ([]signal.Entity, error)
}

// Processes returns the processes of an entity as the last scan at or before a moment saw them; the zero time means now.
type Processes interface {
	Processes(ctx context.Context, entity signal.EntityID, at time.Time) ([]signal.Process, error)
}

// Audit reads the audit log, oldest first.
type Audit interface {
	Audit(ctx context.Context, q signal.Query) ([]signal.AuditEntry, string, error)
}

// Chain walks the causal chain of anything that has an id, both ways, and returns its links, the asked one among them,
// oldest first.
type Chain interface {
	Walk(ctx context.Context, id string) ([]signal.Link, error)
}

// Stages says how each stage is doing, in the loop's order. It is asked by probes and must answer at once.
type Stages interface {
	Stages() []signal.Stage
}
