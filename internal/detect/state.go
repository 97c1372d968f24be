package detect

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"homeostat/internal/signal"
	"homeostat/rcf"
)

// The state of a detector as it stands in a checkpoint.
type (
	forestsState struct {
		Config  string // of the detector that wrote it: another one can't use it
		Now     int64
		Swept   int64
		Watched []watchedState
	}
	watchedState struct {
		Entity  signal.EntityID
		Series  string
		Input   int // of Each: which
		Model   []byte
		Meters  []meterState
		At      int64
		Begun   bool
		Last    int64
		Batch   [2]string
		Open    []byte // the anomaly as JSON
		Until   int64
		Wants   bool // training was under way, and begins anew
		Version string
	}
	meterState struct {
		ID    signal.SeriesID
		Input int
		Part  int
		Prev  float64
		Time  int64
		Seen  bool
		Sums  [2]gathered
	}
)

// fingerprint tells detectors apart whose models mean different things.
func (d *Forests) fingerprint() string {
	return fmt.Sprintf("%s %q %v %v", d.c.Entity, d.c.Series, d.c.Each, d.c.Interval)
}

// Checkpoint writes all that the detector has learnt. See [Detector].
func (d *Forests) Checkpoint(w io.Writer) error {
	s := forestsState{Config: d.fingerprint(), Now: d.now, Swept: d.swept}
	for _, key := range sortedKeys(d.watched) {
		ws, err := d.watched[key].save(d)
		if err != nil {
			return err
		}
		s.Watched = append(s.Watched, ws)
	}
	return gob.NewEncoder(w).Encode(s)
}

// Restore takes on what Checkpoint wrote. See [Detector].
func (d *Forests) Restore(r io.Reader) error {
	var s forestsState
	if err := gob.NewDecoder(r).Decode(&s); err != nil {
		return fmt.Errorf("state of detector %s: %w", d.c.Name, err)
	}
	if s.Config != d.fingerprint() {
		return fmt.Errorf("state of detector %s: it was configured as %s, and is now %s", d.c.Name, s.Config, d.fingerprint())
	}
	d.reset()
	d.now, d.swept = s.Now, s.Swept
	for _, ws := range s.Watched {
		if _, err := d.load(ws); err != nil {
			d.reset()
			return fmt.Errorf("state of detector %s: entity %s: %w", d.c.Name, ws.Entity, err)
		}
	}
	return nil
}

// save returns w as it stands in a checkpoint.
func (w *watched) save(d *Forests) (watchedState, error) {
	s := watchedState{
		Entity: w.entity, Series: w.series, At: w.at, Begun: w.begun, Last: w.last, Batch: w.batch, Until: w.until,
		Wants: w.wait != nil || w.untrained, Version: w.version, Input: d.inputOf(w),
	}
	for _, m := range w.meters {
		s.Meters = append(s.Meters, meterState{m.id, m.input, m.part, m.prev, m.time, m.seen, m.sums})
	}
	var err error
	if w.open != nil {
		if s.Open, err = json.Marshal(w.open); err != nil {
			return s, err
		}
	}
	s.Model, err = w.model.MarshalBinary()
	return s, err
}

// encode returns w as bytes.
func (w *watched) encode(d *Forests) ([]byte, error) {
	s, err := w.save(d)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	err = gob.NewEncoder(&buf).Encode(s)
	return buf.Bytes(), err
}

// decode adds to d what encode returned after the message seq.
func (d *Forests) decode(state []byte, seq uint64) (*watched, error) {
	var s watchedState
	if err := gob.NewDecoder(bytes.NewReader(state)).Decode(&s); err != nil {
		return nil, err
	}
	w, err := d.load(s)
	if err != nil {
		return nil, fmt.Errorf("entity %s: %w", s.Entity, err)
	}
	w.mark = mark{from: seq, saved: seq}
	return w, nil
}

// load adds what save returned to d.
func (d *Forests) load(s watchedState) (*watched, error) {
	ins, key := d.inputs, string(s.Entity)
	if d.c.Each {
		if s.Input < 0 || s.Input >= len(ins) {
			return nil, errors.New("no such input")
		}
		ins = ins[s.Input : s.Input+1]
		key += "\x00" + s.Series
	}
	w, err := d.newWatched(s.Entity, s.Series, ins)
	if err != nil {
		return nil, err
	}
	if err := w.model.UnmarshalBinary(s.Model); err != nil {
		return nil, err
	}
	w.at, w.begun, w.last, w.batch, w.until = s.At, s.Begun, s.Last, s.Batch, s.Until
	w.untrained, w.version = s.Wants, s.Version
	for _, ms := range s.Meters {
		if ms.Input < 0 || ms.Input >= len(ins) || ms.Part < 0 || ms.Part > 1 {
			return nil, errors.New("a series of no input")
		}
		m := &meter{w, ms.ID, ms.Input, ms.Part, ms.Prev, ms.Time, ms.Seen, ms.Sums}
		w.meters = append(w.meters, m)
		bd := d.bound[ms.ID]
		bd.targets = append(bd.targets, m)
		d.bound[ms.ID] = bd
	}
	if len(s.Open) > 0 {
		w.open = new(signal.Anomaly)
		if err := json.Unmarshal(s.Open, w.open); err != nil {
			return nil, err
		}
	}
	d.watched[key] = w
	d.enroll(w)
	return w, nil
}

// modelData is a model as bytes hold it.
type modelData struct {
	Version    int
	State      modelState
	Features   []featureState
	Trails     []trailState
	Sketches   [][]sketchData // of each feature
	Scores     sketchData
	Records    []records // of each feature
	Rhythms    []rhythm
	News       news
	Early      [][]float64
	Base, Unit []float64
	Forests    [][]byte

	Adjustments []Adjustment
}

type sketchData struct {
	Lo, Weight, Total float64
	Bins              []float32
}

const (
	modelVersion  = 5
	beforeRhythms = 4 // of which a model takes all else on
)

func (s *sketch) data() sketchData { return sketchData{s.lo, s.weight, s.total, s.bins} }

func (s *sketch) restore(d sketchData) error {
	if len(d.Bins) != len(s.bins) || !(d.Weight >= 1 && d.Weight < 1e7) || !(math.Abs(d.Lo) <= 1e4) || !(d.Total >= 0) {
		return errors.New("a histogram of another shape")
	}
	s.lo, s.weight, s.total = d.Lo, d.Weight, d.Total
	copy(s.bins, d.Bins)
	return nil
}

// MarshalBinary returns all that the model has learnt: a model of the same configuration that is restored from it goes on to
// give the same verdicts.
func (m *Model) MarshalBinary() ([]byte, error) {
	d := modelData{
		Version: modelVersion, State: m.state, Scores: m.scores.data(), News: m.news, Early: m.early, Base: m.base, Unit: m.unit,
		Adjustments: m.adjustments,
	}
	for i := range m.features {
		d.Features = append(d.Features, m.features[i].state)
		d.Records = append(d.Records, m.features[i].records)
		d.Rhythms = append(d.Rhythms, m.features[i].rhythm)
		d.Trails = append(d.Trails, m.features[i].trail.state)
		var data []sketchData
		for _, s := range m.features[i].sketches() {
			data = append(data, s.data())
		}
		d.Sketches = append(d.Sketches, data)
	}
	for _, f := range m.forests {
		b, err := f.MarshalBinary()
		if err != nil {
			return nil, err
		}
		d.Forests = append(d.Forests, b)
	}
	var buf bytes.Buffer
	err := gob.NewEncoder(&buf).Encode(d)
	return buf.Bytes(), err
}

// UnmarshalBinary restores what MarshalBinary returned into a new model of the same configuration.
func (m *Model) UnmarshalBinary(data []byte) error {
	var d modelData
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&d); err != nil {
		return err
	}
	n := len(m.features)
	if d.Version == beforeRhythms {
		d.Version, d.Rhythms = modelVersion, make([]rhythm, n)
	}
	if d.Version != modelVersion || len(d.Features) != n || len(d.Trails) != n || len(d.Sketches) != n || len(d.Records) != n || len(d.Rhythms) != n || len(d.Forests) != len(m.forests) ||
		len(d.Base) != n || len(d.Unit) != n {
		return errors.New("a model of another kind or version")
	}
	m.state, m.early, m.adjustments = d.State, d.Early, d.Adjustments
	copy(m.base, d.Base)
	copy(m.unit, d.Unit)
	for i := range m.features {
		m.features[i].state, m.features[i].trail.state, m.features[i].records = d.Features[i], d.Trails[i], d.Records[i]
		m.features[i].rhythm = d.Rhythms[i]
		sketches := m.features[i].sketches()
		if bins := d.Features[i].Bins; bins < 0 || bins > seasonBins || d.Features[i].Step < 0 || len(d.Sketches[i]) != len(sketches) {
			return errors.New("a feature of another shape")
		}
		for j, s := range sketches {
			if err := s.restore(d.Sketches[i][j]); err != nil {
				return err
			}
		}
	}
	m.news = d.News
	if err := m.scores.restore(d.Scores); err != nil {
		return err
	}
	for i, b := range d.Forests {
		f := new(rcf.Forest)
		if err := f.UnmarshalBinary(b); err != nil {
			return err
		}
		if f.Dim() != n || f.ShingleSize() != m.forests[i].ShingleSize() {
			return errors.New("a forest of another shape")
		}
		m.forests[i] = f
	}
	return nil
}

// forgetOpen makes the model forget that an anomaly is under way.
func (m *Model) forgetOpen() {
	m.state.Open, m.state.ByNews, m.state.Quiet, m.state.Above = false, false, 0, 0
}
