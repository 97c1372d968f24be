package rcf_test

import (
	"fmt"
	"math"

	"homeostat/rcf"
)

func Example() {
	f, err := rcf.New(1, rcf.Config{ShingleSize: 4, Seed: 1})
	if err != nil {
		panic(err)
	}
	highest, at := 0.0, 0
	for i := range 2000 {
		v := math.Sin(float64(i) / 10)
		if i == 1500 {
			v = 3
		}
		score, err := f.ScoreAndUpdate([]float64{v})
		if err != nil {
			panic(err)
		}
		if i > 500 && score > highest {
			highest, at = score, i
		}
	}
	fmt.Println("strangest point:", at)
	// Output: strangest point: 1500
}

func ExampleForest_Attribute() {
	f, err := rcf.New(2, rcf.Config{Seed: 1})
	if err != nil {
		panic(err)
	}
	for i := range 1000 {
		if _, err := f.ScoreAndUpdate([]float64{math.Sin(float64(i)), math.Cos(float64(i) / 3)}); err != nil {
			panic(err)
		}
	}
	high, low := make([]float64, 2), make([]float64, 2)
	if err := f.Attribute(high, low, []float64{0.2, -5}); err != nil {
		panic(err)
	}
	share := low[1] / (high[0] + low[0] + high[1] + low[1])
	fmt.Println("mostly that the second coordinate is too low:", share > 0.9)
	// Output: mostly that the second coordinate is too low: true
}

func ExampleTrain() {
	// Rows may come from anywhere, one at a time; here from a slice.
	rows := func(yield func([]float64, error) bool) {
		for i := range 1000 {
			if !yield([]float64{math.Sin(float64(i)), math.Cos(float64(i))}, nil) {
				return
			}
		}
	}
	f, err := rcf.Train(2, rcf.Config{NumTrees: 50, NumSamplesPerTree: 128}, rows)
	if err != nil {
		panic(err)
	}
	usual, _ := f.Score([]float64{1, 0})
	strange, _ := f.Score([]float64{0, 0}) // inside the circle, where no row was
	fmt.Println("the middle of the circle is stranger:", strange > usual)
	// Output: the middle of the circle is stranger: true
}

func ExampleForest_Forecast() {
	f, err := rcf.New(1, rcf.Config{ShingleSize: 10, Seed: 1})
	if err != nil {
		panic(err)
	}
	for i := range 1500 {
		if _, err := f.ScoreAndUpdate([]float64{math.Sin(2 * math.Pi * float64(i) / 30)}); err != nil {
			panic(err)
		}
	}
	ahead, err := f.Forecast(nil, 30, []float64{0.5}) // the next period
	if err != nil {
		panic(err)
	}
	fmt.Printf("crest %.1f, trough %.1f\n", ahead[7], ahead[22])
	// Output: crest 1.0, trough -1.0
}

func ExampleForest_Impute() {
	f, err := rcf.New(2, rcf.Config{Seed: 1})
	if err != nil {
		panic(err)
	}
	for i := range 1500 {
		load := math.Sin(float64(i))
		if _, err := f.ScoreAndUpdate([]float64{load, 10 * load}); err != nil {
			panic(err)
		}
	}
	x := []float64{0.5, math.NaN()}
	if err := f.Impute(x, []int{1}); err != nil {
		panic(err)
	}
	fmt.Printf("%.0f\n", x[1])
	// Output: 5
}

func ExampleConfig_Bytes() {
	n, err := rcf.Config{NumTrees: 50, NumSamplesPerTree: 256}.Bytes(4)
	if err != nil {
		panic(err)
	}
	fmt.Println("below half a megabyte:", n < 500_000)
	// Output: below half a megabyte: true
}
