package store

import (
	"context"
	"database/sql/driver"
)

// statements keeps the statements of one connection prepared: to parse them anew each time took a fifth of a journal write.
// The driver's connection is used by one goroutine at a time, and so is this.
type statements struct {
	byText map[string]*statement
	clock  int64
}

type statement struct {
	stmt sqliteStmt
	busy bool  // its rows are being read: the same text again is prepared beside it
	used int64 // the clock when it was used last
}

// Bounds on what is kept. A longer text is a script, or made for one use.
const (
	maxStatements     = 256
	maxStatementBytes = 4096
)

// get returns the prepared statement of a text; nil when it is better run as it is.
func (s *statements) get(ctx context.Context, c sqliteConn, query string) (*statement, error) {
	if len(query) > maxStatementBytes {
		return nil, nil
	}
	s.clock++
	if st, ok := s.byText[query]; ok {
		if st.busy {
			return nil, nil
		}
		st.used = s.clock
		return st, nil
	}
	prepared, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	inner, ok := prepared.(sqliteStmt)
	if !ok {
		return nil, prepared.Close()
	}
	if s.byText == nil {
		s.byText = map[string]*statement{}
	}
	if len(s.byText) >= maxStatements {
		if err := s.evict(); err != nil {
			return nil, err
		}
	}
	st := &statement{stmt: inner, used: s.clock}
	s.byText[query] = st
	return st, nil
}

// evict closes the statement that has not been used for longest.
func (s *statements) evict() error {
	oldest := ""
	for text, st := range s.byText {
		if !st.busy && (oldest == "" || st.used < s.byText[oldest].used) {
			oldest = text
		}
	}
	if oldest == "" {
		return nil
	}
	return s.drop(oldest)
}

// drop closes one statement, as after an error it may be anywhere.
func (s *statements) drop(query string) error {
	st, ok := s.byText[query]
	if !ok {
		return nil
	}
	delete(s.byText, query)
	return st.stmt.Close()
}

// closeAll closes what is kept; the connection can't close before.
func (s *statements) closeAll() error {
	var first error
	for text := range s.byText {
		if err := s.drop(text); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// readRows are the rows of a prepared statement, which is free again when they are closed.
type readRows struct {
	driver.Rows
	of *statement
}

func (r *readRows) Close() error {
	r.of.busy = false
	return r.Rows.Close()
}
