package runbook

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/riverqueue/river"

	"homeostat/automation"
	"homeostat/internal/signal"
)

// inPlace is how long a wait may be to be waited out in place. A job that is scheduled for later costs River up to 5 s more.
const inPlace = 10 * time.Second

// AddWorkers registers the worker that carries executions.
func (r *Runbooks) AddWorkers(ws *river.Workers) { river.AddWorker(ws, &worker{r: r}) }

type worker struct {
	river.WorkerDefaults[Carry]
	r *Runbooks
}

// Timeout implements river.Worker: steps bound themselves.
func (*worker) Timeout(*river.Job[Carry]) time.Duration { return -1 }

// NextRetry implements river.Worker: a database that is full or locked may be well again in a moment.
func (*worker) NextRetry(job *river.Job[Carry]) time.Time {
	return time.Now().Add(min(time.Duration(job.Attempt)*time.Second, time.Minute))
}

// Work implements river.Worker.
func (w *worker) Work(ctx context.Context, job *river.Job[Carry]) error {
	err := w.r.carry(ctx, job.Args.Execution)
	switch {
	case errors.Is(err, errBusy), ctx.Err() != nil:
		return river.JobSnooze(time.Second)
	case errors.Is(err, signal.ErrNotFound):
		return river.JobCancel(err)
	}
	return err
}

var (
	// errBusy means that another goroutine carries the execution.
	errBusy = errors.New("the execution is being carried already")
	// errAsked means that a person was asked before the first changing step.
	errAsked = errors.New("a person was asked")
)

// claim makes the caller the only one that carries an execution. One process owns the database's file; a cluster will need a
// lease beside it.
func (r *Runbooks) claim(ctx context.Context, id string) (context.Context, func(), error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.active[id]; ok {
		return nil, nil, errBusy
	}
	ctx, cancel := context.WithCancelCause(ctx)
	r.active[id] = cancel
	return ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.active, id)
		delete(r.live, id)
		cancel(nil)
	}, nil
}

// carry takes an execution as far as it goes: to its end, or to where it must wait.
func (r *Runbooks) carry(ctx context.Context, id string) error {
	ctx, release, err := r.claim(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	for {
		x, err := load(ctx, r.need.DB, id)
		if err != nil || x.ended() {
			return err
		}
		if x.Verify == "pending" {
			return r.verify(ctx, x)
		}
		again, err := r.advance(ctx, x)
		if errors.Is(context.Cause(ctx), automation.ErrCancel) {
			// A person cancelled while a step was under way: what is in the table now says so, and cancel paths run.
			ctx = context.WithoutCancel(ctx)
			again, err = true, nil
		}
		if err != nil || !again {
			return err
		}
	}
}

// advance runs the document's steps. again says that there is more to do at once.
func (r *Runbooks) advance(ctx context.Context, x *execution) (again bool, err error) {
	docs := r.pinned(ctx, x)
	doc, err := docs.Document(x.Runbook, x.Version)
	if err != nil {
		return false, r.fail(ctx, x, fmt.Sprintf("its document can't be read: %v", err))
	}
	j, err := r.openJournal(ctx, x)
	if err != nil {
		return false, err
	}
	g := &gate{r: r, x: x, j: j}
	mode := automation.Observe
	if x.real() {
		mode = automation.Auto
	}
	ev, _ := x.event()
	res, err := automation.Run(ctx, doc, automation.Execution{
		ID: x.ID, Parameters: x.Parameters, Mode: mode, Began: x.Began, Cancel: x.cancel, Account: ev.Account, Region: ev.Region,
	}, automation.World{Hands: &rehearsed{Hands: r.need.Hands, g: g}, Journal: j, Documents: docs, Gate: g.pass, Held: g.held})
	switch {
	case errors.Is(err, errAsked):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("execution %s: %w", x.ID, err)
	case res.State == automation.Waiting:
		return r.wait(ctx, x, res)
	}
	return r.settle(ctx, x, j, g, res)
}

// wait writes down what an execution waits for. A short wait is waited out.
func (r *Runbooks) wait(ctx context.Context, x *execution, res automation.Result) (again bool, err error) {
	if res.Approval == nil && !res.Until.IsZero() && time.Until(res.Until) <= inPlace {
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-time.After(time.Until(res.Until)):
			return true, nil
		}
	}
	x.State, x.Step, x.Reason = signal.Waiting, res.Step, res.Reason
	asked := x.Approval
	x.Approval = nil
	if q := res.Approval; q != nil {
		x.Approval = &signal.Approval{
			Step: q.Step, Kind: q.Kind, Message: q.Message, Approvers: q.Approvers, Needed: q.Needed, Given: q.Given, Expires: q.Expires,
		}
	}
	ctx = context.WithoutCancel(ctx)
	return false, r.commits.do(func(tx *sql.Tx) error {
		if err := update(ctx, tx, x); err != nil {
			return err
		}
		if x.Approval != nil && (asked == nil || asked.Step != x.Approval.Step) {
			if err := r.publish(ctx, tx, signal.ExecutionWaitingForApproval, x.ID, time.Now(), x.Execution); err != nil {
				return err
			}
		}
		if res.Until.IsZero() {
			return nil
		}
		return r.schedule(ctx, tx, x.ID, res.Until)
	})
}

// settle ends an execution whose document has ended, or hands it to verify.
func (r *Runbooks) settle(ctx context.Context, x *execution, j *journal, g *gate, res automation.Result) (again bool, err error) {
	ctx = context.WithoutCancel(ctx) // what was done goes on record
	x.State, x.Step, x.Reason, x.Outputs, x.Outcome = res.State, res.Step, res.Reason, res.Outputs, j.did()
	acted := x.real() && x.Outcome != ""
	if !x.real() && x.Outcome != "" {
		x.Outcome = "would " + x.Outcome // whatever became of the plan's other steps
	}
	switch {
	case x.State == signal.Success && !x.real() && x.Outcome != "":
		if g.refused != "" {
			x.State, x.Reason = signal.Refused, "would have been refused: "+g.refused
		}
	case x.State == signal.Success && x.Outcome == "":
		x.Outcome = "nothing was changed"
		if s := j.found(); s != "" {
			x.Outcome = s
		}
	}
	if x.State == signal.Success {
		x.Reason = ""
	}
	if x.real() && !j.acted() {
		x.idle = true // a guard let it through, and then there was nothing to do: neither cooldown nor incident are used up
	}
	if _, ok := x.event(); x.State == signal.Success && acted && ok {
		if r.need.Conditions != nil {
			return true, r.beginVerify(ctx, x, j)
		}
		x.Verify = "skipped"
	}
	end := func(tx *sql.Tx) error { return r.close(ctx, tx, x) }
	if e, ok := j.entries[approvalPath]; ok && e.Open() {
		e.State, e.Error, e.Ended = automation.Cancelled, x.Reason, time.Now().UTC() // nobody is asked any more
		return false, j.put(ctx, e, end)
	}
	return false, r.commits.do(end)
}

// fail ends an execution that can't go on.
func (r *Runbooks) fail(ctx context.Context, x *execution, reason string) error {
	x.State, x.Reason = signal.Failed, reason
	return r.inTx(ctx, func(tx *sql.Tx) error { return r.close(ctx, tx, x) })
}

// Recover gives every open execution a job, as one may have been lost, or have used its attempts up. It is called once at
// start, before River's client; jobs that come twice do nothing.
func (r *Runbooks) Recover(ctx context.Context) error {
	return r.inTx(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT id FROM executions WHERE ended = 0`)
		if err != nil {
			return err
		}
		defer rows.Close()
		var ids []string
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			ids = append(ids, id)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		for _, id := range ids {
			if err := r.schedule(ctx, tx, id, time.Time{}); err != nil {
				return err
			}
		}
		return nil
	})
}

// documents implements automation.Documents by a function.
type documents func(name, version string) (*automation.Document, error)

// Document implements automation.Documents.
func (d documents) Document(name, version string) (*automation.Document, error) {
	return d(name, version)
}

// pinned finds documents as the execution began with them.
func (r *Runbooks) pinned(ctx context.Context, x *execution) documents {
	return func(name, version string) (*automation.Document, error) {
		if version == "" {
			version = x.documents[name]
		}
		if version == "" {
			return nil, fmt.Errorf("%s: %w", name, automation.ErrNoDocument)
		}
		if d, err := r.need.Catalog.Document(name, version); err == nil {
			return d, nil
		}
		key := name + "\x00" + version
		r.mu.Lock()
		d, ok := r.parsed[key]
		r.mu.Unlock()
		if ok {
			return d, nil
		}
		text, err := documentText(ctx, r.need.Read, name, version)
		if err != nil {
			return nil, err
		}
		if d, err = automation.Parse(name+".yaml", []byte(text)); err != nil {
			return nil, err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.parsed[key] = d
		return d, nil
	}
}
