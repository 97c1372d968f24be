package forecast

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Forecast is the distribution of the next h steps of one series, in the series' own unit.
type Forecast struct {
	Levels    []float64   // (Q,) in (0,1), ascending
	Quantiles [][]float64 // Q rows of h: row q has Levels[q] of the mass below it; rows never cross
	Mean      []float64   // (h,)
}

// Model forecasts one series. Forecast reads y, oldest first, NaN where a value is missing, and keeps nothing of it. It is safe for
// concurrent use.
type Model interface {
	Forecast(y []float64, h int, levels []float64) (*Forecast, error)
}

// ErrTooShort means that a series has too few values that aren't missing.
var ErrTooShort = errors.New("too few values")

// checkRequest refuses what no model can answer.
func checkRequest(y []float64, h int, levels []float64) error {
	if h < 1 {
		return fmt.Errorf("a horizon of %d steps: want 1 or more", h)
	}
	for i, q := range levels {
		if !(q > 0 && q < 1) || i > 0 && !(levels[i-1] < q) {
			return fmt.Errorf("levels %v: want numbers between 0 and 1, ascending", levels)
		}
	}
	for i, v := range y {
		if math.IsInf(v, 0) || math.Abs(v) > maxAbs {
			return fmt.Errorf("value %d is %v: beyond what can be computed with", i, v)
		}
	}
	return nil
}

// maxAbs bounds what is forecast: squares and their sums stay finite.
const maxAbs = 1e140

func newForecast(h int, levels []float64) *Forecast {
	f := &Forecast{Levels: slices.Clone(levels), Quantiles: make([][]float64, len(levels)), Mean: make([]float64, h)}
	flat := make([]float64, len(levels)*h)
	for q := range f.Quantiles {
		f.Quantiles[q] = flat[q*h : (q+1)*h : (q+1)*h]
	}
	return f
}

// fill returns y from its first value that isn't missing, with gaps bridged by the value one season earlier where there is one, else
// by the last one.
func fill(y []float64, season int) []float64 {
	first := slices.IndexFunc(y, func(v float64) bool { return !math.IsNaN(v) })
	if first < 0 {
		return nil
	}
	out := slices.Clone(y[first:])
	for i, v := range out {
		switch {
		case !math.IsNaN(v):
		case season > 1 && i >= season:
			out[i] = out[i-season]
		default:
			out[i] = out[i-1]
		}
	}
	return out
}

// quantile returns the value with share p of sorted below it, interpolated between neighbours as if each held an equal share:
// n values leave 1/(2n) of the mass beyond each end. sorted must not be empty.
func quantile(sorted []float64, p float64) float64 {
	x := p*float64(len(sorted)) - 0.5
	i := int(math.Floor(x))
	switch {
	case i < 0:
		return sorted[0]
	case i >= len(sorted)-1:
		return sorted[len(sorted)-1]
	}
	w := x - float64(i)
	return sorted[i]*(1-w) + sorted[i+1]*w
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}
