package detect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"homeostat/internal/signal"
)

// Reader gives the batches of a stream in order. Read calls fn for each batch after position after, waits for more at the end,
// and returns when ctx ends or fn returns an error, which it returns. fn keeps nothing of b.
type Reader interface {
	Read(ctx context.Context, after uint64, fn func(seq uint64, b *signal.Batch) error) error
}

// Publisher takes events. An event whose id it has already changes nothing and is no error.
type Publisher interface {
	Publish(ctx context.Context, events ...signal.Event) error
}

// Recorder keeps samples that are made here: what was expected, and the score. The same sample may come again.
type Recorder interface {
	Record(ctx context.Context, b *signal.Batch) error
}

// RunnerConfig says what runs and where its state is kept. The zero value runs the default detectors without keeping state.
type RunnerConfig struct {
	Detectors []Config      // Defaults when empty
	Dir       string        // of the checkpoint; "": state is kept in memory alone
	Every     time.Duration // between checkpoints; ten intervals when 0, at least 10 s and at most 60 s
	Budget    float64       // share of one core that training may take; 0.75 when 0
	Rules     []signal.Rule // whose limits forecasts are held against
}

// Runner is the stage: it reads the stream, lets the detectors look, publishes what they say and keeps their state.
//
// Events are published before the checkpoint that has passed them. After a crash the stretch since the last checkpoint is
// read again, and as ids follow from what they name, it makes the same events, which the bus knows already.
type Runner struct {
	c         RunnerConfig
	detectors []*Forests
	accesses  []*accesses
	outlooks  []*outlooks
	log       *slog.Logger
	metrics   *metrics

	versions *versions
	saver    saver

	bytes    atomic.Int64  // that the models in memory come to hold
	position atomic.Uint64 // of the last checkpoint

	state  sync.Mutex // guards the detectors and what follows: held for a batch, and by the keeper for a model
	read   uint64     // of the last batch processed
	broken bool       // a batch was left in the middle: the state is of no position, and not saved

	mu        sync.Mutex // guards the fields below
	running   bool
	trouble   map[string]string // what stands in the way, by what it hinders
	lag       float64
	training  int
	intervals uint64
	late      uint64
	ticks     []tick // intervals closed, over the last minute
	learning  []signal.Learning
	trainer   *trainer // nil while nothing trains

	learnt time.Time // when learning was taken; Run's goroutine alone
}

type tick struct {
	at        time.Time
	intervals uint64
}

// NewRunner makes the detectors and restores their state from the checkpoint in c.Dir. A checkpoint that can't be used is set
// aside, with an error in the log: the models learn anew.
func NewRunner(c RunnerConfig, log *slog.Logger, reg prometheus.Registerer) (*Runner, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if len(c.Detectors) == 0 {
		c.Detectors = Defaults()
	}
	var wrong []error
	for _, m := range Check(c.Detectors) {
		wrong = append(wrong, m)
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	r := &Runner{c: c, log: log, metrics: newMetrics(reg), trouble: map[string]string{}}
	least := time.Minute
	for _, dc := range c.Detectors {
		if dc.Kind == kindAccess {
			r.accesses = append(r.accesses, newAccesses(dc))
			continue
		}
		if dc.Kind == kindOutlook {
			o, err := newOutlooks(dc, c.Rules, c.outlookDir())
			if err != nil {
				return nil, err
			}
			r.outlooks = append(r.outlooks, o)
			continue
		}
		d, err := New(dc)
		if err != nil {
			return nil, err
		}
		r.detectors = append(r.detectors, d)
		least = min(least, 10*d.c.Interval)
	}
	if r.c.Every <= 0 {
		r.c.Every = max(least, 10*time.Second)
	}
	dir := ""
	if c.Dir != "" {
		dir = filepath.Join(c.Dir, "models")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	var err error
	if r.versions, err = openVersions(dir); err != nil {
		r.log.Error("versions of models can't be used", "err", err)
	}
	if c.Dir == "" {
		return r, nil
	}
	return r, r.restore()
}

// outlookDir is the folder of the models of forecasts; "" where nothing is kept.
func (c *RunnerConfig) outlookDir() string {
	if c.Dir == "" {
		return ""
	}
	return filepath.Join(c.Dir, "outlook")
}

// Position returns how far into the stream the state on disk reaches: what lies behind it is not needed again.
func (r *Runner) Position() uint64 { return r.position.Load() }

// Run reads the stream from the checkpoint on until ctx ends, and then writes a last checkpoint. rec and h may be nil: then
// nothing is recorded, or models learn from live data alone.
func (r *Runner) Run(ctx context.Context, stream Reader, pub Publisher, rec Recorder, h History) error {
	var tr *trainer
	var wg sync.WaitGroup
	if h != nil {
		tctx, cancel := context.WithCancel(ctx)
		defer wg.Wait()
		defer cancel()
		tr = newTrainer(h, r.c.Budget, r.log)
		tr.versions, tr.inUse = r.versions, r.inUse
		wg.Go(func() { tr.run(tctx) })
		for _, d := range r.detectors {
			d.train = func(w *watched, to int64) *training { return tr.add(d, w, to) }
			defer func() { d.train = nil }()
		}
	}
	r.mu.Lock()
	r.running, r.trainer = true, tr
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.running, r.trainer = false, nil
		r.mu.Unlock()
	}()
	k := newKeeper(r, rec)
	kctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		k.run(kctx)
	}()
	beside, wait := background(ctx)
	defer wait()
	var found []signal.Anomaly
	err := stream.Read(ctx, r.read, func(seq uint64, b *signal.Batch) (err error) {
		r.state.Lock()
		defer r.state.Unlock()
		defer func() { r.broken = r.broken || err != nil }()
		if seq <= r.read {
			return nil
		}
		var trained []*training
		if tr != nil {
			trained = tr.finished()
		}
		for _, t := range trained {
			t.adopt()
		}
		for _, d := range r.detectors {
			d.seq = seq
			found = d.Process(found[:0], b)
			if err := r.publish(ctx, pub, d, found); err != nil {
				return err
			}
			k.take(&d.bands)
			if d.lost > 0 {
				r.log.ErrorContext(ctx, "models on disk can't be read, and learn anew", "detector", d.c.Name, "models", d.lost)
				d.lost = 0
			}
		}
		for i := range b.Orders {
			if err := r.obey(ctx, pub, &b.Orders[i], seq, b.ID); err != nil {
				return err
			}
		}
		if err := r.judge(ctx, pub, seq, b); err != nil {
			return err
		}
		if err := r.foresee(ctx, pub, seq, b, k, beside); err != nil {
			return err
		}
		r.read = seq
		r.note(b, tr)
		if len(trained) > 0 || time.Since(r.learnt) >= learningEvery {
			r.learnt = time.Now()
			r.learn()
		}
		if len(trained) > 0 || len(b.Orders) > 0 {
			notify(k.swapped)
		}
		return nil
	})
	cancel()
	<-kept
	r.learn()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// publish hands the anomalies to the bus, as often as it takes: a second time makes nothing twice, and going on without
// would lose them.
func (r *Runner) publish(ctx context.Context, pub Publisher, d *Forests, found []signal.Anomaly) error {
	if len(found) == 0 {
		return nil
	}
	events := make([]signal.Event, 0, len(found))
	for i := range found {
		a := &found[i]
		kind, at := signal.AnomalyDetected, a.Began.Add(d.c.Interval)
		if !a.Ended.IsZero() {
			kind, at = signal.AnomalyEnded, a.Ended
		}
		ev, err := signal.NewEvent("detect", kind, a.ID, at, a)
		if err != nil {
			return fmt.Errorf("event of anomaly %s: %w", a.ID, err)
		}
		events = append(events, ev)
		r.metrics.anomalies.WithLabelValues(d.c.Name, kind).Inc()
	}
	return r.send(ctx, pub, d.c.Name, events...)
}

// send publishes events, as often as it takes.
func (r *Runner) send(ctx context.Context, pub Publisher, detector string, events ...signal.Event) error {
	wait := 100 * time.Millisecond
	for {
		pctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		err := pub.Publish(pctx, events...)
		cancel()
		r.hinder("publishing", err)
		if err == nil {
			return nil
		}
		r.metrics.publishFailed.Inc()
		r.log.WarnContext(ctx, "anomalies could not be published and are tried again", "detector", detector, "took", wait, "err", err)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait + rand.N(wait)):
		}
		wait = min(2*wait, 10*time.Second)
	}
}

// hinder notes what stands in the way of something, or that nothing does any more. It returns true when that is news.
func (r *Runner) hinder(what string, err error) bool {
	text := ""
	if err != nil {
		text = what + ": " + err.Error()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	news := r.trouble[what] != text
	r.trouble[what] = text
	return news
}

// note keeps the figures of Health and of the metrics.
func (r *Runner) note(b *signal.Batch, tr *trainer) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	var intervals, late uint64
	var latest int64
	for _, d := range r.detectors {
		intervals += d.closed
		late += d.late
		latest = max(latest, d.now)
		r.metrics.models.WithLabelValues(d.c.Name).Set(float64(len(d.watched)))
	}
	r.metrics.batches.Inc()
	r.metrics.samples.Add(float64(b.Len()))
	r.metrics.intervals.Add(float64(intervals - r.intervals))
	r.metrics.late.Add(float64(late - r.late))
	r.intervals, r.late = intervals, late
	// Sources send at intervals of their own: a few seconds behind is caught up.
	if r.lag = now.Sub(time.UnixMilli(latest)).Seconds(); r.lag < 15 {
		r.lag = 0
	}
	r.metrics.lag.Set(r.lag)
	if tr != nil {
		r.training = tr.waiting()
		r.metrics.training.Set(float64(r.training))
	}
	if n := len(r.ticks); n == 0 || now.Sub(r.ticks[n-1].at) > time.Second {
		r.ticks = append(r.ticks, tick{now, intervals})
		for now.Sub(r.ticks[0].at) > time.Minute {
			r.ticks = r.ticks[1:]
		}
	}
}

// Health says how the stage is doing. It is ready as soon as it runs: training goes on behind.
func (r *Runner) Health() signal.Stage {
	r.mu.Lock()
	defer r.mu.Unlock()
	trouble := ""
	for _, what := range sortedKeys(r.trouble) {
		trouble = cmp.Or(trouble, r.trouble[what])
	}
	s := signal.Stage{Name: "detect", Ready: r.running, State: "ok", Lag: r.lag, Dropped: r.late}
	switch {
	case !r.running:
		s.State = "not running"
	case trouble != "":
		s.State = trouble
	case r.training > 0:
		s.State = fmt.Sprintf("ok, training %d of its models", r.training)
	}
	if n := len(r.ticks); n > 1 {
		s.Rate = float64(r.ticks[n-1].intervals-r.ticks[0].intervals) / r.ticks[n-1].at.Sub(r.ticks[0].at).Seconds()
	}
	return s
}
