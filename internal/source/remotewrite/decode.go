package remotewrite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"unsafe"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/prompb"
	"google.golang.org/protobuf/encoding/protowire"

	"homeostat/internal/signal"
	"homeostat/internal/source"
)

// decoder turns one request into a batch. What it returns refers to the request's bytes until reset.
type decoder struct {
	g         *source.Gather
	known     *source.MetaCache
	latest    int64 // Unix milliseconds; what is later is set aside
	aside     []aside
	exemplars int
	symbols   []string
	refs      []uint32
}

// aside counts what was set aside for one reason, with the first series that it happened to.
type aside struct {
	reason          string
	samples, series int // series counts those without any sample
	example         string
}

func (d *decoder) reset() {
	d.g.Reset()
	clear(d.symbols)
	d.aside, d.symbols, d.refs, d.exemplars = d.aside[:0], d.symbols[:0], d.refs[:0], 0
}

// setAside notes samples that can't be used, or a series without any.
func (d *decoder) setAside(reason string, samples int) {
	series := 0
	if samples == 0 {
		series = 1
	}
	for i := range d.aside {
		if d.aside[i].reason == reason {
			d.aside[i].samples += samples
			d.aside[i].series += series
			return
		}
	}
	d.aside = append(d.aside, aside{reason, samples, series, d.g.Labels()})
}

// complaint tells the sender what was set aside, one clause a reason.
func (d *decoder) complaint() error {
	var parts []string
	for _, a := range d.aside {
		parts = append(parts, fmt.Sprintf("%d samples for %s (first: %s)", a.samples, a.reason, a.example))
	}
	return errors.New("set aside: " + strings.Join(parts, "; "))
}

// text is a string over the request's own bytes, without a copy. Nobody keeps it: Gather interns what is new.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// errWire is a mistake in the encoding itself.
func errWire(n int) error { return protowire.ParseError(n) }

// next takes one field off b: its number and, of a length-delimited one, its bytes; others are skipped or read by the caller
// from rest. hot
func next(b []byte) (num protowire.Number, typ protowire.Type, value, rest []byte, err error) {
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 {
		return 0, 0, nil, nil, errWire(n)
	}
	b = b[n:]
	if typ == protowire.BytesType {
		v, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return 0, 0, nil, nil, errWire(n)
		}
		return num, typ, v, b[n:], nil
	}
	n = protowire.ConsumeFieldValue(num, typ, b)
	if n < 0 {
		return 0, 0, nil, nil, errWire(n)
	}
	return num, typ, b[:n], b[n:], nil
}

// v1 reads a prometheus.WriteRequest.
func (d *decoder) v1(b []byte) error {
	for len(b) > 0 {
		num, typ, value, rest, err := next(b)
		if err != nil {
			return err
		}
		b = rest
		if typ != protowire.BytesType {
			continue
		}
		switch num {
		case 1:
			err = d.series1(value)
		case 3:
			err = d.meta1(value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// series1 reads a prometheus.TimeSeries. Senders write the labels first and the same each time, and that text tells the series;
// in any other order labels are read one by one.
func (d *decoder) series1(b []byte) error {
	text := labels1(b)
	samples, more := 0, false
	for rest := b[len(text):]; len(rest) > 0; {
		num, typ, _, r, err := next(rest)
		if err != nil {
			return err
		}
		rest = r
		if typ != protowire.BytesType {
			continue
		}
		switch num {
		case 1:
			more = true
		case 2, 4:
			samples++
		case 3:
			d.exemplars++
		}
	}
	index, known := int32(0), false
	if !more && samples > 0 {
		index, known = d.g.Again(text)
	}
	if !known {
		if err := d.labels(b); err != nil || samples == 0 {
			return err
		}
		var reason string
		if index, reason = d.g.End(); reason != "" {
			d.setAside(reason, samples)
			return nil
		}
		if !more {
			d.g.Learn(text, index)
		}
	}
	b = b[len(text):]
	for len(b) > 0 {
		num, typ, value, rest, err := next(b)
		if err != nil {
			return err
		}
		b = rest
		if typ != protowire.BytesType {
			continue
		}
		switch num {
		case 2:
			err = d.sample(index, value)
		case 4:
			var h prompb.Histogram
			if err = h.Unmarshal(value); err == nil {
				d.histogram(index, h, value)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// labels1 returns what a prometheus.TimeSeries begins with: the fields that are labels, as far as they are well formed.
func labels1(b []byte) []byte {
	const label = 1<<3 | byte(protowire.BytesType) // the field's tag
	at := 0
	for at < len(b) && b[at] == label {
		size, n := protowire.ConsumeVarint(b[at+1:])
		if n < 0 || size > uint64(len(b)-at-1-n) {
			break
		}
		at += 1 + n + int(size)
	}
	return b[:at]
}

// labels begins a series with the labels of a prometheus.TimeSeries.
func (d *decoder) labels(b []byte) error {
	d.g.Begin()
	for len(b) > 0 {
		num, typ, value, rest, err := next(b)
		if err != nil {
			return err
		}
		b = rest
		if num != 1 || typ != protowire.BytesType {
			continue
		}
		name, content, err := label1(value)
		if err != nil {
			return err
		}
		d.g.Label(name, content)
	}
	return nil
}

// label1 reads a prometheus.Label.
func label1(b []byte) (name, value string, err error) {
	for len(b) > 0 {
		num, typ, v, rest, err := next(b)
		if err != nil {
			return "", "", err
		}
		b = rest
		if typ != protowire.BytesType {
			continue
		}
		switch num {
		case 1:
			name = text(v)
		case 2:
			value = text(v)
		}
	}
	return name, value, nil
}

// sample reads a Sample, which both versions write alike: value 1, timestamp 2. A field left out is zero.
func (d *decoder) sample(index int32, b []byte) error {
	var value float64
	var at int64
	// As every sender writes it: both fields, in order.
	if len(b) > 10 && b[0] == 1<<3|byte(protowire.Fixed64Type) && b[9] == 2<<3|byte(protowire.VarintType) {
		if v, n := protowire.ConsumeVarint(b[10:]); n == len(b)-10 {
			value, at, b = math.Float64frombits(binary.LittleEndian.Uint64(b[1:])), int64(v), nil
		}
	}
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errWire(n)
		}
		b = b[n:]
		switch {
		case num == 1 && typ == protowire.Fixed64Type:
			var bits uint64
			bits, n = protowire.ConsumeFixed64(b)
			value = math.Float64frombits(bits) // a stale marker is a NaN by its bits
		case num == 2 && typ == protowire.VarintType:
			var v uint64
			v, n = protowire.ConsumeVarint(b)
			at = int64(v)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return errWire(n)
		}
		b = b[n:]
	}
	if at > d.latest {
		d.setAside(source.Future, 1)
		return nil
	}
	d.g.Batch.Add(index, at, value)
	return nil
}

// meta1 reads a prometheus.MetricMetadata.
func (d *decoder) meta1(b []byte) error {
	var m prompb.MetricMetadata
	if err := m.Unmarshal(b); err != nil {
		return err
	}
	if t := int(m.Type); t >= 0 && t < len(metricTypes) && m.MetricFamilyName != "" {
		d.meta(signal.Meta{Name: m.MetricFamilyName, Type: metricTypes[t], Unit: m.Unit, Help: m.Help})
	}
	return nil
}

// meta adds what is known of a metric, where it is news.
func (d *decoder) meta(m signal.Meta) {
	if d.known.News(m) {
		m.Name, m.Unit, m.Help = strings.Clone(m.Name), strings.Clone(m.Unit), strings.Clone(m.Help)
		d.g.Batch.Meta = append(d.g.Batch.Meta, m)
	}
}

// histogram adds a native histogram if it makes sense. data is its encoding as it came; it is made anew where nil, or where
// the resolution had to be reduced to what the history can keep.
func (d *decoder) histogram(index int32, h prompb.Histogram, data []byte) {
	if h.Timestamp > d.latest {
		d.setAside(source.Future, 1)
		return
	}
	fresh, err := checkHistogram(&h)
	if err != nil {
		d.setAside(source.BadHistogram, 1)
		return
	}
	if fresh || data == nil {
		if data, err = h.Marshal(); err != nil {
			d.setAside(source.BadHistogram, 1)
			return
		}
	}
	d.g.Batch.Histograms = append(d.g.Batch.Histograms, signal.Histogram{Series: index, Time: h.Timestamp, Data: data})
}

// checkHistogram validates h, and reduces its resolution where it is beyond what Prometheus keeps; fresh says that it did.
func checkHistogram(h *prompb.Histogram) (fresh bool, err error) {
	fine := histogram.IsExponentialSchemaReserved(h.Schema) && h.Schema > histogram.ExponentialSchemaMax
	if h.IsFloatHistogram() {
		fh := h.ToFloatHistogram()
		if fine {
			if err := fh.ReduceResolution(histogram.ExponentialSchemaMax); err != nil {
				return false, err
			}
			*h = prompb.FromFloatHistogram(h.Timestamp, fh)
		}
		return fine, fh.Validate()
	}
	ih := h.ToIntHistogram()
	if fine {
		if err := ih.ReduceResolution(histogram.ExponentialSchemaMax); err != nil {
			return false, err
		}
		*h = prompb.FromIntHistogram(h.Timestamp, ih)
	}
	return fine, ih.Validate()
}
