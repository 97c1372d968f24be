package incident

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"time"

	"homeostat/internal/signal"
)

// settle is how long after a start nothing resolves at most: what happened while the loop was down comes in first.
const settle = time.Minute

// Run resolves incidents whose quiet time has gone by, until ctx ends, which is no error.
func (in *Incidents) Run(ctx context.Context) error {
	wait := time.NewTimer(min(settle, in.cfg.Quiet))
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-wait.C:
	}
	tick := time.NewTicker(in.cfg.Look)
	defer tick.Stop()
	for {
		err := in.Step(ctx, time.Now())
		if err == nil {
			in.failed.Store(nil)
		} else if ctx.Err() == nil {
			in.failed.Store(new(err.Error()))
			in.metric.failed.Inc()
			in.log.ErrorContext(ctx, "incidents not looked at", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Health says how the stage is doing: not ready from a look that failed to the next that doesn't.
func (in *Incidents) Health() signal.Stage {
	if why := in.failed.Load(); why != nil {
		return signal.Stage{Name: "incident", State: *why}
	}
	return signal.Stage{Name: "incident", Ready: true, State: "ok"}
}

// Step resolves the incidents that are over at a moment. Run calls it.
func (in *Incidents) Step(ctx context.Context, now time.Time) error {
	list, err := in.list(ctx, "SELECT "+incidentColumns+" FROM incidents WHERE state = 'open' ORDER BY seq", nil)
	if err != nil {
		return err
	}
	in.metric.open.Set(float64(len(list)))
	for _, r := range list {
		if r.ended.IsZero() || now.Sub(r.ended) < in.cfg.Quiet {
			continue
		}
		if err := in.resolveIfOver(ctx, r.ID, now); err != nil {
			return fmt.Errorf("resolve %s: %w", r.ID, err)
		}
	}
	return nil
}

// over says whether nothing keeps the incident open any more.
func (r record) over(now time.Time, quiet time.Duration) bool {
	if r.State != open || r.ended.IsZero() || now.Sub(r.ended) < quiet {
		return false
	}
	for _, d := range r.deeds {
		if !d.over() {
			return false
		}
	}
	d, ok := lastVerify(r.deeds)
	return !ok || d.verify == "passed"
}

func (in *Incidents) resolveIfOver(ctx context.Context, id string, now time.Time) error {
	return in.inTx(ctx, func(tx *sql.Tx) error {
		r, err := whole(ctx, tx, id) // anew: something may have joined it meanwhile
		if err != nil || !r.over(now, in.cfg.Quiet) {
			return err
		}
		text := "all in it have ended"
		if d, ok := lastVerify(r.deeds); ok {
			text = d.runbook + " put it right, verified"
		}
		if err := in.close(ctx, tx, r, now, "homeostat", text); err != nil {
			return err
		}
		in.metric.resolved.WithLabelValues("clock").Inc()
		return nil
	})
}

// Resolve ends an incident on a person's word. One that is resolved already is [signal.ErrConflict]. What still goes on in it
// joins no other: trouble that comes new opens the next.
func (in *Incidents) Resolve(ctx context.Context, id, by, reason string) error {
	err := in.inTx(ctx, func(tx *sql.Tx) error {
		r, err := whole(ctx, tx, id)
		switch {
		case err != nil:
			return err
		case r.ID == "":
			return signal.ErrNotFound
		case r.State != open:
			return fmt.Errorf("it is resolved already: %w", signal.ErrConflict)
		}
		by = cmp.Or(by, "local")
		text := "resolved by " + by
		if reason != "" {
			text += ": " + reason
		}
		if err := in.close(ctx, tx, r, time.Now(), by, text); err != nil {
			return err
		}
		in.metric.resolved.WithLabelValues("person").Inc()
		return nil
	})
	if err != nil {
		return fmt.Errorf("resolve incident %s: %w", id, err)
	}
	return nil
}

// close resolves an incident and tells of it.
func (in *Incidents) close(ctx context.Context, tx *sql.Tx, r record, now time.Time, by, why string) error {
	now = now.UTC().Truncate(time.Millisecond)
	r.State, r.Resolved, r.Updated, r.Note = resolved, now, now, why
	if err := r.update(ctx, tx); err != nil {
		return err
	}
	err := in.need.Chain.Add(ctx, tx, signal.Link{
		ID: r.ID, Kind: "incident", Time: r.Opened, Cause: r.Cause,
		Text: fmt.Sprintf("incident: %s; resolved after %s: %s", r.Title, span(now.Sub(r.Opened)), why),
	})
	if err != nil {
		return err
	}
	if err := in.audit(ctx, tx, now, by, "incident.resolve", r.ID, why); err != nil {
		return err
	}
	if d, ok := lastVerify(r.deeds); ok && d.verify == "passed" {
		r.Cause = append(r.Cause, d.execution) // so that the chain of what was done leads to the end
	}
	ev, err := r.event(signal.IncidentResolved, "", now)
	if err != nil {
		return err
	}
	return in.need.Publish(ctx, tx, ev)
}

// inTx runs fn in a transaction of the writer.
func (in *Incidents) inTx(ctx context.Context, fn func(tx *sql.Tx) error) error {
	tx, err := in.need.DB.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// Prune takes away at most limit incidents that were resolved before a moment and in which nothing goes on, and returns how many.
func (in *Incidents) Prune(ctx context.Context, tx *sql.Tx, before time.Time, limit int) (int, error) {
	res, err := tx.ExecContext(ctx, `DELETE FROM incidents WHERE id IN (
		SELECT id FROM incidents WHERE state = 'resolved' AND resolved < $1
			AND NOT EXISTS (SELECT 1 FROM incident_members m WHERE m.incident = incidents.id AND m.ended = 0)
			AND seq < (SELECT MAX(seq) FROM incidents)
		ORDER BY seq LIMIT $2)`, before.UnixMilli(), limit)
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	return int(n), err
}
