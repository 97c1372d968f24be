package deepar

import (
	"errors"
	"fmt"
)

// Config says what a model is and how it learns. Freq, PredictionLength and Epochs are required; the zero value of the rest means
// SageMaker's defaults.
type Config struct {
	Freq             Freq
	PredictionLength int // steps that are forecast
	ContextLength    int // steps before them that the model is conditioned on, besides the lags; PredictionLength when 0
	Epochs           int

	Likelihood         Likelihood // StudentT when ""
	NumLayers          int        // 2 when 0; 1 to 8
	NumCells           int        // 40 when 0; 1 to 1024
	DropoutRate        *float64   // zoneout: the chance that a cell keeps its last state; 0.1 when nil; 0 to 0.9
	EmbeddingDimension int        // of a category; 10 when 0; 1 to 256

	LearningRate    float64 // 0.001 when 0; the highest: it falls toward 0 over the second half
	MiniBatchSize   int     // windows; 128 when 0
	BatchesPerEpoch int     // 50 when 0, as in GluonTS; SageMaker doesn't publish its own
	// EarlyStoppingPatience ends training after so many epochs without progress, and returns the best. 0 trains all epochs.
	EarlyStoppingPatience int

	IgnoreCat         bool // cat is passed over
	IgnoreDynamicFeat bool // dynamic_feat is passed over
	ByScale           bool // windows are drawn from a series by the root of its scale, not evenly

	Seed    uint64
	Workers int // goroutines; GOMAXPROCS when 0. The result is the same whatever it is
}

// ErrConfig means that a Config asks for something out of range.
var ErrConfig = errors.New("out of range")

func (c *Config) setDefaults() {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&c.ContextLength, c.PredictionLength)
	def(&c.NumLayers, 2)
	def(&c.NumCells, 40)
	def(&c.EmbeddingDimension, 10)
	def(&c.MiniBatchSize, 128)
	def(&c.BatchesPerEpoch, 50)
	if c.DropoutRate == nil {
		c.DropoutRate = new(0.1)
	}
	if c.LearningRate == 0 {
		c.LearningRate = 1e-3
	}
	if c.Likelihood == "" {
		c.Likelihood = StudentT
	}
}

// check returns all that is out of range.
func (c *Config) check() error {
	var errs []error
	between := func(name string, v, lo, hi int) {
		if v < lo || v > hi {
			errs = append(errs, fmt.Errorf("%w: %s %d: want %d to %d", ErrConfig, name, v, lo, hi))
		}
	}
	if unitSeconds[c.Freq.Unit] == 0 || c.Freq.N < 1 {
		errs = append(errs, fmt.Errorf("%w: no frequency", ErrConfig))
	}
	between("prediction length", c.PredictionLength, 1, 10000)
	between("context length", c.ContextLength, 1, 10000)
	between("epochs", c.Epochs, 1, 100000)
	between("layers", c.NumLayers, 1, 8)
	between("cells", c.NumCells, 1, 1024)
	between("embedding dimension", c.EmbeddingDimension, 1, 256)
	between("mini-batch size", c.MiniBatchSize, 1, 8192)
	between("batches an epoch", c.BatchesPerEpoch, 1, 100000)
	between("early stopping patience", c.EarlyStoppingPatience, 0, 100000)
	if !(*c.DropoutRate >= 0 && *c.DropoutRate <= 0.9) {
		errs = append(errs, fmt.Errorf("%w: dropout rate %v: want 0 to 0.9", ErrConfig, *c.DropoutRate))
	}
	if !(c.LearningRate > 0 && c.LearningRate <= 1) {
		errs = append(errs, fmt.Errorf("%w: learning rate %v: want above 0, to 1", ErrConfig, c.LearningRate))
	}
	if !c.Likelihood.valid() {
		errs = append(errs, fmt.Errorf("%w: likelihood %q: want %s, %s, %s, %s or %s", ErrConfig, c.Likelihood,
			StudentT, Gaussian, Beta, NegativeBinomial, DeterministicL1))
	}
	return errors.Join(errs...)
}
