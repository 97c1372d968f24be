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
	case c.Entity != "" || len(c.Series) > 0 || c.Each || c.Interval != 0 || c.Percentile != 0:
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
	if len(b.Accesses) == 0 {
		return nil
	}
	for _, d := range r.accesses {
		if d.passes(seq) {
			continue
		}
		if !d.dirty && d.saved == 0 {
			d.saved = seq - 1
		}
		d.dirty = true
		d.found = d.d.Process(d.found[:0], b.Accesses)
		var events []signal.Event
		for i := range d.found {
			f := &d.found[i]
			if b.ID != "" {
				f.Cause = append(f.Cause, b.ID)
			}
			// A finding that grows is told again at the time of the access that made it grow: what is told follows from how far it has come.
			ev, err := signal.NewEvent("detect", signal.UnusualAccess, f.ID+" "+strconv.Itoa(f.Accesses)+" "+strconv.FormatBool(f.Ended.IsZero()), f.Updated, f)
			if err != nil {
				return fmt.Errorf("event of finding %s: %w", f.ID, err)
			}
			ev.Resources = append(ev.Resources, f.Resources...)
			events = append(events, ev)
			r.metrics.anomalies.WithLabelValues(d.name, signal.UnusualAccess).Inc()
		}
		if len(events) > 0 {
			if err := r.send(ctx, pub, d.name, events...); err != nil {
				return err
			}
		}
	}
	r.metrics.accesses.Add(float64(len(b.Accesses)))
	return nil
}
