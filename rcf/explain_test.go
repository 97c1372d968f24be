package rcf

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestDisplacementIsThatOfTheDefinition works it out over the trees that three points can make.
func TestDisplacementIsThatOfTheDefinition(t *testing.T) {
	// Points 0 and 1, x = 3: above the root with chance 2/3, where it displaces both; else beside the leaf 1, which it
	// displaces: 2/3 x 2 + 1/3 x 1. Collusively, in the second case {1, x} displaces one point, at 1/2 each: less than x alone.
	f := newForest(t, 1, Config{NumTrees: 10, NumSamplesPerTree: 8})
	feed(t, f, [][]float64{{0}, {1}})
	plain, collusive, err := f.Displacement([]float64{3})
	if err != nil {
		t.Fatal(err)
	}
	if want := 5. / 3; math.Abs(plain-want) > 1e-6 || math.Abs(collusive-want) > 1e-6 {
		t.Errorf("displacement %v, collusive %v, want %v", plain, collusive, want)
	}
	// A copy of 1 moves with it: together they displace 0, at 1/2 each.
	if plain, collusive, _ = f.Displacement([]float64{1}); plain != 0.5 || collusive != 0.5 {
		t.Errorf("of a copy: displacement %v, collusive %v, want 0.5", plain, collusive)
	}
}

func TestCollusiveDisplacementSeesAHandful(t *testing.T) {
	f := newForest(t, 2, Config{Seed: 1, TimeDecay: -1})
	feed(t, f, series(1, 250, 2))
	r := rand.New(rand.NewPCG(1, 1))
	odd := func() []float64 { return []float64{6 + 0.1*r.NormFloat64(), -6 + 0.1*r.NormFloat64()} }
	feed(t, f, [][]float64{odd(), odd(), odd(), odd()})
	plain, collusive, _ := f.Displacement(odd())
	if !(plain < 20 && collusive > 40) {
		t.Errorf("displacement %v, collusive %v", plain, collusive)
	}
}

func TestAnswersAreFinite(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dim := rapid.IntRange(1, 3).Draw(rt, "dim")
		f := newForest(t, dim, Config{NumTrees: 4, NumSamplesPerTree: 16, ShingleSize: rapid.IntRange(1, 3).Draw(rt, "shingle")})
		for _, p := range drawPoints(rt, dim) {
			plain, collusive, err := f.Displacement(p)
			if err != nil || !(plain >= 0 && collusive >= 0 && plain <= 16 && collusive <= 16) {
				rt.Fatalf("displacement %v, collusive %v, %v", plain, collusive, err)
			}
			density, err := f.Density(p, rapid.SampledFrom([]float64{0, 1, 2.5}).Draw(rt, "manifold"))
			if err != nil || !(density >= 0) || math.IsInf(density, 0) {
				rt.Fatalf("density %v, %v", density, err)
			}
			near, err := f.Neighbors(p, 3)
			if err != nil || len(near) > 3 || f.Ready() && len(near) == 0 {
				rt.Fatalf("neighbors %v, %v", near, err)
			}
			for i, n := range near {
				if !(n.Distance >= 0) || math.IsInf(n.Distance, 0) || n.Trees < 1 || i > 0 && n.Distance < near[i-1].Distance {
					rt.Fatalf("neighbors %v", near)
				}
			}
			ahead, err := f.Forecast(nil, 3, []float64{0.1, 0.9})
			if err != nil || len(ahead) != 2*3*dim {
				rt.Fatalf("forecast %v, %v", ahead, err)
			}
			for i := range 3 * dim {
				if f.Ready() && !(ahead[i] <= ahead[3*dim+i]) || f.Ready() == math.IsNaN(ahead[i]) {
					rt.Fatalf("forecast %v", ahead)
				}
			}
			if _, err := f.ScoreAndUpdate(p); err != nil {
				rt.Fatal(err)
			}
		}
	})
}

func TestDensityIsProportional(t *testing.T) {
	// Nine in ten points lie in [0,1], one in [1,2]: one place is nine times as dense as the other.
	r := rand.New(rand.NewPCG(2, 1))
	f := newForest(t, 1, Config{Seed: 2, TimeDecay: -1})
	for range 5000 {
		x := r.Float64()
		if r.IntN(10) == 0 {
			x++
		}
		feed(t, f, [][]float64{{x}})
	}
	mean := func(from float64) float64 {
		sum := 0.0
		for i := range 50 {
			d, _ := f.Density([]float64{from + 0.25 + float64(i)/100}, 1)
			sum += d / 50
		}
		return sum
	}
	if ratio := mean(0) / mean(1); !(ratio > 6 && ratio < 13) {
		t.Errorf("nine times the density is estimated as %v times", ratio)
	}
}

func TestNeighborsAreNear(t *testing.T) {
	points := series(4, 2000, 2)
	f := newForest(t, 2, Config{Seed: 1})
	feed(t, f, points)
	x := []float64{0.4, -0.2}
	near, err := f.Neighbors(x, 5)
	if err != nil || len(near) != 5 {
		t.Fatalf("%v, %v", near, err)
	}
	var all []float64
	for id := range f.points.refs.len() {
		refs := f.points.refs.at(id)
		if refs > 0 {
			q := f.points.at(id)
			all = append(all, math.Abs(float64(q[0])-x[0])+math.Abs(float64(q[1])-x[1]))
		}
	}
	slices.Sort(all)
	if near[0].Distance > all[3] || near[4].Distance > all[20] {
		t.Errorf("distances %v, of all %v", near, all[:20])
	}
}

func TestForecastFollowsTheWave(t *testing.T) {
	const period = 40
	f := newForest(t, 1, Config{Seed: 1, ShingleSize: 12})
	r := rand.New(rand.NewPCG(3, 1))
	wave := func(i int) float64 { return math.Sin(2 * math.Pi * float64(i) / period) }
	const n = 2000
	for i := range n {
		feed(t, f, [][]float64{{wave(i) + 0.05*r.NormFloat64()}})
	}
	got, err := f.Forecast(nil, period, []float64{0.1, 0.5, 0.9})
	if err != nil {
		t.Fatal(err)
	}
	sum, inside := 0.0, 0
	for h := range period {
		want := wave(n + h)
		sum += (got[period+h] - want) * (got[period+h] - want) / period
		if got[h] <= want && want <= got[2*period+h] {
			inside++
		}
	}
	if rmse := math.Sqrt(sum); rmse > 0.1 || inside < period*6/10 {
		t.Errorf("root mean square error %v, %d of %d within the band", rmse, inside, period)
	}
}
