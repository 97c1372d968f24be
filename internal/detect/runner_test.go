package detect

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"homeostat/internal/signal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tape is a stream of batches that were recorded. It waits at its end, as a stream does, until ctx ends.
type tape struct {
	batches []*signal.Batch
	ended   func()    // called at the end
	played  func(int) // called after each, where it is set
}

func (s *tape) Read(ctx context.Context, after uint64, fn func(uint64, *signal.Batch) error) error {
	for i, b := range s.batches {
		if uint64(i+1) <= after {
			continue
		}
		if err := fn(uint64(i+1), b); err != nil {
			return err
		}
		if s.played != nil {
			s.played(i + 1)
		}
	}
	s.ended()
	<-ctx.Done()
	return ctx.Err()
}

// book keeps events by id, as the bus does.
type book struct {
	events map[string]signal.Event
	ids    []string
	fails  int // times that it refuses
}

func (b *book) Publish(_ context.Context, events ...signal.Event) error {
	if b.fails > 0 {
		b.fails--
		return errors.New("the database is busy")
	}
	for _, e := range events {
		if _, ok := b.events[e.ID]; !ok {
			b.events[e.ID] = e
			b.ids = append(b.ids, e.ID)
		}
	}
	return nil
}

func (b *book) Record(context.Context, *signal.Batch) error { return nil }

func faultyTape() []*signal.Batch {
	h := newHost(5, "web-1", start(), time.Second)
	h.faults = func(at time.Time, l *load) {
		if gone := at.Sub(start()); gone > 80*time.Second && gone < 95*time.Second {
			l.cpu = 1
		}
	}
	var batches []*signal.Batch
	for range 140 {
		_, b := h.next()
		batches = append(batches, b)
	}
	return batches
}

// play runs a runner over the batches to their end.
func play(t *testing.T, c RunnerConfig, batches []*signal.Batch, b *book, h History) *Runner {
	t.Helper()
	r, err := NewRunner(c, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := r.Run(ctx, &tape{batches: batches, ended: cancel}, b, b, h); err != nil {
		t.Fatal(err)
	}
	return r
}

func second(dir string) RunnerConfig {
	return RunnerConfig{Detectors: []Config{{Name: "host", Interval: time.Second}}, Dir: dir, Every: time.Hour}
}

// secondOfCPU is the same with small models, of the one series that has the fault.
func secondOfCPU(dir string) RunnerConfig {
	c := second(dir)
	c.Detectors[0].Series = []string{"cpu"}
	return c
}

func TestRunnerPublishesBeginAndEnd(t *testing.T) {
	b := &book{events: map[string]signal.Event{}, fails: 1} // and a refusal is not the end
	r := play(t, second(t.TempDir()), faultyTape(), b, nil)
	if len(b.ids) != 2 {
		t.Fatalf("%d events", len(b.ids))
	}
	if first, last := b.events[b.ids[0]], b.events[b.ids[1]]; first.DetailType != signal.AnomalyDetected || first.Source != "homeostat.detect" ||
		last.DetailType != signal.AnomalyEnded || !first.Time.Before(last.Time) {
		t.Errorf("%+v %+v", first, last)
	}
	if r.Position() != 140 {
		t.Errorf("position %d", r.Position())
	}
	if l := r.Learning(); len(l) != 1 || l[0].Detector != "host" || l[0].Entity != "host:web-1" || !(l[0].Confidence > 0 && l[0].Confidence < 1) ||
		l[0].Since.IsZero() || l[0].Note != "watching" {
		t.Errorf("%+v", l)
	}
	if s := r.Health(); s.Name != "detect" || s.State != "not running" {
		t.Errorf("%+v", s)
	}
}

// TestKilledRunnerMakesTheSameEvents reads on from an old checkpoint, as after a kill, and must find what was found.
func TestKilledRunnerMakesTheSameEvents(t *testing.T) {
	t.Parallel()
	batches := faultyTape()
	want := &book{events: map[string]signal.Event{}}
	play(t, secondOfCPU(""), batches, want, nil)
	for _, cut := range []int{10, 79, 82, 90, 110} {
		dir := t.TempDir()
		got := &book{events: map[string]signal.Event{}}
		if r := play(t, secondOfCPU(dir), batches[:cut], got, nil); r.Position() != uint64(cut) {
			t.Fatalf("position %d after %d", r.Position(), cut)
		}
		state, saved := filepath.Join(dir, "state"), t.TempDir()
		if err := os.CopyFS(saved, os.DirFS(state)); err != nil {
			t.Fatal(err)
		}
		play(t, secondOfCPU(dir), batches[:cut+20], got, nil) // this one gets further, and its checkpoint is lost
		if err := errors.Join(os.RemoveAll(state), os.CopyFS(state, os.DirFS(saved))); err != nil {
			t.Fatal(err)
		}
		play(t, secondOfCPU(dir), batches, got, nil)
		if !slices.Equal(got.ids, want.ids) {
			t.Errorf("killed after %d: events %v, want %v", cut, got.ids, want.ids)
		}
	}
}

// TestCheckpointTakenBetweenBatchesIsWhole goes on from checkpoints that were gathered while batches came, each model at a
// place of its own.
func TestCheckpointTakenBetweenBatchesIsWhole(t *testing.T) {
	t.Parallel()
	var batches []*signal.Batch
	for i, b := range faultyTape() {
		batches = append(batches, b)
		c := signal.Batch{ID: fmt.Sprintf("ba-web-2-%d", i), Series: b.Series, Times: b.Times, Values: b.Values}
		for _, s := range b.Dict {
			ls := s.Labels.Map()
			ls["host_name"] = "web-2"
			c.Dict = append(c.Dict, signal.MakeSeries(signal.MakeLabels(ls)))
		}
		batches = append(batches, &c)
	}
	want := &book{events: map[string]signal.Event{}}
	play(t, secondOfCPU(""), batches, want, nil)
	if len(want.ids) != 4 {
		t.Fatalf("%d events, want a begin and an end of each host", len(want.ids))
	}

	var saved []string
	var told []uint64 // the last batch whose events were told before each was written
	apart := 0        // checkpoints whose models are of several places
	var err error
	for try := 0; apart == 0 && err == nil && try < 50; try++ { // on a busy machine all batches may be through before the second
		c := secondOfCPU(t.TempDir())
		c.Every = time.Millisecond // one checkpoint after the other
		r, rerr := NewRunner(c, nil, nil)
		if rerr != nil {
			t.Fatal(rerr)
		}
		newest := ""
		ctx, cancel := context.WithCancel(t.Context())
		err = r.Run(ctx, &tape{batches, cancel, func(i int) {
			names, err := filepath.Glob(filepath.Join(c.Dir, "state", "*.segment"))
			for end := time.Now().Add(time.Second); len(names) == 0 && time.Now().Before(end); { // batches don't outrun the first
				runtime.Gosched()
				names, err = filepath.Glob(filepath.Join(c.Dir, "state", "*.segment"))
			}
			if err != nil || len(names) == 0 || names[len(names)-1] == newest {
				return // none yet, or none since
			}
			dir := t.TempDir()
			for _, name := range names { // a segment never changes: those of one moment are what a kill would leave
				text, err := os.ReadFile(name)
				if err != nil {
					return // gone meanwhile
				}
				if err := errors.Join(os.MkdirAll(filepath.Join(dir, "state"), 0o700), os.WriteFile(filepath.Join(dir, "state", filepath.Base(name)), text, 0o600)); err != nil {
					t.Error(err)
				}
			}
			newest = names[len(names)-1]
			s, h, aside, err := openShelf(filepath.Join(dir, "state"))
			if err != nil || len(aside) > 0 {
				t.Error(err)
				return
			}
			last := h.Position
			for _, p := range s.index {
				last = max(last, p.seq)
			}
			saved, told = append(saved, dir), append(told, last)
			if last > h.Position {
				apart++
			}
		}}, &book{events: map[string]signal.Event{}}, nil, nil)
	}
	if err != nil || apart == 0 {
		t.Fatalf("%d checkpoints, %d of several places: %v", len(saved), apart, err)
	}
	for i := 0; i < len(saved); i += 1 + len(saved)/4 {
		got := &book{events: map[string]signal.Event{}}
		play(t, secondOfCPU(""), batches[:told[i]], got, nil)
		play(t, secondOfCPU(saved[i]), batches, got, nil)
		slices.Sort(got.ids)
		if ids := slices.Sorted(slices.Values(want.ids)); !slices.Equal(got.ids, ids) {
			t.Errorf("from checkpoint %d: events %v, want %v", i, got.ids, ids)
		}
	}
}

func TestDamagedCheckpointIsSetAside(t *testing.T) {
	dir := t.TempDir()
	b := &book{events: map[string]signal.Event{}}
	play(t, second(dir), faultyTape()[:20], b, nil)
	names, err := filepath.Glob(filepath.Join(dir, "state", "*.segment"))
	if err != nil || len(names) != 1 {
		t.Fatalf("segments %v, %v", names, err)
	}
	name := names[0]
	saved, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	saved[len(saved)/2] ^= 1
	if err := os.WriteFile(name, saved, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := NewRunner(second(dir), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Position() != 0 {
		t.Errorf("position %d", r.Position())
	}
	left, err := filepath.Glob(name + ".damaged-*")
	if err != nil || len(left) != 1 {
		t.Errorf("set aside: %v, %v", left, err)
	}
}

// pastHost is a history of one fakeHost.
type pastHost struct{ seed uint64 }

func (p pastHost) Samples(_ context.Context, entity signal.EntityID, from, to int64, metrics []string,
	fn func(signal.Labels, []int64, []float64) error,
) error {
	h := newHost(p.seed, entity.Name(), time.UnixMilli(from).UTC(), time.Second)
	times := make([][]int64, len(h.dict))
	values := make([][]float64, len(h.dict))
	for h.at.UnixMilli() < to {
		_, b := h.next()
		for i, s := range b.Series {
			times[s] = append(times[s], b.Times[i])
			values[s] = append(values[s], b.Values[i])
		}
	}
	for i, s := range h.dict {
		if !slices.Contains(metrics, s.Labels.Value(signal.MetricName)) {
			continue
		}
		half := len(times[i]) / 2
		if err := errors.Join(fn(s.Labels, times[i][:half], values[i][:half]), fn(s.Labels, times[i][half:], values[i][half:])); err != nil {
			return err
		}
	}
	return nil
}

func TestTrainingTablesAreWhatTheLiveMetersGather(t *testing.T) {
	d := newForests(t, Config{Interval: 10 * time.Second})
	h := newHost(1, "web-1", start(), time.Second)
	for range 200 {
		_, b := h.next()
		d.Process(nil, b)
	}
	w := d.watched["host:web-1"]
	tb := newTable(d, w, start().Unix()/10, 20)
	if err := (pastHost{1}).Samples(t.Context(), w.entity, start().UnixMilli(), start().Add(200*time.Second).UnixMilli(),
		[]string{"system_cpu_utilization_ratio", "system_memory_utilization_ratio", "system_network_io_bytes_total", "system_disk_io_bytes_total"},
		tb.add); err != nil {
		t.Fatal(err)
	}
	tb.flush()
	x := make([]float64, 4)
	for i, name := range w.names {
		live := values(d, name)
		for k := range 18 {
			if !tb.point(k, x) {
				t.Fatalf("interval %d is empty", k)
			}
			if at := start().Unix() + int64(k+1)*10; live[at] != x[i] {
				t.Errorf("%s, interval %d: %v, live %v", name, k, x[i], live[at])
			}
		}
	}
}

func TestTrainedModelTakesOver(t *testing.T) {
	d := newForests(t, Config{Interval: time.Second})
	tr := newTrainer(shortPast{}, 1, discard())
	d.train = func(w *watched, to int64) *training { return tr.add(d, w, to) }
	h := newHost(4, "web-1", start(), time.Second)
	for range 10 {
		_, b := h.next()
		d.Process(nil, b)
	}
	w := d.watched["host:web-1"]
	if w.wait == nil || tr.waiting() != 1 {
		t.Fatal("no training was asked for")
	}
	var saved strings.Builder
	if err := d.Checkpoint(&saved); err != nil {
		t.Fatal(err)
	}
	job := w.wait
	if err := tr.train(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	job.adopt()
	if w.wait != nil || w.model.state.Seen < 308 || w.model.confidence() < 0.5 {
		t.Errorf("seen %d, confidence %v", w.model.state.Seen, w.model.confidence())
	}
	// What was saved before the training ended asks for it again.
	e := newForests(t, Config{Interval: time.Second})
	if err := e.Restore(strings.NewReader(saved.String())); err != nil {
		t.Fatal(err)
	}
	e.train = d.train
	_, b := h.next()
	e.Process(nil, b)
	if e.watched["host:web-1"].wait == nil {
		t.Error("a training that was cut off is not begun anew")
	}
}

// shortPast has the last five minutes.
type shortPast struct{}

func (shortPast) Samples(ctx context.Context, entity signal.EntityID, _, to int64, metrics []string,
	fn func(signal.Labels, []int64, []float64) error,
) error {
	return pastHost{9}.Samples(ctx, entity, to-300_000, to, metrics, fn)
}

func TestRunnerStopsWhileTraining(t *testing.T) {
	b := &book{events: map[string]signal.Event{}}
	r := play(t, second(t.TempDir()), faultyTape(), b, shortPast{})
	if r.Position() != 140 {
		t.Errorf("position %d", r.Position())
	}
}
