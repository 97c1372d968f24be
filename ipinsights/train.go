package ipinsights

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"sync"
)

// chunks is into how many parts a mini-batch is cut, whatever the number of goroutines: sums of floating point depend on it.
const chunks = 16

// Adam's constants, as everywhere.
const (
	beta1   = 0.9
	beta2   = 0.999
	epsilon = 1e-8
)

// ErrNoPairs means that there is nothing to learn from.
var ErrNoPairs = errors.New("no pairs to train on")

// Train learns from pairs. It returns the model of the last epoch; validation pairs only measure it. A pair whose address is
// not valid is an error, as is a configuration out of range. Training ends early, with the context's cause, when ctx ends.
func Train(ctx context.Context, c Config, pairs, validation []Pair) (*Model, error) {
	c, err := c.check()
	if err != nil {
		return nil, err
	}
	if len(pairs) == 0 {
		return nil, ErrNoPairs
	}
	for _, ps := range [...][]Pair{pairs, validation} {
		for i := range ps {
			if !ps[i].IP.IsValid() {
				return nil, fmt.Errorf("pair %d, entity %q: not an address", i+1, ps[i].Entity)
			}
		}
	}
	t := newTrainer(c, pairs)
	for epoch := range c.Epochs {
		loss, err := t.epoch(ctx)
		if err != nil {
			return nil, err
		}
		if c.Progress != nil {
			t.tabulate() // weights have moved since the last batch began
			c.Progress(Progress{Epoch: epoch + 1, Loss: loss, AUC: t.model.AUC(validation, c.Seed)})
		}
	}
	t.tabulate()
	return t.model, nil
}

// trainer holds what training needs beside the model.
type trainer struct {
	c      Config
	model  *Model
	pairs  []Pair
	slots  []int32 // of the pairs' entities
	order  []int32
	r      *rand.Rand
	step   int
	m1, m2 []float32 // Adam's moments of the entities
	dense  []*moments
	parts  [chunks]*part
	byPair []float32 // (batch,d): the loss' derivative by the entity, pair by pair
	group  []int32   // the batch, by entity
	has    [2]bool   // kinds of addresses among the pairs
	shift  []int     // by how much the batch's addresses are shifted for its shuffled negatives
}

// moments are Adam's of one dense array of weights.
type moments struct {
	w      []float32
	m1, m2 []float32
	of     func(*gradient) []float32
}

// part is one chunk's own memory.
type part struct {
	g      *gradient
	ls     [][][]float32 // of the pair's own address, then of those drawn for it
	by     []float32     // the loss' derivative by an address's vector
	loss   float64
	random *rand.PCG
}

func newTrainer(c Config, pairs []Pair) *trainer {
	r := rand.New(rand.NewPCG(c.Seed, 0x6970696e73696768))
	e := newEncoder(c.VectorDim, *c.EncoderLayers, r)
	t := &trainer{c: c, model: newModel(c.NumEntityVectors, e), pairs: pairs, r: r}
	for i := range c.NumEntityVectors {
		for j := range c.VectorDim {
			t.model.entities[i*e.d+j] = float32((2*r.Float64() - 1) * 0.07)
		}
	}
	t.m1, t.m2 = make([]float32, len(t.model.entities)), make([]float32, len(t.model.entities))
	add := func(w []float32, of func(*gradient) []float32) {
		t.dense = append(t.dense, &moments{w, make([]float32, len(w)), make([]float32, len(w)), of})
	}
	for k := range e.first {
		add(e.first[k], func(g *gradient) []float32 { return g.first[k] })
	}
	for l := range e.rest {
		add(e.rest[l], func(g *gradient) []float32 { return g.rest[l] })
	}
	t.slots, t.order = make([]int32, len(pairs)), make([]int32, len(pairs))
	for i := range pairs {
		t.slots[i], t.order[i] = int32(slot(pairs[i].Entity, c.NumEntityVectors)), int32(i)
		kind, _, _ := kindOf(pairs[i].IP)
		t.has[kind] = true
	}
	t.shift = make([]int, *c.ShuffledNegatives)
	batch := min(c.MiniBatchSize, len(pairs))
	t.byPair, t.group = make([]float32, batch*e.d), make([]int32, batch)
	for i := range t.parts {
		p := &part{g: e.gradient(), by: make([]float32, e.d), random: rand.NewPCG(0, 0)}
		p.ls = [][][]float32{e.layers(), e.layers()}
		t.parts[i] = p
	}
	return t
}

func (t *trainer) tabulate() {
	t.model.encoder.tabulate(v4)
	t.model.encoder.tabulate(v6)
}

// epoch takes every pair once, in an order of its own.
func (t *trainer) epoch(ctx context.Context) (float64, error) {
	t.r.Shuffle(len(t.order), func(i, j int) { t.order[i], t.order[j] = t.order[j], t.order[i] })
	var loss float64
	for from := 0; from < len(t.order); from += t.c.MiniBatchSize {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		loss += t.batch(t.order[from:min(from+t.c.MiniBatchSize, len(t.order))])
	}
	terms := 1 + *t.c.RandomNegatives + *t.c.ShuffledNegatives
	return loss / float64(len(t.order)*terms), nil
}

// batch takes one step of Adam.
func (t *trainer) batch(batch []int32) (loss float64) {
	t.step++
	for kind, has := range t.has {
		if has {
			t.model.encoder.tabulate(kind)
		}
	}
	for i := range t.shift {
		t.shift[i] = 0
		if len(batch) > 1 {
			t.shift[i] = 1 + t.r.IntN(len(batch)-1)
		}
	}
	seed := t.r.Uint64()
	t.each(chunks, func(i int) {
		p := t.parts[i]
		p.random.Seed(seed, uint64(i))
		t.chunk(p, batch, i*len(batch)/chunks, (i+1)*len(batch)/chunks)
	})
	for _, p := range t.parts {
		loss += p.loss
	}
	t.update(batch)
	return loss
}

// each calls fn for 0 to n-1, spread over the workers.
func (t *trainer) each(n int, fn func(int)) {
	workers := t.c.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	workers = min(workers, n)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				fn(i)
			}
		})
	}
	wg.Wait()
}

// chunk computes the loss and its derivatives of a part of the batch: -log s(e.a) for the pair, -log(1-s(e.b)) for each made up
// with another address b, s being the logistic function.
func (t *trainer) chunk(p *part, batch []int32, from, to int) {
	e := t.model.encoder
	p.loss, p.g.used = 0, [2]bool{}
	for k := range p.g.first {
		if t.has[k] {
			clear(p.g.first[k])
		}
	}
	for _, g := range p.g.rest {
		clear(g)
	}
	for i := from; i < to; i++ {
		pair := &t.pairs[batch[i]]
		entity := t.model.entities[int(t.slots[batch[i]])*e.d:][:e.d]
		byEntity := t.byPair[i*e.d:][:e.d]
		clear(byEntity)
		one := func(ls [][]float32, ip netip.Addr, real bool) {
			a := e.encode(ls, ip)
			z := float64(dot(entity, a))
			want := 0.0
			if real {
				want = 1
				p.loss += softplus(-z)
			} else {
				p.loss += softplus(z)
			}
			by := float32(logistic(z) - want)
			axpy(byEntity, a, by)
			for j := range p.by {
				p.by[j] = by * entity[j]
			}
			e.backward(p.g, ls, ip, p.by)
		}
		one(p.ls[0], pair.IP, true)
		for range *t.c.RandomNegatives {
			one(p.ls[1], drawn(p.random, pair.IP), false)
		}
		for _, s := range t.shift {
			one(p.ls[1], t.pairs[batch[(i+s)%len(batch)]].IP, false)
		}
	}
}

// drawn returns an address of the same kind at random: of IPv6, out of what is in use (2000::/3).
func drawn(r *rand.PCG, like netip.Addr) netip.Addr {
	x := r.Uint64()
	if kind, _, _ := kindOf(like); kind == v4 {
		return netip.AddrFrom4([4]byte{byte(x >> 24), byte(x >> 16), byte(x >> 8), byte(x)})
	}
	y := r.Uint64()
	var b [16]byte
	for i := range 8 {
		b[i], b[8+i] = byte(x>>(8*i)), byte(y>>(8*i))
	}
	b[0] = 0x20 | b[0]&0x1f
	return netip.AddrFrom16(b)
}

// update moves the weights.
func (t *trainer) update(batch []int32) {
	d := t.model.encoder.d
	scale := 1 / float32(len(batch))
	rate := float32(t.c.LearningRate * math.Sqrt(1-math.Pow(beta2, float64(t.step))) / (1 - math.Pow(beta1, float64(t.step))))
	decay := float32(*t.c.WeightDecay)
	// Dense weights: the chunks' derivatives are added in their order, in slices that the workers share out.
	const slice = 2048
	for k, w := range t.dense {
		if k < 2 && !t.has[k] {
			continue
		}
		t.each((len(w.w)+slice-1)/slice, func(i int) {
			from, to := i*slice, min((i+1)*slice, len(w.w))
			sum := w.of(t.parts[0].g)[from:to]
			for _, p := range t.parts[1:] {
				axpy(sum, w.of(p.g)[from:to], 1)
			}
			adam(w.w[from:to], w.m1[from:to], w.m2[from:to], sum, scale, rate, decay)
		})
	}
	// Entities: only those in the batch move, each by the sum over its pairs in their order.
	g := t.group[:len(batch)]
	for i := range g {
		g[i] = int32(i)
	}
	slices.SortFunc(g, func(a, b int32) int {
		if c := cmp.Compare(t.slots[batch[a]], t.slots[batch[b]]); c != 0 {
			return c
		}
		return cmp.Compare(a, b)
	})
	t.each(chunks, func(i int) {
		from, to := i*len(g)/chunks, (i+1)*len(g)/chunks
		begins := func(k int) bool { return k == 0 || t.slots[batch[g[k]]] != t.slots[batch[g[k-1]]] }
		for from < to && !begins(from) { // an entity belongs to the chunk in which it begins
			from++
		}
		for from < to {
			next := from + 1
			for next < len(g) && !begins(next) {
				axpy(t.byPair[int(g[from])*d:][:d], t.byPair[int(g[next])*d:][:d], 1)
				next++
			}
			at := int(t.slots[batch[g[from]]]) * d
			adam(t.model.entities[at:at+d], t.m1[at:at+d], t.m2[at:at+d], t.byPair[int(g[from])*d:][:d], scale, rate, decay)
			from = next
		}
	})
}

// adam moves w against its derivative g, scaled and with the penalty's share.
func adam(w, m1, m2, g []float32, scale, rate, decay float32) {
	m1, m2, g = m1[:len(w)], m2[:len(w)], g[:len(w)]
	for i := range w {
		x := float32(g[i]*scale) + float32(decay*w[i])
		m1[i] = float32(beta1*m1[i]) + float32((1-beta1)*x)
		m2[i] = float32(beta2*m2[i]) + float32((1-beta2)*float32(x*x))
		w[i] -= float32(rate*m1[i]) / (float32(math.Sqrt(float64(m2[i]))) + epsilon)
	}
}

func logistic(z float64) float64 { return 1 / (1 + math.Exp(-z)) }

// softplus returns log(1+exp(z)).
func softplus(z float64) float64 {
	if z > 30 {
		return z
	}
	return math.Log1p(math.Exp(z))
}
