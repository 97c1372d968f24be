package eventpattern

import (
	"encoding/binary"
	"math"
	"slices"
	"unicode/utf8"
)

// slotIndex finds, for a value of one field, the rules that are keyed on that field and hold for the value. Each kind of test has
// its own structure. What they have in common is that their size is that of the patterns' text.
type slotIndex struct {
	edition uint64
	forward *treeNode      // strings, prefixes; wildcards at the literal before their first star
	back    *treeNode      // suffixes, reversed; wildcards at the literal after their last star
	folded  *treeNode      // tests that ignore case, at their text in one case
	unfold  *treeNode      // the same for suffixes, reversed
	within  *treeNode      // wildcards that begin and end with a star, at their longest literal
	numbers *treeNode      // at the eight bytes of a float64, or the text of a number that can't be compared
	address *treeNode      // at the family and the whole bytes of the block
	words   [3][]*compiled // null, false, true
	ranges  ranges
	any     []try // tests that most values pass: anything-but, exists
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

// Costs of keying a rule on a test, in candidates expected for an event; what shares a key is counted.
const (
	costKeyless  = 1 << 40 // can't be found from a value
	costAny      = 20_000
	costRange    = 400
	costLoose    = 8
	costNoPrefix = 4_000
)

// spot is where in a slotIndex a test hangs: in one of its trees, under a key.
type spot struct {
	tree **treeNode
	key  []byte
	list spotList
}

type spotList uint8

const (
	listExact spotList = iota
	listPrefix
	listTryExact
	listTryAfter
	listBlocks
)

// spot returns the place of a test that hangs in a tree, and false for the others.
func (x *slotIndex) spot(t *test) (spot, bool) {
	switch t.op {
	case opString:
		if t.bits > 0 {
			return spot{&x.address, addressKey(nil, t.ip, t.bits), listBlocks}, true
		}
		return spot{&x.forward, []byte(t.text), listExact}, true
	case opNumber:
		return spot{&x.numbers, numberKey(nil, t.num, []byte(t.text)), listExact}, true
	case opPrefix:
		return spot{&x.forward, []byte(t.text), listPrefix}, true
	case opSuffix:
		return spot{&x.back, reversed(t.text), listPrefix}, true
	case opFold:
		return spot{&x.folded, appendFolded(nil, []byte(t.text)), listTryExact}, true
	case opPrefixFold:
		return spot{&x.folded, appendFolded(nil, []byte(t.text)), listTryAfter}, true
	case opSuffixFold:
		key := appendFolded(nil, []byte(t.text))
		slices.Reverse(key)
		return spot{&x.unfold, key, listTryAfter}, true
	case opCIDR:
		return spot{&x.address, addressKey(nil, t.ip, t.bits), listBlocks}, true
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
		return spot{&x.forward, first, listTryAfter}
	case len(last) > 0:
		return spot{&x.back, reversed(string(last)), listTryAfter}
	}
	return spot{&x.within, longest, listTryAfter}
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

// cost says how many candidates more a rule would bring that is keyed on the test.
func (x *slotIndex) cost(t *test) int {
	switch t.op {
	case opAbsent:
		return costKeyless
	case opAnythingBut, opExists:
		return costAny + len(x.any)
	case opLiteral:
		return costRange + len(x.words[wordIndex(t.text)])
	}
	s, ok := x.spot(t)
	if !ok { // a range
		return costRange + len(x.ranges.list)
	}
	held := 0
	if e := (*s.tree).get(s.key); e != nil {
		held = len(e.exact) + len(e.prefix) + len(e.tryExact) + len(e.tryAfter) + len(e.blocks)
	}
	switch {
	case s.list == listExact || s.list == listTryExact || t.op == opString:
		return 1 + held
	case len(s.key) == 0:
		return costNoPrefix + held
	}
	return costLoose + held
}

// add keys the rule on the test.
func (w *writer) add(x *slotIndex, t *test, r *compiled) {
	w.bytes += postingBytes
	switch t.op {
	case opAnythingBut, opExists:
		x.any = append(x.any, try{t, r})
		return
	case opLiteral:
		i := wordIndex(t.text)
		x.words[i] = append(x.words[i], r)
		return
	}
	s, ok := x.spot(t)
	if !ok {
		x.ranges = x.ranges.with(span{t, r})
		return
	}
	root, e := w.put(*s.tree, s.key)
	*s.tree = root
	switch s.list {
	case listExact:
		e.exact = append(e.exact, r)
	case listPrefix:
		e.prefix = append(e.prefix, r)
	case listTryExact:
		e.tryExact = append(e.tryExact, try{t, r})
	case listTryAfter:
		e.tryAfter = append(e.tryAfter, try{t, r})
	case listBlocks:
		e.blocks = append(e.blocks, block{t, r})
	}
}

// remove takes the rule from where add put it.
func (w *writer) remove(x *slotIndex, t *test, r *compiled) {
	isRule := func(o *compiled) bool { return o == r }
	isTry := func(o try) bool { return o.rule == r }
	switch t.op {
	case opAnythingBut, opExists:
		x.any = without(x.any, isTry)
		return
	case opLiteral:
		i := wordIndex(t.text)
		x.words[i] = without(x.words[i], isRule)
		return
	}
	s, ok := x.spot(t)
	if !ok {
		x.ranges = newRanges(without(x.ranges.list, func(o span) bool { return o.rule == r }))
		return
	}
	root, e := w.put(*s.tree, s.key)
	*s.tree = root
	switch s.list {
	case listExact:
		e.exact = without(e.exact, isRule)
	case listPrefix:
		e.prefix = without(e.prefix, isRule)
	case listTryExact:
		e.tryExact = without(e.tryExact, isTry)
	case listTryAfter:
		e.tryAfter = without(e.tryAfter, isTry)
	case listBlocks:
		e.blocks = without(e.blocks, func(o block) bool { return o.rule == r })
	}
}

// without returns a copy of the list without some, as readers may hold the list. (Lists are only ever appended to in place: a reader
// doesn't look beyond the length that it knows.)
func without[T any](list []T, drop func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(list), drop)
}

// span is a numeric range and its rule.
type span struct {
	test *test
	rule *compiled
}

// ranges is a list of numeric ranges by lower bound, with the highest upper bound of every spanBlock of them, so that a lookup passes
// over blocks that end too low.
type ranges struct {
	list []span
	lows []float64
	tops []float64 // of each spanBlock of the list
}

const spanBlock = 16

func newRanges(list []span) ranges {
	rs := ranges{list: list, lows: make([]float64, len(list)), tops: make([]float64, (len(list)+spanBlock-1)/spanBlock)}
	for i := range rs.tops {
		rs.tops[i] = math.Inf(-1)
	}
	for i, s := range list {
		rs.lows[i] = s.low()
		rs.tops[i/spanBlock] = max(rs.tops[i/spanBlock], s.high())
	}
	return rs
}

func (s span) low() float64 {
	if s.test.lo.none {
		return math.Inf(-1)
	}
	return s.test.lo.f
}

func (s span) high() float64 {
	if s.test.hi.none {
		return math.Inf(1)
	}
	return s.test.hi.f
}

// with returns the ranges and one more.
func (rs ranges) with(s span) ranges {
	at, _ := slices.BinarySearchFunc(rs.list, s, func(a, b span) int {
		switch {
		case a.low() != b.low():
			if a.low() < b.low() {
				return -1
			}
			return 1
		case a.high() < b.high():
			return -1
		}
		return 1
	})
	return newRanges(slices.Insert(slices.Clone(rs.list), at, s))
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
