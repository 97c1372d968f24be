// Package bus publishes events: everything that happens goes through it, and whatever comes after it reads the database.
//
// Publishing an event is one transaction. The event is stored under its id, so that a second time changes nothing. Incidents
// see it first and may put their mark into its detail and events of their own beside it. Then the routes are matched, and the
// targets of those that match are started. The audit log and the causal chain say so. All of it is there, or nothing is.
//
// # What a target may do to an event
//
// Nothing. A target that can't be started is undone alone (a savepoint), is told in the audit log ("target.fail"), the log and
// the metrics, and is not tried again; the event and its other targets stay. Only what spoils the transaction itself, a full disk
// or a context that has ended, fails the publication: then nothing is stored and the caller publishes again.
//
// # Loops
//
// An execution tells events of its own, which may match the route that began it. Each event carries the trail of routes whose
// executions led to it, by the ids in its detail's cause, and a route never starts a runbook for an event whose trail holds it.
// Beyond that no event deeper than [maxDepth] starts a runbook. Both are said in the audit log. What a runbook does to the world
// and the world tells as a new alert has no such trail: there the guards hold (cooldown, once for an incident and entity).
package bus

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"homeostat/internal/signal"
)

// Incidents sees each event before the routes do. See may write detail.incident into the event, and returns the events that
// tell what became of the incident; they are published in the same transaction. It is not asked about an id twice.
type Incidents interface {
	See(ctx context.Context, tx *sql.Tx, ev *signal.Event) ([]signal.Event, error)
}

// Targets starts a route's target within the transaction that publishes the event: it makes the job and leaves the work to
// it. The target's Parameters and Input are filled for this event. An error undoes what this call wrote, and no more.
type Targets interface {
	Start(ctx context.Context, tx *sql.Tx, ev signal.Event, r Route, t Target) error
}

// Audit appends to the audit log within the caller's transaction.
type Audit interface {
	Append(ctx context.Context, tx *sql.Tx, e signal.AuditEntry) error
}

// Chain adds links to the causal chain within the caller's transaction.
type Chain interface {
	Add(ctx context.Context, tx *sql.Tx, links ...signal.Link) error
}

// Needs are what the bus stands on. Incidents and Targets may be nil: then there are none.
type Needs struct {
	DB        *sql.DB // the one writer
	Read      *sql.DB
	Incidents Incidents
	Targets   Targets
	Audit     Audit
	Chain     Chain
}

// Bus publishes events. Safe for concurrent use.
type Bus struct {
	need   Needs
	log    *slog.Logger
	metric *metrics
	routes atomic.Pointer[routeSet]
	live   *live
	failed atomic.Pointer[string] // what was wrong with the last publication; nil when nothing was
}

// New returns a bus with these routes. A mistake in a route is an error that names it; all of them come at once. A nil log
// discards, a nil reg keeps the metrics to itself.
func New(need Needs, routes []Route, log *slog.Logger, reg prometheus.Registerer) (*Bus, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	m := newMetrics(reg)
	b := &Bus{need: need, log: log, metric: m, live: newLive(need.Read, log, m)}
	return b, b.SetRoutes(routes)
}

// SetRoutes puts other routes in place of those there are, all at once, or none where one of them has a mistake. Events that
// are being published meet the old ones or the new ones.
func (b *Bus) SetRoutes(routes []Route) error {
	set, err := compile(routes)
	if err != nil {
		return err
	}
	b.routes.Store(set)
	return nil
}

// Routes returns the routes in their order.
func (b *Bus) Routes() []Route { return b.routes.Load().list() }

// probeEvery is how often a bus whose last publication failed tries whether it could store one now.
const probeEvery = 5 * time.Second

// Run feeds the subscribers, and after a publication that failed finds out when the database takes events again, until ctx ends,
// which is no error.
func (b *Bus) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { b.live.run(ctx) })
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			b.Probe(ctx)
		}
	}
}

// Probe makes the bus ready again when its last publication failed and the database would take one now. Who publishes may have
// nothing to publish for days; a disk that has room again is ready at once.
func (b *Bus) Probe(ctx context.Context) {
	was := b.failed.Load()
	if was == nil {
		return
	}
	if err := b.tryWrite(ctx); err == nil {
		b.failed.CompareAndSwap(was, nil)
	}
}

// tryWrite stores an event as large as they come and takes it away again, in one transaction.
func (b *Bus) tryWrite(ctx context.Context) error {
	tx, err := b.need.DB.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	r := row{event: signal.Event{ID: "probe", Time: time.Now(), Detail: json.RawMessage(`"` + strings.Repeat("x", MaxEventBytes) + `"`)}}
	if _, err := r.insert(ctx, tx); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM events WHERE id = 'probe' AND source = ''"); err != nil {
		return err
	}
	return tx.Commit()
}

// Subscribe returns a channel of the events stored from now on, in their order (some of the second before may be among them),
// and what ends the subscription. The channel
// holds 256 events; what a reader has no room for is dropped and counted, and is still in the database. It carries nothing
// unless Run runs.
func (b *Bus) Subscribe() (<-chan signal.Event, func()) { return b.live.subscribe() }

// Health says how the bus is doing: not ready from a publication that failed to the next, or the next probe, that doesn't.
func (b *Bus) Health() signal.Stage {
	s := signal.Stage{Name: "bus", Ready: true, State: "ok", Rate: b.metric.rate.perSecond(time.Now()), Dropped: b.live.dropped.Load()}
	if why := b.failed.Load(); why != nil {
		s.Ready, s.State = false, *why
	}
	return s
}

// Publish stores each event in a transaction of its own, with all that comes of it, and returns when it is durable. Events
// that are there already are passed over. It stops at the first that fails: those before it are stored, and publishing all of
// them again is safe.
func (b *Bus) Publish(ctx context.Context, evs ...signal.Event) error {
	for _, ev := range evs {
		start := time.Now()
		err := b.publishOne(ctx, ev)
		if err != nil {
			b.metric.failed.Inc()
			if ctx.Err() == nil && !errors.Is(err, signal.ErrInvalid) {
				b.failed.Store(new(err.Error()))
			}
			return fmt.Errorf("publish %s %s: %w", ev.DetailType, ev.ID, err)
		}
		b.failed.Store(nil)
		b.metric.took.Observe(time.Since(start).Seconds())
		b.live.wake()
	}
	return nil
}

func (b *Bus) publishOne(ctx context.Context, ev signal.Event) error {
	tx, err := b.need.DB.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := b.PublishTx(ctx, tx, ev); err != nil {
		return err
	}
	return tx.Commit()
}

// PublishTx publishes within the caller's transaction: what the caller does and what is told of it stand or fall together. It
// may be called while a target is being started.
func (b *Bus) PublishTx(ctx context.Context, tx *sql.Tx, evs ...signal.Event) error {
	for _, ev := range evs {
		if err := b.publish(ctx, tx, ev); err != nil {
			return err
		}
	}
	b.live.wake() // it looks again a little later, so that a commit that takes its time is seen
	return nil
}

// check refuses what no stage of ours would make.
func check(ev signal.Event) error {
	switch {
	case ev.ID == "", ev.Source == "", ev.DetailType == "", ev.Time.IsZero():
		return fmt.Errorf("an event needs id, source, detail-type and time: %w", signal.ErrInvalid)
	case len(ev.Detail) == 0 || ev.Detail[0] != '{' || !json.Valid(ev.Detail):
		return fmt.Errorf("an event's detail has to be a JSON object: %w", signal.ErrInvalid)
	}
	return nil
}
