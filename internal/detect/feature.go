package detect

import "math"

// The constants of a feature's expectation. They are counts of points or plain ratios, the same for every series.
const (
	seasonBins  = 96            // of a day at most: 15 minutes each
	weekBins    = 7 * 24        // of a week: an hour each
	seasonDays  = 8             // that a bin of the day looks back on, about
	seasonWeeks = 4             // and one of the week
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
	weekMs      = 7 * dayMs
	stepPoints  = 16 // gaps between points that the step is the median of
)

// The experts whose forecasts are mixed.
const (
	fastLevel = iota
	slowLevel
	sameHour
	sameWeek
	experts
)

// feature knows what is normal for one number over time: a mix of its recent level, its longer level, its day and its week,
// each trusted as its errors of late deserve, and how far values have been from that. Everything is learnt from points clipped
// to a few typical errors, so that a spike leaves hardly a trace, while a new level is followed in tens of points.
type feature struct {
	state    featureState
	records  records
	rhythm   rhythm
	residual sketch // of asinh((x - expected) / scale)
	drift    sketch // of asinh(Drift / Spread)
	away     sketch // of asinh((x - steady) / Away)
	trail    trail
}

type featureState struct {
	N          uint64
	Fast, Slow float64
	DayOffset  float64 // of the last hour or so from the day's profile
	WeekOffset float64 // and from the week's
	Errors     [experts]float64
	Scale      float64 // typical |x - expected|
	Away       float64 // typical |x - steady|
	Spread     float64 // typical |x - slow level|: what makes features comparable in the forest
	Drift      float64 // mean of late of x - steady
	Negative   bool    // a value below 0 was seen: without one, none is expected
	Step       int64   // milliseconds between two points
	Bins       int64   // of a day: as many as points come in one, at most seasonBins; 0 before that is known
	Season     [seasonBins]seasonBin
	Week       [weekBins]seasonBin // of x - the day's profile
}

type seasonBin struct {
	Mean  float64
	Dev   float64 // typical distance from what was expected
	Count int32
	Begin int32 // number of the day, or of the week, in which the bin was first filled, from the epoch
}

func newFeature() feature {
	return feature{
		residual: newSketch(-residualMax, residualMax, 240, 1.0/5000),
		drift:    newSketch(-residualMax, residualMax, 240, 1.0/5000),
		away:     newSketch(-residualMax, residualMax, 240, 1.0/5000),
		trail:    newTrail(),
	}
}

func (f *feature) sketches() []*sketch {
	return []*sketch{&f.residual, &f.drift, &f.away, &f.trail.misses.sketch, &f.trail.stirs.sketch}
}

// expectation is what a feature thinks of the next point before it comes.
type expectation struct {
	value, lower, upper float64
	steady              float64 // what is expected without the fast level's say: a new level stays strange for a while
	scale               float64
	parts               [experts]float64
	daily, weekly       bool // the profile has a say in it
	day, week           float64
}

// expect says what is normal at time t (Unix milliseconds).
func (f *feature) expect(t int64) expectation {
	s := &f.state
	var e expectation
	if s.N == 0 {
		return e
	}
	e.parts = [experts]float64{s.Fast, s.Slow, 0, 0}
	known := [experts]bool{true, true, false, false}
	if e.day, e.daily = f.profile(t); e.daily {
		e.parts[sameHour] = e.day + s.DayOffset
		known[sameHour] = true
		if e.week, e.weekly = f.weekProfile(t); e.weekly {
			e.week += e.day
			e.parts[sameWeek] = e.week + s.WeekOffset
			known[sameWeek] = true
		}
	}
	e.value = f.mix(&e.parts, known)
	known[fastLevel] = false
	e.steady = f.mix(&e.parts, known)
	e.scale = f.scale()
	if e.daily {
		e.scale = max(e.scale, s.Season[f.bin(t)].Dev)
	}
	low, high := -4.0, 4.0
	if f.residual.count() >= 20 {
		low, high = math.Sinh(f.residual.quantile(0.005)), math.Sinh(f.residual.quantile(0.995))
	}
	// A residual from when the scale was nearly nothing (a network that had been silent) is no measure of what may come.
	low, high = max(low, -widest), min(high, widest)
	e.lower, e.upper = e.value+e.scale*min(low, 0), e.value+e.scale*max(high, 0)
	if !s.Negative {
		e.value, e.lower, e.upper = max(e.value, 0), max(e.lower, 0), max(e.upper, 0)
	}
	return e
}

// usual returns what the profiles of the day and the week say at time t, whatever the level of late, and the least and the most
// that they say around it. e is what expect said.
func (f *feature) usual(e expectation, t int64) (at, least, most float64) {
	at = e.day
	if e.weekly {
		at = e.week
	}
	least, most = at, at
	for _, near := range [...]int64{t - rhythmSlack, t + rhythmSlack} {
		v, ok := f.profile(near)
		if !ok {
			continue
		}
		if e.weekly {
			if w, ok := f.weekProfile(near); ok {
				v += w
			}
		}
		least, most = min(least, v), max(most, v)
	}
	return at, least, most
}

// mix returns the experts' forecasts together, those that are known.
func (f *feature) mix(parts *[experts]float64, known [experts]bool) float64 {
	s := &f.state
	least := math.Inf(1)
	for i := range parts {
		if known[i] {
			least = min(least, s.Errors[i])
		}
	}
	sum, value := 0.0, 0.0
	for i := range parts {
		if !known[i] {
			continue
		}
		// The fourth power: an expert that errs twice as much has a sixteenth of the say.
		r := 1.0
		if s.Errors[i] > 0 {
			r = least / s.Errors[i]
		}
		w := r * r * r * r
		sum += w
		value += w * (parts[i] - s.Slow)
	}
	return s.Slow + value/sum
}

// scale is the typical residual, never 0: below a millionth of the level everything is rounding.
func (f *feature) scale() float64 {
	return max(f.state.Scale, 1e-6*math.Abs(f.state.Slow), 1e-12)
}

func (f *feature) spread() float64 {
	return max(f.state.Spread, 1e-6*math.Abs(f.state.Slow), 1e-12)
}

// setStep tells the time between two points: it decides how finely a day is divided.
func (f *feature) setStep(step int64) {
	f.state.Step = max(step, 1)
	f.state.Bins = min(seasonBins, max(1, dayMs/f.state.Step))
}

// bin returns the number of the day's bin that time t is in.
func (f *feature) bin(t int64) int64 { return mod(t, dayMs) * f.state.Bins / dayMs }

// profile returns the mean of former days at this time, between the two nearest bins, once both saw an earlier day.
func (f *feature) profile(t int64) (float64, bool) {
	n := f.state.Bins
	if n < 4 {
		return 0, false
	}
	return between(f.state.Season[:n], float64(mod(t, dayMs))/dayMs, int32(floorDiv(t, dayMs)), n < seasonBins)
}

// weekProfile returns how former weeks at this time went beside the day's profile.
func (f *feature) weekProfile(t int64) (float64, bool) {
	return between(f.state.Week[:], float64(mod(t, weekMs))/weekMs, int32(floorDiv(t, weekMs)), false)
}

// between returns the mean of the two bins nearest to a share of the whole. Bins of one point each aren't mixed.
func between(bins []seasonBin, share float64, now int32, exact bool) (float64, bool) {
	n := len(bins)
	at := share*float64(n) - 0.5
	if exact {
		at = math.Floor(share * float64(n))
	}
	i := int(math.Floor(at))
	a, b := &bins[(i+n)%n], &bins[(i+1)%n]
	w := at - float64(i)
	switch {
	case a.Count == 0 || a.Begin >= now:
		return 0, false
	case w == 0 || b.Count == 0 || b.Begin >= now:
		return a.Mean, true
	}
	return a.Mean*(1-w) + b.Mean*w, true
}

// drifted returns what Drift becomes with x. It sees what no single point shows: a leak, or a fall within the noise that lasts.
func (f *feature) drifted(e expectation, x float64) float64 {
	return f.state.Drift + driftShare*(x-e.steady-f.state.Drift)
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

// surprises are what a feature finds rare in a point, each in the units of [sketch.surprise].
type surprises struct {
	residual float64 // x beside what was expected
	drift    float64 // the way that the last points have been going
	away     float64 // x beside what is steady: it stays while a new level is new
}

// surprise returns how rare x is.
func (f *feature) surprise(e expectation, x float64) surprises {
	return surprises{
		residual: f.residual.surprise(math.Asinh((x - e.value) / e.scale)),
		drift:    f.drift.surprise(math.Asinh(f.drifted(e, x) / f.spread())),
		away:     f.away.surprise(math.Asinh((x - e.steady) / f.steadiness())),
	}
}

// steadiness is the typical distance from what is steady, never 0.
func (f *feature) steadiness() float64 {
	return max(f.state.Away, 1e-6*math.Abs(f.state.Slow), 1e-12)
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
		known := [experts]bool{true, true, e.daily, e.weekly}
		for i := range known {
			if !known[i] {
				s.Errors[i] = s.Errors[slowLevel]
				continue
			}
			r := math.Abs(x - e.parts[i])
			if s.N > 16 && s.Errors[i] > 0 {
				r = min(r, 2*clip*s.Errors[i])
			}
			s.Errors[i] += max(errorShare, early) * (r - s.Errors[i])
		}
		r := x - e.value
		if s.N >= 8 { // before, the scale means little
			f.residual.add(math.Asinh(r / e.scale))
		}
		limit := math.Inf(1)
		if s.N > 16 {
			limit = 2 * clip * f.scale()
		}
		s.Scale += max(errorShare, early) * (min(math.Abs(r), limit) - s.Scale)
	}
	f.learnSlow(e, x, early)
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
	f.learnSeason(e, t, x, limit)
	s.N++
}

// learnSlow takes x into what shows only over several points: drift, distance from what is steady.
func (f *feature) learnSlow(e expectation, x, early float64) {
	s := &f.state
	if s.N == 0 {
		return
	}
	limit := math.Inf(1)
	if s.N >= 16 {
		s.Drift = f.drifted(e, x)
		f.drift.add(math.Asinh(s.Drift / f.spread()))
		limit = 2 * clip * f.steadiness()
	}
	away := math.Abs(x - e.steady)
	if s.N > 8 {
		f.away.add(math.Asinh((x - e.steady) / f.steadiness()))
	}
	s.Away += max(spreadShare, early) * (min(away, limit) - s.Away)
}

// learnSeason takes x into the profiles of the day and the week.
func (f *feature) learnSeason(e expectation, t int64, x, limit float64) {
	s := &f.state
	if s.Bins < 4 {
		return
	}
	if e.daily {
		s.DayOffset += 0.05 * clamp(x-e.day-s.DayOffset, limit)
	}
	if e.weekly {
		s.WeekOffset += 0.05 * clamp(x-e.week-s.WeekOffset, limit)
	}
	b := &s.Season[f.bin(t)]
	b.learn(x, limit, int32(floorDiv(t, dayMs)), seasonDays*max(1, dayMs/s.Bins/s.Step))
	b.Dev += (min(math.Abs(x-e.value), 2*limit) - b.Dev) / float64(b.Count)
	if e.daily {
		s.Week[mod(t, weekMs)*weekBins/weekMs].learn(x-e.day, limit, int32(floorDiv(t, weekMs)), seasonWeeks*max(1, weekMs/weekBins/s.Step))
	}
}

// learn takes x into the bin, whose mean looks back on so many points.
func (b *seasonBin) learn(x, limit float64, round int32, points int64) {
	if b.Count == 0 {
		b.Begin, b.Mean = round, x
	}
	b.Count = min(b.Count+1, int32(points))
	b.Mean += clamp(x-b.Mean, limit) / float64(b.Count)
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
