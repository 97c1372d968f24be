package rcf

import "math"

// node is one cut: what lies at or below it in its dimension is on the left. A child is a node's index within its tree when
// 0 or more, else ^point.
//
// A point that is in the sample several times makes a chain of nodes whose dim is equal and which cut nothing: left is one
// copy, right the rest of the chain. To the score such a chain is a leaf with mass.
type node struct {
	cut         float32
	left, right int32 // of a free node: left is the next free one, or -1
	mass        uint16
	dim         uint16
}

// equal is the dim of a node that holds copies of one point.
const equal = math.MaxUint16

// A subtree of boxMass points and more (of wide points: four times as many) keeps its bounding box, until it has fewer than
// 5/8 of that. The box of a smaller one is worked out from its points on the way up, which costs less than the cache lines of
// the box. Whoever has a box, so have all above it.
const boxMass = 8

type tree struct {
	root int32
	size int32 // samples in the tree; 0: root means nothing
	free int32 // first free node
	rng  rng
}

// slot is a place in a tree that refers to a subtree: the left or right of a node, or the root.
type slot struct {
	parent int32 // -1: the root
	right  bool
}

func (f *Forest) set(tr *tree, nodes []node, s slot, child int32) {
	switch {
	case s.parent < 0:
		tr.root = child
	case s.right:
		nodes[s.parent].right = child
	default:
		nodes[s.parent].left = child
	}
}

// visit returns the score of f.p in tree t, and puts the point in as id unless that is -1.
//
// Going down, the cuts alone are read. Going up, the box at each node gives the chance that a random cut of it and the point
// would part the two: its share in the score; and, with one draw a node, the highest cut that does part them: where the
// point goes in (Guha et al., theorem 3). Once a box holds the point, those above do.
func (f *Forest) visit(t int, id int32) float64 {
	tr := &f.trees[t]
	if tr.size == 0 {
		if id >= 0 {
			tr.root, tr.size = ^id, 1
		}
		return 0
	}
	nodes := f.nodes[t*f.samples : (t+1)*f.samples]
	boxOf := f.boxOf[t*f.samples : (t+1)*f.samples]
	p, w := f.p, f.weights[:len(f.p)]
	path := f.path[:0]
	c := tr.root
	for c >= 0 {
		n := &nodes[c]
		if n.dim == equal {
			break
		}
		path = append(path, c)
		if p[n.dim] <= n.cut {
			c = n.left
		} else {
			c = n.right
		}
	}
	leaf, mass := c, 1
	if c >= 0 {
		leaf, mass = nodes[c].left, int(nodes[c].mass)
	}
	lo, hi := f.lo[:len(p)], f.hi[:len(p)]
	q := f.points.at(^leaf)[:len(p)]
	apart := float32(0)
	for d, v := range q {
		lo[d], hi[d] = v, v
		if v > p[d] {
			apart += w[d] * (v - p[d])
		} else {
			apart += w[d] * (p[d] - v)
		}
	}
	depth := len(path)
	var score float64
	cutLevel, cutDim, cut := -1, 0, float32(0)
	if apart == 0 {
		score = seen(depth, mass, int(tr.size))
	} else {
		score = f.inv[depth]
		if id >= 0 {
			cutDim, cut = chooseCut(p, lo, hi, w, float32(tr.rng.float())*apart)
			cutLevel = depth
		}
	}
	below, level := c, depth
	for level > 0 {
		level--
		n := path[level]
		if b := boxOf[n]; b >= 0 {
			lo, hi = f.boxes.at(b)
		} else {
			sibling := nodes[n].left
			if sibling == below {
				sibling = nodes[n].right
			}
			f.merge(nodes, sibling, lo, hi)
		}
		below = n
		out, extent := parting(p, lo, hi, w)
		if out == 0 {
			level++
			break
		}
		chance := float64(out / extent)
		score += chance * (f.inv[level] - score)
		if id >= 0 {
			if u := tr.rng.float(); u < chance {
				cutDim, cut = chooseCut(p, lo, hi, w, float32(u)*extent)
				cutLevel = level
			}
		}
	}
	score *= math.Log2(float64(tr.size) + 1)
	if id >= 0 {
		f.insert(tr, nodes, boxOf, path, c, id, insertion{cutLevel, level, cutDim, cut})
	}
	f.path = path[:0]
	return score
}

// seen is the score, before normalisation, of a point of which the tree has mass copies at depth.
func seen(depth, mass, size int) float64 {
	return (1 - float64(mass)/(2*float64(size))) / (float64(depth) + math.Log2(1+float64(mass)))
}

// parting returns by how much p lies outside the box, and the extent of the box with p: their ratio is the chance that a
// random cut parts p from the box.
func parting(p, lo, hi, w []float32) (out, extent float32) {
	lo, hi, w = lo[:len(p)], hi[:len(p)], w[:len(p)]
	for d, v := range p {
		l, h := lo[d], hi[d]
		e := h - l
		if v < l {
			g := l - v
			out += w[d] * g
			e += g
		} else if v > h {
			g := v - h
			out += w[d] * g
			e += g
		}
		extent += w[d] * e
	}
	return out, extent
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

type insertion struct {
	level int // of the path at which the new cut stands; -1: the point equals the leaf
	out   int // from this level of the path down, the boxes don't hold the point
	dim   int
	cut   float32
}

// insert puts point id into the tree: c is the leaf, or chain of equal points, at the end of path.
func (f *Forest) insert(tr *tree, nodes []node, boxOf []int32, path []int32, c, id int32, in insertion) {
	if in.level < 0 {
		in.level, in.dim = len(path), equal
	}
	for i, n := range path[:in.level] {
		nodes[n].mass++
		if b := boxOf[n]; b >= 0 && i >= in.out {
			lo, hi := f.boxes.at(b)
			extend(lo, hi, f.p)
		}
	}
	under := c
	if in.level < len(path) {
		under = path[in.level]
	}
	s := slot{parent: -1}
	if in.level > 0 {
		s.parent = path[in.level-1]
		s.right = nodes[s.parent].right == under
	}
	k := tr.free
	tr.free = nodes[k].left
	n := node{cut: in.cut, left: ^id, right: under, mass: 1 + massOf(nodes, under), dim: uint16(in.dim)}
	if in.dim != equal && f.p[in.dim] > in.cut {
		n.left, n.right = under, ^id
	}
	nodes[k] = n
	f.set(tr, nodes, s, k)
	tr.size++
	if n.dim != equal && (int(n.mass) >= f.boxMass || under >= 0 && boxOf[under] >= 0) {
		f.giveBox(nodes, boxOf, k)
	}
	// Those above grew by one, and some may have come to boxMass.
	kept := boxOf[k] >= 0
	for i := in.level - 1; i >= 0 && boxOf[path[i]] < 0; i-- {
		if kept = kept || int(nodes[path[i]].mass) >= f.boxMass; kept {
			f.giveBox(nodes, boxOf, path[i])
		}
	}
}

func (f *Forest) giveBox(nodes []node, boxOf []int32, k int32) {
	b := f.boxes.take()
	lo, hi := f.boxes.at(b)
	f.boundingBox(nodes, boxOf, k, lo, hi)
	boxOf[k] = b
}

func massOf(nodes []node, c int32) uint16 {
	if c < 0 {
		return 1
	}
	return nodes[c].mass
}

// boundingBox sets lo and hi to the box of the subtree k, a node whose own box is not read.
func (f *Forest) boundingBox(nodes []node, boxOf []int32, k int32, lo, hi []float32) {
	first := true
	for _, c := range [2]int32{nodes[k].left, nodes[k].right} {
		if c >= 0 && boxOf[c] >= 0 {
			l, h := f.boxes.at(boxOf[c])
			if first {
				copy(lo, l)
				copy(hi, h)
			} else {
				extend(lo, hi, l)
				extend(lo, hi, h)
			}
		} else {
			if first {
				q := f.points.at(anyPoint(nodes, c))
				copy(lo, q)
				copy(hi, q)
			}
			f.merge(nodes, c, lo, hi)
		}
		first = false
	}
}

// merge extends lo and hi by every point of the subtree c, which has no box and so is small, or holds equal points.
func (f *Forest) merge(nodes []node, c int32, lo, hi []float32) {
	stack := f.stack[:0]
	for {
		for c >= 0 {
			n := &nodes[c]
			if n.dim != equal {
				stack = append(stack, n.right)
			}
			c = n.left
		}
		extend(lo, hi, f.points.at(^c))
		if len(stack) == 0 {
			return
		}
		c = stack[len(stack)-1]
		stack = stack[:len(stack)-1]
	}
}

func anyPoint(nodes []node, c int32) int32 {
	for c >= 0 {
		c = nodes[c].left
	}
	return ^c
}

func extend(lo, hi, p []float32) {
	lo, hi = lo[:len(p)], hi[:len(p)]
	for d, v := range p {
		if v < lo[d] {
			lo[d] = v
		}
		if v > hi[d] {
			hi[d] = v
		}
	}
}

// remove takes point id out of tree t, which holds it.
func (f *Forest) remove(t int, id int32) {
	tr := &f.trees[t]
	nodes := f.nodes[t*f.samples : (t+1)*f.samples]
	boxOf := f.boxOf[t*f.samples : (t+1)*f.samples]
	tr.size--
	if tr.size == 0 {
		return
	}
	p := f.points.at(id)
	path := f.path[:0]
	c := tr.root
	at, before := slot{parent: -1}, slot{parent: -1} // where c hangs, and where its parent does
	for c >= 0 {
		n := &nodes[c]
		if n.dim == equal {
			// The copy that leaves is somewhere on the chain: at its head, unless the sample is full of equal points.
			if n.left == ^id || n.right == ^id {
				break
			}
			n.mass--
		} else {
			path = append(path, c)
		}
		before = at
		at = slot{parent: c, right: n.dim == equal || p[n.dim] > n.cut}
		if at.right {
			c = n.right
		} else {
			c = n.left
		}
	}
	if c < 0 { // a leaf of its own: its parent goes, its sibling moves up
		path = path[:len(path)-1]
		gone := at.parent
		n := &nodes[gone]
		sibling := n.left
		if !at.right {
			sibling = n.right
		}
		f.set(tr, nodes, before, sibling)
		f.freeNode(tr, nodes, boxOf, gone)
	} else {
		n := &nodes[c]
		rest := n.right
		if n.left != ^id {
			rest = n.left
		}
		f.set(tr, nodes, at, rest)
		f.freeNode(tr, nodes, boxOf, c)
	}
	changed := true
	for i := len(path) - 1; i >= 0; i-- {
		k := path[i]
		nodes[k].mass--
		b := boxOf[k]
		if b < 0 {
			continue
		}
		if int(nodes[k].mass) < f.boxMass*5/8 {
			f.boxes.release(b)
			boxOf[k] = -1
			continue
		}
		if !changed {
			continue
		}
		lo, hi := f.boxes.at(b)
		if changed = onBorder(lo, hi, p); changed {
			f.boundingBox(nodes, boxOf, k, lo, hi)
		}
	}
	f.path = path[:0]
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

func (f *Forest) freeNode(tr *tree, nodes []node, boxOf []int32, k int32) {
	if boxOf[k] >= 0 {
		f.boxes.release(boxOf[k])
		boxOf[k] = -1
	}
	nodes[k] = node{left: tr.free}
	tr.free = k
}
