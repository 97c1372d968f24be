package outlook

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/prompb"

	"homeostat/internal/signal"
)

// endpoint is one thing that has response time, requests and errors, or one filesystem.
type endpoint struct {
	key      string
	entity   signal.EntityID
	name     string
	counters []*counter
	limits   [][]limit // by Config.Features
	tracks   []*track  // by Config.Features
	bands    []signal.Series
	from     uint64 // it was restored as it was after this message
	touched  uint64 // the last message that changed it
	gathered
}

// gathered is what has come of the minute that is open.
type gathered struct {
	open   int64 // which it is
	begun  bool
	batch  string
	native bool // its durations come as native histograms: the classic ones besides say the same

	seconds, timed, requests, errors float64
	counted                          bool // requests are known
	p95                              float64
	used, usedN                      float64
	buckets                          map[float64]float64 // by upper bound, in seconds: requests that took no longer
	hist                             *histogram.FloatHistogram
	histFactor                       float64
}

// clear is gathered for minute k.
func (g *gathered) clear(k int64) {
	*g = gathered{open: k, begun: true, native: g.native, buckets: g.buckets}
	clear(g.buckets)
}

// counter is one series and its last sample.
type counter struct {
	id signal.SeriesID
	binding
	e       *endpoint
	prev    float64
	last    *histogram.FloatHistogram // of a native histogram
	at      int64
	seen    bool
	matched bool // against the limits
}

// longest is how far apart two samples of a counter may be for what it grew by to be of one minute.
const longest = 5 * minute

// add takes a sample in. Counters count by what they have grown; one that has shrunk began again.
func (c *counter) add(t int64, v float64) {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		c.seen = false
		return
	case c.role == usage:
		c.e.used += v
		c.e.usedN++
		return
	case c.seen && t <= c.at:
		return
	case c.amount:
		if t/minute == c.e.open { // what comes late is of a minute that is judged already
			c.count(v)
		}
		c.at, c.seen = t, true
		return
	}
	if grown := v - c.prev; c.seen && t-c.at <= longest && !c.e.native {
		if grown < 0 {
			grown = v
		}
		c.count(grown)
	}
	c.prev, c.at, c.seen = v, t, true
}

// count adds v to what its role says.
func (c *counter) count(v float64) {
	e := c.e
	switch c.role {
	case durations:
		e.seconds += v * c.factor
	case timed:
		e.timed += v
	case failures:
		e.errors += v
	case quantile:
		e.p95 = max(e.p95, v*c.factor)
	case bucket:
		if e.buckets == nil {
			e.buckets = map[float64]float64{}
		}
		e.buckets[c.le] += v
	case count, calls:
		if c.role == count {
			e.timed += v
		}
		e.requests += v
		e.counted = true
		if c.failed {
			e.errors += v
		}
	}
}

// addNative takes in a sample of a native histogram. One that can't be read is passed over: the source has checked it, and the
// history tells.
func (c *counter) addNative(t int64, data []byte) {
	var p prompb.Histogram
	if p.Unmarshal(data) != nil || c.seen && t <= c.at || math.IsNaN(p.Sum) || math.IsInf(p.Sum, 0) {
		return
	}
	h := floats(p)
	if h.Validate() != nil {
		return
	}
	e := c.e
	if !e.native { // what the classic ones have said of this minute is said again
		e.native = true
		e.clear(e.open)
	}
	if c.seen && t-c.at <= longest {
		grown := h.Copy()
		if !h.DetectReset(c.last) {
			if less, _, _, err := grown.Sub(c.last); err == nil {
				grown = less
			}
		}
		e.seconds += grown.Sum * c.factor
		e.timed += grown.Count
		e.requests += grown.Count
		e.counted = true
		if c.failed {
			e.errors += grown.Count
		}
		if e.hist == nil {
			e.hist, e.histFactor = grown, c.factor
		} else if both, _, _, err := e.hist.Add(grown); err == nil {
			e.hist = both
		}
	}
	c.last, c.at, c.seen = h, t, true
}

func floats(p prompb.Histogram) *histogram.FloatHistogram {
	if p.IsFloatHistogram() {
		return p.ToFloatHistogram()
	}
	return p.ToIntHistogram().ToFloat(nil)
}

// tick closes the minutes of e that a sample in minute k shows to be over.
func (d *Detector) tick(e *endpoint, k int64, batch string) {
	d.touch(e)
	if !e.begun {
		e.open, e.begun = k, true
	}
	if k > e.open {
		d.close(e)
		for gap := e.open + 1; gap < k && gap-e.open < keep; gap++ {
			for _, tr := range e.tracks {
				tr.push(gap, math.NaN())
			}
		}
		e.clear(k)
	}
	e.batch = batch
}

// value is what the open minute has of a feature; NaN where it has nothing.
func (g *gathered) value(feature string) float64 {
	share := func(part, whole float64) float64 {
		if !(whole > 0) {
			return math.NaN()
		}
		return part / whole
	}
	switch feature {
	case ResponseTime:
		return share(g.seconds, g.timed)
	case Slow:
		return g.slow()
	case Errors:
		return min(share(g.errors, g.requests), 1)
	case Disk:
		return share(g.used, g.usedN)
	}
	if !g.counted {
		return math.NaN()
	}
	return g.requests / 60
}

// close takes the values of e's open minute, judges each by its forecast, and forecasts anew where it is time.
func (d *Detector) close(e *endpoint) {
	k := e.open
	values := make([]float64, len(d.c.Features))
	for i, f := range d.c.Features {
		values[i] = e.value(f)
		e.tracks[i].Latest = values[i]
		if (f == ResponseTime || f == Slow) && e.timed < fewest || f == Errors && e.errors < 2 && e.requests < fewest {
			continue // the mean of hardly any says nothing
		}
		e.tracks[i].judge(f, k, values[i])
	}
	d.record(e, values)
	for i := range d.c.Features {
		d.tell(e, i, k, values[i])
		tr := e.tracks[i]
		tr.push(k, values[i])
		if k%every == tr.Phase && tr.observed() >= least && !tr.undecided(k) {
			d.forecast(e, i, k)
		}
	}
}

// record adds what was seen and expected of e's open minute to the bands.
func (d *Detector) record(e *endpoint, values []float64) {
	if e.bands == nil {
		for _, f := range d.c.Features {
			for _, metric := range [...]string{"homeostat_value", "homeostat_expected", "homeostat_lower", "homeostat_upper"} {
				e.bands = append(e.bands, signal.MakeSeries(signal.MakeLabels(map[string]string{
					signal.MetricName: metric, signal.EntityLabel: string(e.entity), "detector": d.c.Name, "feature": seriesName(f, e.name),
				})))
			}
		}
	}
	at := int32(len(d.Bands.Dict))
	d.Bands.Dict = append(d.Bands.Dict, e.bands...)
	for i, v := range values {
		lower, median, upper := e.tracks[i].band(e.open)
		for _, x := range [...]float64{v, median, lower, upper} {
			if !math.IsNaN(x) {
				d.Bands.Add(at, (e.open+1)*minute, x)
			}
			at++
		}
	}
}

// The scores between which an anomaly goes on: -log10 of the chance of the last five minutes together.
const (
	begins = 6.0
	ends   = 2.5
	fewest = 5 // requests that a minute must have to be judged by their mean
)

// tell appends what minute k of feature i began or ended.
func (d *Detector) tell(e *endpoint, i int, k int64, v float64) {
	tr, f := e.tracks[i], d.c.Features[i]
	score := tr.score()
	_, median, _ := tr.band(k)
	switch {
	case f == Disk: // fuller or emptier than was forecast is no trouble: a breach is
	case tr.Open == nil && score >= begins && tr.Judged >= 2*horizon && !math.IsNaN(v) && !math.IsNaN(median):
		tr.Open = d.anomaly(e, i, k, v, score)
		d.anoms = append(d.anoms, *tr.Open)
	case tr.Open != nil && score >= ends:
		if score > tr.Open.Score {
			tr.Open.Score, tr.Open.Grade = score, 1-begins/score
		}
	case tr.Open != nil:
		d.end(tr, k)
	}
}

// end tells that the anomaly of tr ended with minute k.
func (d *Detector) end(tr *track, k int64) {
	tr.Open.Ended = time.UnixMilli((k + 1) * minute).UTC()
	d.anoms = append(d.anoms, *tr.Open)
	tr.Open = nil
}

// silence ends what is open of feature i: nothing comes any more, and nothing is known.
func (d *Detector) silence(e *endpoint, i int) {
	tr := e.tracks[i]
	if tr.Open == nil && len(tr.Breaches) == 0 && tr.Fan == nil {
		return
	}
	d.touch(e)
	d.foretold(e)
	if tr.Open != nil {
		d.end(tr, d.now-1)
	}
	for _, b := range tr.Breaches {
		d.over(b, d.now, "nothing is heard of "+b.Series+" any more")
	}
	tr.Breaches, tr.Fan, tr.Aim, tr.Strange = nil, nil, aim{}, nil
}

func (d *Detector) anomaly(e *endpoint, i int, k int64, v, score float64) *signal.Anomaly {
	f, tr := d.c.Features[i], e.tracks[i]
	began := time.UnixMilli(k * minute).UTC()
	name := seriesName(f, e.name)
	lower, median, upper := tr.band(k)
	a := &signal.Anomaly{
		Head: signal.Head{
			ID: signal.MakeID(signal.KindAnomaly, d.c.Name, string(e.entity), name, began.Format(time.RFC3339Nano)), Entity: e.entity,
			Cause: []string{}, Severity: signal.Warning,
		},
		Detector: d.c.Name, Series: []string{name}, Began: began, Score: score, Threshold: begins, Grade: 1 - begins/score,
		Values: map[string]float64{name: v}, Expected: map[string]float64{name: median}, Lower: map[string]float64{name: lower},
		Upper: map[string]float64{name: upper}, Attribution: map[string]float64{name: 1}, Confidence: tr.confidence(),
		Reason: fmt.Sprintf("%s is %s, where %s to %s was forecast", name, quantity(f, v), quantity(f, lower), quantity(f, upper)),
	}
	if e.batch != "" {
		a.Cause = append(a.Cause, e.batch)
	}
	if f == ResponseTime || f == Slow || f == Errors {
		a.Reason += d.load(e, k)
	}
	return a
}

// load says whether the requests explain what is strange about their response time or errors.
func (d *Detector) load(e *endpoint, k int64) string {
	i := slices.Index(d.c.Features, Requests)
	if i < 0 {
		return ""
	}
	tr := e.tracks[i]
	_, median, upper := tr.band(k)
	switch now := tr.Latest; {
	case math.IsNaN(median) || math.IsNaN(now):
		return "; what load was to be expected isn't known"
	case now > upper && tr.score() >= ends && median > 0:
		return fmt.Sprintf("; requests are %.2g times what was forecast, which explains it", now/median)
	}
	return "; requests are as forecast, so load doesn't explain it"
}
