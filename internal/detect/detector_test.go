package detect

import (
	"testing"
	"time"

	"homeostat/internal/signal"
)

func start() time.Time { return time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC) } // a Monday

func TestRunawayIsFoundAfterAMinuteOfLearning(t *testing.T) {
	for seed := range uint64(20) {
		d, err := New(Config{Interval: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		h := newHost(seed, "web-1", start(), time.Second)
		fault := start().Add(60 * time.Second)
		h.faults = func(at time.Time, l *load) {
			if !at.Before(fault) {
				l.cpu += 0.5
			}
		}
		var found []signal.Anomaly
		for range 150 {
			_, b := h.next()
			found = d.Process(found, b)
		}
		if len(found) == 0 {
			t.Errorf("seed %d: nothing found", seed)
			continue
		}
		a := found[0]
		if after := a.Began.Sub(fault); after < 0 || after > 10*time.Second {
			t.Errorf("seed %d: found %v after the fault: %s", seed, after, a.Reason)
		}
		if seed%4 == 0 {
			t.Log(a.Reason, a.Score, a.Threshold, a.Grade)
		}
	}
}
