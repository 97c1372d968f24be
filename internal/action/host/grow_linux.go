package host

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// slack is how much larger a device must be than its file system to be worth growing into: less is the file system's own.
const slack = 256 << 20

// volumes is where file systems, and the sizes of them and of their devices, are read.
type volumes struct {
	root  string                                  // what stands before /proc, /sys and /dev; "" is this machine
	bytes func(mountPoint string) (uint64, error) // of a file system
}

func thisMachine() volumes {
	return volumes{bytes: func(point string) (uint64, error) {
		var st syscall.Statfs_t
		err := syscall.Statfs(point, &st)
		return st.Blocks * uint64(st.Bsize), err
	}}
}

// growable says whether the file system at a path is ext4 or xfs and lies on a device, or a disk, that has become larger.
func (v volumes) growable(path string) bool {
	m, err := v.mountOf(path)
	if err != nil || m.kind != "ext4" && m.kind != "xfs" {
		return false
	}
	has, can, err := v.sizes(m)
	return err == nil && can > has+has/50+slack
}

// sizes are what the file system has, and what it could have.
func (v volumes) sizes(m mount) (has, can uint64, err error) {
	if has, err = v.bytes(m.point); err != nil {
		return 0, 0, err
	}
	can, disk, _, err := v.device(m.source)
	if err != nil {
		return 0, 0, err
	}
	if disk != "" {
		whole, _, _, err := v.device(disk)
		if err != nil {
			return 0, 0, err
		}
		can = max(can, whole)
	}
	return has, can, nil
}

// grow grows the partition and the file system at a path to what their device has, after its volume grew.
func (v volumes) grow(ctx context.Context, path string, dry bool) (Done, error) {
	m, err := v.mountOf(path)
	if err != nil {
		return Done{}, err
	}
	if m.kind != "ext4" && m.kind != "xfs" {
		return Done{}, fmt.Errorf("%s is a file system of type %s; only ext4 and xfs are grown", path, m.kind)
	}
	has, can, err := v.sizes(m)
	if err != nil {
		return Done{}, err
	}
	if !v.growable(path) {
		return Done{Text: fmt.Sprintf("%s has all of its device (%s)", path, size(has))}, nil
	}
	if dry {
		return Done{Text: fmt.Sprintf("grow the %s file system at %s from %s to about %s", m.kind, path, size(has), size(can))}, nil
	}
	ctx, stop := context.WithTimeout(ctx, 10*time.Minute)
	defer stop()
	if _, disk, part, err := v.device(m.source); err == nil && disk != "" {
		out, err := exec.CommandContext(ctx, "growpart", disk, part).CombinedOutput()
		if err != nil && !strings.Contains(string(out), "NOCHANGE") {
			return Done{}, fmt.Errorf("growpart %s %s: %w: %s", disk, part, err, lastLine(string(out)))
		}
	}
	args := []string{"resize2fs", m.source}
	if m.kind == "xfs" {
		args = []string{"xfs_growfs", path}
	}
	if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
		return Done{}, fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, lastLine(string(out)))
	}
	now, _, err := v.sizes(m)
	if err != nil {
		return Done{}, err
	}
	if now <= has {
		return Done{}, errors.New("the file system has not become larger")
	}
	return Done{Text: fmt.Sprintf("grew %s from %s to %s", path, size(has), size(now)), Freed: now - has, Did: []string{path}}, nil
}
