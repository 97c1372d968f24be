package rcf

import (
	"fmt"
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
	var s scratch
	p, err := f.enter(&s, x)
	if err != nil || !f.full() {
		return err
	}
	for t := range f.trees {
		f.attribute(&s, p, t, high, low)
	}
	n := float64(len(f.trees))
	for d := range high {
		high[d] /= n
		low[d] /= n
	}
	return nil
}

// attribute adds tree t's shares to high and low. On the way up all that was gathered below shrinks by the chance that a cut
// here parts first, which comes to a weight a level: so the levels are taken from the top.
func (f *Forest) attribute(s *scratch, p []float32, t int, high, low []float64) {
	size := int(f.trees[t].size)
	rest := newNorm(size)
	f.walk(s, p, t, func(l *level) bool {
		if l.out > 0 {
			chance := float64(l.out / l.extent)
			unit := rest * chance / float64(l.depth+1) / float64(l.out)
			for d, v := range p {
				if v < l.lo[d] {
					low[d%f.dim] += unit * float64(f.weights[d]*(l.lo[d]-v))
				} else if v > l.hi[d] {
					high[d%f.dim] += unit * float64(f.weights[d]*(v-l.hi[d]))
				}
			}
			rest *= 1 - chance
		} else if l.leaf { // a copy of what is known: strange in no direction, so evenly
			even := rest * seen(l.depth, l.mass, size) / float64(2*f.dim)
			for d := range high {
				high[d] += even
				low[d] += even
			}
		}
		return true
	})
}

// level is one node on the way from the root to where a point belongs.
type level struct {
	depth  int
	mass   int // points at or below
	beside int // points below the sibling; 0 at the root
	leaf   bool
	ref    ref
	lo, hi []float32
	// By how much the point lies outside the box, and the extent of the box with it. Their ratio is the chance that a random
	// cut of the two parts them.
	out, extent float32
}

// walk goes down tree t for p and calls see at each level, until that returns false. It is not for the hot path.
func (f *Forest) walk(s *scratch, p []float32, t int, see func(*level) bool) {
	if f.trees[t].size == 0 {
		return
	}
	base := t * f.stride
	c := ref(f.trees[t].root)
	l := level{}
	for {
		l.ref, l.mass = c, f.massOf(base, c)
		l.leaf = c.leaf() || f.nodes[base+c.id()].equal()
		if b := f.boxOf(base, c); b >= 0 {
			l.lo, l.hi = f.boxes.at(b)
		} else {
			l.lo, l.hi = s.corners(f.width)
			f.startBox(base, c, l.lo, l.hi)
		}
		l.out, l.extent = parting(p, l.lo, l.hi, f.weights)
		if !see(&l) || l.leaf {
			return
		}
		n := f.nodes[base+c.id()]
		if p[f.dimOf(base, c.id())] <= n.cut {
			c = n.left()
		} else {
			c = n.right()
		}
		l.depth++
		l.beside = l.mass - f.massOf(base, c)
	}
}
