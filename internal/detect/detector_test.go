package detect

import (
	"bytes"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"homeostat/internal/signal"
)

func start() time.Time { return time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC) } // a Monday

func newForests(t testing.TB, c Config) *Forests {
	t.Helper()
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestRunawayIsFoundAfterAMinuteOfLearning(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		d := newForests(t, Config{Interval: time.Second})
		h := newHost(seed, "web-1", start(), time.Second)
		fault := start().Add(60 * time.Second)
		h.faults = func(at time.Time, l *load) {
			if !at.Before(fault) {
				l.cpu += 0.5
			}
		}
		var found []signal.Anomaly
		for range 75 {
			_, b := h.next()
			found = d.Process(found, b)
		}
		w := d.watched["host:web-1"]
		if w.open != nil {
			found = w.end(found, "")
		}
		// A burst of the disk just before may have begun the anomaly that the fault then carries on.
		if !slices.ContainsFunc(found, func(a signal.Anomaly) bool { return a.Ended.After(fault) }) {
			t.Errorf("seed %d: nothing found within 15 s: %v", seed, found)
		}
	}
}

// TestFaultsOfAHost plants faults of a quarter of an hour and more in the second day of a host, at one minute.
func TestFaultsOfAHost(t *testing.T) {
	t.Parallel()
	begin := start().Add(26 * time.Hour)
	before := newForests(t, Config{})
	for h := newHost(3, "web-1", start(), 15*time.Second); h.at.Before(begin); {
		_, b := h.next()
		before.Process(nil, b)
		before.watched["host:web-1"].model.quick = true
	}
	var learnt bytes.Buffer
	if err := before.Checkpoint(&learnt); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		length time.Duration
		fault  func(l *load, share float64) // share of the fault's time gone by
		lead   string                       // the feature that the reason must begin with
	}{
		{"cpu shift", 15 * time.Minute, func(l *load, _ float64) { l.cpu += 0.45 }, "cpu"},
		{"memory leak", 2 * time.Hour, func(l *load, share float64) { l.memory += 0.4 * share }, "memory"},
		{"disk storm", 15 * time.Minute, func(l *load, _ float64) { l.disk += 3e7 }, "disk"},
		{"network flood", 3 * time.Minute, func(l *load, _ float64) { l.net *= 10 }, "network"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newForests(t, Config{})
			if err := d.Restore(bytes.NewReader(learnt.Bytes())); err != nil {
				t.Fatal(err)
			}
			h := newHost(3, "web-1", start(), 15*time.Second)
			for h.at.Before(begin) { // the same host lives through the same days
				h.next()
			}
			h.faults = func(at time.Time, l *load) {
				if gone := at.Sub(begin); gone >= 0 && gone < tt.length {
					tt.fault(l, gone.Seconds()/tt.length.Seconds())
				}
			}
			var found []signal.Anomaly
			for h.at.Before(begin.Add(tt.length + 20*time.Minute)) {
				_, b := h.next()
				found = d.Process(found, b)
			}
			for _, a := range found {
				if a.Ended.After(begin) {
					if a.Attribution[tt.lead] < 0.25 {
						t.Errorf("%s is hardly blamed: %v: %s", tt.lead, a.Attribution, a.Reason)
					}
					return
				}
			}
			t.Errorf("not found among %v", found)
		})
	}
}

func TestQuietHostGivesLessThanOneEventADay(t *testing.T) {
	t.Parallel()
	interval, days, seeds := 2*time.Minute, 1, uint64(1)
	if os.Getenv("HOMEOSTAT_SOAK") != "" {
		interval, days, seeds = time.Minute, 6, 4
	}
	for seed := range seeds {
		d := newForests(t, Config{Interval: interval})
		h := newHost(seed, "web-1", start(), time.Minute)
		var found []signal.Anomaly
		for h.at.Before(start().Add(time.Duration(days+1) * 24 * time.Hour)) {
			_, b := h.next()
			found = d.Process(found, b)
			d.watched["host:web-1"].model.quick = true
		}
		events := 0
		for _, a := range found {
			if a.Ended.IsZero() && a.Began.After(start().Add(24*time.Hour)) {
				events++
			}
		}
		if events >= days {
			t.Errorf("seed %d: %d events in %d days", seed, events, days)
		}
	}
}

func TestAnomalySaysWhatWasStrange(t *testing.T) {
	t.Parallel()
	d := newForests(t, Config{})
	h := newHost(3, "web-1", start(), 15*time.Second)
	begin := start().Add(6 * time.Hour)
	h.faults = func(at time.Time, l *load) {
		if !at.Before(begin) && at.Before(begin.Add(10*time.Minute)) {
			l.cpu = 0.97
		}
	}
	var found []signal.Anomaly
	for h.at.Before(begin.Add(time.Hour)) {
		_, b := h.next()
		if w := d.watched["host:web-1"]; w != nil {
			w.model.quick = h.at.Before(begin)
		}
		for _, a := range d.Process(nil, b) {
			if !a.Began.Before(begin) {
				found = append(found, a)
			}
		}
	}
	if len(found) != 2 || found[0].ID != found[1].ID || !found[0].Ended.IsZero() || found[1].Ended.IsZero() {
		t.Fatalf("want one anomaly, begun and ended: %v", found)
	}
	a := found[0]
	if want := signal.MakeID(signal.KindAnomaly, "host", "host:web-1", "all", a.Began.Format(time.RFC3339Nano)); a.ID != want {
		t.Errorf("id %s, want %s", a.ID, want)
	}
	sum := 0.0
	for _, share := range a.Attribution {
		sum += share
	}
	if math.Abs(sum-1) > 1e-9 {
		t.Errorf("attribution adds up to %v", sum)
	}
	if !strings.HasPrefix(a.Reason, "CPU 9") || !strings.Contains(a.Reason, "of the score CPU has ") {
		t.Errorf("reason %q", a.Reason)
	}
	if len(a.Cause) != 1 || signal.KindOf(a.Cause[0]) != signal.KindBatch {
		t.Errorf("cause %v", a.Cause)
	}
	if took := found[1].Ended.Sub(a.Began); took > 20*time.Minute {
		t.Errorf("a fault of 10 minutes went on for %v", took)
	}
	if !(a.Grade > 0 && a.Grade <= 1 && a.Score > a.Threshold && a.Upper["cpu"] < 0.9) {
		t.Errorf("%+v", a)
	}
}

// batchOf makes a batch of one entity: rows of series index, seconds, value.
func batchOf(dict []signal.Series, rows ...[3]float64) *signal.Batch {
	b := &signal.Batch{ID: "ba-0-1", Dict: dict}
	for _, r := range rows {
		b.Add(int32(r[0]), int64(r[1]*1000), r[2])
	}
	return b
}

func seriesOf(kv ...string) signal.Series {
	m := map[string]string{"host_name": "a"}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	return signal.MakeSeries(signal.MakeLabels(m))
}

// values returns what was recorded as homeostat_value of the feature, by second.
func values(d *Forests, feature string) map[int64]float64 {
	out := map[int64]float64{}
	for i, s := range d.bands.Series {
		ls := d.bands.Dict[s].Labels
		if ls.Value(signal.MetricName) == "homeostat_value" && ls.Value("feature") == feature {
			out[d.bands.Times[i]/1000] = d.bands.Values[i]
		}
	}
	return out
}

func TestIntervals(t *testing.T) {
	nan := math.NaN()
	gauge := []signal.Series{seriesOf("__name__", "temp")}
	counter := []signal.Series{seriesOf("__name__", "x_total", "d", "0"), seriesOf("__name__", "x_total", "d", "1")}
	for _, tt := range []struct {
		name    string
		feature string
		batches []*signal.Batch
		want    map[int64]float64
		late    uint64
	}{
		{"mean of the samples", "temp", []*signal.Batch{batchOf(gauge, [3]float64{0, 1, 2}, [3]float64{0, 5, 4}, [3]float64{0, 12, 9})}, map[int64]float64{10: 3}, 0},
		{"not before the lateness is over", "temp", []*signal.Batch{batchOf(gauge, [3]float64{0, 1, 2}, [3]float64{0, 10, 9}, [3]float64{0, 9, 4})}, map[int64]float64{}, 0},
		{"a late sample is set aside", "temp", []*signal.Batch{batchOf(gauge, [3]float64{0, 1, 2}, [3]float64{0, 12, 9}), batchOf(gauge, [3]float64{0, 9, 50}, [3]float64{0, 22, 0})}, map[int64]float64{10: 2, 20: 9}, 1},
		{"unordered within a batch", "temp", []*signal.Batch{batchOf(gauge, [3]float64{0, 12, 9}, [3]float64{0, 1, 2}, [3]float64{0, 5, 4})}, map[int64]float64{10: 3}, 0},
		{"NaN is a gap", "temp", []*signal.Batch{batchOf(gauge, [3]float64{0, 1, nan}, [3]float64{0, 5, 4}, [3]float64{0, 12, nan}, [3]float64{0, 22, 1})}, map[int64]float64{10: 4}, 0},
		{"a jump ahead", "temp", []*signal.Batch{batchOf(gauge, [3]float64{0, 1, 2}, [3]float64{0, 1000, 3}, [3]float64{0, 1012, 3})}, map[int64]float64{10: 2, 1010: 3}, 0},
		{"rates add up", "x_total", []*signal.Batch{batchOf(counter, [3]float64{0, 0, 100}, [3]float64{1, 0, 0}, [3]float64{0, 5, 150}, [3]float64{1, 5, 5}, [3]float64{0, 12, 150})}, map[int64]float64{10: 11}, 0},
		{"a counter begins again", "x_total", []*signal.Batch{batchOf(counter, [3]float64{0, 0, 100}, [3]float64{0, 5, 20}, [3]float64{0, 12, 20})}, map[int64]float64{10: 4}, 0},
		{"no increase across a gap", "x_total", []*signal.Batch{batchOf(counter, [3]float64{0, 0, 100}, [3]float64{0, 5, nan}, [3]float64{0, 6, 900}, [3]float64{0, 8, 910}, [3]float64{0, 12, 20})}, map[int64]float64{10: 5}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newForests(t, Config{Series: []string{tt.feature}, Interval: 10 * time.Second})
			for _, b := range tt.batches {
				d.Process(nil, b)
			}
			if diff := cmp.Diff(tt.want, values(d, tt.feature)); diff != "" {
				t.Error(diff)
			}
			if d.late != tt.late {
				t.Errorf("%d late, want %d", d.late, tt.late)
			}
		})
	}
}

func TestEachSeriesHasItsModel(t *testing.T) {
	d := newForests(t, Config{Name: "each", Series: []string{`temp{room=~".+"}`}, Each: true, Interval: time.Second})
	dict := []signal.Series{seriesOf("__name__", "temp", "room", "1"), seriesOf("__name__", "temp", "room", "2"), seriesOf("__name__", "temp")}
	d.Process(nil, batchOf(dict, [3]float64{0, 1, 1}, [3]float64{1, 1, 1}, [3]float64{2, 1, 1}))
	want := []string{"host:a\x00" + dict[0].Labels.String(), "host:a\x00" + dict[1].Labels.String()}
	if diff := cmp.Diff(want, sortedKeys(d.watched)); diff != "" {
		t.Error(diff)
	}
}

func TestSilentEntityEndsItsAnomaly(t *testing.T) {
	d := newForests(t, Config{Interval: time.Second})
	h := newHost(2, "web-1", start(), time.Second)
	h.faults = func(at time.Time, l *load) {
		if at.Sub(start()) >= 100*time.Second {
			l.cpu = 1
		}
	}
	var found []signal.Anomaly
	for range 115 {
		_, b := h.next()
		found = d.Process(found, b)
	}
	if len(found) != 1 {
		t.Fatalf("%d anomalies", len(found))
	}
	other := newHost(3, "web-2", h.at, 10*time.Second)
	for range 50 {
		_, b := other.next()
		for _, a := range d.Process(nil, b) {
			if a.ID == found[0].ID && !a.Ended.IsZero() && strings.Contains(a.Reason, "nothing has come from it since") {
				return
			}
		}
	}
	t.Error("the anomaly of a host that is gone goes on")
}

// replay returns what a detector says of the batches, restored from its own checkpoint after each that cut names.
func replay(t rapidT, batches []*signal.Batch, cut func(i int) bool) ([]signal.Anomaly, []float64) {
	d, err := New(Config{Interval: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	var found []signal.Anomaly
	var bands []float64
	for i, b := range batches {
		found = d.Process(found, b)
		bands = append(bands, d.bands.Values...)
		d.bands.Reset()
		if !cut(i) {
			continue
		}
		var buf bytes.Buffer
		if err := d.Checkpoint(&buf); err != nil {
			t.Fatal(err)
		}
		if d, err = New(Config{Interval: time.Second}); err != nil {
			t.Fatal(err)
		}
		if err := d.Restore(&buf); err != nil {
			t.Fatal(err)
		}
	}
	return found, bands
}

type rapidT interface{ Fatal(...any) }

func TestRestoredCheckpointChangesNothing(t *testing.T) {
	t.Parallel()
	h := newHost(5, "web-1", start(), 700*time.Millisecond)
	h.faults = func(at time.Time, l *load) {
		if gone := at.Sub(start()); gone > 80*time.Second && gone < 95*time.Second {
			l.cpu = 1
		}
	}
	var batches []*signal.Batch
	for range 160 {
		_, b := h.next()
		batches = append(batches, b)
	}
	want, wantBands := replay(t, batches, func(int) bool { return false })
	if len(want) < 2 {
		t.Fatalf("the fault was not found: %v", want)
	}
	// Before the fault, in it, at its begin and end, twice; each cut of them all with HOMEOSTAT_SOAK.
	cuts := [][2]int{{0, 159}, {1, 2}, {60, 118}, {113, 114}, {120, 130}, {136, 140}}
	if os.Getenv("HOMEOSTAT_SOAK") != "" {
		for cut := range batches {
			cuts = append(cuts, [2]int{cut, cut})
		}
	}
	for _, at := range cuts {
		got, gotBands := replay(t, batches, func(i int) bool { return i == at[0] || i == at[1] })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(at, diff)
		}
		if !slices.Equal(gotBands, wantBands) {
			t.Fatal(at, "the bands differ")
		}
	}
}

func TestRestoreOfAnotherConfigurationIsRefused(t *testing.T) {
	d := newForests(t, Config{Interval: time.Second})
	var buf bytes.Buffer
	if err := d.Checkpoint(&buf); err != nil {
		t.Fatal(err)
	}
	if err := newForests(t, Config{Interval: time.Minute}).Restore(&buf); err == nil || !strings.Contains(err.Error(), "was configured as") {
		t.Errorf("error %v", err)
	}
}

func TestConfig(t *testing.T) {
	for _, tt := range []struct {
		name string
		c    Config
		want string
	}{
		{"another kind", Config{Kind: "lstm"}, "want rcf"},
		{"no series", Config{Entity: "service"}, "no series"},
		{"a bad selector", Config{Series: []string{"x{"}}, "want cpu, memory"},
		{"no metric", Config{Series: []string{`{a="b"}`}}, "name the metric"},
		{"an interval too short", Config{Interval: time.Millisecond}, "interval 1ms"},
		{"a percentile", Config{Percentile: 100}, "percentile 100"},
		{"an effect of no series", Config{Effects: map[string]float64{"cpuu": 0.1}}, `"cpuu" isn't among its series cpu, memory, network, disk`},
		{"an effect below 0", Config{Effects: map[string]float64{"cpu": -0.1}}, "want a number of 0 or more"},
		{"a quiet time too long", Config{Quiet: 721 * time.Hour}, "want at most 720h"},
		{"two thresholds", Config{Percentile: 95, Alarms: Rate{1, time.Hour}}, "want one of them"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := New(tt.c); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v", err)
			}
		})
	}
	if wrong := Check([]Config{{Name: "a"}, {Name: "a"}}); len(wrong) != 1 || wrong[0].Path != "[1]" {
		t.Errorf("a name taken twice: %v", wrong)
	}
	for text, want := range map[string]Rate{"1/week": {1, 7 * 24 * time.Hour}, "0.5 / day": {0.5, 24 * time.Hour}} {
		var r Rate
		if err := r.UnmarshalText([]byte(text)); err != nil || r != want {
			t.Errorf("%s: %v, %v", text, r, err)
		}
	}
	for _, text := range []string{"", "1", "1/fortnight", "-1/day", "x/day"} {
		if err := new(Rate).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
