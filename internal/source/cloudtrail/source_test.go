package cloudtrail

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"homeostat/internal/signal"
)

// memory is a sink that keeps ids.
type memory struct {
	ids    []string
	refuse error
}

func (m *memory) AppendAccesses(_ context.Context, rows []signal.Access) error {
	if m.refuse != nil {
		return m.refuse
	}
	for _, a := range rows {
		m.ids = append(m.ids, a.ID)
	}
	return nil
}

// put writes a file as it was an hour ago.
func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, then, then); err != nil {
		t.Fatal(err)
	}
}

func TestSourceReadsAFolderOnceAndInTheOrderOfTime(t *testing.T) {
	dir, state := t.TempDir(), filepath.Join(t.TempDir(), "cloudtrail.json")
	put(t, filepath.Join(dir, "eu/1_CloudTrail_eu_20260103T0305Z_x.json"), `{"Records":[`+record("late", 30)+`]}`)
	put(t, filepath.Join(dir, "us/1_CloudTrail_us_20260102T0305Z_x.json"), `{"Records":[`+record("b", 20)+","+record("a", 10)+`]}`)
	put(t, filepath.Join(dir, "us/2_CloudTrail_us_20260102T0310Z_y.json"), `{"Records":[`+record("b", 20)+","+record("c", 15)+`]}`)
	sink := &memory{}
	look := func() {
		t.Helper()
		s, err := New(Config{Dir: dir}, nil, state, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Look(t.Context(), sink); err != nil {
			t.Fatal(err)
		}
	}
	sink.refuse = errors.New("no room")
	s, err := New(Config{Dir: dir}, nil, state, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Look(t.Context(), sink); !errors.Is(err, sink.refuse) {
		t.Fatalf("what was refused is taken for read: %v", err)
	}
	sink.refuse = nil
	look()
	look() // by another, after a restart: nothing is read again
	if diff := cmp.Diff([]string{"a", "c", "b", "late"}, sink.ids); diff != "" {
		t.Error(diff)
	}
	put(t, filepath.Join(dir, "new.jsonl"), record("d", 40)+"\n"+strings.Replace(record("far", 41), "2026", "9026", 1))
	if err := os.Remove(filepath.Join(dir, "eu/1_CloudTrail_eu_20260103T0305Z_x.json")); err != nil {
		t.Fatal(err)
	}
	look()
	if diff := cmp.Diff([]string{"a", "c", "b", "late", "d"}, sink.ids); diff != "" {
		t.Error(diff)
	}
	if b, err := os.ReadFile(state); err != nil || strings.Contains(string(b), "20260103T0305Z") {
		t.Errorf("a file that is gone is remembered: %s %v", b, err)
	}
}

func TestParseFindsRecordsInAnEvent(t *testing.T) {
	got := Parse([]byte(`{"detail-type":"AWS API Call via CloudTrail","account":"9","detail":{"eventName":"A","eventTime":"2026-01-02T03:04:05Z","eventID":"e"}}`))
	if len(got) != 1 || got[0].ID != "e" || got[0].Org != "9" {
		t.Errorf("%+v", got)
	}
	for _, none := range []string{`{"detail-type":"Order","detail":{"order":1}}`, `{`, ``} {
		if got := Parse([]byte(none)); len(got) != 0 {
			t.Errorf("%s: %+v", none, got)
		}
	}
}
