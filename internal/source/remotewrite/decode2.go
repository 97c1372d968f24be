package remotewrite

import (
	"math"

	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"google.golang.org/protobuf/encoding/protowire"

	"homeostat/internal/signal"
	"homeostat/internal/source"
)

// v2 reads an io.prometheus.write.v2.Request: the symbols first, since series refer to them.
func (d *decoder) v2(b []byte) error {
	for rest := b; len(rest) > 0; {
		num, typ, value, r, err := next(rest)
		if err != nil {
			return err
		}
		rest = r
		if num == 4 && typ == protowire.BytesType {
			d.symbols = append(d.symbols, text(value))
		}
	}
	for len(b) > 0 {
		num, typ, value, rest, err := next(b)
		if err != nil {
			return err
		}
		b = rest
		if num == 5 && typ == protowire.BytesType {
			if err := d.series2(value); err != nil {
				return err
			}
		}
	}
	return nil
}

// series2 reads an io.prometheus.write.v2.TimeSeries.
func (d *decoder) series2(b []byte) error {
	d.g.Begin()
	d.refs = d.refs[:0]
	samples := 0
	var metadata []byte
	for rest := b; len(rest) > 0; {
		num, typ, value, r, err := next(rest)
		if err != nil {
			return err
		}
		rest = r
		switch {
		case num == 1 && typ == protowire.VarintType: // not packed, which a decoder must take as well
			v, _ := protowire.ConsumeVarint(value)
			d.refs = append(d.refs, uint32(v))
		case typ != protowire.BytesType:
		case num == 1:
			for len(value) > 0 {
				v, n := protowire.ConsumeVarint(value)
				if n < 0 {
					return errWire(n)
				}
				d.refs = append(d.refs, uint32(min(v, math.MaxUint32)))
				value = value[n:]
			}
		case num == 2 || num == 3:
			samples++
		case num == 4:
			d.exemplars++
		case num == 5:
			metadata = value
		}
	}
	ok := len(d.refs)%2 == 0
	for i := 0; ok && i < len(d.refs); i += 2 {
		if ok = int64(d.refs[i]) < int64(len(d.symbols)) && int64(d.refs[i+1]) < int64(len(d.symbols)); ok {
			d.g.Label(d.symbols[d.refs[i]], d.symbols[d.refs[i+1]])
		}
	}
	if !ok {
		d.setAside(source.BadReference, samples)
		return nil
	}
	if samples == 0 {
		d.setAside(source.Empty, 0)
		return nil
	}
	index, reason := d.g.End()
	if reason != "" {
		d.setAside(reason, samples)
		return nil
	}
	if metadata != nil {
		if err := d.meta2(index, metadata); err != nil {
			return err
		}
	}
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
		case 3:
			err = d.histogram2(index, value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// histogram2 turns a histogram of 2.0 into one of 1.0.
func (d *decoder) histogram2(index int32, b []byte) error {
	var h writev2.Histogram
	if err := h.Unmarshal(b); err != nil {
		return err
	}
	if h.IsFloatHistogram() {
		d.histogram(index, prompb.FromFloatHistogram(h.Timestamp, h.ToFloatHistogram()), nil)
	} else {
		d.histogram(index, prompb.FromIntHistogram(h.Timestamp, h.ToIntHistogram()), nil)
	}
	return nil
}

// meta2 reads an io.prometheus.write.v2.Metadata of the series at index.
func (d *decoder) meta2(index int32, b []byte) error {
	var kind, help, unit uint64
	for len(b) > 0 {
		num, typ, value, rest, err := next(b)
		if err != nil {
			return err
		}
		b = rest
		if typ != protowire.VarintType {
			continue
		}
		v, _ := protowire.ConsumeVarint(value)
		switch num {
		case 1:
			kind = v
		case 3:
			help = v
		case 4:
			unit = v
		}
	}
	if kind >= uint64(len(metricTypes)) || help >= uint64(len(d.symbols)) || unit >= uint64(len(d.symbols)) {
		return nil // what is told wrongly of a metric doesn't make its samples wrong
	}
	if kind == 0 && help == 0 && unit == 0 {
		return nil
	}
	m := signal.Meta{Type: metricTypes[kind], Help: d.symbols[help], Unit: d.symbols[unit]}
	m.Name = family(d.g.Batch.Dict[index].Labels.Value(signal.MetricName), m.Type)
	d.meta(m)
	return nil
}
