package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"homeostat/internal/signal"
)

// maxWalk bounds the links that a walk returns. A thing with more ancestors and effects than that is told in part, nearest
// first.
const maxWalk = 2000

// Chain is the causal chain: what each thing with an id is, in a sentence, and which others brought it about.
type Chain struct{ db *sql.DB }

// Add puts links into the chain within the caller's transaction. Adding an id again keeps its kind and time, takes the new
// sentence where there is one, and joins the causes: an incident gains members, an execution learns how it ended. A batch is
// put down with the first that comes of it, at the time of that: the stream keeps it for minutes, and its id has no time.
func (c *Chain) Add(ctx context.Context, tx *sql.Tx, links ...signal.Link) error {
	for _, l := range links {
		_, err := tx.ExecContext(ctx, `INSERT INTO chain (id, kind, time, text) VALUES ($1, $2, $3, $4)
			ON CONFLICT (id) DO UPDATE SET text = CASE WHEN excluded.text = '' THEN chain.text ELSE excluded.text END`,
			l.ID, l.Kind, l.Time.UnixMilli(), l.Text)
		if err != nil {
			return fmt.Errorf("chain %s: %w", l.ID, err)
		}
		for _, cause := range l.Cause {
			if cause == "" || cause == l.ID {
				continue
			}
			_, err := tx.ExecContext(ctx, "INSERT INTO chain_cause (effect, cause) VALUES ($1, $2) ON CONFLICT DO NOTHING", l.ID, cause)
			if err != nil {
				return fmt.Errorf("chain %s: %w", l.ID, err)
			}
			if signal.KindOf(cause) != signal.KindBatch {
				continue
			}
			kind, text := leaf(cause)
			_, err = tx.ExecContext(ctx, "INSERT INTO chain (id, kind, time, text) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
				cause, kind, time.Now().UnixMilli(), text+", which had come in by then")
			if err != nil {
				return fmt.Errorf("chain %s: %w", cause, err)
			}
		}
	}
	return nil
}

// Walk returns the link of id, all that brought it about, and all that came of it, oldest first; a batch before the first that came of
// it, though that may have begun before the batch came in. It doesn't turn round on the way: what else a cause brought about is
// another story. An id that nothing knows is [signal.ErrNotFound].
func (c *Chain) Walk(ctx context.Context, id string) ([]signal.Link, error) {
	tx, err := c.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}) // one moment for all of it
	if err != nil {
		return nil, fmt.Errorf("walk chain of %s: %w", id, err)
	}
	defer tx.Rollback()

	seen := map[string]bool{id: true}
	order := []string{id}
	for _, step := range []string{
		"SELECT cause FROM chain_cause WHERE effect = $1 ORDER BY cause",
		"SELECT effect FROM chain_cause WHERE cause = $1 ORDER BY effect",
	} {
		for edge := []string{id}; len(edge) > 0 && len(order) < maxWalk; edge = edge[1:] {
			ids, err := column(ctx, tx, step, edge[0])
			if err != nil {
				return nil, fmt.Errorf("walk chain of %s: %w", id, err)
			}
			for _, next := range ids {
				if !seen[next] && len(order) < maxWalk {
					seen[next] = true
					order = append(order, next)
					edge = append(edge, next)
				}
			}
		}
	}
	links := make([]signal.Link, 0, len(order))
	for _, each := range order {
		l, err := link(ctx, tx, each)
		if err != nil {
			return nil, fmt.Errorf("walk chain of %s: %w", id, err)
		}
		if len(order) == 1 && l.Time.IsZero() {
			if l.Kind == "batch" { // there may be such a batch; the stream forgets it within minutes
				return nil, fmt.Errorf("%s: nothing on record came of it: %w", id, signal.ErrNotFound)
			}
			return nil, fmt.Errorf("nothing has the id %s: %w", id, signal.ErrNotFound)
		}
		links = append(links, l)
	}
	place := map[string]time.Time{}
	for _, l := range links {
		for _, c := range l.Cause {
			if at, ok := place[c]; signal.KindOf(c) == signal.KindBatch && (!ok || l.Time.Before(at)) {
				place[c] = l.Time
			}
		}
	}
	slices.SortStableFunc(links, func(a, b signal.Link) int {
		at := func(l signal.Link) time.Time {
			if t, ok := place[l.ID]; ok {
				return t
			}
			return l.Time
		}
		_, one := place[a.ID]
		_, other := place[b.ID]
		switch c := at(a).Compare(at(b)); {
		case c != 0 || one == other:
			return c
		case one:
			return -1
		}
		return 1
	})
	return links, nil
}

// link reads one link; one that has no row, as it was pruned, has no time.
func link(ctx context.Context, tx *sql.Tx, id string) (signal.Link, error) {
	l := signal.Link{ID: id, Cause: []string{}}
	var ms int64
	err := tx.QueryRowContext(ctx, "SELECT kind, time, text FROM chain WHERE id = $1", id).Scan(&l.Kind, &ms, &l.Text)
	switch {
	case err == sql.ErrNoRows:
		l.Kind, l.Text = leaf(id)
		return l, nil
	case err != nil:
		return l, err
	}
	l.Time = time.UnixMilli(ms).UTC()
	l.Cause, err = column(ctx, tx, "SELECT cause FROM chain_cause WHERE effect = $1 ORDER BY cause", id)
	return l, err
}

// leaf tells what an id without a row is. Only a batch has words of its own: its id is its place in the stream.
func leaf(id string) (kind, text string) {
	if signal.KindOf(id) != signal.KindBatch {
		return "", ""
	}
	partition, seq, ok := strings.Cut(strings.TrimPrefix(id, signal.KindBatch+"-"), "-")
	if !ok {
		return "batch", "a batch"
	}
	return "batch", "batch " + seq + " of the stream's partition " + partition
}

func column(ctx context.Context, tx *sql.Tx, query, arg string) ([]string, error) {
	rows, err := tx.QueryContext(ctx, query, arg)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := []string{}
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}
