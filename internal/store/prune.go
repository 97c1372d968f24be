package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// pruneRows is how much one transaction of Prune takes away: little enough that a publisher hardly waits for it.
const pruneRows = 500

// A Pruner takes away at most limit rows that are older than before and that nothing open needs, and returns how many. A
// stage has one for its tables.
type Pruner func(ctx context.Context, tx *sql.Tx, before time.Time, limit int) (int, error)

// Prune runs each pruner, in small transactions of its own, until it finds no more. The audit log has no pruner.
func (s *Store) Prune(ctx context.Context, before time.Time, pruners ...Pruner) error {
	for _, p := range append(pruners, s.Chain.Prune) {
		for {
			n, err := s.pruneOnce(ctx, before, p)
			if err != nil {
				return fmt.Errorf("prune: %w", err)
			}
			if n < pruneRows {
				break
			}
		}
	}
	return nil
}

func (s *Store) pruneOnce(ctx context.Context, before time.Time, p Pruner) (int, error) {
	tx, err := s.DB.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback()
	n, err := p(ctx, tx, before, pruneRows)
	if err != nil {
		return 0, err
	}
	return n, tx.Commit()
}

// Prune is the chain's [Pruner]. A link goes by its own time: what is left of a chain whose beginning went begins with ids
// that have no sentence.
func (c *Chain) Prune(ctx context.Context, tx *sql.Tx, before time.Time, limit int) (int, error) {
	const old = "SELECT id FROM chain WHERE time < $1 ORDER BY time, id LIMIT $2"
	if _, err := tx.ExecContext(ctx, "DELETE FROM chain_cause WHERE effect IN ("+old+")", before.UnixMilli(), limit); err != nil {
		return 0, err
	}
	r, err := tx.ExecContext(ctx, "DELETE FROM chain WHERE id IN ("+old+")", before.UnixMilli(), limit)
	if err != nil {
		return 0, err
	}
	n, err := r.RowsAffected()
	return int(n), err
}
