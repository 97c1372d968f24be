package outlook

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"homeostat/deepar"
	"homeostat/internal/signal"
)

// Lessons are what a day's models learn from, by feature.
type Lessons struct {
	series map[string][]deepar.Series
	until  int64 // in minutes
}

// leastLesson is how many minutes of a kind a model wants to learn from.
const leastLesson = 1000

// Lessons returns a copy of what is known when it is time to learn from it: first as soon as there is enough, then once a day.
func (d *Detector) Lessons() (Lessons, bool) {
	if d.asked != 0 && d.now-d.asked < 1440 || d.asked == 0 && d.now%10 != 0 {
		return Lessons{}, false
	}
	l := Lessons{series: map[string][]deepar.Series{}, until: d.now}
	for i, f := range d.c.Features {
		n := 0
		var all []deepar.Series
		for _, key := range d.keys() {
			tr := d.watched[key].tracks[i]
			if seen := tr.observed(); seen > 3*horizon {
				n += seen
				y := make([]float64, len(tr.Values))
				for j, v := range tr.Values {
					y[j] = float64(v)
				}
				all = append(all, deepar.Series{ItemID: key, Start: time.UnixMilli((tr.End - int64(len(y))) * minute).UTC(), Target: y})
			}
		}
		if n >= leastLesson {
			l.series[f] = all
		}
	}
	if len(l.series) == 0 {
		return l, false
	}
	d.asked = d.now
	return l, true
}

// Models are a day's, by feature.
type Models struct {
	models map[string]*deepar.Model
	until  int64
}

// Learn trains a model for each kind of series, on one core and within share budget of it.
func Learn(ctx context.Context, l Lessons, budget float64) (Models, error) {
	return learn(ctx, l, budget, 150)
}

func learn(ctx context.Context, l Lessons, budget float64, epochs int) (Models, error) {
	out := Models{models: map[string]*deepar.Model{}, until: l.until}
	var errs []error
	for f, series := range l.series {
		began := time.Now()
		m, err := deepar.Train(ctx, series, deepar.Config{
			Freq: deepar.Freq{N: 1, Unit: "min"}, PredictionLength: horizon, ContextLength: horizon + horizon/2, Epochs: epochs, BatchesPerEpoch: 10,
			MiniBatchSize: 32, LearningRate: 4e-3, Workers: 1,
		}, func(deepar.Progress) {
			rest := time.Duration(float64(time.Since(began)) * (1/budget - 1))
			select {
			case <-ctx.Done():
			case <-time.After(rest):
			}
			began = time.Now()
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f, err))
			continue
		}
		out.models[f] = m
	}
	return out, errors.Join(errs...)
}

// Adopt puts the models in the place of those of the day before.
func (d *Detector) Adopt(m Models) {
	maps.Copy(d.models, m.models)
	d.until = m.until
}

// state is a detector as a checkpoint holds it.
type state struct {
	Config   string
	Now      int64
	Until    int64
	Asked    int64
	Models   map[string][]byte
	Watched  []endpointState
	Counters []counterState
}

type endpointState struct {
	Entity                    signal.EntityID
	Name                      string
	Open                      int64
	Begun, Counted            bool
	Batch                     string
	Seconds, Requests, Errors float64
	Used, UsedN               float64
	Tracks                    []*track
}

type counterState struct {
	ID          signal.SeriesID
	Role        role
	Endpoint    string
	Entity      signal.EntityID
	Failed      bool
	Factor      float64
	Prev, PrevN float64
	At          int64
	Seen        bool
}

func (d *Detector) fingerprint() string { return fmt.Sprintf("%s %q", d.c.Entity, d.c.Features) }

// Checkpoint writes all that the detector knows.
func (d *Detector) Checkpoint(w io.Writer) error {
	s := state{Config: d.fingerprint(), Now: d.now, Until: d.until, Asked: d.asked, Models: map[string][]byte{}}
	for f, m := range d.models {
		b, err := m.MarshalBinary()
		if err != nil {
			return err
		}
		s.Models[f] = b
	}
	for _, key := range d.keys() {
		e := d.watched[key]
		s.Watched = append(s.Watched, endpointState{e.entity, e.name, e.open, e.begun, e.counted, e.batch, e.seconds, e.requests, e.errors, e.used, e.usedN, e.tracks})
	}
	for id, c := range d.bound {
		if c != nil {
			s.Counters = append(s.Counters, counterState{id, c.role, c.endpoint, c.e.entity, c.failed, c.factor, c.prev, c.prevN, c.at, c.seen})
		}
	}
	return gob.NewEncoder(w).Encode(s)
}

// Restore takes on what Checkpoint wrote. An error leaves the detector as new.
func (d *Detector) Restore(r io.Reader) error {
	var s state
	if err := gob.NewDecoder(r).Decode(&s); err != nil {
		return err
	}
	if s.Config != d.fingerprint() {
		return fmt.Errorf("it was configured as %s, and is now %s", s.Config, d.fingerprint())
	}
	next := New(d.c)
	next.now, next.until, next.asked = s.Now, s.Until, s.Asked
	for f, b := range s.Models {
		m := new(deepar.Model)
		if err := m.UnmarshalBinary(b); err != nil {
			return err
		}
		next.models[f] = m
	}
	for _, es := range s.Watched {
		if len(es.Tracks) != len(d.c.Features) {
			return errors.New("an endpoint with other features")
		}
		e := next.watch(es.Entity, es.Name)
		if e == nil {
			return fmt.Errorf("more than %d endpoints", mostWatch)
		}
		e.open, e.begun, e.counted, e.batch, e.seconds, e.requests, e.errors = es.Open, es.Begun, es.Counted, es.Batch, es.Seconds, es.Requests, es.Errors
		e.used, e.usedN, e.tracks = es.Used, es.UsedN, es.Tracks
		for _, tr := range e.tracks {
			if tr == nil || tr.Fan != nil && (len(tr.Fan) != len(levels) || len(tr.Fan[0]) != horizon) {
				return errors.New("a forecast of another shape")
			}
		}
	}
	for _, cs := range s.Counters {
		e := next.watch(cs.Entity, cs.Endpoint)
		next.bound[cs.ID] = &counter{binding: binding{cs.Role, cs.Endpoint, cs.Failed, cs.Factor}, e: e, prev: cs.Prev, prevN: cs.PrevN, at: cs.At, seen: cs.Seen}
	}
	*d = *next
	return nil
}
