package gameday

import (
	"os"
	"syscall"
	"time"
)

// childAttributes make the kernel end a child with its parent, besides the pipe. The child gets a process group of its own, so
// that Ctrl-C at the terminal is the parent's to handle.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// rename gives this process a name of its own in lists of processes: a fault is not Homeostat.
func rename(name string) {
	_ = os.WriteFile("/proc/self/comm", []byte(name[:min(len(name), 15)]), 0)
}

// cpuTime is the CPU time that this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return MinBurn
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
