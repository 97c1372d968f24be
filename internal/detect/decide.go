package detect

import (
	"math"
	"time"
)

// decide turns the score into threshold, grade and change.
//
// The default threshold is the score that is exceeded as often as Alarms allows, read off the tail of the scores so far (peaks
// over a threshold). The seed's percentile is a plain quantile, which one point in twenty exceeds, so that only three in a
// row begin an anomaly. In both an anomaly goes on while scores stay above a lower threshold. What is above the threshold is
// remembered as just above it: an anomaly doesn't teach the threshold to be blind, and still raises it when it goes on.
func (m *Model) decide() {
	s, v := &m.state, &m.verdict
	v.Change, v.Grade = Nothing, 0
	if s.Seen%refresh == 0 || s.Threshold == 0 {
		m.thresholds()
	}
	s.Tired *= 1 - tiredDecay
	v.Threshold = s.Threshold + s.Tired
	lower := s.Lower + s.Tired/2
	strange := v.Score > v.Threshold && s.Seen >= warmUp
	if strange && m.matters() {
		s.Above++
	} else {
		s.Above = 0
	}
	begins := s.Above >= 1
	if m.c.Percentile > 0 {
		begins = s.Above >= rowsAbove
	}
	switch {
	case s.Open && v.Score > lower && s.Seen >= warmUp:
		s.Quiet = 0
		v.Change = GoesOn
	case s.Open:
		if s.Quiet++; s.Quiet >= quietPoints {
			s.Open, s.Quiet = false, 0
			v.Change = Ended
		} else {
			v.Change = GoesOn
		}
	case begins:
		s.Open, s.Quiet = true, 0
		v.Change = Began
		// What keeps coming back is less and less news.
		s.Tired += s.Mean
	}
	if (v.Change == Began || v.Change == GoesOn) && s.Quiet == 0 {
		v.Grade = grade(v.Score, lower, v.Threshold)
	}
	if s.Seen >= warmUp { // before, everything is new, and a score tells nothing of those to come
		m.scores.add(min(v.Score, s.Threshold+s.Mean))
	}
}

// thresholds works out the two thresholds from the scores so far.
func (m *Model) thresholds() {
	s := &m.state
	n := m.scores.count()
	// The tail is the highest of 200; of few scores a larger share, so that it is never a single one's whim.
	t := m.scores.upper(min(max(scoreTail, 20/(n+1)), 0.2), scorePrior)
	if n < refresh-1 {
		t = tail{neverAtFirst + 0.3, 0.02, scorePrior}
	}
	s.Mean = max(t.mean, 0.02)
	if m.c.Percentile > 0 {
		s.Threshold = m.scores.quantile(m.c.Percentile / 100)
		s.Lower = m.scores.quantile(max(0.5, 2*m.c.Percentile/100-1))
		return
	}
	s.Threshold = max(neverAtFirst, t.at(m.c.Alarms.perPoint(m.interval())))
	s.Lower = t.from + (s.Threshold-t.from)*goesOn
}

// matters says that a feature is further from what was expected than the least effect that its unit asks for.
func (m *Model) matters() bool {
	for i, f := range m.c.Features {
		if math.Abs(m.verdict.Values[i]-m.verdict.Expected[i]) >= f.Effect {
			return true
		}
	}
	return false
}

// grade is 0 at the lower threshold, one half at the threshold, and comes near 1 far above.
func grade(score, lower, threshold float64) float64 {
	over, half := max(score-lower, 0), max(threshold-lower, 1e-9)
	return min(1, max(over/(over+half), 1e-6))
}

// perPoint returns the share of points that the rate comes to.
func (r Rate) perPoint(interval time.Duration) float64 {
	return min(0.01, max(1e-9, r.Count*float64(interval)/float64(r.Per)))
}
