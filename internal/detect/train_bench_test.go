package detect

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// BenchmarkTrain30Days trains a model on 30 days of one host's four features at one minute, as history gives them, without the
// budget's rests.
func BenchmarkTrain30Days(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	rows := &Rows{Columns: map[string][]float64{}}
	const minutes = 30 * 24 * 60
	for i := range minutes {
		day := math.Sin(2 * math.Pi * float64(i) / 1440)
		rows.Times = append(rows.Times, start().UnixMilli()+int64(i)*60_000)
		for name, v := range map[string]float64{
			"cpu": 0.3 + 0.1*day + 0.02*rng.NormFloat64(), "memory": 0.5 + 0.02*day + 0.005*rng.NormFloat64(),
			"network": 1e6 * (1 + 0.3*day) * (0.8 + 0.4*rng.Float64()), "disk": 2e5 * rng.ExpFloat64(),
		} {
			rows.Columns[name] = append(rows.Columns[name], v)
		}
	}
	d, err := New(Config{Interval: time.Minute})
	if err != nil {
		b.Fatal(err)
	}
	tr := newTrainer(nil, 1, discard())
	b.ReportAllocs()
	for b.Loop() {
		w, err := d.newWatched("host:web-1", "all", d.inputs)
		if err != nil {
			b.Fatal(err)
		}
		g, err := rows.cells(d.step, w.names)
		if err != nil {
			b.Fatal(err)
		}
		t := &training{d: d, w: w, rows: g}
		if err := tr.train(b.Context(), t); err != nil || t.seen != minutes {
			b.Fatalf("%d points, %v", t.seen, err)
		}
		state, err := t.model.MarshalBinary()
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(state)), "checkpoint-bytes")
	}
	b.ReportMetric(float64(minutes*b.N)/b.Elapsed().Seconds(), "points/s")
}
