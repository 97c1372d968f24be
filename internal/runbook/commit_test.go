package runbook

import (
	"database/sql"
	"errors"
	"slices"
	"sync"
	"testing"

	"homeostat/internal/store"
)

// A write that fails is rolled back alone, whoever shares its transaction; all others are there when do has returned.
func TestSharedTransactionsFailAlone(t *testing.T) {
	t.Parallel()
	s, err := store.Open(t.Context(), fresh(t))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.DB.ExecContext(t.Context(), `CREATE TABLE written (n BIGINT PRIMARY KEY, tx BIGINT NOT NULL)`); err != nil {
		t.Fatal(err)
	}
	c := &committer{db: s.DB}
	errNo := errors.New("no")
	const writers, each = 20, 15
	var shared sync.Map // transactions, and how many wrote in each
	var g sync.WaitGroup
	for w := range writers {
		g.Go(func() {
			for i := range each {
				n := w*each + i
				err := c.do(func(tx *sql.Tx) error {
					shared.Store(n, tx)
					if _, err := tx.ExecContext(t.Context(), `INSERT INTO written (n, tx) VALUES ($1, 0)`, n); err != nil {
						return err
					}
					if n%7 == 0 {
						return errNo
					}
					return nil
				})
				var seen int
				if qerr := s.Read.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM written WHERE n = $1`, n).Scan(&seen); qerr != nil {
					t.Error(qerr)
				}
				if (n%7 == 0) != errors.Is(err, errNo) || (n%7 == 0) == (seen == 1) {
					t.Errorf("%d: %v, seen %d", n, err, seen)
				}
			}
		})
	}
	g.Wait()
	var txs []*sql.Tx
	shared.Range(func(_, tx any) bool {
		if !slices.Contains(txs, tx.(*sql.Tx)) {
			txs = append(txs, tx.(*sql.Tx))
		}
		return true
	})
	if len(txs) == 0 || len(txs) >= writers*each {
		t.Errorf("%d transactions for %d writes: none was shared", len(txs), writers*each)
	}
	if c.busy || len(c.queue) != 0 {
		t.Errorf("it ended with %d waiting", len(c.queue))
	}
}

// A transaction that can't be committed fails all who wrote in it.
func TestLostTransactionFailsAll(t *testing.T) {
	t.Parallel()
	s, err := store.Open(t.Context(), fresh(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	c := &committer{db: s.DB}
	var g sync.WaitGroup
	for range 10 {
		g.Go(func() {
			if err := c.do(func(*sql.Tx) error { return nil }); err == nil {
				t.Error("a closed database took a write")
			}
		})
	}
	g.Wait()
}
