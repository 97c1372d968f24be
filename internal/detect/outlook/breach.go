package outlook

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"homeostat/internal/signal"
)

const (
	sure   = 0.8  // probability at which a breach is told
	unsure = 0.5  // and below which it is over
	full   = 0.99 // of a filesystem: what is left is no room
)

// crossing is when a forecast crosses a limit, in steps; -1 is not within the hour.
type crossing struct {
	most                   float64 // the probability of the likeliest minute by itself: that of the hour is higher
	when, earliest, latest int     // crossed by then with a chance of a half, a tenth and nine tenths
}

func (t *track) crossing(limit float64) crossing {
	c := crossing{0, -1, -1, -1}
	for s := range horizon {
		p := t.above(s, limit)
		c.most = max(c.most, p)
		for _, x := range []struct {
			at   *int
			from float64
		}{{&c.earliest, 0.1}, {&c.when, 0.5}, {&c.latest, 0.9}} {
			if *x.at < 0 && p >= x.from {
				*x.at = s
			}
		}
	}
	return c
}

// foresee tells when the forecast of feature i crosses one of its limits within the hour, and when one that was told is over.
func (d *Detector) foresee(e *endpoint, i int, k int64) {
	tr := e.tracks[i]
	now := tr.Latest
	if math.IsNaN(now) {
		return
	}
	limits := e.limits[i]
	var open []signal.Breach
	for _, b := range tr.Breaches {
		known := false
		for _, l := range limits {
			known = known || l.value == b.Limit && l.rule == b.Rule
		}
		switch c := tr.crossing(b.Limit); {
		case !known:
			d.over(b, k+1, "there is no such limit any more")
		case now >= b.Limit:
			d.over(b, k+1, fmt.Sprintf("%s has crossed %s", b.Series, quantity(d.c.Features[i], b.Limit)))
		case c.most < unsure:
			d.over(b, k+1, fmt.Sprintf("%s is no more going to cross %s", b.Series, quantity(d.c.Features[i], b.Limit)))
		default:
			open = append(open, b)
		}
	}
	tr.Breaches = open
	for _, l := range limits {
		c := tr.crossing(l.value)
		if now >= l.value || c.most < sure { // a limit that is crossed already is no forecast's business
			continue
		}
		told := false
		for _, b := range tr.Breaches {
			told = told || b.Limit == l.value && b.Rule == l.rule
		}
		if !told {
			b := d.breach(e, i, k, l, c)
			tr.Breaches = append(tr.Breaches, b)
			d.breaches = append(d.breaches, b)
		}
	}
}

// over tells that b is so no more, from minute k on.
func (d *Detector) over(b signal.Breach, k int64, why string) {
	b.Ended, b.Reason = time.UnixMilli(k*minute).UTC(), why
	d.breaches = append(d.breaches, b)
}

func (d *Detector) breach(e *endpoint, i int, k int64, l limit, c crossing) signal.Breach {
	tr, feature := e.tracks[i], d.c.Features[i]
	at := func(s int) time.Time {
		if s < 0 {
			return time.Time{}
		}
		return time.UnixMilli((tr.From + int64(s) + 1) * minute).UTC()
	}
	name := seriesName(feature, e.name)
	made := time.UnixMilli((k + 1) * minute).UTC()
	b := signal.Breach{
		Head: signal.Head{
			ID: signal.MakeID(signal.KindBreach, d.c.Name, string(e.entity), name, strconv.FormatFloat(l.value, 'g', -1, 64), l.rule, made.Format(time.RFC3339Nano)), Entity: e.entity,
			Cause: []string{}, Severity: l.severity,
		},
		Detector: d.c.Name, Series: name, Limit: l.value, Rule: l.rule, Objective: l.of, Value: tr.Latest, Probability: c.most, Made: made,
		At: at(c.when), Earliest: at(c.earliest), Latest: at(c.latest), Expected: tr.Fan[middle], Lower: tr.Fan[bottom], Upper: tr.Fan[top], Method: tr.Method,
	}
	what := "cross " + quantity(feature, l.value)
	if feature == Disk && l.value >= full {
		what = "be full"
	}
	span := fmt.Sprintf("%d to %d", c.earliest+1, c.latest+1)
	if c.latest < 0 {
		span = fmt.Sprintf("%d at the earliest", c.earliest+1)
	}
	b.Reason = fmt.Sprintf("%s is going to %s in %d minutes (%s), at %s UTC", name, what, c.when+1, span, b.At.Format("15:04"))
	switch {
	case l.rule != "":
		b.Reason += ", a limit of the rule " + l.rule
	case l.of != "":
		b.Reason += ", the objective of " + l.of
	}
	b.Reason += fmt.Sprintf(" (now %s; probability %.0f %%)", quantity(feature, b.Value), 100*c.most)
	if e.batch != "" {
		b.Cause = append(b.Cause, e.batch)
	}
	return b
}

// quantity writes a value of a feature as a person says it.
func quantity(feature string, v float64) string {
	switch feature {
	case Disk, Errors:
		return strconv.FormatFloat(100*v, 'g', 3, 64) + " %"
	case Requests:
		return strconv.FormatFloat(v, 'g', 3, 64) + "/s"
	}
	return strconv.FormatFloat(v, 'g', 3, 64) + " s"
}
