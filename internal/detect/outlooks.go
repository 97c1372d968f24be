package detect

import (
	"bytes"
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
	c.Entity = cmp.Or(c.Entity, "service")
	c.Name = cmp.Or(c.Name, c.Entity+"-outlook")
	if len(c.Series) == 0 {
		c.Series = []string{outlook.ResponseTime, outlook.Requests, outlook.Errors}
		if c.Entity == "host" {
			c.Series = []string{outlook.Disk}
		}
	}
	if c.Interval == 0 {
		c.Interval = time.Minute
	}
	if c.Each || c.Percentile != 0 || !c.Alarms.isZero() || c.Interval != time.Minute {
		return c, fmt.Errorf("detector %s: kind deepar knows name, entity, series and limits; its interval is 1m", c.Name)
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
	}
	return c, nil
}

// outlooks is a detector that looks ahead as the runner keeps it.
type outlooks struct {
	name    string
	d       *outlook.Detector
	learned chan outlook.Models // holds one: what a training has made
	busy    bool                // one is under way
	mark
}

func newOutlooks(c Config) *outlooks {
	c, _ = c.outlookDefaults() // Check has been there
	return &outlooks{
		name: c.Name, learned: make(chan outlook.Models, 1),
		d: outlook.New(outlook.Config{Name: c.Name, Entity: c.Entity, Features: c.Series, Limits: c.Limits}),
	}
}

func (d *outlooks) bytes() ([]byte, error) {
	var buf bytes.Buffer
	err := d.d.Checkpoint(&buf)
	return buf.Bytes(), err
}

// foresee lets the detectors that look ahead see a batch, publishes what they say, and has them learn beside the stream when a day
// is over: train starts a training, which ends with the Runner.
func (r *Runner) foresee(ctx context.Context, pub Publisher, seq uint64, b *signal.Batch, train func(func(ctx context.Context))) error {
	for _, o := range r.outlooks {
		if o.passes(seq) {
			continue
		}
		if !o.dirty && o.saved == 0 {
			o.saved = seq - 1
		}
		o.dirty = o.dirty || b.Len() > 0
		select {
		case m := <-o.learned:
			o.d.Adopt(m)
			o.busy, o.soon = false, true
		default:
		}
		found, breaches := o.d.Process(b)
		var events []signal.Event
		for i := range found {
			a := &found[i]
			kind, at := signal.AnomalyDetected, a.Began.Add(time.Minute)
			if !a.Ended.IsZero() {
				kind, at = signal.AnomalyEnded, a.Ended
			}
			ev, err := signal.NewEvent("detect", kind, a.ID, at, a)
			if err != nil {
				return fmt.Errorf("event of anomaly %s: %w", a.ID, err)
			}
			events = append(events, ev)
			r.metrics.anomalies.WithLabelValues(o.name, kind).Inc()
		}
		for i := range breaches {
			ev, err := signal.NewEvent("detect", signal.ForecastBreach, breaches[i].ID, breaches[i].Made, &breaches[i])
			if err != nil {
				return fmt.Errorf("event of breach %s: %w", breaches[i].ID, err)
			}
			events = append(events, ev)
			r.metrics.anomalies.WithLabelValues(o.name, signal.ForecastBreach).Inc()
		}
		if len(events) > 0 {
			if err := r.send(ctx, pub, o.name, events...); err != nil {
				return err
			}
		}
		if o.busy {
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

// background starts what runs beside the stream until ctx ends; wait returns when all of it has.
func background(ctx context.Context) (start func(func(ctx context.Context)), wait func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	return func(f func(context.Context)) { wg.Go(func() { f(ctx) }) }, func() { cancel(); wg.Wait() }
}

// Outlooks returns what the series of an entity are forecast to do. It waits for the batch under way. Safe for concurrent use.
func (r *Runner) Outlooks(of signal.EntityID) []signal.Outlook {
	r.state.Lock()
	defer r.state.Unlock()
	var out []signal.Outlook
	for _, o := range r.outlooks {
		out = o.d.Outlooks(out, of)
	}
	return out
}
