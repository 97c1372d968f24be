package access

import "math"

// part is one thing that an episode is judged by. Each falls into one of a few bins; how a bin is filled by ordinary life is
// learnt, how an intruder fills it is a stated belief (suspicion).
type part int

const (
	network  part = iota // how well the user, else the organisation, knows the network
	hours                // hours of the day at which this user is rarely there
	agent                // the program that calls
	novelty              // services and APIs that are new for the user, weighted by how rare they are in the organisation
	gravity              // the gravest of what is new for the user: reconnaissance, secrets, persistence
	where                // region
	things               // resources that the user touches for the first time
	refusals             // calls that were denied
	overlap              // the same user at a better known place at the same time
	volume               // many more calls than the user makes
	nearness             // how far the address lies from those of the user, by an embedding (embedding.go)
	parts
)

// bins is how many there are at most; orgMany is the first of the network's that the user itself doesn't know.
const (
	bins    = 13
	orgMany = 7
)

// names are what a finding's attribution calls the parts.
var names = [parts]string{"network", "hours", "agent", "novelty", "gravity", "region", "resources", "refusals", "overlap", "volume", "embedding"}

// weights discount parts that tell the same story twice: a journey brings a new network, new hours and a new agent at once.
var weights = [parts]float64{1, .6, .6, .8, .7, .7, .5, .7, .8, .4, .4}

// suspicion is how episodes of an intruder would fill the bins: beliefs, wide ones, and no result of training. Only their
// ratio to what ordinary life fills counts.
var suspicion = [parts][bins]float64{
	network:  {.02, .02, .03, .02, .02, .03, .05, .04, .06, .14, .09, .13, .35},
	hours:    {.40, .20, .20, .20},
	agent:    {.30, .10, .15, .15, .30},
	novelty:  {.20, .10, .15, .20, .20, .15},
	gravity:  {.35, .20, .20, .25},
	where:    {.70, .18, .12},
	things:   {.45, .20, .15, .10, .10},
	refusals: {.60, .15, .13, .12},
	overlap:  {.50, .20, .30},
	volume:   {.75, .15, .10},
	nearness: {.20, .20, .20, .20, .20},
}

// ordinary is what the bins are believed to be filled with before anything was seen, worth a few episodes.
var ordinary = [parts][bins]float64{
	network:  {.60, .08, .05, .06, .03, .03, .02, .04, .02, .01, .015, .01, .035},
	hours:    {.80, .12, .06, .02},
	agent:    {.90, .05, .03, .01, .01},
	novelty:  {.75, .10, .08, .04, .02, .01},
	gravity:  {.93, .04, .02, .01},
	where:    {.96, .03, .01},
	things:   {.75, .13, .08, .03, .01},
	refusals: {.92, .05, .02, .01},
	overlap:  {.95, .03, .02},
	volume:   {.95, .04, .01},
	nearness: {.52, .32, .11, .03, .02},
}

// kinds of users: they live differently, and a newcomer is judged by how others of its kind began.
const (
	person = iota
	machine
	service
	kinds
)

// tally counts how often each bin of each part was filled.
type tally struct {
	Bins [parts][bins]float32
	N    float32
}

func (t *tally) add(v *[parts]uint8, w float32) {
	for p := range v {
		t.Bins[p][v[p]] = max(0, t.Bins[p][v[p]]+w) // what is taken back has faded since
	}
	t.N = max(0, t.N+w)
}

func (t *tally) fade(f float32) {
	for p := range t.Bins {
		for b := range t.Bins[p] {
			t.Bins[p][b] *= f
		}
	}
	t.N *= f
}

const (
	shyness = 20 // episodes that the beliefs about ordinary life are worth in an organisation
	kinship = 6  // episodes that the organisation's life is worth in a user's
)

// ratios returns, for each part, the logarithm of how much likelier its bin is for an intruder than for this user, weighted.
// What a user does is what it did, with what its like did as prior, with the beliefs as prior of that.
func ratios(v *[parts]uint8, own, like *tally) (r [parts]float64) {
	for p := range v {
		b := v[p]
		group := (float64(like.Bins[p][b]) + shyness*ordinary[p][b]) / (float64(like.N) + shyness)
		ours := (float64(own.Bins[p][b]) + kinship*group) / (float64(own.N) + kinship)
		r[p] = weights[p] * max(-4, min(7, math.Log(suspicion[p][b]/ours)))
	}
	return r
}

// bin returns the index of the first limit that x doesn't exceed.
func bin(x float64, limits ...float64) uint8 {
	for i, l := range limits {
		if x <= l {
			return uint8(i)
		}
	}
	return uint8(len(limits))
}
