package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.uber.org/goleak"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	"homeostat/internal/signal"
	"homeostat/internal/source"
	"homeostat/internal/source/sourcetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// at is the time of the samples in these tests, whole milliseconds.
var at = time.Now().Truncate(time.Millisecond)

// export makes a request of one resource and adds its metrics with fill.
func export(attributes map[string]any, fill func(ms pmetric.MetricSlice)) pmetricotlp.ExportRequest {
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	if err := rm.Resource().Attributes().FromRaw(attributes); err != nil {
		panic(err)
	}
	fill(rm.ScopeMetrics().AppendEmpty().Metrics())
	return pmetricotlp.NewExportRequestFromMetrics(md)
}

func gauge(ms pmetric.MetricSlice, name, unit string, v float64) pmetric.NumberDataPoint {
	m := ms.AppendEmpty()
	m.SetName(name)
	m.SetUnit(unit)
	p := m.SetEmptyGauge().DataPoints().AppendEmpty()
	p.SetDoubleValue(v)
	p.SetTimestamp(pcommon.NewTimestampFromTime(at))
	return p
}

func sum(ms pmetric.MetricSlice, name, unit string, t pmetric.AggregationTemporality, v float64) {
	m := ms.AppendEmpty()
	m.SetName(name)
	m.SetUnit(unit)
	m.SetDescription("What " + name + " counts.")
	s := m.SetEmptySum()
	s.SetIsMonotonic(true)
	s.SetAggregationTemporality(t)
	p := s.DataPoints().AppendEmpty()
	p.SetDoubleValue(v)
	p.SetTimestamp(pcommon.NewTimestampFromTime(at))
	p.Attributes().PutStr("disk.io.direction", "read")
}

// whole is a request with a bit of everything that can be used.
func whole() pmetricotlp.ExportRequest {
	return export(map[string]any{"host.name": "web-1", "host.id": "i-1", "service.name": "cart", "os.type": "linux"}, func(ms pmetric.MetricSlice) {
		gauge(ms, "system.memory.utilization", "1", 0.5)
		sum(ms, "system.disk.io", "By", pmetric.AggregationTemporalityCumulative, 42)
		gauge(ms, "gone", "", 0).SetFlags(pmetric.DefaultDataPointFlags.WithNoRecordedValue(true))
		m := ms.AppendEmpty()
		m.SetName("latency")
		m.SetUnit("s")
		e := m.SetEmptyExponentialHistogram()
		e.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		p := e.DataPoints().AppendEmpty()
		p.SetTimestamp(pcommon.NewTimestampFromTime(at))
		p.SetScale(3)
		p.SetCount(5)
		p.SetSum(7)
		p.SetZeroCount(1)
		p.Positive().SetOffset(2)
		p.Positive().BucketCounts().FromRaw([]uint64{1, 3})
	})
}

// post sends one request to h.
func post(t testing.TB, h http.Handler, contentType, encoding string, body []byte) (*http.Response, []byte) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/metrics", bytes.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	if encoding != "" {
		r.Header.Set("Content-Encoding", encoding)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	text, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Result(), text
}

func zipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestTakesWhatOpenTelemetrySends(t *testing.T) {
	pb, err := whole().MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	js, err := whole().MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, contentType, encoding string
		body                        []byte
	}{
		{"protobuf", "application/x-protobuf", "", pb},
		{"protobuf and gzip", "application/x-protobuf", "gzip", zipped(t, pb)},
		{"JSON", "application/json; charset=utf-8", "", js},
		{"JSON and gzip", "application/json", "gzip", zipped(t, js)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sink := &sourcetest.Sink{}
			h := Handler(sink, Config{}, nil, nil)
			resp, text := post(t, h, tt.contentType, tt.encoding, tt.body)
			if resp.StatusCode != http.StatusOK || !strings.HasPrefix(tt.contentType, resp.Header.Get("Content-Type")) {
				t.Fatalf("%d %s: %s", resp.StatusCode, resp.Header.Get("Content-Type"), text)
			}
			b := sink.Batches()[0]
			if err := sourcetest.Check(&b); err != nil {
				t.Fatal(err)
			}
			got := map[string]float64{}
			for _, s := range sink.Samples() {
				if s.Time != at.UnixMilli() {
					t.Errorf("%s at %d, want %d", s.Series, s.Time, at.UnixMilli())
				}
				got[s.Series] = s.Value
			}
			if bits := math.Float64bits(got[`gone{host_id="i-1",host_name="web-1",job="cart",service_name="cart"}`]); bits != value.StaleNaN {
				t.Errorf("what has no recorded value is %x, want a stale marker", bits)
			}
			delete(got, `gone{host_id="i-1",host_name="web-1",job="cart",service_name="cart"}`)
			want := map[string]float64{
				`system_memory_utilization_ratio{host_id="i-1",host_name="web-1",job="cart",service_name="cart"}`:                     0.5,
				`system_disk_io_bytes_total{disk_io_direction="read",host_id="i-1",host_name="web-1",job="cart",service_name="cart"}`: 42,
				`target_info{host_id="i-1",host_name="web-1",job="cart",os_type="linux"}`:                                             1,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			for _, s := range b.Dict {
				if s.Entity != "host:web-1" {
					t.Errorf("%s belongs to %s", s.Labels, s.Entity)
				}
			}
			if len(b.Histograms) != 1 {
				t.Fatalf("%d histograms", len(b.Histograms))
			}
			var hist prompb.Histogram
			if err := hist.Unmarshal(b.Histograms[0].Data); err != nil {
				t.Fatal(err)
			}
			if ih := hist.ToIntHistogram(); ih.Count != 5 || ih.Sum != 7 || ih.Schema != 3 || hist.Timestamp != at.UnixMilli() {
				t.Errorf("%v at %d", ih, hist.Timestamp)
			}
			counter := signal.Meta{Name: "system_disk_io_bytes_total", Type: "counter", Unit: "bytes", Help: "What system.disk.io counts."}
			found := false
			for _, m := range b.Meta {
				found = found || m == counter
			}
			if !found {
				t.Errorf("no metadata %+v among %+v", counter, b.Meta)
			}
		})
	}
}

func TestServicesAreEntities(t *testing.T) {
	sink := &sourcetest.Sink{}
	body, _ := export(map[string]any{"service.name": "cart", "service.namespace": "shop", "region": "eu"}, func(ms pmetric.MetricSlice) { gauge(ms, "depth", "", 1) }).MarshalProto()
	post(t, Handler(sink, Config{Promote: []string{"region"}}, nil, nil), "application/x-protobuf", "", body)
	b := sink.Batches()[0]
	if b.Dict[0].Entity != "service:shop/cart" || b.Dict[0].Labels.Value("region") != "eu" {
		t.Errorf("%s of %s", b.Dict[0].Labels, b.Dict[0].Entity)
	}
}

func TestWhatCannotBeUsedIsAPartialSuccess(t *testing.T) {
	for _, tt := range []struct {
		name     string
		fill     func(ms pmetric.MetricSlice)
		rejected int64
		words    string
	}{
		{"delta", func(ms pmetric.MetricSlice) { sum(ms, "d", "", pmetric.AggregationTemporalityDelta, 1) }, 1, "delta"},
		{"no temporality", func(ms pmetric.MetricSlice) { sum(ms, "d", "", pmetric.AggregationTemporalityUnspecified, 1) }, 1, "delta"},
		{"the future", func(ms pmetric.MetricSlice) {
			gauge(ms, "f", "", 1).SetTimestamp(pcommon.NewTimestampFromTime(at.Add(time.Hour)))
		}, 1, "future"},
		{"no name", func(ms pmetric.MetricSlice) { gauge(ms, "", "", 1) }, 1, ""},
		{"too long", func(ms pmetric.MetricSlice) {
			gauge(ms, "l", "", 1).Attributes().PutStr("a", strings.Repeat("a", 40_000))
		}, 1, "too_long"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sink := &sourcetest.Sink{}
			body, err := export(map[string]any{"host.name": "web-1"}, func(ms pmetric.MetricSlice) {
				tt.fill(ms)
				gauge(ms, "good", "", 1)
			}).MarshalProto()
			if err != nil {
				t.Fatal(err)
			}
			resp, text := post(t, Handler(sink, Config{}, nil, nil), "application/x-protobuf", "", body)
			answer := pmetricotlp.NewExportResponse()
			if err := answer.UnmarshalProto(text); err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("%d: %v", resp.StatusCode, err)
			}
			if p := answer.PartialSuccess(); p.RejectedDataPoints() != tt.rejected || !strings.Contains(p.ErrorMessage(), tt.words) {
				t.Errorf("rejected %d: %s", p.RejectedDataPoints(), p.ErrorMessage())
			}
			if got := sink.Samples(); len(got) != 1 || got[0].Series != `good{host_name="web-1"}` {
				t.Errorf("got %v, want the good one alone", got)
			}
		})
	}
}

func TestPointsFarApartDoNotFillTheStream(t *testing.T) {
	sink := &sourcetest.Sink{}
	body, _ := export(map[string]any{"service.name": "cart", "os.type": "linux"}, func(ms pmetric.MetricSlice) {
		gauge(ms, "old", "", 1).SetTimestamp(1)
		gauge(ms, "new", "", 1)
	}).MarshalProto()
	if resp, _ := post(t, Handler(sink, Config{}, nil, nil), "application/x-protobuf", "", body); resp.StatusCode != http.StatusOK {
		t.Error(resp.StatusCode)
	}
	if n := len(sink.Samples()); n > maxTargetInfo+2 {
		t.Errorf("%d samples of 2 data points", n)
	}
}

func TestRequestsThatAreWrong(t *testing.T) {
	good, _ := whole().MarshalProto()
	for _, tt := range []struct {
		name, contentType, encoding string
		config                      Config
		body                        []byte
		status                      int
	}{
		{"not protobuf", "application/x-protobuf", "", Config{}, []byte("\xff\xff\xff"), 400},
		{"not JSON", "application/json", "", Config{}, []byte("{"), 400},
		{"not gzip", "application/json", "gzip", Config{}, []byte("{}"), 400},
		{"another encoding", "application/json", "br", Config{}, []byte("{}"), 415},
		{"another content type", "text/plain", "", Config{}, good, 415},
		{"no content type", "", "", Config{}, good, 415},
		{"body over its limit", "application/x-protobuf", "", Config{Limits: source.Limits{MaxBody: 10}}, good, 413},
		{"decoded over its limit", "application/x-protobuf", "gzip", Config{Limits: source.Limits{MaxBody: 1000, MaxDecoded: 1001}}, zipped(t, make([]byte, 100_000)), 413},
		{"switched off", "application/x-protobuf", "", Config{Off: true}, good, 404},
		{"nothing at all", "application/x-protobuf", "", Config{}, nil, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sink := &sourcetest.Sink{}
			resp, text := post(t, Handler(sink, tt.config, nil, nil), tt.contentType, tt.encoding, tt.body)
			if resp.StatusCode != tt.status || len(sink.Batches()) != 0 {
				t.Errorf("%d %s, %d batches", resp.StatusCode, text, len(sink.Batches()))
			}
			if (tt.status == 400 || tt.status == 413) && resp.Header.Get("Content-Type") == "application/x-protobuf" {
				var s spb.Status
				if err := proto.Unmarshal(text, &s); err != nil || s.Message == "" {
					t.Errorf("the answer is no Status: %v %v", err, &s)
				}
			}
		})
	}
	w := httptest.NewRecorder()
	Handler(&sourcetest.Sink{}, Config{}, nil, nil).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/metrics", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", w.Code)
	}
}

func TestSendersAreAskedToTryAgainWhenTheStreamIsFull(t *testing.T) {
	sink := &sourcetest.Sink{}
	sink.Refuse(errors.New("disk full"))
	h := Handler(sink, Config{}, nil, nil)
	body, _ := whole().MarshalProto()
	resp, _ := post(t, h, "application/x-protobuf", "", body)
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || h.Health().Ready {
		t.Errorf("%d, Retry-After %q, %+v", resp.StatusCode, resp.Header.Get("Retry-After"), h.Health())
	}
	sink.Refuse(nil)
	if resp, _ := post(t, h, "application/x-protobuf", "", body); resp.StatusCode != http.StatusOK || !h.Health().Ready {
		t.Errorf("%d, %+v", resp.StatusCode, h.Health())
	}
}

// discard takes everything at once.
type discard struct{ t testing.TB }

func (d discard) Append(_ context.Context, b *signal.Batch) error {
	if d.t != nil {
		if err := sourcetest.Check(b); err != nil {
			d.t.Error(err)
		}
	}
	return nil
}

func FuzzRequest(f *testing.F) {
	pb, _ := whole().MarshalProto()
	js, _ := whole().MarshalJSON()
	f.Add(pb, false)
	f.Add(js, true)
	f.Add([]byte("{}"), true)
	f.Fuzz(func(t *testing.T, body []byte, asJSON bool) {
		media := "application/x-protobuf"
		if asJSON {
			media = "application/json"
		}
		resp, text := post(t, Handler(discard{t}, Config{}, nil, nil), media, "", body)
		if s := resp.StatusCode; s != 200 && s != 400 {
			t.Fatalf("%d %s", s, text)
		}
	})
}

func BenchmarkRequest(b *testing.B) {
	const n = 1000
	body, _ := export(map[string]any{"host.name": "web-1", "service.name": "cart"}, func(ms pmetric.MetricSlice) {
		for range 10 {
			m := ms.AppendEmpty()
			m.SetName("requests")
			s := m.SetEmptySum()
			s.SetIsMonotonic(true)
			s.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
			for i := range n / 10 {
				p := s.DataPoints().AppendEmpty()
				p.SetTimestamp(pcommon.NewTimestampFromTime(at))
				p.SetIntValue(int64(i))
				p.Attributes().PutInt("path", int64(i))
			}
		}
	}).MarshalProto()
	h := Handler(discard{}, Config{}, nil, nil)
	b.ReportAllocs()
	for b.Loop() {
		if resp, _ := post(b, h, "application/x-protobuf", "", body); resp.StatusCode != http.StatusOK {
			b.Fatal(resp.StatusCode)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "samples/s")
}
