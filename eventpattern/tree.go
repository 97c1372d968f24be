package eventpattern

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// treeNode is a state of a deterministic automaton over bytes: a radix tree, in which keys that begin alike share their states and a
// run of bytes without a choice is one state. For the keys "aws.ec2" (a), "aws.s3" (b) and "aws." (c):
//
//	"aws." c ── "ec2" a
//	        └── "s3" b
//
// A state fills one cache line, label included; a label that doesn't fit goes on in the next state. A state with more than narrow
// successors finds them by table.
//
// Trees are persistent: a writer copies the states on the way to what it changes, once in an edition, so that readers keep the tree
// they have. A state that the current edition made isn't published yet and is changed in place. The size of a tree grows with the
// bytes of its keys and nothing else; that is why wildcards are not determinized here but hang at the longest literal that they begin
// or end with (see slotIndex).
type treeNode struct {
	entry   *entry         // what is known where the label has been read; nil if nothing
	next    []*treeNode    // successors, in the order of first; of a wide state by byte, with holes
	first   [narrow]byte   // first bytes of the successors' labels
	label   [maxLabel]byte // the bytes that lead here from the state before
	size    uint8          // of the label
	fan     uint8          // number of successors; wide if there are more than narrow
	edition uint32         //
}

const (
	narrow   = 8
	maxLabel = 18
	wide     = 255
)

// entry is what hangs at a state.
type entry struct {
	exact   []posting // the key is the whole value
	prefix  []posting // the value begins with the key
	path    *pathNode // the key is a key of the event
	edition uint32
}

// posting is a rule at a place in an index, with what is needed to refuse it without looking at it: see slotVals.hash.
type posting struct {
	rule *compiled
	id   int32  // of the rule
	gate int32  // slot of another field, which must be one plain string; -1 if there is none
	hash uint64 // of that string
}

// step returns the state after n for the byte, or nil. It is the innermost loop of matching.
func (n *treeNode) step(c byte) *treeNode {
	if n.fan == wide {
		return n.next[c]
	}
	found := zeroBytes(binary.LittleEndian.Uint64(n.first[:]) ^ ones*uint64(c))
	if i := bits.TrailingZeros64(found) / 8; i < int(n.fan) {
		return n.next[i]
	}
	return nil
}

// reads says whether rest begins with the label.
func (n *treeNode) reads(rest []byte) bool {
	return len(rest) >= int(n.size) && string(rest[:n.size]) == string(n.label[:n.size])
}

// get returns what hangs at the key, or nil.
func (n *treeNode) get(key []byte) *entry {
	for n != nil && n.reads(key) {
		key = key[n.size:]
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
		w.bytes += treeNodeBytes
		n = &treeNode{edition: w.edition}
		n.size = uint8(copy(n.label[:], key))
		if key = key[n.size:]; len(key) > 0 {
			child, e := w.put(nil, key)
			w.link(n, child)
			return n, e
		}
		return n, w.entry(n)
	}
	n = w.own(n)
	same := 0
	for same < len(key) && same < int(n.size) && key[same] == n.label[same] {
		same++
	}
	if same < int(n.size) { // split the label
		rest := *n
		rest.size = uint8(copy(rest.label[:], n.label[same:n.size]))
		w.bytes += treeNodeBytes
		*n = treeNode{edition: w.edition, label: n.label, size: uint8(same)}
		w.link(n, &rest)
	}
	key = key[same:]
	if len(key) == 0 {
		return n, w.entry(n)
	}
	child, e := w.put(n.step(key[0]), key)
	w.link(n, child)
	return n, e
}

// entry returns the entry of a state that the writer owns, which the writer may change.
func (w *writer) entry(n *treeNode) *entry {
	switch {
	case n.entry == nil:
		w.bytes += entryBytes
		n.entry = &entry{edition: w.edition}
	case n.entry.edition != w.edition:
		e := *n.entry
		e.edition = w.edition
		n.entry = &e
	}
	return n.entry
}

// link makes the child the successor of n, which the writer owns, for the first byte of the child's label.
func (w *writer) link(n, child *treeNode) {
	c := child.label[0]
	switch i := slices.Index(n.first[:min(n.fan, narrow)], c); {
	case n.fan == wide:
		n.next[c] = child
	case i >= 0:
		n.next[i] = child
	case n.fan < narrow:
		n.first[n.fan] = c
		n.fan++
		n.next = append(n.next, child)
		w.bytes += 8
	default:
		table := make([]*treeNode, 256)
		for i, c := range n.first {
			table[c] = n.next[i]
		}
		table[c] = child
		n.next, n.fan = table, wide
		w.bytes += 256 * 8
	}
}

// own returns the state itself if this edition made it, else a copy.
func (w *writer) own(n *treeNode) *treeNode {
	if n.edition == w.edition {
		return n
	}
	c := *n
	c.edition = w.edition
	c.next = append(make([]*treeNode, 0, len(n.next)+1), n.next...)
	return &c
}
