package ipinsights

// The inner loops. They are written so that the processor's vectors and plain Go give the same bits: products are rounded
// before they are added (no fused operation), and a dot product is summed in 32 lanes, then in a fixed order.

// stride returns the length that a vector of n numbers takes: whole lanes of eight.
func stride(n int) int { return (n + 7) &^ 7 }

// axpyGo adds a times x to y. Their length is a multiple of eight.
func axpyGo(y, x []float32, a float32) {
	x = x[:len(y)]
	for i := range y {
		y[i] += float32(a * x[i])
	}
}

// axpy4Go does what four axpys do one after the other.
func axpy4Go(y []float32, x *[4][]float32, a *[4]float32) {
	for i := range x {
		axpyGo(y, x[i], a[i])
	}
}

// dotGo returns the dot product of x and y, whose length is a multiple of eight.
func dotGo(x, y []float32) float32 {
	var lanes [32]float32
	y = y[:len(x)]
	i := 0
	for ; i+32 <= len(x); i += 32 {
		for l := range 32 {
			lanes[l] += float32(x[i+l] * y[i+l])
		}
	}
	for ; i < len(x); i += 8 {
		for l := range 8 {
			lanes[l] += float32(x[i+l] * y[i+l])
		}
	}
	var eight [8]float32
	for l := range 8 {
		eight[l] = (lanes[l] + lanes[8+l]) + (lanes[16+l] + lanes[24+l])
	}
	return sum8(&eight)
}

func sum8(l *[8]float32) float32 {
	return ((l[0] + l[4]) + (l[1] + l[5])) + ((l[2] + l[6]) + (l[3] + l[7]))
}
