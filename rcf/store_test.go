package rcf

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestPointsAreKept: whatever comes and goes, a point that is held has the coordinates that it came with.
func TestPointsAreKept(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dim := rapid.IntRange(1, 3).Draw(rt, "dim")
		shingle := rapid.IntRange(1, 5).Draw(rt, "shingle")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		s := points{dim: dim, width: dim * shingle}
		held := map[int][]float32{}
		p := make([]float32, s.width)
		for range 300 {
			for d := range p { // a shingle goes on, or the series breaks off
				if d >= s.width-dim || r.IntN(20) == 0 {
					p[d] = float32(r.IntN(9))
				} else {
					p[d] = p[d+dim]
				}
			}
			if s.full() {
				number := s.squeeze()
				moved := map[int][]float32{}
				for id, q := range held {
					moved[int(number[id])] = q
				}
				held = moved
			}
			id := s.add(p)
			if held[id] != nil {
				rt.Fatalf("point %d is taken", id)
			}
			s.refs.set(id, 1)
			held[id] = slices.Clone(p)
			for len(held) > 20 {
				ids := make([]int, 0, len(held))
				for id := range held {
					ids = append(ids, id)
				}
				slices.Sort(ids)
				gone := ids[r.IntN(len(ids))]
				s.drop(gone)
				delete(held, gone)
			}
			if s.used != len(held) {
				rt.Fatalf("%d points, want %d", s.used, len(held))
			}
			for id, q := range held {
				if !slices.Equal(s.at(id), q) {
					rt.Fatalf("point %d is %v, was %v", id, s.at(id), q)
				}
			}
		}
		if limit := 2 * (20*shingle + 8 + shingle); s.refs.cap() > limit {
			rt.Fatalf("room for %d rows, held at most %d", s.refs.cap(), 20*shingle)
		}
	})
}

// TestShinglesShareTheirRows: eight times the shingle takes far from eight times the memory for points.
func TestShinglesShareTheirRows(t *testing.T) {
	size := func(shingle int) int {
		f := newForest(t, 1, Config{NumTrees: 25, ShingleSize: shingle})
		feed(t, f, series(1, 6000, 1))
		return f.points.bytes()
	}
	if one, eight := size(1), size(8); eight > 3*one {
		t.Errorf("points take %d bytes in shingles of 1, %d in shingles of 8", one, eight)
	}
}
