package ipinsights

import (
	"math"
	"math/rand/v2"
	"slices"
)

// AUC returns how well the model tells the pairs from made-up ones: the chance that a pair scores higher than one with an
// address drawn at random, or with that of another of the pairs, half of them each. It is SageMaker's
// validation:discriminator_auc; NaN without pairs.
func (m *Model) AUC(pairs []Pair, seed uint64) float64 {
	if len(pairs) == 0 {
		return math.NaN()
	}
	r := rand.NewPCG(seed, 0x617563)
	type scored struct {
		s    float64
		real bool
	}
	all := make([]scored, 0, 2*len(pairs))
	for i, p := range pairs {
		made := Pair{p.Entity, drawn(r, p.IP)}
		if i%2 == 1 {
			made.IP = pairs[(i+1+int(r.Uint64()%uint64(len(pairs))))%len(pairs)].IP
		}
		all = append(all, scored{m.Score(p.Entity, p.IP), true}, scored{m.Score(made.Entity, made.IP), false})
	}
	slices.SortFunc(all, func(a, b scored) int {
		switch {
		case a.s < b.s:
			return -1
		case a.s > b.s:
			return 1
		}
		return 0
	})
	// Ranks, those of equals shared.
	var sum float64
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j].s == all[i].s {
			j++
		}
		rank := float64(i+j+1) / 2
		for ; i < j; i++ {
			if all[i].real {
				sum += rank
			}
		}
	}
	n := float64(len(pairs))
	return (sum - n*(n+1)/2) / (n * n)
}
