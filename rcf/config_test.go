package rcf

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
)

func TestBytesAreQuotedBeforehand(t *testing.T) {
	for _, tt := range []struct {
		dim int
		c   Config
	}{
		{4, Config{NumTrees: 50}},
		{8, Config{NumTrees: 50}},
		{1, Config{NumTrees: 10, NumSamplesPerTree: 128}},
		{1, Config{NumTrees: 10, NumSamplesPerTree: 128, ShingleSize: 8, Compact: true}},
		{1, Config{NumTrees: 25, NumSamplesPerTree: 256, ShingleSize: 8}},
		{1, Config{NumTrees: 30, NumSamplesPerTree: 128, TimeDecay: 0.01}},
		{3, Config{NumTrees: 20, NumSamplesPerTree: 64, ShingleSize: 4}},
		{100, Config{NumTrees: 10, NumSamplesPerTree: 64}},
	} {
		t.Run(fmt.Sprintf("%d/%+v", tt.dim, tt.c), func(t *testing.T) {
			f := newForest(t, tt.dim, tt.c)
			feed(t, f, series(1, 40*f.samples, tt.dim))
			quoted, err := tt.c.Bytes(tt.dim)
			if err != nil {
				t.Fatal(err)
			}
			if got := f.Bytes(); math.Abs(float64(quoted-got)) > 0.05*float64(got) {
				t.Errorf("quoted %d bytes, holds %d", quoted, got)
			}
		})
	}
	if _, err := (Config{NumTrees: -1}).Bytes(1); !errors.Is(err, ErrRange) {
		t.Errorf("error %v", err)
	}
}

func TestCompactForestGivesTheSameScores(t *testing.T) {
	points := series(1, 3000, 1)
	c := Config{NumTrees: 10, NumSamplesPerTree: 128, ShingleSize: 8}
	large := newForest(t, 1, c)
	c.Compact = true
	small := newForest(t, 1, c)
	if !slices.Equal(feed(t, small, points), feed(t, large, points)) {
		t.Error("scores differ")
	}
	if small.Bytes()*10 > large.Bytes()*8 {
		t.Errorf("%d bytes, in place of %d", small.Bytes(), large.Bytes())
	}
}

func TestMemoryGrowsWithWhatIsInTheTrees(t *testing.T) {
	f := newForest(t, 1, Config{NumTrees: 50, NumSamplesPerTree: 1024})
	feed(t, f, series(1, 60, 1))
	quoted, _ := Config{NumTrees: 50, NumSamplesPerTree: 1024}.Bytes(1)
	if got := f.Bytes(); got > quoted/10 {
		t.Errorf("%d bytes for 60 points, %d in the end", got, quoted)
	}
}
