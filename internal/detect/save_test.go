package detect

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"homeostat/internal/signal"
)

func FuzzSegment(f *testing.F) {
	h := header{5, map[string]clock{"host": {"as it was", 1, 2}}}
	b, _, err := encodeSegment(h, []record{{"host\x00\x00a", 7, []byte{1, 2}}, {"", 8, nil}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, models, err := decodeSegment(b)
		if err != nil {
			return
		}
		var records []record
		for _, m := range models {
			records = append(records, record{m.key, m.seq, b[m.at : m.at+int64(m.size)]})
		}
		b, _, err = encodeSegment(h, records)
		if err != nil {
			t.Fatal(err)
		}
		if again, same, err := decodeSegment(b); err != nil || again.Position != h.Position || len(same) != len(models) {
			t.Fatalf("%+v, %v", again, err)
		}
	})
}

// TestShelfFindsTheNewest adds models in any order, and opens the folder anew now and then.
func TestShelfFindsTheNewest(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		s, _, _, err := openShelf(dir)
		if err != nil {
			rt.Fatal(err)
		}
		want := map[string]string{}
		for seq := range uint64(rapid.IntRange(1, 12).Draw(rt, "saves")) {
			var records []record
			for key := range rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}), rapid.Just(0), 0, 3).Draw(rt, "keys") {
				want[key] = rapid.StringN(0, 40, 40).Draw(rt, "state")
				records = append(records, record{key, seq, []byte(want[key])})
			}
			if _, err := s.add(header{Position: seq + 1}, records); err != nil {
				rt.Fatal(err)
			}
			if rapid.Bool().Draw(rt, "reopen") {
				var h *header
				if s, h, _, err = openShelf(dir); err != nil || h == nil || h.Position != seq+1 {
					rt.Fatalf("%+v, %v", h, err)
				}
			}
		}
		got := map[string]string{}
		for key := range s.index {
			state, _, err := s.load(key)
			if err != nil {
				rt.Fatal(err)
			}
			got[key] = string(state)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatal(diff)
		}
		if names, _ := filepath.Glob(filepath.Join(dir, "*.segment")); len(names) > len(want)+1 {
			rt.Fatalf("%d segments for %d models", len(names), len(want))
		}
	})
}

// fleet is a tape of so many hosts with one gauge each, a sample a second; those that quiet names fall silent after a while.
func fleet(hosts, seconds int, quiet func(host, second int) bool) []*signal.Batch {
	rng := rand.New(rand.NewPCG(1, 2))
	var dict []signal.Series
	for i := range hosts {
		dict = append(dict, signal.MakeSeries(signal.MakeLabels(map[string]string{signal.MetricName: "load", "host_name": fmt.Sprintf("h%03d", i)})))
	}
	var out []*signal.Batch
	for s := range seconds {
		b := &signal.Batch{ID: fmt.Sprintf("ba-0-%d", s+1)}
		for i := range hosts {
			if quiet != nil && quiet(i, s) {
				continue
			}
			v := rng.NormFloat64()
			if (s > 130 && s < 160 || s > 230 && s < 270) && i%5 == 0 {
				v += 60
			}
			b.Add(b.AddSeries(dict[i]), start().UnixMilli()+int64(s)*1000, v)
		}
		out = append(out, b)
	}
	return out
}

func gauges(dir string) RunnerConfig {
	return RunnerConfig{Detectors: []Config{{Name: "load", Series: []string{"load"}, Each: true, Interval: time.Second}}, Dir: dir, Every: time.Hour}
}

// states are the models of a runner as bytes, by key.
func states(t *testing.T, r *Runner) map[string]string {
	t.Helper()
	out := map[string]string{}
	for key, w := range r.detectors[0].watched {
		b, err := w.encode(r.detectors[0])
		if err != nil {
			t.Fatal(err)
		}
		out[key] = string(b)
	}
	return out
}

// TestSlicesOfDifferentAgesMakeOneState saves models a few at a time while the stream goes on, as a process with many does, cuts
// it off, and reads on: every model must have seen every message once, and the events be those of a run that was never cut off.
func TestSlicesOfDifferentAgesMakeOneState(t *testing.T) {
	t.Parallel()
	tape := fleet(12, 300, nil)
	want := newBook()
	whole := play(t, gauges(""), tape, want, nil)
	dir := t.TempDir()
	got, sliced := newBook(), false
	for _, cut := range []int{120, 190, 260, 300} {
		r, err := NewRunner(gauges(dir), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.saver.most = 20_000 // a few models
		d := r.detectors[0]
		var found []signal.Anomaly
		for seq := r.read + 1; seq <= uint64(cut); seq++ {
			b := tape[seq-1]
			d.seq = seq
			found = d.Process(found[:0], b)
			if err := r.publish(t.Context(), got, d, found); err != nil {
				t.Fatal(err)
			}
			r.read = seq
			if seq%7 != 0 {
				continue
			}
			_, left, err := r.slice(func(time.Duration) {}, func() {})
			if err != nil {
				t.Fatal(err)
			}
			if sliced = sliced || left > 0; left > 0 && r.Position() == seq {
				t.Fatal("the position is beyond what is on disk")
			}
		}
		if cut == len(tape) {
			if diff := cmp.Diff(slices.Sorted(maps.Keys(states(t, whole))), slices.Sorted(maps.Keys(states(t, r)))); diff != "" {
				t.Fatal(diff)
			}
			for key, w := range r.detectors[0].watched {
				if a, b := w.model.state, whole.detectors[0].watched[key].model.state; a != b {
					t.Fatalf("%q: %+v, want %+v", key, a, b)
				}
			}
		}
	}
	if len(want.ids) == 0 || !sliced {
		t.Fatalf("%d events, saved in slices: %v", len(want.ids), sliced)
	}
	slices.Sort(want.ids)
	slices.Sort(got.ids)
	if diff := cmp.Diff(want.ids, got.ids); diff != "" {
		t.Error(diff)
	}
}

// TestIdleModelsLieOnDiskAlone has half of the hosts fall silent for hours and then come back.
func TestIdleModelsLieOnDiskAlone(t *testing.T) {
	dir := t.TempDir()
	tape := fleet(10, 200, func(host, second int) bool { return host%2 == 0 && second >= 100 && second < 199 })
	for i, b := range tape {
		if i >= 100 { // two hours pass within a hundred messages
			for j := range b.Times {
				b.Times[j] += int64(i-99) * 72_000
			}
		}
	}
	play(t, gauges(dir), tape[:60], newBook(), nil) // and saves
	play(t, gauges(dir), tape[:150], newBook(), nil)
	r := play(t, gauges(dir), tape[:199], newBook(), nil)
	if n := len(r.detectors[0].watched); n != 5 {
		t.Errorf("%d models in memory, want 5", n)
	}
	if n := len(r.Models()); n != 10 {
		t.Errorf("%d models known, want 10", n)
	}
	r = play(t, gauges(dir), tape, newBook(), nil)
	if n := len(r.detectors[0].watched); n != 10 {
		t.Errorf("%d models in memory once all are back, want 10", n)
	}
	for key, w := range r.detectors[0].watched {
		if w.model.state.Seen < 95 {
			t.Errorf("%q has seen %d points: it learnt anew", key, w.model.state.Seen)
		}
	}
}
