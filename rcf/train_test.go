package rcf

import (
	"bytes"
	"errors"
	"iter"
	"math"
	"runtime"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func rowsOf(points [][]float64) iter.Seq2[[]float64, error] {
	return func(yield func([]float64, error) bool) {
		row := make([]float64, 0, 16)
		for _, p := range points {
			if !yield(append(row[:0], p...), nil) {
				return
			}
		}
	}
}

func TestTrainedTreesAreConsistent(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dim := rapid.IntRange(1, 3).Draw(rt, "dim")
		c := Config{NumTrees: 3, NumSamplesPerTree: rapid.IntRange(2, 40).Draw(rt, "samples")}
		f, err := Train(dim, c, rowsOf(drawPoints(rt, dim)))
		if err != nil {
			rt.Fatal(err)
		}
		if err := f.checkTrees(); err != nil {
			rt.Fatal(err)
		}
		for _, p := range drawPoints(rt, dim) { // a forest that was trained may go on
			if s, err := f.ScoreAndUpdate(p); err != nil || !(s >= 0) || math.IsInf(s, 0) {
				rt.Fatalf("score %v, %v", s, err)
			}
		}
		if err := f.checkTrees(); err != nil {
			rt.Fatal(err)
		}
	})
}

// TestTrainScoresAsStreamDoes: built at once or grown point by point, a tree has the same distribution.
func TestTrainScoresAsStreamDoes(t *testing.T) {
	points := series(3, 200, 2)
	c := Config{NumTrees: 1000, NumSamplesPerTree: 256, TimeDecay: -1}
	grown := newForest(t, 2, c)
	feed(t, grown, points)
	built, err := Train(2, c, rowsOf(points))
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range [][]float64{{0, 0}, {2, 0.5}, {-1, 1}, points[7]} {
		a, _ := grown.Score(x)
		b, _ := built.Score(x)
		if math.Abs(a-b) > 0.06*a { // three standard errors
			t.Errorf("%v: grown %v, built %v", x, a, b)
		}
	}
}

func TestTrainSamplesEvenly(t *testing.T) {
	// 50 of 1000 rows in each of 1000 trees: a fifth of the rows holds a fifth of the samples, whatever their place.
	points := make([][]float64, 1000)
	for i := range points {
		points[i] = []float64{float64(i)}
	}
	f, err := Train(1, Config{NumTrees: 1000, NumSamplesPerTree: 50}, rowsOf(points))
	if err != nil {
		t.Fatal(err)
	}
	var fifth [5]int
	for id := range f.points.refs.len() {
		refs := f.points.refs.at(id)
		fifth[int(f.points.at(id)[0])/200] += refs
	}
	for i, n := range fifth {
		if math.Abs(float64(n)-10000) > 400 { // four standard deviations
			t.Errorf("fifth %d of the rows holds %d of 50000 places", i, n)
		}
	}
}

func TestTrainOnTenThousandDimensions(t *testing.T) {
	const dim = 10_000
	points := series(1, 40, dim)
	f, err := Train(dim, Config{NumTrees: 50, NumSamplesPerTree: 32}, rowsOf(points))
	if err != nil {
		t.Fatal(err)
	}
	odd := slices.Clone(points[3])
	for d := range odd {
		odd[d] += 3
	}
	usual, _ := f.Score(points[3])
	strange, _ := f.Score(odd)
	if !(strange > 2*usual) {
		t.Errorf("usual %v, strange %v", usual, strange)
	}
}

func TestTrainNamesTheRow(t *testing.T) {
	broken := errors.New("broken pipe")
	_, err := Train(1, Config{}, func(yield func([]float64, error) bool) {
		_ = yield([]float64{1}, nil) && yield(nil, broken)
	})
	if !errors.Is(err, broken) || err.Error() != "row 2: broken pipe" {
		t.Errorf("error %v", err)
	}
	_, err = Train(1, Config{}, rowsOf([][]float64{{1}, {2}, {math.NaN()}}))
	if pe, ok := errors.AsType[*PointError](err); !ok || pe.Dim != 0 {
		t.Errorf("error %v", err)
	}
	if _, err = Train(1, Config{ShingleSize: 4}, rowsOf([][]float64{{1}, {2}})); !errors.Is(err, ErrTooFew) {
		t.Errorf("error %v", err)
	}
}

func TestTrainIsTheSameOnAnyNumberOfProcessors(t *testing.T) {
	points := series(2, 3000, 3)
	var want []byte
	for _, procs := range []int{1, 2, 7} {
		old := runtime.GOMAXPROCS(procs)
		f, err := Train(3, Config{NumTrees: 20, Seed: 5}, rowsOf(points))
		runtime.GOMAXPROCS(old)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := f.MarshalBinary()
		if want == nil {
			want = got
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%d processors grow another forest than one", procs)
		}
	}
}

func TestScoresAtOnceAreTheSame(t *testing.T) {
	f := newForest(t, 2, Config{Seed: 1, NumTrees: 20})
	points := series(1, 600, 2)
	feed(t, f, points)
	want := make([]float64, len(points))
	for i, p := range points {
		want[i], _ = f.Score(p)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i, p := range points {
				if got, err := f.Score(p); got != want[i] || err != nil {
					t.Errorf("point %d: %v, %v, want %v", i, got, err, want[i])
				}
			}
		})
	}
	wg.Wait()
}
