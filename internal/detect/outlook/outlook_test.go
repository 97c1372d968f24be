package outlook

import (
	"bytes"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/prompb"

	"homeostat/internal/signal"
)

var began = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC).UnixMilli() / minute // in minutes

func sample(name string, more ...string) signal.Series {
	m := map[string]string{signal.MetricName: name, "service_name": "shop"}
	for i := 0; i < len(more); i += 2 {
		m[more[i]] = more[i+1]
	}
	return signal.MakeSeries(signal.MakeLabels(m))
}

// shop feeds a detector with the request durations of one route, minute by minute.
type shop struct {
	d                  *Detector
	rng                *rand.Rand
	at                 int64
	count, failed, sum float64
	anomalies          []signal.Anomaly
	breaches           []signal.Breach
	native             bool
	route              string
	seq                uint64
}

func newShop(limits map[string]float64) *shop {
	return &shop{
		d:   New(Config{Name: "outlook", Entity: "service", Features: []string{ResponseTime, Requests, Errors}, Limits: limits}),
		rng: rand.New(rand.NewPCG(1, 2)), at: began, route: "/cart",
	}
}

// run feeds n minutes with so many requests a minute that each take so many seconds.
func (s *shop) run(n int, requests, seconds float64) {
	for range n {
		r := math.Round(requests * (1 + 0.05*s.rng.NormFloat64()))
		s.sum += r * seconds * (1 + 0.1*s.rng.NormFloat64())
		s.failed += math.Round(r * 0.01)
		s.count += r - math.Round(r*0.01)
		s.at++
		b := &signal.Batch{ID: "ba-1"}
		t := s.at*minute + 7000
		const base = "http_server_request_duration_seconds"
		if s.native {
			for i, n := range []float64{s.count, s.failed} {
				code := []string{"200", "503"}[i]
				h := prompb.Histogram{Sum: s.sum * float64(1-i), Count: &prompb.Histogram_CountFloat{CountFloat: n}, Timestamp: t}
				data, err := h.Marshal()
				if err != nil {
					panic(err)
				}
				at := b.AddSeries(sample(base, "http_route", s.route, "http_response_status_code", code))
				b.Histograms = append(b.Histograms, signal.Histogram{Series: at, Time: t, Data: data})
			}
		} else {
			b.Add(b.AddSeries(sample(base+"_count", "http_route", s.route, "http_response_status_code", "200")), t, s.count)
			b.Add(b.AddSeries(sample(base+"_count", "http_route", s.route, "http_response_status_code", "503")), t, s.failed)
			b.Add(b.AddSeries(sample(base+"_sum", "http_route", s.route, "http_response_status_code", "200")), t, s.sum)
		}
		s.seq++
		found, breaches := s.d.Process(s.seq, b)
		s.anomalies = append(s.anomalies, found...)
		s.breaches = append(s.breaches, breaches...)
	}
}

func TestSlowerIsToldWithWhetherLoadExplainsIt(t *testing.T) {
	for _, native := range []bool{false, true} {
		s := newShop(nil)
		s.native = native
		s.run(210, 600, 0.1)
		if len(s.anomalies) > 0 {
			t.Fatalf("native %v: in ordinary life: %+v", native, s.anomalies[0].Reason)
		}
		s.run(15, 600, 0.4)
		s.run(30, 600, 0.1)
		if len(s.anomalies) < 2 {
			t.Fatalf("native %v: %d anomalies of a response time four times as long", native, len(s.anomalies))
		}
		a := s.anomalies[0]
		if a.Series[0] != "response_time /cart" || a.Entity != "service:shop" || !strings.HasSuffix(a.Reason, "requests are as forecast, so load doesn't explain it") {
			t.Errorf("native %v: %+v", native, a)
		}
		if delay := a.Began.UnixMilli()/minute - began - 210; delay < 0 || delay > 5 {
			t.Errorf("native %v: told %d minutes after it began", native, delay)
		}
		if last := s.anomalies[1]; last.ID != a.ID || last.Ended.IsZero() {
			t.Errorf("native %v: it doesn't end: %+v", native, last)
		}
		if got := s.d.watched["service:shop\x00/cart"].tracks[2].Latest; math.Abs(got-0.01) > 0.003 {
			t.Errorf("native %v: share of errors %v, want 0.01", native, got)
		}
	}
	s := newShop(nil)
	s.run(210, 600, 0.1)
	s.run(15, 1800, 0.4)
	told := ""
	for _, a := range s.anomalies {
		if a.Series[0] == "response_time /cart" {
			told = a.Reason
		}
	}
	if !strings.Contains(told, "times what was forecast, which explains it") {
		t.Errorf("under three times the load: %q", told)
	}
}

func TestBandHoldsWhatItClaims(t *testing.T) {
	s := newShop(nil)
	s.run(500, 600, 0.1)
	for i, tr := range s.d.watched["service:shop\x00/cart"].tracks[:2] {
		if tr.Near.Covered < 0.74 || tr.Near.Covered > 0.86 {
			t.Errorf("track %d: the band of 0.8 holds %.3f of late", i, tr.Near.Covered)
		}
	}
	if n := len(s.anomalies); n > 0 {
		t.Errorf("%d anomalies in eight ordinary hours: %s", n, s.anomalies[0].Reason)
	}
}

// disk feeds a filesystem that fills by share a minute.
func disk(d *Detector, minutes int, from, share float64, rng *rand.Rand) (told []signal.Breach) {
	for i := range minutes {
		b := &signal.Batch{}
		s := signal.MakeSeries(signal.MakeLabels(map[string]string{
			signal.MetricName: "system_filesystem_utilization_ratio", "host_name": "db-1", "system_filesystem_mountpoint": "/var",
		}))
		b.Add(b.AddSeries(s), (began+int64(i))*minute, from+share*float64(i)+0.0002*rng.NormFloat64())
		_, breaches := d.Process(uint64(i+1), b)
		told = append(told, breaches...)
	}
	return told
}

func TestFullDiskIsForeseen(t *testing.T) {
	d := New(Config{Name: "host-outlook", Entity: "host", Features: []string{Disk}, Limits: map[string]float64{Disk: 0.95}})
	told := disk(d, 300, 0.35, 0.002, rand.New(rand.NewPCG(3, 4))) // at 0.95 in minute 300
	if len(told) != 2 || told[1].Limit != full {                   // 0.95 first, and a little later the end
		t.Fatalf("told %d: %+v", len(told), told)
	}
	b := told[0]
	full := time.UnixMilli((began + 300) * minute).UTC()
	if off := b.At.Sub(full).Abs(); off > 10*time.Minute {
		t.Errorf("foreseen for %v, is full at %v", b.At, full)
	}
	if b.At.Sub(b.Made) < 15*time.Minute || b.Probability < 0.8 || b.Earliest.After(b.At) || len(b.Expected) != horizon {
		t.Errorf("told at %v for %v, probability %.2f, earliest %v", b.Made, b.At, b.Probability, b.Earliest)
	}
	if !strings.HasPrefix(b.Reason, "disk /var is going to cross 95 % in ") {
		t.Error(b.Reason)
	}
	steady := New(Config{Name: "host-outlook", Entity: "host", Features: []string{Disk}, Limits: map[string]float64{Disk: 0.95}})
	if told := disk(steady, 200, 0.9, 0, rand.New(rand.NewPCG(3, 4))); len(told) > 0 {
		t.Errorf("of a disk that doesn't fill: %s", told[0].Reason)
	}
}

// restored is a detector that has taken on what is known of each endpoint of d, as it was after message seq.
func restored(t *testing.T, d *Detector, seq uint64) *Detector {
	t.Helper()
	next := New(d.c)
	next.Resume(d.Now())
	for _, key := range d.keys() {
		state, err := d.Encode(key)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := next.Decode(state, seq); err != nil || got != key {
			t.Fatalf("%q: %v", got, err)
		}
	}
	return next
}

func TestRestoredGoesOnTheSame(t *testing.T) {
	for _, native := range []bool{false, true} {
		one := newShop(map[string]float64{ResponseTime: 0.3})
		one.native = native
		one.run(160, 600, 0.1)
		two := newShop(map[string]float64{ResponseTime: 0.3})
		two.native = native
		two.d = restored(t, one.d, one.seq)
		two.at, two.sum, two.count, two.failed = one.at, one.sum, one.count, one.failed
		one.rng, two.rng = rand.New(rand.NewPCG(9, 9)), rand.New(rand.NewPCG(9, 9))
		one.anomalies, one.breaches = nil, nil
		before, _ := two.d.Encode("service:shop\x00/cart")
		two.seq = one.seq - 1
		two.run(1, 1, 9) // a message that the restored one has had already
		if after, _ := two.d.Encode("service:shop\x00/cart"); !bytes.Equal(before, after) {
			t.Error("took a message a second time")
		}
		two.at, two.sum, two.count, two.failed = one.at, one.sum, one.count, one.failed
		two.rng = rand.New(rand.NewPCG(9, 9))
		for _, s := range []*shop{one, two} {
			s.run(30, 600, 0.1)
			s.run(30, 600, 0.35)
		}
		if d := cmp.Diff(one.anomalies, two.anomalies); d != "" || len(one.anomalies) == 0 {
			t.Errorf("native %v: %d anomalies: %s", native, len(one.anomalies), d)
		}
		if d := cmp.Diff(one.breaches, two.breaches); d != "" {
			t.Error(d)
		}
		state, err := one.d.Encode("service:shop\x00/cart")
		if err != nil {
			t.Fatal(err)
		}
		other := New(Config{Name: "outlook", Entity: "host", Features: []string{Disk}})
		if _, err := other.Decode(state, 1); err == nil {
			t.Error("took the state of another configuration")
		}
		if _, err := two.d.Decode([]byte("nonsense"), 1); err == nil {
			t.Error("took nonsense")
		}
	}
}

func TestDailyModelTakesPart(t *testing.T) {
	s := newShop(nil)
	s.d = New(Config{Name: "outlook", Entity: "service", Features: []string{Requests}})
	if _, ok := s.d.Lessons(); ok {
		t.Fatal("lessons from nothing")
	}
	s.run(1010, 600, 0.1)
	lessons, ok := Lessons{}, false
	for range 11 {
		if lessons, ok = s.d.Lessons(); ok {
			break
		}
		s.run(1, 600, 0.1)
	}
	if !ok || len(lessons.series) != 1 {
		t.Fatalf("lessons of %d kinds, want 1", len(lessons.series))
	}
	if _, again := s.d.Lessons(); again {
		t.Error("lessons twice in a day")
	}
	m, err := learn(t.Context(), lessons, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	s.d.Adopt(m)
	s.run(130, 600, 0.1)
	if method := s.d.watched["service:shop\x00/cart"].tracks[0].Method; !strings.Contains(method, "deepar (loss") {
		t.Errorf("after two hours the model isn't judged: %q", method)
	}
	// An endpoint that is half an hour old has a forecast, and what the others taught is part of it.
	young := newShop(nil)
	young.d, young.seq, young.at, young.route = s.d, s.seq, s.at, "/new"
	young.run(36, 300, 0.2)
	tr := s.d.watched["service:shop\x00/new"].tracks[0]
	if tr.Fan == nil || !strings.Contains(tr.Method, "deepar") {
		t.Errorf("of a new endpoint: %q", tr.Method)
	}
}
