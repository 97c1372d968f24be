package outlook

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"time"

	"github.com/prometheus/prometheus/prompb"

	"homeostat/deepar"
	"homeostat/internal/signal"
)

const (
	minute    = 60_000 // milliseconds
	horizon   = 60     // minutes
	every     = 5      // minutes between forecasts
	keep      = 2 * 1440
	least     = 30     // minutes before a first forecast
	mostWatch = 10_000 // endpoints; more are counted and left alone
)

// Config is a detector of kind deepar.
type Config struct {
	Name     string
	Entity   string             // kind of entity: service, host
	Features []string           // of Features
	Limits   map[string]float64 // by feature: what a forecast should not cross from below
}

// Detector watches the endpoints of all entities of a kind.
type Detector struct {
	c        Config
	bound    map[signal.SeriesID]*counter
	watched  map[string]*endpoint
	models   map[string]*deepar.Model // by feature
	until    int64                    // what the models have learned from is before: in minutes
	asked    int64                    // when lessons were last asked for, in minutes
	now      int64                    // the latest minute
	Dropped  int                      // series of endpoints beyond mostWatch
	anoms    []signal.Anomaly
	breaches []signal.Breach
}

// counter is one series and its last sample.
type counter struct {
	binding
	e     *endpoint
	prev  float64
	prevN float64 // of a native histogram: its count
	at    int64
	seen  bool
}

// endpoint is one thing that has response time, requests and errors, or one filesystem.
type endpoint struct {
	entity signal.EntityID
	name   string
	open   int64 // the minute that gathers
	begun  bool
	batch  string

	seconds, requests, errors float64
	counted                   bool
	used, usedN               float64

	tracks []*track // by Config.Features
}

// New returns a detector that has seen nothing.
func New(c Config) *Detector {
	return &Detector{c: c, bound: map[signal.SeriesID]*counter{}, watched: map[string]*endpoint{}, models: map[string]*deepar.Model{}}
}

// Process takes the samples of b in, and returns the anomalies that began or ended with it and the breaches that are foreseen. What it
// returns is good until the next call.
func (d *Detector) Process(b *signal.Batch) ([]signal.Anomaly, []signal.Breach) {
	d.anoms, d.breaches = d.anoms[:0], d.breaches[:0]
	if len(b.Series) == 0 && len(b.Histograms) == 0 {
		return nil, nil
	}
	dict := make([]*counter, len(b.Dict))
	any := false
	for i := range b.Dict {
		dict[i] = d.find(&b.Dict[i])
		any = any || dict[i] != nil
	}
	if !any {
		return nil, nil
	}
	for i, s := range b.Series {
		if c := dict[s]; c != nil && c.role != histogram {
			d.tick(c.e, b.Times[i], b.ID)
			c.add(b.Times[i], b.Values[i])
		}
	}
	for i := range b.Histograms {
		h := &b.Histograms[i]
		if c := dict[h.Series]; c != nil && c.role == histogram {
			d.tick(c.e, h.Time, b.ID)
			c.addNative(h.Time, h.Data)
		}
	}
	return d.anoms, d.breaches
}

// find returns the counter of a series, nil when it isn't watched.
func (d *Detector) find(s *signal.Series) *counter {
	if c, ok := d.bound[s.ID]; ok {
		return c
	}
	var c *counter
	if s.Entity.Kind() == d.c.Entity && s.Labels.Value("detector") == "" {
		if b := bind(s.Labels); b.role != none {
			if e := d.watch(s.Entity, b.endpoint); e != nil {
				c = &counter{binding: b, e: e}
			}
		}
	}
	d.bound[s.ID] = c
	return c
}

func (d *Detector) watch(entity signal.EntityID, name string) *endpoint {
	key := string(entity) + "\x00" + name
	if e, ok := d.watched[key]; ok {
		return e
	}
	if len(d.watched) >= mostWatch {
		d.Dropped++
		return nil
	}
	e := &endpoint{entity: entity, name: name}
	h := fnv.New32a()
	_, _ = h.Write([]byte(key)) // it can't fail
	for range d.c.Features {
		e.tracks = append(e.tracks, &track{Phase: int64(h.Sum32() % every), Factor: 1, Covered: 0.8})
	}
	d.watched[key] = e
	return e
}

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
	}
	if grown := v - c.prev; c.seen && t-c.at <= 5*minute {
		if grown < 0 {
			grown = v
		}
		c.count(grown, c.role == durations)
	}
	c.prev, c.at, c.seen = v, t, true
}

func (c *counter) count(grown float64, isDuration bool) {
	if isDuration {
		c.e.seconds += grown * c.factor
		return
	}
	c.e.requests += grown
	c.e.counted = true
	if c.failed {
		c.e.errors += grown
	}
}

// addNative takes in a sample of a native histogram: its sum and its count. One that can't be read is passed over: the source has
// checked it, and the history tells.
func (c *counter) addNative(t int64, data []byte) {
	var h prompb.Histogram
	if h.Unmarshal(data) != nil || c.seen && t <= c.at || math.IsNaN(h.Sum) || math.IsInf(h.Sum, 0) {
		return
	}
	n := h.GetCountFloat()
	if _, ok := h.Count.(*prompb.Histogram_CountInt); ok {
		n = float64(h.GetCountInt())
	}
	if c.seen && t-c.at <= 5*minute {
		sum, grown := h.Sum-c.prev, n-c.prevN
		if grown < 0 {
			sum, grown = h.Sum, n
		}
		c.count(sum, true)
		c.count(grown, false)
	}
	c.prev, c.prevN, c.at, c.seen = h.Sum, n, t, true
}

// tick closes the minutes of e that a sample at t shows to be over.
func (d *Detector) tick(e *endpoint, t int64, batch string) {
	k := t / minute
	if !e.begun {
		e.open, e.begun = k, true
	}
	if k <= e.open {
		e.batch = batch
		return
	}
	d.close(e, e.open)
	for gap := e.open + 1; gap < k && gap-e.open < keep; gap++ {
		for _, tr := range e.tracks {
			tr.push(gap, math.NaN())
		}
	}
	e.open, e.batch = k, batch
	d.now = max(d.now, k)
}

// close makes the minute's values, judges each by its forecast, and forecasts anew where it is time.
func (d *Detector) close(e *endpoint, k int64) {
	values := map[string]float64{ResponseTime: math.NaN(), Requests: math.NaN(), Errors: math.NaN(), Disk: math.NaN()}
	if e.counted {
		values[Requests] = e.requests / 60
		if e.requests > 0 {
			values[ResponseTime] = e.seconds / e.requests
			values[Errors] = e.errors / e.requests
		}
	}
	if e.usedN > 0 {
		values[Disk] = e.used / e.usedN
	}
	e.seconds, e.requests, e.errors, e.counted, e.used, e.usedN = 0, 0, 0, false, 0, 0
	for i, f := range d.c.Features {
		e.tracks[i].judge(k, values[f])
	}
	for i, f := range d.c.Features {
		d.tell(e, i, k, values[f])
		tr := e.tracks[i]
		tr.push(k, values[f])
		if k%every == tr.Phase && tr.observed() >= least {
			d.forecast(e, i, k)
		}
	}
}

// The scores between which an anomaly goes on: -log10 of the chance of the last five minutes together.
const (
	begins = 7.0
	ends   = 3.0
)

// tell appends what minute k of feature i began or ended.
func (d *Detector) tell(e *endpoint, i int, k int64, v float64) {
	tr := e.tracks[i]
	score := tr.score()
	switch {
	case tr.Open == nil && score >= begins && tr.Judged >= 2*horizon && !math.IsNaN(v):
		tr.Open = d.anomaly(e, i, k, v, score)
		d.anoms = append(d.anoms, *tr.Open)
	case tr.Open != nil && score >= ends:
		if score > tr.Open.Score {
			tr.Open.Score, tr.Open.Grade = score, 1-begins/score
		}
	case tr.Open != nil:
		tr.Open.Ended = time.UnixMilli((k + 1) * minute).UTC()
		d.anoms = append(d.anoms, *tr.Open)
		tr.Open = nil
	}
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
		Reason: fmt.Sprintf("%s is %.3g, where %.3g to %.3g was forecast", name, v, lower, upper),
	}
	if e.batch != "" {
		a.Cause = append(a.Cause, e.batch)
	}
	if f == ResponseTime || f == Errors {
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

func seriesName(feature, endpoint string) string {
	if endpoint == "" {
		return feature
	}
	return feature + " " + endpoint
}

// Learning says how far the detector is with each entity.
func (d *Detector) Learning(dst []signal.Learning) []signal.Learning {
	first := len(dst)
	for _, key := range d.keys() {
		e := d.watched[key]
		l := signal.Learning{Detector: d.c.Name, Kind: "deepar", Entity: e.entity, Note: "watching", Confidence: 1}
		for _, tr := range e.tracks {
			if tr.observed() > 0 {
				l.Confidence = min(l.Confidence, tr.confidence())
			}
		}
		if l.Confidence < 0.1 {
			l.Note = "learning"
		}
		if n := len(dst); n > first && dst[n-1].Entity == e.entity {
			dst[n-1].Confidence = min(dst[n-1].Confidence, l.Confidence)
			continue
		}
		dst = append(dst, l)
	}
	return dst
}

func (d *Detector) keys() []string {
	keys := make([]string, 0, len(d.watched))
	for k := range d.watched {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Outlooks appends what the series of an entity are forecast to do.
func (d *Detector) Outlooks(dst []signal.Outlook, of signal.EntityID) []signal.Outlook {
	for _, key := range d.keys() {
		e := d.watched[key]
		if e.entity != of {
			continue
		}
		for i, tr := range e.tracks {
			if tr.Fan != nil {
				dst = append(dst, signal.Outlook{
					Detector: d.c.Name, Series: seriesName(d.c.Features[i], e.name), From: time.UnixMilli(tr.From * minute).UTC(),
					Levels: levels, Quantiles: tr.Fan, Method: tr.Method, // a fan is replaced and not changed
				})
			}
		}
	}
	return dst
}
