package outlook

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"homeostat/internal/signal"
)

// ordinary is the life of endpoints of all sizes: a day's wave, load and response time that wander from minute to minute, bursts of a
// minute, durations with a long tail, one request in two hundred failing.
type ordinary struct {
	rng       *rand.Rand
	endpoints []ordinaryEndpoint
}

type ordinaryEndpoint struct {
	requests, seconds, phase float64 // a minute; each
	load, slow               float64 // how far they have wandered
	sum, count, failed       float64
}

func newOrdinary(n int, seed uint64) *ordinary {
	o := &ordinary{rng: rand.New(rand.NewPCG(seed, 1))}
	for range n {
		o.endpoints = append(o.endpoints, ordinaryEndpoint{requests: math.Exp(2 + 4*o.rng.Float64()), seconds: 0.02 * math.Exp(3*o.rng.Float64()), phase: o.rng.Float64()})
	}
	return o
}

// batch is minute m.
func (o *ordinary) batch(m int64) *signal.Batch {
	const base = "http_request_duration_seconds"
	b := &signal.Batch{}
	for i := range o.endpoints {
		e := &o.endpoints[i]
		e.load = 0.95*e.load + 0.05*o.rng.NormFloat64()
		e.slow = 0.9*e.slow + 0.08*o.rng.NormFloat64()
		mean := e.requests * math.Exp(0.6*math.Sin(2*math.Pi*(float64(m)/1440+e.phase))+e.load)
		n := max(0, math.Round(mean+math.Sqrt(mean)*o.rng.NormFloat64()))
		if o.rng.Float64() < 0.003 {
			n *= 3
		}
		for range int(n) {
			x := e.seconds * math.Exp(e.slow+0.8*o.rng.NormFloat64())
			if o.rng.Float64() < 0.002 {
				x *= 20
			}
			e.sum += x
			e.count++
			if o.rng.Float64() < 0.005 {
				e.failed++
			}
		}
		handler, at := fmt.Sprint("/", i), (began+m)*minute
		b.Add(b.AddSeries(sample(base+"_count", "handler", handler, "code", "200")), at, e.count-e.failed)
		b.Add(b.AddSeries(sample(base+"_count", "handler", handler, "code", "500")), at, e.failed)
		b.Add(b.AddSeries(sample(base+"_sum", "handler", handler, "code", "200")), at, e.sum)
	}
	return b
}

// TestQuietWeeksOfEndpoints counts what is told of ordinary life, and how the bands do. It takes minutes.
func TestQuietWeeksOfEndpoints(t *testing.T) {
	if os.Getenv("HOMEOSTAT_BENCH") == "" {
		t.Skip("slow: make bench-quiet")
	}
	const endpoints, days = 6, 4
	d := New(Config{Features: []string{ResponseTime, Requests, Errors}})
	o := newOrdinary(endpoints, 62)
	told := 0
	for m := range int64(days * 1440) {
		found, _ := d.Process(uint64(m+1), o.batch(m))
		for _, a := range found {
			if a.Ended.IsZero() {
				t.Logf("minute %d: %s (score %.1f)", m, a.Reason, a.Score)
				told++
			}
		}
	}
	for _, key := range d.keys() {
		for i, tr := range d.watched[key].tracks {
			t.Logf("%q %s: of late the band holds %.3f near, %.3f far", key, d.c.Features[i], tr.Near.Covered, tr.Far.Covered)
		}
	}
	perWeek := float64(told) * 7 / (endpoints * days)
	t.Logf("%.2f anomalies a week of each endpoint", perWeek)
	if perWeek > 1 {
		t.Errorf("%d anomalies in %d days of ordinary life of %d endpoints", told, days, endpoints)
	}
}
