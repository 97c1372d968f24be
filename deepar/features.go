package deepar

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// spec is what a model's inputs are: made from the training data, kept in the model's file.
type spec struct {
	Lags        []int // steps, ascending
	Calendars   int   // how many of the frequency's calendars are used, the shortest first
	Cardinality []int // of each category
	DynMean     []float64
	DynScale    []float64
	LogMean     float64 // of the logarithm of scales
	LogScale    float64
}

// newSpec looks at the training data. What it can't have seen twice isn't used: a lag beyond half of the usual series, a calendar
// whose cycle the longest series doesn't cover twice.
func newSpec(c *Config, series []Series) spec {
	lengths := make([]int, len(series))
	for i := range series {
		lengths[i] = len(series[i].Target)
	}
	slices.Sort(lengths)
	usual, longest := lengths[len(lengths)/2], lengths[len(lengths)-1]
	sp := spec{Lags: c.Freq.Lags(max(1, usual/2))}
	for _, cal := range c.Freq.calendars() {
		if 2*cal.seconds <= float64(longest)*c.Freq.Seconds() {
			sp.Calendars++
		}
	}
	if !c.IgnoreCat && len(series[0].Cat) > 0 {
		sp.Cardinality = make([]int, len(series[0].Cat))
		for i := range series {
			for j, v := range series[i].Cat {
				sp.Cardinality[j] = max(sp.Cardinality[j], v+1)
			}
		}
	}
	if !c.IgnoreDynamicFeat {
		for j := range series[0].DynamicFeat {
			var n, sum, squares float64
			for i := range series {
				for _, v := range series[i].DynamicFeat[j][:len(series[i].Target)] {
					n++
					sum += v
				}
			}
			m := sum / n
			for i := range series {
				for _, v := range series[i].DynamicFeat[j][:len(series[i].Target)] {
					squares += float64((v - m) * (v - m))
				}
			}
			s := math.Sqrt(squares / n)
			if !(s > 0) {
				s = 1
			}
			sp.DynMean, sp.DynScale = append(sp.DynMean, m), append(sp.DynScale, s)
		}
	}
	var n, sum, squares float64
	for i := range series {
		if s, ok := meanAbs(series[i].Target); ok {
			l := log64(s)
			n, sum, squares = n+1, sum+l, squares+float64(l*l)
		}
	}
	sp.LogScale = 1
	if n > 0 {
		sp.LogMean = sum / n
		sp.LogScale = max(1, math.Sqrt(max(0, squares/n-float64(sp.LogMean*sp.LogMean))))
	}
	return sp
}

// embedded is how many inputs are embeddings, with what fills them up to a multiple of 8.
func (sp *spec) embedded(c *Config) int { return roundUp(len(sp.Cardinality)*c.EmbeddingDimension, 8) }

// width is how many inputs a step has, filled up to a multiple of 8: embeddings first, then lags, whether the last value is
// missing, two for each calendar, age, scale, dynamic features.
func (sp *spec) width(c *Config) int {
	return sp.embedded(c) + roundUp(len(sp.Lags)+1+2*sp.Calendars+2+len(sp.DynMean), 8)
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

// meanAbs is the mean absolute value of what isn't missing; false when that is nothing, or 0.
func meanAbs(v []float64) (float64, bool) {
	sum, n := 0.0, 0
	for _, x := range v {
		if !math.IsNaN(x) {
			sum += math.Abs(x)
			n++
		}
	}
	if n == 0 || sum == 0 {
		return 1, false
	}
	return max(sum/float64(n), 1e-30), true
}

// prepared is a series with what its inputs are made from, for steps 0 to len(target)+ahead.
type prepared struct {
	target []float64 // NaN is missing
	filled []float64 // the last value that isn't missing; 0 before the first
	feats  []float32 // (steps, per): calendars, age
	per    int
	dyn    [][]float64
	cat    []int
	scale  float64 // of the whole series: where a window has none of its own
}

func prepare(c *Config, sp *spec, s *Series, ahead int) *prepared {
	n := len(s.Target)
	p := &prepared{target: s.Target, filled: make([]float64, n), per: 2*sp.Calendars + 1}
	last := 0.0
	for t, v := range s.Target {
		if !math.IsNaN(v) {
			last = v
		}
		p.filled[t] = last
	}
	p.scale, _ = meanAbs(s.Target)
	p.feats = make([]float32, (n+ahead)*p.per)
	calendars := c.Freq.calendars()[:sp.Calendars]
	step := time.Duration(c.Freq.Seconds()) * time.Second
	at := s.Start
	for t := range n + ahead {
		f := p.feats[t*p.per:]
		for j, cal := range calendars {
			s, c := sinCos(cal.at(at))
			f[2*j], f[2*j+1] = float32(s), float32(c)
		}
		f[p.per-1] = float32(log64(float64(2+t))/5 - 1)
		if c.Freq.Unit == "M" {
			at = c.Freq.Add(s.Start, t+1)
		} else {
			at = at.Add(step)
		}
	}
	if len(sp.DynMean) > 0 {
		p.dyn = s.DynamicFeat
	}
	if len(sp.Cardinality) > 0 {
		p.cat = s.Cat
	}
	return p
}

// sinCos is the sine and cosine of a turn, by their series; package math's differ between processors.
func sinCos(turn float64) (sin, cos float64) {
	x := float64((turn - 0.5) * (2 * math.Pi)) // within -pi and pi: half a turn on, so that both change sign
	z := float64(x * x)
	s, c := 1.0, 1.0
	for k := 13; k >= 1; k-- {
		s = 1 - float64(z*s)/float64(2*k*(2*k+1))
		c = 1 - float64(z*c)/float64(2*k*(2*k-1))
	}
	return -float64(x * s), -c
}

// scaleOf is by what the window of series p that ends before step t, and is n long, is divided: the mean absolute value of its
// context, or of the whole series where that is nothing. A window can be near 0 where the rest of its series isn't: a thousandth
// of the series' own scale is the least, so that no value of a series of n comes to more than 1000 n, with which float32 computes.
// Values are never cut.
func (p *prepared) scaleOf(l Likelihood, t, n int) float64 {
	if !l.scaled() {
		return 1
	}
	if s, ok := meanAbs(p.target[max(0, t-n):max(0, t)]); ok {
		return max(s, p.scale*leastScale)
	}
	return p.scale
}

const leastScale = 1e-3

// fill makes the inputs of step t, without embeddings. x has the model's width less those. value tells what stood a step at t' < t,
// scaled; nil reads the series.
func (sp *spec) fill(x []float32, p *prepared, t int, scale float64, value func(t int) float32) {
	inv := 1 / scale
	for j, l := range sp.Lags {
		at := t - l
		switch {
		case at < 0:
			x[j] = 0
		case value != nil && at >= len(p.filled):
			x[j] = value(at)
		default:
			x[j] = float32(p.filled[at] * inv)
		}
	}
	j := len(sp.Lags)
	x[j] = 0
	if t < 1 || t <= len(p.target) && math.IsNaN(p.target[t-1]) {
		x[j] = 1
	}
	j++
	if t < 0 {
		clear(x[j:])
		return
	}
	j += copy(x[j:], p.feats[t*p.per:(t+1)*p.per])
	x[j] = float32((log64(scale) - sp.LogMean) / sp.LogScale)
	j++
	for k, f := range p.dyn {
		x[j] = float32((f[t] - sp.DynMean[k]) / sp.DynScale[k])
		j++
	}
	clear(x[j:])
}

// CheckSeries says what is wrong with each of the series that a model of c would learn from, and between them; up to twenty mistakes,
// each with the place of its series. Train does the same, and also wants one that is longer than the prediction length.
func CheckSeries(series []Series, c Config) error {
	c.setDefaults()
	if err := c.check(); err != nil {
		return err
	}
	return checkSeries(&c, series)
}

// CheckHistories says what keeps each of histories from being forecast by a model of c that learned from train, which CheckSeries has
// been through; up to twenty mistakes, each with the place of its series.
func CheckHistories(train, histories []Series, c Config) error {
	c.setDefaults()
	m := &Model{config: c, spec: newSpec(&c, train)}
	var errs []error
	for i := range histories {
		if len(errs) >= maxErrors {
			errs = append(errs, errors.New("and perhaps more"))
			break
		}
		s := &histories[i]
		if err := errors.Join(checkGrid(&c, &train[0], s), m.Check(s)); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.place(i), err))
		}
	}
	return errors.Join(errs...)
}

// checkTraining returns the series that are learned from: those longer than the prediction length.
func checkTraining(c *Config, series []Series) (used []Series, err error) {
	if err := checkSeries(c, series); err != nil {
		return nil, err
	}
	for i := range series {
		if len(series[i].Target) > c.PredictionLength {
			used = append(used, series[i])
		}
	}
	if len(used) == 0 {
		return nil, fmt.Errorf("%w: none of %d series is longer than the prediction length, %d", ErrSeries, len(series), c.PredictionLength)
	}
	return used, nil
}

func checkSeries(c *Config, series []Series) error {
	var errs []error
	bad := func(i int, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %w", series[i].place(i), fmt.Errorf(format, args...)))
	}
	if len(series) == 0 {
		return errors.New("no series to learn from")
	}
	first := &series[0]
	seen := make([]map[int]bool, len(first.Cat))
	for j := range seen {
		seen[j] = map[int]bool{}
	}
	for i := range series {
		s := &series[i]
		if len(errs) >= maxErrors {
			return errors.Join(append(errs, errors.New("and perhaps more"))...)
		}
		if err := checkGrid(c, first, s); err != nil {
			bad(i, "%w", err)
		}
		if err := checkTarget(c, s); err != nil {
			bad(i, "%w", err)
		}
		if !c.IgnoreCat {
			if len(s.Cat) != len(first.Cat) {
				bad(i, "cat: %d categories, where %s has %d", len(s.Cat), first.place(0), len(first.Cat))
			} else {
				for j, v := range s.Cat {
					if v < 0 || v > 1e6 {
						bad(i, "cat[%d]: %d, want 0 to 1000000", j, v)
					}
					seen[j][v] = true
				}
			}
		}
		if !c.IgnoreDynamicFeat {
			if err := checkDynamic(s, len(first.DynamicFeat), len(s.Target)); err != nil {
				bad(i, "%w", err)
			}
		}
	}
	for j, values := range seen {
		if c.IgnoreCat {
			break
		}
		for v := range len(values) {
			if !values[v] {
				errs = append(errs, fmt.Errorf("cat[%d]: no series has category %d, but some have higher ones: number them from 0 without gaps", j, v))
				break
			}
		}
	}
	return errors.Join(errs...)
}

// checkGrid refuses series that don't lie on one grid of times.
func checkGrid(c *Config, first, s *Series) error {
	if c.Freq.Unit == "M" || c.Freq.Unit == "W" {
		return nil
	}
	step := time.Duration(c.Freq.Seconds()) * time.Second
	if off := s.Start.Sub(first.Start) % step; off != 0 {
		return fmt.Errorf("start: %s lies %v off the grid of %v that the other series are on: are frequencies mixed?",
			s.Start.Format(time.DateTime), off.Abs(), c.Freq)
	}
	return nil
}

func checkTarget(c *Config, s *Series) error {
	observed := false
	for t, v := range s.Target {
		if math.IsNaN(v) {
			continue
		}
		observed = true
		if math.Abs(v) > maxAbs {
			return fmt.Errorf("target[%d]: %g is beyond %g", t, v, maxAbs)
		}
		if err := c.Likelihood.checkValue(v); err != nil {
			return fmt.Errorf("target[%d]: %w", t, err)
		}
	}
	if !observed {
		return fmt.Errorf("target: all %d values are missing", len(s.Target))
	}
	return nil
}

// checkDynamic says whether s has so many dynamic features, each with so many values.
func checkDynamic(s *Series, features, steps int) error {
	if len(s.DynamicFeat) != features {
		return fmt.Errorf("dynamic_feat: %d features, want %d", len(s.DynamicFeat), features)
	}
	for j, f := range s.DynamicFeat {
		if len(f) < steps {
			return fmt.Errorf("dynamic_feat[%d]: %d values, want %d", j, len(f), steps)
		}
		for t, v := range f {
			if math.IsNaN(v) || math.Abs(v) > maxAbs {
				return fmt.Errorf("dynamic_feat[%d][%d]: %v can't be used", j, t, v)
			}
		}
	}
	return nil
}
