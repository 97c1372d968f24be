package eventpattern

import "bytes"

// treeNode is a state of a deterministic automaton over bytes: a radix tree, in which keys that begin alike share their states and a
// run of bytes without a choice is one state. For the keys "aws.ec2" (a), "aws.s3" (b) and "aws." (c):
//
//	"aws." c ── "ec2" a
//	        └── "s3" b
//
// Trees are persistent: a writer copies the states on the way to what it changes, once in an edition, so that readers keep the tree
// they have. A state that the current edition made isn't published yet and is changed in place. Adding n keys of b bytes costs O(nb)
// and never more than two states a key, whatever the keys are; that is why wildcards are not determinized here but hang at the
// longest literal that they have (see slotIndex).
type treeNode struct {
	edition uint64
	label   string // the bytes that lead here from the state before
	entry   *entry // what is known where the label has been read; nil if nothing
	first   []byte // first bytes of next's labels
	next    []*treeNode
}

// entry is what hangs at a state.
type entry struct {
	edition  uint64
	exact    []*compiled // the key is the whole value
	prefix   []*compiled // the value begins with the key
	tryExact []try       // as exact, if the test holds
	tryAfter []try       // as prefix, if the test holds
	blocks   []block     // the key is the whole bytes of an address's first bits
	path     *pathNode   // the key is a key of the event
}

// try is a test that must still be made before its rule is a candidate.
type try struct {
	test *test
	rule *compiled
}

// block is an address block whose mask may end within a byte.
type block struct {
	test *test
	rule *compiled
}

// step returns the state after n for the byte, or nil. It is the innermost loop of matching.
func (n *treeNode) step(c byte) *treeNode {
	if len(n.first) <= 4 {
		for i, b := range n.first {
			if b == c {
				return n.next[i]
			}
		}
		return nil
	}
	if i := bytes.IndexByte(n.first, c); i >= 0 {
		return n.next[i]
	}
	return nil
}

// get returns what hangs at the key, or nil.
func (n *treeNode) get(key []byte) *entry {
	for n != nil {
		if len(key) < len(n.label) || string(key[:len(n.label)]) != n.label {
			return nil
		}
		key = key[len(n.label):]
		if len(key) == 0 {
			return n.entry
		}
		n = n.step(key[0])
	}
	return nil
}

// put returns the tree with a place for the key, and the entry there, which the writer may change.
func (w *writer) put(n *treeNode, key []byte) (*treeNode, *entry) {
	if n == nil {
		w.bytes += treeNodeBytes + int64(len(key)) + entryBytes
		e := &entry{edition: w.edition}
		return &treeNode{edition: w.edition, label: string(key), entry: e}, e
	}
	n = w.own(n)
	same := 0
	for same < len(key) && same < len(n.label) && key[same] == n.label[same] {
		same++
	}
	if same < len(n.label) { // split the label
		rest := *n
		rest.label = n.label[same:]
		w.bytes += treeNodeBytes
		*n = treeNode{edition: w.edition, label: n.label[:same], first: []byte{rest.label[0]}, next: []*treeNode{&rest}}
	}
	key = key[same:]
	if len(key) == 0 {
		switch {
		case n.entry == nil:
			w.bytes += entryBytes
			n.entry = &entry{edition: w.edition}
		case n.entry.edition != w.edition:
			e := *n.entry
			e.edition = w.edition
			n.entry = &e
		}
		return n, n.entry
	}
	i := bytes.IndexByte(n.first, key[0])
	if i < 0 {
		child, e := w.put(nil, key)
		n.first = append(n.first, key[0])
		n.next = append(n.next, child)
		return n, e
	}
	child, e := w.put(n.next[i], key)
	n.next[i] = child
	return n, e
}

// own returns the state itself if this edition made it, else a copy.
func (w *writer) own(n *treeNode) *treeNode {
	if n.edition == w.edition {
		return n
	}
	c := *n
	c.edition = w.edition
	c.first = bytes.Clone(n.first)
	c.next = append(make([]*treeNode, 0, len(n.next)+1), n.next...)
	return &c
}
