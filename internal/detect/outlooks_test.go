package detect

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"homeostat/internal/detect/outlook"
	"homeostat/internal/signal"
)

// fillingDisk is a filesystem by the minute that is full after n minutes.
func fillingDisk(n int) []*signal.Batch {
	s := signal.MakeSeries(signal.MakeLabels(map[string]string{
		signal.MetricName: "system_filesystem_utilization_ratio", "host_name": "db-1", "system_filesystem_mountpoint": "/var",
	}))
	batches := make([]*signal.Batch, n)
	for i := range batches {
		b := &signal.Batch{}
		b.Add(b.AddSeries(s), start().Add(time.Duration(i)*time.Minute).UnixMilli(), 1-0.003*float64(n-i))
		batches[i] = b
	}
	return batches
}

func TestOutlookForeseesOnceOverARestart(t *testing.T) {
	c := RunnerConfig{Detectors: []Config{{Name: "disks", Kind: "deepar", Entity: "host", Limits: map[string]float64{"disk": 0.99}}}}
	tape := fillingDisk(120)
	whole := &book{events: map[string]signal.Event{}}
	play(t, c, tape, whole, nil)
	if len(whole.ids) != 1 || whole.events[whole.ids[0]].DetailType != signal.ForecastBreach {
		t.Fatalf("published %d events, want one breach", len(whole.ids))
	}
	c.Dir = t.TempDir()
	parts := &book{events: map[string]signal.Event{}}
	play(t, c, tape[:60], parts, nil)
	r := play(t, c, tape, parts, nil)
	if d := cmp.Diff(whole.events, parts.events); d != "" {
		t.Errorf("with a restart it says something else: %s", d)
	}
	if l := r.Learning(); len(l) != 1 || l[0].Kind != "deepar" || l[0].Entity != "host:db-1" {
		t.Errorf("learning: %+v", l)
	}
}

func TestOutlookConfigRefuses(t *testing.T) {
	for want, c := range map[string]Config{
		`series "cpu": kind deepar knows response_time, response_time_p95, requests, errors, disk`: {Kind: "deepar", Series: []string{"cpu"}},
		`limits: "disk" isn't among its series`:                                                    {Kind: "deepar", Limits: map[string]float64{"disk": 1}},
		"its interval is 1m":                                                                       {Kind: "deepar", Interval: time.Second},
		"limits and objectives are of kind deepar":                                                 {Kind: "rcf", Limits: map[string]float64{"cpu": 1}},
		"detector x: limits: errors: 5: want a share of at most 1":                                 {Name: "x", Kind: "deepar", Limits: map[string]float64{"errors": 5}},
		`detector x: objectives: "disk" isn't among its series response_time`:                      {Name: "x", Kind: "deepar", Objectives: []outlook.Objective{{Endpoint: "/var", Disk: new(0.9)}}},
	} {
		if wrong := Check([]Config{c}); len(wrong) != 1 || !strings.Contains(wrong[0].Error(), want) {
			t.Errorf("%v, want %q", wrong, want)
		}
	}
}
