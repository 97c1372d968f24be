package detect

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"homeostat/internal/detect/outlook"
)

// Config is one detector of the configuration's list.
type Config struct {
	// Name is the detector's name. Ids of its anomalies follow from it: a new name is a new detector.
	Name string `yaml:"name"`
	// Kind of model: rcf, a Robust Random Cut Forest over series; deepar, which forecasts an hour ahead and knows name, entity,
	// series, limits and objectives; or access, which finds unusual access in CloudTrail's records and knows name and alarms alone.
	Kind string `yaml:"kind"`
	// Entity is the kind of entity that is watched, each with a model of its own: host, service, instance ... Left out of kind
	// deepar: whatever has such series.
	Entity string `yaml:"entity"`
	// Series that the model sees together: cpu, memory, network and disk are known; anything else is a PromQL vector selector,
	// such as 'http_server_active_requests{route="/"}': gauges are averaged over the entity's series that it selects, counters
	// (_total, _count, _sum, _bucket) become rates a second and are added up.
	// Of kind deepar: response_time, response_time_p95, requests, errors (of each endpoint), disk (of each filesystem).
	Series []string `yaml:"series"`
	// Each gives every series of the list a model of its own, beside no other.
	Each bool `yaml:"each"`
	// Interval between two points: the mean of the samples in it is scored.
	Interval time.Duration `yaml:"interval"`
	// Alarms is how many false alarms an entity may give: 1/week.
	Alarms Rate `yaml:"alarms"`
	// Percentile, in place of alarms: the score above which this share of points lies is the threshold: 95.
	Percentile float64 `yaml:"percentile"`
	// Effects are the least deviations from what is expected that are worth an event, by the series' names in the list and in their
	// own units (a share, bytes a second ...): {cpu: 0.1} for 10 points of percent; 0: any. Without, cpu 0.05, memory 0.02, network
	// and disk 500000, others 0.
	Effects map[string]float64 `yaml:"effects"`
	// Quiet is how long after an anomaly's end the same entity (with each: the same series) is told no other. One that lasts beyond
	// it is told then.
	Quiet time.Duration `yaml:"quiet"`
	// Limits of kind deepar: what a series should not rise above, by its name: the objectives of all its endpoints. A forecast that
	// crosses one, or the limit of a threshold rule about the same series, is told before it happens.
	Limits map[string]float64 `yaml:"limits"`
	// Objectives of kind deepar: limits of single endpoints or entities, in place of limits. Of several that give an endpoint's
	// series a limit the most particular one holds: one that names the endpoint, then one whose pattern of it has most characters
	// beside *, then in the same way by the entity, then the earlier one.
	Objectives []outlook.Objective `yaml:"objectives"`
}

// Defaults returns the detectors that run when none is configured: one over the four features of every host, one over
// accesses, and two that look ahead, at whatever answers requests and at every host's disks. What there is nothing of costs nothing.
func Defaults() []Config {
	return []Config{
		{Name: "host", Kind: "rcf", Entity: "host", Series: []string{"cpu", "memory", "network", "disk"}},
		{Name: "access", Kind: kindAccess},
		{Name: "application", Kind: kindOutlook},
		{Name: "disks", Kind: kindOutlook, Entity: "host", Series: []string{outlook.Disk}},
	}
}

// withDefaults fills what may be left out, and says what is wrong with the rest.
func (c Config) withDefaults() (Config, error) {
	if c.Kind == kindAccess {
		return c.accessDefaults()
	}
	if c.Kind == kindOutlook {
		return c.outlookDefaults()
	}
	if c.Kind == "" {
		c.Kind = "rcf"
	}
	if c.Entity == "" {
		c.Entity = "host"
	}
	if c.Name == "" {
		c.Name = c.Entity
	}
	if len(c.Series) == 0 && c.Entity == "host" {
		c.Series = Defaults()[0].Series
	}
	if c.Interval == 0 {
		c.Interval = time.Minute
	}
	switch {
	case c.Kind != "rcf":
		return c, fmt.Errorf("detector %s: kind %q: want rcf, deepar or access", c.Name, c.Kind)
	case len(c.Limits)+len(c.Objectives) > 0:
		return c, fmt.Errorf("detector %s: limits and objectives are of kind deepar", c.Name)
	case len(c.Series) == 0:
		return c, fmt.Errorf("detector %s: no series for entities of kind %q", c.Name, c.Entity)
	case c.Interval < 100*time.Millisecond || c.Interval > 24*time.Hour || c.Interval%time.Millisecond != 0:
		return c, fmt.Errorf("detector %s: interval %v: want whole milliseconds from 100ms to 24h", c.Name, c.Interval)
	case c.Percentile != 0 && !(c.Percentile >= 50 && c.Percentile < 100):
		return c, fmt.Errorf("detector %s: percentile %v: want at least 50 and less than 100", c.Name, c.Percentile)
	case c.Percentile != 0 && !c.Alarms.isZero():
		return c, fmt.Errorf("detector %s: alarms and percentile: want one of them", c.Name)
	case c.Quiet < 0 || c.Quiet > 30*24*time.Hour:
		return c, fmt.Errorf("detector %s: quiet %v: want at most 720h", c.Name, c.Quiet)
	}
	for _, s := range slices.Sorted(maps.Keys(c.Effects)) {
		if !slices.Contains(c.Series, s) {
			return c, fmt.Errorf("detector %s: effects: %q isn't among its series %s", c.Name, s, strings.Join(c.Series, ", "))
		}
		if v := c.Effects[s]; !(v >= 0) || math.IsInf(v, 0) {
			return c, fmt.Errorf("detector %s: effects: %s %v: want a number of 0 or more", c.Name, s, v)
		}
	}
	return c, nil
}

// Check reports what is wrong with a configuration of detectors, all of it at once.
func Check(cs []Config) []outlook.Mistake {
	var out []outlook.Mistake
	names := map[string]bool{}
	for i, c := range cs {
		c, err := c.withDefaults()
		if err == nil && c.Kind == "rcf" {
			_, err = c.inputs()
		}
		if err == nil && names[c.Name] {
			err = fmt.Errorf("detector %s: the name is taken", c.Name)
		}
		names[c.Name] = true
		path := fmt.Sprintf("[%d]", i)
		if err != nil {
			out = append(out, outlook.Mistake{Path: path, Err: err})
			continue
		}
		for _, m := range outlook.CheckObjectives(c.Objectives, c.Entity, c.Series) {
			out = append(out, outlook.Mistake{Path: path + ".objectives" + m.Path, Err: fmt.Errorf("detector %s: objectives: %w", c.Name, m.Err)})
		}
	}
	return out
}

// Rate is how often something may happen: "1/week", "3/day", "2/hour". The zero Rate is one a week.
type Rate struct {
	Count float64
	Per   time.Duration
}

func (r Rate) isZero() bool { return r.Count == 0 || r.Per == 0 }

// UnmarshalText reads COUNT/PERIOD, the period being hour, day, week or month (30 days).
func (r *Rate) UnmarshalText(text []byte) error {
	count, per, ok := strings.Cut(string(text), "/")
	n, err := strconv.ParseFloat(strings.TrimSpace(count), 64)
	if !ok || err != nil || !(n > 0 && n <= 1e6) {
		return fmt.Errorf("%q: want a count and a period, such as 1/week", text)
	}
	for name, d := range periods() {
		if strings.TrimSpace(per) == name {
			*r = Rate{n, d}
			return nil
		}
	}
	return fmt.Errorf("%q: want /hour, /day, /week or /month", text)
}

// MarshalText writes what UnmarshalText reads.
func (r Rate) MarshalText() ([]byte, error) {
	if r.isZero() {
		r = Rate{1, 7 * 24 * time.Hour}
	}
	for name, d := range periods() {
		if d == r.Per {
			return fmt.Appendf(nil, "%s/%s", strconv.FormatFloat(r.Count, 'g', -1, 64), name), nil
		}
	}
	return nil, fmt.Errorf("a rate per %v has no name", r.Per)
}

func periods() map[string]time.Duration {
	const day = 24 * time.Hour
	return map[string]time.Duration{"hour": time.Hour, "day": day, "week": 7 * day, "month": 30 * day}
}
