package forecast

import "math"

// seasonal says whether y has a season of m steps: whether its autocorrelation there is beyond what chance gives, at 90 %, as
// the theta method's authors test it.
func seasonal(y []float64, m int) bool {
	if m < 2 || len(y) < 3*m {
		return false
	}
	mu := mean(y)
	var c0 float64
	for _, v := range y {
		c0 += (v - mu) * (v - mu)
	}
	if c0 == 0 {
		return false
	}
	acf := func(lag int) float64 {
		var c float64
		for t := lag; t < len(y); t++ {
			c += (y[t] - mu) * (y[t-lag] - mu)
		}
		return c / c0
	}
	sum := 0.0
	for lag := 1; lag < m; lag++ {
		r := acf(lag)
		sum += r * r
	}
	limit := 1.645 * math.Sqrt((1+2*sum)/float64(len(y)))
	return math.Abs(acf(m)) > limit
}

// decomposition is what classical decomposition by moving averages leaves: one index a phase.
type decomposition struct {
	index          []float64 // (m,) of phase t % m
	multiplicative bool
}

// decompose takes the season of m steps out of y, multiplicative where all of y is well above 0.
func decompose(y []float64, m int) decomposition {
	mu := mean(y)
	multiplicative := mu > 0
	for _, v := range y {
		if v <= 0.01*mu { // a ratio to something near 0 says nothing
			multiplicative = false
			break
		}
	}
	return decomposeAs(y, m, multiplicative)
}

// decomposeAs is decompose with the form given. y has two seasons and more.
func decomposeAs(y []float64, m int, multiplicative bool) decomposition {
	d := decomposition{index: make([]float64, m), multiplicative: multiplicative}
	sums, counts := make([]float64, m), make([]float64, m)
	half := m / 2
	upTo := make([]float64, len(y)+1) // sums of what is before
	for t, v := range y {
		upTo[t+1] = upTo[t] + v
	}
	for t := half; t+half < len(y); t++ {
		trend := upTo[t+half+1] - upTo[t-half]
		if m%2 == 0 { // the two ends count half each
			trend -= (y[t-half] + y[t+half]) / 2
		}
		trend /= float64(m)
		if d.multiplicative {
			sums[t%m] += y[t] / trend
		} else {
			sums[t%m] += y[t] - trend
		}
		counts[t%m]++
	}
	for i := range d.index {
		d.index[i] = sums[i] / counts[i]
	}
	centre := mean(d.index)
	for i := range d.index {
		if d.multiplicative {
			d.index[i] /= centre
		} else {
			d.index[i] -= centre
		}
	}
	return d
}

// without returns y with the season taken out.
func (d decomposition) without(y []float64) []float64 {
	out := make([]float64, len(y))
	for t, v := range y {
		out[t] = d.remove(t, v)
	}
	return out
}

func (d decomposition) remove(t int, v float64) float64 {
	switch {
	case len(d.index) == 0:
		return v
	case d.multiplicative:
		return v / d.index[t%len(d.index)]
	}
	return v - d.index[t%len(d.index)]
}

func (d decomposition) add(t int, v float64) float64 {
	switch {
	case len(d.index) == 0:
		return v
	case d.multiplicative:
		return v * d.index[t%len(d.index)]
	}
	return v + d.index[t%len(d.index)]
}
