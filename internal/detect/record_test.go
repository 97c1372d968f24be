package detect

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestRecordsFallSilent: whatever the shape of the noise, first times become fewer as they are more of it on record.
func TestRecordsFallSilent(t *testing.T) {
	for name, draw := range map[string]func(r *rand.Rand) float64{
		"normal":      func(r *rand.Rand) float64 { return r.NormFloat64() },
		"exponential": func(r *rand.Rand) float64 { return r.ExpFloat64() },
		"lognormal":   func(r *rand.Rand) float64 { return math.Exp(r.NormFloat64()) },
		"Pareto":      func(r *rand.Rand) float64 { return math.Exp(r.ExpFloat64() / 2) },
		"rare ones":   func(r *rand.Rand) float64 { return math.Floor(r.ExpFloat64() / 2) },
	} {
		early, late := 0, 0
		for seed := range uint64(20) {
			r := newRand(seed)
			var rs records
			for i := range 16 * 288 {
				switch n := rs.novelty(expectation{}, int64(i)*300_000, draw(r)); {
				case n <= newsLeast:
				case i < 4*288: // days 1 to 4
					early++
				case i >= 12*288: // days 13 to 16
					late++
				}
			}
		}
		if late > early/4 {
			t.Errorf("%s: %d first times in the first four days, %d in four days after twelve", name, early, late)
		}
	}
}

// TestNewsIsWhatWasNeverThere feeds days with a spike of one size each, then a larger one, and a value that stands still.
func TestNewsIsWhatWasNeverThere(t *testing.T) {
	m := newModel(t, plain(1)) // it has to find the interval by itself
	r := newRand(3)
	begun := map[int]bool{}
	stood := 0.0
	for i := range 16 * 288 {
		x := 100 + r.NormFloat64()
		switch {
		case i == 14*288+100:
			x = 200
		case i > 15*288 && i <= 15*288+30:
			x = stood
		case i%288 == 100:
			x = 120
		}
		stood = x
		if v := m.Observe(1_700_000_000_000+int64(i)*300_000, []float64{x}); v.Change == Began {
			begun[i] = true
		}
	}
	spikes := 0
	for day := range 14 {
		if begun[day*288+100] {
			spikes++
		}
	}
	still := false
	for i := 15 * 288; i < 15*288+40; i++ {
		still = still || begun[i]
	}
	if spikes > 2 || !begun[14*288+100] || !still {
		t.Errorf("%d equal spikes of 14 told, want at most 2; the larger one told: %v; the stillness told: %v; all: %v", spikes, begun[14*288+100], still, begun)
	}
}

// TestNewsCountsForLessWhereItIsUsual: of a series that goes further every day, the tenth step is told as less than the first.
func TestNewsCountsForLessWhereItIsUsual(t *testing.T) {
	var n news
	var strengths []float64
	for day := range int64(10) {
		strength, fresh := n.judge(day*dayMs, 300_000_000_000, 1)
		n.heard(1, fresh)
		strengths = append(strengths, strength)
		if again, fresh := n.judge(day*dayMs+300_000, 300_000_000_000, 0.9); fresh {
			t.Errorf("day %d: news of %v five minutes after 1", day, again)
		}
	}
	if !(strengths[0] == 1 && strengths[9] < 0.65 && strengths[9] > 0.5) {
		t.Errorf("strengths %v", strengths)
	}
}
