package eventpattern

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"unicode/utf8"
)

// slotIndex finds, for a value of one field, the rules that are keyed on that field and may hold for the value: none that does is
// missed, and few that don't are found. Each kind of test has its own structure; the size of all is that of the patterns' text.
type slotIndex struct {
	edition uint32
	forward *treeNode    // strings, prefixes; wildcards at the literal before their first star
	back    *treeNode    // suffixes, reversed; wildcards at the literal after their last star
	folded  *treeNode    // tests that ignore case, at their text in one case
	unfold  *treeNode    // the same for suffixes, reversed
	within  *treeNode    // wildcards that begin and end with a star, at their longest literal
	numbers *treeNode    // at the eight bytes of a float64, or the text of a number that can't be compared
	address *treeNode    // at the family and the whole bytes of the block
	words   [3][]posting // null, false, true
	ranges  ranges
	any     []posting // of tests that most values pass: anything-but, exists
}

// wordIndex tells the literals apart by their second byte.
func wordIndex(s string) int {
	switch s[1] {
	case 'u':
		return 0
	case 'a':
		return 1
	}
	return 2
}

// spot is where in a slotIndex a test hangs: in one of its trees, under a key.
type spot struct {
	tree **treeNode
	key  []byte
	list spotList
}

// spotList says which list of an entry.
type spotList uint8

const (
	listExact spotList = iota
	listPrefix
)

func (s spotList) of(e *entry) *[]posting {
	if s == listExact {
		return &e.exact
	}
	return &e.prefix
}

// spot returns the place of a test that hangs in a tree, and false for the others.
func (x *slotIndex) spot(t *test) (spot, bool) {
	switch t.op {
	case opString:
		if t.bits > 0 {
			return spot{&x.address, addressKey(nil, t.ip, t.bits), listPrefix}, true
		}
		return spot{&x.forward, []byte(t.text), listExact}, true
	case opNumber:
		return spot{&x.numbers, numberKey(nil, t.num, []byte(t.text)), listExact}, true
	case opPrefix:
		return spot{&x.forward, []byte(t.text), listPrefix}, true
	case opSuffix:
		return spot{&x.back, reversed(t.text), listPrefix}, true
	case opFold:
		return spot{&x.folded, appendFolded(nil, []byte(t.text)), listExact}, true
	case opPrefixFold:
		return spot{&x.folded, appendFolded(nil, []byte(t.text)), listPrefix}, true
	case opSuffixFold:
		key := appendFolded(nil, []byte(t.text))
		slices.Reverse(key)
		return spot{&x.unfold, key, listPrefix}, true
	case opCIDR:
		return spot{&x.address, addressKey(nil, t.ip, t.bits), listPrefix}, true
	case opNumeric:
		if !t.lo.none && !t.hi.none && t.lo.f == t.hi.f {
			return spot{&x.numbers, numberKey(nil, decimal{t.lo.f, true}, nil), listExact}, true
		}
	case opWildcard:
		return x.globSpot(t), true
	}
	return spot{}, false
}

func (x *slotIndex) globSpot(t *test) spot {
	first, last := t.glob[0], t.glob[len(t.glob)-1]
	if len(t.glob) == 1 {
		return spot{&x.forward, first, listExact}
	}
	longest := slices.MaxFunc(t.glob, func(a, b []byte) int { return len(a) - len(b) })
	switch {
	case len(longest) == 0: // a star alone: any string
		return spot{&x.forward, nil, listPrefix}
	case len(first) > 0 && len(first) >= len(last):
		return spot{&x.forward, first, listPrefix}
	case len(last) > 0:
		return spot{&x.back, reversed(string(last)), listPrefix}
	}
	return spot{&x.within, longest, listPrefix}
}

func reversed(s string) []byte {
	b := []byte(s)
	slices.Reverse(b)
	return b
}

// numberKey appends the key of a number: 'f' and the float64, or 't' and its text.
func numberKey(dst []byte, d decimal, text []byte) []byte {
	if !d.ok {
		return append(append(dst, 't'), text...)
	}
	if d.f == 0 {
		d.f = 0 // not -0
	}
	return binary.BigEndian.AppendUint64(append(dst, 'f'), math.Float64bits(d.f))
}

// addressKey appends the key of an address block: its family and its whole bytes.
func addressKey(dst []byte, a address, bits int) []byte {
	var b [16]byte
	if a.v4 {
		binary.BigEndian.PutUint32(b[:], uint32(a.lo))
		return append(append(dst, '4'), b[:bits/8]...)
	}
	binary.BigEndian.PutUint64(b[:], a.hi)
	binary.BigEndian.PutUint64(b[8:], a.lo)
	return append(append(dst, '6'), b[:bits/8]...)
}

// add keys the rule on the test.
func (w *writer) add(x *slotIndex, t *test, p posting) {
	w.bytes += postingBytes
	switch t.op {
	case opAnythingBut, opExists:
		x.any = append(x.any, p)
		return
	case opLiteral:
		i := wordIndex(t.text)
		x.words[i] = append(x.words[i], p)
		return
	}
	s, ok := x.spot(t)
	if !ok {
		x.ranges = x.ranges.with(t, p)
		return
	}
	root, e := w.put(*s.tree, s.key)
	*s.tree = root
	list := s.list.of(e)
	*list = append(*list, p)
}

// remove takes the rule from where add put it.
func (w *writer) remove(x *slotIndex, t *test, r *compiled) {
	switch t.op {
	case opAnythingBut, opExists:
		x.any = without(x.any, r)
		return
	case opLiteral:
		i := wordIndex(t.text)
		x.words[i] = without(x.words[i], r)
		return
	}
	s, ok := x.spot(t)
	if !ok {
		x.ranges = x.ranges.without(r)
		return
	}
	root, e := w.put(*s.tree, s.key)
	*s.tree = root
	list := s.list.of(e)
	*list = without(*list, r)
}

// without returns a copy of the list without a rule, as readers may hold the list. (Lists are only ever appended to in place: a
// reader doesn't look beyond the length that it knows.)
func without(list []posting, r *compiled) []posting {
	return slices.DeleteFunc(slices.Clone(list), func(p posting) bool { return p.rule == r })
}

// ranges is a list of numeric ranges in the order of their lower bounds, with the highest upper bound of every spanBlock of them, so
// that a lookup passes over blocks that end too low. Whether a bound is open is left to the test.
type ranges struct {
	spans []span
	rules []posting // of the spans
	tops  []float64 // of every spanBlock of the spans
}

type span struct{ low, high float64 }

const spanBlock = 16

func (rs ranges) with(t *test, p posting) ranges {
	s := span{math.Inf(-1), math.Inf(1)}
	if !t.lo.none {
		s.low = t.lo.f
	}
	if !t.hi.none {
		s.high = t.hi.f
	}
	at, _ := slices.BinarySearchFunc(rs.spans, s, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.low, b.low), cmp.Compare(a.high, b.high))
	})
	return newRanges(slices.Insert(slices.Clone(rs.spans), at, s), slices.Insert(slices.Clone(rs.rules), at, p))
}

func (rs ranges) without(r *compiled) ranges {
	var spans []span
	var rules []posting
	for i, p := range rs.rules {
		if p.rule != r {
			spans, rules = append(spans, rs.spans[i]), append(rules, p)
		}
	}
	return newRanges(spans, rules)
}

func newRanges(spans []span, rules []posting) ranges {
	tops := make([]float64, 0, len(spans)/spanBlock+1)
	for block := range slices.Chunk(spans, spanBlock) {
		top := math.Inf(-1)
		for _, s := range block {
			top = max(top, s.high)
		}
		tops = append(tops, top)
	}
	return ranges{spans, rules, tops}
}

// appendFolded appends s in one case, such that texts that a test of ours takes for equal become the same. (Texts that become the
// same need not be equal: see foldSteps.)
func appendFolded(dst, s []byte) []byte {
	for i, c := range s {
		if c >= 0x80 {
			return appendFoldedRunes(dst, s[i:])
		}
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		dst = append(dst, c)
	}
	return dst
}

func appendFoldedRunes(dst, s []byte) []byte {
	for len(s) > 0 {
		r, size := utf8.DecodeRune(s)
		if r == utf8.RuneError {
			dst = append(dst, s[:size]...)
			s = s[size:]
			continue
		}
		s = s[size:]
		// Lower, upper and lower again: so ẞ and ß end where SS does.
		var lower, upper [16]byte
		for l := appendLower(lower[:0], r); len(l) > 0; {
			r, size := utf8.DecodeRune(l)
			l = l[size:]
			for u := appendUpper(upper[:0], r); len(u) > 0; {
				r, size := utf8.DecodeRune(u)
				u = u[size:]
				dst = appendLower(dst, r)
			}
		}
	}
	return dst
}
