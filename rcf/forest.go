package rcf

import (
	"errors"
	"fmt"
	"math"
)

// Config says how a forest grows. The zero value means SageMaker's defaults.
type Config struct {
	NumTrees          int     // 100 when 0; 1 to 1000 (SageMaker's own least, 50, is held where its contract is)
	NumSamplesPerTree int     // 256 when 0; 2 to 2048
	ShingleSize       int     // 1 when 0; 1 to 256: how many points in a row are scored as one
	TimeDecay         float64 // 1/(10 x samples) when 0; below 0 none: the sample is then uniform over all that was seen
	Seed              uint64  // kept in the model
}

// Limits of what a Config may ask for.
const (
	maxTrees   = 1000
	maxSamples = 2048
	maxShingle = 256
	maxWidth   = 60000 // dimensions x shingle; node.dim is 16 bits and its highest value is taken
	maxAbs     = 1e30  // coordinates are held within it: sums of extents stay far from float32's end
	minAbs     = 1e-30 // and below it are 0: so that the weighted distance of two different points never is
)

// ErrRange means that a Config, or a call, asked for something out of range.
var ErrRange = errors.New("out of range")

// PointError says which coordinate of a point can't be taken.
type PointError struct {
	Dim   int
	Value float64
}

// Error names the coordinate and its value.
func (e *PointError) Error() string {
	return fmt.Sprintf("coordinate %d is %v", e.Dim, e.Value)
}

// Forest is a Robust Random Cut Forest. Make it with [New] or restore it with [Forest.UnmarshalBinary].
type Forest struct {
	dim     int // of a point
	shingle int
	width   int // dim x shingle: of what the trees see
	samples int // per tree
	boxMass int // points from which on a subtree keeps its bounding box
	decay   float64
	seed    uint64
	seen    uint64  // points learnt, those too that only filled the first shingle
	age     float64 // sum of decay since the weights were last rebased

	trees   []tree
	nodes   []node  // tree t has [t*samples, (t+1)*samples): one more than a full tree needs, as insert comes before delete
	boxOf   []int32 // of each node: its box in boxes, or -1
	entries []entry // tree t's sample, a heap with the largest key first
	points  points
	boxes   boxes
	weights []float32 // of each dimension, in the choice of cuts; the largest is 1

	recent []float32 // the shingle: the last points, oldest first
	inv    []float64 // inv[d] is 1/(d+1)

	p, lo, hi []float32 // scratch of width
	path      []int32   // scratch: the nodes from root to leaf
	stack     []int32   // scratch of walks over subtrees
}

// entry is one point in a tree's sample. The samples with the smallest keys stay.
type entry struct {
	key   float32 // -ln(uniform) x exp(-decay x time)
	point int32
}

// New returns an empty forest for points of dim values. It fails only on a Config out of range.
func New(dim int, c Config) (*Forest, error) {
	if c.NumTrees == 0 {
		c.NumTrees = 100
	}
	if c.NumSamplesPerTree == 0 {
		c.NumSamplesPerTree = 256
	}
	if c.ShingleSize == 0 {
		c.ShingleSize = 1
	}
	switch {
	case c.TimeDecay == 0:
		c.TimeDecay = 1 / (10 * float64(c.NumSamplesPerTree))
	case c.TimeDecay < 0:
		c.TimeDecay = 0
	}
	if err := check(dim, c); err != nil {
		return nil, err
	}
	f := &Forest{
		dim: dim, shingle: c.ShingleSize, width: dim * c.ShingleSize,
		samples: c.NumSamplesPerTree, decay: c.TimeDecay, seed: c.Seed,
	}
	f.allocate(c.NumTrees)
	seed := rng(c.Seed)
	for t := range f.trees {
		f.trees[t].rng = rng(seed.next())
	}
	return f, nil
}

func check(dim int, c Config) error {
	switch {
	case dim < 1 || c.ShingleSize < 1 || c.ShingleSize > maxShingle || dim > maxWidth/c.ShingleSize:
		return fmt.Errorf("%w: %d dimensions in shingles of %d; their product may be 1 to %d, a shingle 1 to %d",
			ErrRange, dim, c.ShingleSize, maxWidth, maxShingle)
	case c.NumTrees < 1 || c.NumTrees > maxTrees:
		return fmt.Errorf("%w: %d trees; 1 to %d", ErrRange, c.NumTrees, maxTrees)
	case c.NumSamplesPerTree < 2 || c.NumSamplesPerTree > maxSamples:
		return fmt.Errorf("%w: %d samples per tree; 2 to %d", ErrRange, c.NumSamplesPerTree, maxSamples)
	case !(c.TimeDecay >= 0 && c.TimeDecay <= 1):
		return fmt.Errorf("%w: time decay %v; up to 1", ErrRange, c.TimeDecay)
	}
	return nil
}

// allocate makes the arenas of an empty forest whose sizes are set.
func (f *Forest) allocate(numTrees int) {
	f.trees = make([]tree, numTrees)
	f.nodes = make([]node, numTrees*f.samples)
	f.boxOf = make([]int32, len(f.nodes))
	f.entries = make([]entry, numTrees*f.samples)
	for i := range f.nodes {
		f.boxOf[i] = -1
		if (i+1)%f.samples == 0 {
			f.nodes[i].left = -1
		} else {
			f.nodes[i].left = int32(i%f.samples) + 1
		}
	}
	f.points.width, f.boxes.width = f.width, f.width
	f.recent = make([]float32, 0, f.width)
	f.boxMass = boxMass
	if f.width > 256 { // a box then costs as much as two points of the many that it saves reading
		f.boxMass = 4 * boxMass
	}
	f.inv = make([]float64, f.samples+1)
	for d := range f.inv {
		f.inv[d] = 1 / float64(d+1)
	}
	f.weights = make([]float32, f.width)
	for d := range f.weights {
		f.weights[d] = 1
	}
	f.p = make([]float32, f.width)
	f.lo = make([]float32, f.width)
	f.hi = make([]float32, f.width)
	f.path = make([]int32, 0, f.samples+1)
	f.stack = make([]int32, 0, f.samples+1)
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
	for i := range f.weights {
		// A weight that vanishes beside the others still tells equal points from different ones.
		f.weights[i] = float32(max(weights[i%f.dim]/top, 1e-6))
	}
	return nil
}

// ScoreAndUpdate returns the score of x as the forest knows the world before it, and then learns x. The score is 0 or more,
// around 1 for what is ordinary, and 0 until there is something to compare with. A coordinate that is NaN or infinite is a
// [*PointError] and changes nothing.
func (f *Forest) ScoreAndUpdate(x []float64) (float64, error) {
	if err := f.enter(x); err != nil {
		return 0, err
	}
	if !f.push() {
		return 0, nil
	}
	return f.learn(), nil
}

// push makes f.p the shingle that the next point follows, and says whether it is full.
func (f *Forest) push() bool {
	f.seen++
	f.recent = append(f.recent[:0], f.p[f.width-min(f.width, len(f.recent)+f.dim):]...)
	return len(f.recent) == f.width
}

// Score returns the score that x would have as the next point. Nothing is learnt.
func (f *Forest) Score(x []float64) (float64, error) {
	if err := f.enter(x); err != nil {
		return 0, err
	}
	if len(f.recent)+f.dim < f.width {
		return 0, nil
	}
	sum := 0.0
	for t := range f.trees {
		sum += f.visit(t, -1)
	}
	return sum / float64(len(f.trees)), nil
}

// enter lays the shingle that ends in x out in f.p.
func (f *Forest) enter(x []float64) error {
	if len(x) != f.dim {
		return fmt.Errorf("%w: a point of %d values for %d dimensions", ErrRange, len(x), f.dim)
	}
	for d, v := range x {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return &PointError{Dim: d, Value: v}
		}
	}
	old := f.recent
	if len(old) == f.width {
		old = old[f.dim:]
	}
	at := f.width - f.dim - len(old)
	clear(f.p[:at])
	copy(f.p[at:], old)
	for d, v := range x {
		if math.Abs(v) < minAbs {
			v = 0
		}
		f.p[f.width-f.dim+d] = float32(min(max(v, -maxAbs), maxAbs))
	}
	return nil
}

// learn scores f.p in every tree and offers it to every tree's sample.
func (f *Forest) learn() float64 {
	id := f.points.add(f.p)
	grown := math.Exp(f.age)
	sum := 0.0
	for t := range f.trees {
		key, ok := f.offer(t, grown)
		if !ok {
			sum += f.visit(t, -1)
			continue
		}
		sum += f.visit(t, id)
		f.points.refs[id]++
		if out := f.keep(t, entry{key, id}); out >= 0 {
			f.remove(t, out)
			f.points.drop(out)
		}
	}
	if f.points.refs[id] == 0 {
		f.points.release(id)
	}
	f.grow()
	return sum / float64(len(f.trees))
}

// grow lets a point's time pass: the weight of the next is higher.
func (f *Forest) grow() {
	if f.age += f.decay; f.age > 32 {
		// Keys shrink by exp(-age): before they leave float32 all are brought back, which keeps their order.
		for i := range f.entries {
			f.entries[i].key = float32(float64(f.entries[i].key) * math.Exp(f.age))
		}
		f.age = 0
	}
}

// Bytes returns what the forest holds in memory, everything counted.
func (f *Forest) Bytes() int {
	return 400 + cap(f.trees)*24 + cap(f.nodes)*16 + 4*cap(f.boxOf) + 8*cap(f.entries) + f.points.bytes() + f.boxes.bytes() +
		4*(cap(f.weights)+cap(f.recent)+cap(f.p)+cap(f.lo)+cap(f.hi)+cap(f.path)+cap(f.stack)) + 8*cap(f.inv)
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
