package rcf

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// Train grows a forest at once from all the rows, as the batch algorithm of SageMaker does: each tree takes a sample of
// NumSamplesPerTree of them (all, if there are fewer), and is built from it from the root down, which is far cheaper than
// learning one row after the other. With TimeDecay 0 every row is as likely in a sample as any other; above 0 late rows are
// likelier. A forest so trained is ready to score, and may go on to learn from a stream.
//
// A row has dim values and is not kept, so that rows may yield one slice again and again. An error that rows yields, and a
// row that can't be taken, end the training with that error and the row's number, from 1.
func Train(dim int, c Config, rows iter.Seq2[[]float64, error]) (*Forest, error) {
	if c.TimeDecay == 0 {
		c.TimeDecay = -1
	}
	f, err := New(dim, c)
	if err != nil {
		return nil, err
	}
	s := scratch{wide: f.wide}
	n := 0
	for x, err := range rows {
		n++
		var p []float32
		if err == nil {
			p, err = f.enter(&s, x)
		}
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", n, err)
		}
		f.seen++
		if f.push(p) {
			f.sample(p)
		}
	}
	if f.points.used == 0 {
		return nil, fmt.Errorf("%d rows, where a shingle takes %d: %w", n, f.shingle, ErrTooFew)
	}
	f.build()
	return f, nil
}

// ErrTooFew means that there was nothing to train on.
var ErrTooFew = errors.New("too few rows")

// sample offers p to every tree's sample. The trees themselves stay empty.
func (f *Forest) sample(p []float32) {
	f.makeRoom(int(f.trees[0].size))
	id := f.addPoint(p)
	scale := math.Exp(f.age)
	for t := range f.trees {
		k, ok := f.offer(t, scale)
		if !ok {
			continue
		}
		f.points.hold(id)
		if out := f.keep(t, k, id); out >= 0 {
			f.points.drop(f.ids.at(t*f.stride + out))
		}
	}
	if f.points.refs.at(id) == 0 {
		f.points.release(id)
	}
	f.pass(1)
}

// builder makes one tree after the other; several may work on one forest at once, each with its own trees.
type builder struct {
	f      *Forest
	lo, hi []float32
	slots  []ref
	boxes  []built
}

// built is a box that waits for its place in the forest.
type built struct {
	node   int // in Forest.nodes
	mass   int
	lo, hi []float32
}

// build makes the trees of the samples, with as many goroutines as there are processors. The result doesn't depend on their
// number: each tree draws from its own random numbers.
func (f *Forest) build() {
	trees := make([][]built, len(f.trees))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(f.trees)) {
		wg.Go(func() {
			b := builder{f: f, lo: make([]float32, f.width), hi: make([]float32, f.width)}
			for {
				t := int(next.Add(1)) - 1
				if t >= len(f.trees) {
					return
				}
				b.build(t)
				trees[t], b.boxes = b.boxes, nil
			}
		})
	}
	wg.Wait()
	for t, bs := range trees {
		for _, b := range bs {
			id := f.boxes.take()
			lo, hi := f.boxes.at(id)
			copy(lo, b.lo)
			copy(hi, b.hi)
			f.boxes.mass[id] = uint16(b.mass)
			f.side.set(b.node, f.boxMass+id)
		}
		trees[t] = nil
	}
}

// build makes the tree of the points that are in tree t's sample, from the root down.
func (b *builder) build(t int) {
	f := b.f
	tr := &f.trees[t]
	base := t * f.stride
	b.slots = b.slots[:0]
	for i := range int(tr.size) + 1 {
		if i != int(tr.spare) {
			b.slots = append(b.slots, ref(i)|leafBit)
		}
	}
	type part struct {
		slots []ref
		under int // the node whose child it is, or -1
		right bool
	}
	stack := []part{{b.slots, -1, false}}
	for len(stack) > 0 {
		p := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		c := p.slots[0]
		if mass := len(p.slots); mass > 1 {
			copy(b.lo, b.point(base, c))
			copy(b.hi, b.lo)
			for _, c := range p.slots[1:] {
				extend(b.lo, b.hi, b.point(base, c))
			}
			k := f.takeNode(tr, base)
			split := 1
			dim, cut := b.cut(tr)
			if dim < 0 {
				f.nodes[base+k] = makeNode(equalDim, 0, 0, 0)
			} else {
				f.setCut(base, k, dim, cut, 0, 0)
				split = b.divide(base, p.slots, dim, cut)
			}
			if dim >= 0 && mass >= f.boxMass {
				b.boxes = append(b.boxes, built{base + k, mass, slices.Clone(b.lo), slices.Clone(b.hi)})
			} else {
				f.side.set(base+k, mass)
			}
			stack = append(stack, part{p.slots[split:], k, true}, part{p.slots[:split], k, false})
			c = ref(k)
		}
		switch {
		case p.under < 0:
			tr.root = uint16(c)
		case p.right:
			f.nodes[base+p.under].link |= uint32(c) << rightShift
		default:
			f.nodes[base+p.under].link |= uint32(c) << leftShift
		}
	}
}

func (b *builder) point(base int, c ref) []float32 {
	return b.f.points.at(b.f.ids.at(base + c.id()))
}

// cut draws a cut of the box, each dimension in proportion to its extent; dim is -1 when it has none.
func (b *builder) cut(tr *tree) (dim int, cut float32) {
	total := 0.0
	for d, l := range b.lo {
		total += float64(b.f.weights[d]) * (float64(b.hi[d]) - float64(l))
	}
	dim = -1
	x := tr.rng.float() * total
	for d, l := range b.lo {
		h := b.hi[d]
		if !(h > l) {
			continue
		}
		dim, cut = d, l // rounding may run past the last extent, which is then cut at its lower end
		w := float64(b.f.weights[d])
		g := w * (float64(h) - float64(l))
		if x < g {
			if c := float32(float64(l) + x/w); c >= l && c < h {
				cut = c
			}
			break
		}
		x -= g
	}
	return dim, cut
}

// divide puts the points at or below the cut first and returns their number.
func (b *builder) divide(base int, slots []ref, dim int, cut float32) int {
	i, j := 0, len(slots)
	for i < j {
		if b.point(base, slots[i])[dim] <= cut {
			i++
		} else {
			j--
			slots[i], slots[j] = slots[j], slots[i]
		}
	}
	return i
}
