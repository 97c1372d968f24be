package eventpattern

import (
	"encoding/binary"
	"math/bits"
)

// This file passes over what no pattern asks for, which is most of most events, eight bytes at a time: x holds eight bytes, and a mask
// has the high bit of each byte that has to be looked at. Only the lowest of these is sure, which is enough.

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// zeroBytes sets the high bit of each byte of x that is zero. Bytes above one that is may be wrong.
func zeroBytes(x uint64) uint64 { return (x - ones) &^ x & highs }

// stringEnd returns the offset of the quote that ends the string whose inside begins at i, and whether there are escapes in it; -1 if
// the string doesn't end or has control characters. It reads eight bytes at a time.
func (s *scan) stringEnd(i int) (end int, escaped bool) {
	e := s.event
	for {
		for i+8 <= len(e) {
			x := binary.LittleEndian.Uint64(e[i:])
			y := x ^ ones*2 // makes the quote come after the control characters: 0x20
			stop := (y-ones*0x21)&^y&highs | zeroBytes(x^ones*'\\')
			if stop != 0 {
				i += bits.TrailingZeros64(stop) / 8
				goto found
			}
			i += 8
		}
		for i < len(e) && e[i] != '"' && e[i] != '\\' && e[i] >= ' ' {
			i++
		}
		if i >= len(e) {
			return -1, false
		}
	found:
		switch e[i] {
		case '"':
			return i, escaped
		case '\\':
			escaped = true
			i += 2
		default:
			return -1, false
		}
	}
}

// skip passes over the value at i and returns the place after it.
func (s *scan) skip(i, depth int) (int, error) {
	e := s.event
	switch c := e[i]; {
	case c == '"':
		end, _ := s.stringEnd(i + 1)
		if end < 0 {
			return i, s.fail(i, "a malformed string")
		}
		return end + 1, nil
	case c == '{' || c == '[':
		return s.skipNested(i, depth)
	case c == '-' || c >= '0' && c <= '9' || c == 't' || c == 'f' || c == 'n':
		for i < len(e) && e[i] > ' ' && e[i] != ',' && e[i] != '}' && e[i] != ']' {
			i++
		}
		return i, nil
	}
	return i, s.fail(i, "neither a value nor the end of one")
}

// skipNested passes over the array or object at i. It counts brackets without telling the two kinds apart, eight bytes at a time: the
// brackets [ ] { } are what is 0x59 or 0x79 but for bits 1, 2 and 5, beside y, Y, _ and DEL, which are looked at in vain.
func (s *scan) skipNested(i, depth int) (int, error) {
	e := s.event
	level := 0
	for i < len(e) {
		var c byte
		if i+8 <= len(e) {
			x := binary.LittleEndian.Uint64(e[i:])
			stop := zeroBytes(x^ones*'"') | zeroBytes(x&(ones*0xd9)^ones*0x59)
			if stop == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(stop) / 8
		}
		c = e[i]
		switch c {
		case '{', '[':
			level++
			if level+depth > maxDepth {
				return i, s.fail(i, "nested too deep")
			}
		case '}', ']':
			level--
			if level == 0 {
				return i + 1, nil
			}
		case '"':
			end, _ := s.stringEnd(i + 1)
			if end < 0 {
				return i, s.fail(i, "a malformed string")
			}
			i = end
		}
		i++
	}
	return i, s.fail(i, "the text ends within an array or object")
}

// appendDeduped appends the value without the members that a later one of the same key overrides.
func appendDeduped(dst []byte, n *node, text []byte) []byte {
	switch n.kind {
	case kindObject:
		last := make(map[string]int, len(n.members))
		for i, m := range n.members {
			last[m.key] = i
		}
		dst = append(dst, '{')
		first := true
		for i, m := range n.members {
			if last[m.key] != i {
				continue
			}
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = append(append(appendEscaped(append(dst, '"'), []byte(m.key)), '"'), ':')
			dst = appendDeduped(dst, m.value, text)
		}
		return append(dst, '}')
	case kindArray:
		dst = append(dst, '[')
		for i, item := range n.items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendDeduped(dst, item, text)
		}
		return append(dst, ']')
	}
	return append(dst, text[n.start:n.end]...)
}
