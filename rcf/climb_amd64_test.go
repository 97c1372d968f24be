package rcf

import (
	"slices"
	"testing"
)

func TestScoresAreTheSameWithoutAVX2(t *testing.T) {
	if !haveAVX2 {
		t.Skip("this processor has no AVX2")
	}
	defer func() { haveAVX2 = true }()
	for _, width := range []int{1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 31, 56, 57, 62, 63, 64, 65, 257} {
		points := series(uint64(width), 400, width)
		c := Config{NumTrees: 5, NumSamplesPerTree: 64, Seed: 9}
		haveAVX2 = true
		want := feed(t, newForest(t, width, c), points)
		haveAVX2 = false
		got := feed(t, newForest(t, width, c), points)
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%d dimensions: from point %d on: %v, with AVX2 %v", width, i, got[i], want[i])
				break
			}
		}
		if slices.Max(want) == 0 {
			t.Errorf("%d dimensions: no scores", width)
		}
	}
}
