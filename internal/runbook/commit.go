package runbook

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
)

// committer gathers what executions want to write at the same time into one transaction: with synchronous FULL a commit waits
// for the disk, and one wait serves all. A write has returned when its transaction is committed, so what holds for one
// transaction each holds for a shared one; a write that fails is rolled back alone.
//
// Nobody waits to fill a transaction: whoever finds none under way begins one, and those who come while it waits for the
// database, or for the disk, are the next.
type committer struct {
	db *sql.DB

	mu    sync.Mutex
	queue []*write
	busy  bool // somebody leads
}

// write is one caller's part of a transaction.
type write struct {
	fn   func(tx *sql.Tx) error
	done chan error    // its outcome
	lead chan struct{} // it is its turn to lead
}

// maxWrites bounds a transaction, and so how long the others who write wait.
const maxWrites = 128

// do has fn run in a transaction, perhaps not alone in it, and returns when it is committed. fn must not use a context that
// can end: SQLite gives up the whole transaction with an interrupted statement.
func (c *committer) do(fn func(tx *sql.Tx) error) error {
	w := &write{fn: fn, done: make(chan error, 1), lead: make(chan struct{}, 1)}
	c.mu.Lock()
	c.queue = append(c.queue, w)
	if !c.busy {
		c.busy = true
		w.lead <- struct{}{}
	}
	c.mu.Unlock()
	select {
	case err := <-w.done:
		return err
	case <-w.lead:
	}
	c.commit()
	c.mu.Lock()
	if c.busy = len(c.queue) > 0; c.busy {
		c.queue[0].lead <- struct{}{}
	}
	c.mu.Unlock()
	return <-w.done
}

// commit carries out one transaction with those who wait, the leader first.
func (c *committer) commit() {
	tx, err := c.db.BeginTx(context.Background(), nil)
	c.mu.Lock()
	n := min(len(c.queue), maxWrites)
	batch := c.queue[:n:n]
	c.queue = append([]*write(nil), c.queue[n:]...)
	c.mu.Unlock()
	outcomes := make([]error, n)
	if err == nil {
		defer func() { _ = tx.Rollback() }() // after Commit it does nothing
		err = writeAll(tx, batch, outcomes)
	}
	for i, w := range batch {
		if err != nil && !errors.Is(err, errAlone) {
			outcomes[i] = errors.Join(outcomes[i], fmt.Errorf("commit: %w", err))
		}
		w.done <- outcomes[i]
	}
}

// errAlone means that the only write of a transaction failed, so that there is nothing to commit.
var errAlone = errors.New("nothing to commit")

// writeAll runs all writes and commits. The error means that none of them took effect.
func writeAll(tx *sql.Tx, batch []*write, outcomes []error) error {
	if len(batch) == 1 {
		if outcomes[0] = batch[0].fn(tx); outcomes[0] != nil {
			return errAlone
		}
		return tx.Commit()
	}
	for i, w := range batch {
		var lost error
		if outcomes[i], lost = within(tx, w.fn); lost != nil {
			return lost
		}
	}
	return tx.Commit()
}

// within runs one write of several. The second error means that the transaction is lost.
func within(tx *sql.Tx, fn func(tx *sql.Tx) error) (outcome, lost error) {
	ctx := context.Background()
	if _, err := tx.ExecContext(ctx, "SAVEPOINT one"); err != nil {
		return nil, err
	}
	if outcome = fn(tx); outcome != nil {
		if _, err := tx.ExecContext(ctx, "ROLLBACK TO SAVEPOINT one"); err != nil {
			return outcome, err
		}
	}
	_, lost = tx.ExecContext(ctx, "RELEASE SAVEPOINT one")
	return outcome, lost
}
