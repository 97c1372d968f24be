package runbook

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"homeostat/automation"
	"homeostat/internal/signal"
)

// querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

const columns = `id, runbook, version, documents, mode, route, event, envelope, by_whom, entity, incident, severity, cause,
	parameters, state, step, outcome, reason, outputs, approval, verify, cancel, repeats, acted, began, ended`

func scan(row interface{ Scan(...any) error }) (*execution, error) {
	var x execution
	var documents, cause, parameters, outputs, approval string
	var repeat int
	var acted, began, ended int64
	err := row.Scan(&x.ID, &x.Runbook, &x.Version, &documents, &x.Mode, &x.Route, &x.Event, &x.envelope, &x.By, &x.Entity,
		&x.Incident, &x.Severity, &cause, &parameters, &x.State, &x.Step, &x.Outcome, &x.Reason, &outputs, &approval, &x.Verify,
		&x.cancel, &repeat, &acted, &began, &ended)
	if err != nil {
		return nil, err
	}
	x.repeat = repeat != 0
	x.acted, x.Began, x.Ended = fromMS(acted), fromMS(began), fromMS(ended)
	var errs [5]error
	x.documents, errs[0] = fromJSON[map[string]string](documents)
	x.Cause, errs[1] = fromJSON[[]string](cause)
	x.Parameters, errs[2] = fromJSON[map[string]any](parameters)
	x.Outputs, errs[3] = fromJSON[map[string]any](outputs)
	x.Approval, errs[4] = fromJSON[*signal.Approval](approval)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("execution %s: %w", x.ID, err)
	}
	plainMap(x.Parameters)
	plainMap(x.Outputs)
	return &x, nil
}

// load reads one execution. An unknown id is [signal.ErrNotFound].
func load(ctx context.Context, q querier, id string) (*execution, error) {
	x, err := scan(q.QueryRowContext(ctx, `SELECT `+columns+` FROM executions WHERE id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("execution %s: %w", id, signal.ErrNotFound)
	}
	return x, err
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// jsonText marshals what can always be marshalled.
func jsonText(v any) (string, error) {
	text, err := json.Marshal(v)
	return string(text), err
}

// insert adds an execution that isn't there yet.
func insert(ctx context.Context, tx *sql.Tx, x *execution) error {
	documents, err1 := jsonText(x.documents)
	cause, err2 := jsonText(x.Cause)
	parameters, err3 := jsonText(x.Parameters)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO executions (`+columns+`, acting) VALUES
		($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, '', '', '', '', $19, 0, $20, $21, 0)`,
		x.ID, x.Runbook, x.Version, documents, x.Mode, x.Route, x.Event, x.envelope, x.By, x.Entity, x.Incident, x.Severity, cause,
		parameters, x.State, x.Step, x.Outcome, x.Reason, flag(x.repeat), ms(x.Began), ms(x.Ended))
	return err
}

// update writes what changes in the life of an execution. One that has ended is never written again.
func update(ctx context.Context, tx *sql.Tx, x *execution) error {
	outputs, err := jsonText(x.Outputs)
	if err != nil {
		return err
	}
	approval := ""
	if x.Approval != nil {
		if approval, err = jsonText(x.Approval); err != nil {
			return err
		}
	}
	res, err := tx.ExecContext(ctx, `UPDATE executions SET state = $2, step = $3, outcome = $4, reason = $5, outputs = $6, approval = $7,
		verify = $8, ended = $9, acting = CASE WHEN $9 > 0 THEN 0 ELSE acting END, acted = CASE WHEN $10 > 0 THEN 0 ELSE acted END
		WHERE id = $1 AND ended = 0`,
		x.ID, x.State, x.Step, x.Outcome, x.Reason, outputs, approval, x.Verify, ms(x.Ended), flag(x.idle))
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, fmt.Errorf("execution %s has ended: %w", x.ID, signal.ErrConflict))
	}
	if x.idle {
		_, err = tx.ExecContext(ctx, `DELETE FROM execution_targets WHERE execution = $1`, x.ID)
	}
	return err
}

// keepDocuments keeps the texts of today for executions that begin with them.
func keepDocuments(ctx context.Context, tx *sql.Tx, c *Catalog) error {
	for _, d := range c.docs {
		if err := keepDocument(ctx, tx, d.Document, d.text); err != nil {
			return err
		}
	}
	return nil
}

func keepDocument(ctx context.Context, tx *sql.Tx, d *automation.Document, text string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO documents (version, name, text) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, d.Version, d.Name, text)
	if err != nil {
		return fmt.Errorf("keep document %s: %w", d.Name, err)
	}
	return nil
}

// documentText returns the text of one version of a document.
func documentText(ctx context.Context, q querier, name, version string) (string, error) {
	var text string
	err := q.QueryRowContext(ctx, `SELECT text FROM documents WHERE version = $1 AND name = $2`, version, name).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("%s, version %s: %w", name, version, automation.ErrNoDocument)
	}
	return text, err
}

// facts fills in what the guards need to know. An execution in observe counts what others would have done, too; one that acts
// counts only what was really done.
func facts(ctx context.Context, tx *sql.Tx, x *execution, cooldown time.Duration) (Act, error) {
	a := Act{Execution: x.ID, Runbook: x.Runbook, Route: x.Route, Entity: x.Entity, Incident: x.Incident, Mode: x.Mode, Repeat: x.repeat}
	s, err := paused(ctx, tx)
	if err != nil {
		return a, err
	}
	a.Paused, a.PausedBy = s.Paused, s.By
	if s.Reason != "" {
		a.PausedBy += ": " + s.Reason
	}
	observed := "" // in observe nothing is left out
	if x.real() {
		observed = string(signal.Observe)
	}
	var last int64
	err = tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(acted), 0), COALESCE(SUM(CASE WHEN acted > $5 THEN 1 ELSE 0 END), 0) FROM (
		SELECT acted FROM executions WHERE entity = $1 AND runbook = $2 AND acted > 0 AND mode <> $3 AND id <> $4
		UNION ALL SELECT t.acted FROM execution_targets t JOIN executions e ON e.id = t.execution
		WHERE t.entity = $1 AND e.runbook = $2 AND e.mode <> $3 AND e.id <> $4)`,
		x.Entity, x.Runbook, observed, x.ID, time.Now().Add(-24*time.Hour).UnixMilli()).Scan(&last, &a.Acted)
	if err != nil {
		return a, err
	}
	a.LastActed = fromMS(last)
	err = tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM executions WHERE ended = 0 AND acting = 1 AND mode <> $1 AND id <> $2`,
		observed, x.ID).Scan(&a.Acting)
	if err != nil {
		return a, err
	}
	if a.Touched, err = touched(ctx, tx, x, observed, cooldown); err != nil {
		return a, err
	}
	err = tx.QueryRowContext(ctx, `SELECT COALESCE(SUM(failed), 0) FROM runbook_failures WHERE runbook = $1 AND entity = $2`, x.Runbook, x.Entity).Scan(&a.Failed)
	if err != nil || x.Incident == "" {
		return a, err
	}
	err = tx.QueryRowContext(ctx, `SELECT id FROM executions WHERE incident = $1 AND entity = $2 AND runbook = $3 AND mode <> $4
		AND state <> $5 AND (ended = 0 OR acted > 0) AND id <> $6 AND began <= $7 ORDER BY began LIMIT 1`,
		x.Incident, x.Entity, x.Runbook, observed, signal.Refused, x.ID, ms(x.Began)).Scan(&a.SameIncident)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return a, err
}

// touched lists the entities that executions act on, or acted on within the cooldown, x itself left out.
func touched(ctx context.Context, tx *sql.Tx, x *execution, observed string, cooldown time.Duration) ([]signal.EntityID, error) {
	rows, err := tx.QueryContext(ctx, `SELECT entity FROM executions WHERE (ended = 0 AND acting = 1 OR acted > $1) AND mode <> $2 AND id <> $3
		UNION SELECT t.entity FROM execution_targets t JOIN executions e ON e.id = t.execution
		WHERE (e.ended = 0 AND e.acting = 1 OR t.acted > $1) AND e.mode <> $2 AND e.id <> $3`, time.Now().Add(-cooldown).UnixMilli(), observed, x.ID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []signal.EntityID
	for rows.Next() {
		var e signal.EntityID
		if err := rows.Scan(&e); err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, rows.Err()
}

// markActing notes that x is about to act on an entity: its own, or one of its targets.
func markActing(ctx context.Context, tx *sql.Tx, x *execution, entity signal.EntityID, now time.Time) error {
	_, err := tx.ExecContext(ctx, `UPDATE executions SET acting = 1, acted = $2 WHERE id = $1`, x.ID, ms(now))
	if err != nil || entity == x.Entity {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO execution_targets (execution, entity, acted) VALUES ($1, $2, $3)
		ON CONFLICT (execution, entity) DO UPDATE SET acted = excluded.acted`, x.ID, entity, ms(now))
	return err
}

// Executions lists executions without their steps, oldest first; the string is the cursor of the next page, "" on the last.
func (r *Runbooks) Executions(ctx context.Context, q signal.Query) ([]signal.Execution, string, error) {
	limit := q.Limit
	if limit <= 0 {
		limit = 100
	}
	limit = min(limit, 1000)
	var where []string
	var args []any
	arg := func(v any) string {
		args = append(args, v)
		return fmt.Sprintf("$%d", len(args))
	}
	if q.Entity != "" {
		where = append(where, "entity = "+arg(q.Entity))
	}
	if q.Incident != "" {
		where = append(where, "incident = "+arg(q.Incident))
	}
	if q.State != "" {
		where = append(where, "state = "+arg(q.State))
	}
	order, cmp := "ASC", ">"
	if q.Newest {
		order, cmp = "DESC", "<"
	}
	if q.After != "" {
		id := arg(q.After)
		at := `(SELECT began FROM executions WHERE id = ` + id + `)`
		where = append(where, "(began "+cmp+" "+at+" OR began = "+at+" AND id "+cmp+" "+id+")")
	}
	text := `SELECT ` + columns + ` FROM executions`
	if len(where) > 0 {
		text += " WHERE " + strings.Join(where, " AND ")
	}
	text += " ORDER BY began " + order + ", id " + order + " LIMIT " + arg(limit+1)
	rows, err := r.need.Read.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, "", err
	}
	defer rows.Close()
	out := []signal.Execution{}
	for rows.Next() {
		x, err := scan(rows)
		if err != nil {
			return nil, "", err
		}
		out = append(out, x.Execution)
	}
	if err := rows.Err(); err != nil {
		return nil, "", err
	}
	if len(out) > limit {
		return out[:limit], out[limit-1].ID, nil
	}
	return out, "", nil
}

// Execution returns one execution with its steps. An unknown id is [signal.ErrNotFound].
func (r *Runbooks) Execution(ctx context.Context, id string) (signal.Execution, error) {
	x, err := load(ctx, r.need.Read, id)
	if err != nil {
		return signal.Execution{}, err
	}
	entries, err := entriesOf(ctx, r.need.Read, id)
	if err != nil {
		return signal.Execution{}, err
	}
	r.mu.Lock()
	live := slices.Clone(r.live[id])
	r.mu.Unlock()
	for _, e := range live {
		if i := slices.IndexFunc(entries, func(have automation.Entry) bool { return have.Path == e.Path }); i < 0 && !x.ended() {
			entries = append(entries, e)
		}
	}
	for _, e := range entries {
		x.Steps = append(x.Steps, shownStep(stepID(id, e.Path), e))
	}
	return x.Execution, nil
}

// Running reports, within the caller's transaction, whether an execution of this incident has not ended.
func (r *Runbooks) Running(ctx context.Context, tx *sql.Tx, incident string) (bool, error) {
	var n int
	err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM executions WHERE incident = $1 AND ended = 0`, incident).Scan(&n)
	return n > 0, err
}

// entriesOf reads an execution's journal in the order in which its steps began, with people's answers.
func entriesOf(ctx context.Context, q querier, id string) ([]automation.Entry, error) {
	answers, err := answersOf(ctx, q, id)
	if err != nil {
		return nil, err
	}
	rows, err := q.QueryContext(ctx, `SELECT entry FROM steps WHERE execution = $1 ORDER BY ordinal`, id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []automation.Entry
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		e, err := fromJSON[automation.Entry](text)
		if err != nil {
			return nil, fmt.Errorf("journal of %s: %w", id, err)
		}
		plainMap(e.Inputs)
		plainMap(e.Outputs)
		e.Answers = answers[e.Path]
		out = append(out, e)
	}
	return out, rows.Err()
}

func answersOf(ctx context.Context, q querier, id string) (map[string][]automation.Answer, error) {
	rows, err := q.QueryContext(ctx, `SELECT path, who, verb, comment, at FROM answers WHERE execution = $1 ORDER BY path, ordinal`, id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string][]automation.Answer{}
	for rows.Next() {
		var path string
		var a automation.Answer
		var at int64
		if err := rows.Scan(&path, &a.Who, &a.Verb, &a.Comment, &at); err != nil {
			return nil, err
		}
		a.At = fromMS(at)
		out[path] = append(out[path], a)
	}
	return out, rows.Err()
}

// Prune takes away executions, with their journals, that ended before a moment: limit of them at most. It returns how many.
func (r *Runbooks) Prune(ctx context.Context, tx *sql.Tx, before time.Time, limit int) (int, error) {
	const old = "SELECT id FROM executions WHERE ended > 0 AND ended < $1 ORDER BY ended, id LIMIT $2"
	for _, table := range []string{"answers", "steps", "execution_targets"} {
		if _, err := tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE execution IN ("+old+")", ms(before), limit); err != nil {
			return 0, err
		}
	}
	res, err := tx.ExecContext(ctx, "DELETE FROM executions WHERE id IN ("+old+")", ms(before), limit)
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	return int(n), err
}
