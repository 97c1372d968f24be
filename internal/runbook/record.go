package runbook

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"homeostat/internal/signal"
)

// publish tells of an execution by an event, within tx.
func (r *Runbooks) publish(ctx context.Context, tx *sql.Tx, detailType, subject string, at time.Time, x signal.Execution) error {
	x.Steps = nil
	ev, err := signal.NewEvent("runbook", detailType, subject, at, x)
	if err != nil {
		return err
	}
	return r.need.Bus.PublishTx(ctx, tx, ev)
}

// audit appends to the audit log what was done for an execution, by whoever began it.
func (r *Runbooks) audit(ctx context.Context, tx *sql.Tx, x *execution, verb, subject, reason string, detail any) error {
	return r.auditBy(ctx, tx, x.By, verb, subject, reason, detail)
}

func (r *Runbooks) auditBy(ctx context.Context, tx *sql.Tx, actor, verb, subject, reason string, detail any) error {
	e := signal.AuditEntry{Time: time.Now().UTC(), Actor: actor, Verb: verb, Subject: subject, Reason: reason}
	if detail != nil {
		text, err := jsonText(detail)
		if err != nil {
			return err
		}
		e.Detail = []byte(text)
	}
	return r.need.Audit.Append(ctx, tx, e)
}

// close ends an execution: state, reason and verify are set; the rest follows, in tx.
func (r *Runbooks) close(ctx context.Context, tx *sql.Tx, x *execution) error {
	x.Ended, x.Approval = time.Now().UTC(), nil
	if err := update(ctx, tx, x); err != nil {
		return err
	}
	return r.tellEnd(ctx, tx, x)
}

// tellEnd puts on record how an execution ended.
func (r *Runbooks) tellEnd(ctx context.Context, tx *sql.Tx, x *execution) error {
	r.metric.executions.WithLabelValues(x.Runbook, string(x.Mode), x.State).Inc()
	text := fmt.Sprintf("%s on %s, in mode %s: %s", x.Runbook, x.Entity, x.Mode, endText(x))
	if err := r.audit(ctx, tx, x, "execution.end", x.ID, text, map[string]any{"state": x.State, "verify": x.Verify}); err != nil {
		return err
	}
	link := signal.Link{ID: x.ID, Kind: "execution", Time: x.Began, Text: text, Cause: x.Cause}
	if err := r.need.Chain.Add(ctx, tx, link); err != nil {
		return err
	}
	detailType := signal.ExecutionFailed
	switch x.State {
	case signal.Success:
		detailType = signal.ExecutionSucceeded
	case signal.Refused:
		detailType = signal.ExecutionRefused
	}
	return r.publish(ctx, tx, detailType, x.ID, x.Ended, x.Execution)
}

// endText says how an execution ended.
func endText(x *execution) string {
	switch {
	case x.State == signal.Success && x.Verify == "passed":
		return x.Outcome + "; verified"
	case x.State == signal.Success:
		return x.Outcome
	case x.Outcome != "":
		return fmt.Sprintf("%s (%s): %s", x.State, x.Reason, x.Outcome)
	}
	return fmt.Sprintf("%s: %s", x.State, x.Reason)
}
