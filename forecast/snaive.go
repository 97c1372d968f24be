package forecast

import (
	"fmt"
	"math"
	"slices"
)

// SeasonalNaive expects the next season to be as the last one was. Its spread at a step is that of the differences between values as
// many seasons apart as the step is ahead, in the series' own history.
type SeasonalNaive struct {
	Season int // steps; 1 or 0 repeats the last value
}

// newest is how many past errors a quantile is taken from at most. Without a season each step needs errors of its own.
const (
	newest       = 2048
	newestOfStep = 512
)

// Forecast implements [Model]. A series shorter than a season repeats its last value.
func (m SeasonalNaive) Forecast(y []float64, h int, levels []float64) (*Forecast, error) {
	if err := checkRequest(y, h, levels); err != nil {
		return nil, fmt.Errorf("seasonal naive: %w", err)
	}
	season := max(1, m.Season)
	full := fill(y, season)
	if len(full) == 0 {
		return nil, fmt.Errorf("seasonal naive: %w: all of %d are missing", ErrTooShort, len(y))
	}
	if len(full) < season {
		season = 1
	}
	observed := y[len(y)-len(full):]
	f := newForecast(h, levels)
	n := len(full)
	if season == 1 { // each step has a distance of its own
		for t := range h {
			f.Mean[t] = full[n-1]
		}
		for q, row := range spread(h, levels, func(ahead int) []float64 { return seasonalErrors(nil, observed, ahead, newestOfStep) }) {
			for t := range row {
				f.Quantiles[q][t] = full[n-1] + row[t]
			}
		}
		return f, nil
	}
	var errs []float64
	for k := 1; (k-1)*season < h; k++ { // k seasons ahead
		errs = seasonalErrors(errs[:0], observed, k*season, newest)
		for t := (k - 1) * season; t < min(h, k*season); t++ {
			point := full[n-season+t%season]
			f.Mean[t] = point
			for q, p := range levels {
				f.Quantiles[q][t] = point + centred(errs, p)
			}
		}
	}
	return f, nil
}

// seasonalErrors appends the newest differences at a lag to dst, sorted. A lag too long for the series leaves the spread of the longest lag
// that there is, wider by the square root of how much longer it is.
func seasonalErrors(dst, y []float64, lag, most int) []float64 {
	wider := 1.0
	if longest := max(1, len(y)/2); lag > longest {
		wider = math.Sqrt(float64(lag) / float64(longest))
		lag = longest
	}
	for t := max(lag, len(y)-most); t < len(y); t++ {
		if d := y[t] - y[t-lag]; !math.IsNaN(d) {
			dst = append(dst, d*wider)
		}
	}
	slices.Sort(dst)
	return dst
}

// spread returns the quantiles of errors around their median for each step ahead, (levels,h). errors gives those at a distance,
// sorted. From the twelfth step on it is asked for one distance in h/12 and the steps between lie on straight lines.
func spread(h int, levels []float64, errors func(ahead int) []float64) [][]float64 {
	out := make([][]float64, len(levels))
	for q := range out {
		out[q] = make([]float64, h)
	}
	stride := max(1, h/12)
	for last, t := -1, 0; ; {
		errs := errors(t + 1)
		for q, p := range levels {
			out[q][t] = centred(errs, p)
			for s := last + 1; s < t; s++ {
				w := float64(s-last) / float64(t-last)
				out[q][s] = out[q][last]*(1-w) + out[q][t]*w
			}
		}
		if t == h-1 {
			return out
		}
		last = t
		if t++; t > 12 {
			t = min(last+stride, h-1)
		}
	}
}

// centred is the quantile of sorted errors around their median: the point forecast stays the median.
func centred(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return quantile(sorted, p) - quantile(sorted, 0.5)
}
