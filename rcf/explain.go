package rcf

import (
	"fmt"
	"math"
	"slices"
)

// Attribute adds up, for each of the dim coordinates, how much of the score of x comes from its being too high and too low:
// high[d] and low[d] over all d sum to Score(x), up to rounding. Within a shingle the shares of one coordinate's moments are
// added together. Nothing is learnt. high and low hold dim values and are overwritten.
//
// The share of a cut in the score goes to the coordinates by which x lies outside the box there, in proportion.
func (f *Forest) Attribute(high, low, x []float64) error {
	if len(high) != f.dim || len(low) != f.dim {
		return fmt.Errorf("%w: attribution of %d and %d values for %d dimensions", ErrRange, len(high), len(low), f.dim)
	}
	clear(high)
	clear(low)
	if err := f.enter(x); err != nil {
		return err
	}
	if len(f.recent)+f.dim < f.width {
		return nil
	}
	for t := range f.trees {
		f.attribute(t, high, low)
	}
	n := float64(len(f.trees))
	for d := range high {
		high[d] /= n
		low[d] /= n
	}
	return nil
}

// attribute adds tree t's shares to high and low. On the way up all that was gathered below shrinks by the chance that a cut
// here parts first, which comes to a weight a level: so the levels are gathered first and weighted from the top.
func (f *Forest) attribute(t int, high, low []float64) {
	tr := &f.trees[t]
	if tr.size == 0 {
		return
	}
	nodes := f.nodes[t*f.samples : (t+1)*f.samples]
	boxOf := f.boxOf[t*f.samples : (t+1)*f.samples]
	rest := math.Log2(float64(tr.size) + 1)
	c := tr.root
	for depth := 0; ; depth++ {
		lo, hi := f.lo, f.hi
		leaf := c < 0 || nodes[c].dim == equal
		switch {
		case leaf:
			q := f.points.at(anyPoint(nodes, c))
			lo, hi = q, q
		case boxOf[c] >= 0:
			lo, hi = f.boxes.at(boxOf[c])
		default:
			f.boundingBox(nodes, boxOf, c, lo, hi)
		}
		out, extent := parting(f.p, lo, hi, f.weights)
		if out > 0 {
			chance := float64(out / extent)
			unit := rest * chance * f.inv[depth] / float64(out)
			for d, v := range f.p {
				if v < lo[d] {
					low[d%f.dim] += unit * float64(f.weights[d]*(lo[d]-v))
				} else if v > hi[d] {
					high[d%f.dim] += unit * float64(f.weights[d]*(v-hi[d]))
				}
			}
			rest *= 1 - chance
		}
		if leaf {
			if out == 0 { // a copy of what is known: strange in no direction, so evenly
				even := rest * seen(depth, int(massOf(nodes, c)), int(tr.size)) / float64(2*f.dim)
				for d := range high {
					high[d] += even
					low[d] += even
				}
			}
			return
		}
		if n := &nodes[c]; f.p[n.dim] <= n.cut {
			c = n.left
		} else {
			c = n.right
		}
	}
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
	if err := f.enter(known); err != nil {
		return dst, err
	}
	if !f.Ready() {
		for i := range dst {
			dst[i] = math.NaN()
		}
		return dst, nil
	}
	nearest := make([]int32, len(f.trees))
	for t := range f.trees {
		nearest[t] = f.nearest(t, unknown)
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

// nearest returns the point of tree t that is nearest to f.p in the coordinates that are not unknown.
func (f *Forest) nearest(t int, unknown []bool) int32 {
	nodes := f.nodes[t*f.samples : (t+1)*f.samples]
	best, least := int32(-1), math.Inf(1)
	stack := append(f.stack[:0], f.trees[t].root)
	for len(stack) > 0 {
		c := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for c >= 0 && nodes[c].dim != equal {
			n := &nodes[c]
			switch {
			case unknown[n.dim]:
				stack = append(stack, n.right)
				c = n.left
			case f.p[n.dim] <= n.cut:
				c = n.left
			default:
				c = n.right
			}
		}
		id := anyPoint(nodes, c)
		distance := 0.0
		for d, v := range f.points.at(id) {
			if !unknown[d] {
				distance += float64(f.weights[d]) * math.Abs(float64(v)-float64(f.p[d]))
			}
		}
		if distance < least {
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
