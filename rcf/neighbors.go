package rcf

import (
	"cmp"
	"slices"
)

// Neighbor is a point of the sample near to one that was asked about.
type Neighbor struct {
	Point    []float64 // the whole shingle, oldest first: what x was compared with
	Distance float64   // sum over the coordinates of weight x difference
	Trees    int       // that have it in their sample
}

// Neighbors returns up to k points of the sample that are near to x, the nearest first: the nearest of those that the trees
// find beside it, which are not always the nearest that there are. Copies of one point count once. Nothing is learnt.
func (f *Forest) Neighbors(x []float64, k int) ([]Neighbor, error) {
	var s scratch
	p, err := f.enter(&s, x)
	if err != nil || !f.full() || k < 1 {
		return nil, err
	}
	found := make(map[int]bool)
	for t := range f.trees {
		base := t * f.stride
		f.walk(&s, p, t, func(l *level) bool {
			if !l.leaf && f.boxOf(base, l.ref) >= 0 {
				return true
			}
			var list pointList
			for _, id := range list[:f.gather(&list, base, l.ref, 0)] {
				found[int(id)] = true
			}
			return false
		})
	}
	near := make([]Neighbor, 0, len(found))
	for id := range found {
		q := f.points.at(id)
		n := Neighbor{Point: make([]float64, f.width), Distance: f.distance(p, q, nil), Trees: f.points.refs.at(id)}
		for d, v := range q {
			n.Point[d] = float64(v)
		}
		near = append(near, n)
	}
	slices.SortFunc(near, func(a, b Neighbor) int {
		return cmp.Or(cmp.Compare(a.Distance, b.Distance), slices.Compare(a.Point, b.Point))
	})
	for i := 1; i < len(near); i++ { // a point that came twice stands in two places
		if slices.Equal(near[i].Point, near[i-1].Point) {
			near[i].Trees = min(near[i].Trees+near[i-1].Trees, len(f.trees))
			near[i-1].Trees = 0
		}
	}
	near = slices.DeleteFunc(near, func(n Neighbor) bool { return n.Trees == 0 })
	return near[:min(k, len(near))], nil
}

// distance returns the weighted distance of p and q in the coordinates that are not unknown.
func (f *Forest) distance(p, q []float32, unknown []bool) float64 {
	sum := 0.0
	for d, v := range q {
		if unknown == nil || !unknown[d] {
			diff := float64(v) - float64(p[d])
			sum += float64(f.weights[d]) * max(diff, -diff)
		}
	}
	return sum
}
