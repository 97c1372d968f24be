package detect

import (
	"math"
	"os"
	"testing"

	"pgregory.net/rapid"

	"homeostat/internal/detect/evaluate"
)

// TestMagnitudesRankAsTheirPointsDo compares with a count over all points, for numbers of any size and order.
func TestMagnitudesRankAsTheirPointsDo(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newMagnitudes(1)
		size := rapid.SampledFrom([]float64{1e-200, 1e-9, 1, 1e9, 1e200}).Draw(rt, "size")
		value := rapid.OneOf(rapid.Just(0.0), rapid.Float64Range(1, 1e6))
		seen := rapid.SliceOfN(value, 1, 60).Draw(rt, "seen")
		for _, v := range seen {
			m.add(size * v)
		}
		v := value.Draw(rt, "v")
		const apart = 1.13 // a bin's width: within it ranks are shared out
		least, most := 0.0, 0.0
		low, high := 0.0, 0.0
		for _, s := range seen {
			if s >= v*apart {
				least++
			}
			if s >= v/apart {
				most++
			}
			if s <= v/apart {
				low++
			}
			if s <= v*apart {
				high++
			}
		}
		n := float64(len(seen)) + 1
		below, above := m.ranks(size * v)
		const rounding = 1e-2 // of decay and float32
		if above > -math.Log((least+1)/n)+rounding || above < -math.Log((most+1)/n)-rounding {
			rt.Fatalf("%v of %v: above %v, want -ln of %v to %v of %v", v, seen, above, least+1, most+1, n)
		}
		if below > -math.Log((low+1)/n)+rounding || below < -math.Log((high+1)/n)-rounding {
			rt.Fatalf("%v of %v: below %v, want -ln of %v to %v of %v", v, seen, below, low+1, high+1, n)
		}
	})
}

// precision returns the mean average precision of the dense score over short series with faults in them.
func precision(t *testing.T, n int, c ModelConfig) float64 {
	sum, scored := 0.0, 0
	for _, s := range evaluate.Generate(77, n) {
		if len(s.Faults) == 0 || len(s.Values) > 1500 {
			continue
		}
		m := newModel(t, c)
		scores := make([]float64, len(s.Values))
		for i, x := range s.Values {
			scores[i] = m.Observe(s.Times[i], []float64{x}).Score
		}
		sum += evaluate.AveragePrecision(scores, s.Truth())
		scored++
	}
	return sum / float64(scored)
}

// TestScoreRanksFaultsFirst holds the dense score to what it reached on made series when it was last worked on, and the small
// model to what it may lose.
func TestScoreRanksFaultsFirst(t *testing.T) {
	t.Parallel()
	c := plain(1)
	c.Small = true
	if os.Getenv("HOMEOSTAT_SOAK") == "" {
		if small := precision(t, 40, c); small < 0.35 {
			t.Errorf("average precision %.3f, want 0.35", small)
		}
		return
	}
	full, small := precision(t, 144, plain(1)), precision(t, 144, c)
	t.Logf("average precision: full %.3f, small %.3f", full, small)
	if full < 0.39 {
		t.Errorf("average precision %.3f, want 0.39", full)
	}
	if small < full-0.02 {
		t.Errorf("a small model has %.3f and the full one %.3f, want no more than 0.02 less", small, full)
	}
}
