package bus

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"homeostat/internal/signal"
)

// maxDepth is how many events may stand one behind the other, each told because of the one before, until routes no longer start
// runbooks. The longest chain of our own (alert, execution, incident) has four.
const maxDepth = 16

// ours says whether a stage of ours told the event. Those from outside can't claim it (see Ingest).
func ours(ev *signal.Event) bool { return strings.HasPrefix(ev.Source, "homeostat.") }

// told is what the bus reads of a detail.
type told struct {
	signal.Head
	Route    string    `json:"route"`
	Reason   string    `json:"reason"`
	Rule     string    `json:"rule"`
	Detector string    `json:"detector"`
	Title    string    `json:"title"`
	Note     string    `json:"note"`
	Runbook  string    `json:"runbook"`
	Outcome  string    `json:"outcome"`
	Began    time.Time `json:"began"`
	Ended    time.Time `json:"ended"`
}

// read decodes what of a detail has the kind that it should have: an event from outside may have anything there.
func read(detail json.RawMessage) told {
	var d told
	if json.Unmarshal(detail, &d) == nil {
		return d
	}
	d = told{}
	var loose map[string]json.RawMessage
	if json.Unmarshal(detail, &loose) != nil {
		return d
	}
	_ = json.Unmarshal(loose["entity"], &d.Entity) // what isn't a string stays empty
	_ = json.Unmarshal(loose["cause"], &d.Cause)
	return d
}

// publish is the whole of publishing one event, within tx.
func (b *Bus) publish(ctx context.Context, tx *sql.Tx, ev signal.Event) error {
	if err := check(ev); err != nil {
		return err
	}
	if ev.Resources == nil {
		ev.Resources = []string{}
	}
	d := read(ev.Detail)
	origin := "outside"
	if ours(&ev) {
		origin = strings.TrimPrefix(ev.Source, "homeostat.")
	} else {
		d.Incident = "" // nobody from outside puts an event into an incident of ours
	}
	depth, trail, err := ancestry(ctx, tx, d.Cause)
	if err != nil {
		return err
	}
	if d.Route != "" && ours(&ev) && !slices.Contains(trail, d.Route) {
		trail = append(trail, d.Route)
	}
	r := row{event: ev, entity: string(d.Entity), incident: d.Incident, depth: depth, trail: trail}
	fresh, err := r.insert(ctx, tx)
	if err != nil {
		return err
	}
	if !fresh {
		b.metric.duplicates.Inc()
		return nil
	}
	b.metric.events.WithLabelValues(origin).Inc()
	b.metric.rate.add(time.Now())
	if err := b.need.Chain.Add(ctx, tx, links(&ev, d)...); err != nil {
		return err
	}

	if b.need.Incidents != nil {
		before := string(ev.Detail)
		more, err := b.need.Incidents.See(ctx, tx, &ev)
		if err != nil {
			return err
		}
		if string(ev.Detail) != before {
			r.event, r.incident = ev, read(ev.Detail).Incident
			if err := r.updateDetail(ctx, tx); err != nil {
				return err
			}
		}
		if err := b.PublishTx(ctx, tx, more...); err != nil {
			return err
		}
	}
	started, err := b.route(ctx, tx, &r)
	if err != nil {
		return err
	}
	return b.audit(ctx, tx, &ev, origin, started)
}

// audit says that the event was published, and which routes it took.
func (b *Bus) audit(ctx context.Context, tx *sql.Tx, ev *signal.Event, origin string, routes []string) error {
	e := signal.AuditEntry{Time: time.Now(), Actor: "homeostat", Verb: "publish", Subject: ev.ID, Reason: ev.DetailType}
	if origin == "outside" {
		e.Actor = ev.Source
		if who := signal.ActorOf(ctx).Name; who != "" {
			e.Actor = who
		}
	}
	if len(routes) > 0 {
		detail, err := json.Marshal(map[string]any{"routes": routes})
		if err != nil {
			return err
		}
		e.Detail = detail
	}
	return b.need.Audit.Append(ctx, tx, e)
}

// route starts the targets of each route that matches, and returns the names of these routes.
func (b *Bus) route(ctx context.Context, tx *sql.Tx, r *row) ([]string, error) {
	set := b.routes.Load()
	if len(set.routes) == 0 {
		return nil, nil
	}
	envelope, err := json.Marshal(r.event)
	if err != nil {
		return nil, err
	}
	var matched []string
	for _, c := range set.routes {
		ok, err := c.pattern.Match(envelope)
		if err != nil {
			return nil, fmt.Errorf("route %s: %w", c.route.Name, err)
		}
		if !ok {
			continue
		}
		matched = append(matched, c.route.Name)
		for i := range c.targets {
			if err := b.start(ctx, tx, r, envelope, c, &c.targets[i]); err != nil {
				return nil, err
			}
		}
	}
	return matched, nil
}

// start starts one target. An error of the target's own is put on record and swallowed; what is returned spoils the transaction.
func (b *Bus) start(ctx context.Context, tx *sql.Tx, r *row, envelope []byte, c *compiled, t *compiledTarget) error {
	kind := t.kind()
	if t.Runbook != "" {
		why := ""
		switch {
		case slices.Contains(r.trail, c.route.Name):
			why = "an execution of this route led to the event: it would go round in a circle"
		case r.depth > maxDepth:
			why = fmt.Sprintf("%d events led to this one, each because of the one before: it would go on for ever", r.depth)
		}
		if why != "" {
			b.metric.targets.WithLabelValues(kind, "loop").Inc()
			return b.auditTarget(ctx, tx, r, c, t, "target.skip", why)
		}
	}
	if b.need.Targets == nil {
		b.metric.targets.WithLabelValues(kind, "none").Inc()
		return nil
	}
	if _, err := tx.ExecContext(ctx, "SAVEPOINT target"); err != nil {
		return err
	}
	err := b.startFilled(ctx, tx, r, envelope, c, t)
	if err == nil {
		b.metric.targets.WithLabelValues(kind, "started").Inc()
		_, err = tx.ExecContext(ctx, "RELEASE target")
		return err
	}
	if ctx.Err() != nil {
		return err
	}
	// A full disk or a file that can't be read ends the whole transaction in SQLite: then there is nothing to go back to, this
	// fails too, and so does the publication.
	if _, back := tx.ExecContext(ctx, "ROLLBACK TO target"); back != nil {
		return errors.Join(err, back)
	}
	if _, back := tx.ExecContext(ctx, "RELEASE target"); back != nil {
		return errors.Join(err, back)
	}
	b.metric.targets.WithLabelValues(kind, "failed").Inc()
	b.log.ErrorContext(ctx, "target not started", "route", c.route.Name, "event", r.event.ID, "err", err)
	return b.auditTarget(ctx, tx, r, c, t, "target.fail", err.Error())
}

func (b *Bus) startFilled(ctx context.Context, tx *sql.Tx, r *row, envelope []byte, c *compiled, t *compiledTarget) error {
	filled, err := t.fill(c.route.Name, envelope, time.Now())
	if err != nil {
		return err
	}
	return b.need.Targets.Start(ctx, tx, r.event, c.route, filled)
}

func (b *Bus) auditTarget(ctx context.Context, tx *sql.Tx, r *row, c *compiled, t *compiledTarget, verb, why string) error {
	detail, err := json.Marshal(map[string]string{"event": r.event.ID, "target": t.name()})
	if err != nil {
		return err
	}
	return b.need.Audit.Append(ctx, tx, signal.AuditEntry{
		Time: time.Now(), Actor: "route " + c.route.Name, Verb: verb, Subject: r.event.ID, Reason: why, Detail: detail,
	})
}
