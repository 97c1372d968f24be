package detect

import (
	"testing"
	"time"
)

// TestQuietTimeAndEffects: a host's CPU jumps three times, an hour after the first and then so late that it is told again.
func TestQuietTimeAndEffects(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		c    Config
		want []time.Duration // when anomalies began, after the first two days
	}{
		{"told as they come", Config{}, []time.Duration{time.Hour, 3 * time.Hour, 9 * time.Hour}},
		{"a quiet time", Config{Quiet: 4 * time.Hour}, []time.Duration{time.Hour, 9 * time.Hour}},
		{"an effect that is out of reach", Config{Effects: map[string]float64{"cpu": 2}}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.c.Series = []string{"cpu"}
			d := newForests(t, tt.c)
			day := start().Add(50 * time.Hour) // before that, more is asked of news
			h := newHost(3, "web-1", start(), time.Minute)
			h.faults = func(at time.Time, l *load) {
				for i, begin := range []time.Duration{time.Hour, 3 * time.Hour, 9 * time.Hour} {
					if since := at.Sub(day.Add(begin)); since >= 0 && since < 10*time.Minute {
						l.cpu = 0.6 + 0.15*float64(i) // each newer than the one before
					}
				}
			}
			var got []time.Duration
			for h.at.Before(day.Add(12 * time.Hour)) {
				_, b := h.next()
				for _, a := range d.Process(nil, b) {
					if a.Ended.IsZero() && !a.Began.Before(day) {
						got = append(got, a.Began.Sub(day).Round(time.Hour))
					}
				}
			}
			if len(got) != len(tt.want) {
				t.Fatalf("anomalies began %v after the first two days, want %v", got, tt.want)
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Errorf("anomalies began %v after the first two days, want %v", got, tt.want)
				}
			}
		})
	}
}
