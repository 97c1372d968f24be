package forecast_test

import (
	"context"
	"fmt"
	"math"

	"homeostat/forecast"
)

// days is a load with a daily cycle, once an hour.
func days(n int) []float64 {
	y := make([]float64, 24*n)
	for t := range y {
		y[t] = 100 + 40*math.Sin(2*math.Pi*float64(t)/24) + float64(t%7)
	}
	return y
}

func ExampleTheta() {
	f, err := forecast.Theta{Season: 24}.Forecast(days(10), 3, []float64{0.1, 0.5, 0.9})
	if err != nil {
		fmt.Println(err)
		return
	}
	for t := range f.Mean {
		fmt.Printf("in %d h: %.0f (%.0f to %.0f)\n", t+1, f.Quantiles[1][t], f.Quantiles[0][t], f.Quantiles[2][t])
	}
	// Output:
	// in 1 h: 103 (100 to 106)
	// in 2 h: 113 (110 to 116)
	// in 3 h: 123 (120 to 127)
}

func ExampleChoose() {
	y := days(10)
	candidate := func(name string, m forecast.Model) forecast.Candidate {
		return forecast.Candidate{Name: name, Forecast: func(_, n int) (*forecast.Forecast, error) {
			return m.Forecast(y[:n], 12, []float64{0.1, 0.5, 0.9})
		}}
	}
	choices, err := forecast.Choose(context.Background(), []forecast.Candidate{
		candidate("the last value", forecast.SeasonalNaive{}),
		candidate("the day before", forecast.SeasonalNaive{Season: 24}),
	}, [][]float64{y}, 12, []float64{0.1, 0.5, 0.9}, forecast.ChooseConfig{Windows: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(choices[0].Reason)
	// Output:
	// the day before (loss 0.0263); left out: the last value (loss 0.18); by the last 24 steps held out
}
