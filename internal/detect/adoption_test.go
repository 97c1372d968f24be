package detect

import (
	"bytes"
	"context"
	"encoding/gob"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"homeostat/deepar"
	"homeostat/internal/detect/outlook"
	"homeostat/internal/signal"
)

// shopTape is n minutes of one service's requests, slower toward the end.
func shopTape(n int) []*signal.Batch {
	series := func(name string) signal.Series {
		return signal.MakeSeries(signal.MakeLabels(map[string]string{signal.MetricName: name, "service_name": "shop", "http_route": "/cart"}))
	}
	const base = "http_server_request_duration_seconds"
	sum, count := 0.0, 0.0
	batches := make([]*signal.Batch, n)
	for i := range batches {
		requests := math.Round(600 * (1 + 0.1*math.Sin(float64(i)/7)))
		seconds := 0.1 * (1 + 0.05*math.Sin(float64(i*i)))
		if i > n-40 {
			seconds *= 1 + float64(i-n+40)/20
		}
		count += requests
		sum += requests * seconds
		b := &signal.Batch{ID: "ba-0-" + strconv.Itoa(i+1)}
		at := start().Add(time.Duration(i) * time.Minute).UnixMilli()
		b.Add(b.AddSeries(series(base+"_count")), at, count)
		b.Add(b.AddSeries(series(base+"_sum")), at, sum)
		batches[i] = b
	}
	return batches
}

// learnt are models as a training brings them.
func learnt(t *testing.T) outlook.Models {
	t.Helper()
	y := make([]float64, 400)
	for i := range y {
		y[i] = 0.1 * (1 + 0.05*math.Sin(float64(i*i)))
	}
	model, err := deepar.Train(t.Context(), []deepar.Series{{Start: start(), Target: y}}, deepar.Config{
		Freq: deepar.Freq{N: 1, Unit: "min"}, PredictionLength: 60, NumLayers: 1, NumCells: 8, Epochs: 2, BatchesPerEpoch: 2, MiniBatchSize: 8,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	weights, err := model.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := gob.NewEncoder(&file).Encode(struct {
		Until  int64
		Models map[string][]byte
	}{1, map[string][]byte{outlook.ResponseTime: weights, outlook.Requests: weights}}); err != nil {
		t.Fatal(err)
	}
	var m outlook.Models
	if err := m.UnmarshalBinary(file.Bytes()); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestAdoptionIsMetAgainAfterAKill: a model taken up after the last checkpoint is in use from the same message on when the
// stream is read again, and so the same is said.
func TestAdoptionIsMetAgainAfterAKill(t *testing.T) {
	t.Parallel()
	tape240, models := shopTape(240), learnt(t)
	dir := t.TempDir()
	c := RunnerConfig{Detectors: []Config{{Name: "shop", Kind: "deepar", Entity: "service", Limits: map[string]float64{"response_time": 0.15}}}, Dir: dir, Every: time.Hour}
	run := func(upto, learn int, b *book) *Runner {
		r, err := NewRunner(c, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if err := r.Run(ctx, &tape{batches: tape240[:upto], ended: cancel, played: func(i int) {
			if i == learn {
				r.outlooks[0].learned <- models
			}
		}}, b, b, nil); err != nil {
			t.Fatal(err)
		}
		return r
	}
	said := &book{events: map[string]signal.Event{}}
	run(100, 0, said)
	before := t.TempDir()
	if err := os.CopyFS(before, os.DirFS(filepath.Join(dir, "state"))); err != nil {
		t.Fatal(err)
	}
	want := run(240, 150, said).Outlooks("service:shop")
	if len(want) == 0 || !strings.Contains(want[0].Method, "deepar (loss") {
		t.Fatalf("the model isn't judged: %+v", want)
	}
	if len(said.events) == 0 {
		t.Fatal("nothing was said")
	}

	// Killed: the checkpoint is of message 100, the weights are there.
	if err := os.RemoveAll(filepath.Join(dir, "state")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "state"), os.DirFS(before)); err != nil {
		t.Fatal(err)
	}
	again := &book{events: map[string]signal.Event{}}
	r := run(240, 0, again)
	if d := cmp.Diff(want, r.Outlooks("service:shop")); d != "" {
		t.Errorf("read again, it forecasts otherwise: %s", d)
	}
	for id, e := range again.events {
		if d := cmp.Diff(said.events[id], e); d != "" {
			t.Errorf("read again, it says otherwise: %s", d)
		}
	}
	if len(again.events) != len(said.events) { // all was said after message 100
		t.Errorf("%d events, read again %d", len(said.events), len(again.events))
	}

	// The weights are in a file of their own, which goes once nobody comes by it any more.
	weights := func() int {
		names, err := filepath.Glob(filepath.Join(dir, "outlook", "*.weights"))
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	if weights() != 1 {
		t.Errorf("%d files of weights", weights())
	}
	o := r.outlooks[0]
	for seq := range uint64(2) {
		if err := o.adopted.put(300+seq, models, 240+59*seq); err != nil {
			t.Fatal(err)
		}
	}
	if weights() != 2 || o.adopted.at(299) != 0 || o.adopted.at(300) != 300 || o.adopted.at(999) != 301 {
		t.Errorf("%d files of weights, %v", weights(), o.adopted.seqs)
	}
}
