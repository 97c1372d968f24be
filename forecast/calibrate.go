package forecast

import (
	"cmp"
	"math"
	"slices"
)

const (
	agedBy   = 0.4 // what an end says of the band, beside the end after it: how far a series can be foretold changes with time
	unmoved  = 4.0 // values' worth of trust in the band as it is
	hopeless = 1e6 // what a band without width is taken to need
)

// calibrate finds the factor on the band that would have held the share of held-out values that it claims.
func (c *chooser) calibrate() {
	c.factor = 1
	lo, hi := -1, -1
	for q, p := range c.levels {
		if p < 0.5 && lo < 0 {
			lo = q
		}
		if p > 0.5 {
			hi = q
		}
	}
	if lo < 0 || hi < 0 {
		return
	}
	var all []weighted
	sum, squares, most := 0.0, 0.0, 0
	for w := range c.windows {
		need := c.needed(w, lo, hi)
		if len(need) == 0 {
			continue
		}
		age := math.Pow(agedBy, float64(w))
		sum, squares, most = sum+age, squares+age*age, max(most, len(need))
		for _, v := range need {
			all = append(all, weighted{v, age / float64(len(need))})
		}
	}
	if len(all) == 0 {
		return
	}
	// The steps of one end of a series go together: it is worth about one value. Of n values the k-th smallest is expected to have
	// k/(n+1) below it.
	n := sum * sum / squares * float64(most) / float64(c.h)
	claimed := c.levels[hi] - c.levels[lo]
	f := weightedQuantile(all, min((claimed*(n+1)-0.5)/n, 0.97))
	c.factor = min(max(math.Pow(max(f, 0.05), n/(n+unmoved)), 0.5), 3)
}

// needed returns by what the band must be multiplied so as to hold each value of the end number w, of all series.
func (c *chooser) needed(w, lo, hi int) []float64 {
	var need []float64
	for i := range c.trials {
		t := &c.trials[i]
		if w >= len(t.windows) {
			continue
		}
		f := combine(t.windows[w].forecasts, c.without(t, w))
		if f == nil {
			continue
		}
		median := f.at(0.5)
		for s, y := range t.windows[w].actual {
			width := f.Quantiles[hi][s] - median[s]
			if y < median[s] {
				width = median[s] - f.Quantiles[lo][s]
			}
			switch off := math.Abs(y - median[s]); {
			case math.IsNaN(y):
			case off == 0:
				need = append(need, 0)
			default:
				need = append(need, min(off/width, hopeless))
			}
		}
	}
	return need
}

// weighted is a value that counts for so much.
type weighted struct{ value, weight float64 }

// weightedQuantile is [quantile] of values that don't count alike. It sorts them; there must be one.
func weightedQuantile(v []weighted, p float64) float64 {
	slices.SortFunc(v, func(a, b weighted) int { return cmp.Compare(a.value, b.value) })
	total := 0.0
	for _, x := range v {
		total += x.weight
	}
	last, at, below := v[0].value, 0.0, 0.0 // at is the share below the middle of a value
	for _, x := range v {
		next := (below + x.weight/2) / total
		if p <= next {
			w := (p - at) / (next - at)
			return last*(1-w) + x.value*w
		}
		last, at, below = x.value, next, below+x.weight
	}
	return last
}
