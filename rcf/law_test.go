package rcf

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// These tests hold the forest to the published law, worked out exactly for small sets: a robust random cut tree of a set cuts
// its bounding box in a dimension chosen in proportion to extent, at a place chosen evenly, and both sides likewise.

// cuts calls see with the probability of each way in which the first cut can split the points.
func cuts(points [][]float64, see func(chance float64, left, right [][]float64)) {
	total := 0.0
	for d := range points[0] {
		lo, hi := math.Inf(1), math.Inf(-1)
		for _, p := range points {
			lo, hi = min(lo, p[d]), max(hi, p[d])
		}
		total += hi - lo
	}
	for d := range points[0] {
		sorted := slices.Clone(points)
		slices.SortFunc(sorted, func(a, b []float64) int { return int(math.Copysign(1, a[d]-b[d])) })
		for i := 1; i < len(sorted); i++ {
			if gap := sorted[i][d] - sorted[i-1][d]; gap > 0 {
				see(gap/total, slices.Clone(sorted[:i]), slices.Clone(sorted[i:]))
			}
		}
	}
}

// shapes returns the probability of each tree of the points, as nested pairs of points in a fixed order.
func shapes(points [][]float64) map[string]float64 {
	if len(points) == 1 {
		return map[string]float64{fmt.Sprint(points[0]): 1}
	}
	out := map[string]float64{}
	cuts(points, func(chance float64, left, right [][]float64) {
		for l, pl := range shapes(left) {
			for r, pr := range shapes(right) {
				out[pair(l, r)] += chance * pl * pr
			}
		}
	})
	return out
}

func pair(a, b string) string {
	if a > b {
		a, b = b, a
	}
	return "(" + a + " " + b + ")"
}

// shape returns the shape of tree t.
func (f *Forest) shape(t int) string {
	base := t * f.stride
	var walk func(c ref) string
	walk = func(c ref) string {
		if c.leaf() {
			p := make([]float64, f.width)
			for d, v := range f.points.at(f.ids.at(base + c.id())) {
				p[d] = float64(v)
			}
			return fmt.Sprint(p)
		}
		n := f.nodes[base+c.id()]
		return pair(walk(n.left()), walk(n.right()))
	}
	return walk(ref(f.trees[t].root))
}

// agree fails the test unless counts come from the law: chi square, at about one false alarm in 10,000.
func agree(t *testing.T, counts map[string]int, law map[string]float64) {
	t.Helper()
	n := 0
	for k, c := range counts {
		if law[k] == 0 {
			t.Fatalf("%s can't be, but was %d times", k, c)
		}
		n += c
	}
	chi, degrees, rest, restCount := 0.0, -1.0, 0.0, 0.0
	for k, p := range law {
		if p*float64(n) < 10 { // too rare to be compared alone
			rest += p
			restCount += float64(counts[k])
			continue
		}
		diff := float64(counts[k]) - p*float64(n)
		chi += diff * diff / (p * float64(n))
		degrees++
	}
	if want := rest * float64(n); want > 5 {
		chi += (restCount - want) * (restCount - want) / want
		degrees++
	}
	if limit := degrees + 3.7*math.Sqrt(2*degrees) + 9; chi > limit {
		t.Errorf("chi square %.1f with %v degrees of freedom", chi, degrees)
	}
}

var fewPoints = map[string][][]float64{
	"line":  {{0}, {1}, {3}, {7}, {7.5}},
	"plane": {{0, 0}, {1, 4}, {3, 1}, {2, 2}},
	"space": {{0, 1, 0}, {5, 1, 2}, {5, 1, 3}, {1, 1, 8}}, // a dimension that never changes, one where two are equal
}

func TestTreesFollowTheLaw(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for name, points := range fewPoints {
		law := shapes(points)
		dim := len(points[0])
		random := func() []float64 {
			x := make([]float64, dim)
			for d := range x {
				x[d] = r.Float64()*20 - 6
			}
			return x
		}
		const forests, trees = 10, 1000
		c := Config{NumTrees: trees, NumSamplesPerTree: 20}
		t.Run(name+"/grown", func(t *testing.T) {
			counts := map[string]int{}
			for c.Seed = range uint64(forests) {
				f := newForest(t, dim, c)
				feed(t, f, points)
				for tr := range f.trees {
					counts[f.shape(tr)]++
				}
			}
			agree(t, counts, law)
		})
		t.Run(name+"/of what is left", func(t *testing.T) {
			counts := map[string]int{}
			for c.Seed = range uint64(forests) {
				f := newForest(t, dim, c)
				for _, p := range points { // others come in between, and go
					feed(t, f, [][]float64{random(), p, random()})
				}
				for tr := range f.trees {
					for _, i := range r.Perm(len(points)) {
						f.remove(new(scratch), tr, 3*i)
						f.remove(new(scratch), tr, 3*i+2)
					}
					counts[f.shape(tr)]++
				}
			}
			agree(t, counts, law)
		})
		t.Run(name+"/trained", func(t *testing.T) {
			counts := map[string]int{}
			for c.Seed = range uint64(forests) {
				f, err := Train(dim, c, rowsOf(points))
				if err != nil {
					t.Fatal(err)
				}
				for tr := range f.trees {
					counts[f.shape(tr)]++
				}
			}
			agree(t, counts, law)
		})
	}
}

// parted adds up, over where the cuts would part x from all others, the chance times what see says of a place: how many cuts
// came before, and how many points are on the other side.
func parted(points [][]float64, x []float64, depth int, see func(depth, others int) float64) float64 {
	sum := 0.0
	cuts(append(slices.Clone(points), x), func(chance float64, left, right [][]float64) {
		with, without := left, right
		is := func(p []float64) bool { return slices.Equal(p, x) }
		if !slices.ContainsFunc(left, is) {
			with, without = right, left
		}
		if len(with) == 1 {
			sum += chance * see(depth, len(without))
			return
		}
		sum += chance * parted(slices.DeleteFunc(with, is), x, depth+1, see)
	})
	return sum
}

// TestScoresFollowTheLaw: the mean over many trees is the expectation of the definition, and the depths at which points are
// put in are spread as it says.
func TestScoresFollowTheLaw(t *testing.T) {
	others := map[string][][]float64{
		"line":  {{0.5}, {2}, {9}, {-30}},
		"plane": {{1, 1}, {4, 4}, {-2, 8}, {100, 2}},
		"space": {{2, 1, 4}, {5, 2, 3}, {5, 1, 2.5}},
	}
	for name, points := range fewPoints {
		norm := math.Log2(float64(len(points)) + 1)
		for _, x := range others[name] {
			const forests, trees = 10, 1000
			score, plain := 0.0, 0.0
			counts := map[string]int{}
			for seed := range uint64(forests) {
				f := newForest(t, len(x), Config{NumTrees: trees, NumSamplesPerTree: 20, Seed: seed})
				feed(t, f, points)
				s, err1 := f.Score(x)
				d, _, err2 := f.Displacement(x)
				if err1 != nil || err2 != nil {
					t.Fatal(err1, err2)
				}
				score += s / forests
				plain += d / forests
				feed(t, f, [][]float64{x})
				for tr := range f.trees {
					var way scratch
					f.descendOne(&way, f.points.at(len(points)), tr, 0)
					counts[fmt.Sprint(way.depth[0]-1)]++
				}
			}
			law := map[string]float64{}
			for depth := range len(points) {
				law[fmt.Sprint(depth)] = parted(points, x, 0, func(d, _ int) float64 {
					if d == depth {
						return 1
					}
					return 0
				})
			}
			agree(t, counts, law)
			if want := norm * parted(points, x, 0, func(d, _ int) float64 { return 1 / float64(d+1) }); math.Abs(score-want) > 0.01*want {
				t.Errorf("%s: score of %v is %v, by the law %v", name, x, score, want)
			}
			if want := parted(points, x, 0, func(_, others int) float64 { return float64(others) }); math.Abs(plain-want) > 0.02*want {
				t.Errorf("%s: displacement of %v is %v, by the law %v", name, x, plain, want)
			}
		}
	}
}

func TestDeletingEverythingGivesTheEmptyTree(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		f := newForest(t, 2, Config{NumTrees: 1, NumSamplesPerTree: 64, Seed: r.Uint64()})
		n := 1 + r.IntN(64)
		for range n {
			feed(t, f, [][]float64{{float64(r.IntN(5)), float64(r.IntN(5))}}) // with copies
		}
		slots := make([]int, n)
		for i := range slots {
			slots[i] = i
		}
		tr := &f.trees[0]
		for ; n > 0; n-- {
			i := r.IntN(n)
			slot := slots[i]
			tr.spare = uint16(slot)
			f.remove(new(scratch), 0, slot)
			tr.size--
			slots = slices.DeleteFunc(slots, func(s int) bool { return s == int(tr.spare) }) // a copy may have gone in its place
			if tr.size == 0 {
				break
			}
			leaves, _, err := f.checkTree(0)
			if err != nil {
				t.Fatal(err)
			}
			if slices.Sort(leaves); !slices.Equal(leaves, slots) {
				t.Fatalf("leaves %v, left are %v", leaves, slots)
			}
		}
		free := 0
		for k := tr.free; k != noNode; k = uint16(f.nodes[k].link) {
			free++
		}
		if free != f.stride {
			t.Errorf("%d of %d nodes are free", free, f.stride)
		}
		if s, err := f.Score([]float64{1, 1}); s != 0 || err != nil {
			t.Errorf("score %v, %v", s, err)
		}
	}
}
