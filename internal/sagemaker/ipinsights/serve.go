package ipinsights

import (
	"bytes"
	"context"
	"io/fs"
	"strconv"

	"homeostat/internal/sagemaker"
	"homeostat/ipinsights"
)

type predictor struct{ m *ipinsights.Model }

func load(model fs.FS) (sagemaker.Predictor, error) {
	b, err := fs.ReadFile(model, modelFile)
	if err != nil {
		return nil, err
	}
	m, err := ipinsights.UnmarshalModel(b)
	if err != nil {
		return nil, err
	}
	return predictor{m}, nil
}

func (predictor) Formats() sagemaker.Formats {
	return sagemaker.Formats{
		Reads:  []string{sagemaker.CSV, sagemaker.JSON, sagemaker.JSONLines},
		Writes: []string{sagemaker.JSON, sagemaker.JSONLines},
	}
}

// Predict answers with the dot product of each pair, and with verbose=True in the Accept header with its vectors too.
func (p predictor) Predict(ctx context.Context, r *sagemaker.Request) (sagemaker.Answer, error) {
	pairs, err := requested(r)
	if err != nil {
		return sagemaker.Answer{}, err
	}
	if len(pairs) == 0 {
		return sagemaker.Answer{}, sagemaker.BadBody("no rows")
	}
	verbose, lines := r.Accept.Flag("verbose"), r.Accept.Name == sagemaker.JSONLines
	var b []byte
	if !lines {
		b = append(b, `{"predictions":[`...)
	}
	var vector []float32
	for i, pair := range pairs {
		if i%1000 == 0 && ctx.Err() != nil {
			return sagemaker.Answer{}, context.Cause(ctx)
		}
		if i > 0 && !lines {
			b = append(b, ',')
		}
		b = strconv.AppendFloat(append(b, `{"dot_product":`...), p.m.Score(pair.Entity, pair.IP), 'g', -1, 64)
		if verbose {
			vector = p.m.AppendEntityVector(vector[:0], pair.Entity)
			b = appendVector(append(b, `,"entity_embedding":`...), vector)
			vector = p.m.AppendIPVector(vector[:0], pair.IP)
			b = appendVector(append(b, `,"ip_embedding":`...), vector)
		}
		b = append(b, '}')
		if lines {
			b = append(b, '\n')
		}
	}
	if lines {
		return sagemaker.Answer{Type: sagemaker.JSONLines, Body: b}, nil
	}
	return sagemaker.Answer{Type: sagemaker.JSON, Body: append(b, "]}"...)}, nil
}

func appendVector(b []byte, v []float32) []byte {
	b = append(b, '[')
	for i, x := range v {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendFloat(b, float64(x), 'g', -1, 32)
	}
	return append(b, ']')
}

// requested reads the pairs of a request.
func requested(r *sagemaker.Request) ([]ipinsights.Pair, error) {
	var pairs []ipinsights.Pair
	if r.Type.Name == sagemaker.CSV {
		err := sagemaker.CSVRows(bytes.NewReader(r.Body), func(line int, fields []string) error {
			p, err := pairOf(fields)
			if err != nil {
				return sagemaker.BadBody("line %d: %w", line, err)
			}
			pairs = append(pairs, p)
			return nil
		})
		return pairs, err
	}
	instances, err := sagemaker.Instances(r.Type.Name, r.Body)
	if err != nil {
		return nil, err
	}
	for i := range instances {
		fields, err := instances[i].Strings()
		if err != nil {
			return nil, err
		}
		p, err := pairOf(fields)
		if err != nil {
			return nil, sagemaker.BadBody("%s: %w", instances[i].Place, err)
		}
		pairs = append(pairs, p)
	}
	return pairs, nil
}
