package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/load"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/net"
)

// kinds are all the readings, each with what it must remember of the reading before.
func kinds() []kind {
	return []kind{
		{"cpu", (&cpuReader{}).read},
		{"load", readLoad},
		{"memory", readMemory},
		{"paging", readPaging},
		{"filesystem", (&fsReader{}).read},
		{"disk", (&diskReader{}).read},
		{"network", readNetwork},
		{"container", readContainer("/sys/fs/cgroup")},
		{"host", readHost},
	}
}

// now is the time that a reading is stamped with, in Unix milliseconds.
func now() int64 { return time.Now().UnixMilli() }

// The modes of a CPU, in the order of cpuReader.before.
var cpuModes = [...]string{"user", "system", "idle", "iowait", "nice", "steal", "interrupt"}

type cpuReader struct {
	before [len(cpuModes)]float64
	seen   bool
}

func (r *cpuReader) read(ctx context.Context, s *Source) error {
	ts, err := cpu.TimesWithContext(ctx, false)
	if err != nil {
		return err
	}
	if len(ts) == 0 {
		return errors.New("no CPU times")
	}
	at, t := now(), ts[0]
	// Guest time is inside user and nice already.
	times := [len(cpuModes)]float64{t.User, t.System, t.Idle, t.Iowait, t.Nice, t.Steal, t.Irq + t.Softirq}
	for i, mode := range cpuModes {
		s.add(cpuTime, at, times[i], mode)
	}
	if shares, ok := cpuShares(r.before, times); r.seen && ok {
		for i, mode := range cpuModes {
			s.add(cpuUtilization, at, shares[i], mode)
		}
	}
	r.before, r.seen = times, true
	s.add(cpuLogical, at, float64(runtime.NumCPU()))
	return nil
}

// cpuShares returns each mode's share of the time between two readings; they add up to 1. A mode that went back counts as
// nothing: Linux corrects iowait downwards now and then, and all begin anew in a machine that was moved. ok is false where
// no time has passed.
func cpuShares(before, after [len(cpuModes)]float64) (shares [len(cpuModes)]float64, ok bool) {
	sum := 0.0
	for i := range shares {
		shares[i] = max(0, after[i]-before[i])
		sum += shares[i]
	}
	if sum <= 0 {
		return shares, false
	}
	for i := range shares {
		shares[i] /= sum
	}
	return shares, true
}

func readLoad(ctx context.Context, s *Source) error {
	l, err := load.AvgWithContext(ctx)
	if err != nil {
		return err
	}
	at := now()
	s.add(load1, at, l.Load1)
	s.add(load5, at, l.Load5)
	s.add(load15, at, l.Load15)
	return nil
}

func readMemory(ctx context.Context, s *Source) error {
	m, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return err
	}
	if m.Total == 0 {
		return errors.New("the machine says that it has no memory")
	}
	at := now()
	s.add(memoryLimit, at, float64(m.Total))
	for _, v := range [...]struct {
		state string
		bytes uint64
	}{
		// Used is total less available, so that cache which can be dropped at once doesn't look like trouble. The states
		// overlap a little for that and need not add up to the whole.
		{"used", m.Total - min(m.Available, m.Total)},
		{"free", m.Free},
		{"cached", m.Cached},
		{"buffers", m.Buffers},
	} {
		s.add(memoryUsage, at, float64(v.bytes), v.state)
		s.add(memoryUtilization, at, float64(v.bytes)/float64(m.Total), v.state)
	}
	return nil
}

func readPaging(ctx context.Context, s *Source) error {
	m, err := mem.SwapMemoryWithContext(ctx)
	if err != nil {
		return err
	}
	at := now()
	if m.Total > 0 {
		s.add(pagingUsage, at, float64(m.Used), "used")
		s.add(pagingUsage, at, float64(m.Free), "free")
		s.add(pagingUtilization, at, float64(m.Used)/float64(m.Total), "used")
		s.add(pagingUtilization, at, float64(m.Free)/float64(m.Total), "free")
	}
	s.add(pagingIO, at, float64(m.Sin), "in")
	s.add(pagingIO, at, float64(m.Sout), "out")
	const page = 4096 // gopsutil multiplies these two by it, though they are counts
	s.add(pagingFaults, at, float64(m.PgMajFault/page), "major")
	s.add(pagingFaults, at, float64((m.PgFault-min(m.PgMajFault, m.PgFault))/page), "minor")
	return nil
}

// fsReader remembers the mounts for a minute: they change seldom, and a machine full of containers has hundreds.
type fsReader struct {
	mounts []disk.PartitionStat
	listed time.Time
}

func (r *fsReader) read(ctx context.Context, s *Source) error {
	if time.Since(r.listed) >= time.Minute || len(r.mounts) == 0 {
		all, err := disk.PartitionsWithContext(ctx, true)
		if err != nil && len(all) == 0 {
			return err
		}
		r.mounts, r.listed = realMounts(all), time.Now()
	}
	var errs []error
	for _, m := range r.mounts {
		u, err := disk.UsageWithContext(ctx, inHostRoot(m.Mountpoint))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if u.Total == 0 {
			continue
		}
		at := now()
		s.add(fsLimit, at, float64(u.Total), m.Mountpoint, m.Fstype, m.Device)
		s.add(fsUsage, at, float64(u.Used), m.Mountpoint, "used", m.Device)
		s.add(fsUsage, at, float64(u.Free), m.Mountpoint, "free", m.Device)
		if open := float64(u.Used + u.Free); open > 0 {
			// As df has it: what is kept for root is neither used nor free, so that 100 % is when writing fails.
			s.add(fsUtilization, at, float64(u.Used)/open, m.Mountpoint, "used", m.Device)
			s.add(fsUtilization, at, float64(u.Free)/open, m.Mountpoint, "free", m.Device)
		}
		if u.InodesTotal > 0 {
			s.add(fsInodes, at, float64(u.InodesUsed)/float64(u.InodesTotal), m.Mountpoint, "used", m.Device)
		}
	}
	return errors.Join(errs...)
}

// inHostRoot is where a mount of the host is found from inside a container that has the host's root at HOST_ROOT.
func inHostRoot(mountpoint string) string {
	if root := os.Getenv("HOST_ROOT"); root != "" {
		return filepath.Join(root, mountpoint)
	}
	return mountpoint
}

// realFS are the file systems that hold data of this machine's own. Remote ones are left out: asking a dead server for its
// size never returns.
var realFS = []string{
	"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "jfs", "reiserfs", "bcachefs", "nilfs2",
	"vfat", "exfat", "ntfs", "ntfs3", "ufs", "apfs", "hfs", "fuseblk",
}

// rootFS are those that are real only as a root: of a container, or of a small virtual machine.
var rootFS = []string{"overlay", "9p", "virtiofs", "aufs", "tmpfs"}

// realMounts picks the mounts worth watching: real file systems, each device once, at its shortest mount point. A tmpfs
// counts where people fill it.
func realMounts(all []disk.PartitionStat) []disk.PartitionStat {
	byDevice := map[string]disk.PartitionStat{}
	for _, m := range all {
		fstype := strings.ToLower(m.Fstype)
		real := slices.Contains(realFS, fstype) ||
			m.Mountpoint == "/" && slices.Contains(rootFS, fstype) ||
			m.Mountpoint == "/tmp" && fstype == "tmpfs"
		if !real {
			continue
		}
		key := m.Device
		if fstype == "tmpfs" {
			key = m.Mountpoint // every tmpfs is called tmpfs
		}
		if old, ok := byDevice[key]; !ok || len(m.Mountpoint) < len(old.Mountpoint) {
			byDevice[key] = m
		}
	}
	out := make([]disk.PartitionStat, 0, len(byDevice))
	for _, m := range byDevice {
		// The text of /proc/mounts writes a space as \040.
		m.Mountpoint = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\134`, `\`).Replace(m.Mountpoint)
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b disk.PartitionStat) int { return strings.Compare(a.Mountpoint, b.Mountpoint) })
	return out
}

// diskReader remembers which disks there are for a minute.
type diskReader struct {
	names  []string
	listed time.Time
}

func (r *diskReader) read(ctx context.Context, s *Source) error {
	if time.Since(r.listed) >= time.Minute {
		r.names, r.listed = wholeDisks(), time.Now()
	}
	if len(r.names) == 0 && runtime.GOOS == "linux" {
		return nil // a container without disks of its own
	}
	ios, err := disk.IOCountersWithContext(ctx, r.names...)
	if err != nil {
		return err
	}
	at := now()
	for name, d := range ios {
		s.add(diskIO, at, float64(d.ReadBytes), "read", name)
		s.add(diskIO, at, float64(d.WriteBytes), "write", name)
		s.add(diskOperations, at, float64(d.ReadCount), "read", name)
		s.add(diskOperations, at, float64(d.WriteCount), "write", name)
		s.add(diskIOTime, at, float64(d.IoTime)/1000, name)
		s.add(diskOpTime, at, float64(d.ReadTime)/1000, "read", name)
		s.add(diskOpTime, at, float64(d.WriteTime)/1000, "write", name)
	}
	return nil
}

// wholeDisks lists the disks whose bytes count once: no partitions, no loop devices, and none that are built on others
// (device mapper, md), since the sum over devices is the host's disk traffic.
func wholeDisks() []string {
	sys := os.Getenv("HOST_SYS")
	if sys == "" {
		sys = "/sys"
	}
	entries, err := os.ReadDir(filepath.Join(sys, "block"))
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		n := e.Name()
		if hasAnyPrefix(n, "loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd", "drbd") {
			continue
		}
		names = append(names, n)
	}
	return names
}

func readNetwork(ctx context.Context, s *Source) error {
	ios, err := net.IOCountersWithContext(ctx, true)
	if err != nil {
		return err
	}
	at := now()
	for _, n := range ios {
		// One end of a container's cable, or a bridge: what passes there is counted at the machine's own interface too, and
		// each container would leave dead series behind.
		if hasAnyPrefix(n.Name, "veth", "ifb", "cali", "lxc", "docker", "br-", "virbr", "cni", "flannel", "cilium", "dummy", "tunl", "tap", "vnet") {
			continue
		}
		s.add(netIO, at, float64(n.BytesRecv), "receive", n.Name)
		s.add(netIO, at, float64(n.BytesSent), "transmit", n.Name)
		s.add(netPackets, at, float64(n.PacketsRecv), "receive", n.Name)
		s.add(netPackets, at, float64(n.PacketsSent), "transmit", n.Name)
		s.add(netErrors, at, float64(n.Errin), "receive", n.Name)
		s.add(netErrors, at, float64(n.Errout), "transmit", n.Name)
		s.add(netDropped, at, float64(n.Dropin), "receive", n.Name)
		s.add(netDropped, at, float64(n.Dropout), "transmit", n.Name)
	}
	return nil
}

func hasAnyPrefix(s string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s, p) })
}

func readHost(ctx context.Context, s *Source) error {
	at := now()
	s.add(targetInfo, at, 1, s.host.OS, s.host.Arch)
	up, err := host.UptimeWithContext(ctx)
	if err != nil {
		return err
	}
	s.add(uptime, at, float64(up))
	return nil
}

// readContainer reads the memory of the control group (version 2) at dir, which inside a container is the container's own.
// Without a limit there is nothing to tell that the machine's memory doesn't.
func readContainer(dir string) func(context.Context, *Source) error {
	return func(_ context.Context, s *Source) error {
		limit, ok := readNumber(filepath.Join(dir, "memory.max"))
		if !ok {
			return nil // no control group, not version 2, or "max"
		}
		used, ok := readNumber(filepath.Join(dir, "memory.current"))
		if !ok {
			return errors.New("the control group has a limit of memory and doesn't say what it uses")
		}
		at := now()
		s.add(containerUsage, at, used)
		s.add(containerAvailable, at, max(0, limit-used))
		return nil
	}
}

// readNumber reads a file that holds one number.
func readNumber(path string) (float64, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	return float64(n), err == nil
}
