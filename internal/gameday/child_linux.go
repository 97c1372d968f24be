package gameday

import (
	"os"
	"syscall"
	"time"
)

// childAttributes give the child of a fault a process group of its own, so that Ctrl-C at the terminal is the parent's to
// handle. Besides the pipe the kernel ends it with its parent, but not the disk fault's, which needs a moment to unmount.
func childAttributes(fault string) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true}
	if fault != Disk {
		a.Pdeathsig = syscall.SIGKILL
	}
	return a
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
