package detect

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	_ "time/tzdata" // machines that build need have no zones of their own
)

// life feeds m a point for each interval from at until end, and returns when anomalies began.
func life(m *Model, at, end time.Time, every time.Duration, value func(at time.Time) float64) (began []time.Time) {
	m.quick = true
	for ; at.Before(end); at = at.Add(every) {
		v := m.Observe(at.UnixMilli(), []float64{value(at)})
		if v != nil && v.Change == Began {
			began = append(began, at)
		}
	}
	return began
}

func day(n float64) time.Duration { return time.Duration(n * 24 * float64(time.Hour)) }

// office is a load with a day in it, by the wall clock: 50 by night to 150 by day, and noise.
func office(r *rand.Rand, zone func(time.Time) time.Time) func(time.Time) float64 {
	return func(at time.Time) float64 {
		local := zone(at)
		hour := float64(local.Hour()) + float64(local.Minute())/60
		return 100 - 50*math.Cos(2*math.Pi*(hour-3)/24) + 4*r.NormFloat64()
	}
}

func utc(at time.Time) time.Time { return at }

// TestNewNormalIsAcceptedWithinADay moves a level by 80 for good: it is told once, and a day later neither told nor out of the band.
func TestNewNormalIsAcceptedWithinADay(t *testing.T) {
	t.Parallel()
	m := newModel(t, alone())
	shape := office(newRand(1), utc)
	shift := start().Add(day(15))
	value := func(at time.Time) float64 {
		v := shape(at)
		if !at.Before(shift) {
			v += 80
		}
		return v
	}
	const every = 5 * time.Minute
	life(m, start(), shift, every, value)
	first := life(m, shift, shift.Add(day(1)), every, value)
	later := life(m, shift.Add(day(1)), shift.Add(day(8)), every, value)
	if len(first) == 0 || first[0].Sub(shift) > time.Hour {
		t.Errorf("the new level was told at %v, want once within the hour of %v", first, shift)
	}
	if len(first) > 2 || len(later) > 1 {
		t.Errorf("the new level was told %d times on its first day and %d in the week after, want 2 and 1 at most", len(first), len(later))
	}
	out := 0
	end := shift.Add(day(8))
	for i := range 288 {
		at := end.Add(time.Duration(i) * every)
		x := value(at)
		if v := m.Observe(at.UnixMilli(), []float64{x}); x < v.Lower[0] || x > v.Upper[0] {
			out++
		}
	}
	if out > 288/20 {
		t.Errorf("%d of 288 points are out of the band a week after", out)
	}
}

// TestAnomalyOfHoursIsNotLearntInMinutes: the band doesn't take in a level that has been there for half an hour, and what was
// normal before is normal when it comes back.
func TestAnomalyOfHoursIsNotLearntInMinutes(t *testing.T) {
	t.Parallel()
	m := newModel(t, alone())
	shape := office(newRand(2), utc)
	from, length := start().Add(day(15)), 3*time.Hour
	value := func(at time.Time) float64 {
		v := shape(at)
		if !at.Before(from) && at.Before(from.Add(length)) {
			v += 120
		}
		return v
	}
	life(m, start(), from, time.Minute, value)
	strange := m.Observe(from.UnixMilli(), []float64{value(from)}).Score
	life(m, from.Add(time.Minute), from.Add(30*time.Minute), time.Minute, value)
	at := from.Add(30 * time.Minute)
	lasting := m.Observe(at.UnixMilli(), []float64{value(at)}).Score
	after := life(m, at.Add(time.Minute), from.Add(length).Add(day(2)), time.Minute, value)
	if len(after) > 1 {
		t.Errorf("%d more anomalies, of the end of one or of what was normal before: %v", len(after), after)
	}
	if lasting < strange/2 {
		t.Errorf("the score was %.2f and is %.2f after half an hour, want half of it: the anomaly was learnt", strange, lasting)
	}
}

// TestDaylightSavingIsNoStorm: the office comes an hour earlier by UTC from one day to the next, and later again.
func TestDaylightSavingIsNoStorm(t *testing.T) {
	t.Parallel()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	local := func(at time.Time) time.Time { return at.In(zone) }
	for _, change := range []time.Time{
		time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC), time.Date(2026, 10, 25, 1, 0, 0, 0, time.UTC),
	} {
		m := newModel(t, alone())
		value := office(newRand(3), local)
		life(m, change.Add(-day(21)), change, 5*time.Minute, value)
		began := life(m, change, change.Add(day(7)), 5*time.Minute, value)
		if len(began) > 1 {
			t.Errorf("%v: %d anomalies in the week after, want one at most: %v", change, len(began), began)
		}
	}
}

// TestStuckSensorIsTold: a value that has always varied stands still within its band, and one that often stands still says nothing.
func TestStuckSensorIsTold(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		value func(r *rand.Rand, at time.Time) float64
		stuck bool // on day 15, for 6 hours
		told  bool
	}{
		{"a load", func(r *rand.Rand, at time.Time) float64 { return office(r, utc)(at) }, true, true},
		{"noise alone", func(r *rand.Rand, at time.Time) float64 { return 20 + r.NormFloat64() }, true, true},
		{"a constant", func(r *rand.Rand, at time.Time) float64 { return 7 }, true, false},
		{"whole numbers that stay", func(r *rand.Rand, at time.Time) float64 {
			return float64(rand.New(rand.NewPCG(5, uint64(at.Unix()/7200))).IntN(4))
		}, false, false},
		{"sparse counts", func(r *rand.Rand, at time.Time) float64 {
			if r.Float64() < 0.01 {
				return float64(1 + r.IntN(3))
			}
			return 0
		}, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := newModel(t, alone())
			r := newRand(4)
			from := start().Add(day(15))
			held := 0.0
			value := func(at time.Time) float64 {
				if tt.stuck && !at.Before(from) && at.Before(from.Add(6*time.Hour)) {
					return held
				}
				held = tt.value(r, at)
				return held
			}
			life(m, start(), from, 5*time.Minute, value)
			began := life(m, from, from.Add(6*time.Hour), 5*time.Minute, value)
			if tt.told != (len(began) > 0) || len(began) > 1 {
				t.Errorf("anomalies began at %v, want one: %v", began, tt.told)
			}
		})
	}
}

// TestGapsAreNoNews: points are missing for a day, and now and then.
func TestGapsAreNoNews(t *testing.T) {
	t.Parallel()
	m := newModel(t, alone())
	shape, r := office(newRand(8), utc), newRand(9)
	gap := start().Add(day(15))
	value := func(at time.Time) float64 {
		if r.Float64() < 0.1 || !at.Before(gap) && at.Before(gap.Add(day(1.3))) {
			return math.NaN()
		}
		return shape(at)
	}
	life(m, start(), gap, 5*time.Minute, value)
	if began := life(m, gap, gap.Add(day(4)), 5*time.Minute, value); len(began) > 1 {
		t.Errorf("%d anomalies after a gap of a day: %v", len(began), began)
	}
}

// TestExtremesAreTakenInStride: many equal points, a dimension that never changes, numbers of every size.
func TestExtremesAreTakenInStride(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		points int
		value  func(i int) []float64
	}{
		{"equal points", 5000, func(int) []float64 { return []float64{5} }},
		{"a dimension that never changes", 1000, func(i int) []float64 { return []float64{math.Sin(float64(i)), 3} }},
		{"1e308 beside 1e-308", 1500, func(i int) []float64 { return []float64{[]float64{1e308, 1e-308, -1e308, 5e-324, 0}[i%5]} }},
		{"gaps of every kind", 1500, func(i int) []float64 {
			return []float64{[]float64{1, math.NaN(), math.Inf(1), math.Inf(-1)}[i%4], float64(i % 7)}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := newModel(t, plain(len(tt.value(0))))
			anomalies := 0
			for i := range tt.points {
				v := m.Observe(int64(i)*60_000, tt.value(i))
				if v == nil {
					continue
				}
				for _, n := range append([]float64{v.Score, v.Threshold, v.Grade}, v.Expected...) {
					if math.IsNaN(n) || math.IsInf(n, 0) {
						t.Fatalf("point %d: %+v", i, v)
					}
				}
				if v.Score < 0 || v.Grade < 0 {
					t.Fatalf("point %d: %+v", i, v)
				}
				if v.Change == Began {
					anomalies++
				}
			}
			if anomalies > 1 {
				t.Errorf("%d anomalies in what is always the same", anomalies)
			}
		})
	}
}

// FuzzModel restores models from bytes that were cut short or altered: an error, or a model that goes on with finite scores.
func FuzzModel(f *testing.F) {
	m := newModel(f, plain(1))
	for i := range 40 {
		m.Observe(int64(i)*60_000, []float64{math.Sin(float64(i))})
	}
	whole, err := m.MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	for _, at := range []int{0, 1, 100, len(whole) / 2, len(whole) - 1, len(whole)} {
		f.Add(whole[:at], uint16(at), byte(0))
	}
	for at := 0; at < len(whole); at += len(whole)/64 + 1 {
		f.Add(whole, uint16(at), byte(1<<(at%8)))
	}
	f.Fuzz(func(t *testing.T, data []byte, at uint16, flip byte) {
		altered := slices.Clone(data)
		if len(altered) > 0 {
			altered[int(at)%len(altered)] ^= flip
		}
		m := newModel(t, plain(1))
		if m.UnmarshalBinary(altered) != nil {
			return
		}
		for i := range 20 {
			v := m.Observe(int64(40+i)*60_000, []float64{float64(i % 3)})
			if v != nil && (!(v.Score >= 0) || math.IsInf(v.Score, 0)) {
				t.Fatalf("score %v", v.Score)
			}
		}
	})
}
