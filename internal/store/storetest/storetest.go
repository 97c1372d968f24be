// Package storetest opens databases for other packages' tests.
package storetest

import (
	"testing"

	"homeostat/internal/store"
)

// Open returns a new database in a folder of the test's own. It closes with the test.
func Open(t testing.TB) *store.Store {
	t.Helper()
	return OpenDir(t, t.TempDir())
}

// OpenDir returns the database in dir. It closes with the test; closing it before does no harm.
func OpenDir(t testing.TB, dir string) *store.Store {
	t.Helper()
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
