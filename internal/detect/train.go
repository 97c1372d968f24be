package detect

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"homeostat/internal/signal"
)

// History gives back what was. Samples calls fn for the raw samples of entity's series whose metric name is one of metrics,
// from <= time < to in Unix milliseconds: series by series, a long one in several calls, times ascending. fn is shown each series
// first without samples, and returns [signal.ErrSkipSeries] for one that it doesn't want. It keeps nothing of what it is handed.
// Another error of fn ends the reading and is returned.
type History interface {
	Samples(ctx context.Context, entity signal.EntityID, from, to int64, metrics []string,
		fn func(labels signal.Labels, times []int64, values []float64) error) error
}

// The bounds of a training.
const (
	trainSpan      = 30 * 24 * time.Hour
	trainIntervals = 50_000 // at most: 30 days at one minute are 43,200
	trainKeep      = 20_000 // points that may come while a model is trained; what comes after them it learns later
)

// trainer trains models from history, one at a time and within its share of one core, for all detectors.
type trainer struct {
	history  History
	versions *versions
	inUse    func(id string) bool
	budget   float64 // share of one core
	log      *slog.Logger
	wake     chan struct{} // holds one: there is work

	mu    sync.Mutex
	queue []*training
	done  []*training
}

// training is one model on its way. The runner's goroutine owns kept; the trainer hands over model through done.
type training struct {
	d      *Forests
	w      *watched
	to     int64 // Unix milliseconds: history before it is read, points from it on are kept
	times  []int64
	points []float64
	model  *Model // nil where history had too little
	seen   int    // intervals

	version *signal.Model // what it makes, where a person asked for it: it then takes nothing's place
	rows    *grid         // in place of history
	quality *quality
}

// keep remembers a point that came while the training goes on.
func (t *training) keep(at int64, x []float64) {
	if len(t.times) < trainKeep {
		t.times = append(t.times, at)
		t.points = append(t.points, x...)
	}
}

// keep writes a version.
func (tr *trainer) keep(m signal.Model, state []byte) error {
	return tr.versions.put(m, state, tr.inUse)
}

func newTrainer(h History, budget float64, log *slog.Logger) *trainer {
	if !(budget > 0 && budget <= 1) {
		budget = 0.75
	}
	return &trainer{history: h, budget: budget, log: log, wake: make(chan struct{}, 1)}
}

// add queues the training of w's model, whose live points begin at to.
func (tr *trainer) add(d *Forests, w *watched, to int64) *training {
	t := &training{d: d, w: w, to: to}
	tr.enqueue(t)
	return t
}

func (tr *trainer) enqueue(t *training) {
	tr.mu.Lock()
	if t.version != nil && len(tr.queue) > 0 { // a person waits for it: it is the next
		tr.queue = slices.Insert(tr.queue, 1, t)
	} else {
		tr.queue = append(tr.queue, t)
	}
	tr.mu.Unlock()
	select {
	case tr.wake <- struct{}{}:
	default:
	}
}

// finished returns the trainings that have ended since the last call.
func (tr *trainer) finished() []*training {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	done := tr.done
	tr.done = nil
	return done
}

// waiting returns how many models wait for their training or are in it.
func (tr *trainer) waiting() int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return len(tr.queue)
}

// run trains what is queued until ctx ends.
func (tr *trainer) run(ctx context.Context) {
	for {
		tr.mu.Lock()
		var t *training
		if len(tr.queue) > 0 {
			t = tr.queue[0]
		}
		tr.mu.Unlock()
		if t == nil {
			select {
			case <-ctx.Done():
				return
			case <-tr.wake:
			}
			continue
		}
		began := time.Now()
		err := tr.train(ctx, t)
		switch {
		case ctx.Err() != nil:
			return // not trained, and the checkpoint says so: the next process begins anew
		case t.version != nil:
			tr.finish(ctx, t, err)
		case err != nil:
			t.model = nil
			tr.log.ErrorContext(ctx, "training failed; the model learns from live data alone",
				"detector", t.d.c.Name, "entity", t.w.entity, "err", err)
		case t.model != nil:
			tr.log.InfoContext(ctx, "model trained from history",
				"detector", t.d.c.Name, "entity", t.w.entity, "intervals", t.seen, "took", time.Since(began))
		}
		tr.mu.Lock()
		tr.queue = tr.queue[1:]
		if t.version == nil {
			tr.done = append(tr.done, t)
		}
		tr.mu.Unlock()
	}
}

// train makes t.model from history. It works in short turns and rests between them as the budget asks.
func (tr *trainer) train(ctx context.Context, t *training) error {
	step := t.d.step
	points, first, count, err := tr.read(ctx, t)
	if err != nil {
		return err
	}
	model, err := t.d.newModel(t.w)
	if err != nil {
		return err
	}
	model.quick = true
	const turn = 10 * time.Millisecond
	began := time.Now()
	x := make([]float64, len(t.w.ins))
	present := 0
	for k := range count {
		if points(k, x) {
			present++
		}
	}
	t.quality = newQuality(len(x))
	for k := range count {
		if !points(k, x) {
			continue
		}
		at := (first + int64(k)) * step
		v := model.Observe(at, x)
		if t.seen++; t.seen > present-present/heldOut && t.version != nil {
			t.quality.see(at, v)
		}
		if t.seen%16 != 0 {
			continue
		}
		if worked := time.Since(began); worked > turn {
			rest := time.Duration(float64(worked) * (1/tr.budget - 1))
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(rest):
			}
			began = time.Now()
		}
	}
	model.quick = false
	if t.seen >= warmUp {
		t.model = model
	}
	return nil
}

// read returns the points that t learns from: count intervals from the first on, those of 30 days at most.
func (tr *trainer) read(ctx context.Context, t *training) (points func(k int, x []float64) bool, first int64, count int, err error) {
	if t.rows != nil {
		return t.rows.point, t.rows.first, t.rows.count, nil
	}
	step := t.d.step
	n := min(trainSpan.Milliseconds()/step, trainIntervals)
	table := newTable(t.d, t.w, floorDiv(t.to, step)-n, int(n))
	var metrics []string
	for _, in := range t.w.ins {
		metrics = append(metrics, in.metric)
	}
	if err := tr.history.Samples(ctx, t.w.entity, table.first*step, t.to, metrics, table.add); err != nil {
		return nil, 0, 0, err
	}
	table.flush()
	return table.point, table.first, int(n), nil
}

// finish keeps the version that a person asked for, or says why there is none.
func (tr *trainer) finish(ctx context.Context, t *training, err error) {
	m := *t.version
	if err == nil && t.model == nil {
		err = fmt.Errorf("%d points; it takes %d", t.seen, warmUp)
	}
	var state []byte
	if err == nil {
		state, err = t.model.MarshalBinary()
	}
	if err == nil {
		s := &t.model.state
		m.State, m.Points, m.Quality = modelReady, t.seen, t.quality.tell(t.w.names, t.d.step)
		m.From, m.To = time.UnixMilli(s.First).UTC(), time.UnixMilli(s.Last+t.d.step).UTC()
		err = tr.keep(m, state)
	}
	if err != nil {
		m.State, m.Reason = modelFailed, err.Error()
		tr.versions.note(m)
		tr.log.ErrorContext(ctx, "training failed", "detector", m.Detector, "entity", m.Entity, "model", m.ID, "err", err)
		return
	}
	tr.log.InfoContext(ctx, "version of a model trained", "detector", m.Detector, "entity", m.Entity, "model", m.ID, "intervals", m.Points)
}

// table gathers a stretch of history into intervals, as the meters do with live samples.
type table struct {
	d     *Forests
	w     *watched
	first int64 // number of the first interval
	cells []cell
	count int

	series signal.SeriesID // the series being read, for each input that selects it
	meters []meter
	at     []int64 // the interval that each meter gathers
}

type cell struct{ total, n [2]float64 }

func newTable(d *Forests, w *watched, first int64, count int) *table {
	return &table{d: d, w: w, first: first, count: count, cells: make([]cell, count*len(w.ins))}
}

// add takes in samples of one series.
func (tb *table) add(ls signal.Labels, times []int64, values []float64) error {
	if id := ls.ID(); id != tb.series {
		tb.flush()
		tb.series = id
		if tb.w.series != "all" && ls.String() != tb.w.series {
			return signal.ErrSkipSeries
		}
		for i := range tb.w.ins {
			if tb.w.ins[i].matches(ls) {
				tb.meters = append(tb.meters, meter{input: i, part: tb.w.ins[i].part(ls)})
				tb.at = append(tb.at, 0)
			}
		}
	}
	for j := range tb.meters {
		m := &tb.meters[j]
		rate := tb.w.ins[m.input].rate
		for i, t := range times {
			k := floorDiv(t, tb.d.step)
			if k != tb.at[j] {
				tb.put(j)
				tb.at[j] = k
			}
			m.add(&m.sums[0], t, values[i], rate, tb.d.step)
		}
	}
	return nil
}

// put adds what meter j has gathered to its cell.
func (tb *table) put(j int) {
	m := &tb.meters[j]
	g, k := m.sums[0], tb.at[j]-tb.first
	m.sums[0] = gathered{}
	if g.Weight == 0 || k < 0 || k >= int64(tb.count) {
		return
	}
	c := &tb.cells[int(k)*len(tb.w.ins)+m.input]
	c.total[m.part] += g.value(tb.w.ins[m.input].rate)
	c.n[m.part]++
}

// flush ends the series being read.
func (tb *table) flush() {
	for j := range tb.meters {
		tb.put(j)
	}
	tb.meters, tb.at = tb.meters[:0], tb.at[:0]
}

// point sets x to the features of interval k, counted from the first. It returns false where there is nothing.
func (tb *table) point(k int, x []float64) bool {
	any := false
	for i := range x {
		c := &tb.cells[k*len(x)+i]
		x[i] = combine(tb.w.ins[i].join, c.total, c.n)
		any = any || !math.IsNaN(x[i])
	}
	return any
}

// adopt puts the trained model in the place of the one that has learnt from live data alone, once it has seen what came
// meanwhile. An anomaly that goes on stays the same anomaly.
func (t *training) adopt() {
	w := t.w
	if w.wait != t {
		return // another model was put in its place meanwhile
	}
	w.wait = nil
	if t.model == nil {
		return
	}
	n := len(w.ins)
	t.model.quick = true
	for i, at := range t.times {
		t.model.Observe(at, t.points[i*n:(i+1)*n])
	}
	t.model.quick = false
	w.take(t.model)
	w.dirty, w.soon = true, true
}
