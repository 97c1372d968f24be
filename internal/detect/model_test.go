package detect

import (
	"math"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func newModel(t rapidT, c ModelConfig) *Model {
	m, err := NewModel(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// judge returns score, grade, threshold and band of each point.
func judge(t rapidT, vs [][]float64, c ModelConfig) [][]float64 {
	m := newModel(t, c)
	var out [][]float64
	for i, x := range vs {
		v := m.Observe(int64(i)*300_000, x)
		if v == nil {
			out = append(out, nil)
			continue
		}
		row := []float64{v.Score, v.Grade, v.Threshold, v.Confidence, float64(v.Change)}
		row = append(append(append(append(row, v.Expected...), v.Lower...), v.Upper...), v.Attribution...)
		for _, n := range row {
			if math.IsNaN(n) || math.IsInf(n, 0) {
				t.Fatal("row", i, "of", x, "has", row)
			}
		}
		if v.Score < 0 || v.Grade < 0 || v.Grade > 1 {
			t.Fatal("score", v.Score, "grade", v.Grade)
		}
		for j := range v.Expected {
			if !(v.Lower[j] <= v.Expected[j] && v.Expected[j] <= v.Upper[j]) {
				t.Fatal("expected", v.Expected[j], "in", v.Lower[j], v.Upper[j])
			}
		}
		out = append(out, row)
	}
	return out
}

func plain(n int) ModelConfig {
	return ModelConfig{Features: make([]Feature, n)}
}

// alone is what a detector has of one series: a small model. Slow runs hold the full size, which backtest takes, to the same.
func alone() ModelConfig {
	return ModelConfig{Features: make([]Feature, 1), Small: os.Getenv("HOMEOSTAT_SOAK") == ""}
}

func drawRows(t *rapid.T, dim int) [][]float64 {
	value := rapid.OneOf(
		rapid.Float64Range(-1e6, 1e6),
		rapid.Map(rapid.IntRange(0, 3), func(i int) float64 { return float64(i) }),
		rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e308, -1e308, 1e-308, 5e-324, 0}),
	)
	return rapid.SliceOfN(rapid.SliceOfN(value, dim, dim), 2, 120).Draw(t, "rows")
}

func TestScoresUseNoFuture(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dim := rapid.IntRange(1, 2).Draw(rt, "dim")
		rows := drawRows(rt, dim)
		cut := rapid.IntRange(1, len(rows)-1).Draw(rt, "cut")
		got, want := judge(rt, rows[:cut], plain(dim)), judge(rt, rows, plain(dim))[:cut]
		if !slices.EqualFunc(got, want, slices.Equal[[]float64]) {
			rt.Fatalf("rows before %d depend on rows after it: %v, want %v", cut, got, want)
		}
	})
}

func TestRestoredModelGivesTheSameVerdicts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		a := newModel(rt, plain(2))
		rows := drawRows(rt, 2)
		cut := rapid.IntRange(0, len(rows)-1).Draw(rt, "cut")
		b := newModel(rt, plain(2))
		for i, x := range rows {
			if i == cut {
				data, err := a.MarshalBinary()
				if err != nil {
					rt.Fatal(err)
				}
				if err := b.UnmarshalBinary(data); err != nil {
					rt.Fatal(err)
				}
			}
			v := a.Observe(int64(i)*1000, x)
			if i < cut || v == nil {
				continue
			}
			if w := b.Observe(int64(i)*1000, x); w.Score != v.Score || w.Grade != v.Grade || w.Threshold != v.Threshold ||
				!slices.Equal(w.Upper, v.Upper) {
				rt.Fatalf("row %d: %+v, want %+v", i, w, v)
			}
		}
	})
}

// TestPercentileNeedsMoreThanOneExceedance feeds spikes one at a time, and then a stretch.
func TestPercentileNeedsMoreThanOneExceedance(t *testing.T) {
	t.Parallel()
	c := plain(1)
	c.Percentile = 95
	m := newModel(t, c)
	events := 0
	at := int64(0)
	feed := func(x float64) {
		at += 60_000
		if v := m.Observe(at, []float64{x}); v.Change == Began {
			events++
		}
	}
	for i := range 2000 {
		x := math.Sin(float64(i)) + 0.3*math.Sin(7.3*float64(i))
		if i > 200 && i%100 == 0 {
			x += 50
		}
		feed(x)
	}
	lone := events
	for range 6 {
		feed(100)
	}
	if lone > 2 || events != lone+1 {
		t.Errorf("%d events of lone exceedances, %d of a stretch", lone, events-lone)
	}
}

func TestAlarmsAreKeptToTheirRate(t *testing.T) {
	t.Parallel()
	// White noise, 28 days at 5 minutes: one a week is 4, three times that is allowed for luck.
	for seed := range uint64(3) {
		r := newRand(seed)
		m := newModel(t, alone())
		events := 0
		for i := range 28 * 288 {
			if m.Observe(int64(i)*300_000, []float64{r.NormFloat64()}).Change == Began {
				events++
			}
		}
		if events > 12 {
			t.Errorf("seed %d: %d events in four weeks of noise", seed, events)
		}
	}
}

func TestExplain(t *testing.T) {
	fs := []Feature{{Name: "cpu", Unit: Share}, {Name: "disk", Unit: BytesSecond}}
	v := &Verdict{
		Values: []float64{0.93, 2e6}, Lower: []float64{0.35, 1e5}, Upper: []float64{0.5, 3e6},
		Attribution: []float64{0.71, 0.29}, Confidence: 0.9,
	}
	if got, want := Explain(fs, v), "CPU 93 % where 35 to 50 % was expected at this hour; of the score CPU has 71 %, disk 29 %"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	v.Values = []float64{0.4, 2e6}
	if got, want := Explain(fs[:1], &Verdict{Values: v.Values[:1], Lower: v.Lower[:1], Upper: v.Upper[:1], Attribution: []float64{1}}),
		"the course of CPU is unusual, though 40 % itself is within 35 to 50 % (still learning: confidence 0 %)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestFormat(t *testing.T) {
	for _, tt := range []struct {
		u    Unit
		x    float64
		want string
	}{
		{Share, 0.934, "93 %"},
		{Share, 0.034, "3.4 %"},
		{BytesSecond, 1234567, "1.23 MB/s"},
		{BytesSecond, 12, "12 B/s"},
		{Plain, 27598, "27598"},
		{Plain, 0.00001234, "1.23e-05"},
		{PerSecond, 12.345, "12.3 a second"},
		{Plain, 0, "0"},
	} {
		if got := tt.u.Format(tt.x); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.x, got, tt.want)
		}
	}
}

func BenchmarkObserve(b *testing.B) {
	for name, n := range map[string]int{"features=1": 1, "features=4": 4} {
		b.Run(name, func(b *testing.B) {
			r := newRand(1)
			m := newModel(b, ModelConfig{Features: make([]Feature, n)})
			x := make([]float64, n)
			i := int64(0)
			step := func() {
				for j := range x {
					x[j] = r.NormFloat64()
				}
				i++
				m.Observe(i*60_000, x)
			}
			for range 5000 {
				step()
			}
			b.ReportAllocs()
			for b.Loop() {
				step()
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "points/s")
		})
	}
}

func TestLeapOfAConstantIsGraded(t *testing.T) {
	t.Parallel()
	m := newModel(t, ModelConfig{Features: make([]Feature, 1), Interval: time.Minute})
	for i := range 5000 {
		x := 1.0
		if i == 4800 {
			x = -1
		}
		v := m.Observe(int64(i)*60_000, []float64{x})
		if !(v.Grade >= 0 && v.Grade <= 1) || !(v.Score >= 0) || math.IsInf(v.Score, 0) {
			t.Fatalf("row %d: score %v, grade %v", i, v.Score, v.Grade)
		}
		if i == 4800 && (v.Change != Began || !(v.Grade > 0.5)) {
			t.Errorf("the leap: change %v, grade %v; want an event with a high grade", v.Change, v.Grade)
		}
	}
}
