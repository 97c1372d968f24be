package host

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Growth is how one process' memory went over the record that the loop keeps of them.
type Growth struct {
	PID     int     `json:"pid"`
	Bytes   float64 `json:"bytes"`   // that it grew by
	Seconds float64 `json:"seconds"` // in so long
}

// MemoryReport is what is known of a host's memory.
type MemoryReport struct {
	Text      string   `json:"text"`
	Used      float64  `json:"used"` // share of Limit
	UsedBytes uint64   `json:"usedBytes"`
	Limit     uint64   `json:"limitBytes"`
	Cached    uint64   `json:"cachedBytes,omitempty"`
	Slab      uint64   `json:"slabBytes,omitempty"`            // of the kernel
	SlabFree  uint64   `json:"slabReclaimableBytes,omitempty"` // of it what it would give back
	Group     *group   `json:"controlGroup,omitempty"`         // ours, where it has a limit
	Biggest   []Usage  `json:"biggest"`
	Growing   []Growth `json:"growing,omitempty"` // most first, over the last hour
}

type group struct {
	Used  uint64 `json:"usedBytes"`
	Limit uint64 `json:"limitBytes"`
}

// memoryOf says how full memory is: the machine's, or what the descendants of a process hold of a limit.
func memoryOf(within int, limit uint64) (used, of uint64, err error) {
	if limit > 0 && within > 0 {
		ps, err := snapshot()
		if err != nil {
			return 0, 0, err
		}
		w := wall{policy: Policy{Within: within}, byPID: ps}
		for _, p := range ps {
			if w.within(p) {
				used += p.RSS
			}
		}
		return used, limit, nil
	}
	m, err := meminfo()
	if err != nil {
		return 0, 0, err
	}
	return m["MemTotal"] - m["MemAvailable"], m["MemTotal"], nil
}

// meminfo is /proc/meminfo in bytes.
func meminfo() (map[string]uint64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return nil, err
	}
	m := map[string]uint64{}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, err := strconv.ParseUint(f[1], 10, 64)
		if err != nil {
			continue
		}
		if len(f) > 2 {
			n <<= 10 // kB
		}
		m[strings.TrimSuffix(f[0], ":")] = n
	}
	if m["MemTotal"] == 0 {
		return nil, fmt.Errorf("/proc/meminfo has no MemTotal")
	}
	return m, nil
}

func reportMemory(ctx context.Context, within int, limit uint64, grown []Growth, n int) (MemoryReport, error) {
	var r MemoryReport
	var err error
	if r.UsedBytes, r.Limit, err = memoryOf(within, limit); err != nil {
		return r, err
	}
	m, err := meminfo()
	if err != nil {
		return r, err
	}
	r.Used = float64(r.UsedBytes) / float64(r.Limit)
	r.Cached, r.Slab, r.SlabFree = m["Cached"]+m["Buffers"], m["Slab"], m["SReclaimable"]
	if used, limit, ok := memoryGroup(""); ok {
		r.Group = &group{used, limit}
	}
	top, err := Report(ctx, 300*time.Millisecond, n)
	if err != nil {
		return r, err
	}
	r.Biggest = top.ByMemory
	slices.SortFunc(grown, func(a, b Growth) int { return cmp.Compare(b.Bytes, a.Bytes) })
	r.Growing = grown[:min(n, len(grown))]
	r.Text = fmt.Sprintf("memory is %.0f %% used (%s of %s)", 100*r.Used, size(r.UsedBytes), size(r.Limit))
	if len(r.Biggest) > 0 {
		r.Text += fmt.Sprintf("; the biggest process is %d (%s) with %s", r.Biggest[0].PID, r.Biggest[0].Name, size(r.Biggest[0].RSS))
	}
	return r, nil
}

// memoryGroup is the memory of our control group (version 2), where it has a limit. root stands before /proc and /sys.
func memoryGroup(root string) (used, limit uint64, ok bool) {
	text, _ := os.ReadFile(root + "/proc/self/cgroup")
	for line := range strings.Lines(string(text)) {
		if path, found := strings.CutPrefix(strings.TrimSpace(line), "0::"); found && !strings.Contains(path, "..") {
			limit, err := readNumber(root + "/sys/fs/cgroup" + path + "/memory.max")
			if err != nil {
				return 0, 0, false
			}
			used, err := readNumber(root + "/sys/fs/cgroup" + path + "/memory.current")
			return used, limit, err == nil
		}
	}
	return 0, 0, false
}

func readNumber(path string) (uint64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 64)
}

// size is a number of bytes for people.
func size(n uint64) string {
	switch {
	case n >= 10e9:
		return fmt.Sprintf("%.0f GB", float64(n)/1e9)
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.0f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.0f kB", float64(n)/1e3)
}

// leakParts is how often a window is looked at for a leak: a process that leaks grows in each part but one at most, as memory
// comes in pieces.
const leakParts = 6

// leastHour is the growth over the record by which a process counts as leaking that the window alone doesn't show.
const leastHour = 64 << 20

// findLeak names the process whose own memory rises, by its trend and not by its size: over a window that is watched now, and
// over the last hour where the record has it. The one that grows fastest comes first.
func findLeak(ctx context.Context, p Policy, least float64, grown []Growth) (Runaways, error) {
	first, err := snapshot()
	if err != nil {
		return Runaways{}, err
	}
	begin, before := time.Now(), first
	rises := map[int]int{}
	for range leakParts {
		select {
		case <-ctx.Done():
			return Runaways{}, context.Cause(ctx)
		case <-time.After(p.Window / leakParts):
		}
		now, err := snapshot()
		if err != nil {
			return Runaways{}, err
		}
		for pid, q := range now {
			if b, ok := before[pid]; ok && b.Start == q.Start && q.RSS > b.RSS {
				rises[pid]++
			}
		}
		before = now
	}
	took := time.Since(begin).Seconds()
	hour := map[int]Growth{}
	for _, g := range grown {
		hour[g.PID] = g
	}
	type leak struct {
		Usage
		rate float64 // bytes a second
	}
	var all []Usage
	var leaks []leak
	for pid, q := range before {
		u := Usage{Process: q}
		all = append(all, u)
		f, ok := first[pid]
		if !ok || f.Start != q.Start {
			continue
		}
		rate := 0.0
		if q.RSS > f.RSS && rises[pid] >= leakParts-1 {
			rate = float64(q.RSS-f.RSS) / took
		}
		if g := hour[pid]; g.Bytes >= leastHour && g.Seconds > 0 {
			rate = max(rate, g.Bytes/g.Seconds)
		}
		if rate >= least && rate > 0 {
			leaks = append(leaks, leak{u, rate})
		}
	}
	slices.SortFunc(leaks, func(a, b leak) int { return cmp.Or(cmp.Compare(b.rate, a.rate), cmp.Compare(a.PID, b.PID)) })
	wall := newWall(p, all)
	r := Runaways{Processes: []Usage{}}
	for _, l := range leaks {
		if p.Within != 0 && !wall.within(l.Process) {
			continue
		}
		if why := wall.keeps(l.Process); why != "" {
			r.Spared = append(r.Spared, Spare{PID: l.PID, Name: l.Name, Why: why})
			continue
		}
		l.Command = l.command()
		if !r.Found {
			r.Found, r.Processes = true, []Usage{l.Usage}
			r.Text = fmt.Sprintf("process %d (%s) holds %s and grows by %s a minute", l.PID, l.Name, size(l.RSS), size(uint64(l.rate*60)))
		}
	}
	switch {
	case r.Found:
	case len(r.Spared) > 0:
		r.Text = fmt.Sprintf("process %d (%s) grows, but %s", r.Spared[0].PID, r.Spared[0].Name, r.Spared[0].Why)
	default:
		r.Text = fmt.Sprintf("no process grew by %s a minute", size(uint64(least*60)))
	}
	return r, nil
}

// Done is what came of a step that frees something.
type Done struct {
	Text  string   `json:"text"`
	Freed uint64   `json:"freedBytes"`
	Did   []string `json:"did,omitempty"`  // to what, at most 20
	Left  []string `json:"left,omitempty"` // what was left alone, and why, at most 20

	Changed *bool `json:"changed,omitempty"` // false: nothing was done, so that nobody counts it as acting
}

const told = 20

func (d *Done) did(format string, args ...any) {
	if len(d.Did) < told {
		d.Did = append(d.Did, fmt.Sprintf(format, args...))
	}
}

func (d *Done) left(format string, args ...any) {
	if len(d.Left) < told {
		d.Left = append(d.Left, fmt.Sprintf(format, args...))
	}
}

// collect asks the JVMs that may be touched for a garbage collection.
func collect(ctx context.Context, p Policy, dry bool) (Done, error) {
	ps, err := snapshot()
	if err != nil {
		return Done{}, err
	}
	var all []Usage
	for _, q := range ps {
		all = append(all, Usage{Process: q})
	}
	w := newWall(p, all)
	var d Done
	n := 0
	for _, u := range all {
		if u.Name != "java" || p.Within != 0 && !w.within(u.Process) {
			continue
		}
		if pattern := matching(p.Protect, []string{u.Name}); pattern != "" {
			d.left("process %d (java): it is on the protect list", u.PID)
			continue
		}
		n++
		if dry {
			d.did("process %d (java)", u.PID)
			continue
		}
		cctx, stop := context.WithTimeout(ctx, 30*time.Second)
		out, err := exec.CommandContext(cctx, "jcmd", strconv.Itoa(u.PID), "GC.run").CombinedOutput()
		stop()
		if err != nil {
			d.left("process %d (java): %v: %s", u.PID, err, lastLine(string(out)))
			continue
		}
		after, err := processOf(u.PID)
		if err == nil && after.RSS < u.RSS {
			d.Freed += u.RSS - after.RSS
		}
		d.did("process %d (java)", u.PID)
	}
	switch {
	case n == 0:
		d.Text, d.Changed = "no Java process is here to collect garbage in", new(false)
	case dry:
		d.Text = fmt.Sprintf("collect the garbage of %d Java processes", n)
	default:
		d.Text = fmt.Sprintf("collected the garbage of %d Java processes, which gave back %s", len(d.Did), size(d.Freed))
	}
	return d, nil
}

const dropFile = "/proc/sys/vm/drop_caches"

// dropCaches writes out what is unwritten and lets the kernel's caches go, by way of its file for that. It concerns the whole machine, so that it may be
// rehearsed only.
func dropCaches(file string, dry bool) (Done, error) {
	before, err := meminfo()
	if err != nil {
		return Done{}, err
	}
	cached := before["Cached"] + before["Buffers"] + before["SReclaimable"] - min(before["Shmem"], before["Cached"])
	if dry {
		return Done{Text: fmt.Sprintf("write out %s and let go of up to %s of caches", size(before["Dirty"]), size(cached))}, nil
	}
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return Done{Text: "the kernel's caches can't be let go from here: " + err.Error(), Left: []string{file}, Changed: new(false)}, nil
	}
	defer f.Close()
	syncDisks()
	if _, err := f.WriteString("3\n"); err != nil {
		return Done{Text: "the kernel's caches can't be let go from here: " + err.Error(), Left: []string{file}, Changed: new(false)}, nil
	}
	after, err := meminfo()
	if err != nil {
		return Done{}, err
	}
	d := Done{}
	if after["MemFree"] > before["MemFree"] {
		d.Freed = after["MemFree"] - before["MemFree"]
	}
	d.Text = fmt.Sprintf("let go of %s of caches", size(d.Freed))
	return d, nil
}

// Well says whether something is below its threshold.
type Well struct {
	Well bool    `json:"well"`
	Text string  `json:"text"`
	Used float64 `json:"used"`
}

func well(what string, used, of uint64, below float64) Well {
	share := float64(used) / float64(of)
	w := Well{Well: share < below, Used: share, Text: fmt.Sprintf("%s is %.0f %% used, which is not below %.0f %%", what, 100*share, 100*below)}
	if w.Well {
		w.Text = fmt.Sprintf("%s is %.0f %% used", what, 100*share)
	}
	return w
}

// growths reads what the loop has put into the environment of its record of processes.
func growths(text string) []Growth {
	var gs []Growth
	if json.Unmarshal([]byte(text), &gs) != nil {
		return nil // nothing is known of the last hour: the window decides
	}
	return gs
}
