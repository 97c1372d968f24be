//go:build !linux

package gameday

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// childAttributes has nothing to add to the pipe here.
func childAttributes(string) *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

func rename(string) {}

// cpuTime can't be had everywhere: the burn's minimum is Linux's alone.
func cpuTime() time.Duration { return MinBurn }

// errLinux means that only Linux has it.
var errLinux = errors.New("only on Linux")

// memoryGroup is Linux's alone.
type memoryGroup struct{ dir string }

func newMemoryGroup(int64) (*memoryGroup, error) { return nil, errLinux }

func (*memoryGroup) used() (int64, error)                         { return 0, errLinux }
func (*memoryGroup) remove() error                                { return nil }
func (*memoryGroup) enter(*syscall.SysProcAttr) (*os.File, error) { return nil, errLinux }

func limitAddressSpace(int64) error  { return errLinux }
func mountTmpfs(string, int64) error { return errLinux }
func unmount(string) error           { return nil }
func filled(string) (int64, error)   { return 0, errLinux }
func diskFree(string) (int64, bool)  { return 0, false }
func taken(info fs.FileInfo) int64   { return info.Size() }
