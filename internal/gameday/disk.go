package gameday

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// How the disk fault fills, in shares of its size a second.
const (
	fastFill = 0.10
	slowFill = 0.01
	fillTo   = 0.99
)

// diskPrefix begins the name of every folder that a disk fault fills: a child removes nothing else.
const diskPrefix = "homeostat-gameday-disk-"

// fillFile is the file that the disk fault writes, as a log that nobody rotates would be.
const fillFile = "runaway.log"

// startDisk starts the disk fault: on a tmpfs of its own where one can be mounted, else in a folder that is measured against
// a size.
func (f *Fault) startDisk(o Options) error {
	sweep(cmp.Or(o.Dir, os.TempDir()))
	dir, err := os.MkdirTemp(o.Dir, diskPrefix+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		return err
	}
	f.dir = dir
	f.gauge = &gauge{of: o.DiskSize}
	method := "tmpfs"
	if err := mountTmpfs(dir, o.DiskSize); err == nil {
		f.gauge.used = func() (int64, error) {
			if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
				return 0, nil // the fault is over
			}
			return filled(dir)
		}
		f.describe = fmt.Sprintf("one process fills a tmpfs of %d MB that is mounted at %s, by 10 %% a second to 80 %%, then by 1 %% a second, for %v at most", o.DiskSize/1e6, dir, o.Bound)
	} else {
		o.Log.Info("no tmpfs for the disk fault; a folder is measured against a size instead", "source", "gameday", "err", err)
		if free, ok := diskFree(dir); ok && free < 2*o.DiskSize {
			return errors.Join(fmt.Errorf("the disk fault needs twice %d MB free at %s: there are %d MB", o.DiskSize/1e6, dir, free/1e6), os.Remove(dir))
		}
		method = "folder"
		f.gauge.used = func() (int64, error) { return size(dir) }
		f.describe = fmt.Sprintf("one process fills the folder %s, which stands for a disk of %d MB (no tmpfs can be mounted here), by 10 %% a second to 80 %%, then by 1 %% a second, for %v at most", dir, o.DiskSize/1e6, o.Bound)
	}
	f.gauge.ratio = f.ownLabels("system_filesystem_utilization_ratio", "system_filesystem_mountpoint", dir, "system_filesystem_state", "used")
	f.gauge.usage = f.ownLabels("system_filesystem_usage_bytes", "system_filesystem_mountpoint", dir, "system_filesystem_state", "used")
	f.gauge.limit = f.ownLabels("system_filesystem_limit_bytes", "system_filesystem_mountpoint", dir)
	f.cleanup = func() error { return removeDisk(dir) }
	return f.start(o, []string{"dir=" + dir, "size=" + strconv.FormatInt(o.DiskSize, 10), "method=" + method}, nil)
}

// Dir is the folder that the disk fault fills; "" for other faults.
func (f *Fault) Dir() string { return f.dir }

// sweep takes away what game days have left whose processes were all killed: the folder's name says whose it was.
func sweep(in string) {
	entries, err := os.ReadDir(in)
	if err != nil {
		return
	}
	for _, e := range entries {
		rest, ours := strings.CutPrefix(e.Name(), diskPrefix)
		pid, _, _ := strings.Cut(rest, "-")
		if n, err := strconv.Atoi(pid); !ours || err != nil || !e.IsDir() || exists(n) {
			continue
		}
		_ = removeDisk(filepath.Join(in, e.Name()))
	}
}

// exists reports whether there is a process with this pid, or one can't tell.
func exists(pid int) bool {
	p, err := os.FindProcess(pid)
	return err != nil || !errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone)
}

// removeDisk unmounts and removes a disk fault's folder. What is gone already is no error.
func removeDisk(dir string) error {
	if !strings.HasPrefix(filepath.Base(dir), diskPrefix) {
		return fmt.Errorf("%s is no disk fault's folder", dir)
	}
	if err := unmount(dir); err != nil {
		return fmt.Errorf("unmount %s: %w", dir, err) // and remove nothing that may not be ours
	}
	return os.RemoveAll(dir)
}

// size is what the files in a folder take of the disk, in bytes.
func size(dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			sum += taken(info)
		}
		return nil
	})
	return sum, err
}

// fillDisk is the disk fault's child. It writes until fillTo of the size and then waits. What it has written stays when it is
// ended, as a full disk does; the folder goes with the parent.
func fillDisk(settings map[string]string, begin func(), end <-chan time.Time, polite <-chan os.Signal) error {
	limit, err := number(settings, "size")
	if err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(settings["dir"], fillFile), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	begin()
	line := make([]byte, 64<<10)
	for i := range line {
		line[i] = "homeostat gameday disk\n"[i%23]
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var written int64
	for last := time.Now(); ; {
		select {
		case <-end:
			return removeDisk(settings["dir"]) // nobody came: enough is enough
		case <-polite:
			return nil
		case <-tick.C:
		}
		passed := min(time.Since(last), time.Second).Seconds()
		last = time.Now()
		rate := fastFill
		if float64(written) >= slowFrom*float64(limit) {
			rate = slowFill
		}
		for more := min(int64(rate*passed*float64(limit)), int64(fillTo*float64(limit))-written); more > 0; {
			n, err := file.Write(line[:min(more, int64(len(line)))])
			written += int64(n)
			more -= int64(n)
			if err != nil {
				break // full: that is what it is for
			}
		}
	}
}
