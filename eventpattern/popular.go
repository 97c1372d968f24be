package eventpattern

import "hash/maphash"

// popularity counts, over all patterns of a matcher, how often each test is made of each field. A value that many patterns name is
// taken for one that many events have, and so for a bad key.
type popularity struct {
	seed   maphash.Seed
	counts map[uint64]int32 // by the hash of path, operator and operand
}

func (p popularity) hash(path string, t *test) uint64 {
	var h maphash.Hash
	h.SetSeed(p.seed)
	h.WriteString(path)
	switch t.op {
	case opAnythingBut, opExists, opAbsent, opNumeric: // counted by kind
		h.WriteByte(byte(t.op))
	case opNumber:
		var buf [32]byte
		h.WriteByte(byte(t.op))
		h.Write(numberKey(buf[:0], t.num, []byte(t.text)))
	default:
		h.WriteByte(byte(t.op))
		h.WriteString(t.text)
	}
	return h.Sum64()
}

// count adds n for every test of the pattern.
func (p popularity) count(pattern *Pattern, n int32) {
	for _, r := range pattern.rules {
		for i := range r {
			for j := range r[i].tests {
				k := p.hash(r[i].path, &r[i].tests[j])
				if p.counts[k] += n; p.counts[k] <= 0 {
					delete(p.counts, k)
				}
			}
		}
	}
}

// costKeyless is the cost of a test by which a rule can't be found.
const costKeyless = 1 << 40

// cost estimates what it costs to find a rule by the test: how often the rule would be a candidate in vain, in the unit of an exact
// value that no other pattern names.
func (w *writer) cost(x *slotIndex, path string, t *test) int {
	many := int(w.popular.counts[w.popular.hash(path, t)])
	switch t.op {
	case opAbsent:
		return costKeyless
	case opAnythingBut, opExists:
		return 100_000 + many // most events
	case opLiteral:
		return 100 * many
	case opNumeric:
		switch {
		case t.lo.none || t.hi.none:
			return 20 + many/2
		case t.lo.f == t.hi.f:
			return 1 + many/16
		}
		return 10 + many/16
	case opWildcard:
		if x == nil {
			x = &slotIndex{}
		}
		return looseCost(len(x.globSpot(t).key)) * many
	case opPrefix, opSuffix, opPrefixFold, opSuffixFold:
		return looseCost(len(t.text)) * many
	case opCIDR:
		return (2 + (fullBits(t.ip)-t.bits)/2) * many
	}
	return many
}

// looseCost is the cost of a test that knows some bytes only.
func looseCost(known int) int {
	switch {
	case known == 0:
		return 50_000
	case known < 3:
		return 40 / known
	}
	return 4
}
