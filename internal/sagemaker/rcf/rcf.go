// Package rcf trains and serves Random Cut Forest as SageMaker's built-in algorithm of that name does.
//
// Channels: train, of which each host reads its shard; test (optional), labelled: 1 for an anomaly, else 0. Both are CSV or
// RecordIO-protobuf. Each host grows its share of the trees over a uniform sample of what it reads and writes a forest of its
// own; SageMaker lays the hosts' folders over one another, and serving takes the mean over all trees.
//
// Sources: Amazon SageMaker developer guide, "RCF Hyperparameters", "RCF Response Formats", "Tune an RCF Model", and "How RCF
// Works" for its rule of thumb: what scores beyond three standard deviations from the mean is an anomaly.
package rcf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"

	"homeostat/internal/sagemaker"
	"homeostat/rcf"
)

// Algorithm returns Random Cut Forest.
func Algorithm() sagemaker.Algorithm {
	return sagemaker.Algorithm{Name: "rcf", Parameter: "feature_dim", Train: train, Load: load}
}

type parameters struct {
	dim, samples, trees int
	accuracy, prf       bool // which metrics the test channel gives
}

func readParameters(j *sagemaker.Job) (parameters, error) {
	p := j.Parameters()
	p.Require("feature_dim")
	c := parameters{
		dim:     p.Int("feature_dim", 1, 1, 10_000),
		samples: p.Int("num_samples_per_tree", 256, 1, 2048),
		trees:   p.Int("num_trees", 100, 50, 1000),
	}
	const accuracy, prf = "accuracy", "precision_recall_fscore"
	metrics := p.Strings("eval_metrics", []string{accuracy, prf}, accuracy, prf)
	c.accuracy, c.prf = slices.Contains(metrics, accuracy), slices.Contains(metrics, prf)
	// What AWS's SDKs send along for every algorithm of this family: how data is cut up, which changes no result here.
	p.Int("mini_batch_size", 1000, 1, math.MaxInt32)
	p.Int("epochs", 1, 1, math.MaxInt32)
	p.Ignore("force_dense")
	return c, p.Err()
}

// share returns how many of n trees are host i's of hosts.
func share(n, i, hosts int) int { return n*(i+1)/hosts - n*i/hosts }

func train(ctx context.Context, j *sagemaker.Job) error {
	c, err := readParameters(j)
	if err != nil {
		return err
	}
	ch, err := j.Require("train")
	if err != nil {
		return err
	}
	host, hosts := max(slices.Index(j.Hosts, j.Host), 0), max(len(j.Hosts), 1)
	rows := rows{ch: ch, dim: c.dim}
	// A forest needs two points to cut between: a sample of one is a sample of two.
	f, err := rcf.Train(c.dim, rcf.Config{
		NumTrees: max(share(c.trees, host, hosts), 1), NumSamplesPerTree: max(c.samples, 2), Seed: uint64(host) + 1,
	}, rows.all(ctx))
	stopped := rows.err != nil && ctx.Err() != nil && rows.n >= 2
	switch {
	case rows.err != nil && !stopped:
		return rows.err
	case rows.n == 0:
		return sagemaker.BadBody("channel train: no rows")
	case err != nil:
		return err
	}
	size, err := j.Save("forest-"+j.Host+".rcf", f)
	if err != nil {
		return err
	}
	j.Log.InfoContext(ctx, "forest grown", "points", rows.n, "trees", f.NumTrees(), "bytes", size)
	if stopped {
		return &sagemaker.StoppedError{Cause: context.Cause(ctx)}
	}
	if test, ok := j.Channel("test"); ok {
		threshold, err := rows.threshold(f)
		if err != nil {
			return err
		}
		return evaluate(ctx, j, test, c, f, threshold)
	}
	return nil
}

// rows are those of the train channel, on their way into a forest.
type rows struct {
	ch  *sagemaker.Channel
	dim int

	n    int   // so far
	err  error // that ended them
	kept []float64
	rng  rand.PCG
}

// keepValues bounds the rows that are kept to set the threshold by: so many, or so many numbers in all.
const (
	keepRows   = 1000
	keepValues = 4 << 20
)

// all makes one pass. It ends at a mistake, and when ctx ends, with why in r.err.
func (r *rows) all(ctx context.Context) iter.Seq2[[]float64, error] {
	enough := errors.New("enough")
	return func(yield func([]float64, error) bool) {
		err := readRows(ctx, r.ch, r.dim, unlabelled, func(x []float64, _ bool) error {
			r.n++
			r.keep(x)
			if !yield(x, nil) {
				return enough
			}
			return nil
		})
		if err != nil && !errors.Is(err, enough) {
			r.err = err
		}
	}
}

// keep makes x one of the rows that are kept, as likely as any other (reservoir sampling, algorithm R).
func (r *rows) keep(x []float64) {
	most := min(keepRows, keepValues/r.dim)
	if len(r.kept) < most*r.dim {
		r.kept = append(r.kept, x...)
		return
	}
	if i := rand.New(&r.rng).IntN(r.n); i < most {
		copy(r.kept[i*r.dim:], x)
	}
}

// threshold is three standard deviations above the mean score of the rows that are kept.
func (r *rows) threshold(f *rcf.Forest) (float64, error) {
	var n, mean, m2 float64 // Welford's
	for x := range slices.Chunk(r.kept, r.dim) {
		score, err := f.Score(x)
		if err != nil {
			return 0, err
		}
		n++
		d := score - mean
		mean += d / n
		m2 += d * (score - mean)
	}
	return mean + 3*math.Sqrt(m2/max(n-1, 1)), nil
}

// evaluate scores the labelled rows of the test channel and reports the metrics that were asked for. What scores above the
// threshold, which the scores of the training set have set, is called an anomaly. A ratio of nothing to
// nothing is 0.
func evaluate(ctx context.Context, j *sagemaker.Job, ch *sagemaker.Channel, c parameters, f *rcf.Forest, threshold float64) error {
	var truePos, falsePos, falseNeg, n float64
	err := readRows(ctx, ch, c.dim, labelled, func(x []float64, anomaly bool) error {
		score, err := f.Score(x)
		if err != nil {
			return err
		}
		n++
		switch called := score > threshold; {
		case called && anomaly:
			truePos++
		case called:
			falsePos++
		case anomaly:
			falseNeg++
		}
		return nil
	})
	if err != nil {
		return err
	}
	if n == 0 {
		return sagemaker.BadBody("channel test: no rows")
	}
	ratio := func(a, b float64) float64 {
		if b == 0 {
			return 0
		}
		return a / b
	}
	if c.accuracy {
		j.Metric("test:accuracy", "score", (n-falsePos-falseNeg)/n)
	}
	if c.prf {
		j.Metric("test:precision", "score", ratio(truePos, truePos+falsePos))
		j.Metric("test:recall", "score", ratio(truePos, truePos+falseNeg))
		j.Metric("test:f1", "score", ratio(2*truePos, 2*truePos+falsePos+falseNeg))
	}
	return nil
}

type labels bool

const (
	unlabelled labels = false // train: a label is passed over
	labelled   labels = true  // test: there must be one
)

// readRows makes one pass over a channel and calls fn with each row's features, which are fn's until it returns, and whether
// its label says anomaly.
func readRows(ctx context.Context, ch *sagemaker.Channel, dim int, want labels, fn func(x []float64, anomaly bool) error) error {
	x := make([]float64, 0, dim)
	return ch.Read(ctx, func(name string, r io.Reader) error {
		switch kind := typeOf(ch, name); kind {
		case sagemaker.CSV:
			size, stated, err := ch.Type.LabelSize()
			if err != nil {
				return err
			}
			return sagemaker.CSVRows(r, func(line int, fields []string) error {
				n := size
				if !stated && (want == labelled || len(fields) == dim+1) {
					n = 1
				}
				if len(fields) != n+dim {
					return sagemaker.BadBody("line %d: %d fields; want %d of labels and %d of features", line, len(fields), n, dim)
				}
				anomaly := false
				if want == labelled {
					if n != 1 {
						return &sagemaker.ConfigError{Err: fmt.Errorf("channel %s: text/csv;label_size=%d; want 1: the first column says 1 for an anomaly, else 0", ch.Name, n)}
					}
					label, err := sagemaker.Floats(nil, line, 0, fields[:1])
					if err != nil {
						return err
					}
					if anomaly = label[0] == 1; !anomaly && label[0] != 0 {
						return sagemaker.BadBody("line %d, field 1: label %q; want 1 for an anomaly, else 0", line, fields[0])
					}
				}
				if x, err = sagemaker.Floats(x[:0], line, n, fields[n:]); err != nil {
					return err
				}
				return fn(x, anomaly)
			})
		case sagemaker.RecordIO:
			return sagemaker.Records(r, func(n int, rec *sagemaker.Record) error {
				features := rec.Features[sagemaker.Values]
				var err error
				if x, err = features.Dense(x[:0], dim); err != nil {
					return sagemaker.BadBody("record %d: %w", n, err)
				}
				anomaly := false
				if want == labelled {
					label := rec.Label[sagemaker.Values].Values
					if len(label) != 1 || label[0] != 0 && label[0] != 1 {
						return sagemaker.BadBody("record %d: label %v; want one value, 1 for an anomaly, else 0", n, label)
					}
					anomaly = label[0] == 1
				}
				return fn(x, anomaly)
			})
		default:
			return &sagemaker.ConfigError{Err: fmt.Errorf("channel %s: content type %q; want %s or %s", ch.Name, kind, sagemaker.CSV, sagemaker.RecordIO)}
		}
	})
}

// typeOf returns the content type of a file: the channel's, else what the file's name says, else the built-in algorithms'
// default.
func typeOf(ch *sagemaker.Channel, name string) string {
	switch {
	case ch.Type.Name != "":
		return ch.Type.Name
	case filepath.Ext(name) == ".csv":
		return sagemaker.CSV
	}
	return sagemaker.RecordIO
}
