package deepar

import (
	"testing"
)

// BenchmarkSample is one series, 100 paths of 48 steps, a model of the default size.
func BenchmarkSample(b *testing.B) {
	series := waves(8, 700)
	m, err := Train(b.Context(), series, Config{Freq: Freq{1, "H"}, PredictionLength: 48, ContextLength: 72, Epochs: 1, BatchesPerEpoch: 2, MiniBatchSize: 32, Workers: 1}, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Sample(b.Context(), &series[0], 100, 1); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTrain is an epoch of 50 batches of 32 windows of 120 steps.
func BenchmarkTrain(b *testing.B) {
	series := waves(40, 700)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Train(b.Context(), series, Config{Freq: Freq{1, "H"}, PredictionLength: 48, ContextLength: 72, Epochs: 1, MiniBatchSize: 32, Workers: 1}, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(50*32*120*float64(b.N)/b.Elapsed().Seconds(), "steps/s")
}
