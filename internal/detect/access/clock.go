package access

import (
	"maps"
	"slices"

	"homeostat/internal/signal"
)

const (
	silent = day              // by the clock: no finding goes on in an organisation of which nothing came for so long
	gap    = 3600 * 1000      // of the clock: nobody listened meanwhile, so that silence begins anew
	beat   = int64(60 * 1000) // of the clock, between two looks
)

// Clock is how far the stream has come, by the samples in it. It is no time of accesses, which come late, and all at once when a
// trail is read for the first time: it only shows that none come any more.
type Clock struct {
	Now   int64 // latest time of a sample, in Unix milliseconds
	Since int64 // since when it has gone on without a gap
}

// Clock is where the clock stands; a checkpoint doesn't hold it.
func (d *Detector) Clock() Clock { return d.clock }

// Resume sets the clock to where it stood at the place of the stream from which that is read on.
func (d *Detector) Resume(c Clock) { d.clock = c }

// Advance moves the clock on to now. It returns true when it is time for Overdue.
func (d *Detector) Advance(now int64) bool {
	c := &d.clock
	if now <= c.Now {
		return false
	}
	if now-c.Now > gap {
		c.Since = now
	}
	due := now/beat > c.Now/beat
	c.Now = now
	return due
}

// Overdue appends the ends of findings whose day is over and whose organisation has been silent for a day: there may never be an
// access that ends them.
func (d *Detector) Overdue(dst []signal.Finding) []signal.Finding {
	for _, name := range slices.Sorted(maps.Keys(d.orgs)) {
		o := d.orgs[name]
		if d.clock.Now-max(o.Heard, d.clock.Since) < silent {
			continue
		}
		for _, e := range o.Open {
			if e.Told.Count > 0 && !e.Over && int64(e.Day) < d.clock.Now/day {
				dst = append(dst, d.tell(o, e, true))
			}
		}
	}
	return dst
}
