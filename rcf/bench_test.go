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
				scoreUpdate(b, dims, Config{NumTrees: trees, NumSamplesPerTree: 256, Seed: 1})
			})
		}
	}
	for _, shingle := range []int{1, 8} { // as thousands of series would have it
		for _, compact := range []bool{false, true} {
			b.Run(fmt.Sprintf("dims=1/shingle=%d/trees=10/samples=128/compact=%v", shingle, compact), func(b *testing.B) {
				scoreUpdate(b, 1, Config{NumTrees: 10, NumSamplesPerTree: 128, ShingleSize: shingle, Compact: compact, Seed: 1})
			})
		}
	}
}

// scoreUpdate times a forest in its steady state: every tree full, the store at its size.
func scoreUpdate(b *testing.B, dims int, c Config) {
	f := newForest(b, dims, c)
	points := series(1, 1<<14, dims)
	feed(b, f, points)
	feed(b, f, points)
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
}

func BenchmarkTrain(b *testing.B) {
	for _, dims := range []int{4, 1000} {
		b.Run(fmt.Sprintf("dims=%d/trees=100/samples=256/rows=5000", dims), func(b *testing.B) {
			points := series(1, 5000, dims)
			for b.Loop() {
				if _, err := Train(dims, Config{}, rowsOf(points)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(points)*b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
