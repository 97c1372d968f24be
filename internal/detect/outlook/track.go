package outlook

import (
	"math"
	"slices"

	"homeostat/internal/signal"
)

// levels of a forecast: the band of 80 % is the second to the last but one.
var levels = []float64{0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98}

const (
	bottom = 1 // of levels: the band
	middle = 3
	top    = 5
)

// track is one series of one endpoint by the minute. Its exported fields are what a checkpoint keeps.
type track struct {
	Phase    int64
	Values   []float32 // the last keep, oldest first; NaN is missing
	End      int64     // the minute after the last
	From     int64     // the first minute of the forecast
	Fan      [][]float64
	Method   string    // where the forecast comes from
	Strange  []float64 // surprise of the last minutes that were judged
	Latest   float64
	Judged   int
	Tail     tail
	Near     calibration // of the minutes up to the next forecast
	Far      calibration // of those after them
	Aim      aim
	Open     *signal.Anomaly
	Breaches []signal.Breach // that are told and not over
}

// calibration is how the band of 80 % does.
type calibration struct {
	Covered float64 // share of late within it
	Factor  float64 // on its distance from the median
}

// aim is the band of one forecast, kept for an hour to see what comes of it.
type aim struct {
	From         int64
	Lower, Upper []float64
}

func newTrack(phase int64) *track {
	return &track{Phase: phase, Tail: newTail(), Near: calibration{0.8, 1}, Far: calibration{0.8, 1}}
}

// push appends the value of minute k.
func (t *track) push(k int64, v float64) {
	t.Values = append(t.Values, float32(v))
	if len(t.Values) >= keep+keep/4 { // now and then, as it moves all
		t.Values = append(t.Values[:0], t.Values[len(t.Values)-keep:]...)
	}
	t.End = k + 1
}

func (t *track) observed() int {
	n := 0
	for _, v := range t.Values {
		if v == v {
			n++
		}
	}
	return n
}

// confidence grows over the first day.
func (t *track) confidence() float64 { return min(1, float64(t.observed())/1440) }

// band is the forecast of minute k; NaN where there is none.
func (t *track) band(k int64) (lower, median, upper float64) {
	s := int(k - t.From)
	if t.Fan == nil || s < 0 || s >= horizon {
		return math.NaN(), math.NaN(), math.NaN()
	}
	return t.Fan[bottom][s], t.Fan[middle][s], t.Fan[top][s]
}

const (
	together = 5    // minutes that are judged together
	mostTold = 12.0 // surprise of one of them, in nats: no lone one is enough
)

// The paces of calibration: over how many minutes the share within the band is taken, and by how much a minute moves the band. What
// one forecast says of its far minutes goes together, so that they count for less.
const (
	nearMemory, nearPace = 1.0 / 360, 0.02
	farMemory, farPace   = 1.0 / 1440, 0.004
	leastCovered         = 0.77
	mostCovered          = 0.83
)

// effect is how far from what was forecast a value of a feature is nobody's trouble, however steady it was before.
func effect(feature string, median float64) float64 {
	switch feature {
	case Errors:
		return 0.005
	case Disk:
		return 0.01
	}
	return 0.05 * math.Abs(median)
}

// judge compares minute k with its forecast.
func (t *track) judge(feature string, k int64, v float64) {
	if s := int(k - t.Aim.From); s >= every && s < len(t.Aim.Lower) {
		t.Far.see(v, t.Aim.Lower[s], t.Aim.Upper[s], farMemory, farPace)
	}
	s := int(k - t.From)
	if math.IsNaN(v) || t.Fan == nil || s < 0 || s >= horizon {
		return
	}
	t.Strange = append(t.Strange, t.surprise(feature, s, v))
	if len(t.Strange) > together {
		t.Strange = t.Strange[1:]
	}
	t.Judged++
	t.Near.see(v, t.Fan[bottom][s], t.Fan[top][s], nearMemory, nearPace)
	if t.Open == nil {
		t.Tail.see(t.raw())
	}
}

// surprise is how far v lies in the tail of step s: -ln of the share of the forecast that lies further out, whose mean is 1 were the
// forecast true. Of requests it is either tail: that nobody asks any more is trouble too. Of the rest it is the upper one, as
// nobody is troubled by what is faster, or fails less often, than was forecast.
func (t *track) surprise(feature string, s int, v float64) float64 {
	if median := t.Fan[middle][s]; math.Abs(v-median) <= effect(feature, median) {
		return 0
	}
	p := t.above(s, v)
	if feature == Requests {
		p = 2 * min(p, 1-p)
	}
	return min(-math.Log(max(p, 1e-12)), mostTold)
}

// see takes note of whether v was within its band, and widens or narrows the next where too few or too many are. A band without
// width says nothing.
func (c *calibration) see(v, lower, upper, memory, pace float64) {
	if !(upper > lower) || math.IsNaN(v) {
		return
	}
	inside := 0.0
	if v >= lower && v <= upper {
		inside = 1
	}
	c.Covered += (inside - c.Covered) * memory
	if c.Covered < leastCovered || c.Covered > mostCovered {
		c.Factor = min(max(c.Factor*math.Exp(pace*(0.8-inside)), 0.3), 5)
	}
}

// foretell makes fan the forecast from minute from on, its band as wide as what came of those before asks for.
func (t *track) foretell(from int64, fan [][]float64, method string) {
	for s := range horizon {
		factor := t.Near.Factor
		if s >= every {
			factor = t.Far.Factor
		}
		median := fan[middle][s]
		for l := range fan {
			fan[l][s] = max(0, median+factor*(fan[l][s]-median)) // what is counted can't fall below 0
		}
	}
	t.From, t.Fan, t.Method = from, fan, method
	if len(t.Aim.Lower) == 0 || from >= t.Aim.From+horizon {
		t.Aim = aim{from, slices.Clone(fan[bottom]), slices.Clone(fan[top])}
	}
}

// score is -log10 of the chance that the last minutes together are as strange as they are: by how often as much was seen.
func (t *track) score() float64 { return t.Tail.chance(t.raw()) }

// raw is -log10 of the chance that the last minutes together are as strange as they are, were the forecast true, and each minute a
// draw of its own: the sum of their surprises then has a gamma distribution.
func (t *track) raw() float64 {
	sum, term, q := 0.0, 1.0, 0.0
	for _, e := range t.Strange {
		sum += e
	}
	for i := range len(t.Strange) {
		if i > 0 {
			term *= sum / float64(i)
		}
		q += term
	}
	if q == 0 {
		return 0
	}
	return max(0, (sum-math.Log(q))/math.Ln10)
}

// tail is what raw scores come to in ordinary life. The minutes of one forecast err together, and no distribution is quite true: scores
// above 1 are more often than one in ten, and lie further above it. Beyond 1 they are taken to fall off exponentially (peaks over a threshold).
// It begins with what is thought usual, worth tailPrior minutes, and remembers some three days.
type tail struct {
	Over   float64 // share of minutes above 1
	Excess float64 // mean of how far above, of those
	Seen   float64 // minutes
}

const (
	tailPrior  = 500.0
	tailMemory = 4320.0
	tailOver   = 0.15
	tailExcess = 0.8
	mostExcess = 4.0 // of one minute: trouble isn't ordinary life
)

func newTail() tail { return tail{tailOver, tailExcess, tailPrior} }

// see takes a score on record.
func (t *tail) see(score float64) {
	t.Seen = min(t.Seen+1, tailMemory)
	over := 0.0
	if score > 1 {
		over = 1
		t.Excess += (min(score-1, mostExcess) - t.Excess) / max(t.Seen*t.Over, 1)
	}
	t.Over += (over - t.Over) / t.Seen
}

// chance is -log10 of how often a score is as high.
func (t *tail) chance(score float64) float64 {
	if score <= 1 {
		return min(score, -math.Log10(t.Over))
	}
	return max(0, -math.Log10(t.Over)) + (score-1)/(t.Excess*math.Ln10)
}

// undecided says that what is strange of late may yet be an anomaly: a forecast from it would take it for ordinary. The one before
// holds on for ten minutes at most.
func (t *track) undecided(k int64) bool {
	return t.Open == nil && t.score() >= ends && k-t.From < 3*every
}

// above is the forecast's probability that step s lies above v: between two levels by a straight line, beyond the last by an
// exponential tail as steep as the stretch before it.
func (t *track) above(s int, v float64) float64 {
	q := func(i int) float64 { return t.Fan[i][s] }
	n := len(levels)
	tail := func(beyond, stretch, share, ratio float64) float64 {
		if stretch <= 0 {
			return 0
		}
		return share * math.Exp(-beyond/stretch*math.Log(ratio))
	}
	switch {
	case v >= q(n-1):
		if v == q(0) { // a band without width, and right
			return 0.5
		}
		return tail(v-q(n-1), q(n-1)-q(n-2), 1-levels[n-1], (1-levels[n-2])/(1-levels[n-1]))
	case v < q(0):
		return 1 - tail(q(0)-v, q(1)-q(0), levels[0], levels[1]/levels[0])
	}
	i := 0
	for v >= q(i+1) {
		i++
	}
	return 1 - (levels[i] + (levels[i+1]-levels[i])*(v-q(i))/(q(i+1)-q(i)))
}
