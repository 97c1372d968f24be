package detect

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"homeostat/internal/detect/access"
	"homeostat/internal/signal"
)

// kindAccess is the kind of the detector over accesses.
const kindAccess = "access"

// accessDefaults fills what may be left out of an access detector, and says what is wrong with the rest.
func (c Config) accessDefaults() (Config, error) {
	c.Name = cmp.Or(c.Name, kindAccess)
	switch {
	case c.Entity != "" || len(c.Series) > 0 || c.Each || c.Interval != 0 || c.Percentile != 0 || len(c.Effects) > 0 || c.Quiet != 0:
		return c, fmt.Errorf("detector %s: kind access knows name and alarms alone", c.Name)
	case c.Alarms.isZero():
		c.Alarms = Rate{3, 7 * 24 * time.Hour}
	}
	return c, nil
}

// accesses is a detector of unusual access as the runner keeps it.
type accesses struct {
	name  string
	d     *access.Detector
	found []signal.Finding
	mark
}

func newAccesses(c Config) *accesses {
	c, _ = c.accessDefaults() // Check has been there
	return &accesses{name: c.Name, d: access.New(access.Config{Name: c.Name, Alarms: c.Alarms.Count * float64(7*24*time.Hour) / float64(c.Alarms.Per)})}
}

func (d *accesses) bytes() ([]byte, error) {
	var buf bytes.Buffer
	err := d.d.Checkpoint(&buf)
	return buf.Bytes(), err
}

// judge lets the detectors of accesses look at a batch, and publishes what they say.
func (r *Runner) judge(ctx context.Context, pub Publisher, seq uint64, b *signal.Batch) error {
	if len(r.accesses) == 0 {
		return nil
	}
	now := latest(b)
	for _, d := range r.accesses {
		due := d.d.Advance(now)
		if d.passes(seq) {
			continue
		}
		if d.found = d.found[:0]; due {
			d.found = d.d.Overdue(d.found)
		}
		if len(d.found)+len(b.Accesses) == 0 {
			continue
		}
		d.changes(seq)
		d.found = d.d.Process(d.found, b.Accesses)
		events, err := d.events(nil, b.ID)
		if err != nil {
			return err
		}
		r.metrics.anomalies.WithLabelValues(d.name, signal.UnusualAccess).Add(float64(len(events)))
		if len(events) > 0 {
			if err := r.send(ctx, pub, d.name, events...); err != nil {
				return err
			}
		}
	}
	r.metrics.accesses.Add(float64(len(b.Accesses)))
	return nil
}

// latest is the latest time of a sample in b; 0 where there is none.
func latest(b *signal.Batch) int64 {
	t := int64(0)
	for _, at := range b.Times {
		t = max(t, at)
	}
	for i := range b.Histograms {
		t = max(t, b.Histograms[i].Time)
	}
	return t
}

// changes notes that the message seq changes what d has learnt.
func (d *accesses) changes(seq uint64) {
	if !d.dirty && d.saved == 0 {
		d.saved = seq - 1
	}
	d.dirty = true
}

// events appends the events of what was found, caused by cause, a batch or an order.
func (d *accesses) events(dst []signal.Event, cause string) ([]signal.Event, error) {
	for i := range d.found {
		f := &d.found[i]
		if cause != "" {
			f.Cause = append(f.Cause, cause)
		}
		// A finding that grows is told again at the time of the access that made it grow: what is told follows from how far it has come.
		ev, err := signal.NewEvent("detect", signal.UnusualAccess, f.ID+" "+strconv.Itoa(f.Accesses)+" "+strconv.FormatBool(f.Ended.IsZero()), f.Updated, f)
		if err != nil {
			return dst, fmt.Errorf("event of finding %s: %w", f.ID, err)
		}
		ev.Resources = append(ev.Resources, f.Resources...)
		dst = append(dst, ev)
	}
	return dst, nil
}

// obey takes in what a person said of a finding. What is muted ends.
func (d *accesses) obey(o *signal.Order, seq uint64, head signal.Head) ([]signal.Event, error) {
	if o.Episode == nil {
		return nil, fmt.Errorf("%s of %s: want a finding of unusual access", o.Do, o.Anomaly)
	}
	if d.passes(seq) {
		return nil, errPassed
	}
	d.changes(seq)
	d.soon = true
	d.found = d.found[:0]
	judgement, learnt := Muted, "it is learnt as ordinary"
	var before, after float64
	var err error
	if o.Do == signal.Confirm {
		judgement, learnt = Confirmed, "it is never learnt"
		before, after, err = d.d.Confirm(*o.Episode)
	} else {
		d.found, before, after, err = d.d.Mute(d.found, *o.Episode)
	}
	if err != nil {
		return nil, err
	}
	reason := fmt.Sprintf("%s was %s by %s: %s, and the threshold of detector %s for %s went from %.3g to %.3g", o.Anomaly, judgement, o.By, learnt, o.Detector, o.Entity, before, after)
	ev, err := signal.NewEvent("detect", signal.AnomalyJudged, o.ID, o.At, signal.Judgement{
		Head: head, Detector: o.Detector, Anomaly: o.Anomaly, Judgement: string(judgement), By: o.By, At: o.At,
		Before: before, After: after, Reason: withNote(reason, o.Note),
	})
	if err != nil {
		return nil, err
	}
	return d.events([]signal.Event{ev}, o.ID)
}
