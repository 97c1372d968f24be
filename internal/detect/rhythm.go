package detect

import "math"

// The constants of a rhythm.
const (
	rhythmSpan    = 3 * 3600_000 // milliseconds that the mean of the distance from the rhythm looks back on
	rhythmPoints  = 4            // and points, where that is longer
	rhythmSlack   = 90 * 60_000  // milliseconds that a day may come early or late: clocks are put forward and back by an hour
	rhythmBase    = dayMs        // that the level of that mean looks back on: a new level is a lost rhythm for a day
	rhythmWait    = 13 * dayMs   // that a rhythm is watched for before it speaks. After 8 there are a third more events from days 9 to 16
	rhythmReach   = 2.0          // times its record is news
	rhythmBack    = 0.5          // of its record is back
	rhythmNovelty = 0.5          // of such news
	silenceLevel  = 0.02         // of what the day expects is as good as nothing
)

// rhythm is how well a number has kept to its day and its week, on record. It sees what is too slow for [records] and within
// all that ever was: the load that fails to rise in the morning, and traffic that stops where at this hour it never did.
//
// Two things are on record. The mean, over three hours, of the distance from the profile of the day and the week: how far it
// ever went on either side. And silence of what is often silent: how much traffic the day expected since there last was any. In
// that measure silences by night and by day compare: however the rate of chance arrivals varies, the gaps between them have
// one and the same exponential distribution.
//
// What goes on is one excursion: it is told once, where it has gone so much further than any before that no noise does, and goes
// on record when it is over.
//
// Source: Brown et al., "The time-rescaling theorem and its application to neural spike train data analysis", 2002.
type rhythm struct {
	First, Last     int64   // Unix milliseconds
	Usual           float64 // at the last point, as the profile has it
	Off             float64 // and how far the point was from all that is usual around it
	Gap             float64 // mean of Off of late
	Base            float64 // of Gap, of late
	Highest, Lowest float64 // of Gap beside Base
	Side            float64 // of the excursion beyond them that goes on: 1, -1; 0 when there is none
	Peak            float64 // of it
	Told            hearing
	Echo            int64 // until when what comes is taken for the echo of the one before: Base has yet to come back

	Missing    float64 // what the day expected since there last was any
	Longest    float64
	Silences   uint64
	SilentTold hearing
}

// hearing says what became of an excursion.
type hearing int

const (
	unheard  hearing = iota // it hasn't gone far enough
	passed                  // it went far enough where an anomaly had begun just before: of that it is a part
	reported                // it is news, or was
)

// take returns how new it is how far x at time t is from the rhythm, or how long it has been silent, and takes it on record: 0
// but for the one point where an excursion is first to be told of. least is the distance that is worth it; hushed says that it
// isn't to be told.
func (r *rhythm) take(f *feature, e expectation, t int64, x, least float64, hushed bool) float64 {
	if !e.daily {
		return 0
	}
	if r.First == 0 {
		r.First, r.Last = t, t
	}
	forget := 1.0
	if t > r.Last {
		forget = forgetting(t-r.Last, t-r.First)
		r.Last = t
	}
	speaks := t-r.First > rhythmWait
	step := float64(f.state.Step)
	usual, low, high := f.usual(e, t)
	r.Usual, r.Off = usual, x-min(max(x, low), high)
	r.Gap += min(1, step/max(rhythmSpan, rhythmPoints*step)) * (r.Off - r.Gap)
	news := r.depart(r.Gap-r.Base, forget, least, speaks, hushed)
	r.Base += min(1, step/rhythmBase) * (r.Gap - r.Base)
	return max(news, r.hush(&f.state, e, x, forget, speaks, hushed))
}

// depart takes the mean distance from the rhythm on record.
func (r *rhythm) depart(gap, forget, least float64, speaks, hushed bool) float64 {
	r.Highest *= forget
	r.Lowest *= forget
	side, most := 1.0, r.Highest
	if gap < 0 {
		side, most = -1, -r.Lowest
	}
	far := math.Abs(gap)
	if r.Side != 0 && (side != r.Side || far < rhythmBack*most) || !speaks {
		r.Highest, r.Lowest = max(r.Highest, r.Peak), min(r.Lowest, r.Peak)
		if r.Told != unheard {
			r.Echo = r.Last + rhythmBase
		}
		r.Side, r.Peak, r.Told = 0, 0, unheard
	}
	switch {
	case !speaks:
		r.Highest, r.Lowest = max(r.Highest, gap), min(r.Lowest, gap)
		return 0
	case far <= most:
		return 0
	}
	r.Side = side
	r.Peak = side * max(far, math.Abs(r.Peak))
	if far <= max(rhythmReach*most, least) {
		return 0
	}
	return r.Told.tell(rhythmNovelty, hushed || r.Last < r.Echo)
}

// hush takes silence on record. What has been below 0 has no silence.
func (r *rhythm) hush(s *featureState, e expectation, x, forget float64, speaks, hushed bool) float64 {
	day := max(e.day, 0)
	r.Longest *= forget
	if s.Negative || x > silenceLevel*day {
		if r.Missing > 0 {
			r.Silences++
			r.Longest = max(r.Longest, r.Missing)
		}
		r.Missing, r.SilentTold = 0, unheard
		return 0
	}
	r.Missing += day
	if !speaks || r.Silences <= recordWait || r.Missing <= rhythmReach*r.Longest {
		return 0
	}
	return r.SilentTold.tell(rhythmNovelty, hushed)
}

// tell returns the novelty of what is to be told for the first time.
func (d *hearing) tell(novelty float64, hushed bool) float64 {
	switch {
	case *d != unheard:
		return 0
	case hushed:
		*d = passed
		return 0
	}
	*d = reported
	return novelty
}

// out says that what was told goes on: x is silent still, or as far from the rhythm as its mean of three hours never was before.
func (r *rhythm) out() bool {
	if r.SilentTold == reported {
		return true
	}
	most := r.Highest
	if r.Side < 0 {
		most = -r.Lowest
	}
	return r.Told == reported && r.Side*(r.Off-r.Base) > most
}
