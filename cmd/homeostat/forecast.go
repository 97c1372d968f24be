package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"homeostat/deepar"
	"homeostat/forecast"
)

// forecasting is what the flags of one call ask for.
type forecasting struct {
	freq    string
	horizon int
	test    string
	model   string
	seed    uint64
	asJSON  bool
}

// forecastLevels are the quantiles that are told, and scored.
var forecastLevels = []float64{0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9}

func forecastCommand() *cobra.Command {
	var fc forecasting
	cmd := &cobra.Command{
		Use:   "forecast --freq FREQ --horizon STEPS TRAIN.jsonl",
		Short: "Forecast series, or score forecasts against what came true",
		Long: `Reads series as DeepAR's JSON Lines (start, target; cat and dynamic_feat where used) and forecasts the next steps of each
as quantiles: a line of JSON a series. With --test, whose records hold the values to be forecast at their ends, it forecasts
those from what stands before them and prints one document: mean_wQuantileLoss, ND, RMSE, MASE, coverage (of the 80 % band)
and seconds (of training).

--model auto lets each method forecast the end of each series first, averages the methods by how well they did, and says so.`,
		Example: `  homeostat forecast --freq 1H --horizon 48 train.jsonl
  homeostat forecast --freq 5min --horizon 12 --model theta train.jsonl --test test.jsonl`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return fc.run(cmd.Context(), args[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&fc.freq, "freq", "", "how far apart the values are: a number and M, W, D, H, min or s")
	f.IntVar(&fc.horizon, "horizon", 0, "steps to forecast")
	f.StringVar(&fc.test, "test", "", "`FILE` of series that end with the values to be forecast")
	f.StringVar(&fc.model, "model", "auto", "auto, deepar, theta, ets or snaive")
	f.Uint64Var(&fc.seed, "seed", 1, "seed of training and sampling: the same one gives the same forecast")
	f.BoolVar(&fc.asJSON, "json", false, "print one JSON document")
	return cmd
}

// forecastScores is what --test prints. A measure that can't be said is left out.
type forecastScores struct {
	Model             string   `json:"model"`
	Series            int      `json:"series"`
	MeanWQuantileLoss *float64 `json:"mean_wQuantileLoss,omitempty"`
	ND                *float64 `json:"ND,omitempty"`
	RMSE              *float64 `json:"RMSE,omitempty"`
	MASE              *float64 `json:"MASE,omitempty"`
	Coverage          *float64 `json:"coverage,omitempty"`
	Seconds           float64  `json:"seconds"`
}

// seriesForecast is one line of output.
type seriesForecast struct {
	ItemID    string               `json:"item_id,omitempty"`
	Start     string               `json:"start"` // of the forecast
	Mean      []float64            `json:"mean"`
	Quantiles map[string][]float64 `json:"quantiles"`
	Reason    string               `json:"reason"` // which model, and why
}

func (fc *forecasting) run(ctx context.Context, path string, stdout, stderr io.Writer) error {
	freq, err := deepar.ParseFreq(fc.freq)
	if err != nil {
		return &exitError{2, fmt.Errorf("--freq: %w", err)}
	}
	if fc.horizon < 1 || fc.horizon > 10000 {
		return &exitError{2, fmt.Errorf("--horizon %d: want 1 to 10000 steps", fc.horizon)}
	}
	train, err := readSeries(path)
	if err != nil {
		return &exitError{2, err}
	}
	m := forecaster{freq: freq, horizon: fc.horizon, seed: fc.seed, train: train, progress: newProgress(stderr)}
	defer m.progress.done()
	m.histories = train
	var actual [][]float64
	if fc.test != "" {
		whole, err := readSeries(fc.test)
		if err != nil {
			return &exitError{2, err}
		}
		if m.histories, actual, err = withhold(whole, fc.horizon); err != nil {
			return &exitError{2, err}
		}
	}
	out, reasons, err := m.forecast(ctx, fc.model)
	if err != nil {
		return err
	}
	m.progress.done()
	if fc.test != "" {
		return fc.score(stdout, &m, actual, out)
	}
	return fc.print(stdout, &m, out, reasons)
}

// readSeries reads a file of JSON Lines.
func readSeries(path string) ([]deepar.Series, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // nothing was written to it
	return deepar.ReadJSONLines(filepath.Base(path), f)
}

// withhold splits the last h values off each series.
func withhold(whole []deepar.Series, h int) (histories []deepar.Series, actual [][]float64, err error) {
	var errs []error
	for _, s := range whole {
		n := len(s.Target) - h
		if n < 1 {
			errs = append(errs, fmt.Errorf("%s: %d values; a horizon of %d leaves nothing to forecast from", s.Place, len(s.Target), h))
			continue
		}
		actual = append(actual, s.Target[n:])
		s.Target = s.Target[:n]
		histories = append(histories, s)
	}
	return histories, actual, errors.Join(errs...)
}

func (fc *forecasting) score(w io.Writer, m *forecaster, actual [][]float64, out []*forecast.Forecast) error {
	scorer := forecast.NewScorer(firstOr(m.freq.Seasons(), 1))
	for i, f := range out {
		if err := scorer.Add(m.histories[i].Target, actual[i], f); err != nil {
			return err
		}
	}
	s := scorer.Scores()
	known := func(v float64) *float64 {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
		return &v
	}
	return printJSON(w, forecastScores{
		Model: fc.model, Series: len(out), Seconds: m.training.Seconds(),
		MeanWQuantileLoss: known(s.MeanWQuantileLoss), ND: known(s.ND), RMSE: known(s.RMSE), MASE: known(s.MASE), Coverage: known(s.Coverage),
	})
}

func (fc *forecasting) print(w io.Writer, m *forecaster, out []*forecast.Forecast, reasons []string) error {
	lines := make([]seriesForecast, len(out))
	for i, f := range out {
		s := m.histories[i]
		lines[i] = seriesForecast{
			ItemID: s.ItemID, Start: m.freq.Add(s.Start, len(s.Target)).Format(time.DateTime), Mean: f.Mean,
			Quantiles: map[string][]float64{}, Reason: reasons[i],
		}
		for q, level := range f.Levels {
			lines[i].Quantiles[strconv.FormatFloat(level, 'g', -1, 64)] = f.Quantiles[q]
		}
	}
	if fc.asJSON {
		return printJSON(w, map[string]any{"items": lines})
	}
	buf := bufio.NewWriter(w)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	for _, l := range lines {
		if err := enc.Encode(l); err != nil {
			return err
		}
	}
	return buf.Flush()
}

// firstOr is the first of v, or what stands in for it.
func firstOr(v []int, otherwise int) int {
	if len(v) == 0 {
		return otherwise
	}
	return v[0]
}
