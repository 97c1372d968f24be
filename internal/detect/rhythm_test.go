package detect

import (
	"bytes"
	"encoding/gob"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"homeostat/internal/detect/evaluate"
)

// TestMorningThatFailsToComeIsTold: on one day the load stays what it was in the night, which is nothing strange in itself.
func TestMorningThatFailsToComeIsTold(t *testing.T) {
	t.Parallel()
	c := alone()
	c.Features[0] = Feature{Name: "cpu", Unit: Share, Effect: 0.05}
	m := newModel(t, c)
	shape := office(newRand(12), utc)
	morning := start().Truncate(24 * time.Hour).Add(day(18)).Add(3 * time.Hour)
	evening := morning.Add(15 * time.Hour)
	value := func(at time.Time) float64 {
		if !at.Before(morning) && at.Before(evening) {
			return shape(morning) / 300
		}
		return shape(at) / 300
	}
	const every = 10 * time.Minute
	life(m, start(), morning, every, value)
	var began []time.Time
	reason, lasted := "", time.Duration(0)
	for at := morning; at.Before(evening); at = at.Add(every) {
		switch v := m.Observe(at.UnixMilli(), []float64{value(at)}); v.Change {
		case Began:
			began, reason = append(began, at), Explain(c.Features, v)
		case GoesOn:
			lasted += every
		}
	}
	if len(began) != 1 || began[0].Sub(morning) > 9*time.Hour || lasted < 5*time.Hour {
		t.Errorf("told at %v and went on for %v, want once within 9 hours of %v, and until the evening", began, lasted, morning)
	}
	if !strings.Contains(reason, " % is usual at this time") {
		t.Errorf("reason %q", reason)
	}
	if after := life(m, evening, evening.Add(day(3)), every, value); len(after) > 1 {
		t.Errorf("told again at %v", after)
	}
}

// TestSilenceIsTold: traffic that often pauses, by night for hours, pauses by day as never before. A model that is restored in
// the midst of it says the same.
func TestSilenceIsTold(t *testing.T) {
	t.Parallel()
	m := newModel(t, alone())
	r := newRand(13)
	shape := office(newRand(14), utc)
	from := start().Truncate(24 * time.Hour).Add(day(18)).Add(13 * time.Hour)
	until := from.Add(4 * time.Hour)
	value := func(at time.Time) float64 {
		silent := r.Float64() > 0.4*max(0, shape(at)-50)/100
		if silent || !at.Before(from) && at.Before(until) {
			return 0
		}
		return 1e4 * r.ExpFloat64()
	}
	const every = 5 * time.Minute
	life(m, start(), from, every, value)
	midst := from.Add(30 * time.Minute)
	if began := life(m, from, midst, every, value); len(began) > 0 {
		t.Errorf("half an hour of silence was told at %v", began)
	}
	data, err := m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	again := newModel(t, alone())
	if err := again.UnmarshalBinary(data); err != nil {
		t.Fatal(err)
	}
	var began []time.Time
	for at := midst; at.Before(until); at = at.Add(every) {
		x := []float64{value(at)}
		v, w := m.Observe(at.UnixMilli(), x), again.Observe(at.UnixMilli(), x)
		if v.Change != w.Change || v.Grade != w.Grade || (v.Lapse == nil) != (w.Lapse == nil) {
			t.Fatalf("%v: %+v, restored %+v", at, v, w)
		}
		if v.Change == Began {
			began = append(began, at)
			if v.Lapse == nil || !v.Lapse.Silent || !strings.Contains(Explain([]Feature{{Name: "network"}}, v), "network has been silent for longer than ever") {
				t.Errorf("%+v: %s", v.Lapse, Explain([]Feature{{Name: "network"}}, v))
			}
		}
	}
	if len(began) != 1 {
		t.Errorf("told at %v, want once", began)
	}
}

// TestModelOfBeforeLearnsRhythmsAnew: what such a model knew of everything else is kept.
func TestModelOfBeforeLearnsRhythmsAnew(t *testing.T) {
	m := newModel(t, alone())
	for i := range 100 {
		m.Observe(int64(i)*60_000, []float64{math.Sin(float64(i))})
	}
	data, err := m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var d modelData
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&d); err != nil {
		t.Fatal(err)
	}
	d.Version, d.Rhythms = beforeRhythms, nil
	var old bytes.Buffer
	if err := gob.NewEncoder(&old).Encode(d); err != nil {
		t.Fatal(err)
	}
	restored := newModel(t, alone())
	if err := restored.UnmarshalBinary(old.Bytes()); err != nil {
		t.Fatal(err)
	}
	x := []float64{0.5}
	if v, w := m.Observe(6_000_000, x), restored.Observe(6_000_000, x); v.Score != w.Score {
		t.Errorf("score %v, restored %v", v.Score, w.Score)
	}
}

// TestAbsences counts how many of the faults without a strange value are told, and what is told beside them after two weeks. It
// takes minutes, so HOMEOSTAT_BENCH asks for it.
func TestAbsences(t *testing.T) {
	if os.Getenv("HOMEOSTAT_BENCH") == "" {
		t.Skip("HOMEOSTAT_BENCH isn't set: make bench-absences")
	}
	type count struct{ found, faults int }
	var mu sync.Mutex
	var wg sync.WaitGroup
	counts, others, weeks := map[string]count{}, 0, 0.0
	for seed := range uint64(3) {
		wg.Go(func() {
			for _, s := range evaluate.Absences(21+seed, 180) {
				found, beside := 0, 0
				m := newModel(t, ModelConfig{Features: make([]Feature, 1), Small: true, Seed: 1})
				for j, at := range s.Times {
					if m.Observe(at, s.Values[j:j+1]).Change != Began {
						continue
					}
					switch {
					case len(s.Faults) > 0 && j >= s.Faults[0].First && j <= s.Faults[0].Last:
						found = 1
					case at-s.Times[0] >= 14*dayMs:
						beside++
					}
				}
				mu.Lock()
				others += beside
				weeks += float64(s.Times[len(s.Times)-1]-s.Times[0]-14*dayMs) / weekMs
				for _, f := range s.Faults {
					c := counts[f.Kind]
					counts[f.Kind] = count{c.found + found, c.faults + 1}
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for kind, c := range counts {
		t.Logf("%s: %d of %d told", kind, c.found, c.faults)
		if c.found < c.faults/3 {
			t.Errorf("%s: %d of %d told, want a third", kind, c.found, c.faults)
		}
	}
	t.Logf("%.2f events a week beside them", float64(others)/weeks)
}
