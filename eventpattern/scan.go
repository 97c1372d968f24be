package eventpattern

import (
	"bytes"
	"errors"
)

// scan is the working memory of one Match: one pass over the event that writes down the values which patterns ask for and collects
// the rules that are keyed on them, and then a check of those.
type scan struct {
	event []byte
	now   *snapshot
	epoch uint32 // what carries another number in the slices below is left from another event

	seen       []seenKey  // by pathNode: the object in which its key was last met
	slots      []slotVals // by field
	vals       []val
	elements   []elementOf // elements of arrays that are arrays or objects; 0 stands for none
	arrays     int32
	objects    uint32
	tried      []uint32 // by rule: the epoch in which it became a candidate
	matched    []uint32 // by the first rule of a pattern: the epoch in which the pattern matched
	candidates []posting
	text       []byte // strings without their escapes
	folded     []byte // the value at hand in one case
	spare      []byte // a key at hand
	solver     solver
}

type seenKey struct{ epoch, object uint32 }

// slotVals is the list of one field's values, in the order of the event.
type slotVals struct {
	epoch       uint32
	first, last int32
	inArray     bool // some value lies in an element of an array
	hashed      bool
	hash        uint64 // of the only value, once hashed
}

// val is one value of the event.
type val struct {
	kind    kind
	state   valState
	in      int32 // element; 0 if in none
	next    int32 // of the same field, -1 at the end
	text    []byte
	num     decimal
	ip      address
	ipIsSet bool
}

// valState says what has been worked out about a value.
type valState uint8

const (
	knowsNumber valState = 1 << iota
	knowsAddress
)

func (v *val) decimal() decimal {
	if v.state&knowsNumber == 0 {
		v.state |= knowsNumber
		v.num = parseDecimal(v.text)
	}
	return v.num
}

func (v *val) address() (address, bool) {
	if v.state&knowsAddress == 0 {
		v.state |= knowsAddress
		v.ip, v.ipIsSet = parseAddress(v.text)
	}
	return v.ip, v.ipIsSet
}

// elementOf is one element of one array, and the element in which that array lies.
type elementOf struct{ parent, array int32 }

// What a scan may keep for the next event, in bytes of its largest slices.
const maxKept = 1 << 20

// keep says whether the scan is worth being used again, and lets go of the event.
func (s *scan) keep() bool {
	s.event, s.now = nil, nil
	clear(s.vals)
	clear(s.candidates)
	return cap(s.vals)*80+cap(s.elements)*8+cap(s.text) < maxKept
}

var errTwice = errors.New("a key stands twice")

func (s *scan) match(dst []string, now *snapshot, event []byte) ([]string, error) {
	err := s.read(now, event)
	if errors.Is(err, errTwice) {
		// Rare, and the values of the first are noted already: begin again without it.
		var root *node
		if root, err = parseEvent(event); err == nil {
			err = s.read(now, appendDeduped(nil, root, event))
		}
	}
	if err != nil {
		return dst, err
	}
	s.collect(now.always)
	before := len(dst)
	for i := range s.candidates {
		p := &s.candidates[i]
		if p.gate >= 0 && !s.opens(p) {
			continue
		}
		c := p.rule
		if s.matched[c.pattern] == s.epoch {
			continue
		}
		ok, err := s.holds(c)
		if err != nil {
			return dst[:before], err
		}
		if ok {
			s.matched[c.pattern] = s.epoch
			dst = append(dst, c.name)
		}
	}
	return dst, nil
}

// read makes the pass over the event.
func (s *scan) read(now *snapshot, event []byte) error {
	s.begin(now, event)
	i := s.space(0)
	if i == len(event) {
		return s.fail(i, "an empty text")
	}
	if event[i] != '{' {
		if _, err := parseEvent(event); err != nil {
			return err
		}
		return ErrNotObject
	}
	i, err := s.object(now.root, i, 0, 0)
	if err != nil {
		return err
	}
	if i = s.space(i); i < len(event) {
		return s.fail(i, "something follows the value")
	}
	return nil
}

func (s *scan) begin(now *snapshot, event []byte) {
	s.epoch++
	if s.epoch == 0 {
		clear(s.seen)
		clear(s.slots)
		clear(s.tried)
		clear(s.matched)
		s.epoch = 1
	}
	s.now, s.event = now, event
	s.seen = grown(s.seen, int(now.nodes))
	s.slots = grown(s.slots, int(now.slots))
	s.tried = grown(s.tried, int(now.rules))
	s.matched = grown(s.matched, int(now.rules))
	s.vals, s.candidates, s.text = s.vals[:0], s.candidates[:0], s.text[:0]
	s.elements = append(s.elements[:0], elementOf{})
	s.arrays, s.objects = 0, 0
}

func grown[T any](s []T, n int) []T {
	if len(s) < n {
		s = append(s, make([]T, n-len(s))...)
	}
	return s
}

func (s *scan) fail(at int, reason string) error { return &syntaxError{at, reason} }

func (s *scan) space(i int) int {
	for i < len(s.event) && s.event[i] <= ' ' && (s.event[i] == ' ' || s.event[i] == '\n' || s.event[i] == '\t' || s.event[i] == '\r') {
		i++
	}
	return i
}

// object reads the object that begins at i and lies at n, and returns the place after it.
func (s *scan) object(n *pathNode, i int, in int32, depth int) (int, error) {
	if depth > maxDepth {
		return i, s.fail(i, "nested too deep")
	}
	s.objects++
	id := s.objects
	e := s.event
	i = s.space(i + 1)
	if i < len(e) && e[i] == '}' {
		return i + 1, nil
	}
	for {
		if i >= len(e) || e[i] != '"' {
			return i, s.fail(i, "a key must be a string in double quotes")
		}
		start := i + 1
		end, escaped := s.stringEnd(start)
		if end < 0 {
			return i, s.fail(i, "a malformed string")
		}
		key := e[start:end]
		i = end + 1
		if i < len(e) && e[i] == ':' {
			i++
		} else {
			i = s.space(i)
			if i >= len(e) || e[i] != ':' {
				return i, s.fail(i, "no colon after a key")
			}
			i++
		}
		if i < len(e) && e[i] <= ' ' {
			i = s.space(i)
		}
		if i >= len(e) {
			return i, s.fail(i, "the text ends where a value is expected")
		}
		if escaped {
			var err error
			if s.spare, _, err = appendUnescaped(s.spare[:0], key); err != nil {
				return i, s.fail(start, err.Error())
			}
			key = s.spare
		}
		child := n.descend(key)
		var err error
		if child == nil {
			i, err = s.skip(i, depth+1)
		} else {
			if mark := (seenKey{s.epoch, id}); s.seen[child.id] == mark {
				return i, errTwice
			} else {
				s.seen[child.id] = mark
			}
			i, err = s.value(child, i, in, depth+1)
		}
		if err != nil {
			return i, err
		}
		if i < len(e) && e[i] <= ' ' {
			i = s.space(i)
		}
		switch {
		case i >= len(e):
			return i, s.fail(i, "the text ends within an object")
		case e[i] == '}':
			return i + 1, nil
		case e[i] != ',':
			return i, s.fail(i, "no comma between two members of an object")
		}
		i++
		if i < len(e) && e[i] <= ' ' {
			i = s.space(i)
		}
	}
}

// descend returns the node that a key of the event leads to, or nil. A dot within the key is like a step from key to key.
func (n *pathNode) descend(key []byte) *pathNode {
	if n.many != nil {
		return n.descendMany(key)
	}
	for i := range n.keys {
		k := &n.keys[i]
		switch size := len(k.name); {
		case len(key) == size:
			if string(key) == k.name {
				return k.node
			}
		case len(key) > size && key[size] == '.' && string(key[:size]) == k.name:
			return k.node.descend(key[size+1:])
		}
	}
	return nil
}

func (n *pathNode) descendMany(key []byte) *pathNode {
	step, rest, more := bytes.Cut(key, []byte{'.'})
	e := n.many.get(step)
	switch {
	case e == nil || e.path == nil:
		return nil
	case more:
		return e.path.descend(rest)
	}
	return e.path
}

// value reads the value at i, which lies at n, and returns the place after it.
func (s *scan) value(n *pathNode, i int, in int32, depth int) (int, error) {
	e := s.event
	switch c := e[i]; {
	case c == '"':
		end, escaped := s.stringEnd(i + 1)
		if end < 0 {
			return i, s.fail(i, "a malformed string")
		}
		text := e[i+1 : end]
		if escaped {
			from := len(s.text)
			var err error
			if s.text, _, err = appendUnescaped(s.text, text); err != nil {
				return i, s.fail(i, err.Error())
			}
			text = s.text[from:len(s.text):len(s.text)]
		}
		s.note(n, kindString, text, in)
		return end + 1, nil
	case c == '{':
		if len(n.keys) == 0 && n.many == nil {
			return s.skip(i, depth)
		}
		return s.object(n, i, in, depth)
	case c == '[':
		return s.array(n, i, in, depth)
	case c == '-' || c >= '0' && c <= '9':
		size := numberLen(e[i:])
		if size == 0 {
			return i, s.fail(i, "a malformed number")
		}
		s.note(n, kindNumber, e[i:i+size], in)
		return i + size, nil
	}
	size := literalLen(e[i:])
	if size == 0 {
		return i, s.fail(i, "neither a value nor the end of one")
	}
	s.note(n, kindLiteral, e[i:i+size], in)
	return i + size, nil
}

// array reads the array at i, whose elements all lie at n.
func (s *scan) array(n *pathNode, i int, in int32, depth int) (int, error) {
	if depth > maxDepth {
		return i, s.fail(i, "nested too deep")
	}
	e := s.event
	s.arrays++
	id := s.arrays
	i = s.space(i + 1)
	if i < len(e) && e[i] == ']' {
		return i + 1, nil
	}
	for {
		if i >= len(e) {
			return i, s.fail(i, "the text ends within an array")
		}
		within := in
		if e[i] == '{' || e[i] == '[' {
			within = int32(len(s.elements))
			s.elements = append(s.elements, elementOf{in, id})
		}
		var err error
		if i, err = s.value(n, i, within, depth+1); err != nil {
			return i, err
		}
		i = s.space(i)
		switch {
		case i >= len(e):
			return i, s.fail(i, "the text ends within an array")
		case e[i] == ']':
			return i + 1, nil
		case e[i] != ',':
			return i, s.fail(i, "no comma between two elements of an array")
		}
		i = s.space(i + 1)
	}
}

// note writes a value down and collects the rules that are keyed on it.
func (s *scan) note(n *pathNode, k kind, text []byte, in int32) {
	if n.slot < 0 {
		return
	}
	at := int32(len(s.vals))
	s.vals = append(s.vals, val{kind: k, in: in, next: -1, text: text})
	list := &s.slots[n.slot]
	if list.epoch != s.epoch {
		*list = slotVals{epoch: s.epoch, first: at}
	} else {
		s.vals[list.last].next = at
	}
	list.last = at
	if in != 0 {
		list.inArray = true
	}
	if n.index != nil {
		s.find(n.index, &s.vals[at])
	}
}
