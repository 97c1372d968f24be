package deepar

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// waves are series of a daily cycle with different sizes.
func waves(count, n int) []Series {
	out := make([]Series, count)
	r := stream(11)
	for i := range out {
		size := exp64(float64(i % 5))
		out[i].Start = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
		for t := range n {
			wave, _ := sinCos(float64((t+3*i)%24) / 24) // not math's, which differs between processors
			out[i].Target = append(out[i].Target, float64(size*(10+float64(6*wave)+float64(0.3*r.normal()))))
		}
	}
	return out
}

func small() Config {
	return Config{
		Freq: Freq{1, "H"}, PredictionLength: 6, ContextLength: 12, Epochs: 2, NumCells: 12, MiniBatchSize: 10, BatchesPerEpoch: 4,
		EmbeddingDimension: 3, LearningRate: 1e-2,
	}
}

// The gradient of the whole network is the slope of its loss, along the gradient of each part: both layers, the embeddings, the
// output, with zoneout and without.
func TestNetworkGradient(t *testing.T) {
	for _, rate := range []float64{0, 0.3} {
		c := small()
		c.DropoutRate = &rate
		c.setDefaults()
		sp := spec{Lags: []int{1, 2, 3}, Cardinality: []int{4, 2}}
		l := newLayout(&c, &sp)
		r := stream(3)
		w := l.initial(&c, &sp, &r)
		const rows, steps = 4, 7
		p := newPass(&l, goKernel{}, rows, steps, rate > 0)
		for i := range p.x {
			if i%l.width >= l.embedded && i%l.width < l.embedded+6 {
				p.x[i] = float32(r.normal())
			}
		}
		for i := range p.cats {
			p.cats[i] = i % 2
		}
		ys := make([]float64, rows*steps)
		for i := range ys {
			ys[i] = r.normal()
		}
		loss := func(w []float32, back bool) float64 {
			mask := stream(9) // the same zoneout each time
			p.forward(w, rate, &mask)
			sum := 0.0
			var grad [3]float64
			clear(p.dout)
			for i, y := range ys {
				sum += StudentT.loss(p.out[i*outWidth:], y, 1, &grad)
				for j := range 3 {
					p.dout[i*outWidth+j] = float32(grad[j])
				}
			}
			if back {
				tr := l.newTransposed()
				tr.set(&l, w)
				clear(p.grad)
				p.backward(tr)
			}
			return sum
		}
		loss(w, true)
		grad := slices.Clone(p.grad)
		parts := map[string][2]int{"embedding": {l.emb[0], l.layers[0].wx}, "output": {l.wo, l.total}}
		for i, ly := range l.layers {
			name := []string{"first layer's ", "second layer's "}[i]
			parts[name+"inputs"] = [2]int{ly.wx, ly.u}
			parts[name+"recurrence"] = [2]int{ly.u, ly.b}
			parts[name+"bias"] = [2]int{ly.b, ly.b + 4*l.cells}
		}
		for name, at := range parts {
			norm := 0.0
			for _, g := range grad[at[0]:at[1]] {
				norm += float64(g) * float64(g)
			}
			norm = math.Sqrt(norm)
			if norm == 0 {
				t.Errorf("zoneout %v: no gradient of the %s", rate, name)
				continue
			}
			const eps = 3e-3
			up, down := slices.Clone(w), slices.Clone(w)
			for i := at[0]; i < at[1]; i++ {
				up[i] += float32(eps * float64(grad[i]) / norm)
				down[i] -= float32(eps * float64(grad[i]) / norm)
			}
			slope := (loss(up, false) - loss(down, false)) / (2 * eps)
			if math.Abs(slope-norm) > 0.01*norm {
				t.Errorf("zoneout %v: along the gradient of the %s the loss rises by %v, want %v", rate, name, slope, norm)
			}
		}
	}
}

func TestTrainingLearnsAndIsTheSameWhateverTheGoroutines(t *testing.T) {
	series := waves(20, 200)
	var models []*Model
	for _, workers := range []int{1, 3} {
		c := small()
		c.Workers, c.Epochs, c.BatchesPerEpoch, c.MiniBatchSize = workers, 6, 20, 24
		var losses []float64
		m, err := Train(t.Context(), series, c, func(p Progress) { losses = append(losses, p.Loss) })
		if err != nil {
			t.Fatal(err)
		}
		if losses[5] > losses[0]-0.5 {
			t.Errorf("losses %v: nothing was learned", losses)
		}
		models = append(models, m)
	}
	if !slices.Equal(models[0].w, models[1].w) {
		t.Error("the weights depend on how many goroutines trained")
	}
	inside, n := 0, 0
	abs, sum := 0.0, 0.0
	for i := range series {
		s := series[i]
		actual := s.Target[194:]
		s.Target = s.Target[:194]
		got, err := models[0].Sample(t.Context(), &s, 60, 5)
		if err != nil {
			t.Fatal(err)
		}
		lo, mid, hi := got.Quantile(0.1), got.Quantile(0.5), got.Quantile(0.9)
		for j, y := range actual {
			n++
			if y >= lo[j] && y <= hi[j] {
				inside++
			}
			abs += math.Abs(y - mid[j])
			sum += math.Abs(y)
		}
	}
	if abs/sum > 0.15 || float64(inside)/float64(n) < 0.5 {
		t.Errorf("ND %.3f, coverage %.2f", abs/sum, float64(inside)/float64(n))
	}
}

func TestEveryLikelihoodTrains(t *testing.T) {
	for _, l := range []Likelihood{StudentT, Gaussian, Beta, NegativeBinomial, DeterministicL1} {
		series := waves(4, 80)
		for i := range series {
			for j, v := range series[i].Target {
				switch l {
				case Beta:
					series[i].Target[j] = min(v/1000, 1)
				case NegativeBinomial:
					series[i].Target[j] = math.Round(v)
				}
			}
			series[i].Target[20] = math.NaN()
			series[i].Cat = []int{i % 2}
			series[i].DynamicFeat = [][]float64{make([]float64, 86)}
		}
		c := small()
		c.Likelihood = l
		m, err := Train(t.Context(), series, c, nil)
		if err != nil {
			t.Fatalf("%s: %v", l, err)
		}
		got, err := m.Sample(t.Context(), &series[1], 9, 1)
		if err != nil {
			t.Fatalf("%s: %v", l, err)
		}
		for _, path := range got.Paths {
			for _, v := range path {
				if math.IsNaN(v) || l == Beta && (v < 0 || v > 1) || l == NegativeBinomial && v < 0 {
					t.Fatalf("%s: sampled %v", l, v)
				}
			}
		}
	}
}

func TestEarlyStoppingReturnsTheBest(t *testing.T) {
	c := small()
	c.Epochs, c.EarlyStoppingPatience, c.LearningRate = 40, 1, 0.5
	var losses []float64
	m, err := Train(t.Context(), waves(4, 80), c, func(p Progress) { losses = append(losses, p.Loss) })
	if err != nil {
		t.Fatal(err)
	}
	if len(losses) == 40 || m.FinalLoss() != slices.Min(losses) {
		t.Errorf("after losses %v the final one is %v", losses, m.FinalLoss())
	}
}

func TestTrainRefuses(t *testing.T) {
	nan := math.NaN()
	for _, tt := range []struct {
		name string
		do   func(c *Config, s []Series)
		want string
	}{
		{"all missing", func(_ *Config, s []Series) { s[1].Target = []float64{nan, nan} }, "s:2: target: all 2 values are missing"},
		{"1e300", func(_ *Config, s []Series) { s[1].Target[3] = 1e300 }, "s:2: target[3]: 1e+300 is beyond 1e+30"},
		{"negative counts", func(c *Config, s []Series) { c.Likelihood = NegativeBinomial; s[0].Target = []float64{1, -1} }, "s:1: target[1]: -1 isn't a count"},
		{"shares above 1", func(c *Config, _ []Series) { c.Likelihood = Beta }, "isn't from 0 to 1"},
		{"cat in one alone", func(_ *Config, s []Series) { s[1].Cat = []int{0} }, "s:2: cat: 1 categories, where s:1 has 0"},
		{"a gap in cat", func(_ *Config, s []Series) {
			for i := range s {
				s[i].Cat = []int{2 * (i % 2)}
			}
		}, "cat[0]: no series has category 1"},
		{"short features", func(_ *Config, s []Series) {
			for i := range s {
				s[i].DynamicFeat = [][]float64{make([]float64, 80)}
			}
			s[2].DynamicFeat[0] = s[2].DynamicFeat[0][:79]
		}, "s:3: dynamic_feat[0]: 79 values, want 80"},
		{"mixed frequencies", func(_ *Config, s []Series) { s[2].Start = s[2].Start.Add(5 * time.Minute) }, "s:3: start: 2026-03-02 00:05:00 lies 5m0s off the grid of 1H"},
		{"all short", func(_ *Config, s []Series) {
			for i := range s {
				s[i].Target = s[i].Target[:6]
			}
		}, "none of 3 series is longer"},
		{"a likelihood", func(c *Config, _ []Series) { c.Likelihood = "cauchy" }, `likelihood "cauchy"`},
		{"no epochs", func(c *Config, _ []Series) { c.Epochs = 0 }, "epochs 0: want 1"},
	} {
		c, s := small(), waves(3, 80)
		for i := range s {
			s[i].Place = []string{"s:1", "s:2", "s:3"}[i]
		}
		tt.do(&c, s)
		if _, err := Train(t.Context(), s, c, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// TestNothingIsCut: a spike a million million times its neighbours goes through the network as it is, and what is learned and
// forecast stays numbers. So do gaps of a week and constants.
func TestNothingIsCut(t *testing.T) {
	nan := math.NaN()
	spike := waves(1, 400)[0]
	for i := range spike.Target {
		spike.Target[i] *= 1e-9
	}
	spike.Target[100] = 1e9
	gap := waves(1, 400)[0]
	for i := 100; i < 100+7*24; i++ {
		gap.Target[i] = nan
	}
	series := []Series{spike, gap, {Start: spike.Start, Target: slices.Repeat([]float64{7}, 400)}, {Start: spike.Start, Target: slices.Repeat([]float64{0}, 400)}}
	for _, l := range []Likelihood{StudentT, Gaussian, DeterministicL1} {
		c := small()
		c.Likelihood = l
		m, err := Train(t.Context(), series, c, nil)
		if err != nil {
			t.Fatalf("%s: %v", l, err)
		}
		if math.IsNaN(m.FinalLoss()) || math.IsInf(m.FinalLoss(), 0) {
			t.Errorf("%s: loss %v", l, m.FinalLoss())
		}
		for i := range series {
			got, err := m.Sample(t.Context(), &series[i], 4, 1)
			if err != nil {
				t.Fatalf("%s, series %d: %v", l, i, err)
			}
			for _, v := range got.Mean() {
				if math.IsNaN(v) || math.IsInf(v, 0) {
					t.Fatalf("%s, series %d: forecast %v", l, i, v)
				}
			}
		}
		c.setDefaults()
		p := prepare(&c, &m.spec, &spike, 0)
		x := make([]float32, m.spec.width(&c))
		for _, at := range []int{101, 124, 200} {
			scale := p.scaleOf(l, at, 12)
			m.spec.fill(x, p, at, scale, nil)
			for j, lag := range m.spec.Lags {
				if want := float32(spike.Target[max(at-lag, 0)] / scale); at >= lag && math.Abs(float64(x[j]-want)) > 1e-6*math.Abs(float64(want)) {
					t.Errorf("%s: step %d, lag %d: %v, want %v", l, at, lag, x[j], want)
				}
			}
		}
	}
}

func TestSampleRefusesWhatDoesNotFit(t *testing.T) {
	series := waves(4, 80)
	for i := range series {
		series[i].Cat = []int{i}
		series[i].DynamicFeat = [][]float64{make([]float64, 80)}
	}
	m, err := Train(t.Context(), series, small(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for want, do := range map[string]func(s *Series){
		"cat[0]: 4, the model was trained with 0 to 3":                         func(s *Series) { s.Cat = []int{4} },
		"cat: 0 categories":                                                    func(s *Series) { s.Cat = nil },
		"dynamic_feat[0]: 85 values, want 86":                                  func(s *Series) { s.DynamicFeat = [][]float64{make([]float64, 85)} },
		"dynamic_feat: 0 features, want 1":                                     func(s *Series) { s.DynamicFeat = nil },
		"dynamic_feat[0][3]: 1e+09, the model was trained with values about 0": func(s *Series) { s.DynamicFeat[0][3] = 1e9 },
		"target is empty":                                                      func(s *Series) { s.Target = nil },
		"all 1 values are missing":                                             func(s *Series) { s.Target = []float64{math.NaN()} },
	} {
		s := series[0]
		s.DynamicFeat = [][]float64{make([]float64, 86)}
		do(&s)
		if _, err := m.Sample(t.Context(), &s, 2, 1); !errors.Is(err, ErrSeries) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("enough")
	cancel(cause)
	if _, err := Train(ctx, series, small(), nil); !errors.Is(err, cause) {
		t.Errorf("cancelled: %v", err)
	}
}
