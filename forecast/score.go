package forecast

import (
	"errors"
	"math"
)

// Scores are how good forecasts were, as GluonTS and SageMaker measure it: over all series and steps together.
type Scores struct {
	MeanWQuantileLoss float64   // mean over the levels of WQuantileLoss
	WQuantileLoss     []float64 // of each level: 2 sum max(q(y-f), (q-1)(y-f)) / sum |y|
	ND                float64   // sum |y - median| / sum |y|
	RMSE              float64   // of the mean
	MASE              float64   // mean over series of |y - median| over the mean |y[t] - y[t-season]| of the history
	Coverage          float64   // share of values from the 0.1 to the 0.9 quantile
}

// Scorer adds up forecasts and what came true.
type Scorer struct {
	season    int
	pinball   []float64
	abs       float64
	medianErr float64
	squares   float64
	values    int
	inside    int
	banded    int
	mase      float64
	maseOf    int
}

// NewScorer returns a Scorer whose MASE compares with the seasonal naive of that season, in steps.
func NewScorer(season int) *Scorer { return &Scorer{season: max(1, season)} }

// Add counts one forecast: history is what it was made from, actual what came true, NaN where nothing did. All forecasts added must
// have the same levels.
func (s *Scorer) Add(history, actual []float64, f *Forecast) error {
	if s.pinball == nil {
		s.pinball = make([]float64, len(f.Levels))
	}
	if len(s.pinball) != len(f.Levels) || len(actual) > len(f.Mean) {
		return errors.New("forecast: levels or horizon differ from what is compared with")
	}
	median := f.at(0.5)
	lower, upper := f.row(0.1), f.row(0.9)
	series, n := 0.0, 0
	for t, y := range actual {
		if math.IsNaN(y) {
			continue
		}
		for q, p := range f.Levels {
			s.pinball[q] += 2 * pinball(y, f.Quantiles[q][t], p)
		}
		s.abs += math.Abs(y)
		series += math.Abs(y - median[t])
		s.squares += (y - f.Mean[t]) * (y - f.Mean[t])
		n++
		if lower != nil && upper != nil {
			s.banded++
			if y >= lower[t] && y <= upper[t] {
				s.inside++
			}
		}
	}
	s.medianErr += series
	s.values += n
	naive, m := 0.0, 0
	for t := s.season; t < len(history); t++ {
		if d := math.Abs(history[t] - history[t-s.season]); !math.IsNaN(d) {
			naive += d
			m++
		}
	}
	if n > 0 && naive > 0 { // a series that never moved has no MASE
		s.mase += series / float64(n) / (naive / float64(m))
		s.maseOf++
	}
	return nil
}

// Scores returns the measures of what was added so far. What can't be said is NaN.
func (s *Scorer) Scores() Scores {
	r := Scores{
		ND: s.medianErr / s.abs, RMSE: math.Sqrt(s.squares / float64(s.values)),
		MASE: s.mase / float64(s.maseOf), Coverage: float64(s.inside) / float64(s.banded),
	}
	for _, l := range s.pinball {
		r.WQuantileLoss = append(r.WQuantileLoss, l/s.abs)
		r.MeanWQuantileLoss += l / s.abs / float64(len(s.pinball))
	}
	return r
}

// pinball is the loss of quantile forecast f of level p when y came true.
func pinball(y, f, p float64) float64 {
	if y > f {
		return p * (y - f)
	}
	return (1 - p) * (f - y)
}

// row returns the row of level p, nil when there is none.
func (f *Forecast) row(p float64) []float64 {
	for q, l := range f.Levels {
		if math.Abs(l-p) < 1e-9 {
			return f.Quantiles[q]
		}
	}
	return nil
}

// at returns the row of level p, or the mean when there is none.
func (f *Forecast) at(p float64) []float64 {
	if r := f.row(p); r != nil {
		return r
	}
	return f.Mean
}
