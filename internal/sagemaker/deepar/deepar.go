// Package deepar trains and serves DeepAR as SageMaker's built-in algorithm of that name does.
//
// Channels: train and test (optional), JSON Lines (plain or gzip) or Parquet, known by .json, .jsonl, .gz and .parquet or by the
// channel's content type. Of each series of test the last prediction_length values are forecast from those before. The leading
// host of a job trains. A record's mistake fails the job with its file and line (of Parquet: row); nothing is repaired silently.
//
// An epoch is fifty mini-batches; SageMaker doesn't say what its own is. Beyond SageMaker's frequencies, seconds (10s) are taken.
//
// Sources: Amazon SageMaker developer guide, "DeepAR Forecasting Algorithm", "DeepAR Hyperparameters", "DeepAR Inference Formats".
package deepar

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strconv"

	"golang.org/x/sync/errgroup"

	"homeostat/deepar"
	"homeostat/forecast"
	"homeostat/internal/sagemaker"
)

const modelFile = "model.deepar"

// Algorithm returns DeepAR.
func Algorithm() sagemaker.Algorithm {
	return sagemaker.Algorithm{Name: "deepar", Parameter: "prediction_length", Train: train, Load: load}
}

// parameters are a job's hyperparameters.
type parameters struct {
	deepar.Config
	cardinality []int // as the job says it is; nil when it leaves that to the data
	noCat       bool  // there must be none
	features    int   // as the job says; -1 when it leaves that to the data
	evalSamples int
	quantiles   []float64
}

func readParameters(j *sagemaker.Job) (parameters, error) {
	p := j.Parameters()
	p.Require("context_length", "prediction_length", "epochs", "time_freq")
	out := parameters{
		Config: deepar.Config{
			ContextLength:         p.Int("context_length", 1, 1, 10_000),
			PredictionLength:      p.Int("prediction_length", 1, 1, 10_000),
			Epochs:                p.Int("epochs", 1, 1, 100_000),
			NumCells:              p.Int("num_cells", 40, 1, 1024),
			NumLayers:             p.Int("num_layers", 2, 1, 8),
			DropoutRate:           new(p.Float("dropout_rate", 0.1, 0, 0.9)),
			EmbeddingDimension:    p.Int("embedding_dimension", 10, 1, 256),
			LearningRate:          p.Float("learning_rate", 1e-3, 1e-8, 1),
			MiniBatchSize:         p.Int("mini_batch_size", 128, 1, 8192),
			EarlyStoppingPatience: p.Int("early_stopping_patience", 0, 1, 100_000),
			Likelihood: deepar.Likelihood(p.Choice("likelihood", string(deepar.StudentT), string(deepar.StudentT), string(deepar.Gaussian),
				string(deepar.Beta), string(deepar.NegativeBinomial), string(deepar.DeterministicL1))),
		},
		features:    -1,
		evalSamples: p.Int("num_eval_samples", 100, 1, 100_000),
		quantiles:   []float64{0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9},
	}
	if text := p.Text("time_freq", ""); text != "" {
		var err error
		if out.Freq, err = deepar.ParseFreq(text); err != nil {
			p.Wrong("time_freq", "%w", err)
		}
	}
	switch text := p.Text("cardinality", "auto"); text {
	case "auto":
	case "ignore":
		out.IgnoreCat = true
	case "":
		out.noCat = true
	default:
		if err := json.Unmarshal([]byte(text), &out.cardinality); err != nil || slices.ContainsFunc(out.cardinality, func(n int) bool { return n < 1 }) {
			p.Wrong("cardinality", "%q: want auto, ignore, a list of whole numbers from 1, or nothing", text)
		}
	}
	switch text := p.Text("num_dynamic_feat", "auto"); text {
	case "auto":
	case "ignore":
		out.IgnoreDynamicFeat = true
	case "":
		out.features = 0
	default:
		n, err := strconv.Atoi(text)
		if out.features = n; err != nil || n < 0 {
			p.Wrong("num_dynamic_feat", "%q: want auto, ignore, a whole number, or nothing", text)
		}
	}
	if text := p.Text("test_quantiles", ""); text != "" {
		out.quantiles = nil
		err := json.Unmarshal([]byte(text), &out.quantiles)
		slices.Sort(out.quantiles)
		out.quantiles = slices.Compact(out.quantiles)
		if err != nil || len(out.quantiles) == 0 || slices.ContainsFunc(out.quantiles, func(q float64) bool { return !(q > 0 && q < 1) }) {
			p.Wrong("test_quantiles", "%q: want a list of numbers between 0 and 1", text)
		}
	}
	return out, p.Err()
}

func train(ctx context.Context, j *sagemaker.Job) error {
	c, err := readParameters(j)
	if err != nil {
		return err
	}
	ch, err := j.Require("train")
	if err != nil {
		return err
	}
	if !j.Leads() {
		return nil
	}
	series, err := readSeries(ctx, ch)
	if err != nil {
		return err
	}
	if err := c.check(series); err != nil {
		return &sagemaker.BodyError{Err: fmt.Errorf("channel train: %w", err)}
	}
	var test []deepar.Series
	if ch, ok := j.Channel("test"); ok {
		if test, err = readSeries(ctx, ch); err != nil {
			return err
		}
	}
	m, err := deepar.Train(ctx, series, c.Config, func(p deepar.Progress) {
		j.Log.InfoContext(ctx, "epoch", "epoch", p.Epoch, "loss", p.Loss)
	})
	if errors.Is(err, deepar.ErrSeries) {
		return &sagemaker.BodyError{Err: fmt.Errorf("channel train: %w", err)}
	}
	if err != nil {
		return err
	}
	if _, err := j.Save(modelFile, m); err != nil {
		return err
	}
	j.Metric("train:final_loss", "loss", m.FinalLoss())
	if len(test) == 0 {
		return nil
	}
	return c.evaluate(ctx, j, m, test)
}

// check holds the series to what the job says of them.
func (c *parameters) check(series []deepar.Series) error {
	observations := 0
	for i := range series {
		s := &series[i]
		for _, v := range s.Target {
			if !math.IsNaN(v) {
				observations++
			}
		}
		switch {
		case c.noCat && len(s.Cat) > 0:
			return fmt.Errorf("%s: cat: there is one, and cardinality says that there is none", s.Place)
		case c.cardinality != nil && len(s.Cat) != len(c.cardinality):
			return fmt.Errorf("%s: cat: %d categories, where cardinality has %d", s.Place, len(s.Cat), len(c.cardinality))
		case c.features >= 0 && len(s.DynamicFeat) != c.features:
			return fmt.Errorf("%s: dynamic_feat: %d features, where num_dynamic_feat is %d", s.Place, len(s.DynamicFeat), c.features)
		}
		for k, n := range c.cardinality {
			if s.Cat[k] >= n {
				return fmt.Errorf("%s: cat[%d]: %d, where cardinality allows 0 to %d", s.Place, k, s.Cat[k], n-1)
			}
		}
	}
	if err := deepar.CheckSeries(series, c.Config); err != nil {
		return err
	}
	if observations < leastObservations {
		return fmt.Errorf("%d observations in all: want at least %d", observations, leastObservations)
	}
	return nil
}

// leastObservations is what SageMaker asks for in all of a training's series together.
const leastObservations = 300

// evaluate forecasts the end of each test series and reports how well.
func (c *parameters) evaluate(ctx context.Context, j *sagemaker.Job, m *deepar.Model, test []deepar.Series) error {
	scorer := forecast.NewScorer(1)
	type result struct {
		history, actual []float64
		forecast        *forecast.Forecast
	}
	results := make([]result, len(test))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range test {
		g.Go(func() error {
			s := test[i]
			n := len(s.Target) - c.PredictionLength
			if n < 1 {
				return sagemaker.BadBody("channel test: %s: target: %d values; the last %d are to be forecast, and nothing is left before them",
					s.Place, len(s.Target), c.PredictionLength)
			}
			r := result{history: s.Target[:n], actual: s.Target[n:]}
			s.Target = r.history
			paths, err := m.Sample(ctx, &s, c.evalSamples, uint64(i))
			if errors.Is(err, deepar.ErrSeries) {
				return sagemaker.BadBody("channel test: %s: %w", s.Place, err)
			}
			if err != nil {
				return err
			}
			r.forecast = &forecast.Forecast{Levels: c.quantiles, Mean: paths.Mean()}
			for _, q := range c.quantiles {
				r.forecast.Quantiles = append(r.forecast.Quantiles, paths.Quantile(q))
			}
			results[i] = r
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, r := range results {
		if err := scorer.Add(r.history, r.actual, r.forecast); err != nil {
			return err
		}
	}
	s := scorer.Scores()
	j.Metric("test:RMSE", "loss", s.RMSE)
	j.Metric("test:mean_wQuantileLoss", "loss", s.MeanWQuantileLoss)
	return nil
}
