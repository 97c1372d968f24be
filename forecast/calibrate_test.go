package forecast

import (
	"math"
	"testing"
)

func TestWeightedQuantile(t *testing.T) {
	sorted := []float64{1, 2, 4, 8}
	for _, p := range []float64{0.05, 0.125, 0.3, 0.5, 0.8, 0.99} {
		alike := []weighted{{8, 3}, {1, 3}, {4, 3}, {2, 3}}
		if got, want := weightedQuantile(alike, p), quantile(sorted, p); math.Abs(got-want) > 1e-12 {
			t.Errorf("of values that count alike at %v: %v, want %v", p, got, want)
		}
	}
	if got := weightedQuantile([]weighted{{9, 0.01}, {1, 5}}, 0.5); math.Abs(got-1) > 0.1 {
		t.Errorf("what hardly counts moves it to %v", got)
	}
}
