package outlook

import (
	"strings"

	"homeostat/internal/signal"
)

// The features that are known, by their names in the configuration.
const (
	ResponseTime = "response_time" // mean of the minute, in seconds
	Requests     = "requests"      // a second
	Errors       = "errors"        // share of the requests, 0 to 1
	Disk         = "disk"          // how full a filesystem is, 0 to 1
)

// Features lists them.
func Features() []string { return []string{ResponseTime, Requests, Errors, Disk} }

// role is what a series says of its endpoint.
type role int

const (
	none role = iota
	durations
	count
	histogram // a native one: both
	usage
)

// binding says where the samples of a series go.
type binding struct {
	role     role
	endpoint string  // the route, or the mount point
	failed   bool    // these requests are errors
	factor   float64 // to seconds
}

// requestDurations are the histograms of request durations of the conventions, with the factor to seconds.
func requestDurations(base string) (factor float64, ok bool) {
	switch base {
	case "http_server_request_duration_seconds", "http_request_duration_seconds", "rpc_server_call_duration_seconds", "grpc_server_handling_seconds":
		return 1, true
	case "http_server_duration_milliseconds", "rpc_server_duration_milliseconds":
		return 1e-3, true
	}
	return 0, false
}

// bind reads what a series is from its labels.
func bind(ls signal.Labels) binding {
	name := ls.Value(signal.MetricName)
	if name == "system_filesystem_utilization_ratio" {
		return binding{role: usage, endpoint: ls.Value("system_filesystem_mountpoint")}
	}
	b := binding{role: histogram}
	base := name
	if s, ok := strings.CutSuffix(name, "_sum"); ok {
		b.role, base = durations, s
	} else if s, ok := strings.CutSuffix(name, "_count"); ok {
		b.role, base = count, s
	}
	var ok bool
	if b.factor, ok = requestDurations(base); !ok {
		return binding{}
	}
	for _, label := range [...]string{"http_route", "handler", "path", "rpc_method", "grpc_method"} {
		if b.endpoint = ls.Value(label); b.endpoint != "" {
			break
		}
	}
	for _, label := range [...]string{"http_response_status_code", "http_status_code", "status_code", "status", "code"} {
		if strings.HasPrefix(ls.Value(label), "5") {
			b.failed = true
		}
	}
	switch ls.Value("grpc_code") {
	case "Unknown", "DeadlineExceeded", "Unimplemented", "Internal", "Unavailable", "DataLoss":
		b.failed = true // what gRPC's conventions hold against the server
	}
	return b
}
