package eventpattern

import "bytes"

// find collects the rules that are keyed on the field and may hold for its value.
func (s *scan) find(x *slotIndex, v *val) {
	switch v.kind {
	case kindString:
		s.findString(x, v)
	case kindNumber:
		s.findNumber(x, v)
	default:
		s.collect(x.words[wordIndex(string(v.text))])
	}
	s.collect(x.any)
}

func (s *scan) findString(x *slotIndex, v *val) {
	if x.forward != nil {
		s.walk(x.forward, v.text)
	}
	if x.back != nil {
		s.walkBack(x.back, v.text)
	}
	if x.folded != nil || x.unfold != nil {
		s.folded = appendFolded(s.folded[:0], v.text)
		if x.folded != nil {
			s.walk(x.folded, s.folded)
		}
		if x.unfold != nil {
			s.walkBack(x.unfold, s.folded)
		}
	}
	if x.within != nil {
		for i := range v.text {
			s.walk(x.within, v.text[i:])
		}
	}
	if x.address != nil {
		if ip, ok := v.address(); ok {
			s.spare = addressKey(s.spare[:0], ip, fullBits(ip))
			s.walk(x.address, s.spare)
		}
	}
}

func (s *scan) findNumber(x *slotIndex, v *val) {
	d := v.decimal()
	if x.numbers != nil {
		s.spare = numberKey(s.spare[:0], d, v.text)
		if e := x.numbers.get(s.spare); e != nil {
			s.collect(e.exact)
		}
	}
	if !d.ok {
		return
	}
	for b, top := range x.ranges.tops {
		spans := x.ranges.spans[b*spanBlock:]
		if spans[0].low > d.f {
			break
		}
		if top < d.f {
			continue
		}
		for i, sp := range spans[:min(spanBlock, len(spans))] {
			if sp.low <= d.f && d.f <= sp.high {
				at := b*spanBlock + i
				s.collect(x.ranges.rules[at : at+1])
			}
		}
	}
}

// walk follows the value through a tree as far as it goes and collects what hangs on the way.
func (s *scan) walk(n *treeNode, rest []byte) {
	for n != nil && n.reads(rest) {
		rest = rest[n.size:]
		if e := n.entry; e != nil {
			s.collect(e.prefix)
			if len(rest) == 0 {
				s.collect(e.exact)
			}
		}
		if len(rest) == 0 {
			return
		}
		n = n.step(rest[0])
	}
}

// walkBack is walk from the value's end to its beginning, through a tree of reversed keys.
func (s *scan) walkBack(n *treeNode, rest []byte) {
	for n != nil {
		if len(rest) < int(n.size) {
			return
		}
		last := len(rest) - 1
		for i, c := range n.label[:n.size] {
			if rest[last-i] != c {
				return
			}
		}
		rest = rest[:len(rest)-int(n.size)]
		if e := n.entry; e != nil {
			s.collect(e.prefix)
			if len(rest) == 0 {
				s.collect(e.exact)
			}
		}
		if len(rest) == 0 {
			return
		}
		n = n.step(rest[len(rest)-1])
	}
}

// collect adds rules to those that are checked when the event has been read.
func (s *scan) collect(list []posting) {
	for i := range list {
		if p := &list[i]; s.tried[p.id] != s.epoch {
			s.tried[p.id] = s.epoch
			s.candidates = append(s.candidates, *p)
		}
	}
}

// holds tries the test on a value.
func (t *test) holds(v *val) bool {
	switch t.op {
	case opAnythingBut:
		if t.exact != nil {
			_, found := t.exact[string(v.text)]
			return v.kind != kindString || !found
		}
		for i := range t.not {
			if t.not[i].holds(v) {
				return false
			}
		}
		return true
	case opExists:
		return true
	case opAbsent:
		return false
	case opNumber:
		if v.kind != kindNumber {
			return false
		}
		if d := v.decimal(); d.ok || t.num.ok {
			return d.ok && t.num.ok && d.f == t.num.f
		}
		return string(v.text) == t.text
	case opNumeric:
		return v.kind == kindNumber && v.decimal().ok && t.inRange(v.num.f)
	case opLiteral:
		return v.kind == kindLiteral && string(v.text) == t.text
	}
	return v.kind == kindString && t.holdsText(v)
}

// holdsText tries a test that only strings can pass.
func (t *test) holdsText(v *val) bool {
	switch t.op {
	case opString:
		if t.bits > 0 {
			ip, ok := v.address()
			return ok && ip == t.ip
		}
		return string(v.text) == t.text
	case opPrefix:
		return hasPrefix(v.text, t.text)
	case opSuffix:
		return hasSuffix(v.text, t.text)
	case opFold:
		return foldPrefix(v.text, t.fold) == len(v.text)
	case opPrefixFold:
		return foldPrefix(v.text, t.fold) >= 0
	case opSuffixFold:
		return foldSuffix(v.text, t.fold)
	case opWildcard:
		return globMatches(t.glob, v.text)
	case opCIDR:
		ip, ok := v.address()
		return ok && ip.v4 == t.ip.v4 && ip.masked(t.bits) == t.ip
	}
	return false
}

// inRange says whether a number lies between the bounds.
func (t *test) inRange(f float64) bool {
	return (t.lo.none || f > t.lo.f || f == t.lo.f && !t.lo.open) && (t.hi.none || f < t.hi.f || f == t.hi.f && !t.hi.open)
}

// globMatches says whether v matches the parts of a wildcard: the first at the beginning, the last at the end, the others between,
// each as early as it can be.
func globMatches(parts [][]byte, v []byte) bool {
	first, last := parts[0], parts[len(parts)-1]
	if len(parts) == 1 {
		return bytes.Equal(v, first)
	}
	if len(v) < len(first)+len(last) || !bytes.HasPrefix(v, first) || !bytes.HasSuffix(v, last) {
		return false
	}
	v = v[len(first) : len(v)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		at := bytes.Index(v, part)
		if at < 0 {
			return false
		}
		v = v[at+len(part):]
	}
	return true
}
