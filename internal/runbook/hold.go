package runbook

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"homeostat/internal/signal"
)

// holdAfter is how often verification may fail for a runbook on an entity before it asks a person first.
const holdAfter = 2

// failedVerify counts that verification failed, and says so in the audit log when the runbook is held from now on.
func (r *Runbooks) failedVerify(ctx context.Context, tx *sql.Tx, x *execution) (held bool, err error) {
	var n int
	err = tx.QueryRowContext(ctx, `INSERT INTO runbook_failures (runbook, entity, failed, execution, at) VALUES ($1, $2, 1, $3, $4)
		ON CONFLICT (runbook, entity) DO UPDATE SET failed = runbook_failures.failed + 1, execution = excluded.execution, at = excluded.at
		RETURNING failed`, x.Runbook, x.Entity, x.ID, time.Now().UnixMilli()).Scan(&n)
	if err != nil || n < holdAfter {
		return false, err
	}
	return true, r.auditBy(ctx, tx, "homeostat", "hold", x.Runbook, heldText(n, x.Entity), map[string]any{"entity": x.Entity, "execution": x.ID})
}

func heldText(n int, entity signal.EntityID) string {
	return fmt.Sprintf("verification has failed %d times on %s: it asks before it acts there, until somebody resets it", n, entity)
}

// held returns how a runbook is held on an entity; false when it isn't.
func held(ctx context.Context, q querier, runbook string, entity signal.EntityID) (signal.Hold, bool, error) {
	h := signal.Hold{Runbook: runbook, Entity: entity}
	var at int64
	err := q.QueryRowContext(ctx, `SELECT failed, execution, at FROM runbook_failures WHERE runbook = $1 AND entity = $2 AND failed >= $3`,
		runbook, entity, holdAfter).Scan(&h.Failed, &h.Execution, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return h, false, nil
	}
	h.Since = fromMS(at)
	return h, err == nil, err
}

// holds lists where a runbook is held; of all runbooks when the name is empty.
func (r *Runbooks) holds(ctx context.Context, runbook string) ([]signal.Hold, error) {
	rows, err := r.need.Read.QueryContext(ctx, `SELECT runbook, entity, failed, execution, at FROM runbook_failures
		WHERE failed >= $1 AND ($2 = '' OR runbook = $2) ORDER BY runbook, entity`, holdAfter, runbook)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []signal.Hold
	for rows.Next() {
		var h signal.Hold
		var at int64
		if err := rows.Scan(&h.Runbook, &h.Entity, &h.Failed, &h.Execution, &at); err != nil {
			return nil, err
		}
		h.Since = fromMS(at)
		out = append(out, h)
	}
	return out, rows.Err()
}

// Reset lets a runbook act on an entity again as its route says, after verification failed there. A runbook that isn't held
// there is [signal.ErrConflict].
func (r *Runbooks) Reset(ctx context.Context, runbook string, entity signal.EntityID, by, note string) error {
	if _, ok := r.need.Catalog.docs[runbook]; !ok {
		return fmt.Errorf("runbook %s: %w", runbook, signal.ErrNotFound)
	}
	return r.inTx(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM runbook_failures WHERE runbook = $1 AND entity = $2`, runbook, entity)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, fmt.Errorf("%s has not failed verification on %s: %w", runbook, entity, signal.ErrConflict))
		}
		return r.auditBy(ctx, tx, by, "reset", runbook, note, map[string]any{"entity": entity})
	})
}
