//go:build !linux

package host

import (
	"time"

	"github.com/shirou/gopsutil/v4/process"
)

// procReader reads processes through gopsutil.
type procReader struct{}

func newProcReader() *procReader { return &procReader{} }

// beganAt is the time that a process began at; here its count is in milliseconds since 1970.
func (*procReader) beganAt(began int64) time.Time { return time.UnixMilli(began).UTC() }

// read looks at all processes.
func (*procReader) read() ([]usage, error) {
	ps, err := process.Processes()
	if err != nil {
		return nil, err
	}
	all := make([]usage, 0, len(ps))
	for _, p := range ps {
		began, err := p.CreateTime()
		if err != nil {
			continue // it has ended meanwhile
		}
		u := usage{pid: p.Pid, began: began}
		if t, err := p.Times(); err == nil {
			u.used = time.Duration((t.User + t.System) * float64(time.Second))
		}
		if m, err := p.MemoryInfo(); err == nil {
			u.rss = m.RSS
		}
		all = append(all, u)
	}
	return all, nil
}

// detail reads what is told of a process besides what it uses.
func (r *procReader) detail(u usage) detail {
	d := detail{began: u.began, at: r.beganAt(u.began)}
	if p, err := process.NewProcess(u.pid); err == nil {
		d.name, _ = p.Name()
		d.user, _ = p.Username()
		line, _ := p.Cmdline()
		d.command = commandLine(line)
	}
	return d
}
