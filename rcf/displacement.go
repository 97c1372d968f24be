package rcf

import "math"

// Displacement returns how many points x would push one level down if it were put in, on average over the trees: the size of
// what would be its sibling. collusive is the same where x may come with others like it: the most that any subtree with x in
// it displaces, divided by how many points that subtree has. It sees an anomaly that comes in a handful, where the copies hide
// each other from the first. Both are 0 until there is something to compare with, and at most the size of a sample. Nothing
// is learnt.
//
// Source: Guha et al. 2016, definition 3 and section 3 (CoDisp), as the expectation over where x would go in.
func (f *Forest) Displacement(x []float64) (plain, collusive float64, err error) {
	var s scratch
	p, err := f.enter(&s, x)
	if err != nil || !f.full() {
		return 0, 0, err
	}
	for t := range f.trees {
		rest, above := 1.0, 0.0
		f.walk(&s, p, t, func(l *level) bool {
			above = max(above, float64(l.beside)/float64(l.mass+1))
			here := float64(l.mass)
			chance := 0.0
			switch {
			case l.out > 0:
				chance = float64(l.out / l.extent)
			case l.leaf: // x joins its copies, and moves with them
				chance, here = 1, float64(l.beside)/float64(l.mass+1)
			}
			plain += rest * chance * here
			collusive += rest * chance * max(above, here)
			rest *= 1 - chance
			return rest > 0
		})
	}
	n := float64(len(f.trees))
	return plain / n, collusive / n, nil
}

// Density estimates how dense the sample is around x: the share of it per unit of length to the power of manifold, which is
// the number of dimensions in which the data really spreads (0: all that the trees see). It compares places within one
// forest; in many dimensions only its order means much. 0 until there is something to compare with, else above 0 and finite.
//
// In each tree the boxes on the way to x are weighted with the chance that x would part from them; of the trees the geometric
// mean is taken, as a box that is small by chance makes a density as large as you like.
func (f *Forest) Density(x []float64, manifold float64) (float64, error) {
	if !(manifold > 0) {
		manifold = float64(f.width)
	}
	var s scratch
	p, err := f.enter(&s, x)
	if err != nil || !f.full() || f.trees[0].size == 0 {
		return 0, err
	}
	sum := 0.0
	for t := range f.trees {
		size := float64(f.trees[t].size)
		rest, density, extent := 1.0, 0.0, minAbs
		f.walk(&s, p, t, func(l *level) bool {
			chance := 0.0
			switch {
			case l.out > 0:
				chance, extent = float64(l.out/l.extent), float64(l.extent)
			case l.leaf: // a copy of x: a cut leaves about half
				chance, extent = 1, extent/2
			default:
				extent = float64(l.extent)
			}
			density += rest * chance * float64(l.mass) / size / math.Pow(max(extent, minAbs), manifold)
			rest *= 1 - chance
			return rest > 0
		})
		sum += math.Log(min(max(density, math.SmallestNonzeroFloat64), math.MaxFloat64))
	}
	return min(max(math.Exp(sum/float64(len(f.trees))), math.SmallestNonzeroFloat64), math.MaxFloat64), nil
}
