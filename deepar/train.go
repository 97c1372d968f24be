package deepar

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
)

// ErrSeries means that a series doesn't fit the model that it is given to.
var ErrSeries = errors.New("series doesn't fit")

// ErrDiverged means that training left the numbers that can be computed with.
var ErrDiverged = errors.New("training diverged")

// Progress is what Train tells after each epoch.
type Progress struct {
	Epoch int // from 1
	Of    int
	Loss  float64 // mean negative log-likelihood of a value in this epoch
}

// Train learns one model from all series. tell is called after each epoch and may be nil. What is wrong with a series, or between
// them, is an error that names it; nothing is repaired silently. The result depends on series, c and the kernel alone.
func Train(ctx context.Context, series []Series, c Config, tell func(Progress)) (*Model, error) {
	c.setDefaults()
	if err := c.check(); err != nil {
		return nil, err
	}
	used, err := checkTraining(&c, series)
	if err != nil {
		return nil, err
	}
	m := &Model{config: c, spec: newSpec(&c, used)}
	m.layout = newLayout(&m.config, &m.spec)
	r := stream(c.Seed, 0)
	m.w = m.layout.initial(&m.config, &m.spec, &r)
	return m, m.train(ctx, used, 1, tell)
}

// Continue returns the model after so many more epochs on series, which may be longer than those that it was trained on, or others
// with the same categories and features. The learning rate begins at a fraction of what it was.
func (m *Model) Continue(ctx context.Context, series []Series, epochs int, fraction float64, tell func(Progress)) (*Model, error) {
	c := m.config
	c.Epochs = epochs
	if err := c.check(); err != nil {
		return nil, err
	}
	used, err := checkTraining(&c, series)
	if err != nil {
		return nil, err
	}
	for i := range used {
		if len(m.spec.Cardinality) > 0 {
			for j, v := range used[i].Cat {
				if v >= m.spec.Cardinality[j] {
					return nil, fmt.Errorf("%w: %s: cat[%d]: %d, the model was trained with 0 to %d", ErrSeries, used[i].place(i), j, v, m.spec.Cardinality[j]-1)
				}
			}
		}
	}
	if len(used[0].Cat) != len(m.spec.Cardinality) && !c.IgnoreCat || len(used[0].DynamicFeat) != len(m.spec.DynMean) && !c.IgnoreDynamicFeat {
		return nil, fmt.Errorf("%w: categories or dynamic features differ from those of training", ErrSeries)
	}
	next := &Model{config: m.config, spec: m.spec, layout: m.layout, w: slices.Clone(m.w)}
	next.config.Epochs = epochs
	next.config.Seed += 0x5851f42d4c957f2d
	return next, next.train(ctx, used, fraction, tell)
}

// trainer is what training keeps beside the model.
type trainer struct {
	m      *Model
	series []*prepared
	chance []float64 // of a window to be drawn from each series, cumulative
	tr     *transposed
	passes chan *pass // free ones: as many as workers
	shards []shard
	grad   []float32
	adam   adam
}

// shard is the part of a mini-batch that goes through the network together. How a batch is parted, and the order in which the parts'
// gradients are added up, doesn't depend on how many goroutines there are.
type shard struct {
	grad   []float32
	loss   float64
	values int
}

func (m *Model) train(ctx context.Context, series []Series, fraction float64, tell func(Progress)) error {
	c := &m.config
	t := &trainer{m: m, tr: m.layout.newTransposed(), grad: make([]float32, m.layout.total)}
	sum := 0.0
	for i := range series {
		p := prepare(c, &m.spec, &series[i], 0)
		t.series = append(t.series, p)
		w := 1.0
		if c.ByScale {
			w = math.Sqrt(p.scale)
		}
		sum += w
		t.chance = append(t.chance, sum)
	}
	rows := roundUp(min(max((c.MiniBatchSize+3)/4, 4), 32), 4)
	t.shards = make([]shard, (c.MiniBatchSize+rows-1)/rows)
	for i := range t.shards {
		t.shards[i].grad = make([]float32, m.layout.total)
	}
	workers := min(c.workers(), len(t.shards))
	t.passes = make(chan *pass, workers)
	for range workers {
		t.passes <- newPass(&m.layout, bestKernel(), rows, c.ContextLength+c.PredictionLength, *c.DropoutRate > 0)
	}
	t.adam = adam{m: make([]float32, m.layout.total), v: make([]float32, m.layout.total), p1: 1, p2: 1}
	return t.run(ctx, fraction, tell)
}

func (t *trainer) run(ctx context.Context, fraction float64, tell func(Progress)) error {
	m, c := t.m, &t.m.config
	total := c.Epochs * c.BatchesPerEpoch
	mean := averager{from: total * 3 / 4, w: make([]float32, m.layout.total)}
	best, bestLoss, since := slices.Clone(m.w), math.Inf(1), 0
	for epoch := range c.Epochs {
		loss, values := 0.0, 0
		for b := range c.BatchesPerEpoch {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			at := epoch*c.BatchesPerEpoch + b
			l, n, err := t.batch(uint64(at), c.LearningRate*fraction*schedule(at, total))
			if err != nil {
				return fmt.Errorf("epoch %d: %w", epoch+1, err)
			}
			loss, values = loss+l, values+n
			mean.add(at, m.w)
		}
		m.loss = loss / float64(max(1, values))
		if tell != nil {
			tell(Progress{Epoch: epoch + 1, Of: c.Epochs, Loss: m.loss})
		}
		if c.EarlyStoppingPatience == 0 {
			continue
		}
		if m.loss < bestLoss {
			bestLoss, since = m.loss, 0
			copy(best, m.w)
		} else if since++; since >= c.EarlyStoppingPatience {
			copy(m.w, best)
			m.loss = bestLoss
			return nil
		}
	}
	mean.take(m.w)
	return nil
}

// schedule is the share of the learning rate at a batch: up to all of it over the first hundred, down to a hundredth over the second
// half.
func schedule(at, total int) float64 {
	up := min(100, total/10+1)
	if at < up {
		return float64(at+1) / float64(up)
	}
	half := total / 2
	if at < half {
		return 1
	}
	turn, _ := sinCos(float64(at-half)/float64(total-half)/2 + 0.25) // a half cosine, from 1 to -1
	return 0.01 + 0.99*(1+turn)/2
}

// averager is the mean of the weights over the end of training: it lies flatter in the loss than where the last step happened to
// fall. Source: "Averaging Weights Leads to Wider Optima and Better Generalization", UAI 2018.
type averager struct {
	from, n int
	w       []float32
}

func (a *averager) add(at int, w []float32) {
	if at < a.from {
		return
	}
	a.n++
	share := 1 / float32(a.n)
	for i, v := range w {
		a.w[i] += float32((v - a.w[i]) * share)
	}
}

func (a *averager) take(w []float32) {
	if a.n > 0 {
		copy(w, a.w)
	}
}

// batch draws a mini-batch, learns from it at rate, and returns its summed loss over how many values.
func (t *trainer) batch(number uint64, rate float64) (loss float64, values int, err error) {
	t.tr.set(&t.m.layout, t.m.w)
	var wg sync.WaitGroup
	for i := range t.shards {
		p := <-t.passes
		wg.Go(func() {
			t.shard(p, i, number)
			t.passes <- p
		})
	}
	wg.Wait()
	clear(t.grad)
	for i := range t.shards {
		s := &t.shards[i]
		loss, values = loss+s.loss, values+s.values
		for j, g := range s.grad {
			t.grad[j] += g
		}
	}
	if values == 0 {
		return 0, 0, nil
	}
	squares := 0.0
	for _, g := range t.grad {
		squares += float64(float64(g) * float64(g))
	}
	norm := math.Sqrt(squares) / float64(values)
	if math.IsNaN(norm) || math.IsInf(norm, 0) || math.IsNaN(loss) {
		return 0, 0, fmt.Errorf("%w: a lower learning rate may help", ErrDiverged)
	}
	t.adam.step(t.m.w, t.grad, rate, min(1, maxNorm/norm)/float64(values))
	return loss, values, nil
}

// maxNorm is what gradients are clipped to.
const maxNorm = 10

// shard runs the rows of one part of a batch forward and back.
func (t *trainer) shard(p *pass, i int, number uint64) {
	m, c, s := t.m, &t.m.config, &t.shards[i]
	r := stream(c.Seed, 1, number, uint64(i))
	s.loss, s.values = 0, 0
	clear(p.grad)
	k := len(m.layout.emb)
	type drawn struct {
		p     *prepared
		at    int // the window's first step
		scale float64
	}
	rows := make([]drawn, p.rows)
	for row := range p.rows {
		n := i*p.rows + row
		cats := p.cats[row*k : (row+1)*k]
		if n >= c.MiniBatchSize {
			for j := range cats {
				cats[j] = -1
			}
			for st := range p.steps {
				clear(p.x[(st*p.rows+row)*m.layout.width : (st*p.rows+row+1)*m.layout.width])
			}
			continue
		}
		x := r.uniform() * t.chance[len(t.chance)-1]
		at, _ := slices.BinarySearch(t.chance, x)
		d := drawn{p: t.series[at]}
		// The forecast begins anywhere after the context, or where the series has one step to be conditioned on.
		length := len(d.p.target)
		first := min(c.ContextLength, length-c.PredictionLength)
		d.at = first + r.intn(length-c.PredictionLength-first+1) - c.ContextLength
		d.scale = d.p.scaleOf(c.Likelihood, d.at+c.ContextLength, c.ContextLength)
		rows[row] = d
		copy(cats, d.p.cat)
		for st := range p.steps {
			at := (st*p.rows+row)*m.layout.width + m.layout.embedded
			m.spec.fill(p.x[at:at+m.layout.width-m.layout.embedded], d.p, d.at+st, d.scale, nil)
		}
	}
	p.forward(m.w, *c.DropoutRate, &r)
	clear(p.dout)
	var grad [3]float64
	outs := c.Likelihood.params()
	for st := range p.steps {
		for row, d := range rows {
			at := d.at + st
			if d.p == nil || at < 0 || math.IsNaN(d.p.target[at]) {
				continue
			}
			o := (st*p.rows + row) * outWidth
			s.loss += c.Likelihood.loss(p.out[o:], d.p.target[at]/d.scale, d.scale, &grad)
			s.values++
			for j := range outs {
				p.dout[o+j] = float32(grad[j])
			}
		}
	}
	p.backward(t.tr)
	copy(s.grad, p.grad)
}

// adam is the optimiser of "Adam: A Method for Stochastic Optimization", ICLR 2015.
type adam struct {
	m, v   []float32
	p1, p2 float64 // the two decays to the power of the steps so far
}

func (a *adam) step(w, grad []float32, rate, factor float64) {
	const b1, b2, tiny = 0.9, 0.999, 1e-8
	a.p1, a.p2 = float64(a.p1*b1), float64(a.p2*b2)
	rate32 := float32(rate * math.Sqrt(1-a.p2) / (1 - a.p1))
	f := float32(factor)
	for i, g := range grad {
		g = float32(g * f)
		a.m[i] += float32((1 - b1) * (g - a.m[i]))
		a.v[i] += float32((1 - b2) * (float32(g*g) - a.v[i]))
		w[i] -= float32(rate32*a.m[i]) / (float32(math.Sqrt(float64(a.v[i]))) + tiny)
	}
}
