package outlook

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/prompb"

	"homeostat/internal/signal"
)

// endpointState is an endpoint as a checkpoint holds it.
type endpointState struct {
	Entity                 signal.EntityID
	Name                   string
	Open                   int64
	Begun, Counted, Native bool
	Batch                  string
	Seconds, Timed         float64
	Requests, Errors       float64
	P95, Used, UsedN       float64
	Buckets                map[float64]float64
	Hist                   []byte
	HistFactor             float64
	Tracks                 []*track
	Counters               []counterState
}

type counterState struct {
	ID       signal.SeriesID
	Role     role
	Base     string
	Endpoint string
	Label    string
	Failed   bool
	Factor   float64
	Amount   bool
	LE       float64
	Prev     float64
	Last     []byte
	At       int64
	Seen     bool
}

// Fingerprint says as what the detector is configured: the state of another can't be used.
func (d *Detector) Fingerprint() string { return fmt.Sprintf("%q %q", d.c.Entity, d.c.Features) }

// Now is the latest minute that the data has told of.
func (d *Detector) Now() int64 { return d.now }

// Resume sets what Now returns, before anything is processed.
func (d *Detector) Resume(now int64) { d.now, d.swept = now, now }

// Encode writes what is known of one endpoint.
func (d *Detector) Encode(key string) ([]byte, error) {
	e, ok := d.watched[key]
	if !ok {
		return nil, fmt.Errorf("endpoint %q isn't watched", key)
	}
	s := endpointState{
		Entity: e.entity, Name: e.name, Open: e.open, Begun: e.begun, Counted: e.counted, Native: e.native, Batch: e.batch,
		Seconds: e.seconds, Timed: e.timed, Requests: e.requests, Errors: e.errors, P95: e.p95, Used: e.used, UsedN: e.usedN,
		Buckets: e.buckets, HistFactor: e.histFactor, Tracks: e.tracks,
	}
	if e.hist != nil {
		p := prompb.FromFloatHistogram(0, e.hist)
		s.Hist, _ = p.Marshal() // it can't fail
	}
	for _, c := range e.counters {
		cs := counterState{c.id, c.role, c.base, c.endpoint, c.label, c.failed, c.factor, c.amount, c.le, c.prev, nil, c.at, c.seen}
		if c.last != nil {
			p := prompb.FromFloatHistogram(0, c.last)
			cs.Last, _ = p.Marshal()
		}
		s.Counters = append(s.Counters, cs)
	}
	var buf bytes.Buffer
	err := gob.NewEncoder(&buf).Encode(s)
	return buf.Bytes(), err
}

// Decode takes on what Encode wrote, as it was after message seq of the stream, and returns the endpoint's key. An error leaves the
// detector as it was.
func (d *Detector) Decode(state []byte, seq uint64) (key string, err error) {
	var s endpointState
	if err := gob.NewDecoder(bytes.NewReader(state)).Decode(&s); err != nil {
		return "", err
	}
	if len(s.Tracks) != len(d.c.Features) {
		return "", errors.New("an endpoint with other features")
	}
	for _, tr := range s.Tracks {
		if tr == nil || tr.Fan != nil && len(tr.Fan) != len(levels) || len(tr.Aim.Lower) != len(tr.Aim.Upper) {
			return "", errors.New("a forecast of another shape")
		}
		for _, row := range tr.Fan {
			if len(row) != horizon {
				return "", errors.New("a forecast of another shape")
			}
		}
	}
	hist, err := histogramOf(s.Hist)
	if err != nil {
		return "", err
	}
	var counters []*counter
	for _, cs := range s.Counters {
		c := &counter{
			id: cs.ID, binding: binding{cs.Role, cs.Base, cs.Endpoint, cs.Label, cs.Failed, cs.Factor, cs.Amount, cs.LE},
			prev: cs.Prev, at: cs.At, seen: cs.Seen,
		}
		if c.last, err = histogramOf(cs.Last); err != nil {
			return "", err
		}
		counters = append(counters, c)
	}
	e := d.watch(s.Entity, s.Name)
	if e == nil {
		return "", fmt.Errorf("more than %d endpoints", MostEndpoints)
	}
	e.from, e.tracks, e.counters = seq, s.Tracks, counters
	e.gathered = gathered{
		open: s.Open, begun: s.Begun, counted: s.Counted, native: s.Native, batch: s.Batch, seconds: s.Seconds, timed: s.Timed,
		requests: s.Requests, errors: s.Errors, p95: s.P95, used: s.Used, usedN: s.UsedN, buckets: s.Buckets, hist: hist, histFactor: s.HistFactor,
	}
	for _, c := range counters {
		c.e = e
		d.bound[c.id] = c
	}
	return e.key, nil
}

// histogramOf reads a native histogram; nil of nothing.
func histogramOf(b []byte) (*histogram.FloatHistogram, error) {
	if b == nil {
		return nil, nil
	}
	var p prompb.Histogram
	if err := p.Unmarshal(b); err != nil {
		return nil, err
	}
	return p.ToFloatHistogram(), nil
}

// EndpointBytes is about what an endpoint of so many features comes to hold in memory: two days of values and a quarter more, its forecast
// and the band that is waited for, its series.
func EndpointBytes(features int) int {
	return features*(4*(keep+keep/4)+8*horizon*(len(levels)+2)+1024) + 8<<10
}

// Bytes is about what all endpoints come to hold.
func (d *Detector) Bytes() int64 {
	return int64(len(d.watched)) * int64(EndpointBytes(len(d.c.Features)))
}
