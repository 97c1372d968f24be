package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"sync/atomic"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// connector opens connections of modernc's driver and gives each error that a caller may ask about its name.
type connector struct {
	driver sqlite.Driver
	dsn    string
	faults *faults
}

func (c *connector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.dsn)
	if err != nil {
		return nil, c.faults.name(err)
	}
	inner, ok := conn.(sqliteConn)
	if !ok {
		return nil, errors.Join(errors.New("the SQLite driver lacks a method that we rely on"), conn.Close())
	}
	return &faultConn{sqliteConn: inner, faults: c.faults}, nil
}

func (c *connector) Driver() driver.Driver { return &c.driver }

// faults names errors and remembers whether the disk was full at the last write.
type faults struct{ full atomic.Bool }

// named is a driver's error together with the sentinel that says what it means to a caller.
type named struct{ sentinel, err error }

func (n *named) Error() string   { return n.sentinel.Error() + ": " + n.err.Error() }
func (n *named) Unwrap() []error { return []error{n.sentinel, n.err} }

func (f *faults) name(err error) error {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return err
	}
	switch code := e.Code(); {
	case code&0xff == sqlite3.SQLITE_FULL, code == sqlite3.SQLITE_IOERR_SHMSIZE:
		f.full.Store(true)
		return &named{ErrFull, err}
	case code&0xff == sqlite3.SQLITE_CORRUPT, code&0xff == sqlite3.SQLITE_NOTADB:
		return &named{ErrDamaged, err}
	}
	return err
}

// wrote notes a commit that went through.
func (f *faults) wrote() {
	if f.full.Load() {
		f.full.Store(false)
	}
}

// sqliteConn is what database/sql makes use of in modernc's connection.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

type faultConn struct {
	sqliteConn
	faults   *faults
	prepared statements
}

func (c *faultConn) Close() error {
	return errors.Join(c.prepared.closeAll(), c.sqliteConn.Close())
}

func (c *faultConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	tx, err := c.sqliteConn.BeginTx(ctx, opts)
	if err != nil {
		return nil, c.faults.name(err)
	}
	return &faultTx{tx, c.faults}, nil
}

func (c *faultConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	st, err := c.sqliteConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, c.faults.name(err)
	}
	inner, ok := st.(sqliteStmt)
	if !ok {
		return nil, errors.Join(errors.New("the SQLite driver lacks a method that we rely on"), st.Close())
	}
	return &faultStmt{inner, c.faults}, nil
}

func (c *faultConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	st, err := c.prepared.get(ctx, c.sqliteConn, query)
	switch {
	case err != nil:
		return nil, c.faults.name(err)
	case st == nil:
		r, err := c.sqliteConn.ExecContext(ctx, query, args)
		return r, c.faults.name(err)
	}
	r, err := st.stmt.ExecContext(ctx, args)
	if err != nil {
		_ = c.prepared.drop(query) // the error that counts is the statement's
	}
	return r, c.faults.name(err)
}

func (c *faultConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	st, err := c.prepared.get(ctx, c.sqliteConn, query)
	if err != nil {
		return nil, c.faults.name(err)
	}
	if st == nil {
		r, err := c.sqliteConn.QueryContext(ctx, query, args)
		if err != nil {
			return nil, c.faults.name(err)
		}
		return &faultRows{r, c.faults}, nil
	}
	r, err := st.stmt.QueryContext(ctx, args)
	if err != nil {
		_ = c.prepared.drop(query) // the error that counts is the statement's
		return nil, c.faults.name(err)
	}
	st.busy = true
	return &readRows{&faultRows{r, c.faults}, st}, nil
}

type faultTx struct {
	driver.Tx
	faults *faults
}

func (t *faultTx) Commit() error {
	if err := t.Tx.Commit(); err != nil {
		return t.faults.name(err)
	}
	t.faults.wrote()
	return nil
}

type sqliteStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type faultStmt struct {
	sqliteStmt
	faults *faults
}

func (s *faultStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	r, err := s.sqliteStmt.ExecContext(ctx, args)
	return r, s.faults.name(err)
}

func (s *faultStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	r, err := s.sqliteStmt.QueryContext(ctx, args)
	if err != nil {
		return nil, s.faults.name(err)
	}
	return &faultRows{r, s.faults}, nil
}

type faultRows struct {
	driver.Rows
	faults *faults
}

func (r *faultRows) Next(dest []driver.Value) error { return r.faults.name(r.Rows.Next(dest)) }
