package outlook

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// normal is a fan of a normal distribution, the same at each step.
func normal(mean, sigma float64) [][]float64 {
	fan := make([][]float64, len(levels))
	for l, z := range []float64{-2.0537, -1.2816, -0.5244, 0, 0.5244, 1.2816, 2.0537} {
		fan[l] = slices.Repeat([]float64{mean + z*sigma}, horizon)
	}
	return fan
}

// TestChanceOfFiveTogether draws from the forecast itself: a score of s comes once in 10^s minutes, or less often.
func TestChanceOfFiveTogether(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	tr := newTrack(0)
	const minutes = 400_000
	above := map[float64]int{}
	for k := range int64(minutes) {
		if k%every == 0 {
			tr.From, tr.Fan = k, normal(100, 20)
		}
		tr.judge(Requests, k, 100+20*rng.NormFloat64())
		for _, s := range []float64{1, 2, 3} {
			if tr.score() >= s {
				above[s]++
			}
		}
	}
	for s, n := range above {
		// Tails are exponential here, and thinner of a normal distribution: less often is right, more often is not.
		if rate, want := float64(n)/minutes, math.Pow(10, -s); rate > 1.6*want || rate < want/6 {
			t.Errorf("a score of %v or more: %.5f of minutes, want about %.5f", s, rate, want)
		}
	}
	// What is steady may move by what is nobody's trouble.
	tr.Strange = nil
	for k := range int64(5) {
		tr.From, tr.Fan = minutes, normal(100, 1e-6)
		tr.judge(Requests, minutes+k, 104)
	}
	if tr.score() > 0.1 {
		t.Errorf("four per cent beside what was steady score %.1f", tr.score())
	}
	// No single minute makes an anomaly, however far away.
	tr.Strange = nil
	tr.From, tr.Fan = minutes, normal(100, 20)
	for k := range int64(4) {
		tr.judge(Requests, minutes+k, 100)
	}
	tr.judge(Requests, minutes+4, 1e9)
	if tr.score() >= begins {
		t.Errorf("one minute alone scores %.1f", tr.score())
	}
	for k := range int64(4) {
		tr.From, tr.Fan = minutes+5, normal(100, 20)
		tr.judge(Requests, minutes+5+k, 172)
	}
	if tr.score() < begins {
		t.Errorf("several minutes in a row, none of them impossible, score %.1f", tr.score())
	}
}

// TestBandIsRecalibrated: forecasts whose band is too narrow or too wide by half come to hold 77 to 83 %, near and far.
func TestBandIsRecalibrated(t *testing.T) {
	for _, said := range []float64{0.5, 1, 2} { // of the true width
		rng := rand.New(rand.NewPCG(7, 8))
		tr := newTrack(0)
		near, far, n := 0, 0, 0
		hourAgo := [][]float64(nil)
		const warm, minutes = 6000, 20000
		for k := range int64(minutes) {
			if k%every == 0 {
				tr.foretell(k, normal(100, 5*said), "test")
			}
			if k%horizon == 0 {
				hourAgo = tr.Fan
			}
			v := 100 + 5*rng.NormFloat64()
			tr.judge(Requests, k, v)
			if s := k % horizon; k > warm && s >= every {
				n++
				if lower, _, upper := tr.band(k); v >= lower && v <= upper {
					near++
				}
				if v >= hourAgo[bottom][s] && v <= hourAgo[top][s] {
					far++
				}
			}
		}
		for name, in := range map[string]int{"near": near, "far": far} {
			if share := float64(in) / float64(n); share < leastCovered || share > mostCovered {
				t.Errorf("a band of %v its width, %s: holds %.3f", said, name, share)
			}
		}
	}
}
