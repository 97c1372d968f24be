package stream

import (
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"homeostat/internal/signal"
)

// staleNaN is Prometheus' stale marker: its bits must survive.
var staleNaN = math.Float64frombits(0x7ff0000000000002)

func drawBatch(t *rapid.T) *signal.Batch {
	b := &signal.Batch{}
	names := rapid.SampledFrom([]string{"m", "host_name", "ünï", "a", "b", "c", "service_name"})
	seen := map[signal.SeriesID]bool{}
	for range rapid.IntRange(1, 8).Draw(t, "series") {
		s := signal.MakeSeries(signal.MakeLabels(rapid.MapOfN(names, rapid.StringN(1, 8, -1), 0, 4).Draw(t, "labels")))
		if !seen[s.ID] {
			seen[s.ID] = true
			b.AddSeries(s)
		}
	}
	series := rapid.Int32Range(0, int32(len(b.Dict)-1))
	value := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{math.NaN(), staleNaN, math.Inf(1), math.Inf(-1), math.Copysign(0, -1)}))
	for range rapid.IntRange(0, 40).Draw(t, "rows") {
		b.Add(series.Draw(t, "row"), rapid.Int64().Draw(t, "time"), value.Draw(t, "value"))
	}
	for range rapid.IntRange(0, 3).Draw(t, "histograms") {
		b.Histograms = append(b.Histograms, signal.Histogram{
			Series: series.Draw(t, "row"), Time: rapid.Int64().Draw(t, "time"), Data: rapid.SliceOf(rapid.Byte()).Draw(t, "data"),
		})
	}
	for range rapid.IntRange(0, 2).Draw(t, "meta") {
		s := rapid.String()
		b.Meta = append(b.Meta, signal.Meta{Name: s.Draw(t, "name"), Type: s.Draw(t, "type"), Unit: s.Draw(t, "unit"), Help: s.Draw(t, "help")})
	}
	for range rapid.IntRange(0, 2).Draw(t, "orders") {
		b.Orders = append(b.Orders, signal.MakeOrder(signal.Order{
			Do: signal.Mute, Detector: "host", Entity: "host:web-1", Series: "all", Anomaly: "an-1",
			Score: rapid.Float64Range(0, 1e9).Draw(t, "score"), Note: rapid.StringMatching(`[ -~]*`).Draw(t, "note"),
			At: time.UnixMilli(rapid.Int64Range(0, 1<<42).Draw(t, "at")),
		}))
	}
	return b
}

// bits returns values as bits, as NaN equals nothing.
func bits(vs []float64) []uint64 {
	out := make([]uint64, len(vs))
	for i, v := range vs {
		out[i] = math.Float64bits(v)
	}
	return out
}

// differ reports how two batches differ, "" when they don't.
func differ(want, got *signal.Batch) string {
	w, g := *want, *got
	var d strings.Builder
	d.WriteString(cmp.Diff(bits(w.Values), bits(g.Values)))
	w.Values, g.Values = nil, nil
	for _, b := range []*signal.Batch{&w, &g} {
		b.ID = ""
		b.Dict, b.Series, b.Times = slices.Clip(b.Dict), slices.Clip(b.Series), slices.Clip(b.Times)
	}
	opt := cmp.Transformer("empty", func(p []byte) string { return string(p) })
	for _, pair := range [][2]any{{w.Dict, g.Dict}, {w.Series, g.Series}, {w.Times, g.Times}, {w.Histograms, g.Histograms}, {w.Meta, g.Meta}, {w.Orders, g.Orders}} {
		if fmt.Sprint(pair[0]) != fmt.Sprint(pair[1]) {
			d.WriteString(cmp.Diff(pair[0], pair[1], opt))
		}
	}
	return d.String()
}

func codec(t testing.TB) (*encoder, *decoder) {
	t.Helper()
	enc, err := newEncoder()
	if err != nil {
		t.Fatal(err)
	}
	dec, err := newDecoder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dec.close)
	t.Cleanup(func() { enc.zstd.Close() })
	return enc, dec
}

func TestMessageReadsBackAsItWas(t *testing.T) {
	enc, dec := codec(t)
	var got signal.Batch
	rapid.Check(t, func(t *rapid.T) {
		want := drawBatch(t)
		msg, err := enc.appendMessage(nil, want)
		if err != nil {
			t.Fatal(err)
		}
		if err := dec.decode(&got, msg); err != nil {
			t.Fatal(err)
		}
		if d := differ(want, &got); d != "" {
			t.Fatal(d)
		}
	})
}

func TestEncoderRefusesWhatWouldNotReadBack(t *testing.T) {
	enc, _ := codec(t)
	series := signal.MakeSeries(signal.Labels{{Name: "__name__", Value: "m"}})
	long := make(signal.Labels, maxLabels+1)
	for _, tt := range []struct {
		name string
		b    signal.Batch
	}{
		{"columns of different length", signal.Batch{Dict: []signal.Series{series}, Series: []int32{0}, Times: []int64{1}}},
		{"a series that isn't there", signal.Batch{Dict: []signal.Series{series}, Series: []int32{1}, Times: []int64{1}, Values: []float64{1}}},
		{"a series below 0", signal.Batch{Dict: []signal.Series{series}, Series: []int32{-1}, Times: []int64{1}, Values: []float64{1}}},
		{"a histogram's series that isn't there", signal.Batch{Histograms: []signal.Histogram{{}}}},
		{"too many labels", signal.Batch{Dict: []signal.Series{{Labels: long}}, Series: []int32{0}, Times: []int64{1}, Values: []float64{1}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if msg, err := enc.appendMessage(nil, &tt.b); err == nil || len(msg) != 0 {
				t.Errorf("encoded to %d bytes, want an error", len(msg))
			}
		})
	}
}

func TestSameHashIsNotTheSameSeries(t *testing.T) {
	enc, dec := codec(t)
	b := &signal.Batch{}
	b.Add(b.AddSeries(signal.MakeSeries(signal.Labels{{Name: "__name__", Value: "m"}})), 1, 1)
	msg, err := enc.appendMessage(nil, b)
	if err != nil {
		t.Fatal(err)
	}
	// Another series stands where this one's hash points, as in a collision.
	dec.series[b.Dict[0].ID] = signal.Series{ID: b.Dict[0].ID, Labels: signal.Labels{{Name: "__name__", Value: "other"}}}
	var got signal.Batch
	if err := dec.decode(&got, msg); err != nil {
		t.Fatal(err)
	}
	if d := differ(b, &got); d != "" {
		t.Error(d)
	}
}

func TestKnownSeriesDecodeWithoutAllocation(t *testing.T) {
	enc, dec := codec(t)
	msg, err := enc.appendMessage(nil, host("web-1", 200, 1000))
	if err != nil {
		t.Fatal(err)
	}
	var b signal.Batch
	if n := testing.AllocsPerRun(100, func() {
		if err := dec.decode(&b, msg); err != nil {
			t.Fatal(err)
		}
	}); n > 8 {
		// The unpacker's own few, and the pools that the race detector empties; reading the labels anew would be hundreds.
		t.Errorf("%v allocations a message of 200 series, want 8 at most", n)
	}
}

func FuzzDecode(f *testing.F) {
	enc, dec := codec(f)
	for _, b := range []*signal.Batch{host("web-1", 3, 1000), {Histograms: []signal.Histogram{{Data: []byte("x")}}, Dict: make([]signal.Series, 1)}} {
		msg, err := enc.appendMessage(nil, b)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(msg, false)
		f.Add(slices.Clone(enc.raw), true)
	}
	f.Add([]byte{}, false)
	f.Add([]byte{2}, false)
	f.Add(binary.AppendUvarint(nil, 1<<62), true)
	f.Fuzz(func(t *testing.T, p []byte, columns bool) {
		if columns { // so that the fuzzer needn't guess zstd's checksum
			z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
			if err != nil {
				t.Fatal(err)
			}
			p = z.EncodeAll(p, []byte{codecVersion})
			z.Close()
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var b signal.Batch
		err := dec.decode(&b, p)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 64*uint64(len(dec.raw))+64<<20 {
			t.Errorf("%d bytes of input took %d", len(p), took)
		}
		if err != nil {
			return
		}
		if err := check(&b); err != nil {
			t.Errorf("decoded, but %v", err)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	enc, _ := codec(b)
	batch := realistic(1000)
	var msg []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if msg, err = enc.appendMessage(msg[:0], batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(batch.Len())*float64(b.N)/b.Elapsed().Seconds(), "samples/s")
	b.ReportMetric(float64(len(msg))/float64(batch.Len()), "bytes/sample")
}

func BenchmarkDecode(b *testing.B) {
	enc, dec := codec(b)
	batch := realistic(1000)
	msg, err := enc.appendMessage(nil, batch)
	if err != nil {
		b.Fatal(err)
	}
	var got signal.Batch
	b.ReportAllocs()
	for b.Loop() {
		if err := dec.decode(&got, msg); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(batch.Len())*float64(b.N)/b.Elapsed().Seconds(), "samples/s")
}

// realistic is a batch as remote write brings it: n series with ten labels, a sample each, of values that differ.
func realistic(n int) *signal.Batch {
	b := &signal.Batch{}
	for i := range n {
		s := b.AddSeries(signal.MakeSeries(signal.MakeLabels(map[string]string{
			"__name__": fmt.Sprintf("http_server_request_duration_seconds_%d", i%40), "host_name": fmt.Sprintf("web-%d", i/100),
			"instance": fmt.Sprintf("10.0.3.%d:9100", i/100), "job": "node", "cloud_region": "eu-central-1",
			"deployment_environment_name": "prod", "http_route": fmt.Sprintf("/api/v1/things/%d", i%17), "http_request_method": "GET",
			"service_name": "shop", "pod": fmt.Sprintf("shop-7c9d8f-%04x", i*7919%65536),
		})))
		b.Add(s, 1_700_000_000_000+int64(i%3), math.Sqrt(float64(i)*1.37))
	}
	return b
}

func TestEncoderPacksAHeadOnceAndMixesNone(t *testing.T) {
	e, d := codec(t)
	// Few series, so that batches often begin alike: a head is taken again only for the same series in the same order.
	var known []signal.Series
	for i := range 3 {
		known = append(known, signal.MakeSeries(signal.MakeLabels(map[string]string{signal.MetricName: "m", "i": fmt.Sprint(i)})))
	}
	known = append(known, signal.MakeSeries(nil), signal.MakeSeries(known[0].Labels[:1]))
	rapid.Check(t, func(t *rapid.T) {
		for range rapid.IntRange(1, 20).Draw(t, "batches") {
			want := &signal.Batch{}
			for _, i := range rapid.Permutation([]int{0, 1, 2, 3, 4}).Draw(t, "order")[:rapid.IntRange(1, 5).Draw(t, "series")] {
				want.Add(want.AddSeries(known[i]), rapid.Int64().Draw(t, "time"), rapid.Float64().Draw(t, "value"))
			}
			if rapid.IntRange(0, 4).Draw(t, "meta") == 0 {
				want.Meta = []signal.Meta{{Name: "m", Help: "of m"}}
			}
			if rapid.IntRange(0, 4).Draw(t, "histogram") == 0 {
				want.Histograms = []signal.Histogram{{Series: 0, Time: 5, Data: []byte("h")}}
			}
			msg, err := e.appendMessage(nil, want)
			if err != nil {
				t.Fatal(err)
			}
			var got signal.Batch
			if err := d.decode(&got, msg); err != nil {
				t.Fatal(err)
			}
			if diff := differ(want, &got); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

func TestDecoderKnowsAHeadAgainAndMixesNone(t *testing.T) {
	e, err := newEncoder()
	if err != nil {
		t.Fatal(err)
	}
	d, err := newDecoder()
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	batch := func(host string, value float64, meta bool) *signal.Batch {
		b := &signal.Batch{}
		for _, name := range []string{"a_ratio", "b_ratio"} {
			s := b.AddSeries(signal.MakeSeries(signal.MakeLabels(map[string]string{signal.MetricName: name, "host_name": host})))
			b.Add(s, 1000, value)
		}
		if meta {
			b.Meta = []signal.Meta{{Name: "a_ratio", Type: "gauge", Help: "of " + host}}
		}
		return b
	}
	for i := range 200 {
		// More hosts than heads are kept, each met several times, with and without what stands behind the head.
		want := batch(fmt.Sprintf("web-%d", i%40), float64(i), i%3 == 0)
		msg, err := e.appendMessage(nil, want)
		if err != nil {
			t.Fatal(err)
		}
		var got signal.Batch
		if err := d.decode(&got, msg); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, &got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("message %d (-want +got):\n%s", i, diff)
		}
	}
	if n := len(d.heads); n == 0 || n > headsKept {
		t.Errorf("%d heads are kept, want 1 to %d", n, headsKept)
	}
}
