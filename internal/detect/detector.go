package detect

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"homeostat/internal/signal"
)

// Detector turns samples into anomalies. It is called by one goroutine, reads the data's own time and nothing else, and so
// says the same whenever the same batches come.
type Detector interface {
	// Process appends to dst an anomaly for each that began in b, and one with Ended set for each that ended. It keeps
	// nothing of b.
	Process(dst []signal.Anomaly, b *signal.Batch) []signal.Anomaly
	// Checkpoint writes all that the detector has learnt. Restore of what was written makes a detector that goes on as this
	// one would have. An error of Restore leaves the detector as new.
	Checkpoint(w io.Writer) error
	Restore(r io.Reader) error
}

// Forests is the detector of kind rcf: a [Model] for each entity (or for each series, with Config.Each), fed with the means
// over intervals of the entity's series.
//
// An interval is closed by data: by the first sample of a later one, a tenth of an interval (5 s at most) after its end, so
// that it closes at the same place whenever the stream is read again. What comes later still is counted and set aside.
type Forests struct {
	c        Config
	inputs   []input
	step     int64 // Unix milliseconds
	lateness int64
	perModel int // bytes

	watched map[string]*watched // by entity, or entity and series
	roll    roll                // of watched
	bound   map[signal.SeriesID]binding
	seq     uint64                                   // of the batch in hand in the stream; 0 where there is none
	shelve  func(key string) ([]byte, uint64, error) // finds a model that is on disk alone, with the batch that it had last
	lost    int                                      // models that could not be found again
	now     int64                                    // the latest sample's time so far
	swept   int64                                    // when silent entities were last looked for

	bands  signal.Batch // what was expected of the intervals closed since the runner last took them
	closed uint64       // intervals
	late   uint64       // samples set aside

	dict  []binding // scratch: of the batch's dictionary
	order []int32   // scratch: rows by time

	train func(w *watched, to int64) *training // set by the runner: has w's model trained from what was before to
}

// binding says where a series' samples go. A series that no input selects has no targets.
type binding struct {
	targets []*meter
}

// watched is one model and what gathers for its next point.
type watched struct {
	mark
	entity    signal.EntityID
	series    string // "all", or the one series
	names     []string
	ins       []input
	model     *Model
	meters    []*meter
	at        int64 // number of the first interval that is still open
	begun     bool  // at means something
	last      int64 // time of the latest sample
	batch     [2]string
	open      *signal.Anomaly // the anomaly that goes on, as at its peak
	until     int64           // end of its last strange interval
	x         []float64
	bands     []signal.Series
	wait      *training // history is being read for it
	untrained bool      // and should be
	version   string    // the model that a person chose; "" for one that learns by itself here
}

// New returns a detector for one entry of the configuration.
func New(c Config) (*Forests, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	ins, err := c.inputs()
	if err != nil {
		return nil, err
	}
	q, err := c.Quote(1, 0)
	if err != nil {
		return nil, err
	}
	d := &Forests{c: c, inputs: ins, step: c.Interval.Milliseconds(), perModel: q.PerModel}
	d.lateness = min(d.step/10, 5000)
	d.reset()
	if _, err := d.newWatched("", "", ins[:1]); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *Forests) reset() {
	d.watched = map[string]*watched{}
	d.bound = map[signal.SeriesID]binding{}
	d.now, d.swept = 0, 0
	d.roll.clear()
}

// Name returns the detector's configured name.
func (d *Forests) Name() string { return d.c.Name }

// Process feeds the samples of b to the models. See [Detector].
func (d *Forests) Process(dst []signal.Anomaly, b *signal.Batch) []signal.Anomaly {
	d.dict = d.dict[:0]
	any := false
	for i := range b.Dict {
		bd := d.bind(&b.Dict[i])
		any = any || len(bd.targets) > 0
		d.dict = append(d.dict, bd)
	}
	if any {
		if slices.IsSorted(b.Times) {
			for i, s := range b.Series {
				for _, m := range d.dict[s].targets {
					dst = d.take(dst, m, b.Times[i], b.Values[i], b.ID)
				}
			}
		} else {
			// A sender that was cut off sends series by series what it kept: in time order it is as if it had come in time.
			d.order = d.order[:0]
			for i := range b.Series {
				d.order = append(d.order, int32(i))
			}
			slices.SortStableFunc(d.order, func(i, j int32) int { return cmp.Compare(b.Times[i], b.Times[j]) })
			for _, i := range d.order {
				for _, m := range d.dict[b.Series[i]].targets {
					dst = d.take(dst, m, b.Times[i], b.Values[i], b.ID)
				}
			}
		}
	}
	for _, t := range b.Times {
		d.now = max(d.now, t)
	}
	if d.now-d.swept > max(d.step, 10_000) {
		d.swept = d.now
		dst = d.sweep(dst)
	}
	return dst
}

// bind returns where the samples of s go, and remembers it.
func (d *Forests) bind(s *signal.Series) binding {
	if bd, ok := d.bound[s.ID]; ok {
		return bd
	}
	var bd binding
	if s.Entity.Kind() == d.c.Entity && s.Labels.Value("detector") == "" { // what detectors write is no input to them
		for i := range d.inputs {
			if d.inputs[i].matches(s.Labels) {
				w := d.watch(s, i)
				m := &meter{w: w, id: s.ID, input: i, part: d.inputs[i].part(s.Labels)}
				if d.c.Each {
					m.input = 0
				}
				w.meters = append(w.meters, m)
				bd.targets = append(bd.targets, m)
			}
		}
	}
	d.bound[s.ID] = bd
	return bd
}

// watch returns the model that series s with input i belongs to, a new one where there is none.
func (d *Forests) watch(s *signal.Series, i int) *watched {
	key, series, ins := string(s.Entity), "all", d.inputs
	if d.c.Each {
		series, ins = s.Labels.String(), d.inputs[i:i+1]
		key += "\x00" + series
	}
	if w := d.find(key); w != nil {
		return w
	}
	w, err := d.newWatched(s.Entity, series, ins)
	if err != nil {
		// New has made one of these already: what is left can't fail.
		panic(fmt.Sprintf("detector %s: %v", d.c.Name, err))
	}
	w.saved = max(d.seq, 1) - 1
	d.watched[key] = w
	d.enroll(w)
	return w
}

// find returns the model of that key, from disk where it is there alone; nil where there is none.
func (d *Forests) find(key string) *watched {
	if w, ok := d.watched[key]; ok {
		return w
	}
	return d.wake(key)
}

func (d *Forests) newWatched(entity signal.EntityID, series string, ins []input) (*watched, error) {
	w := &watched{untrained: true, entity: entity, series: series, ins: ins, x: make([]float64, len(ins))}
	for _, in := range ins {
		name := in.Name
		if d.c.Each {
			name = series
		}
		w.names = append(w.names, name)
	}
	var err error
	w.model, err = d.newModel(w)
	for _, name := range w.names {
		for _, metric := range [...]string{"homeostat_value", "homeostat_expected", "homeostat_lower", "homeostat_upper"} {
			w.bands = append(w.bands, signal.MakeSeries(signal.MakeLabels(map[string]string{
				signal.MetricName: metric, signal.EntityLabel: string(entity), "detector": d.c.Name, "feature": name,
			})))
		}
	}
	for _, metric := range [...]string{"homeostat_score", "homeostat_threshold", "homeostat_grade"} {
		ls := map[string]string{signal.MetricName: metric, signal.EntityLabel: string(entity), "detector": d.c.Name}
		if series != "all" {
			ls["feature"] = series
		}
		w.bands = append(w.bands, signal.MakeSeries(signal.MakeLabels(ls)))
	}
	return w, err
}

// newModel returns a model for w that has seen nothing.
func (d *Forests) newModel(w *watched) (*Model, error) {
	var features []Feature
	for _, in := range w.ins {
		features = append(features, in.Feature)
	}
	return NewModel(d.c.model(features))
}

// take adds a sample to its interval, and closes what it shows to be over.
func (d *Forests) take(dst []signal.Anomaly, m *meter, t int64, v float64, batch string) []signal.Anomaly {
	w := m.w
	if w.passes(d.seq) {
		return dst
	}
	w.dirty = true
	k := floorDiv(t, d.step)
	if !w.begun {
		w.at, w.begun = k, true
	}
	if w.untrained && d.train != nil {
		w.untrained = false
		w.wait = d.train(w, w.at*d.step)
	}
	if k < w.at {
		d.late++
		return dst
	}
	w.last = max(w.last, t)
	if done := floorDiv(t-d.lateness, d.step); done > w.at {
		dst = d.close(dst, w, w.at)
		if done > w.at+1 {
			dst = d.close(dst, w, w.at+1)
		}
		w.at = done
	}
	w.batch[k&1] = batch
	if !m.add(&m.sums[k&1], t, v, w.ins[m.input].rate, d.step) {
		d.late++
	}
	return dst
}

// close scores interval k of w.
func (d *Forests) close(dst []signal.Anomaly, w *watched, k int64) []signal.Anomaly {
	if !w.collect(k) {
		return dst
	}
	d.closed++
	end := (k + 1) * d.step
	v := w.model.Observe(k*d.step, w.x)
	if w.wait != nil {
		w.wait.keep(k*d.step, w.x)
	}
	d.record(w, end, v)
	return d.tell(dst, w, k, v)
}

// bandPoints are what a model must have seen before its band is shown: until then nobody expects anything.
const bandPoints = 5

// record adds what was expected of the interval that ended at end to the bands.
func (d *Forests) record(w *watched, end int64, v *Verdict) {
	b := &d.bands
	at := int32(len(b.Dict))
	b.Dict = append(b.Dict, w.bands...)
	for i := range w.names {
		for j, x := range [...]float64{v.Values[i], v.Expected[i], v.Lower[i], v.Upper[i]} {
			if !math.IsNaN(x) && (j == 0 || w.model.state.Seen >= bandPoints) {
				b.Add(at, end, x)
			}
			at++
		}
	}
	for _, x := range [...]float64{v.Score, v.Threshold, v.Grade} {
		b.Add(at, end, x)
		at++
	}
}

// tell appends the anomaly that began or ended with interval k, and keeps the peak of one that goes on. What begins in the quiet
// time after the one before is told when it lasts beyond that, and else not at all.
func (d *Forests) tell(dst []signal.Anomaly, w *watched, k int64, v *Verdict) []signal.Anomaly {
	hushed := d.c.Quiet > 0 && w.until > 0 && k*d.step-w.until < d.c.Quiet.Milliseconds()
	switch {
	case v.Change == Ended:
		return w.end(dst, "")
	case w.open == nil && !hushed && (v.Change == Began || d.c.Quiet > 0 && v.Change == GoesOn && v.Lasting):
		w.open = d.anomaly(w, k, v)
		w.until = (k + 1) * d.step
		return append(dst, *w.open)
	case v.Change != GoesOn || !v.Lasting || w.open == nil:
		return dst
	}
	w.until = (k + 1) * d.step
	if v.Score > w.open.Score {
		peak := d.anomaly(w, k, v)
		peak.ID, peak.Began, peak.Cause = w.open.ID, w.open.Began, w.open.Cause
		peak.Grade = max(peak.Grade, w.open.Grade)
		w.open = peak
	}
	return dst
}

// end appends the anomaly that goes on as ended.
func (w *watched) end(dst []signal.Anomaly, note string) []signal.Anomaly {
	if w.open == nil {
		return dst
	}
	w.open.Ended = time.UnixMilli(w.until).UTC()
	w.open.Reason += note
	dst = append(dst, *w.open)
	w.open = nil
	return dst
}

// anomaly describes interval k of w as an anomaly that began there.
func (d *Forests) anomaly(w *watched, k int64, v *Verdict) *signal.Anomaly {
	began := time.UnixMilli(k * d.step).UTC()
	a := &signal.Anomaly{
		Head: signal.Head{
			ID:       signal.MakeID(signal.KindAnomaly, d.c.Name, string(w.entity), w.series, began.Format(time.RFC3339Nano)),
			Entity:   w.entity,
			Cause:    []string{},
			Severity: signal.Warning,
		},
		Detector: d.c.Name, Series: slices.Clone(w.names), Began: began,
		Score: v.Score, Threshold: v.Threshold, Grade: v.Grade, Confidence: v.Confidence,
		Values: map[string]float64{}, Expected: map[string]float64{}, Lower: map[string]float64{}, Upper: map[string]float64{},
		Attribution: map[string]float64{},
		Reason:      Explain(w.model.c.Features, v),
	}
	if id := w.batch[k&1]; id != "" {
		a.Cause = append(a.Cause, id)
	}
	for i, name := range w.names {
		if !math.IsNaN(v.Values[i]) {
			a.Values[name] = v.Values[i]
		}
		a.Expected[name], a.Lower[name], a.Upper[name] = v.Expected[i], v.Lower[i], v.Upper[i]
		a.Attribution[name] = v.Attribution[i]
	}
	return a
}

// silence is how long an entity may send nothing, by the time of what others send, before its open interval is closed and
// its anomaly ended.
func (d *Forests) silence() int64 { return max(10*d.step, 300_000) }

// sweep ends what silent entities left open, and forgets series that are gone.
func (d *Forests) sweep(dst []signal.Anomaly) []signal.Anomaly {
	for _, key := range sortedKeys(d.watched) {
		w := d.watched[key]
		if w.passes(d.seq) {
			continue
		}
		if d.shelve != nil && d.idle(w) {
			delete(d.watched, key)
			continue
		}
		if !w.begun || d.now-w.last < d.silence() {
			continue
		}
		w.dirty = true
		dst = d.close(dst, w, w.at)
		dst = d.close(dst, w, w.at+1)
		w.begun = false
		if w.open != nil {
			dst = w.end(dst, "; nothing has come from it since")
			w.model.forgetOpen()
		}
		for _, m := range w.meters {
			delete(d.bound, m.id)
		}
		w.meters = nil
	}
	if len(d.bound) > 100_000 { // series that no input selects: cheap to look at again
		for id, bd := range d.bound {
			if len(bd.targets) == 0 {
				delete(d.bound, id)
			}
		}
	}
	return dst
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
