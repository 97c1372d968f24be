package gameday

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
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
