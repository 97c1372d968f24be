package rcf

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var began = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func minute(i int) time.Time { return began.Add(time.Duration(i) * time.Minute) }

// waves feeds a forest of shingles of 8 with n minutes of two waves that move together.
func waves(t *testing.T, n int) (*Forest, func(i int) []float64) {
	t.Helper()
	f := newForest(t, 2, Config{Seed: 1, ShingleSize: 8, Interval: time.Minute})
	r := rand.New(rand.NewPCG(3, 1))
	wave := func(i int) []float64 {
		v := math.Sin(2 * math.Pi * float64(i) / 40)
		return []float64{v + 0.02*r.NormFloat64(), 3*v + 0.02*r.NormFloat64()}
	}
	for i := range n {
		if _, err := f.ScoreAndUpdateAt(minute(i), wave(i)); err != nil {
			t.Fatal(err)
		}
	}
	return f, wave
}

func TestLatePointChangesNothing(t *testing.T) {
	f, wave := waves(t, 100)
	before, _ := f.MarshalBinary()
	for _, at := range []int{99, 50} {
		if _, err := f.ScoreAndUpdateAt(minute(at), wave(at)); !errors.Is(err, ErrLate) {
			t.Errorf("minute %d: %v", at, err)
		}
	}
	var pe *PointError
	if _, err := f.ScoreAndUpdateAt(minute(103), []float64{math.Inf(1), 0}); !errors.As(err, &pe) {
		t.Errorf("infinite: %v", err)
	}
	after, _ := f.MarshalBinary()
	if string(after) != string(before) {
		t.Error("a point that was refused changed the forest")
	}
}

func TestMissingPointsAreImputed(t *testing.T) {
	f, wave := waves(t, 2000)
	usual := 0.0
	for i := 2000; i < 2040; i++ {
		s, _ := f.ScoreAndUpdateAt(minute(i), wave(i))
		usual = max(usual, s)
	}
	// Three minutes are missing; then one of the two waves is, for a minute. Neither is strange.
	for i := 2043; i < 2050; i++ {
		x := wave(i)
		if i == 2046 {
			x[1] = math.NaN()
		}
		s, err := f.ScoreAndUpdateAt(minute(i), x)
		if err != nil || s == 0 || s > usual*1.15 {
			t.Errorf("minute %d: score %v, usual %v, %v", i, s, usual, err)
		}
		if i == 2046 {
			if got, want := float64(f.recent[len(f.recent)-1]), wave(i)[1]; math.Abs(got-want) > 0.5 {
				t.Errorf("imputed %v, want about %v", got, want)
			}
		}
	}
	// After a gap that is longer than a shingle a new one begins.
	for i := range 8 {
		s, err := f.ScoreAndUpdateAt(minute(2100+i), wave(2100+i))
		if err != nil || (s > 0) != (i == 7) {
			t.Errorf("point %d after the gap: score %v, %v", i, s, err)
		}
	}
}

func TestMadeUpShinglesAreNotLearnt(t *testing.T) {
	f, wave := waves(t, 500)
	seen := f.Seen()
	if _, err := f.ScoreAndUpdateAt(minute(505), wave(505)); err != nil { // five of eight are made up
		t.Fatal(err)
	}
	if f.Seen() != seen {
		t.Error("a shingle of five made-up points in eight was learnt")
	}
	for i := 506; i < 512; i++ {
		if _, err := f.ScoreAndUpdateAt(minute(i), wave(i)); err != nil {
			t.Fatal(err)
		}
	}
	if got := f.Seen() - seen; got != 4 { // from minute 508 on four of eight are
		t.Errorf("%d learnt, want 4", got)
	}
}

func TestThePastFadesByTime(t *testing.T) {
	// After a long pause the sample turns over as fast as if the points between had come.
	share := func(pause int) float64 {
		f := newForest(t, 1, Config{Seed: 1, NumTrees: 200, NumSamplesPerTree: 64, Interval: time.Minute})
		for i := range 1000 {
			if _, err := f.ScoreAndUpdateAt(minute(i), []float64{float64(i)}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 64 {
			if _, err := f.ScoreAndUpdateAt(minute(1000+pause+i), []float64{float64(1000 + i)}); err != nil {
				t.Fatal(err)
			}
		}
		late := 0
		for id := range f.points.refs.len() {
			refs := f.points.refs.at(id)
			if refs > 0 && f.points.at(id)[0] >= 1000 {
				late += refs
			}
		}
		return float64(late) / (200 * 64)
	}
	if short, long := share(0), share(100_000); !(short < 0.2 && long > 0.99) {
		t.Errorf("share of the late points: %v without a pause, %v after one", short, long)
	}
}

func TestTimesOfAllKinds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newForest(t, 2, Config{NumTrees: 2, NumSamplesPerTree: 8, ShingleSize: rapid.IntRange(1, 5).Draw(rt, "shingle"), Interval: time.Second})
		for range 60 {
			at := time.UnixMicro(rapid.OneOf(rapid.Int64Range(0, 60e6), rapid.Int64()).Draw(rt, "at"))
			x := rapid.SliceOfN(rapid.OneOf(value(), rapid.Just(math.NaN())), 2, 2).Draw(rt, "x")
			s, err := f.ScoreAndUpdateAt(at, x)
			if err != nil && !errors.Is(err, ErrLate) || !(s >= 0) || math.IsInf(s, 0) {
				rt.Fatalf("score %v, %v", s, err)
			}
			if err := f.checkTrees(); err != nil {
				rt.Fatal(err)
			}
		}
	})
}

func TestPace(t *testing.T) {
	var p Pace
	at := began
	for range 200 {
		if got := p.Next(at); got != 0 {
			t.Fatalf("an even pace gives %v", got)
		}
		at = at.Add(time.Minute)
	}
	if got := p.Next(at.Add(time.Minute)); math.Abs(got-1) > 1e-9 {
		t.Errorf("twice the time gives %v", got)
	}
	if got := p.Next(began); got != -16 {
		t.Errorf("a late point gives %v", got)
	}
}
