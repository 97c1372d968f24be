package deepar

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func randoms(rng *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	return v
}

func TestKernelsAgree(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, s := range []struct{ m, n, k int }{{4, 8, 1}, {8, 16, 3}, {32, 160, 100}, {100, 40, 160}, {40, 24, 700}} {
		for _, transposed := range []bool{false, true} {
			a, b := randoms(rng, s.m*s.k), randoms(rng, s.k*s.n)
			want := randoms(rng, s.m*s.n)
			got := append([]float32(nil), want...)
			rsa, csa := s.k, 1
			if transposed {
				rsa, csa = 1, s.m
			}
			goKernel{}.gemm(s.m, s.n, s.k, a, rsa, csa, b, s.n, want, s.n)
			fastKernel().gemm(s.m, s.n, s.k, a, rsa, csa, b, s.n, got, s.n)
			near(t, fmt.Sprintf("gemm %v", s), got, want, 1e-4)
		}
	}
	const rows, h = 3, 24
	g, c := randoms(rng, rows*4*h), randoms(rng, rows*h)
	g2 := append([]float32(nil), g...)
	out := make([][]float32, 6)
	for i := range out {
		out[i] = make([]float32, rows*h)
	}
	goKernel{}.forward(rows, h, g, c, out[0], out[1], out[2])
	fastKernel().forward(rows, h, g2, c, out[3], out[4], out[5])
	near(t, "gates", g2, g, 1e-6)
	for i := range 3 {
		near(t, "cell", out[3+i], out[i], 1e-6)
	}
	dh, dc := randoms(rng, rows*h), randoms(rng, rows*h)
	dc2 := append([]float32(nil), dc...)
	goKernel{}.backward(rows, h, g, c, out[1], dh, dc)
	fastKernel().backward(rows, h, g2, c, out[4], dh, dc2)
	near(t, "gates' gradient", g2, g, 1e-5)
	near(t, "cell's gradient", dc2, dc, 1e-5)
}

func near(t *testing.T, what string, got, want []float32, tolerance float64) {
	t.Helper()
	for i := range want {
		if d := math.Abs(float64(got[i] - want[i])); !(d <= tolerance*(1+math.Abs(float64(want[i])))) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

func TestSigmoidAndTanhKeepTheirBound(t *testing.T) {
	worstS, worstT := 0.0, 0.0
	for x := float32(-100); x < 100; x += 1.0 / 512 {
		worstS = max(worstS, math.Abs(float64(sigmoid(x))-1/(1+math.Exp(-float64(x)))))
		worstT = max(worstT, math.Abs(float64(tanh(x))-math.Tanh(float64(x))))
	}
	if worstS > 2e-7 || worstT > 4e-7 {
		t.Errorf("sigmoid is wrong by %.2g, tanh by %.2g", worstS, worstT)
	}
}

// BenchmarkGEMM has the shapes of training: all steps of a shard times a layer's weights, a step's recurrence, and the gradient of
// the weights.
func BenchmarkGEMM(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, s := range []struct {
		name    string
		m, n, k int
	}{{"inputs", 768, 160, 64}, {"step", 32, 160, 40}, {"m64", 64, 160, 80}, {"weights", 64, 160, 768}} {
		for name, k := range map[string]kernel{"fast": fastKernel(), "go": goKernel{}} {
			b.Run(s.name+"/"+name, func(b *testing.B) {
				x, w, c := randoms(rng, s.m*s.k), randoms(rng, s.k*s.n), make([]float32, s.m*s.n)
				for b.Loop() {
					k.gemm(s.m, s.n, s.k, x, s.k, 1, w, s.n, c, s.n)
				}
				b.ReportMetric(2*float64(s.m*s.n*s.k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
