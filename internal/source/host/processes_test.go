package host

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"homeostat/internal/signal"
)

// me is a host for tests.
var me = Identity{ID: "i-1", Name: "web-1"}

func newProcesses(t testing.TB, c ProcessConfig, dir string) *Processes {
	t.Helper()
	p, err := NewProcesses(c, me, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.file.close)
	return p
}

func TestScanSeesThisProcess(t *testing.T) {
	p := newProcesses(t, ProcessConfig{Top: 100}, "")
	if err := p.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, q := range p.Top(time.Time{}, 100) {
		if int(q.PID) != os.Getpid() {
			continue
		}
		if q.RSS < 1<<20 || !strings.Contains(q.Command, "host.test") || q.Name == "" || q.User == "" || time.Since(q.Began).Abs() > time.Hour {
			t.Errorf("%+v", q)
		}
		return
	}
	t.Errorf("this process is not among %d", len(p.Top(time.Time{}, 100)))
}

// record fills a record with made scans, a minute apart, the last one at end.
func record(p *Processes, end time.Time, scans ...[]signal.Process) {
	for i, ps := range scans {
		p.keep(context.Background(), scan{At: end.Add(time.Duration(i-len(scans)+1) * time.Minute), Processes: ps})
	}
}

func TestTrendIsThatOfTheProcessAlone(t *testing.T) {
	began := time.Now().UTC().Truncate(time.Second).Add(-time.Hour)
	at := func(rss uint64, cpuSeconds float64, began time.Time) []signal.Process {
		return []signal.Process{{PID: 7, Began: began, RSS: rss, CPUSeconds: cpuSeconds}, {PID: 8, Began: began, RSS: 5}}
	}
	p := newProcesses(t, ProcessConfig{}, "")
	record(p, time.Now(),
		at(9_000_000, 900, began.Add(-time.Hour)), // another process with the same pid
		at(1_000_000, 10, began), at(1_600_000, 40, began), nil, at(2_800_000, 100, began),
		at(90_000_000, 130, began), // one outlier
		at(4_000_000, 160, began))
	tr, ok := p.Trend(7)
	if !ok || tr.Scans != 5 || tr.RSSSlope < 9_000 || tr.RSSSlope > 11_000 || tr.CPUMean != 0.5 {
		t.Errorf("%+v %v, want 10,000 bytes/s and half a core", tr, ok)
	}
	if _, ok := p.Trend(9); ok {
		t.Error("a trend of a process that nobody saw")
	}
}

func TestTopAtAMoment(t *testing.T) {
	p := newProcesses(t, ProcessConfig{}, "")
	end := time.Now().UTC().Truncate(time.Second)
	record(p, end, []signal.Process{{PID: 1}}, []signal.Process{{PID: 2, CPU: 2}, {PID: 3, RSS: 9}, {PID: 4, CPU: 1, RSS: 1}})
	var pids []int32
	for _, q := range p.Top(end.Add(time.Second), 1) {
		pids = append(pids, q.PID)
	}
	if diff := cmp.Diff([]int32{2, 3}, pids); diff != "" {
		t.Errorf("the busiest and the biggest: %s", diff)
	}
	if got := p.Top(end.Add(-time.Second), 5); len(got) != 1 || got[0].PID != 1 {
		t.Errorf("a second before: %v", got)
	}
	if got := p.Top(end.Add(-time.Hour), 5); len(got) != 0 {
		t.Errorf("before the record: %v", got)
	}
	if ps, err := p.Processes(t.Context(), "host:db-1", end); err != nil || len(ps) != 0 {
		t.Errorf("of another host: %v %v", ps, err)
	}
}

func TestRecordOutlivesARestart(t *testing.T) {
	dir := t.TempDir()
	end := time.Now().UTC().Truncate(time.Second)
	p := newProcesses(t, ProcessConfig{}, dir)
	record(p, end, []signal.Process{{PID: 7, RSS: 1}}, []signal.Process{{PID: 7, RSS: 2}})
	path := filepath.Join(dir, "processes.jsonl")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// Killed in the middle of a line.
	if err := os.WriteFile(path, append(text, text[:len(text)/3]...), 0o600); err != nil {
		t.Fatal(err)
	}
	p = newProcesses(t, ProcessConfig{}, dir)
	if got := p.Top(end, 5); len(got) != 1 || got[0].RSS != 2 {
		t.Errorf("%v", got)
	}
	record(p, end.Add(time.Minute), []signal.Process{{PID: 7, RSS: 3}})
	p = newProcesses(t, ProcessConfig{}, dir)
	if tr, ok := p.Trend(7); !ok || tr.Scans != 3 {
		t.Errorf("%+v %v, want 3 scans: what follows a broken line is lost", tr, ok)
	}
}

func TestRecordIsBounded(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		keep := time.Duration(rapid.IntRange(1, 20).Draw(rt, "keep")) * time.Minute
		p := newProcesses(t, ProcessConfig{Interval: time.Second, Keep: keep}, dir)
		now := time.Now()
		for range rapid.IntRange(1, 200).Draw(rt, "scans") {
			now = now.Add(time.Duration(rapid.IntRange(1, 60).Draw(rt, "gap")) * time.Second)
			p.keep(t.Context(), scan{At: now, Processes: []signal.Process{{PID: 1}}})
			if oldest := p.scans[0].At; now.Sub(oldest) > keep {
				rt.Fatalf("keeps %v, want %v", now.Sub(oldest), keep)
			}
		}
		p.file.close()
		f, scans, err := openScans(dir, now.Add(-keep))
		if err != nil {
			rt.Fatal(err)
		}
		f.close()
		if len(scans) != len(p.scans) {
			rt.Fatalf("the file has %d scans, the memory %d", len(scans), len(p.scans))
		}
	})
}

func TestAttach(t *testing.T) {
	now := time.Now()
	event := func(kind string, entity signal.EntityID, at time.Time) signal.Event {
		e, err := signal.NewEvent("history", kind, "al-1", at, signal.Alert{Head: signal.Head{ID: "al-1", Entity: entity, Cause: []string{}}, Rule: "HighCPU"})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	for _, tt := range []struct {
		name  string
		event signal.Event
		want  bool
	}{
		{"an alert of this host", event(signal.AlertFiring, "host:web-1", now), true},
		{"by its id", event(signal.AlertFiring, "host:i-1", now), true},
		{"another host", event(signal.AlertFiring, "host:db-1", now), false},
		{"an end", event(signal.AlertResolved, "host:web-1", now), false},
		{"long ago, and nothing is known", event(signal.AlertFiring, "host:web-1", now.Add(-time.Hour)), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newProcesses(t, ProcessConfig{}, "")
			id := tt.event.ID
			for range 2 { // a second time changes nothing
				if err := p.Attach(t.Context(), &tt.event); err != nil {
					t.Fatal(err)
				}
			}
			var a signal.Alert
			if err := json.Unmarshal(tt.event.Detail, &a); err != nil {
				t.Fatalf("%v: %s", err, tt.event.Detail)
			}
			if n := len(a.Processes); (n > 0) != tt.want || n > 2*attached || tt.event.ID != id || a.Rule != "HighCPU" {
				t.Errorf("%d processes: %s", n, tt.event.Detail)
			}
		})
	}
}

func TestCommandLinesAreCut(t *testing.T) {
	if got := commandLine("sh\x00-c\x00x\x00"); got != "sh -c x" {
		t.Errorf("%q", got)
	}
	if got := commandLine(strings.Repeat("é", 200)); len(got) > maxCommand || strings.Contains(got, "\uFFFD") {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}

func TestProcessesRunEnds(t *testing.T) {
	p := newProcesses(t, ProcessConfig{Interval: time.Second}, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func BenchmarkLook(b *testing.B) {
	p := newProcesses(b, ProcessConfig{}, "")
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		p.looked = p.looked.Add(-time.Minute)
		if err := p.look(b.Context(), false); err != nil {
			b.Fatal(err)
		}
		n = len(p.before)
	}
	b.ReportMetric(float64(n), "processes")
}
