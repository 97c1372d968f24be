package console

import (
	"encoding/json"
	"math"
	"slices"
	"time"

	"homeostat/internal/signal"
)

// fan is a forecast as the script draws it, to the right of now. The columns have one length.
type fan struct {
	Times  []int64      `json:"t"` // Unix seconds
	Median []float64    `json:"median"`
	Lower  []float64    `json:"lower"` // of the band of 80 %, as what was expected is drawn
	Upper  []float64    `json:"upper"`
	Pairs  [][2]quantum `json:"pairs"` // of other bands, the widest first
}

// quantum is one quantile over time.
type quantum []float64

// fans returns the forecasts of an entity by the names of their charts, as far ahead as the chart looks back.
func (c *Console) fans(ent signal.EntityID, now time.Time, cr chartRange) map[string]*fan {
	if c.loop.Outlooks == nil || cr.Span > 24*time.Hour {
		return nil // an hour of a week is a line's width
	}
	out := map[string]*fan{}
	for _, o := range c.loop.Outlooks.Outlooks(ent) {
		if f := newFan(o, now, now.Add(cr.Span)); f != nil {
			out[o.Series] = f
		}
	}
	return out
}

// newFan takes what an outlook says of the minutes after now, up to until; nil when that is nothing.
func newFan(o signal.Outlook, now, until time.Time) *fan {
	n := len(o.Levels)
	lower, median, upper := slices.Index(o.Levels, 0.1), slices.Index(o.Levels, 0.5), slices.Index(o.Levels, 0.9)
	if lower < 0 || median < 0 || upper < 0 || len(o.Quantiles) != n {
		return nil
	}
	var f fan
	first, steps := 0, len(o.Quantiles[median])
	at := func(s int) time.Time { return o.From.Add(time.Duration(s+1) * time.Minute) } // a minute's value stands at its end
	for first < steps && !at(first).After(now) {
		first++
	}
	last := first
	for ; last < steps && !at(last).After(until); last++ {
		f.Times = append(f.Times, at(last).Unix())
	}
	if first == last {
		return nil
	}
	row := func(q int) quantum { return finite(o.Quantiles[q][first:last]) }
	f.Lower, f.Median, f.Upper = row(lower), row(median), row(upper)
	for q := range n / 2 {
		if q != lower {
			f.Pairs = append(f.Pairs, [2]quantum{row(q), row(n - 1 - q)})
		}
	}
	return &f
}

// finite is v where JSON can hold it.
func finite(v []float64) quantum {
	out := make(quantum, len(v))
	for i, x := range v {
		if !math.IsNaN(x) && !math.IsInf(x, 0) {
			out[i] = x
		}
	}
	return out
}

// outlookRow is one forecast in a table.
type outlookRow struct {
	Series, Soon, Later, Method string
}

func (c *Console) outlookRows(of signal.EntityID) []outlookRow {
	if c.loop.Outlooks == nil {
		return nil
	}
	var rows []outlookRow
	for _, o := range c.loop.Outlooks.Outlooks(of) {
		f := newFan(o, o.From, o.From.Add(24*time.Hour))
		if f == nil {
			continue
		}
		u := unitOf(o.Series)
		say := func(s int) string {
			return u.format(f.Median[s]) + " (" + u.format(f.Lower[s]) + " to " + u.format(f.Upper[s]) + ")"
		}
		rows = append(rows, outlookRow{o.Series, say(0), say(len(f.Times) - 1), o.Method})
	}
	return rows
}

// kindBreach is the kind of a member that is a breach which is foreseen.
const kindBreach = "breach"

// newBreach lays out the detail of a breach; nil when it isn't one.
func newBreach(detail json.RawMessage) *findingView {
	var b signal.Breach
	if json.Unmarshal(detail, &b) != nil {
		return nil
	}
	u := unitOf(b.Series)
	clock := func(t time.Time) string {
		if t.IsZero() {
			return "later than in an hour"
		}
		return t.UTC().Format("15:04 MST")
	}
	v := &findingView{ID: b.ID, Kind: kindBreach, Reason: b.Reason, Tone: tone(b.Severity), Began: b.Made, Ended: b.Ended, Entity: b.Entity}
	v.Facts = append(v.Facts, pair{"Detector", b.Detector}, pair{"Limit", u.format(b.Limit)}, pair{"Value then", u.format(b.Value)},
		pair{"Crossed", clock(b.At) + ", " + clock(b.Earliest) + " to " + clock(b.Latest)}, pair{"Probability", percent(b.Probability)})
	if b.Rule != "" {
		v.Facts = append(v.Facts, pair{"Rule", b.Rule})
	}
	if b.Objective != "" {
		v.Facts = append(v.Facts, pair{"Objective of", b.Objective})
	}
	v.Facts = append(v.Facts, pair{"Forecast by", b.Method})
	return v
}
