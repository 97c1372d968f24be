package ipinsights

import (
	"math"
	"math/rand/v2"
	"net/netip"
)

// encoder computes an address's vector: its bits through EncoderLayers hidden layers of VectorDim units (ReLU) and one linear
// layer. Without hidden layers it is linear in the bits.
//
//	first: (33,d) and (129,d) row-major, a row for each bit of an IPv4 and an IPv6 address, +1 where it is set and -1 where it isn't, and the bias
//	rest:  EncoderLayers times (d+1,d), a row for each unit of the layer before, and the bias
type encoder struct {
	dim, d int // VectorDim, and its stride
	first  [2][]float32
	rest   [][]float32

	// A byte's rows of first, summed for each of its values: 4 or 16 additions of rows in place of 32 or 128.
	tables [2][][256][]float32
}

// kinds of addresses.
const (
	v4 = iota
	v6
)

func kindOf(ip netip.Addr) (kind int, b [16]byte, n int) {
	ip = ip.Unmap()
	if ip.Is4() {
		a := ip.As4()
		copy(b[:], a[:])
		return v4, b, 4
	}
	return v6, ip.As16(), 16
}

// newEncoder draws the weights uniformly so that the variance of what goes through a layer is kept (Glorot).
func newEncoder(dim, layers int, r *rand.Rand) *encoder {
	e := blankEncoder(dim, layers)
	fill := func(w []float32, rows int) {
		limit := math.Sqrt(6 / float64(rows+dim))
		for i := range rows {
			for j := range dim {
				w[i*e.d+j] = float32((2*r.Float64() - 1) * limit)
			}
		}
	}
	fill(e.first[v4], 32)
	fill(e.first[v6], 128)
	for _, w := range e.rest {
		fill(w, dim)
	}
	return e
}

func blankEncoder(dim, layers int) *encoder {
	d := stride(dim)
	e := &encoder{dim: dim, d: d}
	e.first[v4], e.first[v6] = make([]float32, 33*d), make([]float32, 129*d)
	for range layers {
		e.rest = append(e.rest, make([]float32, (dim+1)*d))
	}
	return e
}

// tabulate sums the first layer's rows by byte. It has to be called when they have changed.
func (e *encoder) tabulate(kind int) {
	n := []int{4, 16}[kind]
	if e.tables[kind] == nil {
		e.tables[kind] = make([][256][]float32, n)
		all := make([]float32, n*256*e.d)
		for i := range n {
			for v := range 256 {
				e.tables[kind][i][v], all = all[:e.d:e.d], all[e.d:]
			}
		}
	}
	for i := range n {
		t := &e.tables[kind][i]
		row := func(bit int) []float32 { return e.first[kind][(8*i+bit)*e.d : (8*i+bit+1)*e.d] }
		clear(t[0])
		for bit := range 8 {
			axpy(t[0], row(bit), -1)
		}
		// A value is the one without its lowest set bit, and that bit turned.
		for v := 1; v < 256; v++ {
			copy(t[v], t[v&(v-1)])
			bit := 7
			for low := v & -v; low > 1; low >>= 1 {
				bit--
			}
			axpy(t[v], row(bit), 2)
		}
	}
}

// layers is the memory of one encoding: what came out of each layer.
func (e *encoder) layers() [][]float32 {
	ls := make([][]float32, len(e.rest)+1)
	for i := range ls {
		ls[i] = make([]float32, e.d)
	}
	return ls
}

// encode computes the vector of an address; the last of ls is it.
func (e *encoder) encode(ls [][]float32, ip netip.Addr) []float32 {
	kind, b, n := kindOf(ip)
	out := ls[0]
	copy(out, e.first[kind][8*n*e.d:])
	var x [4][]float32
	t := e.tables[kind]
	for i := 0; i < n; i += 4 {
		x = [4][]float32{t[i][b[i]], t[i+1][b[i+1]], t[i+2][b[i+2]], t[i+3][b[i+3]]}
		axpy4(out, &x, &[4]float32{1, 1, 1, 1})
	}
	for l, w := range e.rest {
		in := out
		for j := range in {
			in[j] = max(in[j], 0)
		}
		out = ls[l+1]
		copy(out, w[e.dim*e.d:])
		// Units that are on, four at a time.
		var a [4]float32
		k := 0
		for j := range e.dim {
			if in[j] == 0 {
				continue
			}
			x[k], a[k] = w[j*e.d:(j+1)*e.d], in[j]
			if k++; k == 4 {
				axpy4(out, &x, &a)
				k = 0
			}
		}
		for i := range k {
			axpy(out, x[i], a[i])
		}
	}
	return out
}

// gradient is the loss' derivative by an encoder's weights, in the same layout.
type gradient struct {
	first [2][]float32
	rest  [][]float32
	used  [2]bool
	back  [2][]float32 // by what went into a layer
}

func (e *encoder) gradient() *gradient {
	g := &gradient{}
	for k := range e.first {
		g.first[k] = make([]float32, len(e.first[k]))
	}
	for _, w := range e.rest {
		g.rest = append(g.rest, make([]float32, len(w)))
	}
	g.back = [2][]float32{make([]float32, e.d), make([]float32, e.d)}
	return g
}

// backward adds to g the derivative by the weights, where by is that by the vector that encode has left in ls.
func (e *encoder) backward(g *gradient, ls [][]float32, ip netip.Addr, by []float32) {
	turn := 0
	for l := len(e.rest) - 1; l >= 0; l-- {
		in, w, gw := ls[l], e.rest[l], g.rest[l]
		axpy(gw[e.dim*e.d:], by, 1)
		below := g.back[turn]
		turn = 1 - turn
		clear(below)
		for j := range e.dim {
			if in[j] != 0 { // ReLU: what was cut off has no share
				axpy(gw[j*e.d:(j+1)*e.d], by, in[j])
				below[j] = dot(w[j*e.d:(j+1)*e.d], by)
			}
		}
		by = below
	}
	kind, b, n := kindOf(ip)
	g.used[kind] = true
	gw := g.first[kind]
	axpy(gw[8*n*e.d:], by, 1)
	for i := range 8 * n {
		s := float32(-1)
		if b[i/8]&(0x80>>(i%8)) != 0 {
			s = 1
		}
		axpy(gw[i*e.d:(i+1)*e.d], by, s)
	}
}
