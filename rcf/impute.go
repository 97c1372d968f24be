package rcf

import (
	"fmt"
	"math"
	"slices"
)

// Impute sets the coordinates of x that missing names to what the forest would expect there: the median that
// [Forest.Conditional] gives. Before the forest is ready it is NaN.
func (f *Forest) Impute(x []float64, missing []int) error {
	likely, err := f.Conditional(nil, x, missing, []float64{0.5})
	if err != nil {
		return err
	}
	for i, d := range missing {
		x[d] = likely[i]
	}
	return nil
}

// Conditional returns what the forest would expect in place of the coordinates of x that missing names, given the others and
// the points before: row q, column i of the result is the quantile levels[q], over the trees, of coordinate missing[i]. In
// each tree the nearest point to the known coordinates, among those that no cut in a known coordinate sets apart, speaks for
// it. The values of x at missing are not read. Nothing is learnt, and the result is dst, grown where needed.
//
//	levels: (Q,) in [0,1], ascending    result: (Q, len(missing)) row-major, in the units of x; rows never cross
//
// Before the forest is ready the result is NaN.
func (f *Forest) Conditional(dst []float64, x []float64, missing []int, levels []float64) ([]float64, error) {
	dst = slices.Grow(dst[:0], len(missing)*len(levels))[:len(missing)*len(levels)]
	if len(x) != f.dim {
		return dst, fmt.Errorf("%w: a point of %d values for %d dimensions", ErrRange, len(x), f.dim)
	}
	known := make([]float64, f.dim)
	copy(known, x)
	unknown := make([]bool, f.width)
	for _, m := range missing {
		if m < 0 || m >= f.dim {
			return dst, fmt.Errorf("%w: missing coordinate %d of %d dimensions", ErrRange, m, f.dim)
		}
		known[m] = 0
		unknown[f.width-f.dim+m] = true
	}
	var s scratch
	p, err := f.enter(&s, known)
	if err != nil {
		return dst, err
	}
	if !f.Ready() {
		for i := range dst {
			dst[i] = math.NaN()
		}
		return dst, nil
	}
	nearest := make([]int, len(f.trees))
	for t := range f.trees {
		nearest[t] = f.nearest(p, t, unknown)
	}
	column := make([]float64, len(nearest))
	for i, m := range missing {
		for t, id := range nearest {
			column[t] = float64(f.points.at(id)[f.width-f.dim+m])
		}
		slices.Sort(column)
		for q, l := range levels {
			dst[q*len(missing)+i] = quantile(column, l)
		}
	}
	return dst, nil
}

// nearest returns the point of tree t that is nearest to p in the coordinates that are not unknown, among those that no cut
// in a known one sets apart.
func (f *Forest) nearest(p []float32, t int, unknown []bool) int {
	base := t * f.stride
	best, least := -1, math.Inf(1)
	stack := []ref{ref(f.trees[t].root)}
	for len(stack) > 0 {
		c := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for !c.leaf() && !f.nodes[base+c.id()].equal() {
			n := f.nodes[base+c.id()]
			switch dim := f.dimOf(base, c.id()); {
			case unknown[dim]:
				stack = append(stack, n.right())
				c = n.left()
			case p[dim] <= n.cut:
				c = n.left()
			default:
				c = n.right()
			}
		}
		id := f.pointOf(base, c)
		if distance := f.distance(p, f.points.at(id), unknown); best < 0 || distance < least {
			best, least = id, distance
		}
	}
	return best
}

// quantile returns the value below which a share l of the sorted values lies, by linear interpolation.
func quantile(sorted []float64, l float64) float64 {
	at := min(max(l, 0), 1) * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}
