package forecast

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Candidate is a method that [Choose] may use.
type Candidate struct {
	Name string
	// Forecast forecasts series i from its first n values, and must not have learned from any value after them. It is called from
	// several goroutines. An error leaves the candidate out for that series.
	Forecast func(i, n int) (*Forecast, error)
}

// ChooseConfig says how candidates are judged. The zero value works.
type ChooseConfig struct {
	Windows int // how many times the end of each series is held out, each one horizon earlier; none when 0: all count alike
	Workers int // GOMAXPROCS when 0
}

// SeriesError says which series no candidate could forecast.
type SeriesError struct {
	Series int
	Err    error
}

// Error names the series by its place in what Choose was given.
func (e *SeriesError) Error() string { return fmt.Sprintf("series %d: %v", e.Series, e.Err) }

// Unwrap returns what each candidate said.
func (e *SeriesError) Unwrap() error { return e.Err }

// Choice is what was made of the candidates for one series.
type Choice struct {
	Forecast *Forecast
	Weights  []float64 // of each candidate; they add up to 1
	Losses   []float64 // of each candidate on the held-out values, relative to their size: the mean weighted quantile loss; NaN unknown
	Widened  float64   // by what the band's distance from the median was multiplied
	Reason   string    // a sentence: which, and why
}

// Choose forecasts the next h steps of each series by an average of the candidates, quantile by quantile. How much each counts is by
// its loss on the held-out end of the series, drawn toward its loss over all series as one end says little. The band is then
// scaled by what the held-out values of all series needed (split conformal), the latest most. It fails when no candidate can forecast a series.
func Choose(ctx context.Context, cands []Candidate, series [][]float64, h int, levels []float64, c ChooseConfig) ([]Choice, error) {
	if len(cands) == 0 {
		return nil, errors.New("forecast: no candidates")
	}
	ch := &chooser{cands: cands, series: series, h: h, levels: levels, windows: c.Windows, workers: c.Workers}
	if ch.workers == 0 {
		ch.workers = runtime.GOMAXPROCS(0)
	}
	ch.trials = make([]trial, len(series))
	if err := ch.each(ctx, ch.holdOut); err != nil {
		return nil, err
	}
	ch.weigh()
	ch.calibrate()
	out := make([]Choice, len(series))
	err := ch.each(ctx, func(i int) error { return ch.forecast(i, &out[i]) })
	return out, err
}

type chooser struct {
	cands   []Candidate
	series  [][]float64
	h       int
	levels  []float64
	windows int
	workers int
	trials  []trial
	overall []float64 // (candidates,) relative loss over all series
	factor  float64   // on the band's distance from the median
}

// trial is what the candidates did on the held-out ends of one series.
type trial struct {
	windows []window
	size    float64   // sum of |y| held out
	loss    []float64 // (candidates,) summed pinball loss, mean over the levels; NaN when one failed
	weights []float64
}

// window is one held-out end.
type window struct {
	actual    []float64
	forecasts []*Forecast // of each candidate, nil when it failed
	loss      []float64   // of each candidate, NaN when it failed
}

// each calls f for every series from the workers.
func (c *chooser) each(ctx context.Context, f func(i int) error) error {
	var next atomic.Int64
	errs := make([]error, len(c.series))
	var wg sync.WaitGroup
	for range min(c.workers, len(c.series)) {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1) - 1)
				if i >= len(c.series) {
					return
				}
				errs[i] = f(i)
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return errors.Join(errs...)
}

// holdOut tries the candidates on the ends of series i. An end is only held out when as much again, and more, is left before it.
func (c *chooser) holdOut(i int) error {
	y := c.series[i]
	t := trial{loss: make([]float64, len(c.cands))}
	for w := range c.windows {
		n := len(y) - (w+1)*c.h
		if n < c.h+1 {
			break
		}
		win := window{actual: y[n : n+c.h], forecasts: make([]*Forecast, len(c.cands)), loss: make([]float64, len(c.cands))}
		for k, cand := range c.cands {
			f, err := cand.Forecast(i, n)
			if err != nil {
				t.loss[k], win.loss[k] = math.NaN(), math.NaN()
				continue
			}
			win.forecasts[k] = f
			win.loss[k] = meanPinball(win.actual, f)
			t.loss[k] += win.loss[k]
		}
		for _, v := range win.actual {
			if !math.IsNaN(v) {
				t.size += math.Abs(v)
			}
		}
		t.windows = append(t.windows, win)
	}
	c.trials[i] = t
	return nil
}

// meanPinball is twice the pinball loss of a forecast, summed over the steps that came true, its mean over the levels.
func meanPinball(actual []float64, f *Forecast) float64 {
	sum := 0.0
	for q, p := range f.Levels {
		for t, y := range actual {
			if !math.IsNaN(y) {
				sum += 2 * pinball(y, f.Quantiles[q][t], p)
			}
		}
	}
	return sum / float64(len(f.Levels))
}

const (
	shrink   = 2.0  // windows' worth of the loss over all series that is added to a series' own
	sharp    = 0.15 // relative loss over which a weight falls by e
	leastPut = 0.05 // a weight below is none
)

// weigh sets the weights of each series.
func (c *chooser) weigh() {
	k := len(c.cands)
	c.overall = make([]float64, k)
	n := make([]float64, k)
	for _, t := range c.trials {
		for j, r := range relative(t.loss, len(t.windows)) {
			if !math.IsNaN(r) {
				c.overall[j] += r
				n[j]++
			}
		}
	}
	for j := range c.overall {
		c.overall[j] /= n[j] // NaN where a candidate never was tried
	}
	for i := range c.trials {
		t := &c.trials[i]
		t.weights = c.weights(t.loss, len(t.windows))
	}
}

// relative returns losses as shares of their mean, so that no series counts by its unit.
func relative(losses []float64, windows int) []float64 {
	out := make([]float64, len(losses))
	total, m := 0.0, 0.0
	for _, l := range losses {
		if !math.IsNaN(l) {
			total += l
			m++
		}
	}
	for j, l := range losses {
		switch {
		case windows == 0 || math.IsNaN(l):
			out[j] = math.NaN()
		case total == 0:
			out[j] = 1
		default:
			out[j] = l / (total / m)
		}
	}
	return out
}

// weights returns those of a series that had such losses on so many windows.
func (c *chooser) weights(losses []float64, windows int) []float64 {
	s := make([]float64, len(losses))
	for j, r := range relative(losses, windows) {
		s[j] = c.overall[j]
		if w := float64(windows); !math.IsNaN(r) {
			s[j] = (w*r + shrink*c.overall[j]) / (w + shrink)
		}
	}
	return soften(s)
}

// without returns the weights that the other windows than w would have given: what w itself chose would flatter it.
func (c *chooser) without(t *trial, w int) []float64 {
	losses := make([]float64, len(t.loss))
	for i := range t.windows {
		if i == w {
			continue
		}
		for j, l := range t.windows[i].loss {
			losses[j] += l
		}
	}
	return c.weights(losses, len(t.windows)-1)
}

// soften turns relative losses into weights that add up to 1; NaN has none. Where all are NaN all count alike.
func soften(losses []float64) []float64 {
	least := math.Inf(1)
	for _, l := range losses {
		if l < least {
			least = l
		}
	}
	w := make([]float64, len(losses))
	top := 0.0
	for j, l := range losses {
		switch {
		case math.IsInf(least, 1) || l == least:
			w[j] = 1
		case !math.IsNaN(l) && least > 0:
			w[j] = math.Exp(-(l/least - 1) / sharp)
		}
		top += w[j]
	}
	kept := 0.0
	for j := range w {
		if w[j] < leastPut*top {
			w[j] = 0
		}
		kept += w[j]
	}
	for j := range w {
		w[j] /= kept
	}
	return w
}

// farOff is how many widths of the median's band a candidate counts away from it at most: one that takes a spike for the new level
// would else move the average by a share of the spike.
const farOff = 4

// combine averages forecasts by weight, quantile by quantile; nil when those that there are have no weight.
func combine(fs []*Forecast, weights []float64) *Forecast {
	sum := 0.0
	var used []*Forecast
	var w []float64
	for j, f := range fs {
		if f != nil && weights[j] > 0 {
			used, w, sum = append(used, f), append(w, weights[j]), sum+weights[j]
		}
	}
	if sum == 0 {
		return nil
	}
	out := newForecast(len(used[0].Mean), used[0].Levels)
	values := make([]weighted, len(used))
	middle := make([]float64, len(out.Levels))
	last := len(middle) - 1
	for t := range out.Mean {
		for q := range middle {
			for j, f := range used {
				values[j] = weighted{f.Quantiles[q][t], w[j]}
			}
			middle[q] = heavierHalf(values, sum)
		}
		reach := math.Inf(1)
		if width := middle[last] - middle[0]; width > 0 {
			reach = farOff * width
		}
		near := func(v float64, q int) float64 { return min(max(v, middle[q]-reach), middle[q]+reach) }
		for j, f := range used {
			share := w[j] / sum
			for q := range middle {
				out.Quantiles[q][t] += share * near(f.Quantiles[q][t], q)
			}
			out.Mean[t] += share * min(max(f.Mean[t], middle[0]-reach), middle[last]+reach)
		}
	}
	return out
}

// heavierHalf returns the least value that, with those below it, has half of the weight. It sorts them.
func heavierHalf(v []weighted, sum float64) float64 {
	slices.SortFunc(v, func(a, b weighted) int { return cmp.Compare(a.value, b.value) })
	below := 0.0
	for _, x := range v {
		if below += x.weight; below >= sum/2 {
			return x.value
		}
	}
	return v[len(v)-1].value
}

// forecast makes the choice of series i.
func (c *chooser) forecast(i int, out *Choice) error {
	t := &c.trials[i]
	fs := make([]*Forecast, len(c.cands))
	var why []error
	weights := slices.Clone(t.weights)
	get := func(j int) {
		f, err := c.cands[j].Forecast(i, len(c.series[i]))
		if err != nil {
			why = append(why, err)
			weights[j] = 0
			return
		}
		fs[j] = f
	}
	for j := range c.cands {
		if weights[j] > 0 {
			get(j)
		}
	}
	f := combine(fs, weights)
	if f == nil { // those chosen failed on the whole series: whichever doesn't
		for j := range c.cands {
			if fs[j] == nil {
				weights[j] = 1
				get(j)
			}
		}
		if f = combine(fs, weights); f == nil {
			return &SeriesError{Series: i, Err: errors.Join(why...)}
		}
	}
	sum := 0.0
	for _, w := range weights {
		sum += w
	}
	for j := range weights {
		weights[j] /= sum
	}
	median := slices.Clone(f.at(0.5))
	for _, row := range f.Quantiles {
		for s := range row {
			row[s] = median[s] + c.factor*(row[s]-median[s])
		}
	}
	*out = Choice{Forecast: f, Weights: weights, Widened: c.factor, Losses: make([]float64, len(c.cands))}
	for j, l := range t.loss {
		out.Losses[j] = l / t.size
		if len(t.windows) == 0 {
			out.Losses[j] = math.NaN()
		}
	}
	out.Reason = c.reason(out, len(t.windows))
	return nil
}

func (c *chooser) reason(o *Choice, windows int) string {
	var used, left []string
	for j, cand := range c.cands {
		loss := ""
		if !math.IsNaN(o.Losses[j]) {
			loss = fmt.Sprintf(" (loss %.3g)", o.Losses[j])
		}
		switch {
		case o.Weights[j] >= 0.995:
			used = append(used, cand.Name+loss)
		case o.Weights[j] > 0:
			used = append(used, fmt.Sprintf("%.0f %% %s%s", 100*o.Weights[j], cand.Name, loss))
		default:
			left = append(left, cand.Name+loss)
		}
	}
	s := strings.Join(used, ", ")
	if len(left) > 0 {
		s += "; left out: " + strings.Join(left, ", ")
	}
	if c.windows == 0 {
		return s
	}
	alone := len(c.series) == 1
	switch {
	case windows == 0 && alone:
		return s + "; the series is too short to hold out its end, so all count alike"
	case windows == 0:
		return s + "; the series is too short to hold out its end, so this is by the other series"
	}
	s += fmt.Sprintf("; by the last %d steps held out", windows*c.h)
	if alone {
		return s
	}
	return s + ", and how the other series fared"
}
