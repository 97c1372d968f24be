package outlook

import (
	"math"
	"strconv"
	"strings"

	"homeostat/internal/signal"
)

// The features that are known, by their names in the configuration.
const (
	ResponseTime = "response_time"     // mean of the minute, in seconds
	Slow         = "response_time_p95" // what 95 % of the minute's requests took at most, in seconds
	Requests     = "requests"          // a second
	Errors       = "errors"            // share of the requests, 0 to 1
	Disk         = "disk"              // how full a filesystem is, 0 to 1
)

// Features lists them.
func Features() []string { return []string{ResponseTime, Slow, Requests, Errors, Disk} }

// role is what a series says of its endpoint.
type role int

const (
	none      role = iota
	durations      // seconds that requests took, added up
	count          // requests, each with a duration
	bucket         // those that took no longer than le
	native         // a native one: the three before
	calls          // requests
	timed          // durations that durations adds up
	failures       // requests that failed
	quantile       // the response time's, of the minute
	usage          // share of a filesystem
)

// binding says where the samples of a series go.
type binding struct {
	role     role
	base     string  // of a histogram: its name without _sum, _count or _bucket; else the metric's
	endpoint string  // the route, or the mount point
	label    string  // that says which endpoint; "" where several do, or none
	failed   bool    // these requests are errors
	factor   float64 // to seconds
	amount   bool    // a sample is what its minute had; else it counts from the beginning
	le       float64 // of a bucket, in seconds
}

// bind reads what a series is from its labels.
func bind(ls signal.Labels, entity signal.EntityID) binding {
	name := ls.Value(signal.MetricName)
	if name == diskMetric {
		return bindDisk(ls)
	}
	if strings.HasPrefix(name, "aws_") {
		return bindCloudWatch(name, ls)
	}
	b := binding{role: native, base: name}
	for suffix, r := range map[string]role{"_sum": durations, "_count": count, "_bucket": bucket} {
		if s, ok := strings.CutSuffix(name, suffix); ok {
			b.role, b.base = r, s
		}
	}
	if b.factor = requestDurations(b.base); b.factor == 0 {
		return binding{}
	}
	if b.role == bucket {
		le, err := strconv.ParseFloat(ls.Value("le"), 64)
		if err != nil || math.IsNaN(le) {
			return binding{}
		}
		b.le = le * b.factor
	}
	for _, label := range endpointLabels {
		if b.endpoint = ls.Value(label); b.endpoint != "" {
			b.label = label
			break
		}
	}
	if service := ls.Value("service_name"); service != "" && entity.Kind() != "service" {
		b.endpoint = strings.TrimSpace(service + " " + b.endpoint)
	}
	for _, label := range statusLabels {
		b.failed = b.failed || strings.HasPrefix(ls.Value(label), "5")
	}
	switch ls.Value(grpcCode) {
	case "Unknown", "DeadlineExceeded", "Unimplemented", "Internal", "Unavailable", "DataLoss":
		b.failed = true // what gRPC's conventions hold against the server
	}
	return b
}

const grpcCode = "grpc_code"

var (
	endpointLabels = [...]string{"http_route", "handler", "route", "path", "uri", "endpoint", "rpc_method", "grpc_method"}
	statusLabels   = [...]string{"http_response_status_code", "http_status_code", "status_code", "status", "code"}
)

// requestDurations returns the factor to seconds of a histogram of request durations, and 0 for any other metric: those of
// OpenTelemetry's conventions, old and new, of Prometheus' clients, gRPC's and Micrometer's, and what is called like them. What a
// client waits for others is not its own.
func requestDurations(base string) float64 {
	if strings.Contains(base, "client") {
		return 0
	}
	switch base {
	case "rpc_server_call_duration_seconds", "grpc_server_handling_seconds", "http_server_requests_seconds":
		return 1
	case "http_server_duration_milliseconds", "rpc_server_duration_milliseconds":
		return 1e-3
	}
	switch {
	case strings.HasSuffix(base, "request_duration_seconds"):
		return 1
	case strings.HasSuffix(base, "request_duration_milliseconds"):
		return 1e-3
	}
	return 0
}

const diskMetric = "system_filesystem_utilization_ratio"

// bindDisk reads a filesystem's series. One that can't fill, or shows another one's blocks, is left alone.
func bindDisk(ls signal.Labels) binding {
	if s := ls.Value("system_filesystem_state"); s != "" && s != "used" || ls.Value("system_filesystem_mode") == "ro" {
		return binding{}
	}
	switch ls.Value("system_filesystem_type") {
	case "squashfs", "overlay", "overlayfs", "erofs", "iso9660", "udf", "devtmpfs", "ramfs", "autofs", "fuse.snapfuse", "nsfs":
		return binding{}
	}
	const label = "system_filesystem_mountpoint"
	return binding{role: usage, base: diskMetric, endpoint: ls.Value(label), label: label}
}
