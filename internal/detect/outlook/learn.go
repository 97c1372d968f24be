package outlook

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"maps"
	"time"

	"homeostat/deepar"
)

// Lessons are what a day's models learn from, by feature.
type Lessons struct {
	series map[string][]deepar.Series
	until  int64 // in minutes
}

// leastLesson is how many minutes of a kind a model wants to learn from.
const leastLesson = 1000

// Lessons returns a copy of what is known when it is time to learn from it: first as soon as there is enough, then once a day. How
// full a disk is isn't learned: it follows a slope of its own, and no other's habits.
func (d *Detector) Lessons() (Lessons, bool) {
	if d.asked != 0 && d.now-d.asked < 1440 || d.asked == 0 && d.now%10 != 0 {
		return Lessons{}, false
	}
	l := Lessons{series: map[string][]deepar.Series{}, until: d.now}
	for i, f := range d.c.Features {
		if f == Disk {
			continue
		}
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

// Empty says that nothing was learned.
func (m *Models) Empty() bool { return len(m.models) == 0 }

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
	d.asked = max(d.asked, m.until)
}

// modelsFile is Models as a file has them.
type modelsFile struct {
	Until  int64
	Models map[string][]byte
}

// MarshalBinary returns the models' file.
func (m Models) MarshalBinary() ([]byte, error) {
	f := modelsFile{m.until, map[string][]byte{}}
	for name, model := range m.models {
		b, err := model.MarshalBinary()
		if err != nil {
			return nil, err
		}
		f.Models[name] = b
	}
	var buf bytes.Buffer
	err := gob.NewEncoder(&buf).Encode(f)
	return buf.Bytes(), err
}

// UnmarshalBinary reads a file; each model in it has a checksum of its own.
func (m *Models) UnmarshalBinary(b []byte) error {
	var f modelsFile
	if err := gob.NewDecoder(bytes.NewReader(b)).Decode(&f); err != nil {
		return err
	}
	next := Models{models: map[string]*deepar.Model{}, until: f.Until}
	for name, b := range f.Models {
		model := new(deepar.Model)
		if err := model.UnmarshalBinary(b); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		next.models[name] = model
	}
	*m = next
	return nil
}
