package source

import (
	"slices"
	"strings"

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

// Gather puts samples that come with their labels into a batch. For each series call Begin, Label for each label, and End;
// then add samples of the index that End returned to Batch. Where a source writes the labels of a series the same each time,
// Again spares it the reading of them. Not safe for concurrent use; several may share a Dictionary.
type Gather struct {
	Batch signal.Batch

	dict    *Dictionary
	index   map[signal.SeriesID]int32 // of what is in Batch.Dict
	series  []*signal.Series          // what is in Batch.Dict, as the dictionary has it
	again   *signal.Series            // that Again found last, nil since Begin
	scratch signal.Labels
	hash    []byte
	sorted  bool
}

// NewGather returns an empty one that shares dict.
func NewGather(dict *Dictionary) *Gather {
	return &Gather{dict: dict, index: map[signal.SeriesID]int32{}}
}

// Again returns the index of the series whose labels have come as text before, as Learn was told. Where ok is false it has to
// be begun.
func (g *Gather) Again(text []byte) (index int32, ok bool) {
	s := g.dict.again(g.dict.hash(text))
	if s == nil {
		return 0, false
	}
	g.again = s
	if i, ok := g.index[s.ID]; ok {
		return i, slices.Equal(g.Batch.Dict[i].Labels, s.Labels)
	}
	return g.add(s), true
}

// Learn remembers that text is how the labels of the series with this index come.
func (g *Gather) Learn(text []byte, index int32) {
	g.dict.learn(g.dict.hash(text), g.series[index])
}

func (g *Gather) add(s *signal.Series) int32 {
	index := g.Batch.AddSeries(*s)
	g.series = append(g.series, s)
	g.index[s.ID] = index
	return index
}

// Reset empties it and keeps its memory.
func (g *Gather) Reset() {
	g.Batch.Reset()
	clear(g.index)
	clear(g.series)
	g.series, g.again = g.series[:0], nil
	clear(g.scratch[:cap(g.scratch)]) // the strings are of a body that is gone
	g.scratch = g.scratch[:0]
}

// Begin begins a series.
func (g *Gather) Begin() {
	g.again, g.scratch, g.sorted = nil, g.scratch[:0], true
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
	return g.add(s), ""
}

// Labels writes the labels of the series that was begun, or met again, for a message; at most 200 bytes.
func (g *Gather) Labels() string {
	ls := g.scratch
	if g.again != nil {
		ls = g.again.Labels
	}
	s := strings.ToValidUTF8(ls.String(), "\uFFFD")
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "..."
	}
	return strings.Clone(s)
}
