package main

import (
	"context"
	"fmt"
	"math"

	"homeostat/deepar"
	"homeostat/forecast"
)

const (
	// leastObservations is how many values DeepAR wants to learn from; below, a method that learns nothing is better.
	leastObservations = 600
	deepPaths         = 200
)

// The bounds of the training: so many steps through the network in all, and so many windows for each value that there is to learn
// from, as more teach the model the noise.
const (
	deepEpochs = 60
	deepBatch  = 32
	deepSteps  = 14_000_000
	perValue   = 4
)

// deepConfig is how the command trains: the learning rate is above SageMaker's default because it falls at the end, so that fewer
// epochs do.
func (m *forecaster) deepConfig(values int) deepar.Config {
	c := deepar.Config{
		Freq: m.freq, PredictionLength: m.horizon, ContextLength: m.deepContext(), MiniBatchSize: deepBatch, BatchesPerEpoch: 50,
		LearningRate: 4e-3, Seed: m.seed,
	}
	windows := c.BatchesPerEpoch * deepBatch
	most := min(deepEpochs, deepSteps/(windows*(c.ContextLength+c.PredictionLength)))
	c.Epochs = max(min(most, perValue*values/windows), 10)
	return c
}

// longestContext bounds how much of a season is in the context: the lags carry the rest.
const longestContext = 72

// deepContext is the steps before a forecast that it is conditioned on: one and a half horizons, as much as a usual season if that is
// short, and at most what a third of the series holds.
func (m *forecaster) deepContext() int {
	n := max(m.horizon+m.horizon/2, min(firstOr(m.freq.Seasons(), 1), longestContext))
	return max(min(n, m.shortest()/3, 500), min(m.horizon, 500))
}

// deep is the candidate that is one model over all series. The model that forecasts held-out ends never saw them; the final one is the
// same, trained on with them.
type deep struct {
	m       *forecaster
	heldOut *deepar.Model
	final   *deepar.Model
}

// enough returns how many values there are to learn from, and whether that is too few.
func (m *forecaster) enough(windows int) (values int, err error) {
	for _, s := range m.train {
		if n := len(s.Target) - windows*m.horizon; n > m.horizon {
			for _, v := range s.Target[:n] {
				if !math.IsNaN(v) {
					values++
				}
			}
		}
	}
	if values < leastObservations {
		err = fmt.Errorf("%d values to learn from, want %d", values, leastObservations)
	}
	return values, err
}

// trainDeep trains both models. windows ends of each series are held out from the first.
func (m *forecaster) trainDeep(ctx context.Context, windows int) (*deep, error) {
	d := &deep{m: m}
	values, _ := m.enough(windows)
	c := m.deepConfig(values)
	short := make([]deepar.Series, 0, len(m.train))
	for _, s := range m.train {
		if n := len(s.Target) - windows*m.horizon; n > m.horizon {
			s.Target = s.Target[:n]
			short = append(short, s)
		}
	}
	var err error
	tell := func(what string) func(deepar.Progress) {
		return func(p deepar.Progress) { m.progress.show("%s: epoch %d of %d, loss %.4f", what, p.Epoch, p.Of, p.Loss) }
	}
	if d.heldOut, err = deepar.Train(ctx, short, c, tell("training")); err != nil {
		return nil, err
	}
	d.final, err = d.heldOut.Continue(ctx, m.train, c.Epochs/3, 0.5, tell("training on the held-out ends"))
	return d, err
}

// candidate is d for forecast.Choose.
func (d *deep) candidate(ctx context.Context) forecast.Candidate {
	return forecast.Candidate{Name: "deepar", Forecast: func(i, n int) (*forecast.Forecast, error) {
		s := d.m.histories[i]
		model, count := d.final, deepPaths
		if n < len(s.Target) {
			model, count = d.heldOut, deepPaths/2
		}
		s.Target = s.Target[:n]
		paths, err := model.Sample(ctx, &s, count, d.m.seed+uint64(i))
		if err != nil {
			return nil, err
		}
		f := &forecast.Forecast{Levels: forecastLevels, Mean: paths.Mean()}
		for _, q := range forecastLevels {
			f.Quantiles = append(f.Quantiles, paths.Quantile(q))
		}
		return f, nil
	}}
}
