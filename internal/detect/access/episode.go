package access

import (
	"math"
	"time"

	"homeostat/internal/signal"
)

// episode is one user at one address on one day: what is judged, and what a finding is about.
type episode struct {
	User    string
	Address string
	Day     int32
	Learn   int32 // day on which it is learnt
	Nets    networks
	Bins    [parts]uint8
	Ratios  [parts]float64 // at its highest score
	Score   float64        // highest so far
	Grade   float64
	Begun   int64
	Last    int64
	Count   int
	Denied  int
	Rare    uint32           // hours of it that are rare for the user, a bit each
	Hours   uint32           // hours of it
	News    float64          // surprise of APIs that are new for the user
	Fresh   int              // resources that are new for the user
	Seen    map[uint64]uint8 // hashes of what was met in it
	Calls   []signal.Call    // the first ones that differ
	Keys    []string
	Things  []string // resources
	Weekend bool
	ARN     string
	Gravest uint8              // of all that was not refused
	Means   []signal.Technique // of all that was called
	Since   []signal.Call      // by the same user from elsewhere, since it was told
	Told    telling
	Over    bool    // its end is what was told last
	Judged  uint8   // what a person said of it
	Peak    float64 // of one that was muted: its score before
	Excused float64 // and by what was learnt of it then
	Anew    int64   // when it was told again after that; 0 while it wasn't

	p *profile
}

// telling is what a finding said last: it is told again when there is more to say.
type telling struct {
	Score    float64
	Severity signal.Severity
	Count    int
	Since    int
	Means    int
}

// What a hash in Seen is of.
const (
	seenAPI uint8 = iota
	seenGroup
	seenAgent
	seenThing
)

// Bounds of what an episode keeps.
const (
	maxSeen          = 4096
	maxCalls         = 40
	maxEpisodeThings = 50
	maxKeys          = 10
	maxSince         = 20
)

// meet notes something in the episode, and returns true the first time.
func (e *episode) meet(key uint64, what uint8) bool {
	if _, ok := e.Seen[key]; ok || len(e.Seen) >= maxSeen {
		return false
	}
	e.Seen[key] = what
	return true
}

// raise puts a part into a bin, if that is a worse one. It returns true when that changed something.
func (e *episode) raise(p part, b uint8) bool {
	if b <= e.Bins[p] {
		return false
	}
	e.Bins[p] = b
	return true
}

// score judges the episode anew. An episode's score never falls within its day: what was unusual stays so.
func (e *episode) score(like *tally) {
	r := ratios(&e.Bins, &e.p.Tally, like)
	var sum float64
	for _, x := range r {
		sum += x
	}
	if sum > e.Score || e.Count == 1 {
		e.Score, e.Ratios = sum, r
	}
}

// call notes what was called.
func (e *episode) call(a *signal.Access) { e.Calls = addCall(e.Calls, a, maxCalls, "") }

// addCall counts a call among those of its kind; address is where it differs from the finding's.
func addCall(calls []signal.Call, a *signal.Access, limit int, address string) []signal.Call {
	at := time.UnixMilli(a.Time).UTC()
	refused := 0
	if denied(a.Error) {
		refused = 1
	}
	for i := range calls {
		c := &calls[i]
		if c.API == a.API && c.Service == a.Service && c.Region == a.Region && c.Address == address {
			c.Count++
			c.Refused += refused
			c.Last = at
			return calls
		}
	}
	if len(calls) >= limit {
		return calls
	}
	return append(calls, signal.Call{
		Service: a.Service, API: a.API, Region: a.Region, Count: 1, Refused: refused, First: at, Last: at, Address: address, Event: a.ID,
	})
}

// gradeOf says how far a score lies above the threshold.
func gradeOf(score, threshold float64) float64 {
	if score <= threshold {
		return 0
	}
	return 1 - math.Exp(-(score-threshold)/3)
}
