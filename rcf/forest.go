package rcf

import (
	"fmt"
	"math"
)

// Forest is a Robust Random Cut Forest. Make it with [New] or [Train], or restore it with [Forest.UnmarshalBinary].
type Forest struct {
	dim     int // of a point
	shingle int
	width   int // dim x shingle: of what the trees see
	samples int // per tree
	compact bool
	boxMass int // points from which on a subtree keeps its bounding box
	decay   float64
	seed    uint64
	seen    uint64  // points learnt, those too that only filled the first shingle
	age     float64 // sum of decay since the keys were last brought back

	trees  []tree
	stride int // nodes, and slots of the sample, that each tree has room for
	nodes  []node
	far    []uint16 // of each node: its dimension, when that is farDim or more
	side   indexes  // of each node: its mass, below boxMass or of equal points; else boxMass + its box
	keys   []key    // of each slot of the sample
	ids    indexes  // of each slot: its point
	points points
	boxes  boxes

	weights []float32 // of each dimension, in the choice of cuts; the largest is 1; zeros follow to a multiple of lanes
	recent  []float32 // the shingle: the last points, oldest first
	clock   clock
	wide    []float32 // for the scratch of learning, when more than lanes wide
}

// New returns an empty forest for points of dim values. It fails only on a Config out of range.
func New(dim int, c Config) (*Forest, error) {
	c = c.withDefaults()
	if err := c.check(dim); err != nil {
		return nil, err
	}
	f := &Forest{
		dim: dim, shingle: c.ShingleSize, width: dim * c.ShingleSize,
		samples: c.NumSamplesPerTree, decay: max(c.TimeDecay, 0), seed: c.Seed, compact: c.Compact,
		trees: make([]tree, c.NumTrees),
	}
	f.clock.interval = c.Interval
	f.boxMass = c.boxMass(dim)
	f.points.dim, f.points.width, f.boxes.width = f.dim, f.width, f.width
	f.recent = make([]float32, 0, f.width)
	if f.width > lanes {
		f.wide = make([]float32, 3*padded(f.width))
	}
	f.weights = make([]float32, padded(f.width))
	for d := range f.width {
		f.weights[d] = 1
	}
	seed := rng(c.Seed)
	for t := range f.trees {
		f.trees[t].rng = rng(seed.next())
		f.trees[t].free = noNode
	}
	return f, nil
}

// Dim returns how many values a point has.
func (f *Forest) Dim() int { return f.dim }

// NumTrees returns how many trees there are.
func (f *Forest) NumTrees() int { return len(f.trees) }

// ShingleSize returns how many points in a row are scored as one.
func (f *Forest) ShingleSize() int { return f.shingle }

// Seen returns how many points the forest has learnt from since it was made.
func (f *Forest) Seen() uint64 { return f.seen }

// Ready says that there are points to compare with: a score before is 0.
func (f *Forest) Ready() bool { return f.trees[0].size > 0 && len(f.recent) == f.width }

// SetTimeDecay changes how fast the past fades from now on: 1/decay points is the mean age in the sample.
func (f *Forest) SetTimeDecay(decay float64) error {
	if !(decay >= 0 && decay <= 1) {
		return fmt.Errorf("%w: time decay %v; 0 to 1", ErrRange, decay)
	}
	f.decay = decay
	return nil
}

// SetWeights makes coordinates count more or less in the choice of cuts from now on, as if the axes were stretched, without
// touching what is stored. Only their proportions matter; a weight is above 0 and finite. It gives features of different
// units equal standing, and follows them when their spread changes.
func (f *Forest) SetWeights(weights []float64) error {
	if len(weights) != f.dim {
		return fmt.Errorf("%w: %d weights for %d dimensions", ErrRange, len(weights), f.dim)
	}
	top := 0.0
	for d, w := range weights {
		if !(w > 0) || math.IsInf(w, 0) {
			return fmt.Errorf("weight: %w", &PointError{Dim: d, Value: w})
		}
		top = max(top, w)
	}
	for i := range f.width {
		// A weight that vanishes beside the others still tells equal points from different ones.
		f.weights[i] = float32(max(weights[i%f.dim]/top, 1e-6))
	}
	return nil
}

// ScoreAndUpdate returns the score of x as the forest knows the world before it, and then learns x. The score is 0 or more,
// around 1 for what is ordinary, and 0 until there is something to compare with. A coordinate that is NaN or infinite is a
// [*PointError] and changes nothing.
func (f *Forest) ScoreAndUpdate(x []float64) (float64, error) {
	s := scratch{wide: f.wide}
	p, err := f.enter(&s, x)
	if err != nil {
		return 0, err
	}
	f.seen++
	if !f.push(p) {
		return 0, nil
	}
	return f.learn(&s, p), nil
}

// Score returns the score that x would have as the next point. Nothing is learnt. Like all methods that learn nothing and
// change no setting, it may be called by several goroutines at once, while none learns.
func (f *Forest) Score(x []float64) (float64, error) {
	var s scratch
	p, err := f.enter(&s, x)
	if err != nil || !f.full() {
		return 0, err
	}
	sum := 0.0
	norm := newNorm(int(f.trees[0].size))
	for t := range f.trees {
		if t%4 == 0 {
			f.descend(&s, p, t)
		}
		sum += f.visit(&s, p, t, nil, norm)
	}
	return sum / float64(len(f.trees)), nil
}

// full says that with one more point there is a shingle.
func (f *Forest) full() bool { return len(f.recent)+f.dim >= f.width }

// enter returns the shingle that ends in x.
func (f *Forest) enter(s *scratch, x []float64) ([]float32, error) {
	if len(x) != f.dim {
		return nil, fmt.Errorf("%w: a point of %d values for %d dimensions", ErrRange, len(x), f.dim)
	}
	for d, v := range x {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, &PointError{Dim: d, Value: v}
		}
	}
	p := s.room(f.width)
	old := f.recent
	if len(old) == f.width {
		old = old[f.dim:]
	}
	at := f.width - f.dim - len(old)
	copy(p[at:], old)
	for d, v := range x {
		p[f.width-f.dim+d] = coordinate(v)
	}
	return p, nil
}

// coordinate returns v as the trees see it.
func coordinate(v float64) float32 {
	if math.Abs(v) < minAbs {
		v = 0
	}
	return float32(min(max(v, -maxAbs), maxAbs))
}

// push makes p the shingle that the next point follows, and says whether it is full.
func (f *Forest) push(p []float32) bool {
	f.recent = append(f.recent[:0], p[f.width-min(f.width, len(f.recent)+f.dim):]...)
	return len(f.recent) == f.width
}

// learn scores p in every tree and offers it to every tree's sample.
func (f *Forest) learn(s *scratch, p []float32) float64 {
	f.makeRoom(int(f.trees[0].size))
	id := f.addPoint(p)
	scale := math.Exp(f.age)
	sum := 0.0
	norm := newNorm(int(f.trees[0].size))
	for t := range f.trees {
		if t%4 == 0 {
			f.descend(s, p, t)
		}
		k, ok := f.offer(t, scale)
		if !ok {
			sum += f.visit(s, p, t, nil, norm)
			continue
		}
		var in insertion
		sum += f.visit(s, p, t, &in, norm)
		f.ids.set(t*f.stride+int(f.trees[t].spare), id)
		f.insert(s, p, t, &in)
		f.points.hold(id)
		if out := f.keep(t, k, id); out >= 0 {
			old := f.ids.at(t*f.stride + out)
			f.remove(s, t, out)
			f.points.drop(old)
		}
	}
	if f.points.refs.at(id) == 0 {
		f.points.release(id)
	}
	f.pass(1)
	return sum / float64(len(f.trees))
}

// addPoint stores p, which no tree refers to yet.
func (f *Forest) addPoint(p []float32) int {
	if f.points.full() {
		number := f.points.squeeze()
		for t := range f.trees {
			tr, base := &f.trees[t], t*f.stride
			for i := range int(tr.size) + 1 {
				if i != int(tr.spare) {
					f.ids.set(base+i, int(number[f.ids.at(base+i)]))
				}
			}
		}
	}
	return f.points.add(p)
}

// Bytes returns what the forest holds in memory, everything counted.
func (f *Forest) Bytes() int {
	return forestBytes + treeBytes*cap(f.trees) + 8*cap(f.nodes) + 2*(cap(f.far)+cap(f.keys)) + f.side.bytes() + f.ids.bytes() +
		f.points.bytes() + f.boxes.bytes() + 4*(cap(f.weights)+cap(f.recent)+cap(f.wide))
}

// rng is splitmix64: eight bytes of state, so that each tree has its own and a model carries it.
type rng uint64

func (r *rng) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// float returns a number in [0,1).
func (r *rng) float() float64 { return float64(r.next()>>11) * 0x1p-53 }
