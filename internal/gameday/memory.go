package gameday

import (
	"fmt"
	"os"
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
		f.describe = fmt.Sprintf("one process in a control group of its own (%s, limit %d MB) grows by 50 MB a second to 80 %%, then by 5 MB a second, for %v at most", group.dir, o.MemoryLimit/1e6, o.Bound)
		return f.start(o, append(settings, "method=cgroup"), group.enter)
	}
	o.Log.Info("no control group for the memory fault; its address space is limited instead", "source", "gameday", "err", err)
	f.gauge.used = func() (int64, error) {
		if !f.Alive() {
			return 0, nil
		}
		return resident(f.PIDs()[0])
	}
	f.describe = fmt.Sprintf("one process, its address space limited to %d MB more than it begins with, grows by 50 MB a second to 80 %% of that, then by 5 MB a second, for %v at most", o.MemoryLimit/1e6, o.Bound)
	return f.start(o, append(settings, "method=rlimit"), nil)
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

// growMemory is the memory fault's child. It maps and touches memory until growTo of the limit and then holds it. It stops
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
		if float64(used) >= slowFrom*float64(limit) {
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
