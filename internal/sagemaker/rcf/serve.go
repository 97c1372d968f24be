package rcf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"sync"

	"homeostat/internal/sagemaker"
	"homeostat/rcf"
)

// predictor scores points with the forests of all hosts.
type predictor struct {
	dim   int
	trees int // of all

	mu      sync.Mutex // a forest scores one point at a time
	forests []*rcf.Forest
}

// load reads the forests that train wrote.
func load(model fs.FS) (sagemaker.Predictor, error) {
	names, err := fs.Glob(model, "forest-*.rcf")
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, errors.New("no forest-*.rcf in the model folder")
	}
	p := &predictor{}
	for _, name := range names {
		b, err := fs.ReadFile(model, name)
		if err != nil {
			return nil, err
		}
		f := new(rcf.Forest)
		if err := f.UnmarshalBinary(b); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if len(p.forests) > 0 && f.Dim() != p.dim {
			return nil, fmt.Errorf("%s: of %d dimensions, where %s has %d", name, f.Dim(), names[0], p.dim)
		}
		p.dim = f.Dim()
		p.trees += f.NumTrees()
		p.forests = append(p.forests, f)
	}
	return p, nil
}

// Formats says what the built-in algorithm reads and writes; CSV is a request's type only.
func (p *predictor) Formats() sagemaker.Formats {
	return sagemaker.Formats{
		Reads:  []string{sagemaker.CSV, sagemaker.JSON, sagemaker.JSONLines, sagemaker.RecordIO},
		Writes: []string{sagemaker.JSON, sagemaker.JSONLines, sagemaker.RecordIO},
	}
}

// Predict answers with one score a row, in their order.
func (p *predictor) Predict(ctx context.Context, r *sagemaker.Request) (sagemaker.Answer, error) {
	var scores []float64
	err := p.eachRow(r, func(x []float64) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s, err := p.score(x)
		scores = append(scores, s)
		return err
	})
	if err != nil {
		return sagemaker.Answer{}, err
	}
	if len(scores) == 0 {
		return sagemaker.Answer{}, sagemaker.BadBody("no rows")
	}
	return answer(r.Accept.Name, scores), nil
}

// score is the mean over all trees.
func (p *predictor) score(x []float64) (float64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sum := 0.0
	for _, f := range p.forests {
		s, err := f.Score(x)
		if err != nil {
			return 0, err
		}
		sum += s * float64(f.NumTrees())
	}
	return sum / float64(p.trees), nil
}

// eachRow calls fn with each row of the request, which is fn's until it returns.
func (p *predictor) eachRow(r *sagemaker.Request, fn func(x []float64) error) error {
	x := make([]float64, 0, p.dim)
	switch r.Type.Name {
	case sagemaker.CSV:
		labels, _, err := r.Type.LabelSize()
		if err != nil {
			return sagemaker.BadBody("%w", err)
		}
		return sagemaker.CSVRows(bytes.NewReader(r.Body), func(line int, fields []string) error {
			if len(fields) != labels+p.dim {
				return sagemaker.BadBody("line %d: %d fields; want %d", line, len(fields), labels+p.dim)
			}
			if x, err = sagemaker.Floats(x[:0], line, labels, fields[labels:]); err != nil {
				return err
			}
			return fn(x)
		})
	case sagemaker.RecordIO:
		return sagemaker.Records(bytes.NewReader(r.Body), func(n int, rec *sagemaker.Record) (err error) {
			features := rec.Features[sagemaker.Values]
			if x, err = features.Dense(x[:0], p.dim); err != nil {
				return sagemaker.BadBody("record %d: %w", n, err)
			}
			return fn(x)
		})
	}
	instances, err := sagemaker.Instances(r.Type.Name, r.Body)
	if err != nil {
		return err
	}
	for i := range instances {
		in := &instances[i]
		t, err := in.Tensor()
		if err != nil {
			return err
		}
		if x, err = t.Dense(x[:0], p.dim); err != nil {
			return sagemaker.BadBody("%s: %w", in.Place, err)
		}
		if err := fn(x); err != nil {
			return err
		}
	}
	return nil
}

// answer writes the scores as accept asks; JSON when it doesn't care.
func answer(accept string, scores []float64) sagemaker.Answer {
	var b []byte
	switch accept {
	case sagemaker.RecordIO:
		for _, s := range scores {
			b = sagemaker.AppendRecord(b, &sagemaker.Record{Label: map[string]sagemaker.Tensor{"score": {Values: []float64{s}}}})
		}
		return sagemaker.Answer{Type: accept, Body: b}
	case sagemaker.JSONLines:
		for _, s := range scores {
			b = append(appendScore(b, s), '\n')
		}
		return sagemaker.Answer{Type: accept, Body: b}
	}
	b = append(b, `{"scores":[`...)
	for i, s := range scores {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendScore(b, s)
	}
	return sagemaker.Answer{Type: sagemaker.JSON, Body: append(b, "]}"...)}
}

func appendScore(b []byte, s float64) []byte {
	b = append(b, `{"score":`...)
	return append(strconv.AppendFloat(b, s, 'g', -1, 64), '}')
}
