package detect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"homeostat/internal/signal"
)

// The states of a version.
const (
	modelTraining = "training"
	modelReady    = "ready"
	modelInUse    = "in use"
	modelFailed   = "failed"
)

// roll lists the models that a detector has, for those who ask while its goroutine goes on. Safe for concurrent use.
type roll struct {
	mu   sync.Mutex
	each map[string]onRoll // by entity, or entity and series
}

type onRoll struct {
	entity  signal.EntityID
	series  string
	input   int    // of Each: which
	version string // the model in use; "" for one that has learnt by itself here
}

func (r *roll) set(key string, o onRoll) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.each == nil {
		r.each = map[string]onRoll{}
	}
	r.each[key] = o
}

func (r *roll) get(key string) (onRoll, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o, ok := r.each[key]
	return o, ok
}

func (r *roll) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.each)
}

func (r *roll) all() []onRoll {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]onRoll, 0, len(r.each))
	for _, key := range sortedKeys(r.each) {
		out = append(out, r.each[key])
	}
	return out
}

// key names a model among those of its detector.
func key(entity signal.EntityID, series string) string {
	if series == "all" {
		return string(entity)
	}
	return string(entity) + "\x00" + series
}

func (r *Runner) detector(name string) (*Forests, error) {
	for _, d := range r.detectors {
		if d.c.Name == name {
			return d, nil
		}
	}
	return nil, fmt.Errorf("detector %s: %w", name, signal.ErrNotFound)
}

// Judge makes the order that tells what a person says of an anomaly. It takes effect when the runner meets it in the stream,
// where the caller puts it. Safe for concurrent use.
func (r *Runner) Judge(a signal.Anomaly, do signal.OrderKind, by, note string) (signal.Order, error) {
	if slices.ContainsFunc(r.outlooks, func(o *outlooks) bool { return o.name == a.Detector }) {
		return signal.Order{}, fmt.Errorf("detector %s judges by a forecast, which has no threshold that a person could move: %w", a.Detector, signal.ErrConflict)
	}
	d, err := r.detector(a.Detector)
	if err != nil {
		return signal.Order{}, err
	}
	series := "all"
	if d.c.Each && len(a.Series) == 1 {
		series = a.Series[0]
	}
	if _, ok := d.roll.get(key(a.Entity, series)); !ok {
		return signal.Order{}, fmt.Errorf("detector %s has no model of %s any more: %w", a.Detector, a.Entity, signal.ErrConflict)
	}
	return signal.MakeOrder(signal.Order{
		Do: do, Detector: a.Detector, Entity: a.Entity, Series: series, Anomaly: a.ID, Score: a.Score, By: by, Note: note, At: time.Now(),
	}), nil
}

// JudgeAccess makes the order that tells what a person says of a finding of unusual access. See [Runner.Judge].
func (r *Runner) JudgeAccess(f signal.Finding, do signal.OrderKind, by, note string) (signal.Order, error) {
	if r.access(f.Detector) == nil {
		return signal.Order{}, fmt.Errorf("detector %s: %w", f.Detector, signal.ErrNotFound)
	}
	return signal.MakeOrder(signal.Order{
		Do: do, Detector: f.Detector, Entity: f.Entity, Series: "all", Anomaly: f.ID, Score: f.Score, By: by, Note: note, At: time.Now(),
		Episode: &signal.Episode{Organisation: f.Organisation, User: f.User, Address: f.Address, Day: f.Day},
	}), nil
}

// access returns the detector of accesses with a name; nil where there is none.
func (r *Runner) access(name string) *accesses {
	if i := slices.IndexFunc(r.accesses, func(d *accesses) bool { return d.name == name }); i >= 0 {
		return r.accesses[i]
	}
	return nil
}

// Use makes the order to go on with another model. See [Runner.Judge].
func (r *Runner) Use(id, by, note string) (signal.Order, error) {
	m, ok := r.versions.get(id)
	if !ok {
		return signal.Order{}, fmt.Errorf("model %s: %w", id, signal.ErrNotFound)
	}
	d, err := r.detector(m.Detector)
	if err != nil {
		return signal.Order{}, err
	}
	if m.State != modelReady {
		return signal.Order{}, fmt.Errorf("model %s is %s: %w", id, m.State, signal.ErrConflict)
	}
	o, ok := d.roll.get(key(m.Entity, m.Series))
	switch {
	case !ok:
		return signal.Order{}, fmt.Errorf("detector %s has not met %s yet: %w", m.Detector, m.Entity, signal.ErrConflict)
	case o.version == id:
		return signal.Order{}, fmt.Errorf("model %s is in use: %w", id, signal.ErrConflict)
	}
	return signal.MakeOrder(signal.Order{
		Do: signal.Use, Detector: m.Detector, Entity: m.Entity, Series: m.Series, Model: id, By: by, Note: note, At: time.Now(),
	}), nil
}

// Models lists the versions that are kept and, of each model that has learnt by itself and was never exchanged, that. The
// oldest comes first. Safe for concurrent use.
func (r *Runner) Models() []signal.Model {
	used := map[string]bool{}
	var live []signal.Model
	for _, d := range r.detectors {
		for _, o := range d.roll.all() {
			if o.version != "" {
				used[o.version] = true
				continue
			}
			live = append(live, signal.Model{
				ID:       signal.MakeID(signal.KindModel, d.c.Name, string(o.entity), o.series, "live"),
				Detector: d.c.Name, Entity: o.entity, Series: o.series, State: modelInUse, Source: "live",
			})
		}
	}
	kept := r.versions.list()
	for i := range kept {
		if used[kept[i].ID] {
			kept[i].State = modelInUse
		}
	}
	return append(live, kept...)
}

// Model returns one of them.
func (r *Runner) Model(id string) (signal.Model, error) {
	if m, ok := r.versions.get(id); ok {
		if r.inUse(id) {
			m.State = modelInUse
		}
		return m, nil
	}
	all := r.Models()
	if i := slices.IndexFunc(all, func(m signal.Model) bool { return m.ID == id }); i >= 0 {
		return all[i], nil
	}
	return signal.Model{}, fmt.Errorf("model %s: %w", id, signal.ErrNotFound)
}

func (r *Runner) inUse(id string) bool {
	for _, d := range r.detectors {
		for _, o := range d.roll.all() {
			if o.version == id {
				return true
			}
		}
	}
	return false
}

// obey carries out an order that it meets in the stream, between two points, and publishes what that did. It goes on record
// by its own id: met again, it is told once. One that can't be carried out (its detector is configured no more, its model's
// file is gone) is logged and passed over, as it will be the next time.
func (r *Runner) obey(ctx context.Context, pub Publisher, o *signal.Order, seq uint64, batch string) error {
	evs, err := r.carryOut(o, seq, batch)
	if errors.Is(err, errPassed) {
		return nil
	}
	if err != nil {
		r.metrics.ordersFailed.Inc()
		r.log.ErrorContext(ctx, "order not carried out", "detector", o.Detector, "entity", o.Entity, "order", o.ID, "do", o.Do, "err", err)
		return nil
	}
	r.metrics.orders.Inc()
	return r.send(ctx, pub, o.Detector, evs...)
}

// carryOut does what an order says, and returns what there is to tell.
func (r *Runner) carryOut(o *signal.Order, seq uint64, batch string) ([]signal.Event, error) {
	head := signal.Head{ID: o.ID, Entity: o.Entity, Cause: []string{batch}, Severity: signal.Info}
	if o.Do != signal.Use {
		head.Cause = []string{o.Anomaly, batch}
	}
	if a := r.access(o.Detector); a != nil && o.Do != signal.Use {
		return a.obey(o, seq, head)
	}
	d, err := r.detector(o.Detector)
	if err != nil {
		return nil, err
	}
	var ev signal.Event
	if o.Do == signal.Use {
		ev, err = r.exchange(d, o, head)
	} else {
		ev, err = d.judge(o, head)
	}
	return []signal.Event{ev}, err
}

// errPassed means that the order was carried out before the model was saved, and told of then.
var errPassed = errors.New("carried out before")

// judge moves the threshold of the model that found the anomaly.
func (d *Forests) judge(o *signal.Order, head signal.Head) (signal.Event, error) {
	judgement := Muted
	if o.Do == signal.Confirm {
		judgement = Confirmed
	}
	w := d.find(key(o.Entity, o.Series))
	if w == nil {
		return signal.Event{}, fmt.Errorf("%s: %w", o.Entity, ErrNoModel)
	}
	if w.passes(d.seq) {
		return signal.Event{}, errPassed
	}
	a := signal.Anomaly{Head: signal.Head{ID: o.Anomaly, Entity: o.Entity}, Score: o.Score}
	if o.Series != "all" {
		a.Series = []string{o.Series}
	}
	adj, err := d.Feedback(&a, judgement, o.By, o.At)
	if err != nil {
		return signal.Event{}, err
	}
	w.dirty, w.soon = true, true
	m := w.model
	before, after := m.threshold(adj.Before), m.threshold(adj.After)
	reason := fmt.Sprintf("%s was %s by %s: the threshold of detector %s for %s went from %.3g to %.3g",
		o.Anomaly, judgement, o.By, o.Detector, o.Entity, before, after)
	return signal.NewEvent("detect", signal.AnomalyJudged, o.ID, o.At, signal.Judgement{
		Head: head, Detector: o.Detector, Anomaly: o.Anomaly, Judgement: string(judgement), By: o.By, At: o.At,
		Before: before, After: after, Reason: withNote(reason, o.Note),
	})
}

func withNote(reason, note string) string {
	if note = strings.TrimSpace(note); note != "" {
		reason += ": " + note
	}
	return reason
}

// exchange puts another model into the place of the one in use, which is kept as it is at this moment.
func (r *Runner) exchange(d *Forests, o *signal.Order, head signal.Head) (signal.Event, error) {
	w := d.find(key(o.Entity, o.Series))
	if w == nil {
		return signal.Event{}, fmt.Errorf("%s: %w", o.Entity, ErrNoModel)
	}
	if w.passes(d.seq) {
		return signal.Event{}, errPassed
	}
	_, state, err := r.versions.load(o.Model)
	if err != nil {
		return signal.Event{}, err
	}
	next, err := d.newModel(w)
	if err == nil {
		err = next.UnmarshalBinary(state)
	}
	if err != nil {
		return signal.Event{}, fmt.Errorf("model %s: %w", o.Model, err)
	}
	before, err := w.model.MarshalBinary()
	if err != nil {
		return signal.Event{}, err
	}
	kept := signal.Model{
		ID:       signal.MakeID(signal.KindModel, "before", o.ID),
		Detector: o.Detector, Entity: o.Entity, Series: o.Series, State: modelReady, Source: "live", Made: o.At,
		Points: int(w.model.state.Seen),
	}
	if kept.Points > 0 {
		kept.From, kept.To = time.UnixMilli(w.model.state.First).UTC(), time.UnixMilli(w.model.state.Last).UTC()
	}
	if err := r.versions.put(kept, before, func(id string) bool { return id == o.Model || r.inUse(id) }); err != nil {
		return signal.Event{}, err
	}
	w.take(next)
	w.dirty, w.soon = true, true
	w.wait, w.untrained, w.version = nil, false, o.Model // a training under way is for the model that has left
	d.enroll(w)
	reason := fmt.Sprintf("detector %s goes on with model %s for %s, on the word of %s; the one before is kept as %s", o.Detector, o.Model, o.Entity, o.By, kept.ID)
	return signal.NewEvent("detect", signal.ModelChanged, o.ID, o.At, signal.ModelChange{
		Head: head, Detector: o.Detector, Series: o.Series, Model: o.Model, Before: kept.ID, By: o.By, At: o.At, Reason: withNote(reason, o.Note),
	})
}

// take makes next the model of w. An anomaly that goes on stays the same anomaly, and what people said of earlier ones holds.
func (w *watched) take(next *Model) {
	next.forgetOpen()
	next.state.Open = w.open != nil
	next.state.Bias, next.adjustments = w.model.state.Bias, w.model.adjustments
	w.model = next
}

// enroll puts w on the detector's roll as it is.
func (d *Forests) enroll(w *watched) {
	d.roll.set(key(w.entity, w.series), onRoll{w.entity, w.series, d.inputOf(w), w.version})
}

// inputOf returns which input the one series of w comes from; 0 where w watches all.
func (d *Forests) inputOf(w *watched) int {
	if !d.c.Each {
		return 0
	}
	return max(slices.IndexFunc(d.inputs, func(in input) bool { return in.Name == w.ins[0].Name }), 0)
}

// Rows are the points that a model is trained on when they don't come from history.
type Rows struct {
	Times   []int64              // Unix milliseconds
	Columns map[string][]float64 // by the detector's names of its series; each of len(Times), NaN is a gap
}

// errNotRunning means that nothing trains, as the runner doesn't run or has no history.
var errNotRunning = errors.New("the detectors don't run")

// Train has a version trained, from history or from rows, and returns it as it is then: in training. Its id follows from what
// it is trained on. Safe for concurrent use.
func (r *Runner) Train(detector string, entity signal.EntityID, series string, rows *Rows) (signal.Model, error) {
	d, err := r.detector(detector)
	if err != nil {
		return signal.Model{}, err
	}
	series = cmp.Or(series, "all")
	o, met := d.roll.get(key(entity, series))
	switch {
	case d.c.Each && !met:
		return signal.Model{}, fmt.Errorf("detector %s has no model of series %q of %s: %w", detector, series, entity, signal.ErrNotFound)
	case !d.c.Each && series != "all":
		return signal.Model{}, fmt.Errorf("detector %s has one model for all series of an entity: %w", detector, signal.ErrInvalid)
	case entity.Kind() != d.c.Entity:
		return signal.Model{}, fmt.Errorf("detector %s watches entities of kind %s, not %s: %w", detector, d.c.Entity, entity, signal.ErrInvalid)
	}
	ins := d.inputs
	if d.c.Each {
		ins = ins[o.input : o.input+1]
	}
	w, err := d.newWatched(entity, series, ins)
	if err != nil {
		return signal.Model{}, err
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	m := signal.Model{Detector: detector, Entity: entity, Series: series, State: modelTraining, Source: "history", Made: now}
	t := &training{d: d, w: w, to: now.UnixMilli()}
	digest := ""
	if rows != nil {
		m.Source = "csv"
		if t.rows, err = rows.cells(d.step, w.names); err != nil {
			return m, err
		}
		digest = rows.digest()
	}
	m.ID = signal.MakeID(signal.KindModel, detector, string(entity), series, m.Source, digest, now.Format(time.RFC3339Nano))
	t.version = &m
	r.mu.Lock()
	tr := r.trainer
	r.mu.Unlock()
	if tr == nil {
		return m, fmt.Errorf("%w: %w", errNotRunning, signal.ErrConflict)
	}
	r.versions.note(m)
	tr.enqueue(t)
	return m, nil
}
