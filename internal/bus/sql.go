package bus

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"homeostat/internal/signal"
)

// row is an event as it is stored.
type row struct {
	event    signal.Event
	entity   string
	incident string
	depth    int      // how many events led to it, each because of the one before
	trail    []string // the routes whose executions led to it
}

// insert stores the row and reports whether it is new.
func (r *row) insert(ctx context.Context, tx *sql.Tx) (bool, error) {
	envelope, err := json.Marshal(r.event)
	if err != nil {
		return false, err
	}
	trail := ""
	if len(r.trail) > 0 {
		text, err := json.Marshal(r.trail)
		if err != nil {
			return false, err
		}
		trail = string(text)
	}
	res, err := tx.ExecContext(ctx, `INSERT INTO events (seq, id, detail_type, source, time, stored, entity, incident, depth, trail, envelope)
		VALUES ((SELECT COALESCE(MAX(seq), 0) + 1 FROM events), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO NOTHING`,
		r.event.ID, r.event.DetailType, r.event.Source, r.event.Time.UnixMilli(), time.Now().UnixMilli(),
		r.entity, r.incident, r.depth, trail, string(envelope))
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// updateDetail stores the event anew, once incidents have put their mark into it.
func (r *row) updateDetail(ctx context.Context, tx *sql.Tx) error {
	envelope, err := json.Marshal(r.event)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "UPDATE events SET incident = $1, envelope = $2 WHERE id = $3", r.incident, string(envelope), r.event.ID)
	return err
}

// ancestry returns how deep an event with these causes stands, and by which routes' executions it came about.
func ancestry(ctx context.Context, tx *sql.Tx, cause []string) (depth int, trail []string, err error) {
	for _, id := range cause[:min(len(cause), maxCauses)] {
		if !foreign(id) {
			continue // a batch, an anomaly ...: no event
		}
		var (
			d    int
			text string
		)
		err := tx.QueryRowContext(ctx, "SELECT depth, trail FROM events WHERE id = $1", id).Scan(&d, &text)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return 0, nil, err
		}
		depth = max(depth, d+1)
		if text == "" {
			continue
		}
		var names []string
		if err := json.Unmarshal([]byte(text), &names); err != nil {
			return 0, nil, fmt.Errorf("trail of %s: %w", id, err)
		}
		for _, n := range names {
			if !slices.Contains(trail, n) {
				trail = append(trail, n)
			}
		}
	}
	return depth, trail, nil
}

// Late returns how long after its time the last event of these two types that belongs to an incident was stored; 0 without any.
// What tells an end doesn't count.
func (b *Bus) Late(ctx context.Context, tx *sql.Tx, incident, oneType, otherType string) (time.Duration, error) {
	var at, stored int64
	err := tx.QueryRowContext(ctx, `SELECT time, stored FROM events WHERE incident = $1 AND detail_type IN ($2, $3)
		AND json_extract(envelope, '$.detail.ended') IS NULL ORDER BY seq DESC LIMIT 1`, incident, oneType, otherType).Scan(&at, &stored)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("events of %s: %w", incident, err)
	}
	return time.Duration(stored-at) * time.Millisecond, nil
}

// Event returns the event with this id, or [signal.ErrNotFound].
func (b *Bus) Event(ctx context.Context, id string) (signal.Event, error) {
	var (
		text string
		ev   signal.Event
	)
	err := b.need.Read.QueryRowContext(ctx, "SELECT envelope FROM events WHERE id = $1", id).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return ev, fmt.Errorf("event %s: %w", id, signal.ErrNotFound)
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &ev)
	}
	if err != nil {
		return ev, fmt.Errorf("event %s: %w", id, err)
	}
	return ev, nil
}

// Events returns a page of what happened, in the order in which it was stored. After is an event's id or the cursor that the
// page before returned; the cursor is "" on the last page.
func (b *Bus) Events(ctx context.Context, q signal.Query) ([]signal.Event, string, error) {
	after, err := b.cursor(ctx, q.After)
	if err != nil {
		return nil, "", err
	}
	limit := q.Limit
	if limit <= 0 {
		limit = 100
	}
	limit = min(limit, 1000)

	text := "SELECT seq, envelope FROM events WHERE 1 = 1"
	var args []any
	where := func(condition string, arg any) {
		args = append(args, arg)
		text += " AND " + condition + " $" + strconv.Itoa(len(args))
	}
	if q.After != "" && q.Newest {
		where("seq <", after)
	} else if q.After != "" {
		where("seq >", after)
	}
	if q.Entity != "" {
		where("entity =", string(q.Entity))
	}
	if q.Incident != "" {
		where("incident =", q.Incident)
	}
	if q.Type != "" {
		where("detail_type =", q.Type)
	}
	order := " ORDER BY seq"
	if q.Newest {
		order += " DESC"
	}
	evs, seqs, err := readEvents(ctx, b.need.Read, text+order+" LIMIT "+strconv.Itoa(limit+1), args...)
	if err != nil {
		return nil, "", fmt.Errorf("list events: %w", err)
	}
	if len(evs) > limit {
		return evs[:limit], strconv.FormatInt(seqs[limit-1], 10), nil
	}
	return evs, "", nil
}

// cursor turns an event's id, or the number that a page ended with, into a place in the order.
func (b *Bus) cursor(ctx context.Context, after string) (int64, error) {
	if after == "" {
		return 0, nil
	}
	var seq int64
	err := b.need.Read.QueryRowContext(ctx, "SELECT seq FROM events WHERE id = $1", after).Scan(&seq)
	if err == nil {
		return seq, nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("list events: %w", err)
	}
	if seq, err = strconv.ParseInt(after, 10, 64); err != nil {
		return 0, fmt.Errorf("after: there is no event %q: %w", after, signal.ErrInvalid)
	}
	return seq, nil
}

// readEvents runs a query for seq and envelope.
func readEvents(ctx context.Context, db *sql.DB, query string, args ...any) ([]signal.Event, []int64, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	evs, seqs := []signal.Event{}, []int64{}
	for rows.Next() {
		var (
			seq  int64
			text string
			ev   signal.Event
		)
		if err := rows.Scan(&seq, &text); err != nil {
			return nil, nil, err
		}
		if err := json.Unmarshal([]byte(text), &ev); err != nil {
			return nil, nil, fmt.Errorf("event %d: %w", seq, err)
		}
		evs, seqs = append(evs, ev), append(seqs, seq)
	}
	return evs, seqs, rows.Err()
}

// Prune takes away at most limit events that were stored before a moment, and returns how many. The last event stays, so that
// the order goes on where it was.
func (b *Bus) Prune(ctx context.Context, tx *sql.Tx, before time.Time, limit int) (int, error) {
	res, err := tx.ExecContext(ctx, `DELETE FROM events WHERE id IN (
		SELECT id FROM events WHERE stored < $1 AND seq < (SELECT MAX(seq) FROM events) ORDER BY stored LIMIT $2)`, before.UnixMilli(), limit)
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	return int(n), err
}
