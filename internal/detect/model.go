package detect

import (
	"fmt"
	"math"
	"slices"
	"time"

	"homeostat/rcf"
)

// Feature is one number that a model watches.
type Feature struct {
	Name   string
	Unit   Unit
	Effect float64 // the least deviation from what was expected that is worth an event, in the feature's unit; 0: any
}

// ModelConfig says what a model watches and when it speaks. The zero value of all but Features works.
type ModelConfig struct {
	Features   []Feature
	Interval   time.Duration // between points: turns Alarms into a share of the points. When 0, the median of the first gaps
	Alarms     Rate          // false alarms that are put up with; one a week when zero
	Percentile float64       // above 0: the threshold is this percentile of the scores, as AIOps recipes have it
	Small      bool          // a twelfth of the memory: where models of one series come by the thousand
	Seed       uint64
}

// Verdict is what a model says of one point. Its slices hold one value a feature, in the feature's own unit, and belong to
// the model: the next point overwrites them.
type Verdict struct {
	Score      float64 // 0 or more, higher is stranger; 0 while there is nothing to compare with
	Threshold  float64
	Grade      float64 // 0 to 1: how strong the news is; 0 where an anomaly goes on without any
	Confidence float64 // 0 to 1: how much the model has seen

	Values, Expected, Lower, Upper []float64
	Attribution                    []float64 // adds up to 1
	Change                         Change
	Lasting                        bool   // an anomaly begins or goes on here, and this point is strange by itself
	Lapse                          *Lapse // nil but where an anomaly may be about one
}

// Lapse is a rhythm that isn't kept, though each value by itself may be usual.
type Lapse struct {
	Feature int
	Silent  bool    // nothing comes, for longer than ever at such a time
	Usual   float64 // at this time of the day, and of the week where that is known
}

// Change says what a point does to the anomaly that may be under way.
type Change int

// The changes. An anomaly that Ended did so with the last point of a grade above 0, not with the quiet points after it that
// made it certain.
const (
	Nothing Change = iota
	Began
	GoesOn
	Ended
)

// Model scores points of one entity, one after the other, and decides which of them make an anomaly. It never looks ahead:
// what it says of a point depends on that point and those before.
//
// The score is dense: it ranks points by how strange they and the last few are. It is a Random Cut Forest's, the mean over
// shingles of 1, 2, 4 and 8 points (a spike shows in the short ones, a broken pattern in the long ones), plus how rare the way of
// the last few points is in the features' own records ([trail]). The decision is another matter: what matters there is news
// ([news]).
type Model struct {
	c        ModelConfig
	state    modelState
	features []feature
	forests  []*rcf.Forest
	scores   sketch // of sharp
	news     news
	early    [][]float64 // the first points, until there is a base to count from

	adjustments []Adjustment // by people

	quick      bool      // in training nobody asks for attribution
	base, unit []float64 // of each feature: what the forests see is (x - base) / unit
	x, z       []float64 // scratch
	expected   []expectation
	far        []bool // features in the tail of their distance from what is steady
	high, low  []float64
	verdict    Verdict
	sharp      float64 // the score of this point alone
	novelty    float64 // of its newest feature
	strength   float64 // of its news
	fresh      bool    // nothing as new was there of late
	lapse      Lapse
	lapsed     float64 // how new the lapse is that this point is the first to show
	now        int64
}

type modelState struct {
	Seen      uint64 // points
	First     int64  // time of the first, Unix milliseconds
	Last      int64
	Open      bool
	ByNews    bool  // the open anomaly began as news
	Quiet     int32 // points below the lower threshold since the last one above, while open
	Leaks     int32 // points in a row that a feature has been far from what is steady
	Above     int32 // points above the threshold in a row
	Tired     float64
	Peak      float64     // highest score of the strange stretch that isn't yet an anomaly
	Gaps      [gaps]int64 // between the first points, milliseconds
	Threshold float64     // as worked out last
	Lower     float64
	Mean      float64 // excess in the tail of the scores
	Told      [eventsKept]raised
	Bias      float64 // what people's judgements add to the threshold, in its distance from what is ordinary
}

// The constants of a model: counts of points, the same for every series.
const (
	warmUp         = 32  // points before anything can be an anomaly
	earlyPoints    = 8   // points that the base is the median of
	quietPoints    = 3   // below the lower threshold, and an anomaly has ended
	clearReach     = 1.0 // times a band's reach beyond its end is clearly outside
	steadyEffect   = 2.0 // times Feature.Effect beside what is steady is worth an event
	leakRows       = 12  // points in a row that a feature is that far from what is steady begin an anomaly
	lastingRows    = 5   // strange points in a row begin an anomaly without news
	rowsAbove      = 3   // above a percentile in a row, before that is an anomaly: a lone exceedance never is
	gaps           = 31  // between points that the interval is the median of
	refresh        = 16  // points between two looks at the tail of the scores
	trees          = 100 // in all forests
	rareWeight     = 0.3 // of the rarest in the sharp score
	trailFrom      = 2.0 // what is rarer than that (1 point in 7) in a trail counts in the dense score
	trailWeight    = 0.2
	scorePrior     = 0.15  // mean excess in the tail of scores that few points are thought to have
	scoreTail      = 0.005 // of the scores are the tail that the threshold is read off
	goesOn         = 0.75  // of the way from there to the threshold is where an anomaly stops going on
	scoreDecay     = 1.0 / 10000
	tiredDecay     = 1.0 / 500
	coldNewsPoints = 240  // that a model has seen before that
	coldNews       = 19.0 // times as much more is asked of news at first, and less and less of that until coldNewsTime
	coldNewsTime   = 2 * dayMs
	scoreTop       = 8.0
	scoreBins      = 800
	coldRows       = 5                // strange points begin an anomaly in a model's first day, as long as the rule for CPU waits: a job is shorter
	coldLasting    = 12 * time.Second // that they must come to at short intervals, where a job of seconds is many points
	coldEffect     = 3                // times Feature.Effect is worth an event in the first day: 15 points of CPU in place of 5
	coldLeap       = 6                // times Effect, of a share, is strange in the first day whatever the score: 30 points of CPU
	coldHold       = 3                // times as many strange points as make an anomaly, and they are learnt as the new normal
	ordinary       = 1.0              // is about the score of what is nothing special
	neverAtFirst   = 1.2              // a threshold is never below: the score of something ordinary is about 1
)

// shingles returns the numbers of points in a row that the forests see as one. With a percentile it is the plain forest of
// the recipe: a point that is in eight shingles would exceed it eight times.
func (c *ModelConfig) shingles() []int {
	if c.Percentile > 0 {
		return []int{1}
	}
	return []int{1, 2, 4, 8}
}

// NewModel returns a model that has seen nothing.
func NewModel(c ModelConfig) (*Model, error) {
	if c.Alarms.isZero() {
		c.Alarms = Rate{1, 7 * 24 * time.Hour}
	}
	n := len(c.Features)
	switch {
	case n == 0:
		return nil, fmt.Errorf("a model without features")
	case c.Percentile != 0 && !(c.Percentile >= 50 && c.Percentile < 100):
		return nil, fmt.Errorf("percentile %v: want at least 50 and less than 100", c.Percentile)
	}
	m := &Model{
		c:        c,
		features: make([]feature, n),
		scores:   newSketch(0, scoreTop, scoreBins, scoreDecay),
		base:     make([]float64, n), unit: make([]float64, n),
		x: make([]float64, n), z: make([]float64, n),
		expected: make([]expectation, n), far: make([]bool, n),
		high: make([]float64, n), low: make([]float64, n),
		verdict: Verdict{
			Values: make([]float64, n), Expected: make([]float64, n), Lower: make([]float64, n), Upper: make([]float64, n),
			Attribution: make([]float64, n),
		},
	}
	for i := range m.features {
		m.features[i] = newFeature()
	}
	for i, s := range c.shingles() {
		f, err := rcf.New(n, c.forest(i, s))
		if err != nil {
			return nil, err
		}
		m.forests = append(m.forests, f)
	}
	return m, nil
}

// Observe scores the point x at time t (Unix milliseconds) and then learns it. A value that is NaN or infinite is a gap: what
// was expected stands in for it. A point of gaps alone changes nothing and returns nil.
func (m *Model) Observe(t int64, x []float64) *Verdict {
	present := 0
	for i, v := range x {
		m.x[i] = v
		if math.IsNaN(v) || math.IsInf(v, 0) {
			m.x[i] = math.NaN()
			continue
		}
		m.x[i] = clamp(v, 1e150) // so that no square or sum of it is infinite
		present++
	}
	if present == 0 {
		return nil
	}
	s := &m.state
	m.now = t
	if s.Seen == 0 {
		s.First = t
	}
	if s.Seen > 0 && s.Seen <= gaps {
		s.Gaps[s.Seen-1] = t - s.Last
	}
	if s.Seen == gaps || s.Seen == 0 && m.c.Interval > 0 {
		for i := range m.features {
			m.features[i].setStep(m.interval().Milliseconds())
		}
	}
	v := &m.verdict
	clear(m.far)
	m.novelty, m.lapsed, v.Lapse = 0, 0, nil
	rarest := 0.0
	var trail traits
	for i := range m.features {
		e := m.features[i].expect(t)
		m.expected[i] = e
		v.Expected[i], v.Lower[i], v.Upper[i] = e.value, e.lower, e.upper
		if m.c.Features[i].Unit == Share {
			v.Lower[i], v.Upper[i] = min(v.Lower[i], 1), min(v.Upper[i], 1)
		}
		v.Values[i] = x[i]
		if math.IsNaN(m.x[i]) {
			m.x[i] = e.value
			continue
		}
		if s.Seen > 0 {
			r := m.features[i].surprise(e, m.x[i])
			m.far[i] = r.away > 0
			rarest = max(rarest, r.residual, r.drift)
			m.novelty = max(m.novelty, m.features[i].records.novelty(e, t, m.x[i]))
			m.lapsed = max(m.lapsed, m.rhythm(i, t))
		}
		trail.add(1/float64(len(m.features)), m.features[i].trail.take(e, m.x[i]))
	}
	m.score(rarest, trail)
	m.strength, m.fresh = m.news.judge(t, m.interval(), m.novelty)
	m.decide()
	suspects := m.suspects()
	for i := range m.features {
		if !suspects && !math.IsNaN(x[i]) && !math.IsInf(x[i], 0) {
			m.features[i].learn(m.expected[i], t, m.x[i])
		}
	}
	s.Seen++
	s.Last = t
	v.Confidence = m.confidence()
	return v
}

// rhythm returns how new it is how feature i keeps to its day and week. What comes soon after the begin of an anomaly is a part
// of that.
func (m *Model) rhythm(i int, t int64) float64 {
	f, e, x := &m.features[i], m.expected[i], m.x[i]
	hushed := m.state.Open || t-m.state.Told[0].Began < rhythmSpan
	novelty := f.rhythm.take(f, e, t, x, m.c.Features[i].Effect, hushed)
	if novelty > 0 || m.verdict.Lapse == nil && f.rhythm.out() {
		m.lapse = Lapse{i, f.rhythm.SilentTold == reported, f.rhythm.Usual}
		m.verdict.Lapse = &m.lapse
	}
	return novelty
}

// score sets Score and Attribution, works out what is news, and lets the forests learn.
func (m *Model) score(rarest float64, trail traits) {
	v := &m.verdict
	v.Score, m.sharp = 0, 0
	for i := range v.Attribution {
		v.Attribution[i] = 1 / float64(len(v.Attribution))
	}
	if m.early = m.warm(m.early); m.early != nil {
		return
	}
	if len(m.x) > 1 && m.state.Seen%64 == 0 {
		m.weigh()
	}
	m.scale(m.x)
	clear(v.Attribution)
	ready, total := 0, 0.0
	for _, f := range m.forests {
		if len(m.x) > 1 && !m.quick && f.Attribute(m.high, m.low, m.z) == nil {
			for j := range v.Attribution {
				v.Attribution[j] += m.high[j] + m.low[j]
				total += m.high[j] + m.low[j]
			}
		}
		if score, err := f.ScoreAndUpdate(m.z); err == nil && score > 0 {
			v.Score += score
			ready++
		}
	}
	for i := range v.Attribution {
		if total > 0 {
			v.Attribution[i] /= total
		} else {
			v.Attribution[i] = 1 / float64(len(v.Attribution))
		}
	}
	if ready == 0 {
		return
	}
	v.Score /= float64(ready)
	if m.c.Percentile > 0 { // the recipe's plain forest
		m.sharp = v.Score
		return
	}
	m.sharp = v.Score + rareWeight*rarest
	v.Score = m.dense(v.Score, trail)
}

// dense returns the score that ranks points, from the forests' mean and what is rare in the features' courses. What is usual in
// a trail says nothing: it would only shake the forests' order.
func (m *Model) dense(forests float64, trail traits) float64 {
	score := forests + trailWeight*(max(0, trail.miss-trailFrom)+max(0, trail.calm-trailFrom))
	return score * float64(m.state.Seen) / float64(m.state.Seen+earlyPoints) // how strange the first points are nobody knows
}

// warm gathers the first points, and hands them to the forests once there are enough to say where the numbers lie. It
// returns nil from then on.
func (m *Model) warm(early [][]float64) [][]float64 {
	if m.state.Seen >= earlyPoints {
		return nil
	}
	early = append(early, slices.Clone(m.x))
	if len(early) < earlyPoints {
		return early
	}
	column := make([]float64, len(early))
	for i := range m.base {
		for j, p := range early {
			column[j] = p[i]
		}
		slices.Sort(column)
		m.base[i] = column[len(column)/2]
		for j, v := range column {
			column[j] = math.Abs(v - m.base[i])
		}
		slices.Sort(column)
		// One unit in float32 must be neither lost nor beyond its end, whatever comes later.
		m.unit[i] = min(max(column[len(column)/2], 1e-6*math.Abs(m.base[i]), 1e-12), 1e300)
	}
	for _, p := range early[:len(early)-1] {
		m.scale(p)
		for _, f := range m.forests {
			_, _ = f.ScoreAndUpdate(m.z) // z is finite: it can't fail
		}
	}
	m.weigh()
	return nil
}

// scale sets z to x as the forests see it.
func (m *Model) scale(x []float64) {
	for i, v := range x {
		m.z[i] = min(max((v-m.base[i])/m.unit[i], -1e30), 1e30)
	}
}

// weigh gives the features equal standing in the forests by their spread of late. What has hardly any is held to the
// deviation that would matter, so that a still disk doesn't shout.
func (m *Model) weigh() {
	if len(m.features) == 1 {
		return
	}
	for i := range m.features {
		spread := max(m.features[i].spread(), m.c.Features[i].Effect/4)
		m.z[i] = m.unit[i] / spread
	}
	for _, f := range m.forests {
		_ = f.SetWeights(m.z) // above 0 and finite by how spread and unit are bounded
	}
}

// interval returns the time between two points: as configured, else the median of the first gaps, else a minute.
func (m *Model) interval() time.Duration {
	if m.c.Interval > 0 {
		return m.c.Interval
	}
	g := m.state.Gaps[:min(gaps, max(m.state.Seen, 1)-1)]
	if len(g) == 0 {
		return time.Minute
	}
	g = slices.Clone(g)
	slices.Sort(g)
	return max(time.Millisecond, min(24*time.Hour, time.Duration(g[len(g)/2])*time.Millisecond))
}

func (m *Model) confidence() float64 {
	days := float64(m.state.Last-m.state.First) / dayMs
	return 0.8*min(1, float64(m.state.Seen)/256) + 0.1*min(1, days) + 0.1*min(1, days/14)
}
