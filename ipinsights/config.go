package ipinsights

import (
	"errors"
	"fmt"
	"net/netip"
)

// Config says what to train. NumEntityVectors and VectorDim are required, as in SageMaker; for the rest, 0 and nil mean
// SageMaker's defaults.
type Config struct {
	NumEntityVectors  int      // entities share this many vectors by hash: twice the number of entities is right; 1 to 250,000,000
	VectorDim         int      // length of the vectors; 4 to 4096
	Epochs            int      // 10 when 0
	MiniBatchSize     int      // pairs of one step; 10,000 when 0; 1 to 500,000
	LearningRate      float64  // of Adam; 0.001 when 0; 1e-6 to 10
	WeightDecay       *float64 // of the L2 penalty; 0.00001 when nil; 0 to 10
	EncoderLayers     *int     // hidden layers of the address's encoder; 1 when nil; 0 to 100
	RandomNegatives   *int     // addresses drawn for each pair; 1 when nil; 0 to 500
	ShuffledNegatives *int     // addresses of other pairs for each pair; 1 when nil; 0 to 500
	Seed              uint64
	Workers           int            // goroutines; as many as processors when 0. The result doesn't depend on it
	Progress          func(Progress) // called after each epoch, where not nil
}

// Progress is where a training stands after an epoch.
type Progress struct {
	Epoch int     // from 1
	Loss  float64 // mean over the epoch's pairs, made-up ones among them
	AUC   float64 // validation:discriminator_auc; NaN without validation pairs
}

// Pair is an entity at an address.
type Pair struct {
	Entity string
	IP     netip.Addr
}

// maxWeights bounds a model's numbers: beyond it, configuration is taken for a mistake rather than for 16 GiB.
const maxWeights = 4 << 30

func (c Config) check() (Config, error) {
	var errs []error
	hold := func(name string, v, least, most float64) {
		if !(v >= least && v <= most) {
			errs = append(errs, fmt.Errorf("%s %v: want %v to %v", name, v, least, most))
		}
	}
	if c.Epochs == 0 {
		c.Epochs = 10
	}
	if c.MiniBatchSize == 0 {
		c.MiniBatchSize = 10_000
	}
	if c.LearningRate == 0 {
		c.LearningRate = 0.001
	}
	if c.WeightDecay == nil {
		c.WeightDecay = new(0.00001)
	}
	for _, p := range [...]**int{&c.EncoderLayers, &c.RandomNegatives, &c.ShuffledNegatives} {
		if *p == nil {
			*p = new(1)
		}
	}
	hold("num_entity_vectors", float64(c.NumEntityVectors), 1, 250_000_000)
	hold("vector_dim", float64(c.VectorDim), 4, 4096)
	hold("epochs", float64(c.Epochs), 1, 1<<31)
	hold("mini_batch_size", float64(c.MiniBatchSize), 1, 500_000)
	hold("learning_rate", c.LearningRate, 1e-6, 10)
	hold("weight_decay", *c.WeightDecay, 0, 10)
	hold("num_ip_encoder_layers", float64(*c.EncoderLayers), 0, 100)
	hold("random_negative_sampling_rate", float64(*c.RandomNegatives), 0, 500)
	hold("shuffled_negative_sampling_rate", float64(*c.ShuffledNegatives), 0, 500)
	if len(errs) == 0 && int64(c.NumEntityVectors)*int64(stride(c.VectorDim)) > maxWeights {
		errs = append(errs, fmt.Errorf("num_entity_vectors %d of vector_dim %d: %d numbers, %d at most", c.NumEntityVectors, c.VectorDim, int64(c.NumEntityVectors)*int64(c.VectorDim), int64(maxWeights)))
	}
	return c, errors.Join(errs...)
}
