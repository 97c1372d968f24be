package incident

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"homeostat/internal/signal"
)

// queryer is a transaction or the readers.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// record is an incident as it is stored, with what belongs to it where that was asked for.
type record struct {
	signal.Incident
	seq   int64
	ended time.Time // when the last thing in it ended; zero while one goes on
	deeds []deed    // in the order in which they began
}

// member is an anomaly or alert as it is stored.
type member struct {
	signal.Member
	incident string
	entity   signal.EntityID
	touched  []signal.EntityID // of unusual access: whom it touched; read from the event, not stored beside it
	seen     time.Time
}

// deed is an execution as far as incidents care.
type deed struct {
	execution, incident, runbook string
	mode                         signal.Mode
	state, verify, reason        string
	at                           time.Time
}

// over says whether nothing of it runs or waits any more.
func (d deed) over() bool {
	switch d.state {
	case signal.Success, signal.TimedOut, signal.Cancelled, signal.Failed, signal.Refused:
		return true
	}
	return false
}

// lastVerify returns the last execution that looked whether the trouble was gone.
func lastVerify(deeds []deed) (deed, bool) {
	for i := len(deeds) - 1; i >= 0; i-- {
		if deeds[i].verify == "passed" || deeds[i].verify == "failed" {
			return deeds[i], true
		}
	}
	return deed{}, false
}

func ms(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func at(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

const incidentColumns = "seq, id, entity, state, severity, title, note, opened, updated, ended, resolved"

func scanIncident(row interface{ Scan(...any) error }) (record, error) {
	var (
		r                                record
		opened, updated, ended, resolved int64
	)
	err := row.Scan(&r.seq, &r.ID, &r.Entity, &r.State, &r.Severity, &r.Title, &r.Note, &opened, &updated, &ended, &resolved)
	r.Opened, r.Updated, r.ended, r.Resolved = at(opened), at(updated), at(ended), at(resolved)
	r.Cause = []string{}
	r.Head.Incident = r.ID
	return r, err
}

// one reads an incident; the zero record where there is none.
func one(ctx context.Context, q queryer, where string, arg any) (record, error) {
	r, err := scanIncident(q.QueryRowContext(ctx, "SELECT "+incidentColumns+" FROM incidents WHERE "+where, arg))
	if errors.Is(err, sql.ErrNoRows) {
		return record{}, nil
	}
	return r, err
}

func openIncident(ctx context.Context, q queryer, entity signal.EntityID) (record, error) {
	return one(ctx, q, "state = 'open' AND entity = $1", string(entity))
}

// openTouching returns the open incident with unusual access that touched an entity.
func openTouching(ctx context.Context, q queryer, entity signal.EntityID) (record, error) {
	name, err := json.Marshal(entity)
	if err != nil {
		return record{}, err
	}
	like := "%" + strings.NewReplacer(`!`, `!!`, `%`, `!%`, `_`, `!_`).Replace(string(name)) + "%"
	return one(ctx, q, `state = 'open' AND id IN (SELECT incident FROM incident_members
		WHERE kind = 'access' AND ended = 0 AND detail LIKE $1 ESCAPE '!')`, like)
}

func byID(ctx context.Context, q queryer, id string) (record, error) {
	return one(ctx, q, "id = $1", id)
}

// whole reads an incident with its members and executions.
func whole(ctx context.Context, q queryer, id string) (record, error) {
	r, err := byID(ctx, q, id)
	if err != nil || r.ID == "" {
		return r, err
	}
	if err := r.readMembers(ctx, q); err != nil {
		return r, err
	}
	rows, err := q.QueryContext(ctx, `SELECT execution, incident, runbook, mode, state, verify, reason, updated
		FROM incident_executions WHERE incident = $1 ORDER BY updated, execution`, id)
	if err != nil {
		return r, err
	}
	defer rows.Close()
	for rows.Next() {
		var (
			d       deed
			updated int64
		)
		if err := rows.Scan(&d.execution, &d.incident, &d.runbook, &d.mode, &d.state, &d.verify, &d.reason, &updated); err != nil {
			return r, err
		}
		d.at = at(updated)
		r.deeds = append(r.deeds, d)
	}
	return r, rows.Err()
}

const memberColumns = "id, began, incident, kind, entity, title, severity, ended, detail"

func scanMember(row interface{ Scan(...any) error }) (member, error) {
	var (
		m            member
		began, ended int64
		detail       string
	)
	err := row.Scan(&m.ID, &began, &m.incident, &m.Kind, &m.entity, &m.Title, &m.Severity, &ended, &detail)
	m.Began, m.Ended, m.Detail = at(began), at(ended), json.RawMessage(detail)
	return m, err
}

// readMembers fills Members and Cause.
func (r *record) readMembers(ctx context.Context, q queryer) error {
	rows, err := q.QueryContext(ctx, "SELECT "+memberColumns+" FROM incident_members WHERE incident = $1 ORDER BY seq", r.ID)
	if err != nil {
		return err
	}
	defer rows.Close()
	seen := map[string]bool{}
	for rows.Next() {
		m, err := scanMember(rows)
		if err != nil {
			return err
		}
		r.Members = append(r.Members, m.Member)
		if !seen[m.ID] {
			seen[m.ID] = true
			r.Cause = append(r.Cause, m.ID)
		}
	}
	return rows.Err()
}

func (r *record) insert(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO incidents (`+incidentColumns+`)
		VALUES ((SELECT COALESCE(MAX(seq), 0) + 1 FROM incidents), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		r.ID, string(r.Entity), r.State, string(r.Severity), r.Title, r.Note, ms(r.Opened), ms(r.Opened), ms(r.ended), ms(r.Resolved))
	return err
}

func (r *record) update(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, `UPDATE incidents SET state = $1, severity = $2, title = $3, note = $4, updated = $5, ended = $6, resolved = $7
		WHERE id = $8`, r.State, string(r.Severity), r.Title, r.Note, ms(r.Updated), ms(r.ended), ms(r.Resolved), r.ID)
	return err
}

// findMember reads one thing that began at a moment; the zero member where there is none.
func findMember(ctx context.Context, q queryer, id string, began time.Time) (member, error) {
	return oneMember(ctx, q, "id = $1 AND began = $2", id, ms(began))
}

// openMember reads the one with this id that goes on.
func openMember(ctx context.Context, q queryer, id string) (member, error) {
	return oneMember(ctx, q, "id = $1 AND ended = 0 ORDER BY began DESC LIMIT 1", id)
}

func oneMember(ctx context.Context, q queryer, where string, args ...any) (member, error) {
	m, err := scanMember(q.QueryRowContext(ctx, "SELECT "+memberColumns+" FROM incident_members WHERE "+where, args...))
	if errors.Is(err, sql.ErrNoRows) {
		return member{}, nil
	}
	return m, err
}

func (m *member) insert(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO incident_members (seq, `+memberColumns+`)
		VALUES ((SELECT COALESCE(MAX(seq), 0) + 1 FROM incident_members), $1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		m.ID, ms(m.Began), m.incident, m.Kind, string(m.entity), m.Title, string(m.Severity), ms(m.Ended), string(m.Detail))
	return err
}

func (m *member) update(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "UPDATE incident_members SET title = $1, severity = $2, ended = $3, detail = $4 WHERE id = $5 AND began = $6",
		m.Title, string(m.Severity), ms(m.Ended), string(m.Detail), m.ID, ms(m.Began))
	return err
}

// put stores an execution. What has ended doesn't begin again, in whatever order it is told.
func (d *deed) put(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO incident_executions (execution, incident, runbook, mode, state, verify, reason, updated)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (execution) DO UPDATE SET state = excluded.state, verify = excluded.verify, reason = excluded.reason, updated = excluded.updated
		WHERE incident_executions.state NOT IN ('Success', 'TimedOut', 'Cancelled', 'Failed', 'Refused')`,
		d.execution, d.incident, d.runbook, string(d.mode), d.state, d.verify, d.reason, ms(d.at))
	return err
}

// page is the restriction to one page of a list, and its order.
func page(q signal.Query, args *[]any) (where, order string, limit int, err error) {
	limit = q.Limit
	if limit <= 0 {
		limit = 100
	}
	limit = min(limit, 1000)
	order = " ORDER BY seq"
	if q.Newest {
		order += " DESC"
	}
	order += " LIMIT " + strconv.Itoa(limit+1)
	if q.After == "" {
		return "", order, limit, nil
	}
	after, err := strconv.ParseInt(q.After, 10, 64)
	if err != nil {
		return "", "", 0, fmt.Errorf("after: %q is no cursor: %w", q.After, signal.ErrInvalid)
	}
	*args = append(*args, after)
	if q.Newest {
		return " AND seq < $" + strconv.Itoa(len(*args)), order, limit, nil
	}
	return " AND seq > $" + strconv.Itoa(len(*args)), order, limit, nil
}

// List returns a page of incidents in the order in which they opened, members without their details.
func (in *Incidents) List(ctx context.Context, q signal.Query) ([]signal.Incident, string, error) {
	text, args := "SELECT "+incidentColumns+" FROM incidents WHERE 1 = 1", []any{}
	if q.Entity != "" {
		args = append(args, string(q.Entity))
		text += " AND entity = $" + strconv.Itoa(len(args))
	}
	if q.State != "" {
		args = append(args, q.State)
		text += " AND state = $" + strconv.Itoa(len(args))
	}
	if q.Incident != "" {
		args = append(args, q.Incident)
		text += " AND id = $" + strconv.Itoa(len(args))
	}
	if q.After != "" { // an incident's id will do for a cursor
		if r, err := byID(ctx, in.need.Read, q.After); err != nil {
			return nil, "", fmt.Errorf("list incidents: %w", err)
		} else if r.ID != "" {
			q.After = strconv.FormatInt(r.seq, 10)
		}
	}
	where, order, limit, err := page(q, &args)
	if err != nil {
		return nil, "", err
	}
	list, err := in.list(ctx, text+where+order, args)
	if err != nil {
		return nil, "", fmt.Errorf("list incidents: %w", err)
	}
	next := ""
	if len(list) > limit {
		list = list[:limit]
		next = strconv.FormatInt(list[limit-1].seq, 10)
	}
	out := make([]signal.Incident, len(list))
	for i := range list {
		if err := list[i].readMembers(ctx, in.need.Read); err != nil {
			return nil, "", fmt.Errorf("list incidents: %w", err)
		}
		for j := range list[i].Members {
			list[i].Members[j].Detail = nil
		}
		out[i] = list[i].Incident
	}
	return out, next, nil
}

func (in *Incidents) list(ctx context.Context, query string, args []any) ([]record, error) {
	rows, err := in.need.Read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []record
	for rows.Next() {
		r, err := scanIncident(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

// Get returns an incident with its members, or [signal.ErrNotFound].
func (in *Incidents) Get(ctx context.Context, id string) (signal.Incident, error) {
	r, err := byID(ctx, in.need.Read, id)
	if err == nil && r.ID == "" {
		err = signal.ErrNotFound
	}
	if err == nil {
		err = r.readMembers(ctx, in.need.Read)
	}
	if err != nil {
		return signal.Incident{}, fmt.Errorf("incident %s: %w", id, err)
	}
	return r.Incident, nil
}

// Anomalies returns a page of anomalies as they were last told, in the order in which they were first told. State is open or
// ended.
func (in *Incidents) Anomalies(ctx context.Context, q signal.Query) ([]signal.Anomaly, string, error) {
	return found[signal.Anomaly](ctx, in.need.Read, "anomaly", q)
}

// Findings returns a page of unusual access in the same way.
func (in *Incidents) Findings(ctx context.Context, q signal.Query) ([]signal.Finding, string, error) {
	return found[signal.Finding](ctx, in.need.Read, kindAccess, q)
}

// found returns a page of the details of members of a kind.
func found[D any](ctx context.Context, db queryer, kind string, q signal.Query) ([]D, string, error) {
	text, args := "SELECT seq, detail FROM incident_members WHERE kind = $1", []any{kind}
	if q.Entity != "" {
		args = append(args, string(q.Entity))
		text += " AND entity = $" + strconv.Itoa(len(args))
	}
	if q.Incident != "" {
		args = append(args, q.Incident)
		text += " AND incident = $" + strconv.Itoa(len(args))
	}
	switch q.State {
	case "open":
		text += " AND ended = 0"
	case "ended":
		text += " AND ended > 0"
	}
	where, order, limit, err := page(q, &args)
	if err != nil {
		return nil, "", err
	}
	out, seqs, err := details[D](ctx, db, text+where+order, args...)
	if err != nil {
		return nil, "", fmt.Errorf("list what was found: %w", err)
	}
	if len(out) > limit {
		return out[:limit], strconv.FormatInt(seqs[limit-1], 10), nil
	}
	return out, "", nil
}

// Anomaly returns one anomaly as it was last told.
func (in *Incidents) Anomaly(ctx context.Context, id string) (signal.Anomaly, error) {
	a, err := detail[signal.Anomaly](ctx, in.need.Read, "anomaly", id)
	if err != nil {
		return a, fmt.Errorf("anomaly %s: %w", id, err)
	}
	return a, nil
}

// Finding returns one finding of unusual access as it was last told.
func (in *Incidents) Finding(ctx context.Context, id string) (signal.Finding, error) {
	f, err := detail[signal.Finding](ctx, in.need.Read, kindAccess, id)
	if err != nil {
		return f, fmt.Errorf("finding %s: %w", id, err)
	}
	return f, nil
}

// detail returns what was told last of the member with an id, or [signal.ErrNotFound].
func detail[D any](ctx context.Context, q queryer, kind, id string) (D, error) {
	out, _, err := details[D](ctx, q, "SELECT seq, detail FROM incident_members WHERE kind = $1 AND id = $2 ORDER BY began DESC LIMIT 1", kind, id)
	if err == nil && len(out) == 0 {
		err = signal.ErrNotFound
	}
	if err != nil {
		var none D
		return none, err
	}
	return out[0], nil
}

// OpenAlerts returns the alerts that have fired and not resolved: rules don't fire these again after a restart.
func (in *Incidents) OpenAlerts(ctx context.Context) ([]signal.Alert, error) {
	out, _, err := details[signal.Alert](ctx, in.need.Read, "SELECT seq, detail FROM incident_members WHERE kind = 'alert' AND ended = 0 ORDER BY seq")
	if err != nil {
		return nil, fmt.Errorf("list open alerts: %w", err)
	}
	return out, nil
}

// OpenAnomalies returns the anomalies that go on.
func (in *Incidents) OpenAnomalies(ctx context.Context) ([]signal.Anomaly, error) {
	out, _, err := details[signal.Anomaly](ctx, in.need.Read, "SELECT seq, detail FROM incident_members WHERE kind = 'anomaly' AND ended = 0 ORDER BY seq")
	if err != nil {
		return nil, fmt.Errorf("list open anomalies: %w", err)
	}
	return out, nil
}

// Ended says whether an anomaly or alert has ended, as far as was told; one that nothing knows is [signal.ErrNotFound]. Of an
// alert that fired more than once it is the last time that counts.
func (in *Incidents) Ended(ctx context.Context, id string) (bool, error) {
	m, err := oneMember(ctx, in.need.Read, "id = $1 ORDER BY began DESC LIMIT 1", id)
	if err == nil && m.incident == "" {
		err = signal.ErrNotFound
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", id, err)
	}
	return !m.Ended.IsZero(), nil
}

func details[D any](ctx context.Context, q queryer, query string, args ...any) ([]D, []int64, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	out, seqs := []D{}, []int64{}
	for rows.Next() {
		var (
			seq    int64
			detail string
			d      D
		)
		if err := rows.Scan(&seq, &detail); err != nil {
			return nil, nil, err
		}
		if err := json.Unmarshal([]byte(detail), &d); err != nil {
			return nil, nil, err
		}
		out, seqs = append(out, d), append(seqs, seq)
	}
	return out, seqs, rows.Err()
}
