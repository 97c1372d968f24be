package signal

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// SeriesID is the hash of a series' sorted labels.
type SeriesID uint64

// EntityID names the thing that is well or ill, as kind and name: "host:web-1", "service:shop/cart". It is also what the
// stream partitions by.
type EntityID string

// Kind returns what stands before the first colon: "host", "service"; "" where there is none.
func (e EntityID) Kind() string {
	kind, _, ok := strings.Cut(string(e), ":")
	if !ok {
		return ""
	}
	return kind
}

// Name returns what stands after the first colon, or all of it where there is none.
func (e EntityID) Name() string {
	if _, name, ok := strings.Cut(string(e), ":"); ok {
		return name
	}
	return string(e)
}

// Label is one name and value. The metric's name is the label "__name__", as in Prometheus.
type Label struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// MetricName is the label that holds a metric's name.
const MetricName = "__name__"

// EntityLabel is the label that names an entity outright ("kind:name"), before any convention is asked.
const EntityLabel = "homeostat_entity"

// Labels are the labels of one series, sorted by name, each name once.
type Labels []Label

// MakeLabels returns the labels of m, sorted. Empty values are left out: in Prometheus they are no label at all.
func MakeLabels(m map[string]string) Labels {
	ls := make(Labels, 0, len(m))
	for n, v := range m {
		if v != "" {
			ls = append(ls, Label{n, v})
		}
	}
	slices.SortFunc(ls, func(a, b Label) int { return strings.Compare(a.Name, b.Name) })
	return ls
}

// Value returns the value of the label called name, or "".
func (ls Labels) Value(name string) string {
	for i := range ls {
		if ls[i].Name == name {
			return ls[i].Value
		}
	}
	return ""
}

// Map returns the labels as a map of their own.
func (ls Labels) Map() map[string]string {
	m := make(map[string]string, len(ls))
	for _, l := range ls {
		m[l.Name] = l.Value
	}
	return m
}

// ID returns the hash of the labels, which must be sorted.
func (ls Labels) ID() SeriesID {
	var buf [512]byte
	b := buf[:0]
	for i := range ls {
		b = append(b, ls[i].Name...)
		b = append(b, 0xff)
		b = append(b, ls[i].Value...)
		b = append(b, 0xff)
	}
	return SeriesID(xxhash.Sum64(b))
}

// String writes the series as PromQL does: name{a="b"}.
func (ls Labels) String() string {
	var b strings.Builder
	b.WriteString(ls.Value(MetricName))
	sep := byte('{')
	for _, l := range ls {
		if l.Name == MetricName {
			continue
		}
		b.WriteByte(sep)
		sep = ','
		b.WriteString(l.Name)
		b.WriteByte('=')
		b.WriteString(strconv.Quote(l.Value))
	}
	if sep == ',' {
		b.WriteByte('}')
	}
	return b.String()
}

// Entity returns whom a series with these labels belongs to. The first of these that is there decides: homeostat_entity;
// host_name or host_id (a host); service_name with service_namespace (a service); instance; job. A series without any is
// the entity "none:".
func (ls Labels) Entity() EntityID {
	var explicit, hostName, hostID, service, namespace, instance, job string
	for i := range ls {
		switch v := ls[i].Value; ls[i].Name {
		case EntityLabel:
			explicit = v
		case "host_name":
			hostName = v
		case "host_id":
			hostID = v
		case "service_name":
			service = v
		case "service_namespace":
			namespace = v
		case "instance":
			instance = v
		case "job":
			job = v
		}
	}
	switch {
	case explicit != "":
		return EntityID(explicit)
	case hostName != "":
		return EntityID("host:" + hostName)
	case hostID != "":
		return EntityID("host:" + hostID)
	case service != "" && namespace != "":
		return EntityID("service:" + namespace + "/" + service)
	case service != "":
		return EntityID("service:" + service)
	case instance != "":
		return EntityID("instance:" + instance)
	case job != "":
		return EntityID("job:" + job)
	}
	return "none:"
}

// Series is one metric with its labels.
type Series struct {
	ID     SeriesID
	Entity EntityID
	Labels Labels
}

// MakeSeries completes labels, which must be sorted, with their id and entity.
func MakeSeries(ls Labels) Series { return Series{ID: ls.ID(), Entity: ls.Entity(), Labels: ls} }

// Samples are the samples of one series, oldest first: what a query of the history answers with, a list of these.
type Samples struct {
	Labels map[string]string // with the metric's name as __name__, where it has one
	Times  []int64           // Unix milliseconds
	Values []float64
}

// ErrSkipSeries is what a function returns that is shown a series before its samples and doesn't want them.
var ErrSkipSeries = errors.New("skip this series")

// Batch is samples in columns: row i is a sample of Dict[Series[i]] at Times[i] of Values[i]. The three columns have one
// length. Histograms are a column of their own, as most batches have none.
type Batch struct {
	ID         string      // made by the stream when the batch is read back ("ba-PARTITION-SEQUENCE"); "" before
	Dict       []Series    // each series of the batch, once
	Series     []int32     // index into Dict
	Times      []int64     // Unix milliseconds, UTC
	Values     []float64   // in the metric's own unit; NaN is a gap, a stale marker keeps its bits
	Histograms []Histogram // native histograms
	Meta       []Meta      // what is known of the metrics; most batches carry none
	Orders     []Order     // what people tell the detectors of the entities in this partition; hardly any batch carries one
	Accesses   []Access    // of one organisation's partition; a batch that has them has no samples
}

// Histogram is one native histogram sample, kept as it was encoded: a prometheus remote-write 1.0 Histogram message. Only
// the sources and the history look inside.
type Histogram struct {
	Series int32 // index into Batch.Dict
	Time   int64 // Unix milliseconds
	Data   []byte
}

// Meta is what the Prometheus metadata API tells of one metric.
type Meta struct {
	Name string // as stored
	Type string // counter, gauge, histogram, gaugehistogram, summary, info, stateset, unknown
	Unit string
	Help string
}

// Len returns the number of samples, histograms among them.
func (b *Batch) Len() int { return len(b.Series) + len(b.Histograms) }

// Add appends a sample of the series with index s in Dict.
func (b *Batch) Add(s int32, timeMs int64, value float64) {
	b.Series = append(b.Series, s)
	b.Times = append(b.Times, timeMs)
	b.Values = append(b.Values, value)
}

// AddSeries appends s to the dictionary and returns its index. The caller sees to it that each series comes once.
func (b *Batch) AddSeries(s Series) int32 {
	b.Dict = append(b.Dict, s)
	return int32(len(b.Dict) - 1)
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	b.ID = ""
	b.Dict, b.Series, b.Times, b.Values = b.Dict[:0], b.Series[:0], b.Times[:0], b.Values[:0]
	b.Histograms, b.Meta, b.Orders = b.Histograms[:0], b.Meta[:0], b.Orders[:0]
	clear(b.Accesses) // their strings may be large
	b.Accesses = b.Accesses[:0]
}
