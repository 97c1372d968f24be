package detect

import (
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
)

// heap returns the bytes that are alive.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestQuoteIsWhatModelsHold lets models of both sizes see enough, and weighs them.
func TestQuoteIsWhatModelsHold(t *testing.T) {
	for _, tt := range []struct {
		name     string
		features int
		models   int
		points   int
		most     int // bytes; 0: no bound of its own
	}{
		{"one series", 1, 10, 600, 115_000},
		{"four series", 4, 1, 1500, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := Config{Interval: time.Minute}.model(make([]Feature, tt.features))
			want, err := c.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			before := heap()
			models := make([]*Model, tt.models)
			for i := range models {
				if models[i], err = NewModel(c); err != nil {
					t.Fatal(err)
				}
			}
			rng := rand.New(rand.NewPCG(1, 2))
			x := make([]float64, tt.features)
			for k := range tt.points {
				for _, m := range models {
					for i := range x {
						x[i] = rng.NormFloat64()
					}
					m.quick = true
					m.Observe(int64(k)*60_000, x)
				}
			}
			got := int(heap()-before) / tt.models
			t.Logf("a model holds %d bytes, %d were quoted", got, want)
			if got > want*11/10 || got < want*6/10 {
				t.Errorf("a model holds %d bytes, %d were quoted", got, want)
			}
			if tt.most > 0 && want > tt.most {
				t.Errorf("quoted %d bytes, %d at most", want, tt.most)
			}
			runtime.KeepAlive(models)
		})
	}
}
