//go:build !linux

package gameday

import (
	"syscall"
	"time"
)

// childAttributes has nothing to add to the pipe here.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

func rename(string) {}

// cpuTime can't be had everywhere: the burn's minimum is Linux's alone.
func cpuTime() time.Duration { return MinBurn }
