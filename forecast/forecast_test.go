package forecast

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

var tenths = []float64{0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9}

var models = []struct {
	name string
	Model
}{
	{"snaive", SeasonalNaive{Season: 12}},
	{"naive", SeasonalNaive{}},
	{"theta", Theta{Season: 12}},
	{"ets", ETS{Season: 12}},
	{"ets of a long season", ETS{Season: 30}},
}

// wave is n values of a daily cycle with noise.
func wave(n, season int, noise float64, seed uint64) []float64 {
	rng := rand.New(rand.NewPCG(seed, 0))
	y := make([]float64, n)
	for t := range y {
		y[t] = 100 + 30*math.Sin(2*math.Pi*float64(t)/float64(season)) + noise*rng.NormFloat64()
	}
	return y
}

func TestQuantilesNeverCrossAndFollowTheUnit(t *testing.T) {
	for _, m := range models {
		t.Run(m.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				y := rapid.SliceOfN(rapid.Float64Range(-1e3, 1e3), 4, 90).Draw(t, "y")
				for i := range y {
					if rapid.IntRange(0, 9).Draw(t, "missing") == 0 && i > 3 {
						y[i] = math.NaN()
					}
				}
				h := rapid.IntRange(1, 20).Draw(t, "h")
				f, err := m.Forecast(y, h, tenths)
				if err != nil {
					t.Fatal(err)
				}
				larger := make([]float64, len(y))
				for i := range y {
					larger[i] = y[i] * 1024 // a power of two: exact
				}
				g, err := m.Forecast(larger, h, tenths)
				if err != nil {
					t.Fatal(err)
				}
				for s := range h {
					for q := range tenths {
						v := f.Quantiles[q][s]
						if math.IsNaN(v) || math.IsInf(v, 0) {
							t.Fatalf("step %d level %v is %v", s, tenths[q], v)
						}
						if q > 0 && v < f.Quantiles[q-1][s] {
							t.Fatalf("step %d: level %v is %v, below %v of the level before", s, tenths[q], v, f.Quantiles[q-1][s])
						}
						if d := math.Abs(g.Quantiles[q][s]/1024 - v); d > 1e-6*(1e3+math.Abs(v)) {
							t.Fatalf("step %d level %v is %v, but %v in the larger unit", s, tenths[q], v, g.Quantiles[q][s])
						}
					}
				}
			})
		})
	}
}

func TestBandsHoldWhatTheyClaim(t *testing.T) {
	for _, m := range models {
		if m.name == "naive" {
			continue // there is a season here, and this one knows none
		}
		t.Run(m.name, func(t *testing.T) {
			s := NewScorer(12)
			for seed := range uint64(40) {
				y := wave(160, 12, 5, seed)
				f, err := m.Forecast(y[:148], 12, tenths)
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Add(y[:148], y[148:], f); err != nil {
					t.Fatal(err)
				}
			}
			got := s.Scores()
			if got.Coverage < 0.7 || got.Coverage > 0.9 {
				t.Errorf("coverage %.3f of a band of 0.8", got.Coverage)
			}
			if m.name != "ets of a long season" && got.ND > 0.08 {
				t.Errorf("ND %.3f: the season was not found", got.ND)
			}
		})
	}
}

func TestConstantsAreForecastAsThemselves(t *testing.T) {
	y := make([]float64, 50)
	for i := range y {
		y[i] = 7
	}
	for _, m := range models {
		f, err := m.Forecast(y, 3, tenths)
		if err != nil {
			t.Fatalf("%s: %v", m.name, err)
		}
		for q := range tenths {
			if v := f.Quantiles[q][2]; math.Abs(v-7) > 1e-9 {
				t.Errorf("%s: %v at level %v", m.name, v, tenths[q])
			}
		}
	}
}

func TestModelsRefuse(t *testing.T) {
	nan := math.NaN()
	for _, m := range models {
		for _, tt := range []struct {
			name   string
			y      []float64
			h      int
			levels []float64
		}{
			{"nothing", nil, 1, tenths},
			{"all missing", []float64{nan, nan, nan, nan, nan}, 1, tenths},
			{"no horizon", []float64{1, 2, 3, 4, 5}, 0, tenths},
			{"levels in disorder", []float64{1, 2, 3, 4, 5}, 1, []float64{0.5, 0.1}},
			{"a level of 1", []float64{1, 2, 3, 4, 5}, 1, []float64{1}},
			{"infinity", []float64{1, 2, 3, math.Inf(1), 5}, 1, tenths},
			{"1e300", []float64{1, 2, 3, 1e300, 5}, 1, tenths},
		} {
			if _, err := m.Forecast(tt.y, tt.h, tt.levels); err == nil {
				t.Errorf("%s takes %s", m.name, tt.name)
			}
		}
		if _, err := m.Forecast([]float64{nan}, 1, tenths); !errors.Is(err, ErrTooShort) {
			t.Errorf("%s: %v, want ErrTooShort", m.name, err)
		}
	}
}

// A straight line is its own theta lines: half of the forecast goes on along it, half stays at the last value.
func TestThetaOfALine(t *testing.T) {
	y := make([]float64, 40)
	for i := range y {
		y[i] = 10 + 2*float64(i)
	}
	f, err := Theta{}.Forecast(y, 4, []float64{0.5})
	if err != nil {
		t.Fatal(err)
	}
	for s, v := range f.Mean {
		if want := 88 + float64(s+1); math.Abs(v-want) > 0.01 {
			t.Errorf("step %d: %v, want %v", s, v, want)
		}
	}
}

func TestETSChoosesItsForm(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 0))
	make1 := func(f func(t int) float64) []float64 {
		y := make([]float64, 120)
		for t := range y {
			y[t] = f(t)
		}
		return y
	}
	for _, tt := range []struct {
		name   string
		y      []float64
		trend  bool
		season byte
	}{
		{"level", make1(func(int) float64 { return 100 + rng.NormFloat64() }), false, 'N'},
		{"trend", make1(func(t int) float64 { return 10 + 3*float64(t) + rng.NormFloat64() }), true, 'N'},
		{"season that grows", make1(func(t int) float64 {
			return (50 + 5*float64(t)) * (1 + 0.3*math.Sin(float64(t)*math.Pi/6)) * (1 + 0.01*rng.NormFloat64())
		}), true, 'M'},
	} {
		m, _ := chooseETS(tt.y, tt.y, 12)
		if m.form.trend != tt.trend || m.form.season != tt.season {
			t.Errorf("%s: chose %v", tt.name, m.form)
		}
	}
}

func TestScorerByHand(t *testing.T) {
	s := NewScorer(1)
	f := &Forecast{Levels: []float64{0.1, 0.5, 0.9}, Quantiles: [][]float64{{1, 1}, {2, 2}, {3, 3}}, Mean: []float64{2, 2}}
	if err := s.Add([]float64{1, 2, 1}, []float64{4, 2}, f); err != nil {
		t.Fatal(err)
	}
	got := s.Scores()
	// 0.1: 2(.1*3 + .1*1)=.8; 0.5: 2(.5*2)=2; 0.9: 2(.9*1 + .1*1)=2; over |y| = 6
	if want := (0.8 + 2 + 2) / 6 / 3; math.Abs(got.MeanWQuantileLoss-want) > 1e-12 {
		t.Errorf("mean loss %v, want %v", got.MeanWQuantileLoss, want)
	}
	if got.ND != 2.0/6 || got.RMSE != math.Sqrt2 || got.MASE != 1 || got.Coverage != 0.5 {
		t.Errorf("got %+v", got)
	}
}

// fixed is a candidate that always says centre +- spread.
func fixed(name string, centre, spread float64) Candidate {
	return Candidate{Name: name, Forecast: func(int, int) (*Forecast, error) {
		f := newForecast(2, tenths)
		for s := range 2 {
			f.Mean[s] = centre
			for q, p := range tenths {
				f.Quantiles[q][s] = centre + spread*(p-0.5)
			}
		}
		return f, nil
	}}
}

func TestChooseTakesTheBetterAndSaysSo(t *testing.T) {
	series := [][]float64{{5, 5, 5, 5, 5, 5, 5, 5}, {9, 9, 9, 9, 9, 9, 9, 9}}
	broken := Candidate{Name: "broken", Forecast: func(int, int) (*Forecast, error) { return nil, ErrTooShort }}
	got, err := Choose(context.Background(), []Candidate{fixed("five", 5, 1), fixed("nine", 9, 1), broken}, series, 2, tenths,
		ChooseConfig{Windows: 3})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{5, 9} {
		if v := got[i].Forecast.row(0.5)[0]; v != want {
			t.Errorf("series %d: median %v, want %v (%s)", i, v, want, got[i].Reason)
		}
		if got[i].Weights[i] != 1 || got[i].Weights[2] != 0 {
			t.Errorf("series %d: weights %v", i, got[i].Weights)
		}
	}
	if want := "five (loss 0.0178); left out: nine (loss 0.773), broken; by the last 4 steps held out, and how the other series fared"; got[0].Reason != want {
		t.Errorf("reason %q, want %q", got[0].Reason, want)
	}
	_, err = Choose(context.Background(), []Candidate{broken}, series, 2, tenths, ChooseConfig{})
	if e, ok := errors.AsType[*SeriesError](err); !ok || e.Series != 0 || !errors.Is(err, ErrTooShort) {
		t.Errorf("error %v, want one of series 0 for ErrTooShort", err)
	}
}

func TestChooseIsntMovedByOneThatIsFarOff(t *testing.T) {
	got, err := Choose(context.Background(), []Candidate{fixed("ten", 10, 1), fixed("eleven", 11, 1), fixed("spike", 1e9, 1)},
		[][]float64{{10, 11, 10, 11, 10, 11}}, 2, tenths, ChooseConfig{}) // nothing is held out: all count alike
	if err != nil {
		t.Fatal(err)
	}
	if v := got[0].Forecast.row(0.5)[0]; v < 10 || v > 13 {
		t.Errorf("median %v, want about 11", v)
	}
	if v := got[0].Forecast.Mean[0]; v < 10 || v > 13 {
		t.Errorf("mean %v, want about 11", v)
	}
}

func TestChooseWidensABandThatIsTooNarrow(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 0))
	series := make([][]float64, 200)
	for i := range series {
		series[i] = make([]float64, 12)
		for t := range series[i] {
			series[i][t] = rng.NormFloat64()
		}
	}
	got, err := Choose(context.Background(), []Candidate{fixed("narrow", 0, 1)}, series, 2, tenths, ChooseConfig{Windows: 1})
	if err != nil {
		t.Fatal(err)
	}
	f := got[0].Forecast
	if width := f.row(0.9)[0] - f.row(0.1)[0]; math.Abs(width-2.56) > 0.3 {
		t.Errorf("the band is %.2f wide, want the normal's 2.56", width)
	}
}

// What a candidate is asked for in the trial never reaches into the held-out end.
func TestChooseHoldsTheEndOut(t *testing.T) {
	y := wave(40, 4, 1, 1)
	var asked []int
	spy := Candidate{Name: "spy", Forecast: func(_, n int) (*Forecast, error) {
		asked = append(asked, n)
		return SeasonalNaive{Season: 4}.Forecast(y[:n], 8, tenths)
	}}
	if _, err := Choose(context.Background(), []Candidate{spy}, [][]float64{y}, 8, tenths, ChooseConfig{Windows: 9}); err != nil {
		t.Fatal(err)
	}
	if want := []int{32, 24, 16, 40}; len(asked) != 4 || asked[0] != want[0] || asked[2] != want[2] || asked[3] != want[3] {
		t.Errorf("asked for the first %v values, want %v", asked, want)
	}
}
