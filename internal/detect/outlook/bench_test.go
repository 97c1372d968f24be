package outlook

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"homeostat/deepar"
)

// BenchmarkForecasts is one forecast of one of the thousand series of 250 endpoints over two days, with the models of all kinds in
// use: all candidates tried on the last two hours. A detector makes one of each series in five minutes.
func BenchmarkForecasts(b *testing.B) {
	d := New(Config{Name: "application", Features: []string{ResponseTime, Slow, Requests, Errors}})
	rng := rand.New(rand.NewPCG(1, 2))
	var lesson []deepar.Series
	for i := range 250 {
		e := d.watch("service:shop", fmt.Sprint("/", i))
		for f := range e.tracks {
			tr := e.tracks[f]
			for k := range int64(keep) {
				tr.push(began+k, (2+math.Sin(float64(k)/229))*(1+0.1*rng.NormFloat64()))
			}
			tr.Latest = 2
		}
		if i < 20 {
			y := make([]float64, keep)
			for j, v := range e.tracks[0].Values {
				y[j] = float64(v)
			}
			lesson = append(lesson, deepar.Series{Start: time.UnixMilli(began * minute).UTC(), Target: y})
		}
	}
	m, err := learn(b.Context(), Lessons{series: map[string][]deepar.Series{ResponseTime: lesson}}, 1, 2)
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range d.c.Features {
		d.models[f] = m.models[ResponseTime]
	}
	keys := d.keys()
	i := 0
	for b.Loop() {
		d.forecast(d.watched[keys[i/4%len(keys)]], i%4, began+keep-1)
		i++
	}
}
