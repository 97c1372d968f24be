package outlook

import (
	"hash/fnv"
	"maps"
	"slices"
	"time"

	"homeostat/deepar"
	"homeostat/internal/signal"
)

const (
	minute    = 60_000 // milliseconds
	horizon   = 60     // minutes
	every     = 5      // minutes between forecasts
	keep      = 2 * 1440
	least     = 30      // minutes before a first forecast
	mostKnown = 500_000 // series that are remembered as none of ours
	silent    = 10      // minutes without a sample after which nothing is open any more
)

// MostEndpoints is how many endpoints a detector watches; more are counted and left alone. One of four series, with the day's models,
// takes some 110 ms of a core in five minutes: see BenchmarkForecasts.
const MostEndpoints = 1000

// Config is a detector of kind deepar.
type Config struct {
	Name       string
	Entity     string             // kind of entity: service, host; "" takes whichever has such series
	Features   []string           // of Features
	Limits     map[string]float64 // by feature: what a forecast should not cross from below
	Objectives []Objective        // in place of Limits, for some endpoints
	Rules      []signal.Rule      // whose limits hold besides, where they are about the same series
}

// Detector watches the endpoints of all entities of a kind.
type Detector struct {
	c        Config
	limits   []limit // of rules, for the series that they select
	bound    map[signal.SeriesID]*counter
	strange  int // of bound: those that are nil
	watched  map[string]*endpoint
	models   map[string]*deepar.Model // by feature
	until    int64                    // what the models have learned from is before: in minutes
	asked    int64                    // when lessons were last asked for, in minutes
	now      int64                    // the latest minute
	swept    int64
	seq      uint64
	rows     []row
	anoms    []signal.Anomaly
	breaches []signal.Breach

	// What the last Process did besides, for the caller to take.
	Touched  []string          // keys of the endpoints that have changed
	Gone     []string          // and of those that are watched no more
	Foretold []signal.EntityID // whose forecasts are others now
	Bands    signal.Batch      // what was seen and expected of the minutes that were closed
	Dropped  int               // series of endpoints beyond MostEndpoints, since it was last set to 0
}

// row is one row of a batch that is about an endpoint.
type row struct {
	minute int64
	at     int32 // into the batch's columns; of a histogram, -1-at into its list
}

// New returns a detector that has seen nothing.
func New(c Config) *Detector {
	return &Detector{
		c: c, limits: limitsOf(c.Rules, c.Features), bound: map[signal.SeriesID]*counter{},
		watched: map[string]*endpoint{}, models: map[string]*deepar.Model{},
	}
}

// Process takes the samples of b in, message seq of the stream, and returns the anomalies that began or ended with it and the
// breaches that are foreseen, or are so no more. What it returns is good until the next call. An endpoint that was restored as
// of a later message passes it over.
func (d *Detector) Process(seq uint64, b *signal.Batch) ([]signal.Anomaly, []signal.Breach) {
	d.anoms, d.breaches, d.Touched, d.Gone, d.rows, d.seq = d.anoms[:0], d.breaches[:0], d.Touched[:0], d.Gone[:0], d.rows[:0], seq
	d.Foretold = d.Foretold[:0]
	dict := make([]*counter, len(b.Dict))
	for i := range b.Dict {
		dict[i] = d.find(&b.Dict[i])
	}
	latest := d.now
	for i, s := range b.Series {
		latest = max(latest, b.Times[i]/minute)
		if c := dict[s]; c != nil && c.role != native && seq > c.e.from {
			d.rows = append(d.rows, row{b.Times[i] / minute, int32(i)})
		}
	}
	for i := range b.Histograms {
		h := &b.Histograms[i]
		latest = max(latest, h.Time/minute)
		if c := dict[h.Series]; c != nil && c.role == native && seq > c.e.from {
			d.rows = append(d.rows, row{h.Time / minute, int32(-1 - i)})
		}
	}
	// A batch may hold several minutes of one series before the first of another.
	byMinute := func(a, b row) int { return int(a.minute - b.minute) }
	if !slices.IsSortedFunc(d.rows, byMinute) {
		slices.SortStableFunc(d.rows, byMinute)
	}
	for _, r := range d.rows {
		if r.at < 0 {
			h := &b.Histograms[-1-r.at]
			c := dict[h.Series]
			d.tick(c.e, r.minute, b.ID)
			c.addNative(h.Time, h.Data)
			continue
		}
		c := dict[b.Series[r.at]]
		d.tick(c.e, r.minute, b.ID)
		c.add(b.Times[r.at], b.Values[r.at])
	}
	if d.now = latest; d.now > d.swept {
		d.swept = d.now
		d.sweep()
	}
	return d.anoms, d.breaches
}

// find returns the counter of a series, nil when it isn't watched.
func (d *Detector) find(s *signal.Series) *counter {
	c, ok := d.bound[s.ID]
	if !ok {
		c = d.bind(s)
		if d.bound[s.ID] = c; c == nil {
			d.strange++
		}
	}
	if c != nil && !c.matched {
		c.matched = true
		c.e.limit(d, &c.binding, s.Labels)
	}
	return c
}

func (d *Detector) bind(s *signal.Series) *counter {
	if d.strange > mostKnown {
		maps.DeleteFunc(d.bound, func(_ signal.SeriesID, c *counter) bool { return c == nil })
		d.strange = 0
	}
	if d.c.Entity != "" && s.Entity.Kind() != d.c.Entity || s.Labels.Value("detector") != "" {
		return nil
	}
	b := bind(s.Labels, s.Entity)
	if b.role == none || !slices.ContainsFunc(d.c.Features, func(f string) bool { return (f == Disk) == (b.role == usage) }) {
		return nil
	}
	e := d.watch(s.Entity, b.endpoint)
	if e == nil {
		return nil
	}
	c := &counter{id: s.ID, binding: b, e: e}
	e.counters = append(e.counters, c)
	return c
}

// watch returns the endpoint of that name; nil when there are too many.
func (d *Detector) watch(entity signal.EntityID, name string) *endpoint {
	key := string(entity) + "\x00" + name
	if e, ok := d.watched[key]; ok {
		return e
	}
	if len(d.watched) >= MostEndpoints {
		d.Dropped++
		return nil
	}
	e := &endpoint{key: key, entity: entity, name: name, limits: d.c.set(entity, name)}
	h := fnv.New32a()
	_, _ = h.Write([]byte(key)) // it can't fail
	for range d.c.Features {
		e.tracks = append(e.tracks, newTrack(int64(h.Sum32()%every)))
	}
	d.watched[key] = e
	return e
}

// touch says that e has changed with this batch.
func (d *Detector) touch(e *endpoint) {
	if e.touched != d.seq || d.seq == 0 {
		e.touched = d.seq
		d.Touched = append(d.Touched, e.key)
	}
}

// foretold says that e has another forecast, or none any more.
func (d *Detector) foretold(e *endpoint) {
	if !slices.Contains(d.Foretold, e.entity) {
		d.Foretold = append(d.Foretold, e.entity)
	}
}

// sweep ends what is open of endpoints that send nothing any more, and forgets those that have been silent for as long as is kept.
func (d *Detector) sweep() {
	for _, key := range d.keys() {
		e := d.watched[key]
		if !e.begun || d.seq <= e.from || d.now-e.open <= silent {
			continue
		}
		if d.now-e.open > keep {
			for _, c := range e.counters {
				delete(d.bound, c.id)
			}
			delete(d.watched, key)
			d.Gone = append(d.Gone, key)
			continue
		}
		for i := range e.tracks {
			d.silence(e, i)
		}
	}
}

// Outlooks returns what the series of an entity are forecast to do. A fan is replaced and not changed: what is returned stays as it is.
func (d *Detector) Outlooks(of signal.EntityID) []signal.Outlook {
	var out []signal.Outlook
	for _, key := range d.keys() {
		e := d.watched[key]
		if e.entity != of {
			continue
		}
		for i, tr := range e.tracks {
			if tr.Fan != nil {
				out = append(out, signal.Outlook{
					Detector: d.c.Name, Series: seriesName(d.c.Features[i], e.name), From: time.UnixMilli(tr.From * minute).UTC(),
					Levels: levels, Quantiles: tr.Fan, Method: tr.Method,
				})
			}
		}
	}
	return out
}

// Entities are those of which something is watched.
func (d *Detector) Entities() []signal.EntityID {
	var out []signal.EntityID
	for _, key := range d.keys() {
		if e := d.watched[key].entity; len(out) == 0 || out[len(out)-1] != e { // keys begin with the entity
			out = append(out, e)
		}
	}
	return out
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

func (d *Detector) keys() []string { return slices.Sorted(maps.Keys(d.watched)) }

func seriesName(feature, endpoint string) string {
	if endpoint == "" {
		return feature
	}
	return feature + " " + endpoint
}
