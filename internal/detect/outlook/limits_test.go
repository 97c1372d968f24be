package outlook

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeostat/internal/signal"
)

func TestRulesSetLimits(t *testing.T) {
	for expr, want := range map[string]string{
		`system_filesystem_utilization_ratio{system_filesystem_state="used",system_filesystem_mode!="ro"} > 0.85`:                                     "disk system_filesystem_utilization_ratio 0.85",
		`max by (host_name) (avg_over_time(system_filesystem_utilization_ratio[5m])) >= 90 / 100`:                                                     "disk system_filesystem_utilization_ratio 0.9",
		`100 * system_filesystem_utilization_ratio > 80`:                                                                                              "disk system_filesystem_utilization_ratio 0.8",
		`0.7 < system_filesystem_utilization_ratio`:                                                                                                   "disk system_filesystem_utilization_ratio 0.7",
		`rate(http_request_duration_seconds_sum[5m]) / rate(http_request_duration_seconds_count[5m]) > 0.5`:                                           "response_time http_request_duration_seconds 0.5",
		`sum by (handler) (rate(x_request_duration_milliseconds_sum[5m])) / sum by (handler) (rate(x_request_duration_milliseconds_count[5m])) > 500`: "response_time x_request_duration_milliseconds 0.5",
		`sum(rate(http_request_duration_seconds_count{code=~"5.."}[5m])) / sum(rate(http_request_duration_seconds_count[5m])) > 2e-2`:                 "errors http_request_duration_seconds 0.02",
		`histogram_quantile(0.95, sum by (le, service_name) (rate(http_server_request_duration_seconds_bucket[5m]))) > 0.3`:                           "response_time_p95 http_server_request_duration_seconds 0.3",
		`histogram_quantile(0.95, rate(http_server_request_duration_seconds[5m])) > 0.3`:                                                              "response_time_p95 http_server_request_duration_seconds 0.3",
		`histogram_avg(rate(http_server_request_duration_seconds[5m])) > 0.3`:                                                                         "response_time http_server_request_duration_seconds 0.3",
		`sum without (http_response_status_code) (rate(http_server_request_duration_seconds_count[5m])) > 100`:                                        "requests http_server_request_duration_seconds 100",
		`aws_lambda_duration_p95{function_name="pay"} > 2000`:                                                                                         "response_time_p95 aws_lambda_duration 2",

		`system_filesystem_utilization_ratio < 0.1`:                                                                        "",
		`system_filesystem_utilization_ratio > bool 0.85`:                                                                  "",
		`system_filesystem_utilization_ratio offset 1h > 0.85`:                                                             "",
		`system_filesystem_utilization_ratio > 0.85 and on() vector(1)`:                                                    "",
		`system_filesystem_utilization_ratio{system_filesystem_state="free"} > 0.85`:                                       "",
		`min by (host_name) (system_filesystem_utilization_ratio) > 0.85`:                                                  "",
		`1 - system_filesystem_utilization_ratio > 0.85`:                                                                   "",
		`histogram_quantile(0.5, rate(http_server_request_duration_seconds_bucket[5m])) > 0.3`:                             "",
		`rate(http_client_request_duration_seconds_count[5m]) > 5`:                                                         "",
		`rate(http_request_duration_seconds_count{code=~"2.."}[5m]) / rate(http_request_duration_seconds_count[5m]) > 0.9`: "",
		`rate(http_request_duration_seconds_count{code="500"}[5m]) > 1`:                                                    "",
		`rate(a_request_duration_seconds_sum[5m]) / rate(b_request_duration_seconds_count[5m]) > 1`:                        "",
		`increase(http_request_duration_seconds_count[5m]) > 1`:                                                            "",
		`system_cpu_utilization_ratio > 0.9`:                                                                               "",
		`(((`:                                                                                                              "",
	} {
		got := ""
		for _, l := range limitsOf([]signal.Rule{{Name: "r", Expr: expr}}, Features()) {
			got = fmt.Sprintf("%s %s %.4g", l.feature, l.metric, l.value)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
	}
}

func TestLimitsHoldForTheSeriesOfTheirRule(t *testing.T) {
	const base = "http_request_duration_seconds"
	mean := func(selector, by string) signal.Rule {
		return signal.Rule{Name: selector + by, Expr: fmt.Sprintf("sum %s (rate(%s_sum{%s}[5m])) / sum %s (rate(%s_count{%s}[5m])) > 1", by, base, selector, by, base, selector)}
	}
	d := New(Config{Features: Features(), Rules: []signal.Rule{
		mean(`handler="/cart"`, "by (service_name,handler)"), mean(`service_name=~"shop|till"`, "without (code)"), mean("", "by (handler)"), mean("", "by (service_name)"), mean(`env="prod"`, "by (service_name,handler)"),
	}})
	limits := func(name string, more ...string) (names []string) {
		s := sample(name, more...)
		e := d.find(&s).e
		for _, l := range e.limits[0] {
			names = append(names, l.rule)
		}
		return names
	}
	if diff := cmp.Diff([]string{`handler="/cart"by (service_name,handler)`, `service_name=~"shop|till"without (code)`}, limits(base+"_count", "handler", "/cart", "code", "200")); diff != "" {
		t.Error(diff)
	}
	// Where a service has one endpoint alone, the service's figure is the endpoint's.
	if diff := cmp.Diff([]string{`service_name=~"shop|till"without (code)`, "by (service_name)"}, limits(base+"_sum", "code", "200")); diff != "" {
		t.Error(diff)
	}
	if got := limits("http_server_request_duration_seconds_sum", "http_route", "/other"); got != nil {
		t.Errorf("of another metric: %q", got)
	}
}

func TestRuleIsBreachedBeforeItFires(t *testing.T) {
	d := New(Config{Name: "disks", Entity: "host", Features: []string{Disk}, Rules: []signal.Rule{
		{Name: "DiskSpace", Expr: `system_filesystem_utilization_ratio{system_filesystem_mountpoint=~"/v.*"} > 0.85`, Severity: signal.Critical},
		{Name: "Other", Expr: `system_filesystem_utilization_ratio{system_filesystem_mountpoint="/home"} > 0.5`},
	}})
	told := disk(d, 299, 0.35, 0.002, rand.New(rand.NewPCG(3, 4))) // at 0.85 in minute 250
	var first, full *signal.Breach
	ended := map[string]string{}
	for i := range told {
		b := &told[i]
		switch {
		case !b.Ended.IsZero():
			ended[b.ID] = b.Reason
		case b.Rule != "":
			first = b
		default:
			full = b
		}
	}
	if first == nil || full == nil || len(told) != 3 {
		t.Fatalf("told %d: %+v", len(told), told)
	}
	if first.Rule != "DiskSpace" || first.Limit != 0.85 || first.Severity != signal.Critical || !strings.Contains(first.Reason, ", a limit of the rule DiskSpace (now ") {
		t.Errorf("%+v", first)
	}
	if off := first.At.UnixMilli()/minute - began - 250; off < -10 || off > 10 || first.Earliest.After(first.At) || !first.Latest.IsZero() && first.Latest.Before(first.At) {
		t.Errorf("%s: %d minutes off", first.Reason, off)
	}
	if ended[first.ID] != "disk /var has crossed 85 %" {
		t.Errorf("once it was crossed: %q", ended[first.ID])
	}
	if !strings.HasPrefix(full.Reason, "disk /var is going to be full in ") {
		t.Error(full.Reason)
	}
}

func TestSilenceEndsWhatIsOpen(t *testing.T) {
	d := New(Config{Name: "disks", Entity: "host", Features: []string{Disk}})
	told := disk(d, 280, 0.35, 0.0022, rand.New(rand.NewPCG(3, 4)))
	if len(told) != 1 || !told[0].Ended.IsZero() {
		t.Fatalf("told %+v", told)
	}
	other := func(minutes int64) *signal.Batch {
		b := &signal.Batch{}
		b.Add(b.AddSeries(sample("up")), (began+minutes)*minute, 1)
		return b
	}
	_, breaches := d.Process(1000, other(300))
	if len(breaches) != 1 || breaches[0].ID != told[0].ID || breaches[0].Ended.IsZero() || len(d.Touched) != 1 {
		t.Fatalf("after twenty minutes without a sample: %+v", breaches)
	}
	if _, again := d.Process(1001, other(301)); len(again) != 0 {
		t.Error("told twice")
	}
	d.Process(1002, other(280+keep+1))
	if len(d.Gone) != 1 || len(d.watched) != 0 || len(d.bound) != 1 {
		t.Errorf("after two days: gone %q, %d watched, %d bound", d.Gone, len(d.watched), len(d.bound))
	}
}
