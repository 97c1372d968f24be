// Package access finds access that is really unusual: who, from where, to what.
package access

import "homeostat/internal/signal"

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
}

// New returns a detector that has seen nothing.
func New(c Config) *Detector {
	return &Detector{c: c.withDefaults(), meanings: newMeanings(), orgs: map[string]*organisation{}}
}

// Verdict is what a detector says of one access.
type Verdict struct {
	User  string  // who it was, sessions traced to who began them
	Score float64 // of the access' episode so far; higher is stranger, comparable between users
	Grade float64 // 0 to 1; above 0 where a finding is told

	e *episode
}

// Attribution returns each part's share in what speaks for an intruder. The shares add up to 1; nil when nothing does.
func (v *Verdict) Attribution() map[string]float64 {
	if v.e == nil {
		return nil
	}
	var sum float64
	for _, r := range v.e.Ratios {
		sum += max(r, 0)
	}
	if sum == 0 {
		return nil
	}
	m := map[string]float64{}
	for p, r := range v.e.Ratios {
		m[names[p]] = max(r, 0) / sum
	}
	return m
}

// Observe judges an access and takes it in.
func (d *Detector) Observe(a *signal.Access) Verdict {
	if a.Category == "Insight" || a.Kind == "AwsCloudTrailInsight" {
		return Verdict{User: a.User} // tells of many calls together, and is nobody's access
	}
	o := d.orgs[a.Org]
	if o == nil {
		o = newOrganisation(int32(a.Time / day))
		d.orgs[a.Org] = o
	}
	e := d.observe(o, a)
	return Verdict{e.User, e.Score, e.Grade, e}
}
