package host

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"
)

// ErrGone means that there is no such process, or that its pid belongs to another by now.
var ErrGone = errors.New("the process is gone")

// Process is one process at one moment. PID and Start together name it: a pid alone is given to another one day.
type Process struct {
	PID    int           `json:"pid"`
	Start  uint64        `json:"start"` // since boot, in 1/100 s
	Parent int           `json:"parent"`
	Name   string        `json:"name"` // as the kernel has it, at most 15 bytes
	UID    int           `json:"uid"`
	CPU    time.Duration `json:"-"`   // of all its threads since it began
	RSS    uint64        `json:"rss"` // bytes

	waited  time.Duration // for a processor, while it could have run
	threads int
	session int
	state   string // one letter; Z is one that has ended and that its parent has not collected
	kernel  bool
}

// Usage is a process and what it used of the processors over a window.
type Usage struct {
	Process
	Command    string  `json:"command,omitempty"` // cut to 200 bytes
	Cores      float64 `json:"cores"`             // mean over the window
	Least      float64 `json:"least"`             // cores, in the quietest part of the window
	Wanted     float64 `json:"wanted"`            // cores that it used or waited for, in the quietest part
	CPUSeconds float64 `json:"cpuSeconds"`        // since it began
}

// parts is how often a window is looked at: a process counts as burning only if it does so in each part.
const parts = 3

// Watch looks at all processes for the length of window, and returns them by use of the processors, most first.
func Watch(ctx context.Context, window time.Duration) ([]Usage, error) {
	began := time.Now()
	before, err := snapshot()
	if err != nil {
		return nil, err
	}
	first := before
	least, wanted := map[int]float64{}, map[int]float64{}
	last := began
	for range parts {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(window / parts):
		}
		now := time.Now()
		after, err := snapshot()
		if err != nil {
			return nil, err
		}
		for pid, p := range after {
			used, want := 0.0, 0.0
			if b, ok := before[pid]; ok && b.Start == p.Start {
				took := now.Sub(last).Seconds()
				used = (p.CPU - b.CPU).Seconds() / took
				want = used + max(0, p.waited-b.waited).Seconds()/took
			}
			if l, ok := least[pid]; !ok || used < l {
				least[pid] = used
			}
			if l, ok := wanted[pid]; !ok || want < l {
				wanted[pid] = want
			}
		}
		before, last = after, now
	}
	took := last.Sub(began).Seconds()
	out := make([]Usage, 0, len(before))
	for pid, p := range before {
		u := Usage{Process: p, Least: least[pid], Wanted: wanted[pid], CPUSeconds: p.CPU.Seconds()}
		if f, ok := first[pid]; ok && f.Start == p.Start {
			u.Cores = (p.CPU - f.CPU).Seconds() / took
		} else {
			u.Least, u.Wanted = 0, 0 // it began within the window: nothing is known of the rest
			u.Cores = p.CPU.Seconds() / took
		}
		out = append(out, u)
	}
	slices.SortFunc(out, func(a, b Usage) int {
		return cmp.Or(cmp.Compare(b.Cores, a.Cores), cmp.Compare(a.PID, b.PID))
	})
	return out, nil
}

// snapshot returns the processes by pid.
func snapshot() (map[int]Process, error) {
	ps, err := processes()
	if err != nil {
		return nil, err
	}
	m := make(map[int]Process, len(ps))
	for _, p := range ps {
		p.waited = p.delay()
		m[p.PID] = p
	}
	return m, nil
}

// Top is the report of a host's processes: the n that use most of the processors and the n that hold most memory.
type Top struct {
	ByCPU    []Usage `json:"byCPU"`
	ByMemory []Usage `json:"byMemory"`
	Count    int     `json:"count"` // of all processes
}

// Report watches for window and returns the n greatest by processor and by memory.
func Report(ctx context.Context, window time.Duration, n int) (Top, error) {
	all, err := Watch(ctx, window)
	if err != nil {
		return Top{}, err
	}
	take := func(us []Usage) []Usage {
		us = slices.Clone(us[:min(n, len(us))])
		for i := range us {
			us[i].Command = us[i].command()
		}
		return us
	}
	top := Top{ByCPU: take(all), Count: len(all)}
	slices.SortStableFunc(all, func(a, b Usage) int { return cmp.Compare(b.RSS, a.RSS) })
	top.ByMemory = take(all)
	return top, nil
}
