package eventpattern

import (
	"errors"
	"fmt"
	"hash/maphash"
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
	edition  uint32
	freeIDs  []int32
	bytes    int64 // estimate, garbage included
	removed  int   // rules removed since the indexes were last built anew
	built    int   // rules when they were
	popular  popularity

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
	always []posting
	seed   maphash.Seed // of compiled.hash
}

// pathNode is a place in events that a pattern asks for: what lies under a key.
type pathNode struct {
	edition uint32
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

// Rough sizes in bytes, for Config.MaxBytes.
const (
	treeNodeBytes = 96
	entryBytes    = 64
	postingBytes  = 32
	pathNodeBytes = 160
	ruleBytes     = 96
	fieldBytes    = 144
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
	added := make(map[string]held)
	for name, p := range patterns {
		if p == nil {
			return fmt.Errorf("pattern %q is nil", name)
		}
		added[name] = held{pattern: p}
	}
	err := m.addAll(added)
	if errors.Is(err, ErrFull) && m.removed > 0 {
		m.rebuild() // what removed patterns have left behind may be the room that is missing
		err = m.addAll(added)
	}
	return err
}

func (m *Matcher) addAll(added map[string]held) error {
	w := m.begin()
	for _, h := range added {
		w.popular.count(h.pattern, 1)
	}
	for _, name := range slices.Sorted(maps.Keys(added)) {
		if before, taken := m.patterns[name]; taken {
			w.drop(before)
		}
		p := added[name].pattern
		if added[name] = w.insert(name, p); w.bytes > m.limit() {
			for _, h := range added {
				w.popular.count(h.pattern, -1)
			}
			return fmt.Errorf("adding pattern %q to %d others: %w (%d bytes)", name, len(m.patterns), ErrFull, m.limit())
		}
	}
	for name := range added {
		if before, taken := m.patterns[name]; taken {
			w.popular.count(before.pattern, -1)
		}
	}
	if m.patterns == nil {
		m.patterns = make(map[string]held, len(added))
	}
	maps.Copy(m.patterns, added)
	if 2*len(added) > len(m.patterns) {
		m.built = int(w.next.rules) // most rules have just been placed knowing all others
	}
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
	w.popular.count(h.pattern, -1)
	m.commit(w)
	return true
}

// writer makes the next snapshot. Nothing of it shows until commit.
type writer struct {
	edition uint32
	next    snapshot
	freeIDs []int32 // those that the writer hasn't taken
	freed   []int32 // to be free after commit: rules of this edition must not share an id with a removed one's readers
	bytes   int64
	removed int
	popular popularity
}

func (m *Matcher) begin() *writer {
	if m.edition == math.MaxUint32 {
		m.edition = 0 // no state may be taken for one of an edition to come
		m.rebuild()
	}
	m.edition++
	if m.popular.counts == nil {
		m.popular = popularity{seed: maphash.MakeSeed(), counts: make(map[uint64]int32)}
	}
	w := &writer{edition: m.edition, bytes: m.bytes, freeIDs: m.freeIDs, popular: m.popular}
	if s := m.current.Load(); s != nil {
		w.next = *s
	}
	if w.next.root == nil {
		w.next.root = &pathNode{edition: w.edition, slot: -1}
		w.next.nodes = 1
		w.next.seed = m.popular.seed
	}
	return w
}

func (m *Matcher) commit(w *writer) {
	m.freeIDs = append(w.freeIDs, w.freed...)
	m.bytes = w.bytes
	m.removed += w.removed
	m.current.Store(&w.next)
	// Rules that came while little was known about the others may hang at a field that has turned out to be a common one. To build
	// anew whenever their number has doubled costs each rule two insertions in all.
	if rules := int(w.next.rules); m.removed > max(1000, rules) || m.removed == 0 && rules > 500 && rules > 2*m.built {
		m.rebuild()
	}
}

// rebuild makes the indexes anew, without what removed patterns left behind.
func (m *Matcher) rebuild() {
	m.edition++
	w := &writer{edition: m.edition, popular: m.popular}
	w.next.root = &pathNode{edition: w.edition, slot: -1}
	w.next.nodes = 1
	w.next.seed = m.popular.seed
	patterns := make(map[string]held, len(m.patterns))
	for _, name := range slices.Sorted(maps.Keys(m.patterns)) {
		patterns[name] = w.insert(name, m.patterns[name].pattern)
	}
	m.patterns, m.freeIDs, m.bytes, m.removed, m.built = patterns, nil, w.bytes, 0, int(w.next.rules)
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
		p := w.compile(c, r)
		if c.key < 0 {
			w.next.always = append(w.next.always, p)
		} else {
			x := w.keyed(c)
			for i := range c.fields[c.key].tests {
				w.add(x, &c.fields[c.key].tests[i], p)
			}
		}
		h.rules = append(h.rules, c)
	}
	return h
}

// compile fills in the fields of a rule and chooses the one by which it is found and the one by which it is most often refused.
func (w *writer) compile(c *compiled, r rule) posting {
	best, gate := costKeyless, costKeyless
	plain := int32(-1) // the field to be the gate
	c.fields = make([]slotField, len(r))
	for i, f := range r {
		sf := &c.fields[i]
		*sf = slotField{tests: f.tests, path: strings.Split(f.path, ".")}
		var node *pathNode
		w.next.root, node = w.place(w.next.root, sf.path)
		sf.slot = node.slot
		cost := 0
		for j := range f.tests {
			t := &f.tests[j]
			cost += w.cost(node.index, f.path, t)
			sf.absent = sf.absent || t.op == opAbsent
			w.bytes += int64(len(t.text))
		}
		c.absent = c.absent || sf.absent
		if len(f.tests) == 1 && f.tests[0].op == opString && f.tests[0].bits == 0 {
			sf.single, sf.plain = true, f.tests[0].text
		}
		w.bytes += fieldBytes
		if cost < best { // the old key may be the gate
			if c.key >= 0 && c.fields[c.key].single {
				plain, gate = c.key, best
			}
			best, c.key = cost, int32(i)
		} else if sf.single && cost < gate {
			plain, gate = int32(i), cost
		}
	}
	p := posting{rule: c, id: c.id, gate: -1}
	if plain >= 0 {
		p.gate, p.hash = c.fields[plain].slot, maphash.String(w.popular.seed, c.fields[plain].plain)
	}
	return p
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
			w.next.always = without(w.next.always, c)
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
