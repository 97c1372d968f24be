package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// dataDir is a data folder that this process holds.
type dataDir struct {
	path string
	lock *os.File
}

// openDataDir makes the folder where it is missing and takes it for this process alone; the kernel lets go of it when the
// process ends, however it ends.
func openDataDir(path string) (*dataDir, error) {
	unusable := func(err error) error {
		return fmt.Errorf("data folder %s can't be written: %w; name another with --data or data.dir", path, err)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, unusable(err)
	}
	f, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, unusable(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		owner := make([]byte, 32)
		n, _ := f.ReadAt(owner, 0)
		f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock data folder %s: %w", path, err)
		}
		return nil, fmt.Errorf("data folder %s belongs to another homeostat that is running (process %s)",
			path, strings.TrimSpace(string(owner[:n])))
	}
	d := &dataDir{path: path, lock: f}
	// The process' number is for the person who reads the message above; the lock itself is the kernel's. A full disk must
	// not keep us from starting, so that there is something to say so.
	if err := f.Truncate(0); err == nil {
		fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	return d, nil
}

// defaultDataDir is $XDG_STATE_HOME/homeostat, or the place that the XDG specification names where it isn't set.
func defaultDataDir() (string, error) {
	if d := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, "homeostat"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no data folder: set --data, data.dir, XDG_STATE_HOME or HOME: %w", err)
	}
	return filepath.Join(home, ".local", "state", "homeostat"), nil
}

func (d *dataDir) join(name string) string { return filepath.Join(d.path, name) }

func (d *dataDir) Close() error { return d.lock.Close() }
