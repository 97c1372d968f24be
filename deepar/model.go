package deepar

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
)

// Model is a trained model. It is read only, and safe for concurrent use.
type Model struct {
	config Config
	spec   spec
	layout layout
	w      []float32
	loss   float64
}

// Config returns what the model was trained with, defaults filled in.
func (m *Model) Config() Config { return m.config }

// FinalLoss is the mean negative log-likelihood of a value in the last epoch, in nats; of DeterministicL1, the mean absolute error.
func (m *Model) FinalLoss() float64 { return m.loss }

// Categories returns the cardinality of each category that the model was trained with; none when it takes none.
func (m *Model) Categories() []int { return slices.Clone(m.spec.Cardinality) }

// DynamicFeatures is how many dynamic features the model was trained with.
func (m *Model) DynamicFeatures() int { return len(m.spec.DynMean) }

// Check says what keeps s from being forecast.
func (m *Model) Check(s *Series) error {
	c := &m.config
	if len(s.Target) == 0 {
		return fmt.Errorf("%w: target is empty", ErrSeries)
	}
	if err := checkTarget(c, s); err != nil {
		return fmt.Errorf("%w: %w", ErrSeries, err)
	}
	if n := len(m.spec.Cardinality); len(s.Cat) != n && !c.IgnoreCat {
		return fmt.Errorf("%w: cat: %d categories, the model was trained with %d", ErrSeries, len(s.Cat), n)
	}
	if !c.IgnoreCat {
		for j, v := range s.Cat {
			if v < 0 || v >= m.spec.Cardinality[j] {
				return fmt.Errorf("%w: cat[%d]: %d, the model was trained with 0 to %d", ErrSeries, j, v, m.spec.Cardinality[j]-1)
			}
		}
	}
	if !c.IgnoreDynamicFeat {
		if err := checkDynamic(s, len(m.spec.DynMean), len(s.Target)+c.PredictionLength); err != nil {
			return fmt.Errorf("%w: %w", ErrSeries, err)
		}
		for j := range m.spec.DynMean {
			for t, v := range s.DynamicFeat[j] {
				if math.Abs(v-m.spec.DynMean[j]) > farthest*m.spec.DynScale[j] {
					return fmt.Errorf("%w: dynamic_feat[%d][%d]: %v, the model was trained with values about %.3g that vary by %.3g", ErrSeries, j, t, v, m.spec.DynMean[j], m.spec.DynScale[j])
				}
			}
		}
	}
	return nil
}

// farthest is how many standard deviations a feature may lie from what the model was trained with: it knows nothing of the like.
const farthest = 1e6

// maxDrawn bounds what is drawn, in scales: a heavy tail's farthest draws are fed back, and would leave float32.
const maxDrawn = 1e6

// Samples are paths that a series may take, drawn from the model.
type Samples struct {
	Paths  [][]float64 // each of PredictionLength steps, in the series' own unit
	sorted [][]float64 // (steps, paths)
}

// Mean is that of the paths at each step.
func (s *Samples) Mean() []float64 {
	out := make([]float64, len(s.Paths[0]))
	for _, p := range s.Paths {
		for t, v := range p {
			out[t] += v / float64(len(s.Paths))
		}
	}
	return out
}

// Quantile is that of the paths at each step, p from 0 to 1, interpolated between neighbours.
func (s *Samples) Quantile(p float64) []float64 {
	if s.sorted == nil {
		s.sorted = make([][]float64, len(s.Paths[0]))
		for t := range s.sorted {
			for _, path := range s.Paths {
				s.sorted[t] = append(s.sorted[t], path[t])
			}
			slices.Sort(s.sorted[t])
		}
	}
	out := make([]float64, len(s.sorted))
	for t, v := range s.sorted {
		x := min(max(float64(p*float64(len(v)))-0.5, 0), float64(len(v)-1))
		i := int(x)
		w := x - float64(i)
		out[t] = v[i]
		if w > 0 {
			out[t] = float64(v[i]*(1-w)) + float64(v[i+1]*w)
		}
	}
	return out
}

// Sample draws paths paths of the steps that follow s. The same seed gives the same paths.
func (m *Model) Sample(ctx context.Context, s *Series, paths int, seed uint64) (*Samples, error) {
	if err := m.Check(s); err != nil {
		return nil, err
	}
	if paths < 1 || paths > 100000 {
		return nil, fmt.Errorf("%w: %d paths: want 1 to 100000", ErrConfig, paths)
	}
	c := &m.config
	p := prepare(c, &m.spec, s, c.PredictionLength)
	n, h := len(s.Target), c.PredictionLength
	scale := p.scaleOf(c.Likelihood, n, c.ContextLength)

	warm := newStepper(m, 4) // one row, filled up to four
	for t := n - c.ContextLength; t < n; t++ {
		m.spec.fill(warm.row(0), p, t, scale, nil)
		warm.embed(p.cat)
		warm.step()
	}
	rows := roundUp(paths, 4)
	st := newStepper(m, rows)
	st.take(warm)
	drawn := make([]float32, rows*h) // scaled
	out := &Samples{Paths: make([][]float64, paths)}
	for i := range out.Paths {
		out.Paths[i] = make([]float64, h)
	}
	rngs := make([]rng, rows)
	for r := range rngs {
		rngs[r] = stream(seed, uint64(r))
	}
	shared := make([]float32, len(st.row(0)))
	for t := range h {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		m.spec.fill(shared, p, n+t, scale, func(int) float32 { return 0 })
		for r := range rows {
			x := st.row(r)
			copy(x, shared)
			for j, l := range m.spec.Lags {
				if l > t {
					break // this lag and those after it reach back to what was observed
				}
				x[j] = drawn[r*h+t-l]
			}
		}
		st.embed(p.cat)
		st.step()
		for r := range paths {
			v := c.Likelihood.sample(st.out[r*outWidth:], scale, &rngs[r])
			v = min(max(v, -maxDrawn), maxDrawn)
			drawn[r*h+t] = float32(v)
			out.Paths[r][t] = float64(v * scale)
		}
	}
	return out, nil
}

// stepper carries rows paths of one series through the network, a step at a time.
type stepper struct {
	m     *Model
	k     kernel
	rows  int
	x     []float32
	state []stepState
	g     []float32
	tc    []float32
	out   []float32
}

type stepState struct{ c, c2, h, h2 []float32 }

func newStepper(m *Model, rows int) *stepper {
	l := &m.layout
	s := &stepper{
		m: m, k: bestKernel(), rows: rows, x: make([]float32, rows*l.width), g: make([]float32, rows*4*l.cells),
		tc: make([]float32, rows*l.cells), out: make([]float32, rows*outWidth),
	}
	for range l.layers {
		v := make([]float32, 4*rows*l.cells)
		n := rows * l.cells
		s.state = append(s.state, stepState{v[:n], v[n : 2*n], v[2*n : 3*n], v[3*n:]})
	}
	return s
}

// row is where the inputs of a row go that aren't embeddings.
func (s *stepper) row(r int) []float32 {
	l := &s.m.layout
	return s.x[r*l.width+l.embedded : (r+1)*l.width]
}

// take begins every row with the state of other's first.
func (s *stepper) take(other *stepper) {
	cells := s.m.layout.cells
	for i := range s.state {
		for r := range s.rows {
			copy(s.state[i].c[r*cells:(r+1)*cells], other.state[i].c[:cells])
			copy(s.state[i].h[r*cells:(r+1)*cells], other.state[i].h[:cells])
		}
	}
}

func (s *stepper) embed(cat []int) {
	l := &s.m.layout
	for j, c := range cat {
		e := s.m.w[l.emb[j]+c*l.dim : l.emb[j]+(c+1)*l.dim]
		for r := range s.rows {
			copy(s.x[r*l.width+j*l.dim:], e)
		}
	}
}

// step fills out from x and the state, and moves the state on. Where training kept states at random, this takes the mean.
func (s *stepper) step() {
	l, w := &s.m.layout, s.m.w
	cells := l.cells
	in, width := s.x, l.width
	keep := float32(math.Round(*s.m.config.DropoutRate*256) / 256)
	for i, at := range l.layers {
		st := &s.state[i]
		for r := range s.rows {
			copy(s.g[r*4*cells:(r+1)*4*cells], w[at.b:at.b+4*cells])
		}
		s.k.gemm(s.rows, 4*cells, at.in, in, width, 1, w[at.wx:], 4*cells, s.g, 4*cells)
		s.k.gemm(s.rows, 4*cells, cells, st.h, cells, 1, w[at.u:], 4*cells, s.g, 4*cells)
		s.k.forward(s.rows, cells, s.g, st.c, st.c2, s.tc, st.h2)
		if keep > 0 {
			for j := range st.c2 {
				st.c2[j] += float32(keep * (st.c[j] - st.c2[j]))
				st.h2[j] += float32(keep * (st.h[j] - st.h2[j]))
			}
		}
		st.c, st.c2, st.h, st.h2 = st.c2, st.c, st.h2, st.h
		in, width = st.h, cells
	}
	for r := range s.rows {
		copy(s.out[r*outWidth:(r+1)*outWidth], w[l.bo:l.bo+outWidth])
	}
	s.k.gemm(s.rows, outWidth, cells, in, width, 1, w[l.wo:], outWidth, s.out, outWidth)
}

// workers is how many goroutines a call may use.
func (c *Config) workers() int {
	if c.Workers > 0 {
		return c.Workers
	}
	return runtime.GOMAXPROCS(0)
}
