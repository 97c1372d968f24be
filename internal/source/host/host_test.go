package host

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/shirou/gopsutil/v4/disk"
	"go.uber.org/goleak"

	"homeostat/internal/signal"
	"homeostat/internal/source/sourcetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSource(t *testing.T) {
	sourcetest.Run(t, func(t *testing.T) sourcetest.Source {
		s, err := New(Config{Interval: 100 * time.Millisecond}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func TestReadsThisMachine(t *testing.T) {
	s, err := New(Config{Interval: 200 * time.Millisecond}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	sink := &sourcetest.Sink{}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, sink) }()
	batches := sink.Wait(t, 3)
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if len(batches[0].Meta) != len(metadata) || len(batches[1].Meta) != 0 {
		t.Errorf("metadata: %d, then %d; want %d once", len(batches[0].Meta), len(batches[1].Meta), len(metadata))
	}
	last := batches[len(batches)-1]
	sum, have := 0.0, map[string]float64{}
	for i, si := range last.Series {
		ls := last.Dict[si].Labels
		if ls.Value("host_id") == "" || ls.Value("host_name") == "" {
			t.Errorf("%s: no host", ls)
		}
		if last.Dict[si].Entity != s.Host().Entity() {
			t.Errorf("%s: entity %s, want %s", ls, last.Dict[si].Entity, s.Host().Entity())
		}
		name := ls.Value(signal.MetricName)
		have[name] = last.Values[i]
		if name == "system_cpu_utilization_ratio" {
			sum += last.Values[i]
		}
		if strings.HasSuffix(name, "_ratio") && (last.Values[i] < 0 || last.Values[i] > 1) {
			t.Errorf("%s: %v is no share", ls, last.Values[i])
		}
	}
	if math.Abs(sum-1) > 1e-9 {
		t.Errorf("the modes' shares add up to %v", sum)
	}
	for _, name := range []string{
		"system_cpu_utilization_ratio", "system_memory_utilization_ratio", "system_cpu_load_average_1m",
		"system_network_io_bytes_total", "target_info",
	} {
		if _, ok := have[name]; !ok {
			t.Errorf("no %s", name)
		}
	}
}

func TestSharesOfAReset(t *testing.T) {
	for _, tt := range []struct {
		name          string
		before, after [7]float64
		want          [7]float64
		ok            bool
	}{
		{"a second of one core, half idle", [7]float64{10, 5, 100}, [7]float64{10.3, 5.2, 100.5}, [7]float64{0.3, 0.2, 0.5}, true},
		{"iowait corrected downwards", [7]float64{10, 5, 100, 9}, [7]float64{10.5, 5, 100.5, 8}, [7]float64{0.5, 0, 0.5, 0}, true},
		{"all begins anew", [7]float64{10, 5, 100}, [7]float64{0, 0, 1}, [7]float64{}, false},
		{"no time has passed", [7]float64{10, 5, 100}, [7]float64{10, 5, 100}, [7]float64{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := cpuShares(tt.before, tt.after)
			if ok != tt.ok {
				t.Fatalf("ok %v, want %v", ok, tt.ok)
			}
			for i := range got {
				if math.Abs(got[i]-tt.want[i]) > 1e-9 {
					t.Errorf("%s: %v, want %v", cpuModes[i], got[i], tt.want[i])
				}
			}
		})
	}
}

func TestIdentityIsNeverEmpty(t *testing.T) {
	t.Setenv("HOST_ETC", t.TempDir()) // no machine-id there
	a, err := Identify(Config{Name: "web-1"})
	if err != nil {
		t.Fatal(err)
	}
	b, _ := Identify(Config{Name: "web-1"})
	if a.ID == "" || a != b || a.Entity() != "host:web-1" {
		t.Errorf("%+v and %+v", a, b)
	}
	if i, err := Identify(Config{ID: "i-0abc"}); err != nil || i.ID != "i-0abc" || i.Name == "" {
		t.Errorf("%+v %v", i, err)
	}
}

func TestRealMounts(t *testing.T) {
	got := realMounts([]disk.PartitionStat{
		{Device: "/dev/sda1", Mountpoint: "/var/lib/bind", Fstype: "ext4"},
		{Device: "/dev/sda1", Mountpoint: "/", Fstype: "ext4"},
		{Device: "/dev/sdb1", Mountpoint: `/my\040disk`, Fstype: "xfs"},
		{Device: "proc", Mountpoint: "/proc", Fstype: "proc"},
		{Device: "/dev/loop3", Mountpoint: "/snap/core/1", Fstype: "squashfs"},
		{Device: "overlay", Mountpoint: "/var/lib/docker/overlay2/x/merged", Fstype: "overlay"},
		{Device: "tmpfs", Mountpoint: "/dev/shm", Fstype: "tmpfs"},
		{Device: "tmpfs", Mountpoint: "/tmp", Fstype: "tmpfs"},
		{Device: "nas:/home", Mountpoint: "/home", Fstype: "nfs4"},
	})
	var points []string
	for _, m := range got {
		points = append(points, m.Mountpoint)
	}
	if diff := cmp.Diff([]string{"/", "/my disk", "/tmp"}, points); diff != "" {
		t.Error(diff)
	}
}

func TestContainerLimitIsShown(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := New(Config{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	read := readContainer(dir)
	if err := read(t.Context(), s); err != nil || s.batch.Len() != 0 {
		t.Errorf("no control group: %v, %d samples", err, s.batch.Len())
	}
	write("memory.max", "max\n")
	if err := read(t.Context(), s); err != nil || s.batch.Len() != 0 {
		t.Errorf("no limit: %v, %d samples", err, s.batch.Len())
	}
	write("memory.max", "1000\n")
	if err := read(t.Context(), s); err == nil {
		t.Error("a limit without usage is no error")
	}
	write("memory.current", "400\n")
	if err := read(t.Context(), s); err != nil || !slices.Equal(s.batch.Values, []float64{400, 600}) {
		t.Errorf("%v, %v", err, s.batch.Values)
	}
}

func TestOneReadingThatFailsStopsNoOther(t *testing.T) {
	reg := prometheus.NewRegistry()
	s, err := New(Config{Interval: 100 * time.Millisecond}, nil, reg)
	if err != nil {
		t.Fatal(err)
	}
	s.kinds = append([]kind{{"broken", func(context.Context, *Source) error { return errors.New("broken") }}}, s.kinds...)
	s.read(t.Context())
	if s.batch.Len() < 20 {
		t.Errorf("%d samples", s.batch.Len())
	}
	if n, err := testutil.GatherAndCount(reg, "homeostat_source_failures_total"); n != 1 || err != nil {
		t.Errorf("%d kinds of failure counted, %v", n, err)
	}
}

func BenchmarkRead(b *testing.B) {
	s, err := New(Config{}, nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.read(b.Context())
		s.batch.Reset()
		clear(s.index)
	}
}
