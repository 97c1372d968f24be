package rcf

// climb fills s.parts for the levels of the list, beginning with the leaf, and then for count boxes of the batch. Of what
// comes after the first box that holds p some may be missing.
//
// Sums run in lanes, which are then added in a fixed order, so that every way to work them out gives the same bits. What the
// compiler might fuse into one rounding is kept apart by conversions.
func (f *Forest) climb(s *scratch, p []float32, levels, count int) {
	if f.width <= lanes && haveAVX2 {
		n := 0
		if levels > 0 {
			n = int(s.upto[levels-1])
		}
		climbAVX2(s, &f.points.coords[0], f.boxes.first(), &f.weights[0], f.dim, f.width, n, count)
		return
	}
	lo, hi := s.corners(f.width)
	at := 0
	for j := range levels {
		if j == 0 {
			q := f.points.at(int(s.list[0]))
			copy(lo, q)
			copy(hi, q)
		} else {
			f.extendAll(s, lo, hi, s.list[s.upto[j-1]:s.upto[j]])
		}
		s.parts[2*at], s.parts[2*at+1] = f.parting(p, lo, hi)
		if at++; s.parts[2*at-2] == 0 {
			return
		}
	}
	for _, b := range s.batch[:count] {
		l, h := f.boxes.at(int(b))
		s.parts[2*at], s.parts[2*at+1] = f.parting(p, l, h)
		if at++; s.parts[2*at-2] == 0 {
			return
		}
	}
}

// extendAll makes the box in s.corners hold all the points.
func (f *Forest) extendAll(s *scratch, lo, hi []float32, ids []int32) {
	for _, id := range ids {
		q := f.points.at(int(id))
		if haveAVX2 && f.width > lanes {
			extendAVX2(&lo[0], &hi[0], &q[0], padded(f.width))
		} else {
			extend(lo, hi, q)
		}
	}
}

// parting returns by how much p lies outside the box, and the extent of the box with p: their ratio is the chance that a
// random cut parts p from the box. Behind p, lo and hi up to lanes-1 values may be read.
func (f *Forest) parting(p, lo, hi []float32) (out, extent float32) {
	if haveAVX2 && f.width > lanes {
		return partingAVX2(&p[0], &lo[0], &hi[0], &f.weights[0], padded(f.width))
	}
	return parting(p, lo, hi, f.weights)
}

// corners returns room for a box.
func (s *scratch) corners(width int) (lo, hi []float32) {
	if width <= lanes {
		return s.lo[:width], s.hi[:width]
	}
	n := padded(width)
	return s.wide[n : n+width], s.wide[2*n : 2*n+width]
}

func parting(p, lo, hi, w []float32) (out, extent float32) {
	var o, e [lanes]float32
	lo, hi, w = lo[:len(p)], hi[:len(p)], w[:len(p)]
	for d, v := range p {
		l, h := lo[d], hi[d]
		gap := max(l-v, v-h, 0)
		o[d%lanes] += float32(w[d] * gap)
		e[d%lanes] += float32(w[d] * (h - l + gap))
	}
	return sum(&o), sum(&e)
}

func sum(a *[lanes]float32) float32 {
	return ((a[0] + a[1]) + (a[4] + a[5])) + ((a[2] + a[3]) + (a[6] + a[7]))
}

// extend makes the box hold p.
func extend(lo, hi, p []float32) {
	lo, hi = lo[:len(p)], hi[:len(p)]
	for d, v := range p {
		lo[d] = min(lo[d], v)
		hi[d] = max(hi[d], v)
	}
}

// chooseCut returns the cut at distance x into the parts of p that lie outside the box. The cut is at or above the lower
// side of the gap and below the upper one, so that it does part them.
func chooseCut(p, lo, hi, w []float32, x float32) (dim int, cut float32) {
	dim = -1
	var from, to float32
	for d, v := range p {
		var a, b float32
		switch {
		case v < lo[d]:
			a, b = v, lo[d]
		case v > hi[d]:
			a, b = hi[d], v
		default:
			continue
		}
		dim, from, to = d, a, b
		g := w[d] * (b - a)
		if x < g {
			cut = a + x/w[d]
			break
		}
		x -= g // rounding may run past the last gap: the last one is then cut at its lower side
		cut = a
	}
	if !(cut >= from && cut < to) {
		cut = from
	}
	return dim, cut
}

// boxAt sets lo and hi to the box of c, above which in puts a new cut, as visit has found it.
func (f *Forest) boxAt(s *scratch, base int, c ref, in *insertion, lo, hi []float32) {
	j := in.depth - in.level
	if j >= in.list {
		l, h := f.boxes.at(f.boxOf(base, c))
		copy(lo, l)
		copy(hi, h)
		return
	}
	q := f.points.at(int(s.list[0]))
	copy(lo, q)
	copy(hi, q)
	for _, id := range s.list[1:s.upto[j]] {
		extend(lo, hi, f.points.at(int(id)))
	}
}

// giveBox makes a box for node k, of mass points, out of what is below it.
func (f *Forest) giveBox(base, k, mass int) {
	b := f.boxes.take()
	f.boxes.mass[b] = uint16(mass)
	lo, hi := f.boxes.at(b)
	n := f.nodes[base+k]
	f.startBox(base, n.left(), lo, hi)
	f.merge(base, n.right(), lo, hi)
	f.side.set(base+k, f.boxMass+b)
}

// startBox sets lo and hi to the box of what is below c.
func (f *Forest) startBox(base int, c ref, lo, hi []float32) {
	if b := f.boxOf(base, c); b >= 0 {
		l, h := f.boxes.at(b)
		copy(lo, l)
		copy(hi, h)
		return
	}
	q := f.points.at(f.pointOf(base, c))
	copy(lo, q)
	copy(hi, q)
	f.merge(base, c, lo, hi)
}

// merge extends lo and hi by all that is below c.
func (f *Forest) merge(base int, c ref, lo, hi []float32) {
	if b := f.boxOf(base, c); b >= 0 {
		l, h := f.boxes.at(b)
		for d := range l {
			lo[d] = min(lo[d], l[d])
			hi[d] = max(hi[d], h[d])
		}
		return
	}
	var list pointList
	for _, id := range list[:f.gather(&list, base, c, 0)] {
		extend(lo, hi, f.points.at(int(id)))
	}
}
