package detect

import (
	"math"
	"time"
)

// The constants of news.
const (
	newsQuiet    = 30 * time.Minute    // in which something as strong makes a point no news
	newsPoints   = 36                  // or so many points, where that is longer
	newsSlots    = 36                  // that the time is divided into
	newsLeast    = 0.17                // the novelty that makes an event where one false alarm a week is allowed
	newsFold     = 0.05                // more of it where a share 1/e of the alarms is allowed
	newsFloor    = 0.05                // and it is never less
	fatigueTime  = 30 * 24 * time.Hour // in which what was heard counts for a third
	fatigueShare = 0.1                 // by which novelty counts less for each time it was heard
	fatigueFull  = 0.3                 // novelty that was heard counts as once; of less, the share
	fatigueFrom  = 0.1                 // and of less than this, not at all
	eventsKept   = 16
)

// raised is an event that was told, for the judgements that may follow.
type raised struct {
	Began    int64 // Unix milliseconds
	Strength float64
}

// news tells what an operator hasn't heard. How new a point is, its [records] say. Two things make that news: nothing as new
// was there in the half hour before, and novelty hasn't become usual itself: of a series that breaks its records all the time,
// the next one is worth less.
type news struct {
	Strongest [newsSlots]float32 // novelty in each slot of the time of late
	Slot      int64              // number of the newest slot, from the epoch
	Heard     float64            // times that something was new, of late
	Last      int64              // when, Unix milliseconds
}

// judge returns how strong the news of a point is that is so new, and whether it is fresh.
func (n *news) judge(t int64, interval time.Duration, novelty float64) (strength float64, fresh bool) {
	slot := floorDiv(t, max(newsQuiet/newsSlots, interval*newsPoints/newsSlots).Milliseconds())
	if n.Slot-slot > newsSlots { // the interval has become known, and slots are longer
		n.Slot, n.Strongest = slot, [newsSlots]float32{}
	}
	for n.Slot = max(n.Slot, slot-newsSlots); n.Slot < slot; {
		n.Slot++
		n.Strongest[mod(n.Slot, newsSlots)] = 0
	}
	fresh = true
	for _, s := range n.Strongest {
		fresh = fresh && novelty > float64(s)
	}
	if t > n.Last {
		n.Heard *= math.Exp(-float64(t-n.Last) / float64(fatigueTime.Milliseconds()))
		n.Last = t
	}
	return n.strength(novelty), fresh
}

func (n *news) strength(novelty float64) float64 { return novelty / (1 + fatigueShare*n.Heard) }

// lapse returns how strong the news is of a rhythm that isn't kept. It is told once by itself, so it needs not be newer than what
// was of late, and what comes after it needs not be newer than it.
func (n *news) lapse(novelty float64) float64 {
	strength := n.strength(novelty)
	n.Heard += min(1, novelty/fatigueFull)
	return strength
}

// heard remembers a point that could have made an event: what comes after it has to be newer.
func (n *news) heard(novelty float64, fresh bool) {
	newest := &n.Strongest[mod(n.Slot, newsSlots)]
	*newest = max(*newest, float32(novelty))
	if fresh && novelty > fatigueFrom {
		n.Heard += min(1, novelty/fatigueFull)
	}
}
