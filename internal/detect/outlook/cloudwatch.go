package outlook

import (
	"regexp"
	"strings"

	"homeostat/internal/signal"
)

// cloudWatch is what CloudWatch calls the three of a service, by namespace. A series of them has the name that Prometheus'
// cloudwatch_exporter gives it, aws_NAMESPACE_METRIC_STATISTIC in lower case with underscores, and its dimensions as labels in the
// same way; a sample is a minute's figure. API Gateway's 4XXError is the caller's fault, and no error here.
var cloudWatch = []struct {
	namespace, metric, statistic string
	role                         role
	factor                       float64 // to seconds
}{
	{"AWS/ApplicationELB", "TargetResponseTime", "sum", durations, 1},
	{"AWS/ApplicationELB", "TargetResponseTime", "sample_count", timed, 0},
	{"AWS/ApplicationELB", "TargetResponseTime", "p95", quantile, 1},
	{"AWS/ApplicationELB", "RequestCount", "sum", calls, 0},
	{"AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", "sum", failures, 0},
	{"AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count", "sum", failures, 0},
	{"AWS/ApiGateway", "Latency", "sum", durations, 1e-3},
	{"AWS/ApiGateway", "Latency", "sample_count", timed, 0},
	{"AWS/ApiGateway", "Latency", "p95", quantile, 1e-3},
	{"AWS/ApiGateway", "Count", "sum", calls, 0},
	{"AWS/ApiGateway", "5XXError", "sum", failures, 0}, // REST
	{"AWS/ApiGateway", "5xx", "sum", failures, 0},      // HTTP
	{"AWS/Lambda", "Duration", "sum", durations, 1e-3},
	{"AWS/Lambda", "Duration", "sample_count", timed, 0},
	{"AWS/Lambda", "Duration", "p95", quantile, 1e-3},
	{"AWS/Lambda", "Invocations", "sum", calls, 0},
	{"AWS/Lambda", "Errors", "sum", failures, 0},
}

var (
	hump            = regexp.MustCompile(`([a-z0-9])([A-Z])`)
	odd             = regexp.MustCompile(`[^a-zA-Z0-9]+`)
	cloudWatchNames = nameCloudWatch()
)

// nameCloudWatch names the table's series.
func nameCloudWatch() map[string]binding {
	out := map[string]binding{}
	for _, m := range cloudWatch {
		base := seriesOf(m.namespace, m.metric)
		out[base+"_"+m.statistic] = binding{role: m.role, base: base, factor: m.factor, amount: true}
	}
	return out
}

// seriesOf is the exporter's name of a metric, without its statistic.
func seriesOf(namespace, metric string) string {
	return odd.ReplaceAllString(strings.ToLower(namespace+"_"+hump.ReplaceAllString(metric, "${1}_$2")), "_")
}

// bindCloudWatch reads a series of CloudWatch's. What says the same of a part (a zone, a version of a function) is left out: the
// whole comes besides.
func bindCloudWatch(name string, ls signal.Labels) binding {
	b, ok := cloudWatchNames[name]
	if !ok || ls.Value("availability_zone") != "" || ls.Value("executed_version") != "" {
		return binding{}
	}
	var parts []string
	for _, label := range [...]string{"load_balancer", "target_group", "api_name", "api_id", "stage", "method", "function_name", "resource"} {
		if v := ls.Value(label); v != "" {
			parts = append(parts, v)
		}
	}
	b.endpoint = strings.Join(parts, " ")
	return b
}
