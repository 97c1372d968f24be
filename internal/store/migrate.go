package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migration is one file of migrations/: forward only, never edited after a release.
type migration struct {
	version int
	name    string
	text    string
}

// migrations returns the embedded files in order.
func migrations(files fs.FS) ([]migration, error) {
	names, err := fs.Glob(files, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	var out []migration
	for _, n := range names { // Glob sorts
		base := strings.TrimSuffix(path.Base(n), ".sql")
		num, _, _ := strings.Cut(base, "_")
		version, err := strconv.Atoi(num)
		if err != nil {
			return nil, fmt.Errorf("migration %s: its name has to begin with a number", n)
		}
		text, err := fs.ReadFile(files, n)
		if err != nil {
			return nil, err
		}
		out = append(out, migration{version, base, string(text)})
	}
	return out, nil
}

// migrate applies what is missing, each file in a transaction of its own. Numbers may have gaps, and one that is missing
// below the highest applied is applied too: stages add their files independently. A database that knows a migration which
// this binary lacks is a newer one's, and is left alone.
func migrate(ctx context.Context, db *sql.DB) error {
	todo, err := migrations(migrationFiles)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS migrations (version BIGINT PRIMARY KEY, name TEXT NOT NULL, applied BIGINT NOT NULL)`)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	applied, err := appliedMigrations(ctx, db)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	for _, m := range todo {
		if _, ok := applied[m.version]; ok {
			delete(applied, m.version)
			continue
		}
		if err := apply(ctx, db, m); err != nil {
			return fmt.Errorf("migrate %s: %w", m.name, err)
		}
	}
	for _, name := range applied {
		return fmt.Errorf("it has had the migration %s, which this homeostat doesn't know: it belongs to a newer one", name)
	}
	return nil
}

func appliedMigrations(ctx context.Context, db *sql.DB) (map[int]string, error) {
	rows, err := db.QueryContext(ctx, "SELECT version, name FROM migrations")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[int]string{}
	for rows.Next() {
		var (
			v    int
			name string
		)
		if err := rows.Scan(&v, &name); err != nil {
			return nil, err
		}
		out[v] = name
	}
	return out, rows.Err()
}

func apply(ctx context.Context, db *sql.DB, m migration) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, m.text); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO migrations (version, name, applied) VALUES ($1, $2, $3)", m.version, m.name, time.Now().UnixMilli())
	if err != nil {
		return err
	}
	return tx.Commit()
}
