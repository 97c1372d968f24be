//go:build !amd64

package ipinsights

func axpy(y, x []float32, a float32) { axpyGo(y, x, a) }

func dot(x, y []float32) float32 { return dotGo(x, y) }

func axpy4(y []float32, x *[4][]float32, a *[4]float32) { axpy4Go(y, x, a) }
