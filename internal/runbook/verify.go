package runbook

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"homeostat/automation"
	"homeostat/internal/signal"
)

// lookTime is how long one look at the condition may take.
const lookTime = 10 * time.Second

// beginVerify hands an execution that acted to verify: a step of its own in the journal.
func (r *Runbooks) beginVerify(ctx context.Context, x *execution, j *journal) error {
	x.State, x.Step, x.Verify = signal.InProgress, "verify", "pending"
	now := time.Now().UTC()
	e := automation.Entry{
		Path: verifyPath, Action: "homeostat:verify", Effect: automation.Reading, State: automation.InProgress, Attempt: 1,
		Began: now, Until: now.Add(r.cfg.VerifyTimeout),
	}
	return j.put(ctx, e, func(tx *sql.Tx) error { return update(ctx, tx, x) })
}

// verify looks at the condition that fired until it has been gone for the settle time, or the time is up. It is done by the
// goroutine that carries the execution: at most as many as may act at once.
func (r *Runbooks) verify(ctx context.Context, x *execution) error {
	j, err := r.openJournal(ctx, x)
	if err != nil {
		return err
	}
	e, ok := j.entries[verifyPath]
	ev, evOK := x.event()
	if !ok || !evOK {
		return r.fail(ctx, x, "verify: its event or its journal can't be read")
	}
	if x.cancel != "" {
		return r.endVerify(ctx, x, j, e, automation.Cancelled, cancelled{x.cancel}.Error())
	}
	// After a restart the time may be up already: the rules behind the condition get as long as a settled one needs.
	w := watch{settle: r.cfg.VerifySettle, until: e.Until}
	if least := time.Now().Add(r.cfg.VerifySettle + 2*r.cfg.VerifyEvery); w.until.Before(least) {
		w.until = least
	}
	tick := time.NewTicker(r.cfg.VerifyEvery)
	defer tick.Stop()
	for {
		holds, why, err := r.look(ctx, ev)
		if ctx.Err() != nil {
			return r.interrupted(ctx, x, j, e)
		}
		switch w.see(time.Now(), holds, why, err) {
		case passed:
			return r.endVerify(ctx, x, j, e, automation.Success, w.why)
		case notGone:
			return r.endVerify(ctx, x, j, e, automation.Failed, w.why)
		}
		select {
		case <-ctx.Done():
			return r.interrupted(ctx, x, j, e)
		case <-tick.C:
		}
	}
}

// interrupted ends verify when a person cancelled; else the process is ending, and verify goes on at the next start.
func (r *Runbooks) interrupted(ctx context.Context, x *execution, j *journal, e automation.Entry) error {
	cause := context.Cause(ctx)
	if !errors.Is(cause, automation.ErrCancel) {
		return cause
	}
	return r.endVerify(ctx, x, j, e, automation.Cancelled, cause.Error())
}

func (r *Runbooks) look(ctx context.Context, ev signal.Event) (holds bool, why string, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	return r.need.Conditions.Holds(ctx, ev)
}

// endVerify ends verify and with it the execution.
func (r *Runbooks) endVerify(ctx context.Context, x *execution, j *journal, e automation.Entry, state, why string) error {
	ctx = context.WithoutCancel(ctx) // what was done goes on record
	e.State, e.Ended = state, time.Now().UTC()
	x.State = signal.Success
	switch state {
	case automation.Success:
		x.Verify, e.Note = "passed", why
	case automation.Cancelled:
		x.State, x.Verify, x.Reason, e.Error = signal.Cancelled, "failed", "verify: "+why, why
	default:
		x.State, x.Verify, x.Reason, e.Error = signal.Failed, "failed", "verify: "+why, why
	}
	return j.put(ctx, e, func(tx *sql.Tx) error {
		if state == automation.Failed {
			held, err := r.failedVerify(ctx, tx, x)
			if err != nil {
				return err
			}
			if held {
				x.Reason += "; " + x.Runbook + " asks before it acts on " + string(x.Entity) + " again, until somebody resets it"
			}
			if err := r.rollBack(ctx, tx, x); err != nil {
				return err
			}
		}
		link := signal.Link{
			ID: signal.MakeID(signal.KindVerify, x.ID), Kind: "verify", Time: e.Ended,
			Text: "verify " + x.Verify + ": " + why, Cause: []string{x.ID},
		}
		if err := r.need.Chain.Add(ctx, tx, link); err != nil {
			return err
		}
		if err := r.audit(ctx, tx, x, "verify", x.ID, link.Text, nil); err != nil {
			return err
		}
		return r.close(ctx, tx, x)
	})
}

// outcome is what verify has come to. The zero outcome is to go on looking.
type outcome int

const (
	looking outcome = iota
	passed
	notGone
)

// watch follows a condition from look to look. Where a look can't tell, the condition counts as there.
type watch struct {
	settle    time.Duration
	until     time.Time
	goneSince time.Time // zero while it is there
	why       string    // of the last look, or of the end
}

// see takes one look into account. The condition passes only once it has been gone for all of the settle time; what went in
// time may settle after it.
func (w *watch) see(now time.Time, holds bool, why string, err error) outcome {
	if err != nil {
		holds, why = true, "it can't be looked at: "+err.Error()
	}
	switch {
	case holds && !now.Before(w.until):
		w.why = "the condition is still there"
		if why != "" {
			w.why += ": " + why
		}
		return notGone
	case holds:
		w.goneSince = time.Time{}
		return looking
	case w.goneSince.IsZero():
		w.goneSince = now
	}
	if now.Sub(w.goneSince) < w.settle {
		return looking
	}
	w.why = fmt.Sprintf("the condition has been gone for %v", now.Sub(w.goneSince).Round(time.Second))
	if why != "" {
		w.why += ": " + why
	}
	return passed
}
