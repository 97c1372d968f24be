package store_test

import (
	"database/sql"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"homeostat/internal/signal"
	"homeostat/internal/store/storetest"

	"github.com/google/go-cmp/cmp"
)

func TestWalkTellsTheWholeChainBothWays(t *testing.T) {
	s := storetest.Open(t)
	began := time.Now().Truncate(time.Millisecond)
	at := func(sec int) time.Time { return time.Date(2026, 11, 23, 2, 0, sec, 0, time.UTC) }
	links := []signal.Link{
		{ID: "al-1", Kind: "alert", Time: at(1), Text: "HighCPU fired", Cause: []string{"ba-7-42"}},
		{ID: "an-1", Kind: "anomaly", Time: at(2), Text: "CPU is unusual", Cause: []string{"ba-7-42", "ba-7-41"}},
		{ID: "in-1", Kind: "incident", Time: at(3), Text: "an incident", Cause: []string{"al-1"}},
		{ID: "ex-1", Kind: "execution", Time: at(4), Text: "started", Cause: []string{"in-1", "al-1"}},
		{ID: "ve-1", Kind: "verify", Time: at(5), Text: "it is gone", Cause: []string{"ex-1"}},
		{ID: "in-9", Kind: "incident", Time: at(1), Text: "another story", Cause: []string{"ba-7-42"}},
		{ID: "in-1", Kind: "incident", Time: at(9), Text: "an incident of two", Cause: []string{"an-1"}}, // told again
		{ID: "ex-1", Kind: "execution", Time: at(9), Cause: []string{"al-1"}},                            // without a new sentence
	}
	inTx(t, s, func(tx *sql.Tx) error { return s.Chain.Add(t.Context(), tx, links...) })

	for _, tt := range []struct {
		id   string
		want []string
	}{
		{"ve-1", []string{"ba-7-41", "ba-7-42", "al-1", "an-1", "in-1", "ex-1", "ve-1"}},
		{"in-1", []string{"ba-7-41", "ba-7-42", "al-1", "an-1", "in-1", "ex-1", "ve-1"}},
		{"an-1", []string{"ba-7-41", "ba-7-42", "an-1", "in-1", "ex-1", "ve-1"}},
		{"ba-7-41", []string{"ba-7-41", "an-1", "in-1", "ex-1", "ve-1"}},
		{"in-9", []string{"ba-7-42", "in-9"}},
	} {
		got, err := s.Chain.Walk(t.Context(), tt.id)
		if err != nil {
			t.Fatal(err)
		}
		ids := []string{}
		for _, l := range got {
			ids = append(ids, l.ID)
			if l.Text == "" {
				t.Errorf("%s has no sentence", l.ID)
			}
			if l.ID == "in-1" && (l.Text != "an incident of two" || !l.Time.Equal(at(3)) || len(l.Cause) != 2) {
				t.Errorf("told twice: %+v", l)
			}
			if l.ID == "ex-1" && l.Text != "started" {
				t.Errorf("a link without a sentence took the one before: %+v", l)
			}
		}
		if diff := cmp.Diff(slices.Sorted(slices.Values(tt.want)), slices.Sorted(slices.Values(ids))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.id, diff)
		}
		told := map[string]bool{}
		for i, l := range got {
			if i > 0 && signal.KindOf(got[i-1].ID) != signal.KindBatch && l.Time.Before(got[i-1].Time) {
				t.Errorf("%s: %s stands before %s, which is older", tt.id, got[i-1].ID, l.ID)
			}
			if signal.KindOf(l.ID) == signal.KindBatch && (l.Time.Before(began) || !strings.HasSuffix(l.Text, ", which had come in by then")) {
				t.Errorf("%s: %+v, want a time since %s", tt.id, l, began)
			}
			told[l.ID] = true
			for _, c := range l.Cause {
				if signal.KindOf(c) == signal.KindBatch && slices.Contains(tt.want, c) && !told[c] {
					t.Errorf("%s: %s stands before its batch %s", tt.id, l.ID, c)
				}
			}
		}
	}
	if _, err := s.Chain.Walk(t.Context(), "ex-none"); !errors.Is(err, signal.ErrNotFound) {
		t.Errorf("an unknown id: %v, want ErrNotFound", err)
	}
}

func TestWalkEndsOnACircle(t *testing.T) {
	s := storetest.Open(t)
	inTx(t, s, func(tx *sql.Tx) error {
		return s.Chain.Add(t.Context(), tx,
			signal.Link{ID: "ev-a", Kind: "event", Text: "a", Cause: []string{"ev-b", "ev-a", ""}},
			signal.Link{ID: "ev-b", Kind: "event", Text: "b", Cause: []string{"ev-a"}})
	})
	got, err := s.Chain.Walk(t.Context(), "ev-a")
	if len(got) != 2 || err != nil {
		t.Errorf("got %v, %v; want two links", got, err)
	}
}
