package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// inode names a file whatever its path.
type inode struct{ dev, ino uint64 }

// stat is what of a file matters here.
type stat struct {
	id      inode
	dev     uint64
	size    int64
	taken   uint64 // bytes of its blocks
	touched time.Time
	uid     int
	links   uint64
	mode    fs.FileMode
}

func statOf(path string) (stat, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return stat{}, err
	}
	return statFrom(info)
}

func statOpen(f *os.File) (stat, error) {
	info, err := f.Stat()
	if err != nil {
		return stat{}, err
	}
	return statFrom(info)
}

func statFrom(info fs.FileInfo) (stat, error) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return stat{}, fmt.Errorf("%s: its file system says too little of it", info.Name())
	}
	touched := info.ModTime()
	for _, t := range []time.Time{time.Unix(s.Atim.Unix()), time.Unix(s.Ctim.Unix())} {
		if t.After(touched) {
			touched = t
		}
	}
	return stat{
		id: inode{s.Dev, s.Ino}, dev: s.Dev, size: info.Size(), taken: uint64(s.Blocks) * 512, touched: touched, uid: int(s.Uid),
		links: uint64(s.Nlink), mode: info.Mode(),
	}, nil
}

// filesystem says how full the file system at a path is, as df does: what root keeps for itself doesn't count as free.
func filesystem(path string) (used, of uint64, err error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(path, &st); err != nil {
		return 0, 0, fmt.Errorf("%s: %w", path, err)
	}
	b := uint64(st.Bsize)
	used = (st.Blocks - st.Bfree) * b
	return used, used + st.Bavail*b, nil
}

// openFiles are the files that some process has open or mapped.
func openFiles() (map[inode]bool, error) {
	pids, err := readNames("/proc")
	if err != nil {
		return nil, err
	}
	open := map[inode]bool{}
	for _, pid := range pids {
		if _, err := strconv.Atoi(pid); err != nil {
			continue
		}
		for _, dir := range []string{"fd", "map_files"} {
			names, err := readNames(filepath.Join("/proc", pid, dir))
			if err != nil {
				continue // it has ended, or is not ours to look at
			}
			for _, n := range names {
				info, err := os.Stat(filepath.Join("/proc", pid, dir, n))
				if err != nil {
					continue
				}
				if s, ok := info.Sys().(*syscall.Stat_t); ok {
					open[inode{s.Dev, s.Ino}] = true
				}
			}
		}
	}
	return open, nil
}

// held says that somebody else has a file open, though /proc may not show whom: a process of another user, or of another
// container. The kernel gives a write lease on a file only to whoever alone has it open, or mapped. Where it gives none for
// another reason (another's file, a file system without leases), what /proc shows decides.
func held(f *os.File) bool {
	_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK)
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	}
	return errors.Is(err, unix.EAGAIN)
}

func syncDisks() { syscall.Sync() }

// dataFrom is where a file's first allocated byte is: what lies before was given back by an earlier rotation.
func dataFrom(f *os.File) int64 {
	at, err := unix.Seek(int(f.Fd()), 0, unix.SEEK_DATA)
	if err != nil {
		return 0
	}
	return at
}

// punch gives back the blocks of a part of a file, whose size stays. A block that holds more than the part is kept.
func punch(f *os.File, at, n int64) error {
	return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, at, n)
}

// mount is one line of /proc/self/mountinfo.
type mount struct{ point, kind, source string }

func (v volumes) mountOf(path string) (mount, error) {
	text, err := os.ReadFile(v.root + "/proc/self/mountinfo")
	if err != nil {
		return mount{}, err
	}
	var best mount
	for line := range strings.Lines(string(text)) {
		left, right, ok := strings.Cut(line, " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 5 || len(r) < 2 {
			continue
		}
		if point := l[4]; point == path {
			best = mount{point, r[0], r[1]} // the last one mounted there is the one that is seen
		}
	}
	if best.point == "" {
		return best, fmt.Errorf("nothing is mounted at %s", path)
	}
	return best, nil
}

// device is the number of bytes of a block device, and the disk that it is a partition of: "" where it is a whole one.
func (v volumes) device(source string) (bytes uint64, disk, partition string, err error) {
	real, err := filepath.EvalSymlinks(v.root + source)
	if err != nil {
		return 0, "", "", err
	}
	dir := filepath.Join(v.root, "/sys/class/block", filepath.Base(real))
	sectors, err := readNumber(dir + "/size")
	if err != nil {
		return 0, "", "", err
	}
	if text, err := os.ReadFile(dir + "/partition"); err == nil {
		link, err := filepath.EvalSymlinks(dir)
		if err != nil {
			return 0, "", "", err
		}
		return sectors * 512, "/dev/" + filepath.Base(filepath.Dir(link)), strings.TrimSpace(string(text)), nil
	}
	return sectors * 512, "", "", nil
}
