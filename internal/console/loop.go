package console

import (
	"context"
	"net/http"
	"time"

	"homeostat/internal/signal"
)

// Loop is what the pages ask of the rest. A nil part leaves its pages empty, and says so.
type Loop struct {
	Version string
	Mode    signal.Mode // the highest that any route may use
	Began   time.Time

	Events     Events
	Feed       Feed
	Incidents  Incidents
	Executions Executions
	Decisions  Decisions
	Judge      Judge
	Models     Models
	Switch     Switch
	Runbooks   Runbooks
	Starter    Starter
	Entities   Entities
	Processes  Processes
	Chain      Chain
	Stages     Stages
	Learning   Learning
	Outlooks   Outlooks

	Prometheus http.Handler // the Prometheus API, at /api/v1/...; asked within the process
}

// Events reads what happened: oldest first unless the query says otherwise, with the next page's cursor, "" on the last. An
// unknown id is [signal.ErrNotFound], here and below.
type Events interface {
	Events(ctx context.Context, q signal.Query) ([]signal.Event, string, error)
	Event(ctx context.Context, id string) (signal.Event, error)
}

// Feed tells of each event as it is published. A slow reader loses events, which is fine here: each only says that it is time
// to look again. The function ends the subscription.
type Feed interface {
	Subscribe() (<-chan signal.Event, func())
}

// Incidents reads incidents, and ends one on a person's word.
type Incidents interface {
	List(ctx context.Context, q signal.Query) ([]signal.Incident, string, error)
	Get(ctx context.Context, id string) (signal.Incident, error)
	Resolve(ctx context.Context, id, by, note string) error
}

// Executions reads executions; lists leave steps out, one alone has them.
type Executions interface {
	Executions(ctx context.Context, q signal.Query) ([]signal.Execution, string, error)
	Execution(ctx context.Context, id string) (signal.Execution, error)
}

// Decisions are what people say to an execution. One that doesn't wait for it is [signal.ErrConflict].
type Decisions interface {
	Approve(ctx context.Context, id, by, note string) error
	Reject(ctx context.Context, id, by, note string) error
	Cancel(ctx context.Context, id, by, note string) error
	Continue(ctx context.Context, id, by, note string, retry bool) error
	Reset(ctx context.Context, runbook string, entity signal.EntityID, by, note string) error
}

// Judge takes what a person says of an anomaly, or of unusual access, to the detector that found it.
type Judge interface {
	Judge(ctx context.Context, anomaly string, do signal.OrderKind, by, note string) (signal.Order, error)
}

// Models lists what detectors have learnt, the oldest first.
type Models interface {
	Models(ctx context.Context) ([]signal.Model, error)
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

// Starter starts a runbook on a person's word and returns the execution's id.
type Starter interface {
	StartRunbook(ctx context.Context, s signal.Start) (string, error)
}

// Entities lists what is watched, by id.
type Entities interface {
	Entities(ctx context.Context) ([]signal.Entity, error)
}

// Processes returns the processes of an entity as the last scan at or before a moment saw them; the zero time means now.
type Processes interface {
	Processes(ctx context.Context, entity signal.EntityID, at time.Time) ([]signal.Process, error)
}

// Chain returns what caused the thing with this id, itself, and what it caused, oldest first.
type Chain interface {
	Walk(ctx context.Context, id string) ([]signal.Link, error)
}

// Stages says how each stage is doing, in the loop's order, at once.
type Stages interface {
	Stages() []signal.Stage
}

// Learning says how far each detector is with each entity, at once.
type Learning interface {
	Learning() []signal.Learning
}

// Outlooks returns what the series of an entity are forecast to do, at once.
type Outlooks interface {
	Outlooks(entity signal.EntityID) []signal.Outlook
}
