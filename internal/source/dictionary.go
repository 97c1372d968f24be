package source

import (
	"hash/maphash"
	"slices"
	"sync"
	"unicode/utf8"
	"unique"

	"homeostat/internal/signal"
)

// MaxLabelBytes bounds the labels of one series, names and values together.
const MaxLabelBytes = 32 << 10

// dictionarySize bounds how many series are remembered, twice over.
const dictionarySize = 250_000

// Dictionary remembers the series that have come, so that a series that comes again costs a look-up and no memory. It keeps
// two generations: when the young one is full it becomes the old one, and what nobody asked for since is forgotten. Safe
// for concurrent use; the zero value works.
type Dictionary struct {
	once  sync.Once // makes seeds
	seeds [2]maphash.Seed

	mu         sync.RWMutex
	young, old generation
}

// generation is the series by their id, and by the text that a source wrote their labels as.
type generation struct {
	byID   map[signal.SeriesID]*signal.Series
	byText map[textHash]*signal.Series
}

// textHash is 128 bits of two seeds that no sender knows: texts are taken to be equal when these are.
type textHash [2]uint64

func (d *Dictionary) hash(text []byte) textHash {
	d.once.Do(func() { d.seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()} })
	return textHash{maphash.Bytes(d.seeds[0], text), maphash.Bytes(d.seeds[1], text)}
}

// know keeps s as young. mu is held.
func (d *Dictionary) know(s *signal.Series) {
	if len(d.young.byID) >= dictionarySize || len(d.young.byText) >= dictionarySize {
		d.young, d.old = generation{}, d.young
	}
	if d.young.byID == nil {
		d.young = generation{map[signal.SeriesID]*signal.Series{}, map[textHash]*signal.Series{}}
	}
	d.young.byID[s.ID] = s
}

// again returns the series that learn was told of, or nil.
func (d *Dictionary) again(h textHash) *signal.Series {
	d.mu.RLock()
	s := d.young.byText[h]
	old := d.old.byText[h]
	d.mu.RUnlock()
	if s == nil && old != nil {
		s = old
		d.learn(h, s)
	}
	return s
}

// learn remembers that a text stands for s.
func (d *Dictionary) learn(h textHash, s *signal.Series) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.know(s)
	d.young.byText[h] = s
}

// find returns the series with these labels, whose memory may be reused afterwards. A reason other than "" says why there
// can't be one.
func (d *Dictionary) find(id signal.SeriesID, ls signal.Labels) (s *signal.Series, reason string) {
	d.mu.RLock()
	s, young := d.young.byID[id]
	if !young {
		s = d.old.byID[id]
	}
	d.mu.RUnlock()
	if s != nil && !slices.Equal(s.Labels, ls) {
		return nil, Collision
	}
	if young {
		return s, ""
	}
	if s == nil {
		if reason := check(ls); reason != "" {
			return nil, reason
		}
		own := make(signal.Labels, len(ls))
		for i, l := range ls {
			own[i] = signal.Label{Name: unique.Make(l.Name).Value(), Value: unique.Make(l.Value).Value()}
		}
		s = &signal.Series{ID: id, Entity: signal.EntityID(unique.Make(string(own.Entity())).Value()), Labels: own}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.know(s)
	return s, ""
}

// check says what is wrong with sorted labels, or "".
func check(ls signal.Labels) string {
	bytes, named := 0, false
	for _, l := range ls {
		if l.Name == "" || !utf8.ValidString(l.Name) || !utf8.ValidString(l.Value) {
			return InvalidLabel
		}
		named = named || l.Name == signal.MetricName
		bytes += len(l.Name) + len(l.Value)
	}
	switch {
	case !named:
		return NoName
	case bytes > MaxLabelBytes:
		return TooLong
	}
	return ""
}
