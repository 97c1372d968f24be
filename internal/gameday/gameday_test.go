package gameday

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"homeostat/internal/signal"
)

// TestMain lets the test binary be its own child, as cmd/homeostat is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == ChildCommand {
		if err := Child(os.Args[2:]); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(2)
		}
		os.Exit(0)
	}
	if len(os.Args) > 2 && os.Args[1] == "parent" {
		// A parent that starts a disk fault in the folder it is told, says the child's pid, and waits to be killed.
		f, err := Start(context.Background(), Disk, Options{Dir: os.Args[2], DiskSize: 4 << 20})
		if err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(2)
		}
		os.Stdout.WriteString(strconv.Itoa(f.PIDs()[0]) + "\n")
		<-f.Done()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// burnt is the CPU time of a process, from /proc.
func burnt(t *testing.T, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	u, _ := strconv.Atoi(f[11])
	s, _ := strconv.Atoi(f[12])
	return time.Duration(u+s) * 10 * time.Millisecond
}

func begin(t *testing.T, fault string, o Options) *Fault {
	t.Helper()
	f, err := Start(t.Context(), fault, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Stop(); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
	return f
}

func TestCPUFaultBurnsItsMinimumBeforeItEnds(t *testing.T) {
	f := begin(t, CPU, Options{Bound: time.Minute})
	pid := f.PIDs()[0]
	// Told to end at once, it burns on; the last look before its end must show the minimum, near enough.
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	last := time.Duration(0)
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		select {
		case <-f.Done():
			tick.Stop()
			if last < MinBurn-500*time.Millisecond {
				t.Errorf("ended after %v of CPU time, want %v", last, MinBurn)
			}
			return
		case <-tick.C:
			if b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm"); err == nil && last == 0 {
				t.Logf("it is called %s", strings.TrimSpace(string(b)))
			}
			if _, err := os.Stat("/proc/" + strconv.Itoa(pid)); err == nil && f.Alive() {
				if b := burnt(t, pid); b > 0 {
					last = b
				}
			}
		}
	}
}

func TestUnknownFaultIsRefused(t *testing.T) {
	if _, err := Start(t.Context(), "flood", Options{}); err == nil || !strings.Contains(err.Error(), "flood") {
		t.Errorf("got %v", err)
	}
}

// sink keeps the last value of each series; it fails the test on anything that is no batch of the fault's own.
type sink struct {
	t      *testing.T
	entity signal.EntityID
	ratios chan float64
}

func (s *sink) Append(_ context.Context, b *signal.Batch) error {
	for i, si := range b.Series {
		d := b.Dict[si]
		if d.Entity != s.entity || d.ID != d.Labels.ID() {
			s.t.Errorf("%s is of %s, want %s", d.Labels, d.Entity, s.entity)
		}
		if strings.HasSuffix(d.Labels.Value(signal.MetricName), "_utilization_ratio") {
			s.ratios <- b.Values[i]
		}
	}
	return nil
}

// fillsUp runs a fault and returns once its own series has passed share, having risen all the way.
func fillsUp(t *testing.T, f *Fault, share float64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := &sink{t: t, entity: f.Entity(), ratios: make(chan float64, 1000)}
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx, s) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	before := 0.0
	for end := time.After(time.Minute); ; {
		select {
		case r := <-s.ratios:
			if r < before-0.05 || r > 1 {
				t.Errorf("%v follows %v", r, before)
			}
			if before = r; r >= share {
				if at, ok := f.Crossed(share); !ok || time.Since(at) > 10*time.Second {
					t.Errorf("crossed at %v, %v", at, ok)
				}
				if _, ok := f.Crossed(1.5); ok {
					t.Error("crossed 150 %")
				}
				return
			}
		case <-end:
			t.Fatalf("at %v after a minute", before)
		}
	}
}

func TestMemoryFaultFillsItsOwnLimit(t *testing.T) {
	f := begin(t, Memory, Options{MemoryLimit: 100_000_000})
	t.Log(f.Describe())
	fillsUp(t, f, 0.85)
	pid := f.PIDs()[0]
	if err := f.Stop(); err != nil || f.Alive() || exists(pid) {
		t.Errorf("after Stop: %v, alive %v", err, f.Alive())
	}
	if used, err := f.gauge.used(); err != nil || used != 0 {
		t.Errorf("after Stop: %d bytes used, %v", used, err)
	}
}

func TestMemoryFaultNeverEndangersTheMachine(t *testing.T) {
	free, ok := memoryAvailable()
	if !ok {
		t.Fatal("this machine doesn't say what memory it has")
	}
	if f, err := Start(t.Context(), Memory, Options{MemoryLimit: free}); err == nil {
		_ = f.Stop()
		t.Error("a fault that takes all memory was started")
	}
}

func TestDiskFaultFillsItsOwnFolder(t *testing.T) {
	dir := t.TempDir()
	f := begin(t, Disk, Options{Dir: dir, DiskSize: 8 << 20})
	t.Log(f.Describe())
	fillsUp(t, f, 0.5)
	if err := f.Stop(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestFolderIsMeasuredWhereNothingCanBeMounted(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/"+fillFile, make([]byte, 8192), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := size(dir); n != 8192 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	if n, err := size(dir + "/gone"); n != 0 || err != nil {
		t.Errorf("a folder that is gone: %d %v", n, err)
	}
	if err := removeDisk(dir); err == nil {
		t.Error("a folder that is no fault's was removed")
	}
}

func TestFaultEndsWithAParentThatIsKilled(t *testing.T) {
	dir := t.TempDir()
	parent := exec.CommandContext(t.Context(), os.Args[0], "parent", dir)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || !exists(child) {
		t.Fatalf("%q %v", line, err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("the fault has %d folders", len(left))
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	waitFor(t, "the child to end and its folder to go", func() bool {
		left, _ := os.ReadDir(dir)
		stat, _ := os.ReadFile("/proc/" + strconv.Itoa(child) + "/stat")
		return len(left) == 0 && (len(stat) == 0 || strings.Contains(string(stat), ") Z "))
	})
}

// waitFor waits for a condition outside of this process.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(20 * time.Second); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal("waited in vain for " + what)
		}
	}
}

func TestFoldersOfTheDeadAreSwept(t *testing.T) {
	dir := t.TempDir()
	gone := exec.CommandContext(t.Context(), "true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{diskPrefix + strconv.Itoa(gone.Process.Pid) + "-1", diskPrefix + strconv.Itoa(os.Getpid()) + "-2", "other-1"} {
		if err := os.Mkdir(dir+"/"+name, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	sweep(dir)
	if left, _ := os.ReadDir(dir); len(left) != 2 {
		t.Errorf("left: %v", left)
	}
}

func TestNeighbourIsSteadyAndPolite(t *testing.T) {
	f := begin(t, Neighbour, Options{})
	pid := f.PIDs()[0]
	began, was := time.Now(), burnt(t, pid)
	waitFor(t, "two seconds to pass", func() bool { return time.Since(began) > 2*time.Second })
	share := (burnt(t, pid) - was).Seconds() / time.Since(began).Seconds()
	if share < 0.2 || share > 0.7 { // 0.6, less what a busy test machine keeps from it
		t.Errorf("it takes %.2f of a core", share)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-f.Done()
}

func TestFaultEndsAfterItsBound(t *testing.T) {
	f := begin(t, Neighbour, Options{Bound: 300 * time.Millisecond})
	began := time.Now()
	<-f.Done()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestFaultEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f, err := Start(ctx, Neighbour, Options{})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	<-f.Done()
	if err := f.Stop(); err != nil {
		t.Error(err)
	}
}

func TestChildRefusesNonsense(t *testing.T) {
	for _, args := range [][]string{nil, {"cpu"}, {"cpu", "bound=1000h"}, {"cpu", "bound"}} {
		if err := Child(args); err == nil {
			t.Errorf("%v was taken", args)
		}
	}
}
