package detect

import (
	"fmt"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"homeostat/internal/signal"
)

// Unit says how a number is to be read, and what it can be.
type Unit int

// The units.
const (
	Plain       Unit = iota
	Share            // 0 to 1, told in percent
	BytesSecond      // bytes a second, 0 or more
	PerSecond        // 0 or more
)

// input is a feature and where it comes from: the series that it selects, and how they become one number.
type input struct {
	Feature
	metric   string            // the metric's name, "" where a matcher on it is not plain equality
	matchers []*labels.Matcher // that all must match, the metric's name among them
	rate     bool              // counters: their increase a second
	join     join
}

// join is how the series of one entity become one number.
type join int

const (
	sum  join = iota // of rates
	mean             // of gauges
	busy             // 1 - idle - iowait, each the mean over its series
)

// inputs returns what each entry of Series stands for.
func (c Config) inputs() ([]input, error) {
	ins := make([]input, 0, len(c.Series))
	p := parser.NewParser(parser.Options{})
	for _, s := range c.Series {
		in := input{Feature: Feature{Name: s}, join: mean}
		selector := s
		switch s {
		case "cpu":
			selector = `system_cpu_utilization_ratio{cpu_mode=~"idle|iowait"}`
			in.Unit, in.Effect, in.join = Share, 0.05, busy
		case "memory":
			selector = `system_memory_utilization_ratio{system_memory_state="used"}`
			in.Unit, in.Effect = Share, 0.02
		case "network":
			selector = `system_network_io_bytes_total{network_interface_name!="lo"}`
			in.Unit, in.Effect = BytesSecond, 500e3
		case "disk":
			selector = `system_disk_io_bytes_total`
			in.Unit, in.Effect = BytesSecond, 500e3
		}
		var err error
		if in.matchers, err = p.ParseMetricSelector(selector); err != nil {
			return nil, fmt.Errorf("detector %s: series %q: want cpu, memory, network, disk or a selector: %w", c.Name, s, err)
		}
		for _, m := range in.matchers {
			if m.Name == signal.MetricName && m.Type == labels.MatchEqual {
				in.metric = m.Value
			}
		}
		if in.metric == "" {
			return nil, fmt.Errorf("detector %s: series %q: name the metric", c.Name, s)
		}
		for _, suffix := range [...]string{"_total", "_count", "_sum", "_bucket"} {
			if strings.HasSuffix(in.metric, suffix) {
				in.rate, in.join = true, sum
			}
		}
		if in.rate && in.Unit == Plain {
			in.Unit = PerSecond
			if strings.HasSuffix(in.metric, "_bytes_total") {
				in.Unit = BytesSecond
			}
		} else if strings.HasSuffix(in.metric, "_ratio") {
			in.Unit = Share
		}
		if effect, ok := c.Effects[s]; ok {
			in.Effect = effect
		}
		ins = append(ins, in)
	}
	return ins, nil
}

// matches says that the input selects the series.
func (in *input) matches(ls signal.Labels) bool {
	for _, m := range in.matchers {
		if !m.Matches(ls.Value(m.Name)) {
			return false
		}
	}
	return true
}

// part is which of busy's two kinds a series is: 0 idle, 1 iowait. Others have one kind.
func (in *input) part(ls signal.Labels) int {
	if in.join == busy && ls.Value("cpu_mode") == "iowait" {
		return 1
	}
	return 0
}
