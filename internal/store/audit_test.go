package store_test

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"homeostat/internal/signal"
	"homeostat/internal/store"
	"homeostat/internal/store/storetest"

	"pgregory.net/rapid"
)

// fill appends n entries that differ.
func fill(t *testing.T, s *store.Store, n int) {
	t.Helper()
	inTx(t, s, func(tx *sql.Tx) error {
		for i := range n {
			e := signal.AuditEntry{
				Time: time.Date(2026, 11, 23, 2, 0, i, 0, time.UTC), Actor: "route high-cpu", Verb: "step.intent",
				Subject: fmt.Sprintf("st-%d", i), Reason: "HighCPU on web-1", Detail: json.RawMessage(fmt.Sprintf(`{"pid": %d}`, 100+i)),
			}
			if err := s.Audit.Append(t.Context(), tx, e); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestVerifyNamesTheFirstBadEntry(t *testing.T) {
	for _, tt := range []struct{ name, change, want string }{
		{"actor", "UPDATE audit SET actor = 'ana' WHERE seq = 4", "entry 4 "},
		{"time", "UPDATE audit SET time = time + 1 WHERE seq = 1", "entry 1 "},
		{"reason", "UPDATE audit SET reason = '' WHERE seq = 7", "entry 7 "},
		{"detail", `UPDATE audit SET detail = '{"pid":1}' WHERE seq = 10`, "entry 10 "},
		{"a byte moved to the field beside", "UPDATE audit SET verb = 'step.intents', subject = substr(subject, 2) WHERE seq = 3", "entry 3 "},
		{"a hash of another entry", "UPDATE audit SET hash = (SELECT hash FROM audit WHERE seq = 2) WHERE seq = 5", "entry 5 "},
		{"a link", "UPDATE audit SET prev = '' WHERE seq = 5", "entry 5 "},
		{"a number where text was", "UPDATE audit SET subject = 7 WHERE seq = 5", "entry 5 "},
		{"the first taken away", "DELETE FROM audit WHERE seq = 1", "entry 1 is missing"},
		{"one taken away", "DELETE FROM audit WHERE seq = 6", "entry 6 is missing"},
		{"one taken away, the rest moved up", "DELETE FROM audit WHERE seq = 6; UPDATE audit SET seq = -(seq - 1) WHERE seq > 6; UPDATE audit SET seq = -seq WHERE seq < 0", "entry 6 "},
		{"the last taken away", "DELETE FROM audit WHERE seq = 10", "entry 10 is missing"},
		{"all taken away", "DELETE FROM audit", "entry 1 is missing"},
		{"the head taken away", "DELETE FROM audit_head", "last entry is missing"},
		{"the head set back", "DELETE FROM audit WHERE seq > 8; UPDATE audit_head SET seq = 8", "entry 8 is not"},
		{"one put in", "INSERT INTO audit SELECT 11, time, actor, verb, subject, reason, detail, hash, hash FROM audit WHERE seq = 10", "entry 11 "},
		{"two exchanged", "UPDATE audit SET seq = CASE seq WHEN 3 THEN -4 ELSE -3 END WHERE seq IN (3, 4); UPDATE audit SET seq = -seq WHERE seq < 0", "entry 3 "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := storetest.Open(t)
			fill(t, s, 10)
			if n, err := s.Audit.Verify(t.Context()); n != 10 || err != nil {
				t.Fatalf("before the change: %d entries, %v; want 10", n, err)
			}
			if _, err := s.DB.ExecContext(t.Context(), tt.change); err != nil {
				t.Fatal(err)
			}
			_, err := s.Audit.Verify(t.Context())
			if !errors.Is(err, store.ErrTampered) || !strings.Contains(fmt.Sprint(err), tt.want) {
				t.Errorf("got %v, want ErrTampered that names %q", err, tt.want)
			}
		})
	}
}

func TestVerifyAcceptsAnythingThatWasAppended(t *testing.T) {
	s := storetest.Open(t)
	if _, err := s.DB.ExecContext(t.Context(), "PRAGMA synchronous = OFF"); err != nil { // no power is cut here
		t.Fatal(err)
	}
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		e := signal.AuditEntry{
			Time:  time.UnixMilli(rapid.Int64Range(0, 1<<45).Draw(rt, "ms")),
			Actor: string(rapid.SliceOf(rapid.Byte()).Draw(rt, "actor")),
			Verb:  rapid.String().Draw(rt, "verb"), Subject: rapid.String().Draw(rt, "subject"), Reason: rapid.String().Draw(rt, "reason"),
		}
		e.Detail, _ = json.Marshal(rapid.MapOf(rapid.String(), rapid.String()).Draw(rt, "detail"))
		tx, err := s.DB.BeginTx(t.Context(), nil)
		if err != nil {
			rt.Fatal(err)
		}
		defer tx.Rollback()
		if err := s.Audit.Append(t.Context(), tx, e); err != nil {
			rt.Fatal(err)
		}
		if err := tx.Commit(); err != nil {
			rt.Fatal(err)
		}
		n++
		if got, err := s.Audit.Verify(t.Context()); got != n || err != nil {
			rt.Fatalf("%d entries, %v; want %d", got, err, n)
		}
	})
}

func TestRolledBackEntryLeavesNoGap(t *testing.T) {
	s := storetest.Open(t)
	fill(t, s, 2)
	tx, err := s.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Audit.Append(t.Context(), tx, signal.AuditEntry{Verb: "x"}); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	fill(t, s, 1)
	if n, err := s.Audit.Verify(t.Context()); n != 3 || err != nil {
		t.Errorf("%d entries, %v; want 3", n, err)
	}
}

func TestAuditVerifiesBesideARunningLoop(t *testing.T) {
	for _, running := range []bool{true, false} {
		t.Run(fmt.Sprintf("running %v", running), func(t *testing.T) {
			dir := t.TempDir()
			s := storetest.OpenDir(t, dir)
			fill(t, s, 3)
			tx, err := s.DB.BeginTx(t.Context(), nil) // a publisher in the middle of its work
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			if err := s.Audit.Append(t.Context(), tx, signal.AuditEntry{Verb: "x"}); err != nil {
				t.Fatal(err)
			}
			if !running {
				if err := errors.Join(tx.Rollback(), s.Close()); err != nil {
					t.Fatal(err)
				}
			}
			a, err := store.OpenAudit(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			if n, err := a.Verify(t.Context()); n != 3 || err != nil {
				t.Errorf("%d entries, %v; want 3", n, err)
			}
		})
	}
}

func TestOpenAuditMakesNothing(t *testing.T) {
	dir := t.TempDir()
	if _, err := store.OpenAudit(t.Context(), dir); err == nil {
		t.Error("an empty folder has an audit log")
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 || err != nil {
		t.Errorf("it left %v (%v) behind", left, err)
	}
}

func TestAuditPages(t *testing.T) {
	s := storetest.Open(t)
	fill(t, s, 25)
	for _, newest := range []bool{false, true} {
		var got []int64
		for after := ""; ; {
			page, next, err := s.Audit.Audit(t.Context(), signal.Query{After: after, Limit: 10, Newest: newest})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page {
				got = append(got, e.Seq)
			}
			if next == "" {
				break
			}
			after = next
		}
		if len(got) != 25 || (got[0] == 1) == newest || (got[24] == 25) == newest {
			t.Errorf("newest %v: %v", newest, got)
		}
	}
	page, next, err := s.Audit.Audit(t.Context(), signal.Query{Incident: "st-7", Type: "step.intent"})
	if len(page) != 1 || next != "" || err != nil || page[0].Reason != "HighCPU on web-1" || string(page[0].Detail) != `{"pid":107}` {
		t.Errorf("of st-7: %+v, %q, %v", page, next, err)
	}
	if _, _, err := s.Audit.Audit(t.Context(), signal.Query{After: "st-7"}); !errors.Is(err, signal.ErrInvalid) {
		t.Errorf("a cursor that isn't one: %v, want ErrInvalid", err)
	}
}

func BenchmarkVerify(b *testing.B) {
	s := storetest.Open(b)
	tx, err := s.DB.BeginTx(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	const entries = 10_000
	for i := range entries {
		err := s.Audit.Append(b.Context(), tx, signal.AuditEntry{Actor: "homeostat", Verb: "publish", Subject: fmt.Sprint("ev-", i), Reason: "Alert Firing"})
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Audit.Verify(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(entries*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}
