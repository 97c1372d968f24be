package access

import (
	"math"

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

	p *profile
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

// bitcount of hours.
func ones(x uint32) (n int) {
	for ; x != 0; x &= x - 1 {
		n++
	}
	return n
}

func gradeOf(score, threshold float64) float64 {
	if score <= threshold {
		return 0
	}
	return 1 - math.Exp(-(score-threshold)/3)
}
