package history

import (
	"context"
	"errors"
	"math"
	"time"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"homeostat/internal/signal"
)

// ErrFull means that the disk is down to its reserve, so that nothing is written.
var ErrFull = errors.New("no room in the history")

// Why a sample was set aside: the values of the label reason.
const (
	reasonLate          = "late"          // older than the out-of-order window
	reasonContradicting = "contradicting" // another value is stored for this time
	reasonMalformed     = "malformed"     // labels or histogram that can't be
	reasonFuture        = "future"        // more than maxAhead before our clock
)

// writer appends batches to the TSDB, remembering each series' reference there. History.mu guards it.
type writer struct {
	app    storage.Appender // with what is not committed, or nil
	rows   int              // appended to app
	since  time.Time        // of the first row in app
	round  int              // number of the commit that app is for
	late   int              // late samples compared since lateAt
	lateAt time.Time        // when counting late began anew
	lost   bool             // what was in app was not committed; the consumer has to read it again
	series map[signal.SeriesID]*entry
	known  int64 // newest time that was stored when the history was opened
	swept  time.Time
	dict   []*entry // of the batch being appended, by its dictionary; kept for its memory
}

// entry is what the writer knows of a series.
type entry struct {
	labels signal.Labels
	ref    storage.SeriesRef
	entity *entity
	bad    bool      // the labels can't be stored
	seen   bool      // time and value below are set
	time   int64     // newest sample, of any kind
	value  uint64    // its bits; 0 for a histogram
	round  int       // of the writer, when a sample was last appended
	used   time.Time // by our clock
}

// append appends b's samples. It fails only when the TSDB can't take anything. mu is held.
func (h *History) append(ctx context.Context, b *signal.Batch, now time.Time) error {
	w := &h.writer
	if w.app == nil {
		h.begin(ctx, now)
	}
	if now.Sub(w.lateAt) >= commitTime {
		w.late, w.lateAt = 0, now
	}
	limit := now.Add(maxAhead).UnixMilli()
	entries := w.dict[:0]
	for i := range b.Dict {
		e := h.entry(&b.Dict[i])
		e.used = now
		entries = append(entries, e)
	}
	w.dict = entries
	var rejected [4]int
	for i, s := range b.Series {
		e, t, v := entries[s], b.Times[i], b.Values[i]
		bits := math.Float64bits(v)
		switch {
		case e.bad:
			rejected[2]++
			continue
		case t > limit:
			rejected[3]++
			continue
		case e.seen && t == e.time:
			if bits != e.value {
				rejected[1]++
			}
			continue
		case e.seen && t < e.time || !e.seen && e.ref != 0 && t <= w.known:
			other, err := h.contradicts(ctx, e, t, bits)
			if err != nil {
				return err
			}
			if other {
				rejected[1]++
				continue
			}
		}
		ref, err := w.app.Append(e.ref, labels.EmptyLabels(), t, v)
		if e.ref == 0 || err != nil && errors.Is(err, tsdb.ErrInvalidSample) {
			ref, err = w.app.Append(0, e.tsdbLabels(), t, v)
		}
		if err != nil {
			if !count(&rejected, err) {
				return err
			}
			continue
		}
		e.took(ref, t, bits, w)
	}
	for i := range b.Histograms {
		e := entries[b.Histograms[i].Series]
		switch {
		case e.bad:
			rejected[2]++
			continue
		case b.Histograms[i].Time > limit:
			rejected[3]++
			continue
		}
		if err := e.appendHistogram(&b.Histograms[i], w); err != nil {
			if !count(&rejected, err) {
				return err
			}
		}
	}
	for i, reason := range []string{reasonLate, reasonContradicting, reasonMalformed, reasonFuture} {
		if rejected[i] > 0 {
			h.metrics.rejected.WithLabelValues(reason).Add(float64(rejected[i]))
		}
	}
	h.meta.add(b.Meta)
	h.entities.saw(entries, b.ID)
	h.metrics.samples.Add(float64(b.Len()))
	h.rate.add(now, b.Len())
	return nil
}

// took notes a sample that the TSDB has taken.
func (e *entry) took(ref storage.SeriesRef, t int64, bits uint64, w *writer) {
	e.ref, e.round = ref, w.round
	w.rows++
	if !e.seen || t > e.time {
		e.seen, e.time, e.value = true, t, bits
	}
}

var errMalformed = errors.New("malformed")

func (e *entry) appendHistogram(sample *signal.Histogram, w *writer) error {
	var p prompb.Histogram
	if err := p.Unmarshal(sample.Data); err != nil {
		return errMalformed
	}
	var ih *histogram.Histogram
	var fh *histogram.FloatHistogram
	if p.IsFloatHistogram() {
		if fh = p.ToFloatHistogram(); fh.Validate() != nil {
			return errMalformed
		}
	} else {
		if ih = p.ToIntHistogram(); ih.Validate() != nil {
			return errMalformed
		}
	}
	ref, err := w.app.AppendHistogram(e.ref, labels.EmptyLabels(), sample.Time, ih, fh)
	if e.ref == 0 || err != nil && errors.Is(err, tsdb.ErrInvalidSample) {
		ref, err = w.app.AppendHistogram(0, e.tsdbLabels(), sample.Time, ih, fh)
	}
	if err != nil {
		return err
	}
	e.took(ref, sample.Time, 0, w)
	return nil
}

// count adds an error of the TSDB to its reason. It reports false for one that is not about the sample.
func count(rejected *[4]int, err error) bool {
	switch {
	case errors.Is(err, storage.ErrTooOldSample), errors.Is(err, storage.ErrOutOfBounds), errors.Is(err, storage.ErrOutOfOrderSample):
		rejected[0]++
	case errors.Is(err, storage.ErrDuplicateSampleForTimestamp):
		rejected[1]++
	case errors.Is(err, errMalformed), errors.Is(err, tsdb.ErrInvalidSample):
		rejected[2]++
	default:
		return false
	}
	return true
}

// entry returns what is known of a series, making it known.
func (h *History) entry(s *signal.Series) *entry {
	if e, ok := h.writer.series[s.ID]; ok && same(e.labels, s.Labels) {
		e.labels = s.Labels // where they are now: the next comparison is by place
		return e
	}
	e := &entry{labels: s.Labels, bad: !valid(s.Labels)}
	if !e.bad {
		e.entity = h.entities.of(s.Entity, s.Labels)
	}
	h.writer.series[s.ID] = e
	return e
}

// same compares labels, by their place in memory first: the stream hands over the same ones again and again.
func same(a, b signal.Labels) bool {
	if len(a) != len(b) {
		return false
	}
	if len(a) == 0 || &a[0] == &b[0] {
		return true
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// valid reports whether labels can name a series: a metric, sorted, each once, in UTF-8, none empty.
func valid(ls signal.Labels) bool {
	named := false
	for i, l := range ls {
		if l.Name == "" || l.Value == "" || !utf8.ValidString(l.Name) || !utf8.ValidString(l.Value) {
			return false
		}
		if i > 0 && ls[i-1].Name >= l.Name {
			return false
		}
		named = named || l.Name == signal.MetricName
	}
	return named
}

func (e *entry) tsdbLabels() labels.Labels {
	b := labels.NewScratchBuilder(len(e.labels))
	for _, l := range e.labels {
		b.Add(l.Name, l.Value)
	}
	return b.Labels()
}

// begin begins a commit. mu is held.
func (h *History) begin(ctx context.Context, now time.Time) {
	w := &h.writer
	w.app, w.since = h.db.Appender(context.WithoutCancel(ctx)), now
	w.round++
}

// contradicts reports whether another value is stored for this time: the TSDB would take both, silently, and show one of them.
// Only so many are looked up in a while; beyond, it is as the TSDB has it. mu is held.
func (h *History) contradicts(ctx context.Context, e *entry, t int64, bits uint64) (bool, error) {
	w := &h.writer
	if w.late++; w.late > lateChecks {
		return false, nil
	}
	if e.round == w.round { // what is in hand is not to be seen yet
		if err := h.flush(); err != nil {
			return false, err
		}
		h.begin(ctx, time.Now())
	}
	q, err := h.db.Querier(t, t)
	if err != nil {
		return false, err
	}
	defer q.Close()
	ms := make([]*labels.Matcher, 0, len(e.labels))
	for _, l := range e.labels {
		ms = append(ms, labels.MustNewMatcher(labels.MatchEqual, l.Name, l.Value))
	}
	set := q.Select(ctx, false, nil, ms...)
	for set.Next() {
		if set.At().Labels().Len() != len(e.labels) {
			continue
		}
		it := set.At().Iterator(nil)
		for it.Next() == chunkenc.ValFloat {
			if at, v := it.At(); at == t {
				return math.Float64bits(v) != bits, nil
			}
		}
	}
	return false, set.Err()
}

// flush commits the samples in hand. mu is held.
func (h *History) flush() error {
	w := &h.writer
	if w.app == nil {
		return nil
	}
	app := w.app
	w.app, w.rows = nil, 0
	began := time.Now()
	if err := app.Commit(); err != nil {
		h.metrics.failed.Inc()
		h.forget()
		return err
	}
	h.metrics.commit.Observe(time.Since(began).Seconds())
	h.sweep(began)
	return nil
}

// sweep forgets, once in a while, the series that get no samples any more.
func (h *History) sweep(now time.Time) {
	w := &h.writer
	if now.Sub(w.swept) < seriesKept/6 {
		return
	}
	w.swept = now
	for id, e := range w.series {
		if now.Sub(e.used) > seriesKept {
			delete(w.series, id)
			h.entities.forgot(e.entity)
		}
	}
}

// Record stores the samples of b, which don't come from the stream: what detectors expected, scored and thought normal. It
// returns when they are committed. Recording the same again changes nothing.
func (h *History) Record(ctx context.Context, b *signal.Batch) error {
	if h.full() {
		return ErrFull
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.writer.app != nil { // the entries speak of the samples in hand too
		if err := h.flushPosition(ctx); err != nil {
			return err
		}
	}
	if err := h.append(ctx, b, time.Now()); err != nil {
		return errors.Join(err, h.drop())
	}
	return h.flush()
}

// drop throws away the samples in hand, after an error. mu is held.
func (h *History) drop() error {
	w := &h.writer
	h.forget()
	app := w.app
	w.app, w.rows = nil, 0
	if app == nil {
		return nil
	}
	return app.Rollback()
}

// forget takes back what the entries say of samples, which were not committed after all. mu is held.
func (h *History) forget() {
	h.writer.lost = true
	for _, e := range h.writer.series {
		e.ref, e.seen = 0, false
	}
}
