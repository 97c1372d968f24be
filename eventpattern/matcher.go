package eventpattern

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Config bounds a Matcher. The zero value means the defaults.
type Config struct {
	MaxBytes int64 // of memory for patterns, estimated; 1 GiB when 0
}

// ErrFull means that a pattern isn't added because the matcher would need more memory than its Config allows.
var ErrFull = errors.New("the matcher's memory is used up")

// Matcher says which of many patterns match an event. Its cost grows with the fields of the event that any pattern asks for and with
// the patterns that come near to matching, not with their number.
//
// Safe for concurrent use: patterns go in and out while events are matched, and a Match sees either all or nothing of a change. Match
// never waits; Add, AddAll and Remove wait for each other. The zero value is ready.
type Matcher struct {
	mu       sync.Mutex
	config   Config
	patterns map[string]held
	edition  uint64
	freeIDs  []int32
	nextID   int32
	bytes    int64 // estimate, garbage included
	removed  int   // rules removed since the indexes were last built anew

	current atomic.Pointer[snapshot]
	scans   sync.Pool // of *scan
}

// held is a pattern in a Matcher.
type held struct {
	pattern *Pattern
	rules   []*compiled
}

// compiled is a rule in a Matcher: one way through a pattern. It is immutable.
type compiled struct {
	id      int32 // among the rules of the matcher, used again after a removal
	pattern int32 // id of the pattern's first rule
	key     int32 // index of the field by which it is found; -1: it is tried on every event
	absent  bool  // some field has exists: false
	name    string
	fields  []slotField
}

// slotField is a field of a rule.
type slotField struct {
	slot   int32
	absent bool   // exists: false is among the tests
	plain  string // if single: the one string that the field may be
	single bool
	tests  []test
	path   []string // of the field
}

// snapshot is what readers see. It is immutable.
type snapshot struct {
	root   *pathNode
	nodes  int32 // numbers given to pathNodes so far
	slots  int32 // numbers given to fields so far
	rules  int32 // numbers given to rules so far
	always []*compiled
}

// pathNode is a place in events that a pattern asks for: what lies under a key.
type pathNode struct {
	edition uint64
	id      int32
	slot    int32      // -1: no pattern asks for a value here
	index   *slotIndex // of the rules keyed on the value here; nil if none
	keys    []pathKey  // while few
	many    *treeNode  // then
}

type pathKey struct {
	name string
	node *pathNode
}

const maxPathKeys = 8

// child returns the node under the key, or nil.
func (n *pathNode) child(key []byte) *pathNode {
	if n.many != nil {
		if e := n.many.get(key); e != nil {
			return e.path
		}
		return nil
	}
	for i := range n.keys {
		if string(key) == n.keys[i].name {
			return n.keys[i].node
		}
	}
	return nil
}

// Rough sizes in bytes, for Config.MaxBytes.
const (
	treeNodeBytes = 144
	entryBytes    = 168
	postingBytes  = 24
	pathNodeBytes = 160
	ruleBytes     = 96
	fieldBytes    = 96
)

// NewMatcher returns a matcher without patterns.
func NewMatcher(c Config) *Matcher { return &Matcher{config: c} }

// Len returns how many patterns there are.
func (m *Matcher) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.patterns)
}

// Add puts a pattern in under a name, in place of the one that has the name. It fails with ErrFull, changing nothing.
func (m *Matcher) Add(name string, p *Pattern) error {
	return m.AddAll(func(yield func(string, *Pattern) bool) { yield(name, p) })
}

// AddAll puts many patterns in at once, as Add does one: all of them, or none with ErrFull. It is several times faster than adding
// them one by one. Of a name that comes twice, the last pattern stays.
func (m *Matcher) AddAll(patterns iter.Seq2[string, *Pattern]) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.begin()
	after := make(map[string]held)
	for name, p := range patterns {
		if p == nil {
			return fmt.Errorf("pattern %q is nil", name)
		}
		before, taken := after[name]
		if !taken {
			before, taken = m.patterns[name]
		}
		if taken {
			w.drop(before)
		}
		after[name] = w.insert(name, p)
		if limit := m.limit(); w.bytes > limit {
			// What the indexes keep of removed patterns counts too, until they are built anew.
			if m.removed == 0 && w.removed == 0 {
				return fmt.Errorf("adding pattern %q to %d others: %w (%d bytes)", name, len(m.patterns), ErrFull, limit)
			}
			m.rebuild()
			return m.addAgain(patterns)
		}
	}
	if m.patterns == nil {
		m.patterns = make(map[string]held, len(after))
	}
	maps.Copy(m.patterns, after)
	m.commit(w)
	return nil
}

// addAgain is AddAll after a rebuild, when nothing is left to be gained by another.
func (m *Matcher) addAgain(patterns iter.Seq2[string, *Pattern]) error {
	w := m.begin()
	after := maps.Clone(m.patterns)
	if after == nil {
		after = make(map[string]held)
	}
	for name, p := range patterns {
		if before, taken := after[name]; taken {
			w.drop(before)
		}
		after[name] = w.insert(name, p)
		if limit := m.limit(); w.bytes > limit {
			return fmt.Errorf("adding pattern %q to %d others: %w (%d bytes)", name, len(m.patterns), ErrFull, limit)
		}
	}
	m.patterns = after
	m.commit(w)
	return nil
}

func (m *Matcher) limit() int64 {
	if m.config.MaxBytes > 0 {
		return m.config.MaxBytes
	}
	return 1 << 30
}

// Remove takes the pattern out that was added under the name, and says whether there was one.
func (m *Matcher) Remove(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	h, ok := m.patterns[name]
	if !ok {
		return false
	}
	delete(m.patterns, name)
	w := m.begin()
	w.drop(h)
	m.commit(w)
	return true
}

// writer makes the next snapshot. Nothing of it shows until commit.
type writer struct {
	edition uint64
	next    snapshot
	freeIDs []int32 // those that the writer hasn't taken
	freed   []int32 // to be free after commit: rules of this edition must not share an id with a removed one's readers
	bytes   int64
	removed int
}

func (m *Matcher) begin() *writer {
	m.edition++
	w := &writer{edition: m.edition, bytes: m.bytes, freeIDs: m.freeIDs}
	if s := m.current.Load(); s != nil {
		w.next = *s
	}
	if w.next.root == nil {
		w.next.root = &pathNode{edition: w.edition, slot: -1}
		w.next.nodes = 1
	}
	return w
}

func (m *Matcher) commit(w *writer) {
	m.freeIDs = append(w.freeIDs, w.freed...)
	m.bytes = w.bytes
	m.removed += w.removed
	m.current.Store(&w.next)
	if m.removed > 1000 && m.removed > int(w.next.rules) {
		m.rebuild()
	}
}

// rebuild makes the indexes anew, without what removed patterns left behind.
func (m *Matcher) rebuild() {
	m.edition++
	w := &writer{edition: m.edition}
	w.next.root = &pathNode{edition: w.edition, slot: -1}
	w.next.nodes = 1
	patterns := make(map[string]held, len(m.patterns))
	for _, name := range slices.Sorted(maps.Keys(m.patterns)) {
		patterns[name] = w.insert(name, m.patterns[name].pattern)
	}
	m.patterns, m.freeIDs, m.bytes, m.removed = patterns, nil, w.bytes, 0
	m.current.Store(&w.next)
}

// insert puts the rules of a pattern into the indexes.
func (w *writer) insert(name string, p *Pattern) held {
	h := held{pattern: p}
	w.bytes += int64(len(name))
	for _, r := range p.rules {
		c := &compiled{name: name, key: -1}
		if n := len(w.freeIDs); n > 0 {
			c.id = w.freeIDs[n-1]
			w.freeIDs = w.freeIDs[: n-1 : n-1]
		} else {
			c.id = w.next.rules
			w.next.rules++
		}
		if c.pattern = c.id; len(h.rules) > 0 {
			c.pattern = h.rules[0].id
		}
		w.bytes += ruleBytes
		best := costKeyless
		for _, f := range r {
			sf := slotField{tests: f.tests, path: strings.Split(f.path, ".")}
			cost := 0
			var node *pathNode
			w.next.root, node = w.place(w.next.root, sf.path)
			sf.slot = node.slot
			x := node.index
			if x == nil {
				x = &slotIndex{}
			}
			for i := range f.tests {
				t := &f.tests[i]
				cost += x.cost(t)
				if t.op == opAbsent {
					sf.absent, c.absent = true, true
				}
				w.bytes += int64(len(t.text))
			}
			if len(f.tests) == 1 && f.tests[0].op == opString && f.tests[0].bits == 0 {
				sf.single, sf.plain = true, f.tests[0].text
			}
			w.bytes += fieldBytes
			if cost < best {
				best, c.key = cost, int32(len(c.fields))
			}
			c.fields = append(c.fields, sf)
		}
		if c.key < 0 {
			w.next.always = append(w.next.always, c)
		} else {
			x := w.keyed(c)
			for i := range c.fields[c.key].tests {
				w.add(x, &c.fields[c.key].tests[i], c)
			}
		}
		h.rules = append(h.rules, c)
	}
	return h
}

// keyed returns the index of a rule's key, which the writer may change.
func (w *writer) keyed(c *compiled) *slotIndex {
	var node *pathNode
	w.next.root, node = w.place(w.next.root, c.fields[c.key].path)
	switch {
	case node.index == nil:
		node.index = &slotIndex{edition: w.edition}
	case node.index.edition != w.edition:
		x := *node.index
		x.edition = w.edition
		node.index = &x
	}
	return node.index
}

// drop takes the rules of a pattern out of the indexes.
func (w *writer) drop(h held) {
	for _, c := range h.rules {
		if c.key < 0 {
			w.next.always = without(w.next.always, func(o *compiled) bool { return o == c })
		} else {
			x := w.keyed(c)
			for i := range c.fields[c.key].tests {
				w.remove(x, &c.fields[c.key].tests[i], c)
			}
		}
		w.freed = append(w.freed, c.id)
		w.removed++
	}
}

// place returns the tree with a node for the path whose values are asked for, and that node, which the writer may change.
func (w *writer) place(n *pathNode, path []string) (*pathNode, *pathNode) {
	if n == nil {
		n = &pathNode{edition: w.edition, id: w.next.nodes, slot: -1}
		w.next.nodes++
		w.bytes += pathNodeBytes
	} else if n.edition != w.edition {
		c := *n
		c.edition = w.edition
		c.keys = slices.Clone(n.keys)
		n = &c
	}
	if len(path) == 0 {
		if n.slot < 0 {
			n.slot = w.next.slots
			w.next.slots++
		}
		return n, n
	}
	if n.many == nil {
		i := slices.IndexFunc(n.keys, func(k pathKey) bool { return k.name == path[0] })
		if i < 0 && len(n.keys) < maxPathKeys {
			i = len(n.keys)
			n.keys = append(n.keys, pathKey{name: path[0]})
		}
		if i >= 0 {
			child, at := w.place(n.keys[i].node, path[1:])
			n.keys[i].node = child
			return n, at
		}
		for _, k := range n.keys {
			root, e := w.put(n.many, []byte(k.name))
			n.many, e.path = root, k.node
		}
		n.keys = nil
	}
	root, e := w.put(n.many, []byte(path[0]))
	child, at := w.place(e.path, path[1:])
	n.many, e.path = root, child
	return n, at
}

// Match appends the names of the patterns that match the event to dst, each once, in no order that means anything. Where nothing
// matches it doesn't allocate, once it has seen events of the size.
//
// The event must be a JSON object. What no pattern asks for is passed over: only its brackets are counted and its strings checked.
// A key that an object has twice counts where it is last.
func (m *Matcher) Match(dst []string, event []byte) ([]string, error) {
	now := m.current.Load()
	if now == nil {
		now = &snapshot{root: &pathNode{slot: -1}, nodes: 1}
	}
	if len(event) > math.MaxInt32 {
		return dst, fmt.Errorf("an event of %d bytes", len(event))
	}
	s, _ := m.scans.Get().(*scan)
	if s == nil {
		s = new(scan)
	}
	dst, err := s.match(dst, now, event)
	if s.keep() {
		m.scans.Put(s)
	}
	return dst, err
}
