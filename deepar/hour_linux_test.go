package deepar

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// BenchmarkThousandSeries reads 1,000 series of two days at one minute and forecasts an hour of each, 60 steps by 100 paths. It tells
// the processor time beside the time, and the most memory that the process ever held, its training and all else counted.
func BenchmarkThousandSeries(b *testing.B) {
	const series, minutes = 1000, 2 * 1440
	path := filepath.Join(b.TempDir(), "series.jsonl")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	out := bufio.NewWriter(f)
	enc := json.NewEncoder(out)
	r := stream(7)
	for i := range series {
		target := make([]float64, minutes)
		for t := range target {
			wave, _ := sinCos(float64(t%1440)/1440 + float64(i)/series)
			target[t] = math.Round(1e4*float64(1+i%10)*(2+wave+0.1*r.normal())) / 1e4
		}
		if err := enc.Encode(map[string]any{"item_id": fmt.Sprint(i), "start": "2026-03-02 00:00:00", "target": target}); err != nil {
			b.Fatal(err)
		}
	}
	if err := out.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	read := func() []Series {
		f, err := os.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		all, err := ReadJSONLines("series.jsonl", f)
		if err != nil {
			b.Fatal(err)
		}
		return all
	}
	m, err := Train(b.Context(), read()[:50], Config{
		Freq: Freq{1, "min"}, PredictionLength: 60, ContextLength: 90, Epochs: 1, BatchesPerEpoch: 4, MiniBatchSize: 32,
	}, nil)
	if err != nil {
		b.Fatal(err)
	}
	var before, after syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
		b.Fatal(err)
	}
	n := 0
	for b.Loop() {
		n++
		all := read()
		var next atomic.Int64
		var wg sync.WaitGroup
		for range runtime.GOMAXPROCS(0) {
			wg.Go(func() {
				for {
					i := int(next.Add(1) - 1)
					if i >= len(all) {
						return
					}
					paths, err := m.Sample(b.Context(), &all[i], 100, uint64(i))
					if err != nil {
						b.Error(err)
						return
					}
					paths.Quantile(0.5)
				}
			})
		}
		wg.Wait()
	}
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
		b.Fatal(err)
	}
	cpu := func(u *syscall.Rusage) time.Duration { return time.Duration(u.Utime.Nano() + u.Stime.Nano()) }
	b.ReportMetric((cpu(&after)-cpu(&before)).Seconds()/float64(n), "cpu-s/op")
	b.ReportMetric(float64(after.Maxrss)/1024, "MiB-most")
}
