package runbook

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"homeostat/automation"
	"homeostat/internal/signal"
)

// Approve lets a waiting execution go on. One that waits for nobody is [signal.ErrConflict]; so is somebody who isn't among
// the approvers that it names.
func (r *Runbooks) Approve(ctx context.Context, id, by, note string) error {
	return r.answer(ctx, id, by, note, func(x *execution, kind string) (string, error) {
		switch {
		case kind != automation.AskApproval:
			return "", fmt.Errorf("it doesn't ask for approval: continue it, or reject it")
		case x.Route == "" && x.By == by:
			return "", fmt.Errorf("%s asked for it, and nobody approves what they asked for", by)
		}
		return automation.Approve, nil
	})
}

// Continue lets an execution go on that is paused, or of which a changing step was cut off: with retry the step is done again,
// without it the step counts as done.
func (r *Runbooks) Continue(ctx context.Context, id, by, note string, retry bool) error {
	return r.answer(ctx, id, by, note, func(_ *execution, kind string) (string, error) {
		switch {
		case kind == automation.AskOutcome && retry:
			return automation.Retry, nil
		case kind == automation.AskOutcome:
			return automation.Continue, nil
		case kind == automation.AskResume && !retry:
			return automation.Resume, nil
		case kind == automation.AskResume:
			return "", errors.New("it is paused, and there is nothing to do again")
		}
		return "", errors.New("it asks for approval: approve it, or reject it")
	})
}

// Reject ends a waiting execution without doing what it asks for.
func (r *Runbooks) Reject(ctx context.Context, id, by, note string) error {
	return r.answer(ctx, id, by, note, func(*execution, string) (string, error) { return automation.Reject, nil })
}

// answer writes a person's answer down and has the execution carried on.
func (r *Runbooks) answer(ctx context.Context, id, by, note string, verbFor func(x *execution, kind string) (string, error)) error {
	return r.inTx(ctx, func(tx *sql.Tx) error {
		x, err := load(ctx, tx, id)
		if err != nil {
			return err
		}
		if x.ended() {
			return fmt.Errorf("execution %s has ended as %s: %w", id, x.State, signal.ErrConflict)
		}
		if x.Approval == nil {
			return fmt.Errorf("execution %s waits for nobody: %w", id, signal.ErrConflict)
		}
		if as := x.Approval.Approvers; len(as) > 0 && !slices.Contains(as, by) {
			return fmt.Errorf("execution %s: %s is not among its approvers: %w", id, by, signal.ErrConflict)
		}
		entries, err := entriesOf(ctx, tx, id)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(entries, func(e automation.Entry) bool { return e.Path == x.Approval.Step })
		if i < 0 || entries[i].Approval == nil || !entries[i].Open() {
			return fmt.Errorf("execution %s no longer waits: %w", id, signal.ErrConflict)
		}
		e := entries[i]
		if !e.Approval.Expires.IsZero() && !time.Now().Before(e.Approval.Expires) {
			return fmt.Errorf("execution %s: the question has expired: %w", id, signal.ErrConflict)
		}
		verb, err := verbFor(x, e.Approval.Kind)
		if err != nil {
			return fmt.Errorf("execution %s: %w: %w", id, err, signal.ErrConflict)
		}
		if slices.ContainsFunc(e.Answers, func(a automation.Answer) bool { return a.Who == by && a.Verb == verb }) {
			return nil // said already
		}
		now := time.Now().UTC()
		if _, err := tx.ExecContext(ctx, `INSERT INTO answers (execution, path, ordinal, who, verb, comment, at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			id, e.Path, len(e.Answers), by, verb, note, ms(now)); err != nil {
			return err
		}
		if err := r.auditBy(ctx, tx, by, auditVerb(verb), id, note, map[string]any{"step": e.Path, "question": e.Approval.Message}); err != nil {
			return err
		}
		return r.schedule(ctx, tx, id, time.Time{})
	})
}

// auditVerb spells an answer as the audit log has it.
func auditVerb(verb string) string {
	switch verb {
	case automation.Approve:
		return "approve"
	case automation.Reject:
		return "reject"
	case automation.Resume:
		return "resume.execution"
	case automation.Retry:
		return "retry"
	}
	return "continue"
}

// Cancel ends an execution: the step that it is at is stopped, and the document's cancel path runs.
func (r *Runbooks) Cancel(ctx context.Context, id, by, note string) error {
	why := by
	if note != "" {
		why += ": " + note
	}
	err := r.inTx(ctx, func(tx *sql.Tx) error {
		x, err := load(ctx, tx, id)
		if err != nil {
			return err
		}
		if x.ended() {
			return fmt.Errorf("execution %s has ended as %s: %w", id, x.State, signal.ErrConflict)
		}
		if x.cancel != "" {
			return nil
		}
		if _, err := tx.ExecContext(ctx, `UPDATE executions SET cancel = $2 WHERE id = $1`, id, why); err != nil {
			return err
		}
		if err := r.auditBy(ctx, tx, by, "cancel", id, note, nil); err != nil {
			return err
		}
		return r.schedule(ctx, tx, id, time.Time{})
	})
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if stop, ok := r.active[id]; ok {
		stop(cancelled{why})
	}
	return nil
}

// cancelled is the cause with which a person's cancelling stops a step.
type cancelled struct{ by string } // who, and why

func (c cancelled) Error() string { return "cancelled by " + c.by }

func (c cancelled) Is(err error) bool { return err == automation.ErrCancel }

// killSwitch is the name of the kill switch in the table switches.
const killSwitch = "pause"

// Pause turns the kill switch on: no changing step begins until [Runbooks.Resume].
func (r *Runbooks) Pause(ctx context.Context, by, reason string) error {
	return r.setSwitch(ctx, true, "pause", by, reason)
}

// Resume turns the kill switch off. What was refused meanwhile stays refused.
func (r *Runbooks) Resume(ctx context.Context, by, reason string) error {
	return r.setSwitch(ctx, false, "resume", by, reason)
}

func (r *Runbooks) setSwitch(ctx context.Context, on bool, verb, by, reason string) error {
	return r.inTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO switches (name, is_on, who, reason, at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (name) DO UPDATE SET is_on = excluded.is_on, who = excluded.who, reason = excluded.reason, at = excluded.at`,
			killSwitch, flag(on), by, reason, time.Now().UnixMilli()); err != nil {
			return err
		}
		return r.auditBy(ctx, tx, by, verb, killSwitch, reason, nil)
	})
}

// Paused returns the kill switch.
func (r *Runbooks) Paused(ctx context.Context) (signal.Switch, error) {
	return paused(ctx, r.need.Read)
}

func paused(ctx context.Context, q querier) (signal.Switch, error) {
	var s signal.Switch
	var on int
	var at int64
	err := q.QueryRowContext(ctx, `SELECT is_on, who, reason, at FROM switches WHERE name = $1`, killSwitch).Scan(&on, &s.By, &s.Reason, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return signal.Switch{}, nil
	}
	s.Paused, s.Since = on != 0, fromMS(at)
	return s, err
}

// Runbooks lists the documents that executions begin with, by name, without their texts.
func (r *Runbooks) Runbooks(ctx context.Context) ([]signal.Runbook, error) {
	bs := r.need.Catalog.list(r.need.Hands)
	held, err := r.holds(ctx, "")
	if err != nil {
		return nil, err
	}
	for i := range bs {
		bs[i].Routes = r.cfg.Routes[bs[i].Name]
		for _, h := range held {
			if h.Runbook == bs[i].Name {
				bs[i].Held = append(bs[i].Held, h)
			}
		}
	}
	return bs, nil
}

// Runbook returns one document with its text. An unknown name is [signal.ErrNotFound].
func (r *Runbooks) Runbook(ctx context.Context, name string) (signal.Runbook, error) {
	d, ok := r.need.Catalog.docs[name]
	if !ok {
		return signal.Runbook{}, fmt.Errorf("runbook %s: %w", name, signal.ErrNotFound)
	}
	b := r.need.Catalog.shown(d, r.need.Hands)
	b.Routes = r.cfg.Routes[name]
	var err error
	b.Held, err = r.holds(ctx, name)
	return b, err
}

// Validate parses a document that isn't in the catalog. The error joins every mistake with its place.
func (r *Runbooks) Validate(file string, text []byte) (signal.Runbook, error) {
	d, err := automation.Parse(file, text)
	if err != nil {
		return signal.Runbook{}, err
	}
	return r.need.Catalog.shown(document{Document: d, text: string(text), file: file}, r.need.Hands), nil
}
