package detect

import (
	"fmt"
	"math"
	"time"
	"unsafe"

	"homeostat/internal/detect/outlook"
	"homeostat/rcf"
)

// The forests of a model of full size, and of a small one: of a single series, of which there may be tens of thousands. A small
// one holds a twelfth. Its trees are smaller and remember as long, without which it loses .02 of average precision on NASA's
// channels. With it nothing is lost: .326 full, .330 small, the mean over four tuning sets of docs/detection.md.
const (
	fullTrees, fullSamples   = trees, 256 // in all forests; in each tree
	smallTrees, smallSamples = 16, 96
)

// forest says how the i-th forest grows, which sees shingle points as one.
func (c *ModelConfig) forest(i, shingle int) rcf.Config {
	rc := rcf.Config{NumTrees: fullTrees, NumSamplesPerTree: fullSamples, ShingleSize: shingle, Seed: c.Seed + uint64(i)}
	if c.Small {
		rc.NumTrees, rc.NumSamplesPerTree = smallTrees, smallSamples
		rc.TimeDecay = 1.0 / (10 * fullSamples)
	}
	rc.NumTrees /= len(c.shingles())
	return rc
}

// Bytes returns what a model comes to hold in memory once it has seen enough, everything counted.
func (c ModelConfig) Bytes() (int, error) {
	n := len(c.Features)
	if n == 0 {
		return 0, fmt.Errorf("a model without features")
	}
	f := newFeature()
	total := int(unsafe.Sizeof(Model{})) + 4*scoreBins + n*(int(unsafe.Sizeof(f))+16*8)
	for _, s := range f.sketches() {
		total += n * 4 * len(s.bins)
	}
	for i, s := range c.shingles() {
		rc := c.forest(i, s)
		b, err := rc.Bytes(n)
		if err != nil {
			return 0, err
		}
		total += b
	}
	return total, nil
}

// Quote says what a detector will hold in memory, before it is spent.
type Quote struct {
	Detector string  `json:"detector"`
	Entities int     `json:"entities"`
	Series   int     `json:"series"` // in all
	Models   int     `json:"models"`
	PerModel int     `json:"bytes_per_model"`
	Bytes    int64   `json:"bytes"` // of all models, once they have seen enough
	Points   float64 `json:"points_per_second"`
}

// watchedBytes is what one model's surroundings hold: its meters, the names of its bands, its places in maps.
const watchedBytes = 6 << 10

// Quote returns what the detector holds for so many entities, with perEntity series each that its selectors match (of a
// detector with a model for each; 0: one for each selector). Of one that looks ahead they are its endpoints.
func (c Config) Quote(entities, perEntity int) (Quote, error) {
	c, err := c.withDefaults()
	if err != nil {
		return Quote{}, err
	}
	if c.Kind == kindOutlook {
		q := Quote{Detector: c.Name, Entities: entities, Models: entities * max(perEntity, 1), PerModel: outlook.EndpointBytes(len(c.Series))}
		q.Series, q.Bytes = q.Models*len(c.Series), int64(q.Models)*int64(q.PerModel)
		q.Points = float64(q.Models) / c.Interval.Seconds()
		return q, nil
	}
	ins, err := c.inputs()
	if err != nil {
		return Quote{}, err
	}
	if entities < 0 || perEntity < 0 || float64(entities)*float64(max(perEntity, len(ins))) > math.MaxInt32 {
		return Quote{}, fmt.Errorf("detector %s: %d entities of %d series", c.Name, entities, perEntity)
	}
	if perEntity == 0 {
		perEntity = len(ins)
	}
	q := Quote{Detector: c.Name, Entities: entities, Series: entities * perEntity, Models: entities}
	features := make([]Feature, len(ins))
	if c.Each {
		q.Models, features = q.Series, features[:1]
	}
	one, err := c.model(features).Bytes()
	if err != nil {
		return Quote{}, err
	}
	q.PerModel = one + watchedBytes
	q.Bytes = int64(q.Models) * int64(q.PerModel)
	q.Points = float64(q.Models) / (float64(c.Interval) / float64(time.Second))
	return q, nil
}

// Bytes returns what the models in memory come to hold once they have seen enough. Safe for concurrent use.
func (r *Runner) Bytes() int64 { return r.bytes.Load() }

// model says what the models of the detector are, with these features.
func (c Config) model(features []Feature) ModelConfig {
	return ModelConfig{Features: features, Interval: c.Interval, Alarms: c.Alarms, Percentile: c.Percentile, Small: len(features) == 1}
}
