package rcf

import (
	"errors"
	"fmt"
	"iter"
	"math"
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
	n := 0
	for x, err := range rows {
		n++
		if err == nil {
			err = f.enter(x)
		}
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", n, err)
		}
		if f.push() {
			f.sample()
		}
	}
	if f.points.count() == 0 {
		return nil, fmt.Errorf("%d rows, where a shingle takes %d: %w", n, f.shingle, ErrTooFew)
	}
	for t := range f.trees {
		f.build(t)
	}
	return f, nil
}

// ErrTooFew means that there was nothing to train on.
var ErrTooFew = errors.New("too few rows")

// sample offers f.p to every tree's sample. The trees themselves stay empty.
func (f *Forest) sample() {
	id := f.points.add(f.p)
	grown := math.Exp(f.age)
	for t := range f.trees {
		key, ok := f.offer(t, grown)
		if !ok {
			continue
		}
		f.points.refs[id]++
		f.trees[t].size++
		if out := f.keep(t, entry{key, id}); out >= 0 {
			f.trees[t].size--
			f.points.drop(out)
		}
	}
	if f.points.refs[id] == 0 {
		f.points.release(id)
	}
	f.grow()
}

// build makes the tree of the points that are in tree t's sample, from the root down.
func (f *Forest) build(t int) {
	tr := &f.trees[t]
	nodes := f.nodes[t*f.samples : (t+1)*f.samples]
	boxOf := f.boxOf[t*f.samples : (t+1)*f.samples]
	ids := make([]int32, tr.size)
	for i, e := range f.entries[t*f.samples:][:tr.size] {
		ids[i] = e.point
	}
	type part struct {
		ids []int32
		at  slot
	}
	stack := []part{{ids, slot{parent: -1}}}
	for len(stack) > 0 {
		p := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if len(p.ids) == 1 {
			f.set(tr, nodes, p.at, ^p.ids[0])
			continue
		}
		copy(f.lo, f.points.at(p.ids[0]))
		copy(f.hi, f.lo)
		for _, id := range p.ids[1:] {
			extend(f.lo, f.hi, f.points.at(id))
		}
		k := tr.free
		tr.free = nodes[k].left
		n := node{mass: uint16(len(p.ids))}
		split := 1
		if dim, cut := f.randomCut(tr); dim < 0 {
			n.dim = equal
		} else {
			n.dim, n.cut = uint16(dim), cut
			split = f.divide(p.ids, dim, cut)
		}
		nodes[k] = n
		f.set(tr, nodes, p.at, k)
		if n.dim != equal && int(n.mass) >= f.boxMass {
			b := f.boxes.take()
			lo, hi := f.boxes.at(b)
			copy(lo, f.lo)
			copy(hi, f.hi)
			boxOf[k] = b
		}
		stack = append(stack, part{p.ids[split:], slot{k, true}}, part{p.ids[:split], slot{k, false}})
	}
}

// randomCut draws a cut of the box f.lo, f.hi, each dimension in proportion to its extent; dim is -1 when it has none.
func (f *Forest) randomCut(tr *tree) (dim int, cut float32) {
	total := 0.0
	for d, l := range f.lo {
		total += float64(f.weights[d]) * (float64(f.hi[d]) - float64(l))
	}
	dim = -1
	x := tr.rng.float() * total
	for d, l := range f.lo {
		h := f.hi[d]
		if !(h > l) {
			continue
		}
		dim, cut = d, l // rounding may run past the last extent, which is then cut at its lower end
		w := float64(f.weights[d])
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
func (f *Forest) divide(ids []int32, dim int, cut float32) int {
	i, j := 0, len(ids)
	for i < j {
		if f.points.at(ids[i])[dim] <= cut {
			i++
		} else {
			j--
			ids[i], ids[j] = ids[j], ids[i]
		}
	}
	return i
}
