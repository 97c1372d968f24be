package outlook

import (
	"math"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/prompb"

	"homeostat/internal/signal"
)

// seenMinute feeds rows minute by minute and returns what the first endpoint's last closed minute had, by feature.
func seenMinute(t *testing.T, series []signal.Series, rows func(minute int) []float64) map[string]float64 {
	t.Helper()
	d := New(Config{Features: Features()})
	for m := range 4 {
		b := &signal.Batch{}
		for i, v := range rows(m) {
			b.Add(b.AddSeries(series[i]), (began+int64(m))*minute+1000, v)
		}
		d.Process(uint64(m+1), b)
	}
	return lastOf(t, d)
}

func lastOf(t *testing.T, d *Detector) map[string]float64 {
	t.Helper()
	if len(d.watched) != 1 {
		t.Fatalf("%d endpoints: %q", len(d.watched), d.keys())
	}
	out := map[string]float64{}
	for i, f := range d.c.Features {
		if v := d.watched[d.keys()[0]].tracks[i].Latest; !math.IsNaN(v) && v != 0 {
			out[f] = math.Round(v*1e6) / 1e6
		}
	}
	return out
}

func TestCloudWatchNames(t *testing.T) {
	for _, tt := range []struct {
		names  []string
		labels []string
		values []float64
		want   map[string]float64
	}{
		{
			[]string{
				"aws_applicationelb_target_response_time_sum", "aws_applicationelb_target_response_time_sample_count", "aws_applicationelb_target_response_time_p95",
				"aws_applicationelb_request_count_sum", "aws_applicationelb_httpcode_target_5_xx_count_sum", "aws_applicationelb_httpcode_elb_5_xx_count_sum",
			},
			[]string{"load_balancer", "app/web/50dc6c495c0c9188"},
			[]float64{60, 300, 0.5, 600, 5, 1},
			map[string]float64{ResponseTime: 0.2, Slow: 0.5, Requests: 10, Errors: 0.01},
		},
		{
			[]string{"aws_apigateway_latency_sum", "aws_apigateway_latency_sample_count", "aws_apigateway_count_sum", "aws_apigateway_4_xxerror_sum", "aws_apigateway_5_xxerror_sum"},
			[]string{"api_name", "shop"},
			[]float64{60_000, 120, 120, 60, 6},
			map[string]float64{ResponseTime: 0.5, Requests: 2, Errors: 0.05},
		},
		{
			[]string{"aws_lambda_duration_sum", "aws_lambda_duration_sample_count", "aws_lambda_invocations_sum", "aws_lambda_errors_sum"},
			[]string{"function_name", "pay"},
			[]float64{120_000, 60, 60, 3},
			map[string]float64{ResponseTime: 2, Requests: 1, Errors: 0.05},
		},
	} {
		var series []signal.Series
		for _, name := range tt.names {
			series = append(series, sample(name, tt.labels...))
		}
		if d := cmp.Diff(tt.want, seenMinute(t, series, func(int) []float64 { return tt.values })); d != "" {
			t.Errorf("%s: %s", tt.names[0], d)
		}
	}
	if b := bind(sample("aws_applicationelb_request_count_sum", "load_balancer", "x", "availability_zone", "eu-west-1a").Labels, ""); b.role != none {
		t.Error("a zone's requests would count twice")
	}
}

func TestSlowestTwentieth(t *testing.T) {
	series := []signal.Series{sample("http_request_duration_seconds_count", "handler", "/"), sample("http_request_duration_seconds_sum", "handler", "/")}
	for _, le := range []string{"0.1", "0.2", "0.4", "+Inf"} {
		series = append(series, sample("http_request_duration_seconds_bucket", "handler", "/", "le", le))
	}
	got := seenMinute(t, series, func(m int) []float64 { // 100 a minute: 80 within 0.1 s, 10 up to 0.2, 10 up to 0.4
		x := float64(100 * m)
		return []float64{x, 0.1 * x, 0.8 * x, 0.9 * x, x, x}
	})
	if d := cmp.Diff(map[string]float64{ResponseTime: 0.1, Slow: 0.3, Requests: 1.666667}, got); d != "" {
		t.Error(d)
	}
	// The same as a native histogram, of which the classic series say nothing more.
	d := New(Config{Features: Features()})
	for m := range 4 {
		b := &signal.Batch{}
		n := uint64(100 * m)
		h := prompb.Histogram{
			Count: &prompb.Histogram_CountInt{CountInt: n}, Sum: 10 * float64(m), Schema: 0, ZeroThreshold: 1e-9, ZeroCount: &prompb.Histogram_ZeroCountInt{},
			PositiveSpans: []prompb.BucketSpan{{Offset: -2, Length: 2}}, PositiveDeltas: []int64{int64(80 * m), int64(-60 * m)}, // (1/8, 1/4], (1/4, 1/2]
		}
		data, err := h.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		at := (began + int64(m)) * minute
		b.Histograms = append(b.Histograms, signal.Histogram{Series: b.AddSeries(sample("http_request_duration_seconds", "handler", "/")), Time: at, Data: data})
		b.Add(b.AddSeries(series[0]), at, float64(n))
		d.Process(uint64(m+1), b)
	}
	if got := lastOf(t, d); got[Requests] != 1.666667 || got[ResponseTime] != 0.1 || got[Slow] < 0.3 || got[Slow] > 0.5 {
		t.Errorf("of a native histogram: %v", got)
	}
}

func TestMinutesOfABatchComeInOrder(t *testing.T) {
	// One batch brings all minutes of one series before the first of the other, as a source that polls does.
	d := New(Config{Features: Features()})
	b := &signal.Batch{}
	for _, name := range []string{"aws_lambda_invocations_sum", "aws_lambda_errors_sum"} {
		s := b.AddSeries(sample(name, "function_name", "pay"))
		for m := range int64(5) {
			b.Add(s, (began+m)*minute, float64(60*(m+1))/map[string]float64{"aws_lambda_invocations_sum": 1, "aws_lambda_errors_sum": 10}[name])
		}
	}
	d.Process(1, b)
	if got := lastOf(t, d); got[Requests] != 4 || got[Errors] != 0.1 {
		t.Errorf("minute 4: %v", got)
	}
}

func TestDiskThatFills(t *testing.T) {
	for i, tt := range []struct {
		labels []string
		want   role
	}{
		{nil, usage},
		{[]string{"system_filesystem_state", "used"}, usage},
		{[]string{"system_filesystem_state", "free"}, none},
		{[]string{"system_filesystem_mode", "ro"}, none},
		{[]string{"system_filesystem_type", "squashfs"}, none},
	} {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			if b := bind(sample(diskMetric, tt.labels...).Labels, "host:a"); b.role != tt.want {
				t.Errorf("%v: role %v", tt.labels, b.role)
			}
		})
	}
}
