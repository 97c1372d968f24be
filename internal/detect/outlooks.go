package detect

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"homeostat/internal/detect/outlook"
	"homeostat/internal/signal"
)

// kindOutlook is the kind of the detector that looks ahead.
const kindOutlook = "deepar"

// outlookDefaults fills what may be left out of a detector that looks ahead, and says what is wrong with the rest.
func (c Config) outlookDefaults() (Config, error) {
	switch {
	case len(c.Series) > 0:
	case c.Entity == "host":
		c.Series = []string{outlook.Disk}
	default:
		c.Series = []string{outlook.ResponseTime, outlook.Slow, outlook.Requests, outlook.Errors}
	}
	c.Name = cmp.Or(c.Name, cmp.Or(c.Entity, "application")+"-outlook")
	if c.Interval == 0 {
		c.Interval = time.Minute
	}
	if c.Each || c.Percentile != 0 || !c.Alarms.isZero() || c.Interval != time.Minute || len(c.Effects) > 0 || c.Quiet != 0 {
		return c, fmt.Errorf("detector %s: kind deepar knows name, entity, series, limits and objectives; its interval is 1m", c.Name)
	}
	for _, s := range c.Series {
		if !slices.Contains(outlook.Features(), s) {
			return c, fmt.Errorf("detector %s: series %q: kind deepar knows %s", c.Name, s, strings.Join(outlook.Features(), ", "))
		}
	}
	for _, s := range slices.Sorted(maps.Keys(c.Limits)) {
		if !slices.Contains(c.Series, s) {
			return c, fmt.Errorf("detector %s: limits: %q isn't among its series %s", c.Name, s, strings.Join(c.Series, ", "))
		}
		if err := outlook.CheckLimit(s, c.Limits[s]); err != nil {
			return c, fmt.Errorf("detector %s: limits: %s: %w", c.Name, s, err)
		}
	}
	return c, nil
}

// outlooks is a detector that looks ahead as the runner keeps it.
type outlooks struct {
	name    string
	d       *outlook.Detector
	marks   map[string]*mark                     // of its endpoints
	adopted *adoptions                           // which models were in use where
	learned chan outlook.Models                  // holds one: what a training has made
	full    bool                                 // it has been said that there are too many endpoints
	busy    bool                                 // one is under way
	ahead   map[signal.EntityID][]signal.Outlook // the runner's mu guards it
}

func newOutlooks(c Config, rules []signal.Rule, dir string) (*outlooks, error) {
	c, _ = c.outlookDefaults() // Check has been there
	a, err := openAdoptions(dir, c.Name)
	return &outlooks{
		name: c.Name, marks: map[string]*mark{}, ahead: map[signal.EntityID][]signal.Outlook{}, adopted: a, learned: make(chan outlook.Models, 1),
		d: outlook.New(outlook.Config{Name: c.Name, Entity: c.Entity, Features: c.Series, Limits: c.Limits, Objectives: c.Objectives, Rules: rules}),
	}, err
}

// process lets the detector see message seq of the stream, and notes which of its endpoints have changed.
func (o *outlooks) process(seq uint64, b *signal.Batch) (found []signal.Anomaly, breaches []signal.Breach) {
	found, breaches = o.d.Process(seq, b)
	for _, key := range o.d.Touched {
		m, ok := o.marks[key]
		if !ok {
			m = &mark{saved: seq - 1}
			o.marks[key] = m
		}
		m.dirty = true
	}
	for _, key := range o.d.Gone {
		delete(o.marks, key)
	}
	return found, breaches
}

// foresee lets the detectors that look ahead see a batch, publishes what they say, and has them learn beside the stream when a day
// is over: train starts a training, which ends with the Runner.
func (r *Runner) foresee(ctx context.Context, pub Publisher, seq uint64, b *signal.Batch, k *keeper, train func(func(ctx context.Context))) error {
	for _, o := range r.outlooks {
		if err := r.adopt(o, seq); err != nil {
			r.log.ErrorContext(ctx, "models of forecasts can't be used, and are learned anew", "detector", o.name, "err", err)
		}
		found, breaches := o.process(seq, b)
		k.take(&o.d.Bands)
		r.show(o, o.d.Foretold)
		r.metrics.models.WithLabelValues(o.name).Set(float64(len(o.marks)))
		if n := o.d.Dropped; n > 0 {
			if !o.full {
				r.log.WarnContext(ctx, "more endpoints than a detector looks ahead at; the rest is left alone: narrow it by entity", "detector", o.name, "most", outlook.MostEndpoints)
			}
			r.metrics.leftAlone.Add(float64(n))
			o.full, o.d.Dropped = true, 0
		}
		for _, key := range o.d.Gone {
			if r.saver.shelf != nil {
				r.saver.shelf.forget(shelfKey(o.name, key))
			}
		}
		events, err := o.events(found, breaches)
		if err != nil {
			return err
		}
		for i := range events {
			r.metrics.anomalies.WithLabelValues(o.name, events[i].DetailType).Inc()
		}
		if len(events) > 0 {
			if err := r.send(ctx, pub, o.name, events...); err != nil {
				return err
			}
		}
		if o.busy || o.adopted.ahead(seq) { // what was learned here comes later in what is read again
			continue
		}
		if lessons, ok := o.d.Lessons(); ok {
			o.busy = true
			train(func(ctx context.Context) {
				models, err := outlook.Learn(ctx, lessons, cmp.Or(r.c.Budget, 0.5))
				if err != nil && ctx.Err() == nil {
					r.log.ErrorContext(ctx, "training of forecasts failed", "detector", o.name, "err", err)
				}
				o.learned <- models
			})
		}
	}
	return nil
}

// events tells of anomalies and breaches.
func (o *outlooks) events(found []signal.Anomaly, breaches []signal.Breach) ([]signal.Event, error) {
	var events []signal.Event
	for i := range found {
		a := &found[i]
		kind, at := signal.AnomalyDetected, a.Began.Add(time.Minute)
		if !a.Ended.IsZero() {
			kind, at = signal.AnomalyEnded, a.Ended
		}
		ev, err := signal.NewEvent("detect", kind, a.ID, at, a)
		if err != nil {
			return nil, fmt.Errorf("event of anomaly %s: %w", a.ID, err)
		}
		events = append(events, ev)
	}
	for i := range breaches {
		b := &breaches[i]
		subject, at := b.ID, b.Made
		if !b.Ended.IsZero() {
			subject, at = b.ID+" ended", b.Ended
		}
		ev, err := signal.NewEvent("detect", signal.ForecastBreach, subject, at, b)
		if err != nil {
			return nil, fmt.Errorf("event of breach %s: %w", b.ID, err)
		}
		events = append(events, ev)
	}
	return events, nil
}

// background starts what runs beside the stream until ctx ends; wait returns when all of it has.
func background(ctx context.Context) (start func(func(ctx context.Context)), wait func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	return func(f func(context.Context)) { wg.Go(func() { f(ctx) }) }, func() { cancel(); wg.Wait() }
}

// Outlooks returns what the series of an entity are forecast to do. Safe for concurrent use; it waits for no batch.
func (r *Runner) Outlooks(of signal.EntityID) []signal.Outlook {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []signal.Outlook
	for _, o := range r.outlooks {
		out = append(out, o.ahead[of]...)
	}
	return out
}

// show has Outlooks return what o says of entities now.
func (r *Runner) show(o *outlooks, entities []signal.EntityID) {
	for _, e := range entities {
		ahead := o.d.Outlooks(e)
		r.mu.Lock()
		o.ahead[e] = ahead
		if len(ahead) == 0 {
			delete(o.ahead, e)
		}
		r.mu.Unlock()
	}
}
