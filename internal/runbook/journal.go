package runbook

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"homeostat/automation"
	"homeostat/internal/signal"
)

// journal implements automation.Journal for one execution, over the table steps. It is read once when a goroutine takes the
// execution up: nobody else writes steps meanwhile. Used by one goroutine.
//
// That a reading step has begun is kept in memory until the next write, and written with it: a reading step that was cut off
// is repeated anyhow, and a transaction less a step is a third of all. Pages see such steps all the same (Runbooks.live).
type journal struct {
	r       *Runbooks
	x       *execution
	order   []string
	entries map[string]automation.Entry
	pending []string // paths of entries that are only in memory
}

func (r *Runbooks) openJournal(ctx context.Context, x *execution) (*journal, error) {
	entries, err := entriesOf(ctx, r.need.DB, x.ID)
	if err != nil {
		return nil, err
	}
	j := &journal{r: r, x: x, entries: make(map[string]automation.Entry, len(entries))}
	for _, e := range entries {
		j.order = append(j.order, e.Path)
		j.entries[e.Path] = e
	}
	return j, nil
}

// Step implements automation.Journal.
func (j *journal) Step(_ context.Context, path string) (automation.Entry, bool, error) {
	e, ok := j.entries[path]
	return e, ok, nil
}

// Intend implements automation.Journal. The intent of a changing step goes into the audit log, too.
func (j *journal) Intend(ctx context.Context, e automation.Entry) error {
	if e.Effect == automation.Reading && e.State == automation.InProgress {
		if old, ok := j.entries[e.Path]; !ok || old.Open() {
			j.keep(e)
			if !slices.Contains(j.pending, e.Path) {
				j.pending = append(j.pending, e.Path)
			}
			j.r.setLive(j.x.ID, e)
			return nil
		}
	}
	ctx = context.WithoutCancel(ctx) // of a transaction that others share
	return j.put(ctx, e, func(tx *sql.Tx) error {
		if !j.changes(e) || e.State != automation.InProgress {
			return nil
		}
		return j.r.audit(ctx, tx, j.x, "step.intent", stepID(j.x.ID, e.Path), e.Path, map[string]any{
			"execution": j.x.ID, "action": e.Action, "inputs": e.Inputs, "token": e.Token, "attempt": e.Attempt,
		})
	})
}

// Outcome implements automation.Journal. A step gets its link in the causal chain; one that changed something an audit entry
// and the event "Action Taken", too.
func (j *journal) Outcome(ctx context.Context, e automation.Entry) error {
	ctx = context.WithoutCancel(ctx)
	err := j.put(ctx, e, func(tx *sql.Tx) error { return j.tell(ctx, tx, e) })
	if err == nil {
		j.r.metric.steps.WithLabelValues(e.Effect.String(), e.State).Inc()
		if !e.Ended.IsZero() && !e.Began.IsZero() {
			j.r.metric.stepTook.Observe(e.Ended.Sub(e.Began).Seconds())
		}
	}
	return err
}

// tell records what is worth telling of a step that has ended.
func (j *journal) tell(ctx context.Context, tx *sql.Tx, e automation.Entry) error {
	id := stepID(j.x.ID, e.Path)
	text := sentence(e)
	link := signal.Link{ID: id, Kind: "step", Time: e.Ended, Text: text, Cause: []string{j.x.ID}}
	if err := j.r.need.Chain.Add(ctx, tx, link); err != nil {
		return err
	}
	if !j.changes(e) {
		return nil
	}
	if err := j.r.audit(ctx, tx, j.x, "step.outcome", id, text, map[string]any{
		"execution": j.x.ID, "action": e.Action, "state": e.State, "outputs": e.Outputs, "error": e.Error, "attempt": e.Attempt,
	}); err != nil {
		return err
	}
	if idle(e) {
		return nil // it found nothing to do, so no action was taken
	}
	told := j.x.Execution
	told.Step, told.Outcome, told.Reason, told.Outputs = e.Path, text, e.Error, nil
	return j.r.publish(ctx, tx, signal.ActionTaken, id, e.Ended, told)
}

// changes reports whether a step really touches the world: a step that holds others leaves that to them.
func (j *journal) changes(e automation.Entry) bool {
	return e.Effect == automation.Changing && j.x.real() && !strings.HasPrefix(e.Path, "@") && !j.holds(e.Path)
}

// holds reports whether a step holds others.
func (j *journal) holds(path string) bool {
	return slices.ContainsFunc(j.order, func(p string) bool {
		return strings.HasPrefix(p, path) && len(p) > len(path) && (p[len(path)] == '/' || p[len(path)] == '[')
	})
}

// put writes an entry, and those that are only in memory; one that has ended is never written again. ctx, and also's, must not
// end meanwhile.
func (j *journal) put(ctx context.Context, e automation.Entry, also func(tx *sql.Tx) error) error {
	old, ok := j.entries[e.Path]
	if ok && !old.Open() {
		return fmt.Errorf("step %s of %s has ended: %s", e.Path, j.x.ID, old.State)
	}
	j.keep(e)
	err := j.r.commits.do(func(tx *sql.Tx) error {
		for _, p := range j.pending {
			if p != e.Path {
				if err := j.write(ctx, tx, j.entries[p]); err != nil {
					return err
				}
			}
		}
		if err := j.write(ctx, tx, e); err != nil {
			return err
		}
		return also(tx)
	})
	if err != nil {
		if ok {
			j.entries[e.Path] = old // as the table has it, or memory
		} else {
			j.order = j.order[:len(j.order)-1]
			delete(j.entries, e.Path)
		}
		return err
	}
	j.pending = j.pending[:0]
	j.r.setLive(j.x.ID)
	return nil
}

// keep puts an entry into memory.
func (j *journal) keep(e automation.Entry) {
	old, ok := j.entries[e.Path]
	if !ok {
		j.order = append(j.order, e.Path)
	}
	e.Answers = old.Answers
	j.entries[e.Path] = e
}

// write puts an entry into the table.
func (j *journal) write(ctx context.Context, tx *sql.Tx, e automation.Entry) error {
	e.Answers = nil // they have a table of their own
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("step %s of %s: %w", e.Path, j.x.ID, err)
	}
	res, err := tx.ExecContext(ctx, `INSERT INTO steps (execution, path, ordinal, id, state, entry) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (execution, path) DO UPDATE SET state = excluded.state, entry = excluded.entry
		WHERE steps.state IN ('`+automation.InProgress+`', '`+automation.Waiting+`')`,
		j.x.ID, e.Path, slices.Index(j.order, e.Path), stepID(j.x.ID, e.Path), e.State, string(text))
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, fmt.Errorf("step %s of %s has ended", e.Path, j.x.ID))
	}
	return nil
}

// did tells in sentences what the execution did, or would have done; "" when it changed nothing.
func (j *journal) did() string {
	var said []string
	for _, p := range j.order {
		e := j.entries[p]
		switch {
		case e.Would != "" && !j.holds(p):
			said = append(said, e.Would)
		case e.State == automation.Success && j.changes(e) && !idle(e):
			said = append(said, sentence(e))
		}
	}
	return strings.Join(slices.Compact(said), "; ") // several steps may have the same to say: that nothing can be done here
}

// acted reports whether a step has, or may have, touched the world.
func (j *journal) acted() bool {
	return slices.ContainsFunc(j.order, func(p string) bool {
		e := j.entries[p]
		return j.changes(e) && e.State != automation.Refused && !idle(e)
	})
}

// idle reports whether a changing step says that it found nothing to do: "changed" of the JSON object that it printed is false.
func idle(e automation.Entry) bool {
	out, ok := e.Outputs["Output"].(string)
	if !ok || e.State != automation.Success || e.Effect != automation.Changing {
		return false
	}
	said := struct {
		Changed *bool `json:"changed"`
	}{}
	return json.Unmarshal([]byte(out), &said) == nil && said.Changed != nil && !*said.Changed
}

// found tells what the last step that had something to say found.
func (j *journal) found() string {
	for i := len(j.order) - 1; i >= 0; i-- {
		if s := saying(j.entries[j.order[i]].Outputs); s != "" {
			return s
		}
	}
	return ""
}

// sentence tells of a step that has ended what a tired person understands.
func sentence(e automation.Entry) string {
	switch {
	case e.Would != "":
		return "would " + e.Would
	case e.State != automation.Success && e.Error != "":
		return fmt.Sprintf("step %s ended as %s: %s", e.Path, e.State, e.Error)
	case e.State != automation.Success:
		return fmt.Sprintf("step %s ended as %s", e.Path, e.State)
	}
	if s := saying(e.Outputs); s != "" {
		return s
	}
	if e.Action == "aws:branch" && len(e.Maybe) == 0 {
		return fmt.Sprintf("step %s: went to %s", e.Path, cmp.Or(e.Next, "the end"))
	}
	if e.Note != "" {
		return fmt.Sprintf("step %s: %s", e.Path, e.Note)
	}
	return fmt.Sprintf("step %s (%s) succeeded", e.Path, e.Action)
}
