package rcf

// node is one cut: what lies at or below it in its dimension is on the left. It takes eight bytes, so that eight share a
// cache line:
//
//	link    right child, 13 bits | left child, 13 bits | dimension, 6 bits
//
// A child is a ref. Dimensions from farDim on don't fit and stand in Forest.far.
//
// A point that is in the sample several times makes a chain of nodes whose dimension is equalDim and which cut nothing: left
// is one copy, right the rest of the chain. To the score such a chain is a leaf with mass.
type node struct {
	cut  float32
	link uint32
}

// ref refers to a node of a tree or, with leafBit set, to a slot of its sample.
type ref uint32

const (
	leafBit = 1 << 12
	refMask = 1<<13 - 1
	idMask  = leafBit - 1

	leftShift  = 6
	rightShift = 19

	dimMask  = 1<<6 - 1
	equalDim = dimMask
	farDim   = dimMask - 1
	noNode   = 1<<16 - 1
	noRef    = ref(noNode)
)

func makeNode(dim uint32, cut float32, left, right ref) node {
	return node{cut, uint32(right)<<rightShift | uint32(left)<<leftShift | dim}
}

func (n node) left() ref   { return ref(n.link >> leftShift & refMask) }
func (n node) right() ref  { return ref(n.link >> rightShift) }
func (n node) equal() bool { return n.link&dimMask == equalDim }

// other returns the child that c is not.
func (n node) other(c ref) ref {
	if l := n.left(); l != c {
		return l
	}
	return n.right()
}

// replace puts c where old was.
func (n *node) replace(old, c ref) {
	dim := n.link & dimMask
	if n.left() == old {
		*n = makeNode(dim, n.cut, c, n.right())
	} else {
		*n = makeNode(dim, n.cut, n.left(), c)
	}
}

func (r ref) leaf() bool { return r&leafBit != 0 }
func (r ref) id() int    { return int(r & idMask) }

// tree is what a tree has besides its nodes and its sample.
type tree struct {
	rng   rng
	size  uint16 // points in it
	root  uint16 // a ref; of an empty tree it means nothing
	free  uint16 // first free node, or noNode; the next is in link
	spare uint16 // the free slot of the sample: those in use are 0 to size, but for this one
	top   uint16 // the slot with the largest key, once the sample is full
}

// A tree has its nodes and slots side by side at [base, base+stride) of Forest's arrays; the methods below take that base.

func (f *Forest) dimOf(base, k int) int {
	d := f.nodes[base+k].link & dimMask
	if d == farDim {
		return int(f.far[base+k])
	}
	return int(d)
}

// setCut makes k a cut.
func (f *Forest) setCut(base, k, dim int, cut float32, left, right ref) {
	code := uint32(min(dim, farDim))
	if code == farDim {
		f.far[base+k] = uint16(dim)
	}
	f.nodes[base+k] = makeNode(code, cut, left, right)
}

// massOf returns the number of points at or below c.
func (f *Forest) massOf(base int, c ref) int {
	if c.leaf() {
		return 1
	}
	m := f.side.at(base + c.id())
	if m < f.boxMass || f.nodes[base+c.id()].equal() {
		return m
	}
	return int(f.boxes.mass[m-f.boxMass])
}

// boxOf returns the box of c, or -1 when it has none.
func (f *Forest) boxOf(base int, c ref) int {
	if c.leaf() || f.nodes[base+c.id()].equal() {
		return -1
	}
	return f.side.at(base+c.id()) - f.boxMass // less than 0 when side is a mass
}

// pointOf returns the point in the sample of which c is the leaf, or, of a node, one of those below it.
func (f *Forest) pointOf(base int, c ref) int {
	for !c.leaf() {
		c = f.nodes[base+c.id()].left()
	}
	return f.ids.at(base + c.id())
}

// takeNode returns a free node of the tree at base, and freeNode gives one back, with its box.
func (f *Forest) takeNode(tr *tree, base int) int {
	k := int(tr.free)
	tr.free = uint16(f.nodes[base+k].link)
	return k
}

func (f *Forest) freeNode(tr *tree, base, k int) {
	if b := f.boxOf(base, ref(k)); b >= 0 {
		f.boxes.release(b)
	}
	f.side.set(base+k, 0)
	f.nodes[base+k] = node{link: uint32(tr.free)}
	tr.free = uint16(k)
}

// makeRoom lets every tree hold one point more than size. Trees fill up alike, and take what their points need, not what
// they may.
func (f *Forest) makeRoom(size int) {
	old := f.stride
	if size < old {
		return
	}
	for f.stride <= size {
		f.stride = max(16, 2*f.stride)
	}
	if f.stride*4 > f.samples*3 {
		f.stride = f.samples + 1 // insertion comes before deletion
	}
	n := len(f.trees)
	f.nodes = restride(f.nodes, n, old, f.stride)
	f.keys = restride(f.keys, n, old, f.stride)
	f.ids.restride(n, old, f.stride)
	f.side.restride(n, old, f.stride)
	if f.width > narrow {
		f.far = restride(f.far, n, old, f.stride)
	}
	for t := range f.trees {
		for k := f.stride - 1; k >= old; k-- {
			f.freeNode(&f.trees[t], t*f.stride, k)
		}
	}
}
