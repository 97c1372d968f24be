package source

import (
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
	"unique"

	"github.com/cespare/xxhash/v2"

	"homeostat/internal/signal"
)

// Why a series' samples are set aside. These are the values of the metric's label "reason".
const (
	NoName         = "no_name"         // no metric name
	InvalidLabel   = "invalid_label"   // a label without a name, or not UTF-8
	DuplicateLabel = "duplicate_label" // a label name twice
	TooLong        = "too_long"        // labels beyond MaxLabelBytes
	Collision      = "collision"       // another series has this one's hash
	Future         = "future"          // more than MaxAhead from now
	BadHistogram   = "histogram"       // buckets that contradict themselves
	BadReference   = "reference"       // remote write 2.0: a symbol that isn't there
	Empty          = "empty"           // remote write 2.0: a series without a sample
	Exemplar       = "exemplar"        // exemplars have no place in the loop yet
)

// MaxLabelBytes bounds the labels of one series, names and values together.
const MaxLabelBytes = 32 << 10

// dictionarySize bounds how many series are remembered, twice over.
const dictionarySize = 250_000

// Dictionary remembers the series that have come, so that a series that comes again costs a look-up and no memory. It keeps
// two generations: when the young one is full it becomes the old one, and what nobody asked for since is forgotten. Safe
// for concurrent use; the zero value works.
type Dictionary struct {
	mu         sync.RWMutex
	young, old map[signal.SeriesID]*signal.Series
}

// find returns the series with these labels, whose memory may be reused afterwards. A reason other than "" says why there
// can't be one.
func (d *Dictionary) find(id signal.SeriesID, ls signal.Labels) (s *signal.Series, reason string) {
	d.mu.RLock()
	s, young := d.young[id]
	if !young {
		s = d.old[id]
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
	if len(d.young) >= dictionarySize {
		d.young, d.old = nil, d.young
	}
	if d.young == nil {
		d.young = make(map[signal.SeriesID]*signal.Series)
	}
	d.young[id] = s
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

// Gather puts samples that come with their labels into a batch. For each series call Begin, Label for each label, and End;
// then add samples of the index that End returned to Batch. Not safe for concurrent use; several may share a Dictionary.
type Gather struct {
	Batch signal.Batch

	dict    *Dictionary
	index   map[signal.SeriesID]int32 // of what is in Batch.Dict
	scratch signal.Labels
	hash    []byte
	sorted  bool
}

// NewGather returns an empty one that shares dict.
func NewGather(dict *Dictionary) *Gather {
	return &Gather{dict: dict, index: map[signal.SeriesID]int32{}}
}

// Reset empties it and keeps its memory.
func (g *Gather) Reset() {
	g.Batch.Reset()
	clear(g.index)
	clear(g.scratch[:cap(g.scratch)]) // the strings are of a body that is gone
	g.scratch = g.scratch[:0]
}

// Begin begins a series.
func (g *Gather) Begin() {
	g.scratch, g.sorted = g.scratch[:0], true
}

// Label adds a label. An empty value is no label at all, as Prometheus has it. The strings are not kept.
func (g *Gather) Label(name, value string) {
	if value == "" {
		return
	}
	if n := len(g.scratch); n > 0 && g.scratch[n-1].Name >= name {
		g.sorted = false
	}
	g.scratch = append(g.scratch, signal.Label{Name: name, Value: value})
}

// End returns the index of the series in Batch.Dict. A reason other than "" says why its samples must be set aside.
func (g *Gather) End() (index int32, reason string) {
	if !g.sorted {
		slices.SortFunc(g.scratch, func(a, b signal.Label) int { return strings.Compare(a.Name, b.Name) })
		for i := 1; i < len(g.scratch); i++ {
			if g.scratch[i-1].Name == g.scratch[i].Name {
				return 0, DuplicateLabel
			}
		}
	}
	// As signal.Labels.ID does, without its memory.
	g.hash = g.hash[:0]
	for i := range g.scratch {
		g.hash = append(g.hash, g.scratch[i].Name...)
		g.hash = append(g.hash, 0xff)
		g.hash = append(g.hash, g.scratch[i].Value...)
		g.hash = append(g.hash, 0xff)
	}
	id := signal.SeriesID(xxhash.Sum64(g.hash))
	if i, ok := g.index[id]; ok {
		if !slices.Equal(g.Batch.Dict[i].Labels, g.scratch) {
			return 0, Collision
		}
		return i, ""
	}
	s, reason := g.dict.find(id, g.scratch)
	if reason != "" {
		return 0, reason
	}
	index = g.Batch.AddSeries(*s)
	g.index[id] = index
	return index, ""
}

// Labels writes the labels of the series that was begun, for a message; at most 200 bytes.
func (g *Gather) Labels() string {
	s := strings.ToValidUTF8(g.scratch.String(), "\uFFFD")
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "..."
	}
	return strings.Clone(s)
}
