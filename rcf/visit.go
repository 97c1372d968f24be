package rcf

import "math"

const (
	lanes      = 8  // values that one vector instruction takes
	narrow     = 56 // values, at most, that are narrow points: multiples of lanes of them leave the last of 64 free
	trailDepth = 64 // deeper trees are rare: exponentially spaced points make them
	boxBatch   = 4  // boxes that are looked at in one go; most climbs end before
	maxMerge   = 32 // points below a node without a box; see Config.boxMass
)

// scratch is what one call needs to work, on its stack.
type scratch struct {
	p     [64]float32         // the shingle, unless it is wide; then zeros; the last is -Inf, which makes chains go left
	list  pointList           // points that stand in for the boxes of the levels below the first box
	upto  [maxMerge]int32     // of each such level: how much of list is below it
	ends  [maxMerge + 1]int32 // of each in list: 8, the bytes of parts that a level takes, for the last of its level, else 0
	batch [boxBatch]int32
	parts [2 * (maxMerge + boxBatch)]float32 // of each level: how far the point lies outside, and the extent with it

	trail [4 * trailDepth]uint16 // the nodes from the root down, of four trees by turns
	depth [4]int
	end   [4]ref                 // the leaf
	back  [2 * trailDepth]uint16 // the way down to a point that leaves
	deep  [4][]uint16            // in place of trail, where it is too short

	lo, hi [lanes]float32
	wide   []float32 // in place of p, lo and hi, for wider shingles
}

// pointList holds the points below a node without a box, and one more.
type pointList [maxMerge + 1]int32

// room returns the place for a shingle.
func (s *scratch) room(width int) []float32 {
	if width > lanes && s.wide == nil {
		s.wide = make([]float32, 3*padded(width))
	}
	if width <= narrow {
		s.p[equalDim] = float32(math.Inf(-1))
		return s.p[:width]
	}
	return s.wide[:width]
}

func padded(width int) int { return (width + lanes - 1) / lanes * lanes }

// descend goes down trees t to t+3 for p, by turns, so that one waits for memory while another compares; no branch depends
// on a comparison, as half of them would be guessed wrong.
func (f *Forest) descend(s *scratch, p []float32, t int) {
	if f.trees[t].size == 0 {
		return
	}
	if f.far != nil {
		f.descendDeep(s, p, t)
		return
	}
	last := len(f.trees) - 1
	t1, t2, t3 := min(t+1, last), min(t+2, last), min(t+3, last)
	s.end = [4]ref{ref(f.trees[t].root), ref(f.trees[t1].root), ref(f.trees[t2].root), ref(f.trees[t3].root)}
	s.depth = [4]int{}
	s.deep = [4][]uint16{}
	n := f.stride
	if haveAVX2 {
		if !descendAVX2(s, &f.nodes[t*n], &f.nodes[t1*n], &f.nodes[t2*n], &f.nodes[t3*n]) {
			f.descendDeep(s, p, t)
		}
		return
	}
	trees := [4][]node{f.nodes[t*n:][:n], f.nodes[t1*n:][:n], f.nodes[t2*n:][:n], f.nodes[t3*n:][:n]}
	for at := 0; s.end[0]&s.end[1]&s.end[2]&s.end[3]&leafBit == 0; at += 4 {
		if at == len(s.trail) {
			f.descendDeep(s, p, t)
			return
		}
		for lane, c := range s.end {
			s.trail[at+lane] = uint16(c)
			s.depth[lane] += 1 - int(c>>12)
			s.end[lane] = step(trees[lane], &s.p, c)
		}
	}
}

// step returns the child of c that x belongs to, or c itself when it is a leaf.
func step(nodes []node, x *[64]float32, c ref) ref {
	n := nodes[c.id()] // a slot, too, is a number of a node
	next := n.left()
	if x[n.link&dimMask] > n.cut {
		next = n.right()
	}
	if c&leafBit != 0 {
		next = c
	}
	return next
}

// descendDeep does the same for trees of any depth and points of any width, one tree after the other.
func (f *Forest) descendDeep(s *scratch, p []float32, t int) {
	for lane := range min(4, len(f.trees)-t) {
		f.descendOne(s, p, t+lane, lane)
	}
}

func (f *Forest) descendOne(s *scratch, p []float32, t, lane int) {
	base := t * f.stride
	path := s.deep[lane][:0]
	if path == nil {
		path = make([]uint16, 0, f.samples+1)
	}
	c := ref(f.trees[t].root)
	for !c.leaf() {
		path = append(path, uint16(c))
		n := f.nodes[base+c.id()]
		if n.equal() || p[f.dimOf(base, c.id())] <= n.cut {
			c = n.left()
		} else {
			c = n.right()
		}
	}
	s.end[lane], s.depth[lane], s.deep[lane] = c, len(path), path
}

// trail returns the nodes on the way down the tree of a lane: node i is at i times the second result.
func (s *scratch) way(lane int) ([]uint16, int) {
	if s.deep[lane] != nil {
		return s.deep[lane], 1
	}
	return s.trail[lane:], 4
}

// insertion says where a point goes into a tree.
type insertion struct {
	depth int
	end   ref     // the leaf, or chain of equal points, at the end of the way
	level int     // of the way at which the new cut stands; -1: the point equals the leaf
	at    float32 // how far into what lies outside the box there
	out   int     // from this level of the way down, the boxes don't hold the point
	list  int     // levels at the end of the way for which points stand in for a box
}

// visit returns the score of p in tree t, down which descend has gone, and says in in, unless that is nil, where p goes in.
//
// Going up from the leaf, the box at each node gives the chance that a random cut of it and the point would part the two: its
// share in the score; and, with one draw a node, the highest cut that does part them: where the point goes in (Guha et al.,
// theorem 3). Once a box holds the point, those above do.
func (f *Forest) visit(s *scratch, p []float32, t int, in *insertion, norm float64) float64 {
	tr := &f.trees[t]
	if tr.size == 0 {
		return 0
	}
	base := t * f.stride
	way, stride := s.way(t % 4)
	foot := f.foot(s, base, t%4, way, stride)
	depth, levels, level := foot.depth, foot.levels, foot.level
	if in != nil {
		*in = insertion{depth: depth, end: foot.end, level: -1}
	}
	list := levels
	score := 0.0
	at := depth // the level of the next part
	for {
		count := 0
		for level > 0 && count < boxBatch {
			level--
			s.batch[count] = int32(f.side.at(base+int(way[level*stride])) - f.boxMass)
			count++
		}
		f.climb(s, p, levels, count)
		for i := range levels + count {
			out, extent := s.parts[2*i], s.parts[2*i+1]
			switch {
			case out == 0:
				if at == depth {
					score = seen(depth, foot.mass, int(tr.size))
					at--
				}
				if in != nil {
					in.out, in.list = at+1, list
				}
				return score * norm
			case at == depth:
				score = 1 / float64(depth+1)
				if in != nil {
					in.level, in.at = depth, float32(tr.rng.float())*out
				}
			default:
				chance := float64(out / extent)
				score += chance * (1/float64(at+1) - score)
				if in != nil {
					if u := tr.rng.float(); u < chance {
						in.level, in.at = at, float32(u)*extent
					}
				}
			}
			at--
		}
		if level == 0 {
			if in != nil {
				in.out, in.list = 0, list
			}
			return score * norm
		}
		levels = 0
	}
}

// foot is the lower end of a way down a tree: the leaf, and the nodes that have points in place of a box.
type foot struct {
	depth  int // of the leaf
	end    ref // the leaf, or the chain of equal points
	mass   int // of it
	levels int // in s.list
	level  int // that stands above them, from 1, or 0
}

// foot gathers in s.list what lies at the foot of the way of a lane, down the tree at base.
func (f *Forest) foot(s *scratch, base, lane int, way []uint16, stride int) foot {
	at := foot{depth: s.depth[lane], end: s.end[lane], mass: 1}
	s.list[0] = int32(f.ids.at(base + at.end.id()))
	if at.depth > 0 {
		if k := way[(at.depth-1)*stride]; f.nodes[base+int(k)].equal() {
			at.depth--
			at.end = ref(k)
			at.mass = f.side.at(base + int(k))
		}
	}
	n, levels, level := 1, 1, at.depth
	s.upto[0], s.ends[0] = 1, 8
	for below := at.end; level > 0; level-- {
		k := int(way[(level-1)*stride])
		if f.side.at(base+k) >= f.boxMass {
			break
		}
		from := n
		if beside := f.nodes[base+k].other(below); beside.leaf() {
			s.list[n] = int32(f.ids.at(base + beside.id()))
			n++
		} else {
			n = f.gather(&s.list, base, beside, n)
			clear(s.ends[from : n-1])
		}
		s.upto[levels], s.ends[n-1] = int32(n), 8
		below = ref(k)
		levels++
	}
	at.levels, at.level = levels, level
	return at
}

// gather appends to the list the points below c, which has no box and so is small, or holds equal points. What is still to be
// gone through waits at the end of the list, which has room for all points in the end.
func (f *Forest) gather(list *pointList, base int, c ref, n int) int {
	wait := len(list)
	for {
		for !c.leaf() {
			k := f.nodes[base+c.id()]
			if !k.equal() {
				wait--
				list[wait] = int32(k.right())
			}
			c = k.left()
		}
		list[n] = int32(f.ids.at(base + c.id()))
		n++
		if wait == len(list) {
			return n
		}
		c = ref(list[wait])
		wait++
	}
}

// newNorm returns what scores in trees of so many points are multiplied by.
func newNorm(size int) float64 { return math.Log2(float64(size) + 1) }

// seen is the score, before normalisation, of a point of which the tree has mass copies at depth.
func seen(depth, mass, size int) float64 {
	return (1 - float64(mass)/(2*float64(size))) / (float64(depth) + math.Log2(1+float64(mass)))
}
