package ipinsights

import "golang.org/x/sys/cpu"

//go:noescape
func axpyAVX(y, x *float32, n int, a float32)

//go:noescape
func dotAVX(lanes *[8]float32, x, y *float32, n int)

//go:noescape
func axpy4AVX(y *float32, x *[4]*float32, a *[4]float32, n int)

func axpy(y, x []float32, a float32) {
	if !cpu.X86.HasAVX2 {
		axpyGo(y, x, a)
		return
	}
	if len(y) > 0 {
		_ = x[len(y)-1]
		axpyAVX(&y[0], &x[0], len(y), a)
	}
}

func dot(x, y []float32) float32 {
	if !cpu.X86.HasAVX2 || len(x) == 0 {
		return dotGo(x, y)
	}
	_ = y[len(x)-1]
	var lanes [8]float32
	dotAVX(&lanes, &x[0], &y[0], len(x))
	return sum8(&lanes)
}

func axpy4(y []float32, x *[4][]float32, a *[4]float32) {
	if !cpu.X86.HasAVX2 || len(y) == 0 {
		axpy4Go(y, x, a)
		return
	}
	last := len(y) - 1
	_, _, _, _ = x[0][last], x[1][last], x[2][last], x[3][last]
	axpy4AVX(&y[0], &[4]*float32{&x[0][0], &x[1][0], &x[2][0], &x[3][0]}, a, len(y))
}
