// Package access finds access that is really unusual: who, from where, to what, and why it is unusual.
//
// A [Detector] is shown accesses in the order of time, a little disorder being no harm, and judges the episode that each belongs
// to: one user at one address on one day. In the order of an access' way through it:
//
//   - whose it is: sessions of roles are traced to who began them, and those that are named anew each time are one user's
//     (organisation.go)
//   - the bins: each part of an episode (network, hours, program, what is new ...) falls into one of a few (organisation.go,
//     network.go, gravity.go, embedding.go)
//   - the score: the sum over the parts of log(how an intruder fills the bin / how this user does), weighted; the first is a
//     stated belief, the second is learnt (parts.go)
//   - the finding: told above a threshold that follows the scores of the last weeks, again when there is more to say (finding.go)
//   - learning: a day later, five more for what was nearly told, never for what was (organisation.go)
//
// Everything follows from the accesses and their order: replayed, they give the same findings with the same ids. All state is in
// a checkpoint; what is kept of one user, and of what was not learnt yet, is bounded.
//
// Source: the bins' shares are Dirichlet-smoothed counts; the embedding is package ipinsights.
package access

import (
	"maps"
	"slices"
	"time"

	"homeostat/internal/signal"
)

// Config says how strict a detector is. The zero value works.
type Config struct {
	Name       string
	Alarms     float64 // findings a week to put up with; 3 when 0
	Least      float64 // score below which nothing is told; 4 when 0
	Learning   int32   // days before the first finding; 14 when 0
	Delay      int32   // days before an episode is learnt; 1 when 0
	Quarantine int32   // more days for one that is nearly a finding; 5 when 0
}

func (c Config) withDefaults() Config {
	if c.Alarms == 0 {
		c.Alarms = 3
	}
	if c.Least == 0 {
		c.Least = 4
	}
	if c.Learning == 0 {
		c.Learning = 14
	}
	if c.Delay == 0 {
		c.Delay = 1
	}
	if c.Quarantine == 0 {
		c.Quarantine = 5
	}
	return c
}

// Detector judges accesses, one after the other. Not safe for concurrent use.
type Detector struct {
	c        Config
	meanings map[string]meaning
	orgs     map[string]*organisation
	clock    Clock

	ended []signal.Finding // that ended with their day
}

// New returns a detector that has seen nothing.
func New(c Config) *Detector {
	return &Detector{c: c.withDefaults(), meanings: newMeanings(), orgs: map[string]*organisation{}}
}

// nobodys is the score of what isn't an access: below those of ordinary ones.
const nobodys = -10

// Verdict is what a detector says of one access.
type Verdict struct {
	User  string  // who it was, sessions traced to who began them
	Score float64 // of the access' episode so far; higher is stranger, comparable between users
	Grade float64 // 0 to 1; above 0 where a finding is told

	e *episode
}

// Attribution returns each part's share in what speaks for an intruder. The shares add up to 1; empty when nothing does.
func (v *Verdict) Attribution() map[string]float64 {
	if v.e == nil {
		return nil
	}
	return shares(&v.e.Ratios)
}

// Observe judges an access and takes it in.
func (d *Detector) Observe(a *signal.Access) Verdict {
	if a.Category == "Insight" || a.Kind == "AwsCloudTrailInsight" {
		return Verdict{User: a.User, Score: nobodys} // tells of many calls together, and is nobody's access
	}
	o := d.orgs[a.Org]
	if o == nil {
		o = newOrganisation(a.Org, int32(a.Time/day))
		d.orgs[a.Org] = o
	}
	e := d.observe(o, a)
	return Verdict{e.User, e.Score, e.Grade, e}
}

// Process judges accesses and appends what there is to tell: a finding when it is new, when there is more to say of it, and
// when its day is over. An organisation that accesses nothing more has no next day: see [Detector.Overdue].
func (d *Detector) Process(dst []signal.Finding, rows []signal.Access) []signal.Finding {
	for i := range rows {
		v := d.Observe(&rows[i])
		if v.e != nil {
			d.orgs[rows[i].Org].Heard = d.clock.Now
		}
		dst = append(dst, d.ended...)
		d.ended = d.ended[:0]
		if v.e != nil && v.e.news() {
			dst = append(dst, d.tell(d.orgs[rows[i].Org], v.e, false))
		}
	}
	return dst
}

// end tells the end of a finding whose day is over.
func (d *Detector) end(o *organisation, e *episode) {
	if e.Told.Count > 0 && !e.Over {
		d.ended = append(d.ended, d.tell(o, e, true))
	}
}

// Learning says how far it is with each organisation.
func (d *Detector) Learning() []signal.Learning {
	var out []signal.Learning
	for _, name := range slices.Sorted(maps.Keys(d.orgs)) {
		o := d.orgs[name]
		l := signal.Learning{
			Detector: d.c.Name, Kind: "access", Entity: signal.EntityID("organisation:" + name), Confidence: min(1, float64(o.Day-o.Begun)/30),
			Since: time.UnixMilli(int64(o.Begun) * day).UTC(), Note: "watching",
		}
		if o.Day-o.Begun < d.c.Learning {
			l.Note = "learning"
		}
		out = append(out, l)
	}
	return out
}
