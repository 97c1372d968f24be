package access

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"homeostat/internal/signal"
)

// What a person said of an episode.
const (
	unjudged uint8 = iota
	muted
	confirmed
)

// How a person's word moves a user's threshold, in units of the score: e times likelier an intruder.
const (
	graceStep  = 1.   // up, when its finding is muted
	graceMost  = 3.   // muting all that a user does leaves what is far off a finding
	waryStep   = 0.5  // down, when it is confirmed: who was attacked is again
	graceLeast = -1.  // and no further
	maxJudged  = 1000 // judgements remembered, so that one given twice counts once
	maxBarred  = 1000 // places of intruders remembered
)

// judged is a judgement on a finding.
type judged struct {
	Finding string
	As      uint8
}

// ErrUnknown means that a judgement is about somebody of whom nothing has been seen.
var ErrUnknown = errors.New("nothing has been seen of that user")

// Mute takes in that a finding wasn't worth telling: the episode is learnt at once, so that the same again is ordinary, and
// rates with which the user does such things are learnt too; the user's threshold rises by one, up to three. What goes on in
// the episode is told again only when it is worse by one still. It returns the user's threshold before and after, and appends
// to dst the finding's end, where it was told and goes on. Of an episode older than a week nothing but its place is
// known: that is learnt. The same a second time changes nothing.
func (d *Detector) Mute(dst []signal.Finding, at signal.Episode) ([]signal.Finding, float64, float64, error) {
	o, p, e, again, err := d.judge(at, muted)
	if err != nil {
		return dst, 0, 0, err
	}
	before := o.limitOf(p)
	if again {
		return dst, before, before, nil
	}
	nets := networksOf(at.Address)
	for _, k := range bars(at.User, &nets) {
		delete(o.Barred, k)
	}
	p.Grace = min(p.Grace+graceStep, graceMost)
	switch {
	case e == nil:
		o.visit(p, &nets, dayOf(at.Day))
	case e.Judged != muted:
		if e.Told.Count > 0 && !e.Over {
			dst = append(dst, d.tell(o, e, true))
		}
		e.Judged, e.Peak = muted, e.Score
		o.learn(e)
		e.Score = math.Inf(-1) // judged anew by what it has taught
		e.score(o.like(p))
		e.Excused = e.Score
		e.Told, e.Grade = telling{}, 0
		if o.flagged[e.User] == e {
			delete(o.flagged, e.User)
		}
	}
	return dst, before, o.limitOf(p), nil
}

// Confirm takes in that a finding was worth telling: it is never learnt, nor is what the same user does from a network round
// the address, or anybody from the address itself, where they weren't known before. What muting has added to the user's
// threshold falls by half, and the threshold by half a unit besides, down to one below the others'. It returns the threshold
// before and after. The same a second time changes nothing; what muting taught of an episode is unlearnt within its week.
func (d *Detector) Confirm(at signal.Episode) (before, after float64, err error) {
	o, p, e, again, err := d.judge(at, confirmed)
	if err != nil {
		return 0, 0, err
	}
	before = o.limitOf(p)
	if again {
		return before, before, nil
	}
	if e != nil {
		if e.Judged == muted {
			o.unlearn(e)
		}
		e.Judged, e.Score = confirmed, max(e.Score, e.Peak)
	}
	p.Grace = max(min(p.Grace, p.Grace/2)-waryStep, graceLeast)
	nets := networksOf(at.Address)
	places := bars(at.User, &nets)
	if _, known := p.Nets[near][nets[near]]; !known {
		o.bar(places[0])
	}
	if o.Nets[exact][nets[exact]].Users == 0 {
		o.bar(places[1])
	}
	return before, o.limitOf(p), nil
}

// judge finds what a judgement is about, and remembers it. The episode is nil when it is older than a week.
func (d *Detector) judge(at signal.Episode, as uint8) (o *organisation, p *profile, e *episode, again bool, err error) {
	if o = d.orgs[at.Organisation]; o != nil {
		p = o.Users[at.User]
	}
	if p == nil {
		return nil, nil, nil, false, fmt.Errorf("%s of %s: %w", at.User, at.Organisation, ErrUnknown)
	}
	day := dayOf(at.Day)
	e = o.index[key{at.User, at.Address, day}]
	id := d.id(o, at.User, at.Address, at.Day)
	if i := slices.IndexFunc(o.Judged, func(j judged) bool { return j.Finding == id }); i >= 0 {
		again = o.Judged[i].As == as
		o.Judged = slices.Delete(o.Judged, i, i+1)
	} else if len(o.Judged) >= maxJudged {
		o.Judged = slices.Delete(o.Judged, 0, maxJudged/4)
	}
	o.Judged = append(o.Judged, judged{id, as})
	return o, p, e, again, nil
}

func (d *Detector) id(o *organisation, user, address, day string) string {
	return signal.MakeID(signal.KindAnomaly, d.c.Name, o.Name, user, address, day)
}

// dayOf returns the number of a day as findings write it; 0 when it is none.
func dayOf(date string) int32 {
	t, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return 0
	}
	return int32(t.UnixMilli() / day)
}

// limitOf is the score above which a user's episode is told.
func (o *organisation) limitOf(p *profile) float64 { return o.Limit + p.Grace }

// limit is the score above which an episode is told: one that was muted must come to be worse by one.
func (o *organisation) limit(e *episode) float64 {
	l := o.limitOf(e.p)
	if e.Judged == muted {
		l = max(l, e.Excused+1)
	}
	return l
}

// bars are the keys under which an intruder's place is remembered: the user's own network round it, and the address for all.
func bars(user string, n *networks) [2]uint64 {
	return [2]uint64{hashOf("user", user)*31 ^ n[near], hashOf("address", "")*31 ^ n[exact]}
}

// bar remembers a place of an intruder.
func (o *organisation) bar(key uint64) {
	if len(o.Barred) >= maxBarred {
		oldest, at := o.Day, key
		for k, d := range o.Barred {
			if d < oldest || d == oldest && k < at {
				oldest, at = d, k
			}
		}
		delete(o.Barred, at)
	}
	o.Barred[key] = o.Day
}

// barred reports whether an episode is an intruder's, or at an intruder's place.
func (o *organisation) barred(e *episode) bool {
	if e.Judged == confirmed {
		return true
	}
	if len(o.Barred) == 0 {
		return false
	}
	for _, k := range bars(e.User, &e.Nets) {
		if _, ok := o.Barred[k]; ok {
			return true
		}
	}
	return false
}

// close ends an episode's time of waiting: it is learnt, unless it was told or is an intruder's. Of one that was muted, and
// learnt then, what came to it later is noted.
func (o *organisation) close(e *episode) {
	switch {
	case e.Grade > 0 || o.barred(e):
	case e.Judged == muted:
		o.visit(e.p, &e.Nets, e.Day)
		o.noteAll(e)
	default:
		o.learn(e)
	}
}

// unlearn takes back what learn took in, as far as it was new then.
func (o *organisation) unlearn(e *episode) {
	p := e.p
	o.like(p).add(&e.Bins, -1)
	p.Tally.add(&e.Bins, -1)
	for w := range widths {
		if c, ok := p.Nets[w][e.Nets[w]]; ok && c.Days == 1 && c.Last == e.Day {
			delete(p.Nets[w], e.Nets[w])
			pl := o.Nets[w][e.Nets[w]]
			pl.Users--
			if o.Nets[w][e.Nets[w]] = pl; pl.Users == 0 {
				delete(o.Nets[w], e.Nets[w])
			}
		}
	}
	for k := range maps.Keys(e.Seen) {
		m, _ := p.seen(e.Seen[k])
		if c, ok := m[k]; ok && c.Days == 1 && c.Last == e.Day {
			delete(m, k)
			if o.Known[k]--; o.Known[k] == 0 {
				delete(o.Known, k)
			}
		}
	}
}
