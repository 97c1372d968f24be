package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"homeostat/internal/signal"
)

// ErrTampered means that the audit log isn't what was written: an entry was changed, taken away, or put in.
var ErrTampered = errors.New("the audit log has been changed")

// Audit is the log of who or what did what to what, and why. Entries are numbered from 1 without gaps, and each carries the
// hash of the one before and its own, the SHA-256 of
//
//	prev seq time actor verb subject reason detail
//
// each written as a netstring (length in decimal, colon, bytes, comma), time in Unix milliseconds, hashes as 64 hex digits
// ("" before the first entry), detail as compact JSON or "". So no entry can be changed, taken away or put in without all
// after it changing too. Whoever can write the file can still write the whole log anew: what protects against that is a
// head ([Audit.Head]) noted somewhere else.
//
// The log is never pruned: what was done by itself stays on record longer than what was measured.
type Audit struct{ db *sql.DB }

// OpenAudit opens the audit log of the database in dir for reading, beside a running loop too.
func OpenAudit(ctx context.Context, dir string) (*Audit, error) {
	path := filepath.Join(dir, FileName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no audit log in %s: %w", dir, err)
	} else if err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	if err := checkHeader(path); err != nil {
		return nil, fmt.Errorf("open audit log %s: %w", path, err)
	}
	a := &Audit{db: openDB(new(faults), path, url.Values{
		"mode":    {"ro"},
		"_pragma": {"busy_timeout(10000)", "query_only(1)"},
	})}
	if _, _, err := a.Head(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open audit log %s: %w", path, err), a.Close())
	}
	return a, nil
}

// Close closes what OpenAudit opened. The log of a Store closes with the store.
func (a *Audit) Close() error { return a.db.Close() }

// Append adds an entry within the caller's transaction, so that what is told and what was done stand or fall together. A
// zero time is now.
func (a *Audit) Append(ctx context.Context, tx *sql.Tx, e signal.AuditEntry) error {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	row, err := makeAuditRow(e)
	if err != nil {
		return fmt.Errorf("audit %s %s: %w", e.Verb, e.Subject, err)
	}
	// The update takes the head for this transaction, so that two writers can't both follow the same entry.
	err = tx.QueryRowContext(ctx, "UPDATE audit_head SET seq = seq + 1 WHERE id = 1 RETURNING seq, hash").Scan(&row.seq, &row.prev)
	if err != nil {
		return fmt.Errorf("audit %s %s: %w", e.Verb, e.Subject, err)
	}
	row.hash = row.sum()
	_, err = tx.ExecContext(ctx, `INSERT INTO audit (seq, time, actor, verb, subject, reason, detail, prev, hash)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		row.seq, row.time, row.actor, row.verb, row.subject, row.reason, row.detail, row.prev, row.hash)
	if err != nil {
		return fmt.Errorf("audit %s %s: %w", e.Verb, e.Subject, err)
	}
	if _, err = tx.ExecContext(ctx, "UPDATE audit_head SET hash = $1 WHERE id = 1", row.hash); err != nil {
		return fmt.Errorf("audit %s %s: %w", e.Verb, e.Subject, err)
	}
	return nil
}

// Head returns the number and the hash of the last entry; 0 and "" where there is none.
func (a *Audit) Head(ctx context.Context) (seq int64, hash string, err error) {
	err = a.db.QueryRowContext(ctx, "SELECT seq, hash FROM audit_head WHERE id = 1").Scan(&seq, &hash)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, "", fmt.Errorf("%w: the row that names its last entry is missing", ErrTampered)
	}
	return seq, hash, err
}

// Verify walks the whole log as it stands now and returns how many entries are sound. The error wraps [ErrTampered] and
// names the first entry that isn't. A loop that writes meanwhile is neither stopped nor seen.
func (a *Audit) Verify(ctx context.Context) (int, error) {
	tx, err := a.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return 0, fmt.Errorf("verify audit log: %w", err)
	}
	defer tx.Rollback()
	n, err := verify(ctx, tx)
	if err != nil {
		return n, fmt.Errorf("verify audit log: %w", err)
	}
	return n, nil
}

func verify(ctx context.Context, tx *sql.Tx) (int, error) {
	rows, err := tx.QueryContext(ctx, "SELECT seq, time, actor, verb, subject, reason, detail, prev, hash FROM audit ORDER BY seq")
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var (
		n    int64
		prev string
	)
	for rows.Next() {
		var r auditRow
		if err := rows.Scan(&r.seq, &r.time, &r.actor, &r.verb, &r.subject, &r.reason, &r.detail, &r.prev, &r.hash); err != nil {
			return int(n), fmt.Errorf("%w: entry %d can't be read: %w", ErrTampered, n+1, err)
		}
		switch {
		case r.seq != n+1:
			return int(n), fmt.Errorf("%w: entry %d is missing: entry %d stands in its place", ErrTampered, n+1, r.seq)
		case r.prev != prev:
			return int(n), fmt.Errorf("%w: entry %d (%s %s) doesn't follow entry %d", ErrTampered, r.seq, r.verb, r.subject, n)
		case r.hash != r.sum():
			return int(n), fmt.Errorf("%w: entry %d (%s %s) doesn't say what was written", ErrTampered, r.seq, r.verb, r.subject)
		}
		n, prev = r.seq, r.hash
	}
	if err := rows.Err(); err != nil {
		return int(n), err
	}
	var (
		last int64
		head string
	)
	err = tx.QueryRowContext(ctx, "SELECT seq, hash FROM audit_head WHERE id = 1").Scan(&last, &head)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return int(n), fmt.Errorf("%w: the row that names its last entry is missing", ErrTampered)
	case err != nil:
		return int(n), err
	case last > n:
		return int(n), fmt.Errorf("%w: entry %d is missing: the log ended with entry %d", ErrTampered, n+1, last)
	case last < n || head != prev:
		return int(n), fmt.Errorf("%w: entry %d is not the one that was written last", ErrTampered, n)
	}
	return int(n), nil
}

// Audit returns a page of the log. After is the number that the page before ended with; Type restricts to a verb, and
// Incident to a subject of any kind.
func (a *Audit) Audit(ctx context.Context, q signal.Query) ([]signal.AuditEntry, string, error) {
	var after int64
	if q.After != "" {
		var err error
		if after, err = strconv.ParseInt(q.After, 10, 64); err != nil {
			return nil, "", fmt.Errorf("%w: after: %q is no number of an audit entry", signal.ErrInvalid, q.After)
		}
	}
	limit := PageSize(q)
	text := "SELECT seq, time, actor, verb, subject, reason, detail, hash FROM audit WHERE ($1 = 0 OR seq > $1) AND ($2 = '' OR verb = $2) AND ($3 = '' OR subject = $3) ORDER BY seq LIMIT $4"
	if q.Newest {
		text = "SELECT seq, time, actor, verb, subject, reason, detail, hash FROM audit WHERE ($1 = 0 OR seq < $1) AND ($2 = '' OR verb = $2) AND ($3 = '' OR subject = $3) ORDER BY seq DESC LIMIT $4"
	}
	rows, err := a.db.QueryContext(ctx, text, after, q.Type, q.Incident, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("list audit log: %w", err)
	}
	defer rows.Close()
	out := []signal.AuditEntry{}
	for rows.Next() {
		var r auditRow
		if err := rows.Scan(&r.seq, &r.time, &r.actor, &r.verb, &r.subject, &r.reason, &r.detail, &r.hash); err != nil {
			return nil, "", fmt.Errorf("list audit log: %w", err)
		}
		e := signal.AuditEntry{
			Seq: r.seq, Time: time.UnixMilli(r.time).UTC(), Actor: r.actor, Verb: r.verb, Subject: r.subject, Reason: r.reason, Hash: r.hash,
		}
		if r.detail != "" {
			e.Detail = json.RawMessage(r.detail)
		}
		out = append(out, e)
	}
	if err := rows.Err(); err != nil {
		return nil, "", fmt.Errorf("list audit log: %w", err)
	}
	if len(out) > limit {
		return out[:limit], strconv.FormatInt(out[limit-1].Seq, 10), nil
	}
	return out, "", nil
}

// PageSize returns how many items a page of q has: 100 unless it says otherwise, 1,000 at most.
func PageSize(q signal.Query) int {
	if q.Limit <= 0 {
		return 100
	}
	return min(q.Limit, 1000)
}

// auditRow is an entry as it is stored and hashed.
type auditRow struct {
	seq, time                                        int64
	actor, verb, subject, reason, detail, prev, hash string
}

func makeAuditRow(e signal.AuditEntry) (auditRow, error) {
	clean := func(s string) string { return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD") }
	r := auditRow{
		time: e.Time.UnixMilli(), actor: clean(e.Actor), verb: clean(e.Verb), subject: clean(e.Subject), reason: clean(e.Reason),
	}
	if len(e.Detail) > 0 {
		var b bytes.Buffer
		if err := json.Compact(&b, e.Detail); err != nil {
			return r, fmt.Errorf("detail: %w", err)
		}
		r.detail = clean(b.String())
	}
	return r, nil
}

// sum returns the entry's hash from all else in it.
func (r *auditRow) sum() string {
	var b []byte
	for _, f := range []string{
		r.prev, strconv.FormatInt(r.seq, 10), strconv.FormatInt(r.time, 10), r.actor, r.verb, r.subject, r.reason, r.detail,
	} {
		b = strconv.AppendInt(b, int64(len(f)), 10)
		b = append(b, ':')
		b = append(b, f...)
		b = append(b, ',')
	}
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}
