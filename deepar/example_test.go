package deepar_test

import (
	"context"
	"fmt"
	"math"
	"strings"

	"homeostat/deepar"
)

// Train on a few series and forecast one.
func Example() {
	var lines strings.Builder
	for i := range 4 {
		var values []string
		for t := range 120 {
			values = append(values, fmt.Sprintf("%.1f", float64(i+1)*(20+10*math.Sin(2*math.Pi*float64(t)/24))))
		}
		fmt.Fprintf(&lines, `{"start":"2026-03-02 00:00:00","target":[%s]}`+"\n", strings.Join(values, ","))
	}
	series, err := deepar.ReadJSONLines("train.jsonl", strings.NewReader(lines.String()))
	if err != nil {
		fmt.Println(err)
		return
	}
	hour, err := deepar.ParseFreq("1H")
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	m, err := deepar.Train(ctx, series, deepar.Config{
		Freq: hour, PredictionLength: 12, ContextLength: 24, Epochs: 10, BatchesPerEpoch: 20, MiniBatchSize: 16, LearningRate: 1e-2,
	}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	paths, err := m.Sample(ctx, &series[0], 100, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, t := range []int{5, 11} {
		fmt.Printf("in %d h between 15 and 35: %v\n", t+1, paths.Quantile(0.1)[t] > 15 && paths.Quantile(0.9)[t] < 35)
	}
	// Output:
	// in 6 h between 15 and 35: true
	// in 12 h between 15 and 35: true
}
