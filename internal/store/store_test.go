package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"homeostat/internal/signal"
	"homeostat/internal/store"
	"homeostat/internal/store/storetest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inTx runs f in a transaction of s that is committed.
func inTx(t *testing.T, s *store.Store, f func(tx *sql.Tx) error) {
	t.Helper()
	tx, err := s.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if err := f(tx); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

func appendEntry(t *testing.T, s *store.Store, e signal.AuditEntry) {
	t.Helper()
	inTx(t, s, func(tx *sql.Tx) error { return s.Audit.Append(t.Context(), tx, e) })
}

func TestOpenSetsWhatDurabilityRestsOn(t *testing.T) {
	s := storetest.Open(t)
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "10000"} {
		var got string
		if err := s.DB.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s is %s, want %s", pragma, got, want)
		}
	}
	if _, err := s.Read.ExecContext(t.Context(), "DELETE FROM audit"); err == nil {
		t.Error("the readers can write")
	}
}

func TestOpenTwiceChangesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a folder?with#odd%characters")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), dir) // an empty folder
	if err != nil {
		t.Fatal(err)
	}
	appendEntry(t, s, signal.AuditEntry{Actor: "ana", Verb: "pause", Subject: "all"})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = storetest.OpenDir(t, dir)
	if n, err := s.Audit.Verify(t.Context()); n != 1 || err != nil {
		t.Errorf("after opening again: %d entries, %v; want 1", n, err)
	}
}

func TestOpenHandsRunningJobsBack(t *testing.T) {
	dir := t.TempDir()
	s := storetest.OpenDir(t, dir)
	_, err := s.DB.ExecContext(t.Context(), `INSERT INTO river_job (args, kind, max_attempts, state, attempt) VALUES ('{}', 'x', 25, 'running', 1)`)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = storetest.OpenDir(t, dir)
	var state string
	if err := s.Read.QueryRowContext(t.Context(), "SELECT state FROM river_job").Scan(&state); err != nil {
		t.Fatal(err)
	}
	if state != "available" {
		t.Errorf("a job that was running is %q after a restart, want available", state)
	}
}

func TestOpenRefusesANewerDatabase(t *testing.T) {
	dir := t.TempDir()
	s := storetest.OpenDir(t, dir)
	if _, err := s.DB.ExecContext(t.Context(), "INSERT INTO migrations (version, name, applied) VALUES (9999, '9999_later', 0)"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := store.Open(t.Context(), dir)
	if err == nil || !strings.Contains(err.Error(), "9999_later") {
		t.Errorf("got %v, want an error that names 9999_later", err)
	}
}

func TestOpenNamesADamagedFile(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(file []byte) []byte
	}{
		{"another kind of file", func([]byte) []byte { return []byte("# Homeostat\n\nKeeps an environment in range.\n") }},
		{"cut within the header", func(b []byte) []byte { return b[:9] }},
		{"a page of the schema overwritten", func(b []byte) []byte {
			copy(b[100:4000], strings.Repeat("\xff", 3900))
			return b
		}},
		{"pages overwritten", func(b []byte) []byte {
			copy(b[4096:], strings.Repeat("\xa5", len(b)-4096))
			return b
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			s := storetest.OpenDir(t, dir)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, store.FileName)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, tt.damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err = store.Open(t.Context(), dir)
			if !errors.Is(err, store.ErrDamaged) || !strings.Contains(fmt.Sprint(err), path) {
				t.Errorf("got %v, want ErrDamaged and the file's path", err)
			}
		})
	}
}

func TestFullDiskIsNamedAndHarmsNothing(t *testing.T) {
	s := storetest.Open(t)
	ctx := t.Context()
	appendEntry(t, s, signal.AuditEntry{Actor: "ana", Verb: "pause", Subject: "all"})

	// SQLite's own bound on pages stands for the disk: it fails with the same code at the same place.
	var pages int
	if err := s.DB.QueryRowContext(ctx, "PRAGMA page_count").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DB.ExecContext(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
		t.Fatal(err)
	}
	write := func() error {
		tx, err := s.DB.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if err := s.Audit.Append(ctx, tx, signal.AuditEntry{Actor: "ana", Verb: "x", Subject: strings.Repeat("x", 100_000)}); err != nil {
			return err
		}
		return tx.Commit()
	}
	if err := write(); !errors.Is(err, store.ErrFull) {
		t.Fatalf("got %v, want ErrFull", err)
	}
	if !s.Full() {
		t.Error("the store doesn't say that it is full")
	}
	if n, err := s.Audit.Verify(ctx); n != 1 || err != nil {
		t.Errorf("what was stored before: %d entries, %v; want 1", n, err)
	}

	if _, err := s.DB.ExecContext(ctx, "PRAGMA max_page_count = 1000000"); err != nil {
		t.Fatal(err)
	}
	if err := write(); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if s.Full() {
		t.Error("the store still says that it is full")
	}
	if n, err := s.Audit.Verify(ctx); n != 2 || err != nil {
		t.Errorf("with room again: %d entries, %v; want 2", n, err)
	}
}

func TestPruneTakesWhatIsOldInSmallTransactions(t *testing.T) {
	s := storetest.Open(t)
	cut := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	inTx(t, s, func(tx *sql.Tx) error {
		for i := range 1300 {
			at := cut.Add(time.Duration(i-1200) * time.Second) // 1,200 before the cut
			id := fmt.Sprintf("ev-%04d", i)
			if err := s.Chain.Add(t.Context(), tx, signal.Link{ID: id, Kind: "event", Time: at, Text: id, Cause: []string{"an-1"}}); err != nil {
				return err
			}
		}
		return nil
	})
	var rounds []int
	counted := func(ctx context.Context, tx *sql.Tx, before time.Time, limit int) (int, error) {
		n, err := s.Chain.Prune(ctx, tx, before, limit)
		rounds = append(rounds, n)
		return n, err
	}
	if err := s.Prune(t.Context(), cut, counted); err != nil {
		t.Fatal(err)
	}
	if len(rounds) != 3 || rounds[0] != 500 || rounds[2] != 200 {
		t.Errorf("rounds of %v, want 500, 500, 200", rounds)
	}
	for table, want := range map[string]int{"chain": 100, "chain_cause": 100} {
		var n int
		if err := s.Read.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n != want {
			t.Errorf("%d rows of %s are left, want %d", n, table, want)
		}
	}
}
