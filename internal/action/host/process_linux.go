package host

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// userHZ is the unit of times in /proc/PID/stat: 1/100 s on every architecture that Linux has (proc(5), USER_HZ).
const userHZ = 100

// kthread is the flag of a kernel thread in field 9 of /proc/PID/stat (PF_KTHREAD of include/linux/sched.h).
const kthread = 0x00200000

// processes reads every process that can be read. One that ends meanwhile is left out.
func processes() ([]Process, error) {
	names, err := readNames("/proc")
	if err != nil {
		return nil, err
	}
	out := make([]Process, 0, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		p, err := processOf(pid)
		if err != nil {
			continue
		}
		out = append(out, p)
	}
	return out, nil
}

func readNames(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

// processOf reads one process. The error wraps [ErrGone] when there is none with this pid.
func processOf(pid int) (Process, error) {
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			return Process{}, fmt.Errorf("process %d: %w", pid, ErrGone)
		}
		return Process{}, err
	}
	p, err := parseStat(stat)
	if err != nil {
		return Process{}, fmt.Errorf("%s/stat: %w", dir, err)
	}
	if st, err := os.Stat(dir); err == nil {
		if sys, ok := st.Sys().(*syscall.Stat_t); ok {
			p.UID = int(sys.Uid)
		}
	}
	return p, nil
}

// parseStat reads /proc/PID/stat. The name stands in brackets and may hold brackets and blanks itself, so that the last
// closing one counts.
func parseStat(text []byte) (Process, error) {
	open, closing := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 1 || closing < open {
		return Process{}, errors.New("no name in brackets")
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(text[:open])))
	if err != nil {
		return Process{}, err
	}
	f := strings.Fields(string(text[closing+1:]))
	if len(f) < 22 {
		return Process{}, fmt.Errorf("%d fields after the name, want 22 or more", len(f))
	}
	num := func(i int) uint64 {
		n, e := strconv.ParseUint(f[i], 10, 64)
		if e != nil && err == nil {
			err = e
		}
		return n
	}
	p := Process{
		PID:    pid,
		Name:   string(text[open+1 : closing]),
		state:  f[0],
		Parent: int(num(1)),
		CPU:    time.Duration(num(11)+num(12)) * time.Second / userHZ,
		Start:  num(19),
		RSS:    num(21) * uint64(os.Getpagesize()),
		kernel: num(6)&kthread != 0,
	}
	p.session, _ = strconv.Atoi(f[3])
	p.threads = int(num(17))
	return p, err
}

// maxThreads is up to how many threads of a process are asked how long they waited.
const maxThreads = 64

// delay returns how long the process' threads have waited for a processor since they began: the second number of schedstat.
// Where the kernel doesn't tell, it is 0.
func (p Process) delay() time.Duration {
	dir := "/proc/" + strconv.Itoa(p.PID)
	if p.kernel || p.CPU == 0 {
		return 0
	}
	if p.threads <= 1 {
		return waited(dir)
	}
	tasks, err := readNames(dir + "/task")
	if err != nil {
		return 0
	}
	var sum time.Duration
	for _, t := range tasks[:min(len(tasks), maxThreads)] {
		sum += waited(dir + "/task/" + t)
	}
	return sum
}

func waited(dir string) time.Duration {
	text, err := os.ReadFile(dir + "/schedstat")
	if err != nil {
		return 0
	}
	f := strings.Fields(string(text))
	if len(f) < 2 {
		return 0
	}
	n, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil {
		return 0
	}
	return time.Duration(n)
}

// exe returns the path of the file that the process runs, "" where that may not be read.
func (p Process) exe() string {
	path, _ := os.Readlink(filepath.Join("/proc", strconv.Itoa(p.PID), "exe"))
	return strings.TrimSuffix(path, " (deleted)")
}

// command returns the arguments that the process was started with, separated by blanks, at most 200 bytes.
func (p Process) command() string {
	text, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.PID), "cmdline"))
	text = bytes.TrimRight(text, "\x00")
	return strings.ToValidUTF8(string(bytes.ReplaceAll(text[:min(len(text), 200)], []byte{0}, []byte{' '})), "")
}

// unit returns the last element of the process' control group where it is a systemd service of the system, else "". A
// container's scope lies in system.slice too, and is no service.
func (p Process) unit() string {
	text, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.PID), "cgroup"))
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 || parts[0] != "0" && parts[1] != "name=systemd" {
			continue
		}
		if parts[2] == "/init.scope" {
			return "init.scope"
		}
		if rest, ok := strings.CutPrefix(parts[2], "/system.slice/"); ok {
			for elem := range strings.SplitSeq(rest, "/") {
				if strings.HasSuffix(elem, ".service") {
					return elem
				}
			}
		}
	}
	return ""
}
