package bus

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"homeostat/internal/signal"

	"github.com/google/go-cmp/cmp"
)

// FuzzEnvelope holds that bytes from outside are either refused as invalid or an event that can be stored, told of, and read
// back as the same one.
func FuzzEnvelope(f *testing.F) {
	f.Add([]byte(`{"source":"shop","detail-type":"x","detail":{"entity":"host:a","cause":["ev-1"]},"time":"2026-11-11T21:29:54Z","resources":["a"]}`))
	f.Add([]byte(`{"source":"shop","detail-type":"x","detail":{"id":{},"cause":7,"began":"x"},"id":"\u0000"}`))
	f.Add([]byte(`{"source":"<&>","detail-type":"\ud800","detail":{"a":1e999},"time":"9999-12-31T23:59:60-23:59"}`))
	f.Add([]byte(`[]`))
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text []byte) {
		ev, err := envelope(text, now)
		if err != nil {
			if !errors.Is(err, signal.ErrInvalid) {
				t.Fatalf("neither taken nor invalid: %v", err)
			}
			return
		}
		if err := check(ev); err != nil {
			t.Fatalf("taken, and no event: %v", err)
		}
		links(&ev, read(ev.Detail))
		again, err := json.Marshal(ev)
		if err != nil {
			t.Fatal(err)
		}
		back, err := envelope(again, now)
		if len(again) > MaxEventBytes {
			return // signs that JSON escapes made it longer than what may come in
		}
		if err != nil {
			t.Fatalf("stored, and not taken again: %v", err)
		}
		third, err := json.Marshal(back)
		if diff := cmp.Diff(string(again), string(third)); diff != "" || err != nil {
			t.Errorf("it came back as another (%v):\n%s", err, diff)
		}
	})
}
