package console

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"homeostat/internal/signal"
)

// chartRange is a span that charts can show.
type chartRange struct {
	Name string
	Span time.Duration
	Step time.Duration
}

// chartRanges are the spans that charts can show, with their steps: some 300 points each, a comfortable page's width.
var chartRanges = []chartRange{
	{"15m", 15 * time.Minute, 5 * time.Second},
	{"1h", time.Hour, 15 * time.Second},
	{"6h", 6 * time.Hour, time.Minute},
	{"24h", 24 * time.Hour, 5 * time.Minute},
	{"7d", 7 * 24 * time.Hour, 30 * time.Minute},
}

// chartSet is what the script draws.
type chartSet struct {
	From   int64   `json:"from"` // Unix seconds
	To     int64   `json:"to"`
	Charts []chart `json:"charts"`
	Marks  []mark  `json:"marks"`
}

// chart is one feature over time. The columns have one length; null is a gap.
type chart struct {
	Name     string     `json:"name"`
	Label    string     `json:"label"`
	Unit     string     `json:"unit"`
	Times    []int64    `json:"t"` // Unix seconds
	Value    []*float64 `json:"value"`
	Lower    []*float64 `json:"lower,omitempty"`
	Upper    []*float64 `json:"upper,omitempty"`
	Expected []*float64 `json:"expected,omitempty"`
	Unsure   bool       `json:"unsure,omitempty"` // the detector still learns
	Fan      *fan       `json:"fan,omitempty"`    // what is forecast
}

// mark is something that happened, on the time axis.
type mark struct {
	From int64  `json:"from"` // Unix seconds
	To   int64  `json:"to"`   // 0 while it lasts; From for a moment
	Kind string `json:"kind"` // anomaly, alert, action
	Text string `json:"text"`
	Link string `json:"link"`
}

// charts answers the script with an entity's charts.
func (c *Console) charts(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), drawLimit)
	defer cancel()
	ent, err := c.findEntity(ctx, signal.EntityID(r.PathValue("id")))
	if err == nil {
		var set chartSet
		if set, err = c.chartSet(ctx, ent, r.URL.Query().Get("range"), time.Now()); err == nil {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(set)
			return
		}
	}
	c.fail(w, r, err)
}

// chartSet gathers an entity's charts up to now.
func (c *Console) chartSet(ctx context.Context, ent signal.Entity, name string, now time.Time) (chartSet, error) {
	cr := chartRanges[1]
	for _, x := range chartRanges {
		if x.Name == name {
			cr = x
		}
	}
	// On whole steps, so that a chart that is asked for again has the same points and one more.
	to := now.Truncate(cr.Step)
	from := to.Add(-cr.Span)
	set := chartSet{From: from.Unix(), To: to.Unix(), Charts: []chart{}, Marks: []mark{}}
	bands := c.bands(ctx, ent.ID, from, to, cr.Step)
	// What detectors watch besides, with the values that they saw.
	watched, err := c.query.queryRange(ctx, fmt.Sprintf(`last_over_time(homeostat_value{homeostat_entity=%q}[2m])`, string(ent.ID)), from, to, cr.Step)
	if err != nil {
		return set, err
	}
	seen := map[string]bool{}
	if m := hostMatcher(ent); m != "" {
		for _, f := range features {
			if f.Name == fullest && slices.ContainsFunc(watched, ofDisk) {
				continue // each has a chart, and the fullest one's is its own
			}
			lines, err := c.query.queryRange(ctx, f.expr(m), from, to, cr.Step)
			if err != nil {
				return set, err
			}
			if len(lines) > 0 {
				seen[f.Name] = true
				set.Charts = append(set.Charts, newChart(f.Name, f.Label, f.Unit, lines[0], bands[bandKey{ent.ID, f.Name}], from, to, cr.Step))
			}
		}
	}
	for _, l := range watched {
		if f := l.Labels.Value("feature"); f != "" && !seen[f] {
			seen[f] = true
			set.Charts = append(set.Charts, newChart(f, f, unitOf(f), l, bands[bandKey{ent.ID, f}], from, to, cr.Step))
		}
	}
	unsure := c.unsure()[ent.ID]
	fans := c.fans(ent.ID, to, cr)
	for i := range set.Charts {
		set.Charts[i].Unsure = unsure
		set.Charts[i].Fan = fans[set.Charts[i].Name]
	}
	set.Marks, err = c.marks(ctx, ent.ID, from)
	return set, err
}

// ofDisk reports whether a line of homeostat_value is how full a filesystem is.
func ofDisk(l line) bool { return strings.HasPrefix(l.Labels.Value("feature"), "disk ") }

// hostMatcher returns a label matcher for a host's series, "" for entities of other kinds.
func hostMatcher(ent signal.Entity) string {
	if ent.ID.Kind() != "host" {
		return ""
	}
	if v := ent.Labels["host_name"]; v != "" {
		return fmt.Sprintf("host_name=%q", v)
	}
	if v := ent.Labels["host_id"]; v != "" {
		return fmt.Sprintf("host_id=%q", v)
	}
	return fmt.Sprintf("host_name=%q", ent.ID.Name())
}

// unitOf guesses a unit from a series' name, as Prometheus names carry theirs.
func unitOf(name string) unit {
	name, _, _ = strings.Cut(name, "{")
	feature, _, _ := strings.Cut(name, " ") // of a detector that looks ahead: "response_time /cart"
	switch {
	case strings.HasPrefix(feature, "response_time"):
		return seconds
	case feature == "errors" || feature == "disk" && feature != name:
		return ratio
	case strings.HasSuffix(name, "_ratio"):
		return ratio
	case strings.HasSuffix(name, "_bytes_total"):
		return rate
	case strings.HasSuffix(name, "_bytes"):
		return size
	}
	return plain
}

// newChart lays lines on one axis.
func newChart(name, label string, u unit, l line, b band, from, to time.Time, step time.Duration) chart {
	n := int(to.Sub(from)/step) + 1
	ch := chart{Name: name, Label: label, Unit: u.String(), Times: make([]int64, n)}
	for i := range ch.Times {
		ch.Times[i] = from.Add(time.Duration(i) * step).Unix()
	}
	lay := func(l line) []*float64 {
		if len(l.Values) == 0 {
			return nil
		}
		out := make([]*float64, n)
		for i, t := range l.Times {
			k := int(math.Round(float64(t-from.UnixMilli()) / float64(step.Milliseconds())))
			if v := l.Values[i]; k >= 0 && k < n && !math.IsNaN(v) && !math.IsInf(v, 0) {
				out[k] = &l.Values[i]
			}
		}
		return out
	}
	ch.Value, ch.Lower, ch.Upper, ch.Expected = lay(l), lay(b.Lower), lay(b.Upper), lay(b.Expected)
	return ch
}

// marks are an entity's anomalies, alerts and actions since from: at most 500 events are looked through.
func (c *Console) marks(ctx context.Context, ent signal.EntityID, from time.Time) ([]mark, error) {
	out := []mark{}
	if c.loop.Incidents != nil {
		ins, _, err := c.loop.Incidents.List(ctx, signal.Query{Entity: ent, Newest: true, Limit: 50})
		if err != nil {
			return nil, err
		}
		for _, in := range ins {
			if !in.Resolved.IsZero() && in.Resolved.Before(from) {
				continue
			}
			if len(in.Members) == 0 {
				if in, err = c.loop.Incidents.Get(ctx, in.ID); err != nil {
					return nil, err
				}
			}
			for _, m := range in.Members {
				if !m.Ended.IsZero() && m.Ended.Before(from) {
					continue
				}
				k := mark{From: m.Began.Unix(), Kind: m.Kind, Text: m.Title, Link: "/incidents/" + in.ID}
				if !m.Ended.IsZero() {
					k.To = m.Ended.Unix()
				}
				out = append(out, k)
			}
		}
	}
	if c.loop.Executions != nil {
		xs, _, err := c.loop.Executions.Executions(ctx, signal.Query{Entity: ent, Newest: true, Limit: 100})
		if err != nil {
			return nil, err
		}
		for _, x := range xs {
			if !x.Began.Before(from) {
				out = append(out, mark{From: x.Began.Unix(), To: x.Began.Unix(), Kind: "action", Text: x.Runbook + " (" + string(x.Mode) + ") " + executionWords(x), Link: "/executions/" + x.ID})
			}
		}
	}
	return out, nil
}

// findEntity returns an entity by id. One that sends no figures is known by its incidents,
// as a user is, or by what was learnt of it, as an organisation is.
func (c *Console) findEntity(ctx context.Context, id signal.EntityID) (signal.Entity, error) {
	if c.loop.Entities != nil {
		es, err := c.loop.Entities.Entities(ctx)
		if err != nil {
			return signal.Entity{}, err
		}
		for _, e := range es {
			if e.ID == id {
				return e, nil
			}
		}
	}
	if c.loop.Incidents != nil {
		ins, _, err := c.loop.Incidents.List(ctx, signal.Query{Entity: id, Newest: true, Limit: 1})
		if err != nil {
			return signal.Entity{}, err
		}
		if len(ins) > 0 {
			return signal.Entity{ID: id, LastSeen: ins[0].Updated}, nil
		}
	}
	if c.loop.Learning != nil {
		for _, l := range c.loop.Learning.Learning() {
			if l.Entity == id {
				return signal.Entity{ID: id}, nil
			}
		}
	}
	return signal.Entity{}, fmt.Errorf("the entity %s: %w", strconv.Quote(string(id)), signal.ErrNotFound)
}
