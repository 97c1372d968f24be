package rcf

import (
	"fmt"
	"math"
	"slices"
)

// Forecast continues the series for horizon points by imputing what would come next in the shingle, again and again. Each
// tree goes its own way, from the point in its sample that began most like it; quantiles are taken over the trees. It needs
// a shingle that is long enough to tell where in its pattern the series is. Nothing is learnt.
//
//	levels: (Q,) in [0,1], ascending    result: (Q, horizon, Dim) row-major, in the units of the points; rows never cross
//
// The result is dst, grown where needed. Before the forest is ready it is NaN.
func (f *Forest) Forecast(dst []float64, horizon int, levels []float64) ([]float64, error) {
	if horizon < 1 || horizon > maxHorizon {
		return nil, fmt.Errorf("%w: a horizon of %d points; 1 to %d", ErrRange, horizon, maxHorizon)
	}
	n := horizon * f.dim
	dst = slices.Grow(dst[:0], n*len(levels))[:n*len(levels)]
	if !f.Ready() {
		for i := range dst {
			dst[i] = math.NaN()
		}
		return dst, nil
	}
	unknown := make([]bool, f.width)
	for d := f.width - f.dim; d < f.width; d++ {
		unknown[d] = true
	}
	paths := make([]float64, len(f.trees)*n) // (horizon, dim, trees)
	shingle := make([]float32, f.width)
	for t := range f.trees {
		copy(shingle, f.recent)
		for h := range horizon {
			copy(shingle, shingle[f.dim:])
			next := f.points.at(f.nearest(shingle, t, unknown))[f.width-f.dim:]
			copy(shingle[f.width-f.dim:], next)
			for d, v := range next {
				paths[(h*f.dim+d)*len(f.trees)+t] = float64(v)
			}
		}
	}
	for i := range n {
		column := paths[i*len(f.trees):][:len(f.trees)]
		slices.Sort(column)
		for q, l := range levels {
			dst[q*n+i] = quantile(column, l)
		}
	}
	return dst, nil
}

const maxHorizon = 10_000
