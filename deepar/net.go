package deepar

import "math"

// outWidth is how many outputs a step has, filled up to a multiple of 8.
const outWidth = 8

// layout is where the weights lie in one slice, (rows,columns) row-major each.
type layout struct {
	width    int   // inputs of a step
	embedded int   // of them, embeddings
	cells    int   // of a layer, filled up to a multiple of 8: what fills up stays 0
	dim      int   // of one embedding
	emb      []int // of each category: (cardinality, dim)
	layers   []layerLayout
	wo, bo   int // (cells, outWidth), (outWidth)
	total    int
}

type layerLayout struct {
	in       int // inputs
	wx, u, b int // (in, 4 cells), (cells, 4 cells), (4 cells)
}

func newLayout(c *Config, sp *spec) layout {
	l := layout{width: sp.width(c), embedded: sp.embedded(c), cells: roundUp(c.NumCells, 8), dim: c.EmbeddingDimension}
	take := func(n int) int {
		at := l.total
		l.total += n
		return at
	}
	for _, k := range sp.Cardinality {
		l.emb = append(l.emb, take(k*l.dim))
	}
	in := l.width
	for range c.NumLayers {
		l.layers = append(l.layers, layerLayout{in: in, wx: take(in * 4 * l.cells), u: take(l.cells * 4 * l.cells), b: take(4 * l.cells)})
		in = l.cells
	}
	l.wo, l.bo = take(l.cells*outWidth), take(outWidth)
	return l
}

// initial draws weights: Glorot's for those that are real, 0 for what fills up; the forget gates begin open.
func (l *layout) initial(c *Config, sp *spec, r *rng) []float32 {
	w := make([]float32, l.total)
	for j, k := range sp.Cardinality {
		for i := range k * l.dim {
			w[l.emb[j]+i] = float32(0.1 * (2*r.uniform() - 1))
		}
	}
	used := func(i int) bool { // of the inputs of the first layer
		if i < l.embedded {
			return i < len(sp.Cardinality)*l.dim
		}
		return i-l.embedded < len(sp.Lags)+1+2*sp.Calendars+2+len(sp.DynMean)
	}
	for n, ly := range l.layers {
		draw := func(at, rows int, real func(int) bool) {
			limit := math.Sqrt(6 / float64(rows+c.NumCells))
			for i := range rows {
				for g := range 4 {
					for j := range c.NumCells {
						v := float32(limit * (2*r.uniform() - 1))
						if real(i) {
							w[at+i*4*l.cells+g*l.cells+j] = v
						}
					}
				}
			}
		}
		cell := func(i int) bool { return i < c.NumCells }
		if n == 0 {
			draw(ly.wx, ly.in, used)
		} else {
			draw(ly.wx, ly.in, cell)
		}
		draw(ly.u, l.cells, cell)
		for j := range c.NumCells {
			w[ly.b+l.cells+j] = 1
		}
	}
	limit := math.Sqrt(6 / float64(c.NumCells+outWidth))
	for i := range c.NumCells {
		for j := range c.Likelihood.params() {
			w[l.wo+i*outWidth+j] = float32(limit * (2*r.uniform() - 1))
		}
	}
	return w
}

// transposed are the weights as the gradient needs them.
type transposed struct {
	wx, u [][]float32 // of each layer: (4 cells, in), (4 cells, cells)
	wo    []float32   // (outWidth, cells)
}

func (l *layout) newTransposed() *transposed {
	t := &transposed{wo: make([]float32, outWidth*l.cells)}
	for _, ly := range l.layers {
		t.wx = append(t.wx, make([]float32, 4*l.cells*ly.in))
		t.u = append(t.u, make([]float32, 4*l.cells*l.cells))
	}
	return t
}

func (t *transposed) set(l *layout, w []float32) {
	flip := func(dst, src []float32, rows, columns int) {
		for i := range rows {
			for j := range columns {
				dst[j*rows+i] = src[i*columns+j]
			}
		}
	}
	for n, ly := range l.layers {
		flip(t.wx[n], w[ly.wx:], ly.in, 4*l.cells)
		flip(t.u[n], w[ly.u:], l.cells, 4*l.cells)
	}
	flip(t.wo, w[l.wo:], l.cells, outWidth)
}

// pass is the memory of one pass, forward and back, over rows windows of steps steps. Everything is step by step: row r of step t is
// t*rows+r.
type pass struct {
	l           *layout
	k           kernel
	rows, steps int

	x      []float32 // (steps*rows, width)
	cats   []int     // (rows, categories): -1 where a row fills up
	layers []passLayer
	out    []float32 // (steps*rows, outWidth)
	dout   []float32 // its gradient
	dh     []float32 // (steps*rows, cells): of a layer's output
	dx     []float32 // (steps*rows, embedded)
	dc, dn []float32 // (rows, cells): of the cell, of the output by way of the next step
	past   []float32 // (rows, cells): of a cell that kept its state
	grad   []float32 // (total)
}

type passLayer struct {
	g    []float32 // (steps*rows, 4 cells): gates, then their gradient
	c, h []float32 // ((steps+1)*rows, cells): the first step's are 0
	tc   []float32 // (steps*rows, cells)
	keep []uint8   // (steps*rows, 2 cells): zoneout of c, of h; nil without
}

func newPass(l *layout, k kernel, rows, steps int, zoneout bool) *pass {
	n := rows * steps
	p := &pass{
		l: l, k: k, rows: rows, steps: steps,
		x: make([]float32, n*l.width), cats: make([]int, rows*len(l.emb)),
		out: make([]float32, n*outWidth), dout: make([]float32, n*outWidth), dh: make([]float32, n*l.cells),
		dx: make([]float32, n*l.embedded), dc: make([]float32, rows*l.cells), dn: make([]float32, rows*l.cells),
		past: make([]float32, rows*l.cells),
		grad: make([]float32, l.total),
	}
	for range l.layers {
		ly := passLayer{
			g: make([]float32, n*4*l.cells), c: make([]float32, (n+rows)*l.cells), h: make([]float32, (n+rows)*l.cells),
			tc: make([]float32, n*l.cells),
		}
		if zoneout {
			ly.keep = make([]uint8, n*2*l.cells)
		}
		p.layers = append(p.layers, ly)
	}
	return p
}

// embed writes the embeddings of the rows' categories into x.
func (p *pass) embed(w []float32) {
	k, d := len(p.l.emb), p.l.dim
	for i := range p.steps * p.rows {
		for j, c := range p.cats[i%p.rows*k : i%p.rows*k+k] {
			if c >= 0 {
				copy(p.x[i*p.l.width+j*d:], w[p.l.emb[j]+c*d:p.l.emb[j]+(c+1)*d])
			}
		}
	}
}

// forward fills out from x with weights w. rate is the zoneout's, drawn from r.
func (p *pass) forward(w []float32, rate float64, r *rng) {
	p.embed(w)
	n, m, cells := p.rows*p.steps, p.rows, p.l.cells
	in, width := p.x, p.l.width
	for li := range p.layers {
		ly, at := &p.layers[li], &p.l.layers[li]
		for i := range n {
			copy(ly.g[i*4*cells:(i+1)*4*cells], w[at.b:at.b+4*cells])
		}
		p.k.gemm(n, 4*cells, at.in, in, width, 1, w[at.wx:], 4*cells, ly.g, 4*cells)
		if ly.keep != nil {
			zoneMask(ly.keep, rate, r)
		}
		for t := range p.steps {
			g := ly.g[t*m*4*cells : (t+1)*m*4*cells]
			prev, next := t*m*cells, (t+1)*m*cells
			if t > 0 {
				p.k.gemm(m, 4*cells, cells, ly.h[prev:next], cells, 1, w[at.u:], 4*cells, g, 4*cells)
			}
			p.k.forward(m, cells, g, ly.c[prev:next], ly.c[next:next+m*cells], ly.tc[prev:next], ly.h[next:next+m*cells])
			if ly.keep == nil {
				continue
			}
			keep := ly.keep[t*m*2*cells:]
			for i := range m * cells {
				if keep[2*i] != 0 {
					ly.c[next+i] = ly.c[prev+i]
				}
				if keep[2*i+1] != 0 {
					ly.h[next+i] = ly.h[prev+i]
				}
			}
		}
		in, width = ly.h[m*cells:], cells
	}
	for i := range n {
		copy(p.out[i*outWidth:(i+1)*outWidth], w[p.l.bo:p.l.bo+outWidth])
	}
	p.k.gemm(n, outWidth, cells, in, width, 1, w[p.l.wo:], outWidth, p.out, outWidth)
}

// zoneMask draws 1 with chance rate, to a 256th.
func zoneMask(keep []uint8, rate float64, r *rng) {
	limit := uint8(min(255, math.Round(rate*256)))
	for i := 0; i < len(keep); i += 8 {
		bits := r.next()
		for j := i; j < min(i+8, len(keep)); j++ {
			keep[j] = 0
			if uint8(bits) < limit {
				keep[j] = 1
			}
			bits >>= 8
		}
	}
}

// backward adds the gradient of the weights to grad, given dout.
func (p *pass) backward(tr *transposed) {
	n, m, cells := p.rows*p.steps, p.rows, p.l.cells
	last := p.layers[len(p.layers)-1].h[m*cells:]
	p.k.gemm(cells, outWidth, n, last, 1, cells, p.dout, outWidth, p.grad[p.l.wo:], outWidth)
	sumRows(p.grad[p.l.bo:p.l.bo+outWidth], p.dout)
	clear(p.dh)
	p.k.gemm(n, cells, outWidth, p.dout, outWidth, 1, tr.wo, cells, p.dh, cells)
	for li := len(p.layers) - 1; li >= 0; li-- {
		ly, at := &p.layers[li], &p.l.layers[li]
		clear(p.dc)
		clear(p.dn)
		for t := p.steps - 1; t >= 0; t-- {
			g := ly.g[t*m*4*cells : (t+1)*m*4*cells]
			now, end := t*m*cells, (t+1)*m*cells
			dh := p.dh[now:end]
			for i, v := range p.dn {
				dh[i] += v
			}
			if ly.keep == nil {
				p.k.backward(m, cells, g, ly.c[now:end], ly.tc[now:end], dh, p.dc)
				clear(p.dn)
			} else {
				p.zoneBack(ly, g, t)
			}
			if t > 0 {
				p.k.gemm(m, cells, 4*cells, g, 4*cells, 1, tr.u[li], cells, p.dn, cells)
			}
		}
		in, width := p.x, p.l.width
		if li > 0 {
			in, width = p.layers[li-1].h[m*cells:], cells
		}
		p.k.gemm(at.in, 4*cells, n, in, 1, width, ly.g, 4*cells, p.grad[at.wx:], 4*cells)
		p.k.gemm(cells, 4*cells, n-m, ly.h[m*cells:], 1, cells, ly.g[m*4*cells:], 4*cells, p.grad[at.u:], 4*cells)
		sumRows(p.grad[at.b:at.b+4*cells], ly.g)
		switch {
		case li > 0:
			clear(p.dh)
			p.k.gemm(n, cells, 4*cells, ly.g, 4*cells, 1, tr.wx[li], cells, p.dh, cells)
		case p.l.embedded > 0:
			clear(p.dx)
			p.k.gemm(n, p.l.embedded, 4*cells, ly.g, 4*cells, 1, tr.wx[0], at.in, p.dx, p.l.embedded)
			p.embedBack()
		}
	}
}

// zoneBack is the cell's backward where some of it kept its last state: their gradient goes there, past the gates.
func (p *pass) zoneBack(ly *passLayer, g []float32, t int) {
	m, cells := p.rows, p.l.cells
	now, end := t*m*cells, (t+1)*m*cells
	dh, keep := p.dh[now:end], ly.keep[t*m*2*cells:]
	for i := range m * cells {
		p.past[i], p.dn[i] = 0, 0
		if keep[2*i] != 0 {
			p.past[i], p.dc[i] = p.dc[i], 0
		}
		if keep[2*i+1] != 0 {
			p.dn[i], dh[i] = dh[i], 0
		}
	}
	p.k.backward(m, cells, g, ly.c[now:end], ly.tc[now:end], dh, p.dc)
	for i, v := range p.past {
		p.dc[i] += v
	}
}

func (p *pass) embedBack() {
	k, d := len(p.l.emb), p.l.dim
	for i := range p.steps * p.rows {
		for j, c := range p.cats[i%p.rows*k : i%p.rows*k+k] {
			if c < 0 {
				continue
			}
			at := p.grad[p.l.emb[j]+c*d:]
			for e := range d {
				at[e] += p.dx[i*p.l.embedded+j*d+e]
			}
		}
	}
}

// sumRows adds the rows of v to dst.
func sumRows(dst, v []float32) {
	for ; len(v) > 0; v = v[len(dst):] {
		for j := range dst {
			dst[j] += v[j]
		}
	}
}
