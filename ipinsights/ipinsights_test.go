package ipinsights

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

// town makes users of a few providers: each user at a handful of addresses of its provider's network.
func town(n int, seed uint64, six bool) []Pair {
	r := rand.New(rand.NewPCG(seed, 1))
	pairs := make([]Pair, n)
	for i := range pairs {
		u := r.IntN(50)
		home := rand.New(rand.NewPCG(uint64(u%7), 7))
		var b [16]byte
		for j := range b {
			b[j] = byte(home.Uint32())
		}
		b[2], b[3] = byte(u*4+r.IntN(4)), byte(r.Uint32())
		ip := netip.AddrFrom4([4]byte(b[:4]))
		if six && u%2 == 0 {
			b[0] = 0x20
			ip = netip.AddrFrom16(b)
		}
		pairs[i] = Pair{fmt.Sprintf("user%d", u), ip}
	}
	return pairs
}

func TestTrainTellsPairsFromMadeUpOnes(t *testing.T) {
	for _, six := range []bool{false, true} {
		var last Progress
		c := Config{NumEntityVectors: 200, VectorDim: 8, Epochs: 12, MiniBatchSize: 100, LearningRate: .01, Seed: 1, Progress: func(p Progress) { last = p }}
		m, err := Train(t.Context(), c, town(1500, 1, six), town(400, 2, six))
		if err != nil {
			t.Fatal(err)
		}
		if last.AUC < .85 || last.Epoch != 12 {
			t.Errorf("six %v: %+v", six, last)
		}
		if again := m.AUC(town(400, 2, six), 1); again != last.AUC {
			t.Errorf("AUC %v after training, %v as told", again, last.AUC)
		}
	}
}

func TestTrainGivesTheSameBitsWhateverTheWorkers(t *testing.T) {
	var want []byte
	for _, workers := range []int{1, 2, 5} {
		c := Config{NumEntityVectors: 60, VectorDim: 12, Epochs: 2, MiniBatchSize: 300, Seed: 3, Workers: workers, EncoderLayers: new(2), ShuffledNegatives: new(2)}
		m, err := Train(t.Context(), c, town(500, 1, true), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = got
		}
		if !bytes.Equal(want, got) {
			t.Errorf("%d workers give another model", workers)
		}
	}
}

func TestTheKernelsAgreeBitForBit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := 8 * rapid.IntRange(0, 20).Draw(t, "n")
		f := rapid.Float32Range(-1e3, 1e3)
		x, y := rapid.SliceOfN(f, n, n).Draw(t, "x"), rapid.SliceOfN(f, n, n).Draw(t, "y")
		a := f.Draw(t, "a")
		if got, want := dot(x, y), dotGo(x, y); got != want {
			t.Fatalf("dot: %v, in Go %v", got, want)
		}
		z := append([]float32(nil), y...)
		axpy(y, x, a)
		axpyGo(z, x, a)
		four := [4][]float32{x, y, x, z}
		w, v := append([]float32(nil), x...), append([]float32(nil), x...)
		axpy4(w, &four, &[4]float32{a, 1, -a, .5})
		axpy4Go(v, &four, &[4]float32{a, 1, -a, .5})
		for i := range y {
			if w[i] != v[i] {
				t.Fatalf("axpy4, element %d: %v, in Go %v", i, w[i], v[i])
			}
			if y[i] != z[i] {
				t.Fatalf("axpy, element %d: %v, in Go %v", i, y[i], z[i])
			}
		}
	})
}

// The derivatives are held against differences of the loss.
func TestDerivativesAreThoseOfTheLoss(t *testing.T) {
	for layers := range 3 {
		c, err := Config{NumEntityVectors: 5, VectorDim: 6, EncoderLayers: new(layers), MiniBatchSize: 8, RandomNegatives: new(1), Seed: 2}.check()
		if err != nil {
			t.Fatal(err)
		}
		tr := newTrainer(c, town(8, 4, true))
		e := tr.model.encoder
		for i := range tr.model.entities {
			tr.model.entities[i] *= 10
		}
		tr.shift[0] = 3
		loss := func() float64 {
			tr.tabulate()
			tr.parts[0].random.Seed(1, 1)
			tr.chunk(tr.parts[0], tr.order, 0, 8)
			return tr.parts[0].loss
		}
		loss()
		all, off := 0, 0
		for _, w := range tr.dense {
			g := append([]float32(nil), w.of(tr.parts[0].g)...)
			for i := range w.w {
				if i%e.d >= e.dim {
					continue
				}
				const h = 1e-2
				was := w.w[i]
				w.w[i] = was + h
				up := loss()
				w.w[i] = was - h
				down := loss()
				w.w[i] = was
				// A unit that switches within the step makes the difference no derivative: a few may.
				all++
				if d := (up - down) / (2 * h); math.Abs(d-float64(g[i])) > .02*(1+math.Abs(d)) {
					off++
				}
			}
		}
		if off > 0 && layers == 0 || off > all/50 {
			t.Errorf("%d layers: %d of %d derivatives are not those of differences", layers, off, all)
		}
	}
}

func TestModelComesBackBitForBit(t *testing.T) {
	m, err := Train(t.Context(), Config{NumEntityVectors: 30, VectorDim: 10, Epochs: 1, Seed: 5}, town(500, 1, true), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	back, err := UnmarshalModel(b)
	if err != nil {
		t.Fatal(err)
	}
	pairs := town(200, 9, true)
	scores := m.AppendScores(nil, pairs)
	for i, p := range pairs {
		if got := back.Score(p.Entity, p.IP); got != scores[i] {
			t.Fatalf("%v: %v, was %v", p, got, scores[i])
		}
	}
	for _, at := range []int{0, 5, len(b) / 2, len(b) - 1} {
		bad := bytes.Clone(b)
		bad[at] ^= 1
		if _, err := UnmarshalModel(bad); !errors.Is(err, ErrFormat) {
			t.Errorf("byte %d altered: %v", at, err)
		}
	}
	if _, err := UnmarshalModel(b[:len(b)-9]); !errors.Is(err, ErrFormat) {
		t.Errorf("cut short: %v", err)
	}
}

func TestTrainRefuses(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ok := Config{NumEntityVectors: 10, VectorDim: 8}
	if _, err := Train(ctx, ok, town(10, 1, false), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := Train(t.Context(), ok, nil, nil); !errors.Is(err, ErrNoPairs) {
		t.Errorf("no pairs: %v", err)
	}
	if _, err := Train(t.Context(), ok, []Pair{{Entity: "ana"}}, nil); err == nil || err.Error() != `pair 1, entity "ana": not an address` {
		t.Errorf("no address: %v", err)
	}
	_, err := Train(t.Context(), Config{VectorDim: 2, LearningRate: 11, WeightDecay: new(-1.0)}, town(10, 1, false), nil)
	if err == nil || err.Error() != "num_entity_vectors 0: want 1 to 2.5e+08\nvector_dim 2: want 4 to 4096\nlearning_rate 11: want 1e-06 to 10\nweight_decay -1: want 0 to 10" {
		t.Errorf("out of range: %v", err)
	}
}

func FuzzUnmarshalModel(f *testing.F) {
	m, err := Train(f.Context(), Config{NumEntityVectors: 2, VectorDim: 4, Epochs: 1}, town(3, 1, false), nil)
	if err != nil {
		f.Fatal(err)
	}
	b, _ := m.MarshalBinary()
	f.Add(b)
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := UnmarshalModel(b)
		if err != nil {
			return
		}
		m.Score("a", netip.MustParseAddr("192.0.2.1"))
		if back, err := m.MarshalBinary(); err != nil || !bytes.Equal(b, back) {
			t.Fatalf("a model that was read is written otherwise: %v", err)
		}
	})
}

func ExampleTrain() {
	var pairs []Pair
	for i := range 100 {
		pairs = append(
			pairs,
			Pair{"ana", netip.AddrFrom4([4]byte{198, 51, 100, byte(i)})},
			Pair{"bob", netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})},
		)
	}
	m, err := Train(context.Background(), Config{NumEntityVectors: 100, VectorDim: 16, MiniBatchSize: 50, LearningRate: .01, Seed: 1}, pairs, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	usual, unusual := netip.MustParseAddr("198.51.100.77"), netip.MustParseAddr("203.0.113.77")
	fmt.Println("ana is more usual at her own network than at bob's:", m.Score("ana", usual) > m.Score("ana", unusual))
	// Output: ana is more usual at her own network than at bob's: true
}

func BenchmarkTrain(b *testing.B) {
	pairs := town(100_000, 1, false)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Train(b.Context(), Config{NumEntityVectors: 20_000, VectorDim: 128, Epochs: 1}, pairs, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(pairs)*b.N)/b.Elapsed().Seconds(), "pairs/s")
}

func BenchmarkScore(b *testing.B) {
	pairs := town(10_000, 1, false)
	m, err := Train(b.Context(), Config{NumEntityVectors: 20_000, VectorDim: 128, Epochs: 1}, pairs, nil)
	if err != nil {
		b.Fatal(err)
	}
	var dst []float64
	b.ReportAllocs()
	for b.Loop() {
		dst = m.AppendScores(dst[:0], pairs)
	}
	b.ReportMetric(float64(len(pairs)*b.N)/b.Elapsed().Seconds(), "pairs/s")
}
