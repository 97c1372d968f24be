package detect

import (
	"math"
	"time"
)

// decide turns scores and news into threshold, grade and change.
//
// After a model's first day an anomaly begins with a point that is fresh news, stronger than the rate of false alarms that the
// user names allows; or with the fifth in a row that is strange, as a leak is never news. It goes on while points score above a
// lower threshold of their own, and only a point that is fresh again has a grade: who counts graded points counts pieces of news.
// In the first day, and with the seed's percentile, it takes several points in a row above a threshold of the score.
func (m *Model) decide() {
	s, v := &m.state, &m.verdict
	v.Change, v.Grade, v.Lasting = Nothing, 0, false
	if s.Seen%refresh == 0 || s.Threshold == 0 {
		m.thresholds()
	}
	switch {
	case m.c.Percentile > 0, m.cold() && !s.ByNews && !m.breaks():
		m.decideByScore()
	default:
		m.decideByNews()
		s.ByNews = s.Open
	}
	if m.matters(false) {
		m.news.heard(m.novelty, m.fresh)
	}
	if s.Seen >= warmUp { // before, everything is new, and a score tells nothing of those to come
		m.scores.add(min(m.sharp, s.Threshold+s.Mean))
	}
}

// breaks says that something happens in the first day that is far stronger than what makes an event later: an event at once.
func (m *Model) breaks() bool {
	return m.interval() >= time.Minute && !m.state.Open && m.fresh && m.state.Seen >= coldNewsPoints && m.matters(false) && m.strength > m.strengthLeast()
}

// decideByNews is the rule after the first day.
func (m *Model) decideByNews() {
	s, v := &m.state, &m.verdict
	least := m.strengthLeast()
	news := m.fresh && m.strength > least && m.matters(false)
	if m.lapsed > 0 {
		strength := m.news.lapse(m.lapsed)
		news = news || strength > least
		m.strength = max(m.strength, strength)
	}
	judged := s.Bias * max(0, s.Threshold-ordinary)
	v.Threshold = s.Threshold + judged
	lower := s.Lower + judged
	s.Peak = 0
	if m.sharp > v.Threshold && m.matters(false) {
		s.Above++
	} else {
		s.Above = 0
	}
	if m.leaks() {
		s.Leaks++
	} else {
		s.Leaks = 0
	}
	switch {
	case !s.Open && (news || s.Above == lastingRows || s.Leaks == leakRows):
		s.Open, s.Quiet = true, 0
		v.Change, v.Lasting = Began, true
	case s.Open && (news || m.sharp > lower && m.matters(true) || s.Leaks > leakRows || v.Lapse != nil):
		s.Quiet = 0
		v.Change, v.Lasting = GoesOn, true
	case s.Open:
		if s.Quiet++; s.Quiet >= quietPoints {
			s.Open, s.Quiet = false, 0
			v.Change = Ended
		} else {
			v.Change = GoesOn
		}
	}
	if !news && v.Change != Began {
		return
	}
	v.Grade = grade(max(m.strength, least), least/2, least)
	v.Threshold = min(v.Threshold, v.Score)
	if v.Change == Began {
		copy(s.Told[1:], s.Told[:])
		s.Told[0] = raised{Began: m.now, Strength: m.strength}
	}
}

// strengthLeast is how strong news has to be to make an event, for the rate of false alarms that is put up with. How often
// noise breaks its records by that much doesn't depend on how closely it is sampled, as its points are no freer for it.
func (m *Model) strengthLeast() float64 {
	s := &m.state
	weekly := m.c.Alarms.Count * float64(7*24*time.Hour) / float64(m.c.Alarms.Per)
	share := weekly / float64(len(m.features)) // each feature may be the one that is wrong
	least := max(newsFloor, newsLeast-newsFold*math.Log(share))
	least *= 1 + coldNews*max(0, 1-float64(s.Last-s.First)/coldNewsTime)
	return least * (1 + s.Bias)
}

// decideByScore is the rule of the first day, and of percentiles.
//
// The default threshold is the score that is exceeded as often as Alarms allows, read off the tail of the scores so far (peaks
// over a threshold). The seed's percentile is a plain quantile, which one point in twenty exceeds, so that only three in a
// row begin an anomaly. In both an anomaly goes on while scores stay above a lower threshold. What is above the threshold is
// remembered as just above it: an anomaly doesn't teach the threshold to be blind, and still raises it when it goes on.
func (m *Model) decideByScore() {
	s, v := &m.state, &m.verdict
	s.Tired *= 1 - tiredDecay
	judged := s.Bias * max(0, s.Threshold-ordinary)
	v.Threshold = s.Threshold + s.Tired + judged
	lower := s.Lower + s.Tired/2 + judged
	strange := m.sharp > v.Threshold && s.Seen >= warmUp
	held := m.cold() && s.Above > 0 && s.Seen >= warmUp
	switch {
	case strange && m.matters(false), held && m.matters(true), s.Seen >= warmUp && m.leaps():
		s.Above++
		s.Peak = max(s.Peak, m.sharp)
	case m.cold():
		s.Above = max(0, s.Above-1) // one point in between doesn't undo what several have shown
	default:
		s.Above = 0
	}
	if s.Above == 0 {
		s.Peak = 0
	}
	begins := s.Above >= m.rows()
	switch {
	case s.Open && s.Seen >= warmUp && (m.sharp > lower || held && m.matters(true)):
		s.Quiet = 0
		v.Change = GoesOn
	case s.Open:
		if s.Quiet++; s.Quiet >= quietPoints {
			s.Open, s.Quiet, s.Above = false, 0, 0
			v.Change = Ended
		} else {
			v.Change = GoesOn
		}
	case begins:
		v.Score = max(v.Score, s.Peak) // what has lasted is told with the strangest of it
		s.Open, s.Quiet = true, 0
		v.Change = Began
		// What keeps coming back is less and less news.
		s.Tired += s.Mean
	}
	if (v.Change == Began || v.Change == GoesOn) && s.Quiet == 0 {
		v.Lasting = true
		if v.Change == Began || m.c.Percentile > 0 {
			v.Grade = grade(max(m.sharp, s.Peak), lower, v.Threshold)
		}
		v.Threshold = min(v.Threshold, v.Score)
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

// cold says that the model hasn't seen a day go by: what the machine does once an hour or once a day is still new to it.
func (m *Model) cold() bool { return m.state.Last-m.state.First < dayMs }

// rows returns how many points in a row (of a cold model: more of them strange than not) begin an anomaly.
func (m *Model) rows() int32 {
	rows := int32(1)
	if m.c.Percentile > 0 {
		rows = rowsAbove
	}
	if m.cold() {
		lasting := int32((coldLasting + m.interval() - 1) / m.interval())
		rows = max(rows, coldRows, lasting)
	}
	return rows
}

// suspects says that a cold model has a strange stretch before it. Such a stretch begins with a point above the threshold and
// goes on while a feature stays as far out: forests know a point again after a few like it. What is normal is not learnt from
// it at first, else a new level would be normal before it had lasted; what lasts long is the new normal.
func (m *Model) suspects() bool {
	return m.cold() && m.state.Above > 0 && m.state.Above < coldHold*m.rows()
}

// leaps says that a cold model sees a share of a whole (CPU, memory) outside its band by what matters on any machine. Its
// score may not show it: of a few dozen points with a job among them, the tail is too wide for that.
func (m *Model) leaps() bool {
	if !m.cold() || m.c.Percentile > 0 {
		return false
	}
	for i, f := range m.c.Features {
		if f.Unit == Share && f.Effect > 0 && outside(&m.verdict, i) &&
			math.Abs(m.verdict.Values[i]-m.verdict.Expected[i]) >= coldLeap*f.Effect {
			return true
		}
	}
	return false
}

// matters says that a feature is further from what was expected than the least effect that its unit asks for, and outside its
// band: a feature that is as always doesn't make another's trifle an event.
//
// Where the unit names no least effect, a point above the threshold always matters, and one that is held against the stretch
// before it does when it is outside its band.
func (m *Model) matters(held bool) bool {
	for i, f := range m.c.Features {
		if f.Effect == 0 && (!held || outside(&m.verdict, i)) || f.Effect > 0 && matters(f, &m.verdict, i, m.cold()) &&
			(m.cold() || held || clearly(&m.verdict, i)) {
			return true
		}
	}
	return false
}

// leaks says that a feature is further from what is steady than what is worth an event. A leak takes its band along; beside
// what is steady it shows, if it lasts.
func (m *Model) leaks() bool {
	for i, f := range m.c.Features {
		if f.Effect > 0 && m.far[i] && math.Abs(m.verdict.Values[i]-m.expected[i].steady) >= steadyEffect*f.Effect {
			return true
		}
	}
	return false
}

func matters(f Feature, v *Verdict, i int, cold bool) bool {
	least := f.Effect
	if cold {
		least *= coldEffect
	}
	return math.Abs(v.Values[i]-v.Expected[i]) >= least && outside(v, i)
}

// clearly says that a value is further outside its band than the band itself reaches on that side.
func clearly(v *Verdict, i int) bool {
	out, reach := v.Values[i]-v.Upper[i], v.Upper[i]-v.Expected[i]
	if v.Values[i] < v.Expected[i] {
		out, reach = v.Lower[i]-v.Values[i], v.Expected[i]-v.Lower[i]
	}
	return out >= clearReach*reach
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
