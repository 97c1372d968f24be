package detect

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"homeostat/internal/signal"
)

// told decodes the details of a book's events of one type, in their order.
func told[D any](t *testing.T, b *book, detailType string) []D {
	t.Helper()
	var out []D
	for _, id := range b.ids {
		ev := b.events[id]
		if ev.DetailType != detailType {
			continue
		}
		var d D
		if err := json.Unmarshal(ev.Detail, &d); err != nil {
			t.Fatal(err)
		}
		out = append(out, d)
	}
	return out
}

func newBook() *book { return &book{events: map[string]signal.Event{}} }

func TestJudgementMovesTheThresholdAndReplayAgrees(t *testing.T) {
	t.Parallel()
	fault := faultyTape()
	dir := t.TempDir()
	first := newBook()
	r := play(t, second(dir), fault, first, nil)
	found := told[signal.Anomaly](t, first, signal.AnomalyDetected)
	if len(found) != 1 {
		t.Fatalf("%d anomalies", len(found))
	}
	o, err := r.Judge(found[0], signal.Confirm, "ana", "a leak")
	if err != nil {
		t.Fatal(err)
	}
	tape := append(slices.Clip(fault), &signal.Batch{ID: "ba-1-141", Orders: []signal.Order{o}})

	b := newBook()
	play(t, second(dir), tape, b, nil)
	got := told[signal.Judgement](t, b, signal.AnomalyJudged)
	if len(got) != 1 || got[0].Judgement != "confirmed" || got[0].By != "ana" || !(got[0].After < got[0].Before) ||
		!slices.Equal(got[0].Cause, []string{found[0].ID, "ba-1-141"}) || !strings.Contains(got[0].Reason, "a leak") {
		t.Errorf("judged %+v, score %v", got, found[0].Score)
	}
	// Read again from the beginning, the same is told once more with the same id, and the model stands where it stood.
	again := newBook()
	if play(t, second(""), tape, again, nil); !slices.Contains(again.ids, b.ids[0]) {
		t.Errorf("read again: %v, want %v among them", again.ids, b.ids)
	}
	// Restored from the checkpoint that has passed the order, the threshold is still there.
	if r, err = NewRunner(second(dir), nil, nil); err != nil {
		t.Fatal(err)
	}
	if s := r.detectors[0].watched["host:web-1"].model.state; !(s.Bias < 0) {
		t.Errorf("bias %v after a restart", s.Bias)
	}
}

func TestOrdersThatCanNotBeGiven(t *testing.T) {
	r := play(t, second(t.TempDir()), faultyTape()[:20], newBook(), nil)
	for _, tt := range []struct {
		name string
		do   func() error
		want error
	}{
		{"a detector that isn't there", func() error { _, err := r.Judge(signal.Anomaly{Detector: "db"}, signal.Mute, "", ""); return err }, signal.ErrNotFound},
		{"an entity that isn't there", func() error {
			_, err := r.Judge(signal.Anomaly{Detector: "host", Head: signal.Head{Entity: "host:web-2"}}, signal.Mute, "", "")
			return err
		}, signal.ErrConflict},
		{"a model that isn't there", func() error { _, err := r.Use("mo-1", "", ""); return err }, signal.ErrNotFound},
		{"an entity of another kind", func() error { _, err := r.Train("host", "service:a", "", nil); return err }, signal.ErrInvalid},
		{"columns of other names", func() error {
			_, err := r.Train("host", "host:web-1", "", &Rows{Times: []int64{1}, Columns: map[string][]float64{"a": {1}, "b": {2}}})
			return err
		}, signal.ErrInvalid},
		{"nobody who trains", func() error { _, err := r.Train("host", "host:web-1", "", nil); return err }, signal.ErrConflict},
	} {
		if err := tt.do(); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	// One that a stream brings all the same is passed over.
	b := newBook()
	tape := append(faultyTape()[:20], &signal.Batch{Orders: []signal.Order{
		{ID: "or-1", Do: signal.Use, Detector: "host", Entity: "host:web-1", Series: "all", Model: "mo-1"},
		{ID: "or-2", Do: signal.Mute, Detector: "db", Entity: "host:web-1", Series: "all", Anomaly: "an-1"},
	}})
	if r := play(t, second(t.TempDir()), tape, b, nil); r.Position() != 21 || len(b.ids) != 0 {
		t.Errorf("position %d, events %v", r.Position(), b.ids)
	}
}

// train has r make a version at once.
func train(t *testing.T, r *Runner, h History, rows *Rows) signal.Model {
	t.Helper()
	tr := newTrainer(h, 1, discard())
	tr.versions, tr.inUse = r.versions, r.inUse
	r.trainer = tr
	m, err := r.Train("host", "host:web-1", "", rows)
	if err != nil {
		t.Fatal(err)
	}
	if m.State != modelTraining || len(tr.queue) != 1 {
		t.Fatalf("%+v, %d queued", m, len(tr.queue))
	}
	tr.finish(t.Context(), tr.queue[0], tr.train(t.Context(), tr.queue[0]))
	if m, err = r.Model(m.ID); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestModelIsExchangedAndTheOneBeforeComesBack(t *testing.T) {
	t.Parallel()
	fault := faultyTape()[:60]
	dir := t.TempDir()
	r := play(t, second(dir), fault, newBook(), nil)
	m := train(t, r, shortPast{}, nil)
	if m.State != modelReady || m.Source != "history" || m.Points < 290 || m.Quality == nil || m.Quality.Points < 55 || m.From.IsZero() || !m.To.After(m.From) {
		t.Fatalf("trained %+v", m)
	}
	for _, name := range []string{"cpu", "memory", "network", "disk"} {
		if c := m.Quality.Coverage[name]; !(c > 0.5 && c <= 1) {
			t.Errorf("coverage of %s is %v", name, c)
		}
	}
	o, err := r.Use(m.ID, "ana", "")
	if err != nil {
		t.Fatal(err)
	}
	tape := append(slices.Clip(fault), &signal.Batch{ID: "ba-1-61", Orders: []signal.Order{o}})
	b := newBook()
	r = play(t, second(dir), tape, b, nil)
	changed := told[signal.ModelChange](t, b, signal.ModelChanged)
	if len(changed) != 1 || changed[0].Model != m.ID || changed[0].By != "ana" {
		t.Fatalf("changed %+v", changed)
	}
	w := r.detectors[0].watched["host:web-1"]
	if w.version != m.ID || int(w.model.state.Seen) != m.Points {
		t.Errorf("version %s with %d points, want %s with %d", w.version, w.model.state.Seen, m.ID, m.Points)
	}
	states := map[string]string{}
	for _, m := range r.Models() {
		states[m.ID] = m.State
	}
	if len(states) != 2 || states[m.ID] != modelInUse || states[changed[0].Before] != modelReady {
		t.Errorf("models %v", states)
	}
	if _, err := r.Use(m.ID, "ana", ""); !errors.Is(err, signal.ErrConflict) {
		t.Errorf("using the one in use: %v, want a conflict", err)
	}
	// Restarted, the loop goes on with it, and can go back.
	if r, err = NewRunner(second(dir), nil, nil); err != nil {
		t.Fatal(err)
	}
	if o, err = r.Use(changed[0].Before, "bo", ""); err != nil {
		t.Fatal(err)
	}
	tape = append(slices.Clip(tape), &signal.Batch{ID: "ba-1-62", Orders: []signal.Order{o}})
	r = play(t, second(dir), tape, newBook(), nil)
	if w := r.detectors[0].watched["host:web-1"]; w.version != changed[0].Before || w.model.state.Seen != 58 {
		t.Errorf("back with %d points, version %s", w.model.state.Seen, w.version)
	}
	// From the beginning again: the orders are met at their places, and the models' files are there.
	again := newBook()
	if err := os.RemoveAll(filepath.Join(dir, "state")); err != nil {
		t.Fatal(err)
	}
	r = play(t, second(dir), tape, again, nil)
	if got := told[signal.ModelChange](t, again, signal.ModelChanged); len(got) != 2 || got[0].Before != changed[0].Before || r.detectors[0].watched["host:web-1"].model.state.Seen != 58 {
		t.Errorf("read again: %+v", got)
	}
}

func TestModelTrainedOnRows(t *testing.T) {
	r := play(t, second(t.TempDir()), faultyTape()[:20], newBook(), nil)
	rows := &Rows{Columns: map[string][]float64{"cpu": nil, "note": nil}}
	for i := range 500 {
		rows.Times = append(rows.Times, int64(i)*1000)
		rows.Columns["cpu"] = append(rows.Columns["cpu"], 0.3+0.05*math.Sin(float64(i)))
		rows.Columns["note"] = append(rows.Columns["note"], math.NaN())
	}
	m := train(t, r, nil, rows)
	if m.State != modelReady || m.Source != "csv" || m.Points != 500 || !m.From.Equal(time.UnixMilli(0)) || !m.To.Equal(time.UnixMilli(500_000)) ||
		m.Quality.Points != 100 || len(m.Quality.Coverage) != 1 {
		t.Errorf("%+v %+v", m, m.Quality)
	}
	if m = train(t, r, nil, &Rows{Times: []int64{1, 2}, Columns: map[string][]float64{"cpu": {1, 2}}}); m.State != modelFailed || m.Reason != "1 points; it takes 32" {
		t.Errorf("two rows: %+v", m)
	}
}

func TestVersionsAreKeptWithinBounds(t *testing.T) {
	dir := t.TempDir()
	v, err := openVersions(dir)
	if err != nil {
		t.Fatal(err)
	}
	inUse := func(id string) bool { return id == "mo-a" }
	for i := range 15 {
		m := signal.Model{ID: "mo-" + string(rune('a'+i)), Detector: "host", Entity: "host:a", Series: "all", State: modelReady, Made: time.UnixMilli(int64(i))}
		if err := v.put(m, []byte("model"), inUse); err != nil {
			t.Fatal(err)
		}
	}
	v, err = openVersions(dir) // as a restart finds them
	if err != nil {
		t.Fatal(err)
	}
	if got := v.list(); len(got) != versionsKept+1 || got[0].ID != "mo-a" || got[1].ID != "mo-f" {
		t.Errorf("kept %v", got)
	}
	name := filepath.Join(dir, "mo-a.model")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, damaged := range [][]byte{b[:4], b[:len(b)-3], append(b[:len(b)-5:len(b)-5], 'X', 0, 0, 0, 0)} {
		if err := os.WriteFile(name, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := v.load("mo-a"); err == nil {
			t.Errorf("a damaged file of %d bytes was loaded", len(damaged))
		}
	}
	if v, err = openVersions(dir); err != nil {
		t.Logf("says: %v", err)
	}
	if got := v.list(); len(got) < versionsKept {
		t.Errorf("one damaged file took %d with it", versionsKept+1-len(got))
	}
}
