package access

import (
	"math"
)

// cell is what is known of one thing: on how many days it was there, and when last.
type cell struct {
	Days uint16
	Last int32 // day
}

// profile is what has been learnt of one user.
type profile struct {
	ID     int32
	Kind   uint8
	Since  int32  // day of the first access
	Days   uint16 // on which it was there
	Last   int32  // the last of them
	Nets   [widths]map[uint64]cell
	APIs   map[uint64]cell // hash of service and API
	Groups map[uint64]cell // services, regions
	Agents map[uint64]cell
	Things map[uint64]cell
	Hours  [2][24]float32 // days on which it was there at that hour, on weekdays and at weekends
	Tally  tally
	Volume float64 // mean logarithm of an episode's calls
	N      float64 // episodes behind Volume
	Usual  float64 // mean of what the embedding says of the user's own addresses
	Spread float64 // and its standard deviation; 0 while there is no embedding that knows the user
	Reach  uint8   // the gravest that it has done in ordinary life
	Grace  float64 // how far people's judgements have moved its threshold
	Recent [6]sighting
}

// sighting is the user at an address.
type sighting struct {
	Near  uint64
	Wide  uint64
	First int64
	Last  int64
	Known uint8 // bin of the network
}

// Bounds of what is kept of one user. Beyond them, what was longest not there is forgotten.
const (
	maxNets   = 4096
	maxThings = 2048
)

func newProfile(id int32, kind uint8, day int32) *profile {
	p := &profile{ID: id, Kind: kind, Since: day, Last: -1}
	for i := range p.Nets {
		p.Nets[i] = map[uint64]cell{}
	}
	p.APIs, p.Groups, p.Agents, p.Things = map[uint64]cell{}, map[uint64]cell{}, map[uint64]cell{}, map[uint64]cell{}
	return p
}

// seen returns where what was met of one kind is noted, and how much of it.
func (p *profile) seen(what uint8) (map[uint64]cell, int) {
	switch what {
	case seenGroup:
		return p.Groups, maxThings
	case seenAgent:
		return p.Agents, maxThings
	case seenThing:
		return p.Things, maxThings
	}
	return p.APIs, maxThings
}

// young reports whether too little was seen of a user to go by its own life.
func (p *profile) young() bool { return p.Days < 4 }

// note counts a thing for a day. It returns true when it is new.
func note(m map[uint64]cell, key uint64, day int32, limit int) bool {
	c, ok := m[key]
	if !ok && len(m) >= limit {
		forget(m)
	}
	if !ok || c.Last != day {
		c.Days++
	}
	c.Last = max(c.Last, day)
	m[key] = c
	return !ok
}

// forget drops the half of m that was longest not there.
func forget(m map[uint64]cell) {
	var newest, oldest int32 = math.MinInt32, math.MaxInt32
	for _, c := range m {
		newest, oldest = max(newest, c.Last), min(oldest, c.Last)
	}
	// Days are few: the day below which half lies is found by halving.
	for lo, hi := oldest, newest; ; {
		mid := lo + (hi-lo+1)/2
		n := 0
		for _, c := range m {
			if c.Last < mid {
				n++
			}
		}
		if n >= len(m)/2 || mid >= hi {
			for k, c := range m {
				if c.Last < mid || n == 0 && k%2 == 0 {
					delete(m, k)
				}
			}
			return
		}
		lo = mid
	}
}

// rareHour reports whether the user is hardly ever there at this hour, an hour more or less not counting much.
func (p *profile) rareHour(hour int, weekend int, like *[2][24]float32) bool {
	smooth := func(h *[2][24]float32) (at, all float64) {
		for i := range 24 {
			all += float64(h[weekend][i])
		}
		at = .5*float64(h[weekend][hour]) + .25*float64(h[weekend][(hour+23)%24]) + .25*float64(h[weekend][(hour+1)%24])
		return at, all
	}
	at, all := smooth(&p.Hours)
	lat, lall := smooth(like)
	prior := (lat + 1) / (lall + 24)
	const worth = 12 // hours that the life of others is worth
	return (at+worth*prior)/(all+worth) < .3/24
}
