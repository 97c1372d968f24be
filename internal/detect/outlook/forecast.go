package outlook

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"time"

	"homeostat/deepar"
	"homeostat/forecast"
)

var errLearned = errors.New("the model has learned from these minutes")

// lone is the surprise, in nats, of a minute that may be a lone outlier.
const lone = 5.0

// forecast makes the fan of feature i after minute k, and tells a breach that it foresees.
func (d *Detector) forecast(e *endpoint, i int, k int64) {
	tr := e.tracks[i]
	y := make([]float64, min(len(tr.Values), keep))
	for j, v := range tr.Values[len(tr.Values)-len(y):] {
		y[j] = float64(v)
	}
	if n := len(tr.Strange); n > 1 && tr.Strange[n-1] > lone && tr.Strange[n-2] < lone/2 {
		y[len(y)-1] = math.NaN() // a burst of one minute is no place to go on from
	}
	got, err := forecast.Choose(context.Background(), d.candidates(e, i, y, k), [][]float64{y}, horizon, levels, forecast.ChooseConfig{Windows: 2, Workers: 1})
	if err != nil {
		return // too short: the next one may do
	}
	tr.foretell(k+1, got[0].Forecast.Quantiles, got[0].Reason)
	d.foretold(e)
	d.foresee(e, i, k)
}

// candidates are what forecasts y, feature i of e, whose last minute is k.
func (d *Detector) candidates(e *endpoint, i int, y []float64, k int64) []forecast.Candidate {
	local := func(name string, m forecast.Model) forecast.Candidate {
		return forecast.Candidate{Name: name, Forecast: func(_, n int) (*forecast.Forecast, error) { return m.Forecast(y[:n], horizon, levels) }}
	}
	cands := []forecast.Candidate{
		local("theta", forecast.Theta{Season: 60}), local("the last value", forecast.SeasonalNaive{}),
		{Name: "the last two hours", Forecast: func(_, n int) (*forecast.Forecast, error) { return usual(y[:n]) }},
	}
	if len(e.limits[i]) > 0 { // what is on its way to a limit follows a slope; ETS costs as much as all the rest
		cands = append(cands, forecast.Candidate{Name: "ETS", Forecast: func(_, n int) (*forecast.Forecast, error) {
			return forecast.ETS{}.Forecast(y[max(0, n-4*horizon):n], horizon, levels)
		}}, forecast.Candidate{Name: "the line of two hours", Forecast: func(_, n int) (*forecast.Forecast, error) { return line(y[:n]) }})
	}
	if len(y) > 1440+2*horizon {
		cands = append(cands, local("the day before", forecast.SeasonalNaive{Season: 1440}))
	}
	if m := d.models[d.c.Features[i]]; m != nil {
		cands = append(cands, d.deep(m, y, k))
	}
	return cands
}

// deep is the candidate of the kind's model. It is only asked for minutes that it can't have learned from.
func (d *Detector) deep(m *deepar.Model, y []float64, k int64) forecast.Candidate {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, k)
	return forecast.Candidate{Name: "deepar", Forecast: func(_, n int) (*forecast.Forecast, error) {
		first := k + 1 - int64(len(y))
		if first+int64(n) < d.until {
			return nil, errLearned
		}
		drawn := 100
		if n < len(y) { // to be judged, half of them do
			drawn = 50
		}
		paths, err := m.Sample(context.Background(), &deepar.Series{Start: time.UnixMilli(first * minute).UTC(), Target: y[:n]}, drawn, h.Sum64())
		if err != nil {
			return nil, err
		}
		f := &forecast.Forecast{Levels: levels, Mean: paths.Mean()}
		for _, q := range levels {
			f.Quantiles = append(f.Quantiles, paths.Quantile(q))
		}
		return f, nil
	}}
}
