package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// folderPrefix begins the name of every script's folder: Sweep removes nothing else.
const folderPrefix = "homeostat-step-"

// folder is where one script and what it needs lie while it runs. It is locked: by the handle that the script has of it too, so that
// a later life of ours sees whether the script has outlived us. The kernel lets go of the lock when the last of them ends.
type folder struct {
	path string
	lock *os.File
}

// newFolder makes a folder for one script, for this user only.
func (h *Hands) newFolder() (*folder, error) {
	if h.cfg.Dir != "" {
		if err := os.MkdirAll(h.cfg.Dir, 0o700); err != nil {
			return nil, err
		}
	}
	path, err := os.MkdirTemp(h.cfg.Dir, folderPrefix)
	if err != nil {
		return nil, err
	}
	lock, err := os.Open(path)
	if err == nil {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	f := &folder{path, lock}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.remove())
	}
	return f, nil
}

// hold has cmd hold the lock as long as it runs.
func (f *folder) hold(cmd *exec.Cmd) { cmd.ExtraFiles = append(cmd.ExtraFiles, f.lock) }

func (f *folder) remove() error {
	err := os.RemoveAll(f.path)
	if f.lock != nil {
		err = errors.Join(err, f.lock.Close())
	}
	return err
}

// Sweep removes from dir, where Hands of this configuration's Dir wrote scripts in an earlier life, what that life had no time to
// remove. The folder of a script that still runs stays. No Hands may use dir yet.
func Sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), folderPrefix) {
			continue
		}
		f := &folder{path: filepath.Join(dir, e.Name())}
		if f.lock, err = os.Open(f.path); err == nil {
			if errors.Is(syscall.Flock(int(f.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK) {
				_ = f.lock.Close() // nothing was written
				continue
			}
		}
		errs = append(errs, f.remove())
	}
	return errors.Join(errs...)
}
