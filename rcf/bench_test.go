package rcf

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// series returns n points of dim values: daily waves with noise.
func series(seed uint64, n, dim int) [][]float64 {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([][]float64, n)
	for i := range out {
		out[i] = make([]float64, dim)
		for d := range out[i] {
			out[i][d] = math.Sin(2*math.Pi*float64(i)/288+float64(d)) + 0.1*r.NormFloat64()
		}
	}
	return out
}

func BenchmarkScoreUpdate(b *testing.B) {
	for _, dims := range []int{4, 8} {
		for _, trees := range []int{50, 100} {
			b.Run(fmt.Sprintf("dims=%d/trees=%d/samples=256", dims, trees), func(b *testing.B) {
				f, err := New(dims, Config{NumTrees: trees, NumSamplesPerTree: 256, Seed: 1})
				if err != nil {
					b.Fatal(err)
				}
				points := series(1, 1<<14, dims)
				for range 2 { // steady state: every tree full, the store at its size
					for _, p := range points {
						if _, err := f.ScoreAndUpdate(p); err != nil {
							b.Fatal(err)
						}
					}
				}
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					if _, err := f.ScoreAndUpdate(points[i&(len(points)-1)]); err != nil {
						b.Fatal(err)
					}
					i++
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "points/s")
				b.ReportMetric(float64(f.Bytes()), "model-bytes")
			})
		}
	}
}
