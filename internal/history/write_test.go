package history

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"reflect"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"

	"homeostat/internal/signal"
)

// point is one sample of the series m{host_name="web-1"}.
type point struct {
	at time.Time
	v  float64
}

// points makes a batch of one host's one series.
func points(ps ...point) *signal.Batch {
	b := &signal.Batch{}
	s := b.AddSeries(signal.MakeSeries(signal.MakeLabels(map[string]string{"__name__": "m", "host_name": "web-1"})))
	for _, p := range ps {
		b.Add(s, p.at.UnixMilli(), p.v)
	}
	return b
}

// feed runs the history over a tape with these batches until all are committed.
func feed(t testing.TB, h *History, s *tape, bs ...*signal.Batch) {
	t.Helper()
	for _, b := range bs {
		s.put(b)
	}
	stop := start(t, func(ctx context.Context) error { return h.Run(ctx, s) })
	eventually(t, "all is committed", func() bool { return h.Committed() == s.Last() })
	stop()
}

// samples returns what is stored of a host's metric.
func samples(t testing.TB, h *History, entity signal.EntityID, metric string) (times []int64, values []float64) {
	t.Helper()
	err := h.Samples(t.Context(), entity, 0, math.MaxInt64, []string{metric},
		func(_ signal.Labels, ts []int64, vs []float64) error {
			times, values = append(times, ts...), append(values, vs...)
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
	return times, values
}

func (h *History) rejectedFor(reason string) float64 {
	return testutil.ToFloat64(h.metrics.rejected.WithLabelValues(reason))
}

func TestSeriesThatIsNotWantedIsNotRead(t *testing.T) {
	h := open(t, Config{})
	defer h.Close()
	now := time.Now().Truncate(time.Millisecond)
	b := &signal.Batch{}
	for _, disk := range []string{"a", "b", "c"} {
		i := b.AddSeries(signal.MakeSeries(signal.MakeLabels(map[string]string{"__name__": "m", "host_name": "web-1", "disk": disk})))
		b.Add(i, now.UnixMilli(), 1)
	}
	feed(t, h, newTape(), b)
	shown, read := 0, 0
	err := h.Samples(t.Context(), "host:web-1", 0, math.MaxInt64, []string{"m"}, func(ls signal.Labels, ts []int64, _ []float64) error {
		if len(ts) == 0 {
			shown++
			if ls.Value("disk") != "b" {
				return signal.ErrSkipSeries
			}
			return nil
		}
		read += len(ts)
		return nil
	})
	if err != nil || shown != 3 || read != 1 {
		t.Errorf("%d series shown, %d samples read, %v", shown, read, err)
	}
}

func TestSamplesGoInAsTheyCame(t *testing.T) {
	h := open(t, Config{})
	defer h.Close()
	now := time.Now().Truncate(time.Millisecond)
	stale := math.Float64frombits(value.StaleNaN)
	want := []float64{1, math.Inf(1), math.Inf(-1), math.NaN(), stale, 5}
	var ps []point
	for i, v := range want {
		ps = append(ps, point{now.Add(time.Duration(i) * time.Second), v})
	}
	late := point{now.Add(-30 * time.Minute), 7}
	feed(t, h, newTape(), points(ps...), points(late))
	times, values := samples(t, h, "host:web-1", "m")
	if len(values) != 7 || times[0] != late.at.UnixMilli() || values[0] != 7 {
		t.Fatalf("%v at %v", values, times)
	}
	for i, v := range want {
		if math.Float64bits(values[i+1]) != math.Float64bits(v) {
			t.Errorf("value %d is %x, want %x", i, math.Float64bits(values[i+1]), math.Float64bits(v))
		}
	}
	if h.Health().Dropped != 0 {
		t.Error("some were set aside")
	}
}

func TestWhatCannotBeStoredIsCountedByReason(t *testing.T) {
	h := open(t, Config{})
	defer h.Close()
	now := time.Now().Truncate(time.Millisecond)
	bad := &signal.Batch{}
	for _, ls := range []signal.Labels{
		{{Name: "host_name", Value: "web-1"}},                                            // no metric
		{{Name: "__name__", Value: "m"}, {Name: "a", Value: "\xff"}},                     // not UTF-8
		{{Name: "b", Value: "1"}, {Name: "__name__", Value: "m"}},                        // not sorted
		{{Name: "__name__", Value: "m"}, {Name: "__name__", Value: "n"}},                 // twice
		{{Name: "__name__", Value: "m"}, {Name: "a", Value: ""}, {Name: "b", Value: ""}}, // empty
	} {
		bad.Add(bad.AddSeries(signal.MakeSeries(ls)), now.UnixMilli(), 1)
	}
	bad.Histograms = []signal.Histogram{
		{Series: bad.AddSeries(signal.MakeSeries(signal.Labels{{Name: "__name__", Value: "h"}})), Time: now.UnixMilli(), Data: []byte{0xff}},
	}
	feed(t, h, newTape(),
		points(point{now, 1}, point{now.Add(time.Second), 2}),
		points(point{now.Add(time.Second), 2}),    // again: nothing
		points(point{now.Add(time.Second), 3}),    // contradicts the newest
		points(point{now, 9}),                     // contradicts an older one
		points(point{now, 1}),                     // again, late: nothing
		points(point{now.Add(-2 * time.Hour), 1}), // too late
		points(point{now.Add(time.Hour), 1}),      // of the future
		bad,
		points(point{now.Add(2 * time.Second), 4}),
	)
	for reason, want := range map[string]float64{reasonContradicting: 2, reasonLate: 1, reasonFuture: 1, reasonMalformed: 6} {
		if got := h.rejectedFor(reason); got != want {
			t.Errorf("%s: %v, want %v", reason, got, want)
		}
	}
	if _, values := samples(t, h, "host:web-1", "m"); !reflect.DeepEqual(values, []float64{1, 2, 4}) {
		t.Errorf("stored %v, want 1 2 4", values)
	}
	if got := h.Health().Dropped; got != 10 {
		t.Errorf("health says %d dropped, want 10", got)
	}
}

func TestNativeHistogramsAreStored(t *testing.T) {
	h := open(t, Config{})
	defer h.Close()
	now := time.Now()
	b := &signal.Batch{}
	ints := b.AddSeries(signal.MakeSeries(signal.Labels{{Name: "__name__", Value: "ints"}, {Name: "host_name", Value: "web-1"}}))
	floats := b.AddSeries(signal.MakeSeries(signal.Labels{{Name: "__name__", Value: "floats"}, {Name: "host_name", Value: "web-1"}}))
	ih, fh := tsdbutil.GenerateTestHistogram(3), tsdbutil.GenerateTestFloatHistogram(4)
	for s, p := range map[int32]prompb.Histogram{
		ints:   prompb.FromIntHistogram(now.UnixMilli(), ih),
		floats: prompb.FromFloatHistogram(now.UnixMilli(), fh),
	} {
		data, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		b.Histograms = append(b.Histograms, signal.Histogram{Series: s, Time: now.UnixMilli(), Data: data})
	}
	feed(t, h, newTape(), b)
	for expr, want := range map[string]float64{
		"histogram_count(ints)": float64(ih.Count), "histogram_sum(ints)": ih.Sum,
		"histogram_count(floats)": fh.Count, "histogram_sum(floats)": fh.Sum,
	} {
		got, err := h.Query(t.Context(), expr, now)
		if err != nil || len(got) != 1 || got[0].Values[0] != want {
			t.Errorf("%s = %v, %v, want %g", expr, got, err, want)
		}
	}
	var _ *histogram.Histogram = ih
}

func TestPositionSurvivesAndNothingIsReadTwice(t *testing.T) {
	dir := t.TempDir()
	now := time.Now().Truncate(time.Millisecond)
	s := newTape()
	h := open(t, Config{Dir: dir})
	for i := range 5 {
		feed(t, h, s, points(point{now.Add(time.Duration(i) * time.Second), float64(i)}))
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	h, err := Open(t.Context(), Config{Dir: dir, Reserve: -1}, nil, reg)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if h.Committed() != 5 {
		t.Errorf("position %d after a restart, want 5", h.Committed())
	}
	if h.Position() != 0 {
		t.Errorf("safe position %d at start, want 0: nothing is known yet", h.Position())
	}
	es := h.Entities()
	if len(es) != 1 || es[0].ID != "host:web-1" || es[0].Series != 1 || es[0].LastSeen.Before(now.Add(3*time.Second)) {
		t.Errorf("entities %+v", es)
	}
	s.opened = s.Last()
	feed(t, h, s, points(point{now.Add(10 * time.Second), 9}))
	if got := testutil.ToFloat64(h.metrics.samples); got != 1 {
		t.Errorf("%v samples came in after the restart, want 1", got)
	}
	if es := h.Entities(); len(es) != 1 || es[0].Series != 1 {
		t.Errorf("entities %+v: a series that was known counts twice", es)
	}
}

// TestLateSamplesOutliveKills kills the history twice: what it had written by then is copied, and another goes on over the copy.
// The TSDB keeps late samples in a log of their own, with marks of what of them is in a file of chunks; once other chunks are
// written after a kill, it takes a mark of before for one of after, and looks for the late samples where they never were.
func TestLateSamplesOutliveKills(t *testing.T) {
	dir, s := t.TempDir(), newTape()
	now := time.Now().Truncate(time.Second)
	const series, each, late = 6000, 130, 40 // more than the TSDB holds back of chunks, and more than one chunk of late samples
	var bs []*signal.Batch
	for r := range each {
		b := &signal.Batch{}
		for k := range series {
			i := b.AddSeries(signal.MakeSeries(signal.MakeLabels(map[string]string{"__name__": "other", "host_name": "web-2", "k": strconv.Itoa(k)})))
			b.Add(i, now.UnixMilli()+int64(r), math.Sin(float64(r*series+k)))
		}
		bs = append(bs, b)
	}
	ps := []point{{now, 0}}
	for i := range late {
		ps = append(ps, point{now.Add(-30*time.Minute + time.Duration(i)*time.Millisecond), float64(i)})
	}
	bs = append(bs, points(ps...))
	for range 2 {
		h := open(t, Config{Dir: dir})
		feed(t, h, s, bs...)
		bs = nil
		killed := t.TempDir()
		if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		dir = killed
	}
	h := open(t, Config{Dir: dir})
	defer h.Close()
	if times, _ := samples(t, h, "host:web-1", "m"); len(times) != 1+late {
		t.Errorf("%d samples after two kills, want %d", len(times), 1+late)
	}
}

func TestAStreamThatLostItsEndIsReadOn(t *testing.T) {
	h := open(t, Config{})
	defer h.Close()
	now := time.Now().Truncate(time.Millisecond)
	feed(t, h, newTape(), points(point{now, 1}), points(point{now.Add(time.Second), 2}), points(point{now.Add(2 * time.Second), 3}))
	// The same history over a stream that has only the first of the three, and then another second one.
	s := newTape()
	s.put(points(point{now, 1}))
	s.opened = 1
	s.put(points(point{now.Add(3 * time.Second), 4}))
	stop := start(t, func(ctx context.Context) error { return h.Run(ctx, s) })
	defer stop()
	eventually(t, "the new second message is in", func() bool {
		_, values := samples(t, h, "host:web-1", "m")
		return reflect.DeepEqual(values, []float64{1, 2, 3, 4})
	})
}

func TestFullDiskPausesAndGoesOnByItself(t *testing.T) {
	var free atomic.Uint64
	h := open(t, Config{Reserve: 1 << 20, Free: func(string) (uint64, error) { return free.Load(), nil }})
	defer h.Close()
	s := newTape()
	now := time.Now()
	s.put(points(point{now, 1}))
	stop := start(t, func(ctx context.Context) error { return h.Run(ctx, s) })
	defer stop()
	eventually(t, "it says so", func() bool { return h.Health().State == "consumption pauses: the disk is full" })
	if h.Ready() {
		t.Error("ready on a full disk")
	}
	if err := h.Record(t.Context(), points(point{now, 2})); !errors.Is(err, ErrFull) {
		t.Errorf("Record: %v, want ErrFull", err)
	}
	free.Store(2 << 20)
	eventually(t, "it goes on", func() bool { return h.Committed() == 1 })
	eventually(t, "it is ready", h.Ready)
}

func TestWhatWasLostInHandIsReadAgain(t *testing.T) {
	h := open(t, Config{})
	defer h.Close()
	s := newTape()
	defer start(t, func(ctx context.Context) error { return h.Run(ctx, s) })()
	now := time.Now().Truncate(time.Millisecond)
	s.put(points(point{now, 1}))
	eventually(t, "a batch in hand is dropped, as when a commit fails", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.writer.app != nil && h.drop() == nil
	})
	s.put(points(point{now.Add(time.Second), 2}))
	eventually(t, "all is committed", func() bool { return h.Committed() == 2 })
	if _, values := samples(t, h, "host:web-1", "m"); !reflect.DeepEqual(values, []float64{1, 2}) {
		t.Errorf("stored %v, want 1 2", values)
	}
}

func TestRecordIsIdempotentAndVisibleAtOnce(t *testing.T) {
	h := open(t, Config{})
	defer h.Close()
	now := time.Now().Truncate(time.Millisecond)
	feed(t, h, newTape(), points(point{now, 1}))
	band := func(v float64) *signal.Batch {
		b := &signal.Batch{}
		s := b.AddSeries(signal.MakeSeries(signal.MakeLabels(map[string]string{
			"__name__": "homeostat_expected", "homeostat_entity": "host:web-1", "detector": "host", "feature": "cpu",
		})))
		b.Add(s, now.UnixMilli(), v)
		return b
	}
	for range 3 {
		if err := h.Record(t.Context(), band(0.25)); err != nil {
			t.Fatal(err)
		}
		if _, values := samples(t, h, "host:web-1", "homeostat_expected"); !reflect.DeepEqual(values, []float64{0.25}) {
			t.Errorf("stored %v", values)
		}
	}
	if err := h.Record(t.Context(), band(0.5)); err != nil || h.rejectedFor(reasonContradicting) != 1 {
		t.Errorf("a contradiction: %v, counted %v", err, h.rejectedFor(reasonContradicting))
	}
	if got := h.entities.lastBatch("host:web-1"); got != "ba-0-1" {
		t.Errorf("last batch %q: what is recorded is of no batch", got)
	}
}

func TestSafePositionStaysTwoMinutesBehind(t *testing.T) {
	h := &History{}
	now := time.Now()
	for i := range 200 {
		h.safe = append(h.safe, commit{now.Add(time.Duration(i) * time.Second), uint64(i + 1)})
	}
	for _, tt := range []struct {
		at   time.Duration
		want uint64
	}{{0, 0}, {safeAfter - 1, 0}, {safeAfter, 1}, {safeAfter + 10*time.Second, 11}, {time.Hour, 200}} {
		if h.settle(now.Add(tt.at)); h.safeSeq != tt.want {
			t.Errorf("after %s: %d, want %d", tt.at, h.safeSeq, tt.want)
		}
	}
}

func TestSamplesFindEntitiesAsLabelsDo(t *testing.T) {
	h := open(t, Config{})
	defer h.Close()
	now := time.Now()
	b := &signal.Batch{}
	for i, ls := range []map[string]string{
		{"host_name": "web-1"},
		{"host_id": "web-1"},
		{"host_name": "web-1", "host_id": "x"},
		{"host_name": "db", "host_id": "web-1"},
		{"service_name": "cart", "service_namespace": "shop"},
		{"service_name": "shop/cart"},
		{"service_name": "cart"},
		{"instance": "a:1", "job": "node"},
		{"job": "node"},
		{"homeostat_entity": "host:web-1", "host_name": "other"},
		{"zone": "z"},
		{"homeostat_entity": "disk:c", "host_name": "web-1"},
	} {
		ls["__name__"], ls["i"] = "m", fmt.Sprint(i)
		b.Add(b.AddSeries(signal.MakeSeries(signal.MakeLabels(ls))), now.UnixMilli(), float64(i))
	}
	feed(t, h, newTape(), b)
	want := map[signal.EntityID]int{}
	for _, s := range b.Dict {
		want[s.Entity]++
	}
	got := map[signal.EntityID]int{}
	for id := range want {
		if id == "none:" {
			continue
		}
		if _, values := samples(t, h, id, "m"); len(values) > 0 {
			got[id] = len(values)
		}
	}
	delete(want, "none:") // what is of no entity has no labels to be found by
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestQueriesAreBounded(t *testing.T) {
	h := open(t, Config{QuerySamples: 20})
	defer h.Close()
	now := time.Now()
	b := points(point{now.Add(-3 * time.Second), 1}, point{now.Add(-2 * time.Second), 2}, point{now, 3})
	feed(t, h, newTape(), b)
	got, err := h.Query(t.Context(), "m", now)
	want := []signal.Samples{{Labels: map[string]string{"__name__": "m", "host_name": "web-1"}, Times: []int64{now.UnixMilli()}, Values: []float64{3}}}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(d, err)
	}
	if _, err := h.QueryRange(t.Context(), "m", now.Add(-time.Minute), now.Add(time.Minute), time.Second); err == nil {
		t.Error("a query of more samples than allowed was answered")
	}
	if _, err := h.QueryRange(t.Context(), "m", now.Add(-time.Hour), now, time.Millisecond); err == nil {
		t.Error("a query of more points than allowed was answered")
	}
	if _, err := h.QueryRange(t.Context(), "m", now, now, 0); err == nil {
		t.Error("a step of 0 was taken")
	}
	if _, err := h.Query(t.Context(), "m{", now); err == nil {
		t.Error("half a query was answered")
	}
	ranged, err := h.QueryRange(t.Context(), "scalar(m) + 1", now, now.Add(time.Second), time.Second)
	if err != nil || len(ranged) != 1 || !reflect.DeepEqual(ranged[0].Values, []float64{4, 4}) {
		t.Errorf("range %v, %v", ranged, err)
	}
}
