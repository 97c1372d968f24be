// Package store opens the database in which everything after the bus is kept, and sees to its tables: events, incidents,
// executions, notices, the audit log ([Audit]), the causal chain ([Chain]), and River's jobs. A stage is handed the
// *sql.DB and keeps its own queries.
//
// It is SQLite in write-ahead mode with synchronous FULL: what a transaction committed survives kill -9 and a power cut.
// There is one writer, [Store.DB], with one connection whose transactions are immediate; whoever holds a transaction of it
// and asks it for another waits for ever, so what reads without writing goes to [Store.Read]. One process owns the file;
// other processes may read it beside ([OpenAudit]).
//
// A full disk is an error that wraps [ErrFull], a damaged file one that wraps [ErrDamaged], whichever statement meets it:
// both come out of the driver itself, so that a stage passes them on and need not know SQLite's numbers.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"

	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
)

// ErrFull means that the disk has no room for what was to be written. Nothing of the transaction was stored, what was
// there before is unharmed, and the same transaction succeeds when there is room.
var ErrFull = errors.New("no room left for the database")

// ErrDamaged means that the file is no database or that its pages contradict each other.
var ErrDamaged = errors.New("the database is damaged")

// FileName is the database's file in the data folder.
const FileName = "homeostat.db"

// checkedBytes is the largest file whose structure is checked at each start: reading more would be felt. Damage in a larger
// one shows where it is met.
const checkedBytes = 16 << 20

// readers bounds the connections that read; a page, an API call and a Grafana panel more than that wait their turn.
const readers = 4

// Store is the open database.
type Store struct {
	DB    *sql.DB // the writer: one connection, immediate transactions
	Read  *sql.DB // the readers: any number of callers, query only
	Audit *Audit
	Chain *Chain

	path   string
	faults *faults
}

// Open opens the database in dir, makes it where there is none, brings its tables up to date, and hands jobs that a process
// before this one was in the middle of back to the queue. The caller owns dir for itself (see the data folder's lock).
func Open(ctx context.Context, dir string) (*Store, error) {
	path := filepath.Join(dir, FileName)
	s := &Store{path: path, faults: new(faults)}
	if err := s.open(ctx); err != nil {
		if errors.Is(err, ErrDamaged) {
			err = fmt.Errorf("%w; put a copy in its place, or move it away to begin with an empty one", err)
		}
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), s.Close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	if err := checkHeader(s.path); err != nil {
		return err
	}
	s.DB = openDB(s.faults, s.path, url.Values{
		"_txlock": {"immediate"},
		"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"},
	})
	s.DB.SetMaxOpenConns(1)
	s.Read = openDB(s.faults, s.path, url.Values{
		"_pragma": {"busy_timeout(10000)", "query_only(1)"},
	})
	s.Read.SetMaxOpenConns(readers)
	s.Read.SetMaxIdleConns(readers)
	s.Audit = &Audit{db: s.Read}
	s.Chain = &Chain{db: s.Read}

	if err := quickCheck(ctx, s.DB, s.path); err != nil {
		return err
	}
	if err := migrate(ctx, s.DB); err != nil {
		return err
	}
	return migrateJobs(ctx, s.DB)
}

// Close closes both pools. It is safe on a store that Open gave up on.
func (s *Store) Close() error {
	var errs []error
	if s.Read != nil {
		errs = append(errs, s.Read.Close())
	}
	if s.DB != nil {
		errs = append(errs, s.DB.Close())
	}
	return errors.Join(errs...)
}

// Path returns the database's file.
func (s *Store) Path() string { return s.path }

// Full reports whether the last write failed for want of room. It turns false with the next write that succeeds.
func (s *Store) Full() bool { return s.faults.full.Load() }

func openDB(f *faults, path string, params url.Values) *sql.DB {
	// As a URL with three slashes the path may hold any character.
	abs, err := filepath.Abs(path)
	if err != nil {
		abs = path
	}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(abs), RawQuery: params.Encode()}
	return sql.OpenDB(&connector{dsn: u.String(), faults: f})
}

// checkHeader refuses a file that isn't SQLite's before SQLite does: an empty or cut file would pass for a new database.
func checkHeader(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, 16)
	n, err := io.ReadFull(f, head)
	switch {
	case errors.Is(err, io.EOF):
		return nil // an empty file: a process died between making it and its first page, which the log still holds
	case errors.Is(err, io.ErrUnexpectedEOF), err == nil && string(head) != "SQLite format 3\x00":
		return fmt.Errorf("%w: its first %d bytes are not SQLite's", ErrDamaged, n)
	}
	return err
}

// quickCheck reads the structure of a small database and says what contradicts.
func quickCheck(ctx context.Context, db *sql.DB, path string) error {
	if st, err := os.Stat(path); err != nil || st.Size() == 0 || st.Size() > checkedBytes {
		// The first statement still reads the schema and fails on what it can't read.
		return db.PingContext(ctx)
	}
	var said string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&said); err != nil {
		return err
	}
	if said != "ok" {
		return fmt.Errorf("%w: %s", ErrDamaged, said)
	}
	return nil
}

// migrateJobs brings River's tables up to date and hands back the jobs that were running when the process before this one
// ended: this process owns the file, so nobody runs them now. Their attempts stay counted, so that a job which takes the
// process down with it doesn't do so for ever.
func migrateJobs(ctx context.Context, db *sql.DB) error {
	m, err := rivermigrate.New(riversqlite.New(db), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return fmt.Errorf("migrate jobs: %w", err)
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("migrate jobs: %w", err)
	}
	if _, err := db.ExecContext(ctx, "UPDATE river_job SET state = 'available' WHERE state = 'running'"); err != nil {
		return fmt.Errorf("hand back jobs: %w", err)
	}
	return nil
}
