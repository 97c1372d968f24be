package remotewrite

import "strings"

// metricTypes are the metric types of both versions, by their number.
var metricTypes = [...]string{"unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"}

// family is the name that metadata goes by: that of the metric without what its type adds to the name of its series.
func family(name, kind string) string {
	switch kind {
	case "histogram", "gaugehistogram", "summary":
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if f, ok := strings.CutSuffix(name, suffix); ok {
				return f
			}
		}
	}
	return name
}
