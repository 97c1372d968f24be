package rcf

import (
	"cmp"
	"errors"
	"fmt"
	"unsafe"
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
	}
	return nil
}

const (
	forestBytes = int(unsafe.Sizeof(Forest{}))
	treeBytes   = int(unsafe.Sizeof(tree{}))
)
