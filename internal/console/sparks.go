package console

import (
	"context"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"homeostat/internal/signal"
)

// feature is one thing that is shown of every host. Expr gives one series for each host; the detector's band of the same
// name is laid under it.
type feature struct {
	Name  string // as detectors call it
	Label string
	Unit  unit
	Expr  string // %s is a label matcher, or nothing
}

// features are what an operator looks at first. The expressions are those that detectors use (DESIGN: "A detector feature"),
// over the names of OpenTelemetry's semantic conventions.
var features = []feature{
	{"cpu", "CPU", ratio, `1 - sum by (host_name, host_id) (system_cpu_utilization_ratio{cpu_mode=~"idle|iowait"%s})`},
	{"memory", "Memory", ratio, `sum by (host_name, host_id) (system_memory_utilization_ratio{system_memory_state="used"%s})`},
	{"disk", "Disk I/O", rate, `sum by (host_name, host_id) (rate(system_disk_io_bytes_total{%s}[1m]))`},
	{"network", "Network", rate, `sum by (host_name, host_id) (rate(system_network_io_bytes_total{network_interface_name!="lo"%s}[1m]))`},
	{fullest, "Fullest disk", ratio, `max by (host_name, host_id) (system_filesystem_utilization_ratio{system_filesystem_state="used"%s})`},
}

// fullest is the feature that tells of all filesystems together.
const fullest = "storage"

// expr returns the feature's expression, narrowed by a label matcher such as `host_name="web-1"`; "" doesn't narrow.
func (f feature) expr(matcher string) string {
	if matcher != "" && !strings.Contains(f.Expr, "{%s") {
		matcher = "," + matcher
	}
	return fmt.Sprintf(f.Expr, matcher)
}

// The overview's little charts: half an hour, a point every 30 s.
const (
	sparkSpan = 30 * time.Minute
	sparkStep = 30 * time.Second
	sparkLife = 4 * time.Second // how long one answer serves all open pages
)

// spark is a feature of an entity as the overview shows it.
type spark struct {
	Label   string
	Value   string
	Outside bool          // beyond a band that can be taken at its word
	Picture template.HTML // "" when there is nothing to draw
	Text    string        // what the picture shows, for those who don't see it
}

// sparkCache shares one answer among the open pages.
type sparkCache struct {
	mu    sync.Mutex
	at    time.Time
	byEnt map[signal.EntityID][]spark
}

// allSparks returns the features of every host. Errors leave cells empty: the page says elsewhere when history is ill.
func (c *Console) allSparks(ctx context.Context) map[signal.EntityID][]spark {
	c.sparks.mu.Lock()
	defer c.sparks.mu.Unlock() // also over the queries: whoever comes meanwhile wants the same answer
	if time.Since(c.sparks.at) < sparkLife {
		return c.sparks.byEnt
	}
	to := time.Now().Truncate(time.Second)
	from := to.Add(-sparkSpan)
	bands := c.bands(ctx, "", from, to, sparkStep)
	unsure := c.unsure()
	byEnt := map[signal.EntityID][]spark{}
	for i, f := range features {
		lines, err := c.query.queryRange(ctx, f.expr(""), from, to, sparkStep)
		if err != nil {
			c.log.DebugContext(ctx, "no figures", "source", "console", "series", f.Name, "err", err)
			continue
		}
		for _, l := range lines {
			ent := l.Labels.Entity()
			if byEnt[ent] == nil {
				byEnt[ent] = make([]spark, len(features))
				for j, f := range features {
					byEnt[ent][j] = spark{Label: f.Label, Value: "–"}
				}
			}
			byEnt[ent][i] = drawSpark(f, l, bands[bandKey{ent, f.Name}], unsure[ent], from, to)
		}
	}
	c.sparks.at, c.sparks.byEnt = time.Now(), byEnt
	return byEnt
}

// bandKey names what a band is of.
type bandKey struct {
	entity  signal.EntityID
	feature string
}

// band is what a detector would have thought normal.
type band struct{ Lower, Upper, Expected line }

// bands reads the bands that detectors wrote, of one entity or ("") of all. Where several detectors watch one feature, the
// first by name is shown.
func (c *Console) bands(ctx context.Context, entity signal.EntityID, from, to time.Time, step time.Duration) map[bandKey]band {
	matcher := ""
	if entity != "" {
		matcher = fmt.Sprintf(",homeostat_entity=%q", string(entity))
	}
	// A band has a point an interval of its detector, up to a minute apart, and holds until the next.
	lines, err := c.query.queryRange(ctx, `last_over_time({__name__=~"homeostat_lower|homeostat_upper|homeostat_expected"`+matcher+`}[2m])`, from, to, step)
	if err != nil {
		// Without bands the values are still worth drawing.
		c.log.DebugContext(ctx, "no bands", "source", "console", "err", err)
	}
	byName := map[string][]line{}
	for _, l := range lines {
		byName[l.Labels.Value(signal.MetricName)] = append(byName[l.Labels.Value(signal.MetricName)], l)
	}
	out := map[bandKey]band{}
	for _, name := range []string{"homeostat_lower", "homeostat_upper", "homeostat_expected"} {
		ls := byName[name]
		slices.SortFunc(ls, func(a, b line) int {
			return strings.Compare(b.Labels.Value("detector"), a.Labels.Value("detector"))
		})
		for _, l := range ls {
			k := bandKey{signal.EntityID(l.Labels.Value(signal.EntityLabel)), l.Labels.Value("feature")}
			b := out[k]
			switch name {
			case "homeostat_lower":
				b.Lower = l
			case "homeostat_upper":
				b.Upper = l
			default:
				b.Expected = l
			}
			out[k] = b
		}
	}
	return out
}

// Size of a little chart, in the units of its view box.
const sparkWidth, sparkHeight = 120.0, 30.0

// sureFrom is the confidence of a detector from which a value beyond its band is shown as such: of one that has seen minutes the
// band is narrow by chance, and nothing should look alarming while it learns.
const sureFrom = 0.5

// unsure returns the entities whose detectors have not seen enough for that.
func (c *Console) unsure() map[signal.EntityID]bool {
	out := map[signal.EntityID]bool{}
	if c.loop.Learning == nil {
		return out
	}
	for _, l := range c.loop.Learning.Learning() {
		out[l.Entity] = out[l.Entity] || l.Confidence < sureFrom
	}
	return out
}

// drawSpark draws a line over its band.
func drawSpark(f feature, l line, b band, unsure bool, from, to time.Time) spark {
	s := spark{Label: f.Label, Value: f.Unit.format(l.last())}
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, vs := range [][]float64{l.Values, b.Lower.Values, b.Upper.Values} {
		for _, v := range vs {
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				lo, hi = min(lo, v), max(hi, v)
			}
		}
	}
	if lo > hi {
		return s
	}
	// The ground is zero: a little chart whose ground moves makes a mountain of every hill. Quiet lines get some room above.
	lo = min(lo, 0)
	if f.Unit == ratio {
		hi = max(hi, 0.1)
	}
	hi += (hi - lo) * 0.08
	if hi == lo {
		hi = lo + 1
	}
	x := func(t int64) float64 {
		return float64(t-from.UnixMilli()) / float64(to.UnixMilli()-from.UnixMilli()) * sparkWidth
	}
	y := func(v float64) float64 { return sparkHeight - 1 - (v-lo)/(hi-lo)*(sparkHeight-2) }
	points := func(w *strings.Builder, ts []int64, vs []float64, back bool) {
		for k := range vs {
			i := k
			if back {
				i = len(vs) - 1 - k
			}
			if !math.IsNaN(vs[i]) && !math.IsInf(vs[i], 0) {
				fmt.Fprintf(w, "%.1f,%.1f ", x(ts[i]), y(vs[i]))
			}
		}
	}
	var w strings.Builder
	fmt.Fprintf(&w, `<svg class="spark" viewBox="0 0 %g %g" preserveAspectRatio="none" aria-hidden="true">`, sparkWidth, sparkHeight)
	s.Text = f.Label + " " + s.Value
	if len(b.Upper.Values) > 0 && len(b.Lower.Values) > 0 {
		w.WriteString(`<polygon class="band" points="`)
		points(&w, b.Upper.Times, b.Upper.Values, false)
		points(&w, b.Lower.Times, b.Lower.Values, true)
		w.WriteString(`"/>`)
		lower, upper := b.Lower.last(), b.Upper.last()
		s.Outside = !unsure && (l.last() > upper || l.last() < lower)
		s.Text += ", expected " + f.Unit.format(lower) + " to " + f.Unit.format(upper)
		if unsure {
			s.Text += ", still learning"
		}
	}
	w.WriteString(`<polyline class="line" points="`)
	points(&w, l.Times, l.Values, false)
	w.WriteString(`"/></svg>`)
	s.Picture = template.HTML(w.String()) //nolint:gosec // numbers only
	return s
}
