package rcf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func newForest(t testing.TB, dim int, c Config) *Forest {
	t.Helper()
	f, err := New(dim, c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func feed(t testing.TB, f *Forest, points [][]float64) []float64 {
	t.Helper()
	scores := make([]float64, len(points))
	for i, p := range points {
		s, err := f.ScoreAndUpdate(p)
		if err != nil {
			t.Fatal(err)
		}
		if !(s >= 0) || math.IsInf(s, 0) {
			t.Fatalf("point %d: score %v", i, s)
		}
		scores[i] = s
	}
	return scores
}

// checkTrees holds what must be true of every tree after any sequence of inserts and deletes.
func (f *Forest) checkTrees() error {
	refs := make([]int, f.points.refs.len())
	boxes := 0
	for t := range f.trees {
		tr := &f.trees[t]
		if tr.size == 0 {
			continue
		}
		var slots []int
		base := t * f.stride
		for i := range int(tr.size) + 1 {
			if i != int(tr.spare) {
				slots = append(slots, i)
				refs[f.ids.at(base+i)]++
			}
		}
		leaves, n, err := f.checkTree(t)
		if err != nil {
			return fmt.Errorf("tree %d: %w", t, err)
		}
		boxes += n
		if slices.Sort(leaves); !slices.Equal(leaves, slots) {
			return fmt.Errorf("tree %d: leaves %v, sample %v", t, leaves, slots)
		}
		if int(tr.size) == f.samples && f.keys[base+int(tr.top)] != slices.Max(f.keys[base:base+f.samples+1]) {
			return fmt.Errorf("tree %d: slot %d doesn't have the largest key", t, tr.top)
		}
		if err := f.checkPlaces(t); err != nil {
			return fmt.Errorf("tree %d: %w", t, err)
		}
	}
	for id := f.boxes.free; id > 0; id = int(math.Float32bits(f.boxes.coords[(id-1)*2*f.width])) {
		boxes++
	}
	if boxes != len(f.boxes.mass) {
		return fmt.Errorf("%d boxes of %d are lost", len(f.boxes.mass)-boxes, len(f.boxes.mass))
	}
	for id, n := range refs {
		if f.points.refs.at(id) != n {
			return fmt.Errorf("point %d has %d references, counted %d", id, f.points.refs.at(id), n)
		}
	}
	return nil
}

// checkTree returns the slots that the leaves of a tree refer to, and how many boxes it has.
func (f *Forest) checkTree(t int) (leaves []int, boxes int, err error) {
	tr := &f.trees[t]
	base := t * f.stride
	used := 0
	var walk func(c ref) (mass int, lo, hi []float32, boxed bool, err error)
	walk = func(c ref) (int, []float32, []float32, bool, error) {
		if c.leaf() {
			leaves = append(leaves, c.id())
			p := f.points.at(f.ids.at(base + c.id()))
			return 1, slices.Clone(p), slices.Clone(p), false, nil
		}
		used++
		n := f.nodes[base+c.id()]
		m1, lo, hi, b1, err1 := walk(n.left())
		m2, lo2, hi2, b2, err2 := walk(n.right())
		if err := errors.Join(err1, err2); err != nil {
			return 0, nil, nil, false, err
		}
		mass := f.massOf(base, c)
		if mass != m1+m2 {
			return 0, nil, nil, false, fmt.Errorf("mass %d over %d and %d", mass, m1, m2)
		}
		if d := f.dimOf(base, c.id()); !n.equal() && !(hi[d] <= n.cut && n.cut < lo2[d]) {
			return 0, nil, nil, false, fmt.Errorf("cut %v does not part %v from %v", n.cut, hi[d], lo2[d])
		}
		extend(lo, hi, lo2)
		extend(lo, hi, hi2)
		if n.equal() && !slices.Equal(lo, hi) {
			return 0, nil, nil, false, errors.New("an equal node over points that differ")
		}
		b := f.boxOf(base, c)
		if b >= 0 {
			boxes++
			if l, h := f.boxes.at(b); !slices.Equal(l, lo) || !slices.Equal(h, hi) {
				return 0, nil, nil, false, fmt.Errorf("box %v %v, points span %v %v", l, h, lo, hi)
			}
		} else if b1 || b2 || mass >= f.boxMass && !n.equal() {
			return 0, nil, nil, false, fmt.Errorf("no box at mass %d", mass)
		}
		return mass, lo, hi, b >= 0, nil
	}
	mass, _, _, _, err := walk(ref(tr.root))
	if err != nil {
		return nil, 0, err
	}
	if mass != int(tr.size) {
		return nil, 0, fmt.Errorf("mass %d of a sample of %d", mass, tr.size)
	}
	free := 0
	for k := tr.free; k != noNode; k = uint16(f.nodes[base+int(k)].link) {
		free++
	}
	if free+used != f.stride {
		return nil, 0, fmt.Errorf("%d nodes used, %d free", used, free)
	}
	return leaves, boxes, nil
}

// value draws coordinates of all sizes, few enough apart that duplicates are common.
func value() *rapid.Generator[float64] {
	return rapid.OneOf(
		rapid.Map(rapid.IntRange(-3, 3), func(i int) float64 { return float64(i) }),
		rapid.Float64Range(-1e3, 1e3),
		rapid.SampledFrom([]float64{0, 1e308, -1e308, 1e-308, 1e-45, 1e-30, 1.0000001e-30, 1e30, math.MaxFloat64}),
	)
}

func drawPoints(t *rapid.T, dim int) [][]float64 {
	return rapid.SliceOfN(rapid.SliceOfN(value(), dim, dim), 1, 150).Draw(t, "points")
}

func TestTreesStayConsistent(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dim := rapid.IntRange(1, 3).Draw(rt, "dim")
		f := newForest(t, dim, Config{
			NumTrees:          3,
			NumSamplesPerTree: rapid.IntRange(2, 40).Draw(rt, "samples"),
			ShingleSize:       rapid.IntRange(1, 3).Draw(rt, "shingle"),
			TimeDecay:         rapid.SampledFrom([]float64{-1, 0.01, 1}).Draw(rt, "decay"),
			Seed:              rapid.Uint64().Draw(rt, "seed"),
		})
		for i, p := range drawPoints(rt, dim) {
			s, err := f.ScoreAndUpdate(p)
			if err != nil {
				rt.Fatal(err)
			}
			if !(s >= 0) || math.IsInf(s, 0) {
				rt.Fatalf("score %v", s)
			}
			if err := f.checkTrees(); err != nil {
				rt.Fatalf("after %d points: %v", i+1, err)
			}
		}
	})
}

func TestAttributionAddsUpToScore(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dim := rapid.IntRange(1, 4).Draw(rt, "dim")
		f := newForest(t, dim, Config{NumTrees: 5, NumSamplesPerTree: 32, ShingleSize: rapid.IntRange(1, 3).Draw(rt, "shingle")})
		high, low := make([]float64, dim), make([]float64, dim)
		for _, p := range drawPoints(rt, dim) {
			if err := f.Attribute(high, low, p); err != nil {
				rt.Fatal(err)
			}
			sum := 0.0
			for d := range high {
				if high[d] < 0 || low[d] < 0 {
					rt.Fatalf("shares %v %v", high, low)
				}
				sum += high[d] + low[d]
			}
			score, err := f.ScoreAndUpdate(p)
			if err != nil {
				rt.Fatal(err)
			}
			if math.Abs(sum-score) > 1e-5*(1+score) {
				rt.Fatalf("shares add up to %v, score %v", sum, score)
			}
		}
	})
}

func TestRestoredModelChangesNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dim := rapid.IntRange(1, 3).Draw(rt, "dim")
		f := newForest(t, dim, Config{NumTrees: 4, NumSamplesPerTree: 24, ShingleSize: rapid.IntRange(1, 3).Draw(rt, "shingle")})
		if err := f.SetWeights([]float64{3, 1, 0.5}[:dim]); err != nil {
			rt.Fatal(err)
		}
		for _, p := range drawPoints(rt, dim) {
			if _, err := f.ScoreAndUpdate(p); err != nil {
				rt.Fatal(err)
			}
		}
		b, err := f.MarshalBinary()
		if err != nil {
			rt.Fatal(err)
		}
		var g Forest
		if err := g.UnmarshalBinary(b); err != nil {
			rt.Fatal(err)
		}
		if err := g.checkTrees(); err != nil {
			rt.Fatal(err)
		}
		for i, p := range drawPoints(rt, dim) {
			want, err1 := f.ScoreAndUpdate(p)
			got, err2 := g.ScoreAndUpdate(p)
			if err1 != nil || err2 != nil || got != want {
				rt.Fatalf("point %d: %v %v, want %v %v", i, got, err2, want, err1)
			}
		}
		if err := sameTrees(f, &g); err != nil {
			rt.Fatal(err)
		}
		again, _ := f.MarshalBinary()
		other, _ := g.MarshalBinary()
		if f.shingle == 1 && len(again) != len(other) { // of longer ones, points may share other rows
			rt.Fatalf("models of %d and %d bytes", len(again), len(other))
		}
		if err := g.UnmarshalBinary(other); err != nil { // holds no row that no tree has
			rt.Fatal(err)
		}
	})
}

// sameTrees reports the first difference between the trees of two forests. Which rows points share is none: a restored forest
// has forgotten what it would have shared with the last point that no tree took.
func sameTrees(f, g *Forest) error {
	for t := range f.trees {
		a, b, at, to := f.trees[t], g.trees[t], t*f.stride, t*g.stride
		if a.rng != b.rng || a.size != b.size || a.spare != b.spare || a.top != b.top {
			return fmt.Errorf("tree %d: %+v and %+v", t, a, b)
		}
		if a.size == 0 {
			continue
		}
		for i := range int(a.size) + 1 {
			if i == int(a.spare) {
				continue
			}
			if p, q := f.points.at(f.ids.at(at+i)), g.points.at(g.ids.at(to+i)); f.keys[at+i] != g.keys[to+i] || !slices.Equal(p, q) {
				return fmt.Errorf("tree %d, slot %d: %v and %v", t, i, p, q)
			}
		}
		for stack := [][2]ref{{ref(a.root), ref(b.root)}}; len(stack) > 0; {
			c, d := stack[len(stack)-1][0], stack[len(stack)-1][1]
			stack = stack[:len(stack)-1]
			if c.leaf() || d.leaf() {
				if c != d {
					return fmt.Errorf("tree %d: %v where %v is", t, d, c)
				}
				continue
			}
			m, n := f.nodes[at+c.id()], g.nodes[to+d.id()]
			if m.equal() != n.equal() || !m.equal() && (m.cut != n.cut || f.dimOf(at, c.id()) != g.dimOf(to, d.id())) {
				return fmt.Errorf("tree %d: %+v where %+v is", t, n, m)
			}
			stack = append(stack, [2]ref{m.left(), n.left()}, [2]ref{m.right(), n.right()})
		}
	}
	return nil
}

func TestScoresUseNoFuture(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		points := drawPoints(rt, 2)
		cut := rapid.IntRange(0, len(points)).Draw(rt, "cut")
		c := Config{NumTrees: 3, NumSamplesPerTree: 16, ShingleSize: 2}
		got := feed(t, newForest(t, 2, c), points[:cut])
		want := feed(t, newForest(t, 2, c), points)[:cut]
		if !slices.Equal(got, want) {
			rt.Fatalf("rows before %d depend on rows after it", cut)
		}
	})
}

// TestScoreIsThatOfTheDefinition works the score out over every tree that two and three points can make.
func TestScoreIsThatOfTheDefinition(t *testing.T) {
	// Points 0 and 1 in a tree (one cut, whatever its place), then x = 3 is scored: at the root the box is [0,1], x lies 2
	// outside an extent of 3: chance 2/3 of depth 0; else x falls to the leaf 1, at depth 1, from which a cut always parts it.
	// (2/3 x 1/1 + 1/3 x 1/2) x log2(3).
	f := newForest(t, 1, Config{NumTrees: 10, NumSamplesPerTree: 8})
	feed(t, f, [][]float64{{0}, {1}})
	got, err := f.Score([]float64{3})
	if err != nil {
		t.Fatal(err)
	}
	want := (2./3 + 1./3/2) * math.Log2(3)
	if math.Abs(got-want) > 1e-6 {
		t.Errorf("score %v, want %v", got, want)
	}

	// Points 0, 1, 3: the first cut lies below 1 with probability 1/3, else between 1 and 3. x = 0.5 is inside the root's box.
	// First cut c below 1 (0 alone; uniform in [0,1)): x goes left when c >= 0.5 (1/2): leaf 0 at depth 1, parted: 1/2.
	//   Else right to {1,3}, at depth 1: chance 0.5/2.5; below, x <= cut leads to leaf 1 at depth 2: 1/3.
	// First cut above 1: x goes left to {0,1} at depth 1, inside its box; then to a leaf at depth 2: 1/3.
	right := 0.2*(1./2) + 0.8*(1./3)
	want = (1./3*(0.5*(1./2)+0.5*right) + 2./3*(1./3)) * math.Log2(4)
	f = newForest(t, 1, Config{NumTrees: 1000, NumSamplesPerTree: 8, Seed: 7})
	for range 20 { // 20,000 trees: the standard error of the mean is below 0.1 %
		g := newForest(t, 1, Config{NumTrees: 1000, NumSamplesPerTree: 8, Seed: f.seed + 1})
		feed(t, g, [][]float64{{3}, {0}, {1}})
		s, err := g.Score([]float64{0.5})
		if err != nil {
			t.Fatal(err)
		}
		f.seed = g.seed
		got += s
	}
	got = (got - (2./3+1./3/2)*math.Log2(3)) / 20
	if math.Abs(got-want) > 0.005 {
		t.Errorf("score %v, want %v", got, want)
	}
}

func TestScoreOfDuplicateFalls(t *testing.T) {
	f := newForest(t, 2, Config{Seed: 3})
	feed(t, f, series(1, 500, 2))
	odd := []float64{4, -4}
	before, _ := f.ScoreAndUpdate(odd)
	feed(t, f, [][]float64{odd, odd, odd, odd, odd})
	after, _ := f.Score(odd)
	if !(after < before*0.9) {
		t.Errorf("score %v, after six copies %v", before, after)
	}
}

func TestMillionEqualPoints(t *testing.T) {
	f := newForest(t, 1, Config{NumTrees: 1, NumSamplesPerTree: 64})
	for range 1_000_000 {
		if _, err := f.ScoreAndUpdate([]float64{5}); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.checkTrees(); err != nil {
		t.Fatal(err)
	}
	same, _ := f.Score([]float64{5})
	other, _ := f.Score([]float64{5.1})
	if !(same < 0.6 && other > 3) {
		t.Errorf("scores: the same %v, another %v", same, other)
	}
}

func TestPointThatCanNotBeTaken(t *testing.T) {
	f := newForest(t, 2, Config{})
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		_, err := f.ScoreAndUpdate([]float64{1, v})
		if pe, ok := errors.AsType[*PointError](err); !ok || pe.Dim != 1 {
			t.Errorf("%v: error %v", v, err)
		}
	}
	if f.Seen() != 0 {
		t.Errorf("%d points learnt", f.Seen())
	}
	if _, err := f.Score([]float64{1}); !errors.Is(err, ErrRange) {
		t.Errorf("a short point: %v", err)
	}
	for _, c := range []Config{{NumTrees: -1}, {NumTrees: 1001}, {NumSamplesPerTree: 1}, {ShingleSize: 257}, {TimeDecay: 2}, {TimeDecay: math.NaN()}} {
		if _, err := New(300, c); !errors.Is(err, ErrRange) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestConditionalFollowsTheOthers(t *testing.T) {
	f := newForest(t, 2, Config{Seed: 1})
	points := series(5, 2000, 1)
	for i, p := range points {
		points[i] = []float64{p[0], 10 * p[0]}
	}
	feed(t, f, points)
	got, err := f.Conditional(nil, []float64{0.5, math.NaN()}, []int{1}, []float64{0.1, 0.5, 0.9})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(got) || math.Abs(got[1]-5) > 1 {
		t.Errorf("quantiles %v, want about 5", got)
	}
}

func TestScoreUpdateAllocatesNothing(t *testing.T) {
	f := newForest(t, 4, Config{NumTrees: 50})
	points := series(1, 10000, 4)
	feed(t, f, points)
	i := 0
	if n := testing.AllocsPerRun(1000, func() {
		_, _ = f.ScoreAndUpdate(points[i])
		i++
	}); n != 0 {
		t.Errorf("%v allocations a point", n)
	}
}

func TestDamagedModelIsAnError(t *testing.T) {
	f := newForest(t, 2, Config{NumTrees: 2, NumSamplesPerTree: 16})
	feed(t, f, series(1, 100, 2))
	b, _ := f.MarshalBinary()
	for i := range b {
		bad := slices.Clone(b)
		bad[i] ^= 0x40
		if err := new(Forest).UnmarshalBinary(bad); !errors.Is(err, ErrModel) {
			t.Fatalf("byte %d altered: %v", i, err)
		}
		if err := new(Forest).UnmarshalBinary(b[:i]); !errors.Is(err, ErrModel) {
			t.Fatalf("cut short at %d: %v", i, err)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	g, err := New(2, Config{NumTrees: 2, NumSamplesPerTree: 4})
	if err != nil {
		f.Fatal(err)
	}
	for _, p := range [][]float64{{1, 2}, {1, 2}, {3, 4}, {5, 0}, {1, 2}} {
		if _, err := g.ScoreAndUpdate(p); err != nil {
			f.Fatal(err)
		}
	}
	b, _ := g.MarshalBinary()
	f.Add(b[:len(b)-4])
	f.Fuzz(func(t *testing.T, body []byte) {
		// The checksum is put right, so that what it guards is reached.
		var h Forest
		if err := h.UnmarshalBinary(binary.LittleEndian.AppendUint32(slices.Clone(body), checksum(body))); err != nil {
			return
		}
		if err := h.checkTrees(); err != nil {
			t.Fatal(err)
		}
		p := make([]float64, h.Dim())
		for i := range 20 {
			p[0] = float64(i % 3)
			if s, err := h.ScoreAndUpdate(p); err != nil || !(s >= 0) || math.IsInf(s, 0) {
				t.Fatalf("score %v, %v", s, err)
			}
		}
	})
}

// FuzzPoints feeds a forest any numbers: what can't be taken is an error, and all else leaves trees and answers sound.
func FuzzPoints(f *testing.F) {
	bytesOf := func(vs ...float64) []byte {
		var b []byte
		for _, v := range vs {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		}
		return b
	}
	f.Add(uint8(1), bytesOf(1, 2, 3, 1, 1, math.NaN(), 5))
	f.Add(uint8(2), bytesOf(1e308, 1e-308, -1e308, 5e-324, math.Inf(1), 0, math.MaxFloat64, 1e-45, 1e30, -1e30))
	f.Add(uint8(3), bytesOf(7, 7, 7, 7, 7, 7, 7, 7, 7, math.Copysign(0, -1), 0, 0))
	f.Fuzz(func(t *testing.T, shape uint8, data []byte) {
		dim, shingle := 1+int(shape%4), 1+int(shape/4%5)
		h := newForest(t, dim, Config{NumTrees: 3, NumSamplesPerTree: 2 + int(shape/20), ShingleSize: shingle})
		x, high, low := make([]float64, dim), make([]float64, dim), make([]float64, dim)
		for ; len(data) >= 8*dim; data = data[8*dim:] {
			usable := true
			for d := range x {
				x[d] = math.Float64frombits(binary.LittleEndian.Uint64(data[8*d:]))
				usable = usable && !math.IsNaN(x[d]) && !math.IsInf(x[d], 0)
			}
			errAttribute := h.Attribute(high, low, x)
			score, err := h.ScoreAndUpdate(x)
			if usable != (err == nil) || usable != (errAttribute == nil) {
				t.Fatalf("%v: %v, %v", x, err, errAttribute)
			}
			sum := 0.0
			for d := range high {
				sum += high[d] + low[d]
			}
			if !(score >= 0) || math.IsInf(score, 0) || usable && math.Abs(sum-score) > 1e-5*(1+score) {
				t.Fatalf("%v: score %v, shares add up to %v", x, score, sum)
			}
		}
		if err := h.checkTrees(); err != nil {
			t.Fatal(err)
		}
	})
}
