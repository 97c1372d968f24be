package detect

import "math"

// The constants of a trail.
const (
	missShare     = 0.3         // what a new point counts in how far values have been from what was expected: about the last 6
	stirShare     = 0.15        // and in how much they change: about the last 12
	missPrior     = 8           // points beyond all that is on record of the one
	stirPrior     = 2           // and of the other
	trailDecay    = 1.0 / 10000 // what came 10,000 points ago counts a third
	magnitudeBins = 200
	magnitudeStep = 0.12              // of the natural logarithm: all bins together are a factor of 2.6e10
	magnitudeLeap = magnitudeBins / 8 // bins that the top moves beyond what it has to
	magnitudeLow  = -700.0            // logarithm of the smallest number that there may be
)

// trail knows how a feature has been going: how far its values have been from what was expected over the last few points, and
// how much they change from one to the next, both in the feature's own unit and beside all that is on record. It takes every
// point, those too that nothing is learnt from elsewhere.
type trail struct {
	state  trailState
	misses magnitudes
	stirs  magnitudes
}

type trailState struct {
	N    uint64
	Last float64
	Miss float64 // mean |x - expected| of late
	Stir float64 // mean |x - the point before| of late
}

func newTrail() trail {
	return trail{misses: newMagnitudes(missPrior), stirs: newMagnitudes(stirPrior)}
}

// traits are what is rare in a trail, each as -ln of the share of the record that goes at least as far: about 1 on average.
type traits struct {
	miss float64 // far from what was expected
	calm float64 // still
}

// add adds a share of o.
func (t *traits) add(share float64, o traits) {
	t.miss += share * o.miss
	t.calm += share * o.calm
}

// take takes x into the trail and says what is rare in it.
func (c *trail) take(e expectation, x float64) traits {
	s := &c.state
	s.N++
	if s.N == 1 {
		s.Last = x
		return traits{}
	}
	early := 1 / float64(s.N-1)
	s.Miss += max(missShare, early) * (math.Abs(x-e.value) - s.Miss)
	s.Stir += max(stirShare, early) * (math.Abs(x-s.Last) - s.Stir)
	s.Last = x
	var t traits
	_, t.miss = c.misses.ranks(s.Miss)
	t.calm, _ = c.stirs.ranks(s.Stir)
	c.misses.add(s.Miss)
	c.stirs.add(s.Stir)
	return t
}

// magnitudes is a record of numbers of 0 or more in equal steps of their logarithm. Its range is where the largest are: what
// is smaller by a factor of billions counts as 0.
type magnitudes struct {
	sketch
	prior float64 // points beyond all others at either end: what no point of a short record reached isn't that rare
}

func newMagnitudes(prior float64) magnitudes {
	return magnitudes{prior: prior, sketch: newSketch(magnitudeLow, magnitudeLow+magnitudeBins*magnitudeStep, magnitudeBins, trailDecay)}
}

// place returns the bin that v is in, and where in it, from 0 to 1.
func (m *magnitudes) place(v float64) (int, float64) {
	at := (math.Log(v) - m.lo) / m.width
	switch {
	case at < 1:
		return 0, 0
	case at >= float64(len(m.bins)):
		return len(m.bins) - 1, 1
	}
	return int(at), at - math.Floor(at)
}

// ranks returns -ln of the share of the record that is at most v, and of the share that is at least v, v and prior points counted with both.
func (m *magnitudes) ranks(v float64) (low, high float64) {
	i, part := m.place(v)
	below := 0.0
	for _, n := range m.bins[:i] {
		below += float64(n)
	}
	here := float64(m.bins[i])
	above := m.total - below - part*here
	if i == 0 {
		part = 1 // all that is as good as 0 is the same
	}
	below += part * here
	n := m.count() + m.prior
	rank := func(mass float64) float64 { return max(0, -math.Log((max(mass, 0)/m.weight+m.prior)/n)) }
	return rank(below), rank(above)
}

func (m *magnitudes) add(v float64) {
	y := max(math.Log(v), m.lo)
	if over := int((y-m.lo)/m.width) - len(m.bins) + 1; over > 0 {
		m.slide(over + magnitudeLeap)
	}
	m.sketch.add(y)
}

// slide moves the range up by n bins; the lowest takes in what falls below.
func (m *magnitudes) slide(n int) {
	m.lo += float64(n) * m.width
	n = min(n, len(m.bins)-1)
	for _, b := range m.bins[:n] {
		m.bins[n] += b
	}
	copy(m.bins, m.bins[n:])
	clear(m.bins[len(m.bins)-n:])
}
