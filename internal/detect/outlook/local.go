package outlook

import (
	"errors"
	"math"
	"slices"

	"homeostat/forecast"
)

// normalLevels are the quantiles of the standard normal distribution at levels.
var normalLevels = []float64{-2.0537, -1.2816, -0.5244, 0, 0.5244, 1.2816, 2.0537}

// line goes on with the straight line of the last two hours, as predict_linear of PromQL does; its spread is that of the values
// around it, and of the line itself: the prediction interval of least squares.
func line(y []float64) (*forecast.Forecast, error) {
	y = y[max(0, len(y)-2*horizon):]
	var n, mx, my float64
	for t, v := range y {
		if !math.IsNaN(v) {
			n++
			mx += float64(t)
			my += v
		}
	}
	if n < least {
		return nil, errors.New("too short for a line")
	}
	mx, my = mx/n, my/n
	var xx, xy, yy float64
	for t, v := range y {
		if !math.IsNaN(v) {
			x := float64(t) - mx
			xx, xy, yy = xx+x*x, xy+x*(v-my), yy+(v-my)*(v-my)
		}
	}
	slope := xy / xx
	sigma := math.Sqrt(max(0, yy-slope*xy) / (n - 2))
	f := &forecast.Forecast{Levels: levels, Mean: make([]float64, horizon), Quantiles: make([][]float64, len(levels))}
	for s := range horizon {
		x := float64(len(y)+s) - mx
		f.Mean[s] = my + slope*x
		spread := sigma * math.Sqrt(1+1/n+x*x/xx)
		for l, z := range normalLevels {
			f.Quantiles[l] = append(f.Quantiles[l], f.Mean[s]+z*spread)
		}
	}
	return f, nil
}

// usual says of each minute to come what the last two hours had: the best there is of a share that scatters about where it was.
func usual(y []float64) (*forecast.Forecast, error) {
	var seen []float64
	for _, v := range y[max(0, len(y)-2*horizon):] {
		if !math.IsNaN(v) {
			seen = append(seen, v)
		}
	}
	if len(seen) < least {
		return nil, errors.New("too short for what is usual")
	}
	slices.Sort(seen)
	mean := 0.0
	for _, v := range seen {
		mean += v / float64(len(seen))
	}
	f := &forecast.Forecast{Levels: levels, Mean: slices.Repeat([]float64{mean}, horizon)}
	for _, p := range levels {
		x := min(max(p*float64(len(seen))-0.5, 0), float64(len(seen)-1))
		i := int(x)
		v := seen[i]
		if w := x - float64(i); w > 0 {
			v += w * (seen[i+1] - seen[i])
		}
		f.Quantiles = append(f.Quantiles, slices.Repeat([]float64{v}, horizon))
	}
	return f, nil
}
