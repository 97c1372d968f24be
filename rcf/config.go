package rcf

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"
	"unsafe"
)

// Config says how a forest grows. The zero value means SageMaker's defaults.
type Config struct {
	NumTrees          int     // 100 when 0; 1 to 1000 (SageMaker's own least, 50, is held where its contract is)
	NumSamplesPerTree int     // 256 when 0; 2 to 2048
	ShingleSize       int     // 1 when 0; 1 to 256: how many points in a row are scored as one
	TimeDecay         float64 // 1/(10 x samples) when 0; below 0 none: the sample is then uniform over all that was seen
	Seed              uint64  // kept in the model
	Compact           bool    // less memory for less speed, with the same scores: for many small forests

	Interval time.Duration // between points, where they carry their time; see Forest.ScoreAndUpdateAt
}

// Limits of what a Config may ask for.
const (
	maxTrees   = 1000
	maxSamples = 2048 // a ref has 12 bits for them, and one more
	maxShingle = 256
	maxWidth   = 60000 // dimensions x shingle
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

func (c Config) withDefaults() Config {
	c.NumTrees = cmp.Or(c.NumTrees, 100)
	c.NumSamplesPerTree = cmp.Or(c.NumSamplesPerTree, 256)
	c.ShingleSize = cmp.Or(c.ShingleSize, 1)
	c.TimeDecay = cmp.Or(c.TimeDecay, 1/(10*float64(c.NumSamplesPerTree)))
	return c
}

func (c Config) check(dim int) error {
	switch {
	case dim < 1 || c.ShingleSize < 1 || c.ShingleSize > maxShingle || dim > maxWidth/c.ShingleSize:
		return fmt.Errorf("%w: %d dimensions in shingles of %d; their product may be 1 to %d, a shingle 1 to %d",
			ErrRange, dim, c.ShingleSize, maxWidth, maxShingle)
	case c.NumTrees < 1 || c.NumTrees > maxTrees:
		return fmt.Errorf("%w: %d trees; 1 to %d", ErrRange, c.NumTrees, maxTrees)
	case c.NumSamplesPerTree < 2 || c.NumSamplesPerTree > maxSamples:
		return fmt.Errorf("%w: %d samples per tree; 2 to %d", ErrRange, c.NumSamplesPerTree, maxSamples)
	case !(c.TimeDecay <= 1):
		return fmt.Errorf("%w: time decay %v; up to 1", ErrRange, c.TimeDecay)
	case c.Interval < 0 || c.Interval > 0 && c.Interval < time.Microsecond:
		return fmt.Errorf("%w: an interval of %v; a microsecond at least", ErrRange, c.Interval)
	}
	return nil
}

// boxMass returns the mass from which on a subtree keeps its bounding box, until it has two fewer. The box of a smaller one
// is worked out from its points on the way up: the bottom of the tree has most of the nodes, and so would have most of the
// boxes. (6 in place of 9 takes an eighth more memory for a twentieth of speed.) Of wide points a box costs as much as two
// points of the many that it saves reading.
//
// Whoever has a box, so have all above it.
func (c Config) boxMass(dim int) int {
	if c.Compact || dim*c.ShingleSize > 256 {
		return maxMerge
	}
	return 9
}

const (
	forestBytes = int(unsafe.Sizeof(Forest{}))
	treeBytes   = int(unsafe.Sizeof(tree{}))
)

// Bytes returns what a forest for points of dim values comes to hold in memory once it has its size, everything counted, so
// that it can be known before it is spent: a few percent from [Forest.Bytes] on ordinary data. It is less while the forest
// fills up and where points repeat. It fails as [New] does.
func (c Config) Bytes(dim int) (int, error) {
	c = c.withDefaults()
	if err := c.check(dim); err != nil {
		return 0, err
	}
	trees, samples, width := float64(c.NumTrees), float64(c.NumSamplesPerTree), float64(dim*c.ShingleSize)
	// A row is held when one of the points that it is in is: shingles make as many chances as they are long.
	rows := distinctPoints(trees*float64(c.ShingleSize), samples, max(c.TimeDecay, 0))
	perRow := 1. // references from the trees
	if c.NumTrees > math.MaxUint8 {
		perRow = 2
	}
	growth := 65. / 64 // half of what grown adds
	if c.ShingleSize > 1 {
		growth = 1.1 // room between two squeezes
	}
	// A random cut tree of n points has about 2n/m subtrees of m and more. Boxes that are kept for a while longer, and room for
	// the most that there ever were, make it 2.4.
	boxes := trees * min(samples-1, 2.4*samples/float64(c.boxMass(dim)))
	slot := 8. + 2 + 2 + 2 // node, side, key, point
	if width > narrow {
		slot += 2
	}
	if boxes > 65500 {
		slot += 2
	}
	if rows > 65500 {
		slot += 2
	}
	total := float64(forestBytes) + trees*float64(treeBytes) + trees*(samples+1)*slot +
		growth*rows*(4*float64(dim)+perRow) + boxes*(8*width+2) + 4*(float64(padded(int(width)))+width)
	if width > lanes {
		total += 12 * float64(padded(int(width)))
	}
	return int(total), nil
}

// distinctPoints returns how many different points the samples come to hold between them. A tree's sample holds a point of
// age a with probability 1-exp(-x exp(-decay a)), where x is such that they add up to samples; at least one of the trees does
// with 1-exp(-trees x exp(-decay a)). Both add up to Ein/decay, the entire exponential integral.
func distinctPoints(trees, samples, decay float64) float64 {
	if decay == 0 {
		return trees * samples
	}
	want := samples * decay
	lo, hi := -80.0, 10.0+want // logarithms of x
	for range 60 {
		if mid := (lo + hi) / 2; ein(mid) < want {
			lo = mid
		} else {
			hi = mid
		}
	}
	return min(trees*samples, ein(lo+math.Log(trees))/decay)
}

// ein returns the entire exponential integral of exp(l).
func ein(l float64) float64 {
	if l > 3 {
		return 0.5772156649015329 + l // and an integral below 1e-9
	}
	z := math.Exp(l)
	sum, term := 0.0, 1.0
	for k := 1.0; k < 120; k++ {
		term *= -z / k
		sum -= term / k
	}
	return sum
}
