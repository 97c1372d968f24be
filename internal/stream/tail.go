package stream

import (
	"slices"
	"sync"
)

// The bounds of what the tail keeps.
const (
	tailMessages = 64
	tailBytes    = 16 << 20 // roughly, of labels and histograms
)

// tail keeps the newest messages as they were before they were packed, so that readers that keep up take them from memory:
// without it each reader would have JetStream deliver, and unpack, what this process has packed a moment ago. A message is
// in it from its acknowledgement on, so that nobody reads what a kill could still take back. Who falls behind it reads
// from JetStream until it is near the end again.
//
// Safe for concurrent use; the zero value is made ready by start.
type tail struct {
	mu    sync.Mutex
	first uint64  // sequence of items[0], or of the next message where there is none
	items []*kept // in order, without a gap
	bytes int
	came  chan struct{} // closed when a message comes; nil while nobody waits
}

// kept is one message of the tail. tail.mu guards readers and gone; the gather's batch is not changed while it is in here.
type kept struct {
	*gather
	readers int
	gone    bool // out of the tail: the last reader gives the memory back
}

// start empties the tail. The next message will have the sequence next.
func (t *tail) start(next uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.first = next
}

// add appends the message seq, and returns those whose memory is free now. A sequence that doesn't follow on the one before
// tells of a message that was stored and not acknowledged: then only JetStream has all.
func (t *tail) add(seq uint64, g *gather) (free []*gather) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if seq != t.first+uint64(len(t.items)) {
		for len(t.items) > 0 {
			free = t.drop(free)
		}
		t.first = seq
	}
	t.items = append(t.items, &kept{gather: g})
	t.bytes += g.bytes
	for len(t.items) > tailMessages || t.bytes > tailBytes && len(t.items) > 1 {
		free = t.drop(free)
	}
	if t.came != nil {
		close(t.came)
		t.came = nil
	}
	return free
}

// drop takes the oldest message out, and appends it to free unless somebody reads it. mu is held.
func (t *tail) drop(free []*gather) []*gather {
	k := t.items[0]
	t.items = slices.Delete(t.items, 0, 1)
	t.first++
	t.bytes -= k.bytes
	if k.gone = true; k.readers == 0 {
		free = append(free, k.gather)
	}
	return free
}

// trim takes out all messages up to and with upTo, and returns those whose memory is free now.
func (t *tail) trim(upTo uint64) (free []*gather) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.items) > 0 && t.first <= upTo {
		free = t.drop(free)
	}
	return free
}

// near says that a reader who wants seq next may go over to the tail: it has what follows, and half of it is still to come,
// so that a reader who is just too slow doesn't go back and forth with each message.
func (t *tail) near(seq uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := t.first + uint64(len(t.items))
	return seq <= next && seq >= t.first+uint64(len(t.items)/2)
}

// take returns the message seq, to be given back by release; or, where it has not come yet, a channel that is closed when
// it is worth another look. ok is false when seq has left the tail.
func (t *tail) take(seq uint64) (k *kept, came <-chan struct{}, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch i := seq - t.first; { // of a sequence before the first: beyond all
	case i < uint64(len(t.items)):
		t.items[i].readers++
		return t.items[i], nil, true
	case i > uint64(len(t.items)):
		return nil, nil, false
	}
	if t.came == nil {
		t.came = make(chan struct{})
	}
	return nil, t.came, true
}

// release gives back what take returned. It returns the gather whose memory is free now, or nil.
func (t *tail) release(k *kept) *gather {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k.readers--; k.readers == 0 && k.gone {
		return k.gather
	}
	return nil
}
