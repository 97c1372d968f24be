package main

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"

	"homeostat/internal/history"
	"homeostat/internal/signal"
)

// requests are what a histogram of one route has counted.
type requests struct {
	counts [21]uint64
	total  uint64
	sum    float64
}

// bounds are those of the histogram's buckets: 0.15 s apart, to 3 s.
func bounds() []float64 {
	b := make([]float64, 20)
	for i := range b {
		b[i] = 0.15 * float64(i+1)
	}
	return b
}

// serve adds a minute of 300 requests of 0.02 to 0.4 s, a little more or less each minute, times slower.
func (r *requests) serve(minute int, slower float64) {
	slower *= 1 + 0.04*(float64(minute*minute*7919%101)/101-0.5)
	bounds := bounds()
	for i := range 300 {
		d := slower * (0.02 + 0.38*float64(i)/300)
		b := 0
		for b < len(bounds) && d > bounds[b] {
			b++
		}
		r.counts[b]++
		r.total++
		r.sum += d
	}
}

func (r *requests) point(dp pmetric.HistogramDataPoint, route string, at time.Time) {
	dp.Attributes().PutStr("http.route", route)
	dp.Attributes().PutStr("http.request.method", "GET")
	dp.Attributes().PutInt("http.response.status_code", 200)
	dp.SetStartTimestamp(pcommon.NewTimestampFromTime(at.Add(-24 * time.Hour)))
	dp.SetTimestamp(pcommon.NewTimestampFromTime(at))
	dp.SetCount(r.total)
	dp.SetSum(r.sum)
	dp.ExplicitBounds().FromRaw(bounds())
	dp.BucketCounts().FromRaw(r.counts[:])
}

// TestSlowServiceFromOTLPToTheIncident sends seven hours of http.server.request.duration as an SDK does, to a loop without
// configuration but for a rule, and looks for what is told of it.
func TestSlowServiceFromOTLPToTheIncident(t *testing.T) {
	cfg := defaultConfig()
	cfg.Listen = "127.0.0.1:0"
	cfg.Sources.Host.Off = true
	p := checked(t, &cfg)
	p.rules = append(p.rules, history.RuleFile{Name: "slo.yaml", Text: []byte(`groups:
  - name: slo
    rules:
      - alert: CartIsSlow
        expr: histogram_quantile(0.95, sum by (le, service_name, http_route) (rate(http_server_request_duration_seconds_bucket{http_route="/cart"}[5m]))) > 1.9
        for: 1h
`)})
	l, _ := runInProcess(t, cfg, p, t.TempDir())
	ctx := t.Context()

	const minutes = 420
	began := time.Now().Add(-minutes * time.Minute).Truncate(time.Minute)
	var cart, pay requests
	for from := 0; from < minutes; from += 30 { // an SDK sends each minute; a collector that was cut off sends many at once
		md := pmetric.NewMetrics()
		rm := md.ResourceMetrics().AppendEmpty()
		rm.Resource().Attributes().PutStr("service.name", "shop")
		metric := rm.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
		metric.SetName("http.server.request.duration")
		metric.SetUnit("s")
		metric.SetEmptyHistogram().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		for m := from; m < from+30; m++ {
			at := began.Add(time.Duration(m) * time.Minute)
			cart.serve(m, 1+max(0, float64(m-minutes+300))/60) // slower and slower, at last 6 times as slow
			cart.point(metric.Histogram().DataPoints().AppendEmpty(), "/cart", at)
			slow := 1.0
			if m > minutes-12 {
				slow = 3
			}
			pay.serve(m+500, slow)
			pay.point(metric.Histogram().DataPoints().AppendEmpty(), "/pay", at)
		}
		body, err := pmetricotlp.NewExportRequestFromMetrics(md).MarshalProto()
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/metrics", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/x-protobuf")
		w := httptest.NewRecorder()
		if l.otlp.ServeHTTP(w, r); w.Code != http.StatusOK {
			t.Fatalf("minute %d: %d %s", from, w.Code, w.Body)
		}
	}

	var foreseen signal.Breach
	var slow signal.Anomaly
	end := time.After(time.Minute)
	for slow.ID == "" || foreseen.ID == "" {
		select {
		case <-end:
			t.Fatalf("after a minute: anomaly %q, breach %q", slow.Reason, foreseen.Reason)
		case <-time.After(50 * time.Millisecond):
		}
		events, _, err := l.bus.Events(ctx, signal.Query{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			switch {
			case e.DetailType == signal.AnomalyDetected && strings.Contains(string(e.Detail), `"response_time /pay"`):
				err = json.Unmarshal(e.Detail, &slow)
			case e.DetailType == signal.ForecastBreach && foreseen.ID == "":
				err = json.Unmarshal(e.Detail, &foreseen)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if slow.Entity != "service:shop" || slow.Detector != "application" || !strings.HasSuffix(slow.Reason, "load doesn't explain it") {
		t.Errorf("%+v", slow)
	}
	if foreseen.Series != "response_time_p95 /cart" || foreseen.Rule != "CartIsSlow" || foreseen.Limit != 1.9 || foreseen.Probability < 0.8 {
		t.Errorf("%+v", foreseen)
	}
	if slow.Incident == "" || slow.Incident != foreseen.Incident {
		t.Errorf("the anomaly is of incident %q, the breach of %q", slow.Incident, foreseen.Incident)
	}
	ahead := l.detectors.Outlooks("service:shop") // a picture of a few seconds ago
	for len(ahead) < 8 {
		select {
		case <-end:
			t.Fatalf("forecasts of %d series", len(ahead))
		case <-time.After(50 * time.Millisecond):
		}
		ahead = l.detectors.Outlooks("service:shop")
	}
	if len(ahead) != 8 || len(ahead[0].Quantiles) != 7 || len(ahead[0].Quantiles[0]) != 60 || math.IsNaN(ahead[0].Quantiles[3][0]) {
		t.Errorf("forecasts of %d series: %+v", len(ahead), ahead)
	}
}
