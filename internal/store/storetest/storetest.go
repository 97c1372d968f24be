// Package storetest opens databases for other packages' tests.
package storetest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"homeostat/internal/store"
)

// empty is the file of a database that has had its migrations and nothing else. They take longer than most tests.
var empty = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "storetest")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	s, err := store.Open(context.Background(), dir) // belongs to no test
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, store.FileName))
})

// Open returns a new database in a folder of the test's own. It closes with the test.
func Open(t testing.TB) *store.Store {
	t.Helper()
	return OpenDir(t, t.TempDir())
}

// OpenDir returns the database in dir, which it makes where there is none. It closes with the test; closing it before does no
// harm.
func OpenDir(t testing.TB, dir string) *store.Store {
	t.Helper()
	path := filepath.Join(dir, store.FileName)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		file, err := empty()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the database: %v", err)
		}
	})
	return s
}
