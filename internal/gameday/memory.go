package gameday

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// How the memory fault grows, in bytes a second and shares of its limit.
const (
	fastGrowth = 50_000_000
	slowGrowth = 5_000_000
	slowFrom   = 0.80
	growTo     = 0.98 // where it stays, so that it is found alive
)

// leastFree is what the memory fault always leaves to the machine, in bytes.
const leastFree = 512 << 20

// startMemory starts the memory fault: in a control group with the limit where that can be had, else with a limit on its
// address space.
func (f *Fault) startMemory(o Options) error {
	if free, ok := memoryAvailable(); ok && free < o.MemoryLimit+leastFree {
		return fmt.Errorf("the memory fault needs %d MB and leaves %d MB: only %d MB are available", o.MemoryLimit/1e6, leastFree/1_000_000, free/1e6)
	}
	f.gauge = &gauge{
		ratio: f.ownLabels("system_memory_utilization_ratio", "system_memory_state", "used"),
		usage: f.ownLabels("system_memory_usage_bytes", "system_memory_state", "used"),
		limit: f.ownLabels("system_memory_limit_bytes"),
		of:    o.MemoryLimit,
	}
	settings := []string{"limit=" + strconv.FormatInt(o.MemoryLimit, 10)}
	group, err := newMemoryGroup(o.MemoryLimit)
	if err == nil {
		f.cleanup = group.remove
		f.gauge.used = group.used
		f.describe = fmt.Sprintf("a supervised process in a control group of its own (%s, limit %d MB) grows by 50 MB a second to 80 %%, then by 5 MB a second (begun again, by 5 MB a second only), for %v at most", group.dir, o.MemoryLimit/1e6, o.Bound)
		return f.start(o, append(settings, "method=cgroup"), group.enter)
	}
	o.Log.Info("no control group for the memory fault; its address space is limited instead", "source", "gameday", "err", err)
	f.gauge.used = func() (int64, error) {
		if !f.Alive() {
			return 0, nil
		}
		return residentBelow(f.PIDs()[0])
	}
	f.describe = fmt.Sprintf("a supervised process, its address space limited to %d MB more than it begins with, grows by 50 MB a second to 80 %% of that, then by 5 MB a second (begun again, by 5 MB a second only), for %v at most", o.MemoryLimit/1e6, o.Bound)
	return f.start(o, append(settings, "method=rlimit"), nil)
}

// residentBelow is the resident memory of what a supervisor has begun, by whichever of its threads.
func residentBelow(pid int) (int64, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, t := range threads {
		text, err := os.ReadFile(t)
		if err != nil {
			continue // it has just ended
		}
		for child := range strings.FieldsSeq(string(text)) {
			n, err := strconv.Atoi(child)
			if err != nil {
				return 0, err
			}
			bytes, err := resident(n)
			if err != nil {
				return 0, err
			}
			sum += bytes
		}
	}
	return sum, nil
}

// resident is the resident memory of a process, in bytes; 0 when it has ended.
func resident(pid int) (int64, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0, nil
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, nil // a process that has just ended
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// memoryAvailable is what the machine could give without swapping, in bytes; ok is false where nobody says.
func memoryAvailable() (bytes int64, ok bool) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, "MemAvailable:"); found {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kb << 10, err == nil
		}
	}
	return 0, false
}

// superviseLeak is the memory fault's child: a small supervisor, as runsv is one. It begins the process that leaks, and begins
// it again when it ends, so that restarting a leaking service is real. All of them end with their parent: they share its pipe.
func superviseLeak(args []string, begin func(), end <-chan time.Time, polite <-chan os.Signal) error {
	begin()
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	for round := 0; ; round++ {
		child := exec.Command(exe, slices.Concat([]string{ChildCommand, leak}, args, []string{"round=" + strconv.Itoa(round)})...)
		child.Stdin, child.Stderr = os.Stdin, os.Stderr
		if err := child.Start(); err != nil {
			return err
		}
		ended := make(chan struct{})
		go func() {
			_ = child.Wait() // how it ended is no news: it is meant to be ended
			close(ended)
		}()
		select {
		case <-ended:
			time.Sleep(200 * time.Millisecond) // a supervisor that doesn't spin
		case <-end:
			return child.Process.Kill()
		case <-polite:
			return child.Process.Kill()
		}
	}
}

// leak is the process that the memory fault's supervisor begins.
const leak = "leak"

// growMemory is what the supervisor begins. It maps and touches memory until growTo of the limit and then holds it. It stops
// growing, whatever its limit, when the machine itself gets short.
func growMemory(settings map[string]string, begin func(), end <-chan time.Time, polite <-chan os.Signal) error {
	limit, err := number(settings, "limit")
	if err != nil {
		return err
	}
	// Should the machine get short after all, this process is the one to end.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	if settings["method"] == "rlimit" {
		if err := limitAddressSpace(limit); err != nil {
			return fmt.Errorf("limit the address space: %w", err)
		}
	}
	begin()
	used, err := resident(os.Getpid())
	if err != nil {
		return err
	}
	const pause = 100 * time.Millisecond
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-end:
			return nil
		case <-polite:
			return nil
		case <-tick.C:
		}
		passed := min(time.Since(last), time.Second).Seconds()
		last = time.Now()
		rate := fastGrowth
		if float64(used) >= slowFrom*float64(limit) || settings["round"] != "0" {
			rate = slowGrowth
		}
		more := min(int64(float64(rate)*passed), int64(growTo*float64(limit))-used)
		page := int64(os.Getpagesize())
		more -= more % page
		if free, ok := memoryAvailable(); more < page || ok && free < leastFree/2 {
			continue
		}
		m, err := syscall.Mmap(-1, 0, int(more), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
		if err != nil {
			continue // the limit; hold what there is
		}
		for i := int64(0); i < more; i += page {
			m[i] = 1
		}
		used += more
	}
}
