package remotewrite

import (
	"bytes"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/snappy"
	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	configutil "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/storage/remote"
	"go.uber.org/goleak"

	"homeostat/internal/signal"
	"homeostat/internal/source"
	"homeostat/internal/source/sourcetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	type1 = "application/x-protobuf"
	type2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
)

// pair is a label of a request.
func pair(name, value string) prompb.Label { return prompb.Label{Name: name, Value: value} }

// request1 encodes a request of 1.0.
func request1(t testing.TB, w *prompb.WriteRequest) []byte {
	t.Helper()
	b, err := w.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return snappy.Encode(nil, b)
}

// request2 encodes a request of 2.0.
func request2(t testing.TB, w *writev2.Request) []byte {
	t.Helper()
	b, err := w.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return snappy.Encode(nil, b)
}

// post sends a body to a new handler and returns the answer and what the sink got.
func post(t *testing.T, c Config, contentType string, body []byte) (*http.Response, string, *sourcetest.Sink, *prometheus.Registry) {
	t.Helper()
	sink, reg := &sourcetest.Sink{}, prometheus.NewRegistry()
	h := Handler(sink, c, nil, reg)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/write", bytes.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Content-Encoding", "snappy")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	text, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range sink.Batches() {
		if err := sourcetest.Check(&b); err != nil {
			t.Error(err)
		}
	}
	return w.Result(), string(text), sink, reg
}

func intHistogram() *histogram.Histogram {
	return &histogram.Histogram{
		Schema: 1, ZeroThreshold: 0.001, ZeroCount: 2, Count: 7, Sum: 9.5,
		PositiveSpans: []histogram.Span{{Offset: 0, Length: 2}}, PositiveBuckets: []int64{2, 1},
	}
}

// sent is what both versions are made to send, and what must come out.
var sent = []sourcetest.Sample{
	{Series: `up{instance="a:9090", job="node"}`, Time: 1000, Value: 1},
	{Series: `up{instance="a:9090", job="node"}`, Time: 2000, Value: math.Float64frombits(value.StaleNaN)},
	{Series: `http_requests_total{code="200", host_name="web-1"}`, Time: 1500, Value: math.Inf(1)},
}

// TestTakesWhatPrometheusSends uses Prometheus' own encoder and client for both versions, over a real connection.
func TestTakesWhatPrometheusSends(t *testing.T) {
	fh := histogram.FloatHistogram{Schema: 0, Count: 3, Sum: 4.5, ZeroThreshold: 0.01, PositiveSpans: []histogram.Span{{Length: 1}}, PositiveBuckets: []float64{3}}
	up := labels.FromStrings("__name__", "up", "instance", "a:9090", "job", "node")
	reqs := labels.FromStrings("__name__", "http_requests_total", "code", "200", "host_name", "web-1")
	lat := labels.FromStrings("__name__", "latency_seconds", "host_name", "web-1")

	v1 := request1(t, &prompb.WriteRequest{
		Timeseries: []prompb.TimeSeries{
			{Labels: prompb.FromLabels(up, nil), Samples: []prompb.Sample{{Timestamp: 1000, Value: 1}, {Timestamp: 2000, Value: math.Float64frombits(value.StaleNaN)}}},
			{
				Labels: prompb.FromLabels(reqs, nil), Samples: []prompb.Sample{{Timestamp: 1500, Value: math.Inf(1)}},
				Exemplars: []prompb.Exemplar{{Value: 1, Timestamp: 1500, Labels: []prompb.Label{pair("trace_id", "x")}}},
			},
			{Labels: prompb.FromLabels(lat, nil), Histograms: []prompb.Histogram{prompb.FromIntHistogram(1700, intHistogram()), prompb.FromFloatHistogram(1800, &fh)}},
		},
		Metadata: []prompb.MetricMetadata{{Type: prompb.MetricMetadata_COUNTER, MetricFamilyName: "http_requests_total", Help: "Requests.", Unit: ""}},
	})
	st := writev2.NewSymbolTable()
	w2 := &writev2.Request{Timeseries: []writev2.TimeSeries{
		{LabelsRefs: st.SymbolizeLabels(up, nil), Samples: []writev2.Sample{{Timestamp: 1000, Value: 1}, {Timestamp: 2000, Value: math.Float64frombits(value.StaleNaN)}}},
		{
			LabelsRefs: st.SymbolizeLabels(reqs, nil), Samples: []writev2.Sample{{Timestamp: 1500, Value: math.Inf(1)}},
			Exemplars: []writev2.Exemplar{{Value: 1, Timestamp: 1500}},
			Metadata:  writev2.Metadata{Type: writev2.Metadata_METRIC_TYPE_COUNTER, HelpRef: st.Symbolize("Requests.")},
		},
		{LabelsRefs: st.SymbolizeLabels(lat, nil), Histograms: []writev2.Histogram{writev2.FromIntHistogram(0, 1700, intHistogram()), writev2.FromFloatHistogram(0, 1800, &fh)}},
	}}
	w2.Symbols = st.Symbols()

	for _, tt := range []struct {
		name string
		msg  remoteapi.WriteMessageType
		body []byte
		want remoteapi.WriteResponseStats
	}{
		{"1.0", remoteapi.WriteV1MessageType, v1, remoteapi.WriteResponseStats{}},
		{"2.0", remoteapi.WriteV2MessageType, request2(t, w2), remoteapi.WriteResponseStats{Samples: 3, Histograms: 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sink, reg := &sourcetest.Sink{}, prometheus.NewRegistry()
			srv := httptest.NewServer(Handler(sink, Config{}, nil, reg))
			defer srv.Close()
			u, _ := url.Parse(srv.URL + "/api/v1/write")
			client, err := remote.NewWriteClient("test", &remote.ClientConfig{
				URL: &configutil.URL{URL: u}, Timeout: model.Duration(10 * time.Second), WriteProtoMsg: tt.msg,
				HTTPClientConfig: configutil.HTTPClientConfig{EnableHTTP2: false},
			})
			if err != nil {
				t.Fatal(err)
			}
			stats, err := client.Store(t.Context(), tt.body, 0)
			if err != nil {
				t.Fatal(err)
			}
			if stats.Samples != tt.want.Samples || stats.Histograms != tt.want.Histograms {
				t.Errorf("told %+v, want %+v", stats, tt.want)
			}
			got := sink.Samples()
			if len(got) != len(sent) {
				t.Fatalf("%d samples, want %d: %v", len(got), len(sent), got)
			}
			for i, want := range sent {
				if got[i].Time != want.Time || math.Float64bits(got[i].Value) != math.Float64bits(want.Value) || got[i].Series != strings.ReplaceAll(want.Series, ", ", ",") {
					t.Errorf("row %d: %+v, want %+v", i, got[i], want)
				}
			}
			b := sink.Batches()[0]
			if b.Dict[1].Entity != "host:web-1" {
				t.Errorf("entity %s", b.Dict[1].Entity)
			}
			if diff := cmp.Diff([]signal.Meta{{Name: "http_requests_total", Type: "counter", Help: "Requests."}}, b.Meta); diff != "" {
				t.Error(diff)
			}
			if len(b.Histograms) != 2 {
				t.Fatalf("%d histograms", len(b.Histograms))
			}
			var h prompb.Histogram
			if err := h.Unmarshal(b.Histograms[0].Data); err != nil {
				t.Fatal(err)
			}
			if got := h.ToIntHistogram(); !got.Equals(intHistogram()) || h.Timestamp != 1700 || b.Histograms[0].Time != 1700 {
				t.Errorf("histogram %v at %d", got, h.Timestamp)
			}
			h = prompb.Histogram{}
			if err := h.Unmarshal(b.Histograms[1].Data); err != nil || !h.IsFloatHistogram() || !h.ToFloatHistogram().Equals(&fh) {
				t.Errorf("float histogram %v, %v", h, err)
			}
			if n := testutil.ToFloat64(metric(reg, t, "homeostat_source_set_aside_total")); n != 1 {
				t.Errorf("%v exemplars counted, want 1", n)
			}
			// 2.0 tells metadata with every sample; the stream hears it once.
			if _, err := client.Store(t.Context(), tt.body, 0); err != nil {
				t.Fatal(err)
			}
			if b := sink.Batches()[1]; len(b.Meta) != 0 {
				t.Errorf("metadata told again: %v", b.Meta)
			}
			srv.CloseClientConnections()
			http.DefaultClient.CloseIdleConnections()
		})
	}
}

// metric finds the only counter of a family.
func metric(reg *prometheus.Registry, t *testing.T, name string) prometheus.Collector {
	t.Helper()
	fams, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range fams {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	c := prometheus.NewGauge(prometheus.GaugeOpts{Name: "sum"})
	c.Set(sum)
	return c
}

func TestRequestsThatAreWrong(t *testing.T) {
	good := request1(t, &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{
		Labels: []prompb.Label{pair("__name__", "up")}, Samples: []prompb.Sample{{Timestamp: 1, Value: 1}},
	}}})
	for _, tt := range []struct {
		name, contentType string
		config            Config
		body              []byte
		status            int
		words             string
	}{
		{"not snappy", type1, Config{}, []byte("hello there"), 400, "snappy"},
		{"nothing", type1, Config{}, nil, 400, "snappy"},
		{"not protobuf", type1, Config{}, snappy.Encode(nil, []byte("\xff\xff\xff")), 400, "prometheus.WriteRequest"},
		{"cut off", type2, Config{}, snappy.Encode(nil, []byte("\x2a\x7f\x01")), 400, "write.v2.Request"},
		{"body over its limit", type1, Config{Limits: source.Limits{MaxBody: 8}}, good, 413, "limit"},
		{"decoded over its limit", type1, Config{Limits: source.Limits{MaxBody: 100, MaxDecoded: 101}}, snappy.Encode(nil, make([]byte, 102)), 413, "limit"},
		{"a length that lies", type1, Config{}, append([]byte{0xff, 0xff, 0xff, 0xff, 0x0f}, good...), 413, "limit"},
		{"another content type", "application/json", Config{}, good, 415, "application/json"},
		{"another message", "application/x-protobuf;proto=io.prometheus.write.v3.Request", Config{}, good, 415, "v3"},
		{"a broken content type", "application/x-protobuf;proto", Config{}, good, 415, "content"},
		{"switched off", type1, Config{Off: true}, good, 404, ""},
		{"parameters with a space", "application/x-protobuf; proto=prometheus.WriteRequest", Config{}, good, 204, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, words, sink, _ := post(t, tt.config, tt.contentType, tt.body)
			if resp.StatusCode != tt.status || !strings.Contains(words, tt.words) {
				t.Errorf("status %d %q, want %d and %q", resp.StatusCode, words, tt.status, tt.words)
			}
			if tt.status != 204 && len(sink.Batches()) != 0 {
				t.Error("something was stored all the same")
			}
		})
	}
}

func TestOtherMethodsAndEncodings(t *testing.T) {
	h := Handler(&sourcetest.Sink{}, Config{}, nil, nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/write", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", w.Code)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/write", strings.NewReader("x"))
	r.Header.Set("Content-Type", type1)
	r.Header.Set("Content-Encoding", "zstd")
	w = httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusUnsupportedMediaType {
		t.Errorf("zstd: %d", w.Code)
	}
}

func TestSeriesThatAreWrongAreSetAside(t *testing.T) {
	now := time.Now().UnixMilli()
	sample := []prompb.Sample{{Timestamp: now, Value: 1}}
	bad := map[string]prompb.TimeSeries{
		"no_name":         {Labels: []prompb.Label{pair("job", "x")}, Samples: sample},
		"invalid_label":   {Labels: []prompb.Label{pair("__name__", "x"), pair("a", "\xff")}, Samples: sample},
		"duplicate_label": {Labels: []prompb.Label{pair("__name__", "x"), pair("a", "1"), pair("a", "2")}, Samples: sample},
		"too_long":        {Labels: []prompb.Label{pair("__name__", "x"), pair("a", strings.Repeat("a", 40_000))}, Samples: sample},
		"future":          {Labels: []prompb.Label{pair("__name__", "x")}, Samples: []prompb.Sample{{Timestamp: now + 3_600_000}}},
		"histogram": {Labels: []prompb.Label{pair("__name__", "x")}, Histograms: []prompb.Histogram{
			prompb.FromIntHistogram(now, &histogram.Histogram{Count: 100, PositiveSpans: []histogram.Span{{Length: 3}}, PositiveBuckets: []int64{1}}),
		}},
	}
	good := prompb.TimeSeries{Labels: []prompb.Label{pair("z", "unsorted"), pair("__name__", "up"), pair("empty", "")}, Samples: sample}
	for reason, ts := range bad {
		t.Run(reason, func(t *testing.T) {
			resp, words, sink, reg := post(t, Config{}, type1, request1(t, &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{ts, good}}))
			if resp.StatusCode != http.StatusNoContent {
				t.Errorf("1.0 beside a good one: %d %s", resp.StatusCode, words)
			}
			if got := sink.Samples(); len(got) != 1 || got[0].Series != `up{z="unsorted"}` {
				t.Errorf("got %v, want the good one", got)
			}
			if n := testutil.ToFloat64(metric(reg, t, "homeostat_source_set_aside_total")); n != 1 {
				t.Errorf("%v set aside, want 1", n)
			}
			resp, words, _, _ = post(t, Config{}, type1, request1(t, &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{ts}}))
			if resp.StatusCode != http.StatusBadRequest || !strings.Contains(words, reason) {
				t.Errorf("1.0 alone: %d %q", resp.StatusCode, words)
			}
			resp, words, sink, _ = post(t, Config{}, type2, request2(t, asV2(ts, good)))
			if resp.StatusCode != http.StatusBadRequest || !strings.Contains(words, reason) {
				t.Errorf("2.0: %d %q, want 400 and the reason", resp.StatusCode, words)
			}
			if n := resp.Header.Get("X-Prometheus-Remote-Write-Samples-Written"); n != "1" || len(sink.Samples()) != 1 {
				t.Errorf("2.0: told that %s were written, of %v", n, sink.Samples())
			}
		})
	}
	t.Run("reference", func(t *testing.T) {
		w := asV2(good)
		w.Timeseries = append(w.Timeseries, writev2.TimeSeries{LabelsRefs: []uint32{1, 99}, Samples: []writev2.Sample{{Timestamp: now}}}, writev2.TimeSeries{LabelsRefs: []uint32{1}, Samples: []writev2.Sample{{Timestamp: now}}})
		resp, words, sink, _ := post(t, Config{}, type2, request2(t, w))
		if resp.StatusCode != http.StatusBadRequest || !strings.Contains(words, "2 samples for reference") || len(sink.Samples()) != 1 {
			t.Errorf("%d %q, %v", resp.StatusCode, words, sink.Samples())
		}
	})
	t.Run("empty", func(t *testing.T) {
		w := asV2(good)
		w.Timeseries[0].Samples = nil
		if resp, words, _, _ := post(t, Config{}, type2, request2(t, w)); resp.StatusCode != http.StatusBadRequest || !strings.Contains(words, "empty") {
			t.Errorf("%d %q", resp.StatusCode, words)
		}
	})
}

// asV2 writes series of 1.0 as a request of 2.0, labels in the order that they have.
func asV2(series ...prompb.TimeSeries) *writev2.Request {
	st := writev2.NewSymbolTable()
	w := &writev2.Request{}
	for _, ts := range series {
		var out writev2.TimeSeries
		for _, l := range ts.Labels {
			out.LabelsRefs = append(out.LabelsRefs, st.Symbolize(l.Name), st.Symbolize(l.Value))
		}
		for _, s := range ts.Samples {
			out.Samples = append(out.Samples, writev2.Sample{Timestamp: s.Timestamp, Value: s.Value})
		}
		for _, h := range ts.Histograms {
			out.Histograms = append(out.Histograms, writev2.FromIntHistogram(0, h.Timestamp, h.ToIntHistogram()))
		}
		w.Timeseries = append(w.Timeseries, out)
	}
	w.Symbols = st.Symbols()
	return w
}

func TestSendersAreAskedToTryAgainWhenTheStreamIsFull(t *testing.T) {
	sink := &sourcetest.Sink{}
	sink.Refuse(errors.New("disk full"))
	h := Handler(sink, Config{}, nil, nil)
	send := func() *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/write", bytes.NewReader(request1(t, &prompb.WriteRequest{
			Timeseries: []prompb.TimeSeries{{Labels: []prompb.Label{pair("__name__", "up")}, Samples: []prompb.Sample{{Timestamp: 1}}}},
		})))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	w := send()
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	if s := h.Health(); s.Ready || !strings.Contains(s.State, "disk full") {
		t.Errorf("%+v", s)
	}
	sink.Refuse(nil)
	if w := send(); w.Code != http.StatusNoContent || !h.Health().Ready {
		t.Errorf("%d, %+v", w.Code, h.Health())
	}
}
