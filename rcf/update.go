package rcf

// insert puts p, which stands in the free slot of tree t's sample, where visit has found that it goes.
func (f *Forest) insert(s *scratch, p []float32, t int, in *insertion) {
	tr := &f.trees[t]
	base := t * f.stride
	leaf := ref(tr.spare) | leafBit
	if tr.size == 0 {
		tr.root = uint16(leaf)
		return
	}
	way, stride := s.way(t % 4)
	under := in.end
	if in.level >= 0 && in.level < in.depth {
		under = ref(way[in.level*stride])
	}
	k := f.takeNode(tr, base)
	level := in.level
	if level < 0 {
		level = in.depth
		f.nodes[base+k] = makeNode(equalDim, 0, leaf, under)
	} else {
		lo, hi := s.corners(f.width)
		f.boxAt(s, base, under, in, lo, hi)
		dim, cut := chooseCut(p, lo, hi, f.weights, in.at)
		if p[dim] > cut {
			f.setCut(base, k, dim, cut, under, leaf)
		} else {
			f.setCut(base, k, dim, cut, leaf, under)
		}
	}
	if level == 0 {
		tr.root = uint16(k)
	} else {
		f.nodes[base+int(way[(level-1)*stride])].replace(under, ref(k))
	}
	mass := f.massOf(base, under) + 1
	if in.level >= 0 && (mass >= f.boxMass || f.boxOf(base, under) >= 0) {
		f.giveBox(base, k, mass)
	} else {
		f.side.set(base+k, mass)
	}
	for i := level - 1; i >= 0; i-- {
		a := int(way[i*stride])
		side := f.side.at(base + a)
		switch b := side - f.boxMass; {
		case b >= 0:
			f.boxes.mass[b]++
			if i >= in.out {
				lo, hi := f.boxes.at(b)
				extend(lo, hi, p)
			}
		case side+1 >= f.boxMass:
			f.giveBox(base, a, side+1)
		default:
			f.side.set(base+a, side+1)
		}
	}
}

// remove takes the point in a slot out of tree t, whose size the caller keeps. The slot is then free; of equal points another one
// may move into it, and leave its own.
func (f *Forest) remove(s *scratch, t, slot int) {
	tr := &f.trees[t]
	base := t * f.stride
	p := f.points.at(f.ids.at(base + slot))
	way := s.back[:0]
	c := ref(tr.root)
	for !c.leaf() && !f.nodes[base+c.id()].equal() {
		way = append(way, uint16(c))
		n := f.nodes[base+c.id()]
		if p[f.dimOf(base, c.id())] <= n.cut {
			c = n.left()
		} else {
			c = n.right()
		}
	}
	if len(way) == 0 && c.leaf() {
		return // it was the last: with size 0 the root means nothing
	}
	gone, rest := c, ref(0) // the node that goes and what takes its place
	if c.leaf() {
		gone = ref(way[len(way)-1])
		way = way[:len(way)-1]
		rest = f.nodes[base+gone.id()].other(c)
	} else {
		// Of equal points the first of the chain goes, whatever its slot, and the slots change roles.
		n := f.nodes[base+c.id()]
		rest = n.right()
		if first := n.left().id(); first != slot {
			f.ids.set(base+slot, f.ids.at(base+first))
			f.keys[base+slot], f.keys[base+first] = f.keys[base+first], 0
			if int(tr.top) == first {
				tr.top = uint16(slot)
			}
			tr.spare = uint16(first)
		}
	}
	if len(way) == 0 {
		tr.root = uint16(rest)
	} else {
		f.nodes[base+int(way[len(way)-1])].replace(gone, rest)
	}
	f.freeNode(tr, base, gone.id())

	// Where the point was on the border of a box, the box is that of what is below on the way, which lo and hi hold, and of
	// the sibling of that.
	lo, hi := s.corners(f.width)
	known := false
	below := rest
	for i := len(way) - 1; i >= 0; i-- {
		k := int(way[i])
		side := f.side.at(base + k)
		b := side - f.boxMass
		if b < 0 {
			f.side.set(base+k, side-1)
			below = ref(k)
			continue
		}
		mass := int(f.boxes.mass[b]) - 1
		if mass < f.boxMass-1 {
			f.boxes.release(b)
			f.side.set(base+k, mass)
			below = ref(k)
			continue
		}
		f.boxes.mass[b] = uint16(mass)
		if below == noRef {
			continue
		}
		l, h := f.boxes.at(b)
		if !onBorder(l, h, p) { // nor is it on any above
			below = noRef
			continue
		}
		if !known {
			f.startBox(base, below, lo, hi)
			known = true
		}
		f.merge(base, f.nodes[base+k].other(below), lo, hi)
		copy(l, lo)
		copy(h, hi)
		below = ref(k)
	}
}

// onBorder says that taking p away might shrink the box.
func onBorder(lo, hi, p []float32) bool {
	for d, v := range p {
		if v <= lo[d] || v >= hi[d] {
			return true
		}
	}
	return false
}
