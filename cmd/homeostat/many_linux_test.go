package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/prompb"
)

// manyHosts share the series.
const manyHosts = 50

// metric reads one of the child's own metrics; its samples are added up.
func (c *child) metric(ctx context.Context, name string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	sum := 0.0
	for s := bufio.NewScanner(res.Body); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), name); ok && (rest[0] == ' ' || rest[0] == '{') {
			v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
			if err != nil {
				return 0, err
			}
			sum += v
		}
	}
	_, err = io.Copy(io.Discard, res.Body)
	return sum, err
}

// used returns what the child's process holds in memory now and held at most, in bytes, and the processor time that it took.
func (c *child) used(t *testing.T) (now, most int64, took time.Duration) {
	t.Helper()
	dir := filepath.Join("/proc", strconv.Itoa(c.cmd.Process.Pid))
	text, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kb int64
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kb); n == 1 {
			now = kb << 10
		}
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kb); n == 1 {
			most = kb << 10
		}
	}
	text, err = os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	for _, f := range fields[11:13] { // utime, stime: hundredths of a second
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		took += time.Duration(n) * 10 * time.Millisecond
	}
	return now, most, took
}

// TestManySeriesSoak has one process watch many series, each with a model of its own, at a sample a minute of the data's time:
// 20,000 of them with HOMEOSTAT_SOAK=1 (or HOMEOSTAT_SERIES) over HOMEOSTAT_MINUTES, 100 else. It must stay within what
// `detector quote` says, take less than two cores, and have all models after a kill.
func TestManySeriesSoak(t *testing.T) {
	series, minutes := 100, 50
	if os.Getenv("HOMEOSTAT_SOAK") != "" {
		series, minutes = 20_000, 600
	}
	for name, n := range map[string]*int{"HOMEOSTAT_SERIES": &series, "HOMEOSTAT_MINUTES": &minutes} {
		if text := os.Getenv(name); text != "" {
			v, err := strconv.Atoi(text)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			*n = v
		}
	}
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"homeostat.yaml": `
sources: {host: {off: true, name: many}}
detectors: [{name: many, series: [load], each: true, entity: host}]
`})
	address, data := freeAddress(t), filepath.Join(dir, "data")
	config := filepath.Join(dir, "homeostat.yaml")
	c := startChild(t, address, data, config)
	c.awaitReady(t, "a first start", func(r readiness) bool { return r.Ready })

	rng := rand.New(rand.NewPCG(1, 2))
	first := time.Now().Add(-time.Duration(minutes) * time.Minute).Truncate(time.Minute)
	per := max(series/manyHosts, 1)
	caughtUp := func(minute int) {
		want := float64(series * (minute - 1)) // the last one is open
		c.await(t, fmt.Sprintf("%.0f intervals scored", want), func() bool {
			got, err := c.metric(t.Context(), "homeostat_detect_intervals_total")
			return err == nil && got >= want
		}, func() string { return "" })
	}
	for minute := range minutes {
		at := first.Add(time.Duration(minute) * time.Minute)
		w := &prompb.WriteRequest{}
		for k := range series {
			v := 50 + 20*math.Sin(2*math.Pi*float64(minute)/1440+float64(k)) + 3*rng.NormFloat64()
			w.Timeseries = append(w.Timeseries, prompb.TimeSeries{
				Labels:  promLabels("__name__", "load", "disk", strconv.Itoa(k%per), "host_name", fmt.Sprintf("many-%02d", k/per)),
				Samples: []prompb.Sample{{Timestamp: at.UnixMilli(), Value: v}},
			})
			if len(w.Timeseries) == 2000 || k == series-1 {
				if _, err := send(t.Context(), http.DefaultClient, c.url, w); err != nil {
					t.Fatal(err)
				}
				w = &prompb.WriteRequest{}
			}
		}
		if minute%10 == 9 {
			caughtUp(minute)
		}
	}
	caughtUp(minutes - 1)
	now, most, took := c.used(t)
	perMinute := took / time.Duration(minutes)
	t.Logf("%d series over %d minutes: %d MB resident, %d at most; %v of processor time for a minute of data", series, minutes, now>>20, most>>20, perMinute.Round(time.Millisecond))
	limit := aimFor(int64(series)*(96<<10)) + memoryAim
	if underRace() {
		limit *= 4 // the race detector's own shadow of the memory
	}
	if most > limit {
		t.Errorf("%d bytes at most, %d were quoted", most, limit)
	}
	if perMinute > 2*time.Minute {
		t.Errorf("a minute of data takes %v of processor time: more than two cores have", perMinute)
	}

	c.kill(t)
	c = startChild(t, address, data, config)
	c.awaitReady(t, "after a kill", func(r readiness) bool { return r.Ready })
	c.await(t, "all models", func() bool {
		got, err := c.metric(t.Context(), "homeostat_detect_models")
		return err == nil && got == float64(series)
	}, func() string { return c.log.String() })
	c.stop(t)
}

// underRace says whether this binary, which is the child's too, was built with the race detector.
func underRace() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "-race" && s.Value == "true" })
}
