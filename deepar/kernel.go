package deepar

import (
	"math"
	"os"
	"sync"
)

// kernel is the arithmetic that takes nearly all of the time. Widths (n, h) are multiples of 8, rows of m multiples of 4.
type kernel interface {
	// gemm adds a b to c: a is (m,k), its element i,p at i*rsa+p*csa; b is (k,n) and c is (m,n), rows rsb and rsc apart.
	gemm(m, n, k int, a []float32, rsa, csa int, b []float32, rsb int, c []float32, rsc int)

	// forward activates the gates g, (rows,4h) in the order input, forget, output, new, in place, and makes
	// c = f cPrev + i n, tc = tanh c and out = o tc, each (rows,h).
	forward(rows, h int, g, cPrev, c, tc, out []float32)

	// backward turns the activated gates g into the gradients of what they were made from, given those of out (dh) and of c
	// (dc), and makes dc the gradient of cPrev.
	backward(rows, h int, g, cPrev, tc, dh, dc []float32)
}

// bestKernel is the one in use: the processor's, or with HOMEOSTAT_KERNEL=go the one in Go, which gives the same bytes on every
// processor.
var bestKernel = sync.OnceValue(func() kernel {
	if os.Getenv("HOMEOSTAT_KERNEL") == "go" {
		return goKernel{}
	}
	return fastKernel()
})

// checkCell panics where a slice is too short for the assembly, which doesn't look.
func checkCell(rows, h int, g []float32, others ...[]float32) {
	_ = g[:rows*4*h]
	for _, o := range others {
		_ = o[:rows*h]
	}
}

// goKernel is the kernel in plain Go. Products are rounded by a conversion before they are added: without it some processors'
// compilers fuse the two.
type goKernel struct{}

func (goKernel) gemm(m, n, k int, a []float32, rsa, csa int, b []float32, rsb int, c []float32, rsc int) {
	for i := range m {
		ci := c[i*rsc : i*rsc+n]
		for p := range k {
			v := a[i*rsa+p*csa]
			bp := b[p*rsb : p*rsb+n]
			for j, w := range bp {
				ci[j] += float32(v * w)
			}
		}
	}
}

func (goKernel) forward(rows, h int, g, cPrev, c, tc, out []float32) {
	for r := range rows {
		gi, gf := g[r*4*h:][:h], g[r*4*h+h:][:h]
		go_, gn := g[r*4*h+2*h:][:h], g[r*4*h+3*h:][:h]
		for j := range h {
			gi[j], gf[j], go_[j], gn[j] = sigmoid(gi[j]), sigmoid(gf[j]), sigmoid(go_[j]), tanh(gn[j])
			v := float32(gf[j]*cPrev[r*h+j]) + float32(gi[j]*gn[j])
			c[r*h+j] = v
			v = tanh(v)
			tc[r*h+j] = v
			out[r*h+j] = go_[j] * v
		}
	}
}

func (goKernel) backward(rows, h int, g, cPrev, tc, dh, dc []float32) {
	for r := range rows {
		gi, gf := g[r*4*h:][:h], g[r*4*h+h:][:h]
		go_, gn := g[r*4*h+2*h:][:h], g[r*4*h+3*h:][:h]
		for j := range h {
			i, f, o, n, t := gi[j], gf[j], go_[j], gn[j], tc[r*h+j]
			d := dh[r*h+j]
			dcell := dc[r*h+j] + float32(float32(d*o)*(1-float32(t*t)))
			go_[j] = float32(d*t) * float32(o*(1-o))
			gi[j] = float32(dcell*n) * float32(i*(1-i))
			gf[j] = float32(dcell*cPrev[r*h+j]) * float32(f*(1-f))
			gn[j] = float32(dcell*i) * (1 - float32(n*n))
			dc[r*h+j] = dcell * f
		}
	}
}

// sigmoid is 1/(1+exp(-x)), wrong by at most 2e-7: the exponential is 2^k times a polynomial of degree 6.
func sigmoid(x float32) float32 {
	x = min(max(x, -80), 80)
	x = float32(x * -1.4426950408889634)
	k := float32(math.RoundToEven(float64(x)))
	f := x - k
	p := float32(1.5403530393381606e-4)
	for _, c := range [...]float32{1.3333558146428443e-3, 9.618129107628477e-3, 5.550410866482158e-2, 0.2402265069591007, 0.6931471805599453, 1} {
		p = float32(p*f) + c
	}
	e := math.Float32frombits(math.Float32bits(p) + uint32(int32(k))<<23)
	return 1 / (1 + e)
}

// tanh is wrong by at most 4e-7.
func tanh(x float32) float32 { return 2*sigmoid(2*x) - 1 }
