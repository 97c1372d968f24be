package deepar

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"

	"homeostat/deepar"
	"homeostat/internal/sagemaker"
)

// configuration is what a request asks for.
type configuration struct {
	NumSamples  *int     `json:"num_samples"`
	OutputTypes []string `json:"output_types"`
	Quantiles   []string `json:"quantiles"`
}

const (
	maxSamples = 10_000
	maxValues  = 50 << 20 // instances x samples x steps of one request
)

// check fills what c leaves open from def, and refuses what can't be.
func (c configuration) check(def configuration) (configuration, error) {
	if c.NumSamples == nil {
		c.NumSamples = def.NumSamples
	}
	if c.OutputTypes == nil {
		c.OutputTypes = def.OutputTypes
	}
	if c.Quantiles == nil {
		c.Quantiles = def.Quantiles
	}
	if n := *c.NumSamples; n < 1 || n > maxSamples {
		return c, fmt.Errorf("num_samples: %d, want 1 to %d", n, maxSamples)
	}
	if len(c.OutputTypes) == 0 {
		return c, errors.New("output_types: none")
	}
	for _, t := range c.OutputTypes {
		if t != "mean" && t != "quantiles" && t != "samples" {
			return c, fmt.Errorf("output_types: %q, want mean, quantiles or samples", t)
		}
	}
	for _, q := range c.Quantiles {
		if f, err := strconv.ParseFloat(q, 64); err != nil || !(f > 0 && f < 1) {
			return c, fmt.Errorf("quantiles: %q, want a string of a number between 0 and 1", q)
		}
	}
	return c, nil
}

// prediction is the forecast of one instance.
type prediction struct {
	Quantiles map[string][]float64 `json:"quantiles,omitempty"`
	Samples   [][]float64          `json:"samples,omitempty"`
	Mean      []float64            `json:"mean,omitempty"`
}

// predictor answers with the configuration of Batch Transform where a request brings none.
type predictor struct {
	m   *deepar.Model
	def configuration
}

func load(model fs.FS) (sagemaker.Predictor, error) {
	b, err := fs.ReadFile(model, modelFile)
	if err != nil {
		return nil, err
	}
	p := predictor{m: new(deepar.Model), def: configuration{
		NumSamples: new(100), OutputTypes: []string{"mean", "quantiles"}, Quantiles: []string{"0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9"},
	}}
	if err := p.m.UnmarshalBinary(b); err != nil {
		return nil, err
	}
	if text := os.Getenv("DEEPAR_INFERENCE_CONFIG"); text != "" {
		var c configuration
		err := strict([]byte(text), &c)
		if err == nil {
			c, err = c.check(p.def)
		}
		if err != nil {
			return nil, &sagemaker.ConfigError{Err: fmt.Errorf("DEEPAR_INFERENCE_CONFIG: %w", err)}
		}
		p.def = c
	}
	return p, nil
}

// strict decodes JSON and refuses fields that nobody reads: a misspelt one would be silently without effect.
func strict(b []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	return dec.Decode(v)
}

func (predictor) Formats() sagemaker.Formats {
	return sagemaker.Formats{
		Reads:  []string{sagemaker.JSON, sagemaker.JSONLines},
		Writes: []string{sagemaker.JSON, sagemaker.JSONLines},
		Batch:  "SINGLE_RECORD",
	}
}

// Predict forecasts each instance. JSON Lines are answered in JSON Lines unless Accept says otherwise.
func (p predictor) Predict(ctx context.Context, r *sagemaker.Request) (sagemaker.Answer, error) {
	series, c, err := p.read(r)
	if err != nil {
		return sagemaker.Answer{}, err
	}
	if n := len(series) * *c.NumSamples * p.m.Config().PredictionLength; n > maxValues {
		return sagemaker.Answer{}, sagemaker.BadBody("%d values would be sampled, at most %d are in one request", n, maxValues)
	}
	lines := r.Accept.Name == sagemaker.JSONLines || r.Accept.Name == "" && r.Type.Name == sagemaker.JSONLines
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	predictions := make([]prediction, len(series))
	for i := range series {
		paths, err := p.m.Sample(ctx, &series[i], *c.NumSamples, uint64(i))
		if errors.Is(err, deepar.ErrSeries) {
			return sagemaker.Answer{}, sagemaker.BadBody("%s: %w", series[i].Place, err)
		}
		if err != nil {
			return sagemaker.Answer{}, err
		}
		predictions[i] = c.prediction(paths)
		if lines {
			if err := enc.Encode(predictions[i]); err != nil {
				return sagemaker.Answer{}, err
			}
		}
	}
	if lines {
		return sagemaker.Answer{Type: sagemaker.JSONLines, Body: out.Bytes()}, nil
	}
	b, err := json.Marshal(map[string]any{"predictions": predictions})
	return sagemaker.Answer{Type: sagemaker.JSON, Body: b}, err
}

func (c *configuration) prediction(paths *deepar.Samples) prediction {
	var out prediction
	if slices.Contains(c.OutputTypes, "mean") {
		out.Mean = paths.Mean()
	}
	if slices.Contains(c.OutputTypes, "quantiles") {
		out.Quantiles = map[string][]float64{}
		for _, q := range c.Quantiles {
			f, _ := strconv.ParseFloat(q, 64) // checked when it was read
			out.Quantiles[q] = paths.Quantile(f)
		}
	}
	if slices.Contains(c.OutputTypes, "samples") {
		out.Samples = paths.Paths
	}
	return out
}

// read returns the series of a request, and what is asked of them.
func (p predictor) read(r *sagemaker.Request) ([]deepar.Series, configuration, error) {
	c := p.def
	var series []deepar.Series
	add := func(place string, text []byte) error {
		s, err := deepar.ParseRecord(text)
		if err == nil {
			err = p.m.Check(&s)
		}
		if err != nil {
			return sagemaker.BadBody("%s: %w", place, err)
		}
		s.Place = place
		series = append(series, s)
		return nil
	}
	if r.Type.Name == sagemaker.JSONLines {
		line := 0
		for text := range bytes.Lines(r.Body) {
			line++
			if text = bytes.TrimSpace(text); len(text) == 0 {
				continue
			}
			if err := add(fmt.Sprintf("line %d", line), text); err != nil {
				return nil, c, err
			}
		}
	} else {
		var body struct {
			Instances     []json.RawMessage `json:"instances"`
			Configuration *configuration    `json:"configuration"`
		}
		if err := strict(r.Body, &body); err != nil {
			return nil, c, sagemaker.BadBody("%w", err)
		}
		if body.Configuration != nil {
			var err error
			if c, err = body.Configuration.check(p.def); err != nil {
				return nil, c, sagemaker.BadBody("configuration: %w", err)
			}
		}
		for i, text := range body.Instances {
			if err := add(fmt.Sprintf("instance %d", i+1), text); err != nil {
				return nil, c, err
			}
		}
	}
	if len(series) == 0 {
		return nil, c, sagemaker.BadBody(`no instances: want {"instances": [{"start": "...", "target": [...]}]}`)
	}
	return series, c, nil
}
