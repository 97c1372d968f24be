package detect

import (
	"math"
	"time"
)

// The constants of news.
const (
	newsQuiet  = 12 * time.Hour // in which something as strong makes a point no news
	newsPoints = 150            // or so many points, where that is longer
	newsSlots  = 150            // that the time is divided into
	newsMargin = 0.5            // by which it has to be stronger
	newsTail   = 0.02           // of what a channel says, on record, is its tail
	newsPrior  = 0.15           // mean excess in the tail that few points are thought to have
	newsDecay  = 1.0 / 10000
	newsLeast  = 50 // points on record before a channel speaks
	newsTop    = 24.0
	newsBins   = 1200
	eventsKept = 16
	rarityMost = 300.0 // decimals, about as far as a share can be told from 0
)

// raised is an event that was told, for the judgements that may follow.
type raised struct {
	Began    int64 // Unix milliseconds
	Strength float64
}

// news tells what an operator hasn't heard. Every channel (each forest, the value beyond all that was seen, the drift, the
// distance from what is steady) has a record of what it has said on ordinary and other days, and speaks in the decimal
// exponent of how rare what it says now is in its own record; that makes them comparable, whatever the series. Their sum is the
// strength: several channels that agree are worth more than one that shouts. A point is fresh when its strength is clearly
// above that of every point of late: what goes on, and what comes back, isn't.
type news struct {
	channels []sketch
	forest   []float64 // of each forest: its score of this point
	state    newsState
}

type newsState struct {
	Strongest [newsSlots]float32 // of the points in each slot of the time of late
	Slot      int64              // number of the newest slot, from the epoch
}

// The channels beside the forests.
const (
	beyond = iota
	drifting
	awayFrom
	others
)

func newNews(forests, bins int) news {
	n := news{channels: make([]sketch, forests+others), forest: make([]float64, forests)}
	for i := range n.channels {
		n.channels[i] = newSketch(0, newsTop, bins, newsDecay)
	}
	return n
}

// judge returns how strong the news of this point is, and whether it is fresh, and takes what its channels say on record.
func (n *news) judge(t int64, interval time.Duration, rare surprises) (strength float64, fresh bool) {
	for i, score := range n.forest {
		strength += n.channels[i].rarity(score)
	}
	for i, v := range [others]float64{beyond: rare.beyond, drifting: rare.drift, awayFrom: rare.away} {
		strength += n.channels[len(n.forest)+i].rarity(v)
	}
	s := &n.state
	slot := floorDiv(t, max(newsQuiet/newsSlots, interval*newsPoints/newsSlots).Milliseconds())
	for s.Slot = max(s.Slot, slot-newsSlots); s.Slot < slot; {
		s.Slot++
		s.Strongest[mod(s.Slot, newsSlots)] = 0
	}
	fresh = true
	for _, r := range s.Strongest {
		fresh = fresh && strength > float64(r)*(1+newsMargin)
	}
	return strength, fresh
}

// heard remembers the strength of a point that could have made an event: what comes after it has to be stronger.
func (n *news) heard(strength float64) {
	newest := &n.state.Strongest[mod(n.state.Slot, newsSlots)]
	*newest = max(*newest, float32(strength))
}

// rarity returns -log10 of the share of the record that is above v, 0 within all but the tail, and takes v on record.
func (s *sketch) rarity(v float64) float64 {
	r := 0.0
	if s.count() >= newsLeast {
		if t := s.upper(newsTail, newsPrior); v > t.from {
			r = min(-math.Log10(t.beyond(v)), rarityMost) // a share too small for a number is 0
		}
	}
	s.add(v)
	return r
}

// most keeps the larger of each.
func (r *surprises) most(o surprises) {
	r.residual = max(r.residual, o.residual)
	r.drift = max(r.drift, o.drift)
	r.away = max(r.away, o.away)
	r.change = max(r.change, o.change)
	r.beyond = max(r.beyond, o.beyond)
}
