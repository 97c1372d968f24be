package detect

import (
	"errors"
	"fmt"
	"math"
	"time"

	"homeostat/internal/signal"
)

// Judgement is what a person says of an anomaly.
type Judgement string

// The judgements.
const (
	Muted     Judgement = "muted"     // it wasn't worth an event
	Confirmed Judgement = "confirmed" // it was, and the like of it would be
)

// Adjustment is the record of what one judgement did to a model.
type Adjustment struct {
	Anomaly   string // id
	Judgement Judgement
	By        string    // who
	At        time.Time // when it was judged
	Began     time.Time // when the anomaly began
	Score     float64   // of the anomaly at its peak
	Before    float64   // the model's bias before it, and after: the share by which more is asked for
	After     float64
}

const (
	adjustmentsKept = 32   // the last ones of a model
	biasLeast       = -0.5 // confirming all the time doesn't end in alarms all the time
	biasMost        = 8.0  // and muting leaves what a model has never seen the like of an event
	confirmStep     = 0.1
	muteStep        = 0.1
)

// Feedback moves the threshold of m by what a person says of one of its anomalies, and returns the record of it.
//
// Muting raises what it takes by a tenth, and at least so far that this anomaly would have been none: the same again is no
// event. Confirming takes half of what muting has added away and lowers the threshold by a tenth besides, down to half its
// distance from what is ordinary, so that somewhat weaker ones are told too. Both hold until the next judgement; the score, the
// band and what the model learns stay as they are. The same judgement on the same anomaly a second time changes nothing.
//
// It is to be called where m is observed, between two points, by the same goroutine: replayed at the same place it gives the
// same verdicts again.
func (m *Model) Feedback(a Adjustment) (Adjustment, error) {
	if a.Judgement != Muted && a.Judgement != Confirmed {
		return a, fmt.Errorf("judgement %q: want %s or %s", a.Judgement, Muted, Confirmed)
	}
	if !(a.Score >= 0) || math.IsInf(a.Score, 0) {
		return a, fmt.Errorf("score %v of anomaly %s: want a number of 0 or more", a.Score, a.Anomaly)
	}
	s := &m.state
	for _, old := range m.adjustments {
		if old.Anomaly == a.Anomaly && old.Judgement == a.Judgement {
			return old, nil
		}
	}
	a.Before = s.Bias
	switch a.Judgement {
	case Muted:
		s.Bias = max(s.Bias+muteStep, m.biasAgainst(a))
	case Confirmed:
		s.Bias = min(s.Bias, s.Bias/2) - confirmStep
	}
	s.Bias = min(max(s.Bias, biasLeast), biasMost)
	a.After = s.Bias
	m.adjustments = append(m.adjustments, a)
	if n := len(m.adjustments); n > adjustmentsKept {
		m.adjustments = append(m.adjustments[:0], m.adjustments[n-adjustmentsKept:]...)
	}
	return a, nil
}

// threshold is what the model's threshold comes to with a bias, what keeps recurring left out.
func (m *Model) threshold(bias float64) float64 {
	return m.state.Threshold + bias*max(0, m.state.Threshold-ordinary)
}

// biasAgainst returns the Bias with which the anomaly would have been none: by the strength of its news, where the model
// still knows it, or by its score, where it was found so. It is 0 where neither is known.
func (m *Model) biasAgainst(a Adjustment) float64 {
	s := &m.state
	for _, e := range s.Told {
		if e.Strength > 0 && e.Began == a.Began.UnixMilli() {
			return 1.02*e.Strength/m.strengthLeast()*(1+s.Bias) - 1
		}
	}
	if reach := s.Threshold - ordinary; reach > 0 && (m.cold() || m.c.Percentile > 0) {
		return 1.02*(a.Score-s.Threshold)/reach + 0.02
	}
	return 0
}

// Adjustments returns what people's judgements did to m, the last 32, oldest first.
func (m *Model) Adjustments() []Adjustment { return append([]Adjustment(nil), m.adjustments...) }

// ErrNoModel means that a judgement is about an anomaly whose model this detector doesn't have.
var ErrNoModel = errors.New("no model of this entity")

// Feedback moves the threshold of the model that found a, as [Model.Feedback] says. Like Process it is called by the
// detector's one goroutine.
func (d *Forests) Feedback(a *signal.Anomaly, j Judgement, by string, at time.Time) (Adjustment, error) {
	key := string(a.Entity)
	if d.c.Each && len(a.Series) == 1 {
		key += "\x00" + a.Series[0]
	}
	w := d.watched[key]
	if w == nil {
		return Adjustment{}, fmt.Errorf("detector %s: %s: %w", d.c.Name, a.Entity, ErrNoModel)
	}
	return w.model.Feedback(Adjustment{Anomaly: a.ID, Judgement: j, By: by, At: at, Began: a.Began, Score: a.Score})
}
