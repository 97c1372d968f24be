package host

import (
	"bytes"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/shirou/gopsutil/v4/host"
	"golang.org/x/sys/unix"
)

// ticks is the unit of times in /proc, a second: USER_HZ, which is 100 wherever Go runs.
const ticks = 100

// procDir is where the host's processes are.
func procDir() string {
	if d := os.Getenv("HOST_PROC"); d != "" {
		return d
	}
	return "/proc"
}

// procReader reads processes from /proc. Not safe for concurrent use.
type procReader struct {
	boot  time.Time         // asked once: when the clock is adjusted, processes must not become others
	users map[uint32]string // names
}

func newProcReader() *procReader {
	r := &procReader{boot: time.Now().UTC(), users: map[uint32]string{}}
	if s, err := host.BootTime(); err == nil {
		r.boot = time.Unix(int64(s), 0).UTC()
	}
	return r
}

// beganAt is the time that a process began at, as /proc counts it.
func (r *procReader) beganAt(began int64) time.Time {
	return r.boot.Add(time.Duration(began) * time.Second / ticks)
}

// read looks at all processes. It reads /proc/PID/stat itself: gopsutil would open four files for what stands in
// this one.
func (r *procReader) read() ([]usage, error) {
	dir := procDir()
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	_ = d.Close()
	if err != nil {
		return nil, err
	}
	page := uint64(os.Getpagesize())
	all := make([]usage, 0, len(names))
	path := append([]byte(dir), '/')
	buf := make([]byte, 1024)
	for _, name := range names {
		if name[0] < '1' || name[0] > '9' {
			continue
		}
		pid, err := strconv.ParseInt(name, 10, 32)
		if err != nil {
			continue
		}
		p := append(append(path, name...), "/stat\x00"...)
		n := readInto(p, buf)
		u, ok := parseStat(buf[:n], page)
		if !ok {
			continue // it has ended meanwhile
		}
		u.pid = int32(pid)
		all = append(all, u)
	}
	return all, nil
}

// readInto reads the beginning of a small file, whose path ends with a zero, into buf.
func readInto(path, buf []byte) int {
	fd, err := unix.Open(unix.ByteSliceToString(path), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	n, err := unix.Read(fd, buf)
	if err != nil {
		return 0
	}
	return n
}

// parseStat reads a line of /proc/PID/stat. The name, in brackets, may hold anything, brackets and spaces too.
//
// Source: proc_pid_stat(5): fields utime 14, stime 15, starttime 22, rss 24 (in pages).
func parseStat(b []byte, page uint64) (u usage, ok bool) {
	i := bytes.LastIndexByte(b, ')')
	if i < 0 || i+2 >= len(b) {
		return u, false
	}
	var utime, stime int64
	field := 3
	for f := range bytes.FieldsSeq(b[i+2:]) {
		switch field {
		case 14, 15, 22, 24:
			n, err := strconv.ParseInt(string(f), 10, 64)
			if err != nil {
				return u, false
			}
			switch field {
			case 14:
				utime = n
			case 15:
				stime = n
			case 22:
				u.began = n
			case 24:
				u.rss = uint64(max(n, 0)) * page
				u.used = time.Duration(utime+stime) * time.Second / ticks
				return u, true
			}
		}
		field++
	}
	return u, false
}

// detail reads what is told of a process besides what it uses. What can't be read stays empty: it may have ended.
func (r *procReader) detail(u usage) detail {
	dir := filepath.Join(procDir(), strconv.Itoa(int(u.pid)))
	d := detail{began: u.began, at: r.beganAt(u.began)}
	if name, err := os.ReadFile(filepath.Join(dir, "comm")); err == nil {
		d.name = commandLine(string(bytes.TrimSpace(name)))
	}
	buf := make([]byte, 4*maxCommand)
	if n := readInto([]byte(filepath.Join(dir, "cmdline")+"\x00"), buf); n > 0 {
		d.command = commandLine(string(buf[:n]))
	}
	if info, err := os.Stat(dir); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			d.user = r.user(st.Uid)
		}
	}
	return d
}

// user is the name of a user, or the number where it has none.
func (r *procReader) user(uid uint32) string {
	name, ok := r.users[uid]
	if !ok {
		name = strconv.FormatUint(uint64(uid), 10)
		if u, err := user.LookupId(name); err == nil {
			name = u.Username
		}
		r.users[uid] = name
	}
	return name
}
