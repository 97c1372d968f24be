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
	if f.trees[0].size == 0 {
		return nil
	}
	for t := range f.trees {
		if t%4 == 0 {
			f.descend(&s, p, t)
		}
		f.attribute(&s, p, t, high, low)
	}
	n := float64(len(f.trees))
	for d := range high {
		high[d] /= n
		low[d] /= n
	}
	return nil
}

// attribute adds tree t's shares to high and low, after descend. It climbs twice: what lies below counts only so far as no cut
// above parts first, which is known at the top.
func (f *Forest) attribute(s *scratch, p []float32, t int, high, low []float64) {
	base := t * f.stride
	way, stride := s.way(t % 4)
	foot := f.foot(s, base, t%4, way, stride)
	box := func(level int) (lo, hi []float32) {
		return f.boxes.at(f.side.at(base+int(way[level*stride])) - f.boxMass)
	}
	f.climb(s, p, foot.levels, 0)
	var room [trailDepth]float64
	shares := room[:0] // of each level from the leaf up: first the chance of a cut, then what is added for a unit outside
	inside := false
	see := func(out, extent float32) {
		if inside = out == 0; inside { // and the extent of a leaf may be 0
			extent = 1
		}
		shares = append(shares, float64(out/extent))
	}
	for i := 0; i < foot.levels && !inside; i++ {
		see(s.parts[2*i], s.parts[2*i+1])
	}
	for level := foot.level - 1; level >= 0 && !inside; level-- {
		lo, hi := box(level)
		see(f.parting(p, lo, hi))
	}
	size := int(f.trees[t].size)
	rest := newNorm(size)
	for i := len(shares) - 1; i >= 0; i-- {
		chance := shares[i]
		shares[i] = rest * chance / float64(foot.depth-i+1)
		rest *= 1 - chance
	}
	if len(shares) == 1 && inside { // a copy of what is known: strange in no direction, so evenly
		even := rest * seen(foot.depth, foot.mass, size) / float64(2*f.dim)
		for d := range high {
			high[d] += even
			low[d] += even
		}
		return
	}
	lo, hi := s.corners(f.width)
	for i, share := range shares {
		switch {
		case i == 0:
			q := f.points.at(int(s.list[0]))
			copy(lo, q)
			copy(hi, q)
		case i < foot.levels:
			f.extendAll(s, lo, hi, s.list[s.upto[i-1]:s.upto[i]])
		default:
			lo, hi = box(foot.depth - i)
		}
		if share > 0 {
			f.share(share, p, lo, hi, high, low)
		}
	}
}

// share adds share to high and low, in proportion to how far p lies outside the box.
func (f *Forest) share(share float64, p, lo, hi []float32, high, low []float64) {
	out := 0.0
	for d, v := range p {
		out += float64(f.weights[d] * max(lo[d]-v, v-hi[d], 0))
	}
	unit := share / out
	d := 0
	for i, v := range p {
		high[d] += unit * float64(f.weights[i]*max(v-hi[i], 0))
		low[d] += unit * float64(f.weights[i]*max(lo[i]-v, 0))
		if d++; d == f.dim {
			d = 0
		}
	}
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
