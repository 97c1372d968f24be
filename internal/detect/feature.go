package detect

import "math"

// The constants of a feature's expectation. They are counts of points or plain ratios, the same for every series.
const (
	seasonBins  = 96            // of a day: 15 minutes each
	seasonCap   = 150           // points that a bin's mean looks back on
	fastShare   = 0.25          // what a new point counts in the fast level: about the last 8 points
	slowShare   = 0.02          // and in the slow one: about the last 100
	errorShare  = 0.01          // and in the errors by which the experts are weighed
	driftShare  = 0.1           // and in the drift: about the last 20 points
	spreadShare = 0.005         // and in the spread
	clip        = 3             // a point moves what is learnt as if it were at most this many typical errors away
	residualMax = 12            // asinh of residual / scale that the sketch reaches: a factor of 81,000
	widest      = 50.0          // scales from what is expected to the end of the band, at most
	tailShare   = 0.02          // of the residuals on one side are its tail
	tailPrior   = 0.25          // mean excess in the tail, in asinh, that few points are thought to have: as Student's t with 4
	dayMs       = 24 * 3600_000 // milliseconds
)

// The experts whose forecasts are mixed.
const (
	fastLevel = iota
	slowLevel
	sameHour
	experts
)

// feature knows what is normal for one number over time: a mix of its recent level, its longer level and its day, each
// trusted as its errors of late deserve, and how far values have been from that. Everything is learnt from points clipped to
// a few typical errors, so that a spike leaves hardly a trace, while a new level is followed in tens of points.
type feature struct {
	state    featureState
	residual sketch // of asinh((x - expected) / scale)
	drift    sketch // of asinh(Drift / Spread)
}

type featureState struct {
	N          uint64
	Fast, Slow float64
	Offset     float64 // of the last hour or so from the day's profile
	Errors     [experts]float64
	Scale      float64 // typical |x - expected|
	Spread     float64 // typical |x - slow level|: what makes features comparable in the forest
	Drift      float64 // mean of late of x - what the day, or else the slow level, makes of it
	Negative   bool    // a value below 0 was seen: without one, none is expected
	Season     [seasonBins]seasonBin
}

type seasonBin struct {
	Mean  float64
	Count int32
	Day   int32 // number of the day on which the bin was first filled, from the epoch
}

func newFeature() feature {
	return feature{
		residual: newSketch(-residualMax, residualMax, 240, 1.0/5000),
		drift:    newSketch(-residualMax, residualMax, 240, 1.0/5000),
	}
}

// expectation is what a feature thinks of the next point before it comes.
type expectation struct {
	value, lower, upper float64
	parts               [experts]float64
	seasonal            bool // the day's profile has a say in it
	profile             float64
}

// expect says what is normal at time t (Unix milliseconds).
func (f *feature) expect(t int64) expectation {
	s := &f.state
	var e expectation
	if s.N == 0 {
		return e
	}
	e.parts = [experts]float64{s.Fast, s.Slow, 0}
	n := experts - 1
	if e.profile, e.seasonal = f.profile(t); e.seasonal {
		e.parts[sameHour] = e.profile + s.Offset
		n = experts
	}
	least := math.Inf(1)
	for i := range n {
		least = min(least, s.Errors[i])
	}
	sum := 0.0
	for i := range n {
		// The fourth power: an expert that errs twice as much has a sixteenth of the say.
		r := 1.0
		if s.Errors[i] > 0 {
			r = least / s.Errors[i]
		}
		w := r * r * r * r
		sum += w
		e.value += w * (e.parts[i] - s.Fast)
	}
	e.value = s.Fast + e.value/sum
	scale := f.scale()
	low, high := -4.0, 4.0
	if f.residual.count() >= 20 {
		low, high = math.Sinh(f.residual.quantile(0.005)), math.Sinh(f.residual.quantile(0.995))
	}
	// A residual from when the scale was nearly nothing (a network that had been silent) is no measure of what may come.
	low, high = max(low, -widest), min(high, widest)
	e.lower, e.upper = e.value+scale*min(low, 0), e.value+scale*max(high, 0)
	if !s.Negative {
		e.value, e.lower, e.upper = max(e.value, 0), max(e.lower, 0), max(e.upper, 0)
	}
	return e
}

// scale is the typical residual, never 0: below a millionth of the level everything is rounding.
func (f *feature) scale() float64 {
	return max(f.state.Scale, 1e-6*math.Abs(f.state.Slow), 1e-12)
}

func (f *feature) spread() float64 {
	return max(f.state.Spread, 1e-6*math.Abs(f.state.Slow), 1e-12)
}

// profile returns the mean of former days at this time, between the two nearest bins, once both saw an earlier day.
func (f *feature) profile(t int64) (float64, bool) {
	at := float64(mod(t, dayMs))/dayMs*seasonBins - 0.5
	i := int(math.Floor(at))
	a, b := &f.state.Season[(i+seasonBins)%seasonBins], &f.state.Season[(i+1)%seasonBins]
	day := int32(floorDiv(t, dayMs))
	if a.Count == 0 || b.Count == 0 || a.Day >= day || b.Day >= day {
		return 0, false
	}
	w := at - float64(i)
	return a.Mean*(1-w) + b.Mean*w, true
}

// surprise returns how rare x is, or the way that it and the points before it have been going: the larger of the two.
func (f *feature) surprise(e expectation, x float64) float64 {
	return max(
		f.residual.surprise(math.Asinh((x-e.value)/f.scale())),
		f.drift.surprise(math.Asinh(f.drifted(e, x)/f.spread())),
	)
}

// drifted returns what Drift becomes with x. It sees what no single point shows: a leak, or a fall within the noise that lasts.
func (f *feature) drifted(e expectation, x float64) float64 {
	from := e.parts[slowLevel]
	if e.seasonal {
		from = e.parts[sameHour]
	}
	return f.state.Drift + driftShare*(x-from-f.state.Drift)
}

// surprise returns how rare y is among what lay far out on its side, whatever the shape of the noise: 0 within all but the
// outermost share, 1 for the outermost tenth of that share, 2 for the hundredth, at most 12.
func (s *sketch) surprise(y float64) float64 {
	if s.count() < 20 {
		return 0
	}
	t := s.upper(tailShare, tailPrior)
	if y < 0 {
		y, t = -y, s.lower(tailShare, tailPrior)
	}
	if y <= t.from {
		return 0
	}
	return min(12, -math.Log10(t.beyond(y)/t.share))
}

// learn takes x in. e is what expect said before.
func (f *feature) learn(e expectation, t int64, x float64) {
	s := &f.state
	if s.N == 0 {
		s.Fast, s.Slow = x, x
	}
	s.Negative = s.Negative || x < 0
	early := 1 / float64(s.N+1) // the first points count as in a plain mean
	if s.N > 0 {
		n := experts - 1
		if e.seasonal {
			n = experts
		}
		for i := range n {
			r := math.Abs(x - e.parts[i])
			if s.N > 16 && s.Errors[i] > 0 {
				r = min(r, 2*clip*s.Errors[i])
			}
			s.Errors[i] += max(errorShare, early) * (r - s.Errors[i])
		}
		if !e.seasonal {
			s.Errors[sameHour] = s.Errors[slowLevel]
		}
		r := x - e.value
		if s.N >= 8 { // before, the scale means little
			f.residual.add(math.Asinh(r / f.scale()))
		}
		limit := math.Inf(1)
		if s.N > 16 {
			limit = 2 * clip * f.scale()
		}
		s.Scale += max(errorShare, early) * (min(math.Abs(r), limit) - s.Scale)
	}
	if s.N >= 16 {
		s.Drift = f.drifted(e, x)
		f.drift.add(math.Asinh(s.Drift / f.spread()))
	}
	limit := math.Inf(1)
	if s.N > 16 {
		limit = clip * max(f.scale(), s.Errors[fastLevel])
	}
	s.Fast += max(fastShare, early) * clamp(x-s.Fast, limit)
	if s.N > 16 {
		limit = clip * f.spread()
	}
	s.Spread += max(spreadShare, early) * (min(math.Abs(x-s.Slow), 2*limit) - s.Spread)
	s.Slow += max(slowShare, early) * clamp(x-s.Slow, limit)
	if e.seasonal {
		s.Offset += 0.05 * clamp(x-e.profile-s.Offset, limit)
	}
	bin := &s.Season[mod(t, dayMs)*seasonBins/dayMs]
	if bin.Count == 0 {
		bin.Day = int32(floorDiv(t, dayMs))
		bin.Mean = x
	}
	bin.Count = min(bin.Count+1, seasonCap)
	bin.Mean += clamp(x-bin.Mean, limit) / float64(bin.Count)
	s.N++
}

func clamp(v, limit float64) float64 { return min(max(v, -limit), limit) }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func mod(a, b int64) int64 { return a - floorDiv(a, b)*b }
