package remotewrite

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"homeostat/internal/signal"
	"homeostat/internal/source/sourcetest"
)

// many is a request as Prometheus sends it: n series of ten labels, one sample each.
func many(t testing.TB, n int) []byte {
	w := &prompb.WriteRequest{}
	for i := range n {
		w.Timeseries = append(w.Timeseries, prompb.TimeSeries{
			Labels: []prompb.Label{
				pair("__name__", fmt.Sprintf("metric_%d_total", i%50)), pair("az", "eu-west-1a"), pair("cluster", "prod"), pair("cpu", fmt.Sprint(i%8)), pair("env", "prod"),
				pair("host_name", fmt.Sprintf("web-%d", i/400)), pair("instance", fmt.Sprintf("10.0.0.%d:9100", i/400)), pair("job", "node"), pair("mode", fmt.Sprint(i)), pair("region", "eu"),
			},
			Samples: []prompb.Sample{{Timestamp: time.Now().UnixMilli(), Value: float64(i)}},
		})
	}
	return request1(t, w)
}

// discard takes everything at once.
type discard struct{}

func (discard) Append(_ context.Context, _ *signal.Batch) error { return nil }

func BenchmarkDecode(b *testing.B) {
	const n = 1000
	body := many(b, n)
	h := Handler(discard{}, Config{}, nil, nil)
	rd := bytes.NewReader(body)
	b.ReportAllocs()
	for b.Loop() {
		rd.Reset(body)
		r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/api/v1/write", rd)
		r.Header.Set("Content-Encoding", "snappy")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusNoContent {
			b.Fatal(w.Code, w.Body)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "samples/s")
}

// BenchmarkDecodeGenerated is what the generated decoder alone costs, for comparison.
func BenchmarkDecodeGenerated(b *testing.B) {
	const n = 1000
	body := many(b, n)
	b.ReportAllocs()
	for b.Loop() {
		raw, err := snappy.Decode(nil, body)
		if err != nil {
			b.Fatal(err)
		}
		var w prompb.WriteRequest
		if err := w.Unmarshal(raw); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "samples/s")
}

func TestKnownSeriesCostNoMemory(t *testing.T) {
	raw, err := snappy.Decode(nil, many(t, 1000))
	if err != nil {
		t.Fatal(err)
	}
	h := Handler(discard{}, Config{}, nil, nil)
	d := h.pool.Get().(*decoder)
	d.latest = time.Now().Add(time.Hour).UnixMilli()
	if n := testing.AllocsPerRun(20, func() {
		if err := d.v1(raw); err != nil {
			t.Fatal(err)
		}
		d.reset()
	}); n > 5 {
		t.Errorf("%v allocations for 1,000 known series", n)
	}
}

func FuzzDecode(f *testing.F) {
	st := writev2.NewSymbolTable()
	refs := st.SymbolizeLabels(labels.FromStrings("__name__", "x", "host_name", "a"), nil)
	w2 := &writev2.Request{Symbols: st.Symbols(), Timeseries: []writev2.TimeSeries{
		{LabelsRefs: refs, Samples: []writev2.Sample{{Timestamp: 1, Value: 2}}, Metadata: writev2.Metadata{Type: 1}},
		{LabelsRefs: refs, Histograms: []writev2.Histogram{writev2.FromIntHistogram(0, 1, intHistogram())}},
	}}
	b2, _ := w2.Marshal()
	fine := intHistogram()
	fine.Schema = 12
	w1 := &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{
		Labels: []prompb.Label{pair("__name__", "x")}, Samples: []prompb.Sample{{Timestamp: 1, Value: 2}},
		Histograms: []prompb.Histogram{prompb.FromIntHistogram(1, intHistogram()), prompb.FromIntHistogram(2, fine)}, Exemplars: []prompb.Exemplar{{Value: 1}},
	}}, Metadata: []prompb.MetricMetadata{{Type: 1, MetricFamilyName: "x"}}}
	b1, _ := w1.Marshal()
	f.Add(b1, false)
	f.Add(b2, true)
	f.Add([]byte{0xff}, true)
	f.Fuzz(func(t *testing.T, raw []byte, two bool) {
		h := Handler(discard{}, Config{}, nil, nil)
		d := h.pool.Get().(*decoder)
		d.latest = math.MaxInt64
		decode := d.v1
		if two {
			decode = d.v2
		}
		if err := decode(raw); err != nil {
			return
		}
		b := &d.g.Batch
		if err := sourcetest.Check(b); err != nil {
			t.Fatal(err)
		}
		for _, hist := range b.Histograms {
			var h prompb.Histogram
			if err := h.Unmarshal(hist.Data); err != nil {
				t.Fatal(err)
			}
		}
		// Series that are known by their text are the same series.
		first, aside := []string{}, fmt.Sprint(d.aside) // with the labels of an example each
		for i, k := range b.Series {
			first = append(first, fmt.Sprint(b.Dict[k].Labels, b.Times[i], math.Float64bits(b.Values[i])))
		}
		d.reset()
		d.latest = math.MaxInt64
		if err := decode(raw); err != nil {
			t.Fatalf("the second time: %v", err)
		}
		for i, k := range b.Series {
			if i >= len(first) || first[i] != fmt.Sprint(b.Dict[k].Labels, b.Times[i], math.Float64bits(b.Values[i])) {
				t.Fatalf("sample %d differs the second time", i)
			}
		}
		if len(b.Series) != len(first) || aside != fmt.Sprint(d.aside) {
			t.Fatalf("%d samples and %v set aside, the second time %d and %v", len(first), aside, len(b.Series), d.aside)
		}
		// What the generated decoder takes as version 1.0 has the same number of samples here, used or set aside.
		if !two {
			var w prompb.WriteRequest
			if err := w.Unmarshal(raw); err == nil {
				want, got := 0, b.Len()
				for _, ts := range w.Timeseries {
					want += len(ts.Samples) + len(ts.Histograms)
				}
				for _, a := range d.aside {
					got += a.samples
				}
				if got != want {
					t.Fatalf("%d samples, the generated decoder sees %d", got, want)
				}
			}
		}
	})
}
