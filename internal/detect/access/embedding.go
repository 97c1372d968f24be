package access

import (
	"context"
	"math"
	"net/netip"

	"homeostat/ipinsights"
)

// The embedding is IP Insights over the organisation's own pairs of user and address. It knows of networks what counts of
// prefixes don't: that two providers' ranges, far apart, are used by the same people. Alone it is weak where it matters; as one
// part among others, with a small weight, it puts in order what counts leave equal.
//
// It is trained anew every four weeks, between two days, by what was learnt until then: so the same stream makes the same
// embedding. That takes a tenth of a second or less; weekly, over more pairs, it took more time than all judging.
const (
	maxPairs   = 20_000
	leastPairs = 300
	everyDays  = 28
)

// pair is a user at an address.
type pair struct {
	User string
	IP   netip.Addr
}

// pair keeps a learnt episode for the embedding.
func (o *organisation) pair(e *episode) {
	ip, err := netip.ParseAddr(e.Address)
	if err != nil {
		return // a service of AWS
	}
	if len(o.Pairs) >= maxPairs {
		o.Pairs = append(o.Pairs[:0], o.Pairs[maxPairs/4:]...)
	}
	o.Pairs = append(o.Pairs, pair{e.User, ip})
}

// embed trains the embedding, when it is time.
func (o *organisation) embed(d int32) {
	if d-o.Trained < everyDays || len(o.Pairs) < leastPairs {
		return
	}
	o.Trained = d
	pairs := make([]ipinsights.Pair, len(o.Pairs))
	for i, p := range o.Pairs {
		pairs[i] = ipinsights.Pair{Entity: p.User, IP: p.IP}
	}
	// There is nobody whose context this could end with: it is a stretch of computing, as judging is.
	m, err := ipinsights.Train(context.Background(), ipinsights.Config{
		NumEntityVectors: 2*len(o.Users) + 16, VectorDim: 16, Epochs: 6, MiniBatchSize: 500, LearningRate: 0.01, Seed: 1, Workers: 1,
	}, pairs, nil)
	if err != nil {
		return // configuration and pairs are ours: there is none that it refuses
	}
	if o.Vectors, err = m.MarshalBinary(); err != nil {
		return
	}
	o.vectors = m
	type sums struct{ n, sum, squares float64 }
	by := map[string]*sums{}
	for _, p := range pairs {
		s := by[p.Entity]
		if s == nil {
			s = &sums{}
			by[p.Entity] = s
		}
		x := m.Score(p.Entity, p.IP)
		s.n++
		s.sum += x
		s.squares += x * x
	}
	for user, p := range o.Users {
		p.Usual, p.Spread = 0, 0
		if s := by[user]; s != nil && s.n >= 5 {
			p.Usual = s.sum / s.n
			p.Spread = 1 + math.Sqrt(max(0, s.squares/s.n-p.Usual*p.Usual))
		}
	}
}

// nearness says how far an address lies from those of a user, in its own standard deviations.
func (o *organisation) nearness(user, address string, p *profile) uint8 {
	if o.vectors == nil || p.Spread == 0 {
		return 0
	}
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return 0
	}
	return bin((p.Usual-o.vectors.Score(user, ip))/p.Spread, .25, 1, 2, 3)
}
