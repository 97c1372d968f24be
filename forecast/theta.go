package forecast

import (
	"fmt"
	"math"
	"slices"
)

// Theta is the method of Assimakopoulos and Nikolopoulos: the season is taken out where a test finds one, then the mean of a straight
// line and of simple exponential smoothing over twice the distance from that line is forecast, and the season put back. Its spread
// at a step is that of the errors it would have made at that distance at each point of the history.
type Theta struct {
	Season int // steps; below 2 there is none
}

// maxOrigins bounds from how many points of the history errors are taken: every so many, up to the newest.
const maxOrigins = 1024

// Forecast implements [Model]. It needs 4 values.
func (m Theta) Forecast(y []float64, h int, levels []float64) (*Forecast, error) {
	if err := checkRequest(y, h, levels); err != nil {
		return nil, fmt.Errorf("theta: %w", err)
	}
	full := fill(y, m.Season)
	if len(full) < 4 {
		return nil, fmt.Errorf("theta: %w: %d, want 4", ErrTooShort, len(full))
	}
	var season decomposition
	if seasonal(full, m.Season) {
		season = decompose(full, m.Season)
	}
	l := fitTheta(season.without(full))
	f := newForecast(h, levels)
	n := len(full)
	observed := y[len(y)-n:]
	errs := make([]float64, 0, maxOrigins)
	around := spread(h, levels, func(ahead int) []float64 {
		errs = l.errors(errs[:0], season, observed, min(ahead, n/2))
		return errs
	})
	for t := range h {
		point := l.at(n-1, t+1)
		f.Mean[t] = season.add(n+t, point)
		wider := math.Sqrt(float64(t+1) / float64(min(t+1, n/2)))
		for q := range levels {
			f.Quantiles[q][t] = season.add(n+t, point+wider*around[q][t])
		}
	}
	return f, nil
}

// thetaLines are the two lines of the method over a series without season.
type thetaLines struct {
	x         []float64
	intercept float64
	slope     float64
	level     []float64 // of the smoothed theta-2 line, after each value
}

func fitTheta(x []float64) *thetaLines {
	l := &thetaLines{x: x, level: make([]float64, len(x))}
	n := float64(len(x))
	tm, xm := (n-1)/2, mean(x)
	var sxy, sxx float64
	for t, v := range x {
		d := float64(t) - tm
		sxy += d * (v - xm)
		sxx += d * d
	}
	l.slope = sxy / sxx
	l.intercept = xm - l.slope*tm
	alpha := minimise(0.001, 0.999, l.smooth)
	l.smooth(alpha)
	return l
}

// smooth fills level with simple exponential smoothing of the theta-2 line, and returns the sum of its squared errors.
func (l *thetaLines) smooth(alpha float64) float64 {
	sse := 0.0
	for t, v := range l.x {
		z := 2*v - (l.intercept + l.slope*float64(t))
		if t == 0 {
			l.level[0] = z
			continue
		}
		e := z - l.level[t-1]
		sse += e * e
		l.level[t] = l.level[t-1] + alpha*e
	}
	return sse
}

// at is the forecast for the step that is ahead of the value t.
func (l *thetaLines) at(t, ahead int) float64 {
	return 0.5*(l.intercept+l.slope*float64(t+ahead)) + 0.5*l.level[t]
}

// errors appends to dst what the forecasts at a distance were wrong by, sorted, without those of missing values.
func (l *thetaLines) errors(dst []float64, season decomposition, y []float64, ahead int) []float64 {
	n := len(l.x) - ahead
	stride := max(1, n/maxOrigins)
	for t := n - 1; t >= min(n-1, 2); t -= stride {
		if v := y[t+ahead]; !math.IsNaN(v) {
			dst = append(dst, season.remove(t+ahead, v)-l.at(t, ahead))
		}
	}
	slices.Sort(dst)
	return dst
}

// minimise returns where f is least between lo and hi, by golden sections; f should have one valley there.
func minimise(lo, hi float64, f func(float64) float64) float64 {
	const golden = 0.6180339887498949
	a, b := hi-golden*(hi-lo), lo+golden*(hi-lo)
	fa, fb := f(a), f(b)
	for range 24 {
		if fa <= fb {
			hi, b, fb = b, a, fa
			a = hi - golden*(hi-lo)
			fa = f(a)
		} else {
			lo, a, fa = a, b, fb
			b = lo + golden*(hi-lo)
			fb = f(b)
		}
	}
	return (lo + hi) / 2
}
