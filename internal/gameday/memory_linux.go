package gameday

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cgroupRoot is where the unified hierarchy of control groups is mounted.
const cgroupRoot = "/sys/fs/cgroup"

// memoryGroup is a control group (version 2) with a limit of memory.
type memoryGroup struct{ dir string }

// newMemoryGroup makes a group below our own or beside it: nowhere else, so that limits on us limit the fault too.
func newMemoryGroup(limit int64) (*memoryGroup, error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	own := ""
	for line := range strings.Lines(string(text)) {
		if p, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			own = p
		}
	}
	if own == "" || strings.Contains(own, "..") {
		return nil, errors.New("this process is in no control group of version 2")
	}
	for _, below := range []string{own, filepath.Dir(own)} {
		g := &memoryGroup{filepath.Join(cgroupRoot, below, "homeostat-gameday-"+strconv.Itoa(os.Getpid()))}
		if err = os.Mkdir(g.dir, 0o755); err != nil {
			continue
		}
		// Only where the memory controller is delegated does the new group have the file.
		if err = writeExisting(filepath.Join(g.dir, "memory.max"), strconv.FormatInt(limit, 10)); err == nil {
			_ = writeExisting(filepath.Join(g.dir, "memory.swap.max"), "0")
			return g, nil
		}
		_ = os.Remove(g.dir)
	}
	return nil, fmt.Errorf("make a control group: %w", err)
}

// writeExisting writes to a file that must be there.
func writeExisting(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// used is the group's memory, in bytes.
func (g *memoryGroup) used() (int64, error) {
	text, err := os.ReadFile(filepath.Join(g.dir, "memory.current"))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}

// enter makes a process begin its life in the group. The file that it returns must stay open until then.
func (g *memoryGroup) enter(attr *syscall.SysProcAttr) (*os.File, error) {
	f, err := os.Open(g.dir)
	if err != nil {
		return nil, err
	}
	attr.UseCgroupFD, attr.CgroupFD = true, int(f.Fd())
	return f, nil
}

// remove takes the group away; the kernel needs a moment after its last process has ended.
func (g *memoryGroup) remove() error {
	var err error
	for range 50 {
		if err = os.Remove(g.dir); err == nil || errors.Is(err, os.ErrNotExist) {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

// threadSpace is what the threads that the runtime may yet start map for their stacks, and hardly use.
const threadSpace = 256 << 20

// limitAddressSpace lets this process map that many bytes, and threadSpace, more than it has mapped now; a Go program begins
// with more than a gigabyte that it has only reserved.
func limitAddressSpace(more int64) error {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return err
	}
	size, _, _ := strings.Cut(string(text), " ")
	pages, err := strconv.ParseInt(size, 10, 64)
	if err != nil {
		return err
	}
	bytes := uint64(pages*int64(os.Getpagesize()) + more + threadSpace)
	return syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: bytes, Max: bytes})
}
