package host

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const gib = 1 << 30

// machine is a small copy of /proc, /sys and /dev: a disk, and perhaps a partition of it, with a file system.
type machine struct {
	volumes
	fs string // a file with the file system's bytes
	t  *testing.T
}

func newMachine(t *testing.T, kind string, disk, partition, fs uint64) *machine {
	t.Helper()
	m := &machine{fs: filepath.Join(t.TempDir(), "fs"), t: t}
	m.root = t.TempDir()
	m.bytes = func(string) (uint64, error) {
		text, err := os.ReadFile(m.fs)
		if err != nil {
			return 0, err
		}
		return strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	}
	source := "/dev/nvme1n1"
	m.put("/sys/devices/nvme1n1/size", disk/512)
	m.put("/dev/nvme1n1", "")
	if partition > 0 {
		source = "/dev/nvme1n1p1"
		m.put("/sys/devices/nvme1n1/nvme1n1p1/size", partition/512)
		m.put("/sys/devices/nvme1n1/nvme1n1p1/partition", 1)
		m.put("/dev/nvme1n1p1", "")
		m.link("/sys/devices/nvme1n1/nvme1n1p1", "/sys/class/block/nvme1n1p1")
	}
	m.link("/sys/devices/nvme1n1", "/sys/class/block/nvme1n1")
	m.put("/proc/self/mountinfo", "21 1 8:1 / / rw - ext4 /dev/root rw\n36 21 259:1 / /data rw,noatime shared:1 - "+kind+" "+source+" rw\n")
	if err := os.WriteFile(m.fs, fmt.Append(nil, fs), 0o600); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *machine) put(path string, content any) {
	m.t.Helper()
	path = m.root + path
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, fmt.Append(nil, content), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) link(to, name string) {
	m.t.Helper()
	if err := os.MkdirAll(filepath.Dir(m.root+name), 0o700); err != nil {
		m.t.Fatal(err)
	}
	if err := os.Symlink(m.root+to, m.root+name); err != nil {
		m.t.Fatal(err)
	}
}

// TestGrow has the tools called that a file system needs after its volume grew, with what they need, and looks that it became
// larger. The tools are stand-ins that note their arguments.
func TestGrow(t *testing.T) {
	for _, tt := range []struct {
		name                string
		kind                string
		disk, partition, fs uint64
		growpart            string   // what it does besides; "" as it should
		resize              string   // likewise
		calls               []string // in order
		text                string
		fails               string
	}{
		{name: "a partition with ext4", kind: "ext4", disk: 40 * gib, partition: 20 * gib, fs: 19 * gib, calls: []string{"growpart /dev/nvme1n1 1", "resize2fs /dev/nvme1n1p1"}, text: "grew /data from 20 GB to 43 GB"},
		{name: "a partition with xfs", kind: "xfs", disk: 40 * gib, partition: 20 * gib, fs: 20 * gib, calls: []string{"growpart /dev/nvme1n1 1", "xfs_growfs /data"}, text: "grew /data from 21 GB to 43 GB"},
		{name: "a whole disk", kind: "xfs", disk: 40 * gib, fs: 20 * gib, calls: []string{"xfs_growfs /data"}, text: "grew /data from 21 GB to 43 GB"},
		{name: "a partition that has grown already", kind: "ext4", disk: 40 * gib, partition: 40 * gib, fs: 20 * gib, growpart: "echo NOCHANGE: partition 1 is size 1; exit 1", calls: []string{"growpart /dev/nvme1n1 1", "resize2fs /dev/nvme1n1p1"}, text: "grew /data from 21 GB to 43 GB"},
		{name: "nothing to grow into", kind: "ext4", disk: 20 * gib, partition: 20 * gib, fs: 20*gib - 300<<20, text: "/data has all of its device (21 GB)"},
		{name: "another file system", kind: "btrfs", disk: 40 * gib, fs: 20 * gib, fails: "of type btrfs; only ext4 and xfs are grown"},
		{name: "growpart fails", kind: "ext4", disk: 40 * gib, partition: 20 * gib, fs: 20 * gib, growpart: "echo FAILED: disk is busy; exit 2", calls: []string{"growpart /dev/nvme1n1 1"}, fails: "growpart /dev/nvme1n1 1: exit status 2: FAILED: disk is busy"},
		{name: "the tool fails", kind: "ext4", disk: 40 * gib, fs: 20 * gib, resize: "echo resize2fs: Permission denied >&2; exit 1", calls: []string{"resize2fs /dev/nvme1n1"}, fails: "resize2fs /dev/nvme1n1: exit status 1: resize2fs: Permission denied"},
		{name: "the tool does nothing", kind: "ext4", disk: 40 * gib, fs: 20 * gib, resize: "exit 0", calls: []string{"resize2fs /dev/nvme1n1"}, fails: "has not become larger"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t, tt.kind, tt.disk, tt.partition, tt.fs)
			all := filepath.Join(t.TempDir(), "calls")
			grown := fmt.Sprintf("echo %d >'%s'", tt.disk, m.fs)
			for name, does := range map[string]string{"growpart": tt.growpart, "resize2fs": tt.resize, "xfs_growfs": tt.resize} {
				if does == "" && name != "growpart" {
					does = grown
				}
				standIn(t, name, "echo "+name+" \"$*\" >>'"+all+"'\n"+does)
			}
			if would, err := m.grow(t.Context(), "/data", true); err == nil && tt.calls != nil && !strings.HasPrefix(would.Text, "grow the "+tt.kind+" file system at /data from ") {
				t.Errorf("rehearsed: %+v", would)
			}
			if _, err := os.Stat(all); err == nil {
				t.Fatalf("a rehearsal called %s", read(t, all))
			}
			d, err := m.grow(t.Context(), "/data", false)
			if tt.fails == "" && (err != nil || d.Text != tt.text) || tt.fails != "" && (err == nil || !strings.Contains(err.Error(), tt.fails)) {
				t.Errorf("%q, %v; want %q %q", d.Text, err, tt.text, tt.fails)
			}
			var called []string
			if text, err := os.ReadFile(all); err == nil {
				called = strings.Split(strings.TrimSpace(string(text)), "\n")
			}
			if strings.Join(called, "|") != strings.Join(tt.calls, "|") {
				t.Errorf("called %q, want %q", called, tt.calls)
			}
		})
	}
	if _, err := newMachine(t, "ext4", gib, 0, gib).grow(t.Context(), "/elsewhere", false); err == nil || !strings.Contains(err.Error(), "nothing is mounted at /elsewhere") {
		t.Errorf("no mount: %v", err)
	}
}
