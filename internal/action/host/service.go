package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// supervisors are programs that begin what they watch over again when it ends. (gameday-memory is the game day's own.)
var supervisors = []string{"gameday-memory", "runsv", "s6-supervise", "supervisord", "monit", "circusd", "god", "pm2*"}

// restartWait is how long a service may take to be there again.
const restartWait = 30 * time.Second

// Restarted says what came of restarting a service.
type Restarted struct {
	Text    string `json:"text"`
	Service string `json:"service"` // the unit, or the supervisor
	From    int    `json:"from"`    // pid before, and
	To      int    `json:"to"`      // after
}

// restart restarts the service that a process belongs to: its systemd unit, else by ending it where a supervisor begins it
// again. A process without either is left alone: ending it is not restarting. It has come back only when another process is
// there in its place a moment later.
func restart(ctx context.Context, target Usage, p Policy, grace time.Duration, dry bool) (Restarted, error) {
	r := Restarted{From: target.PID}
	now, err := processOf(target.PID)
	if gone(now, err, target.Process) {
		r.Text = fmt.Sprintf("process %d (%s) has ended already", target.PID, target.Name)
		return r, nil
	}
	if err != nil {
		return r, err
	}
	ps, err := snapshot()
	if err != nil {
		return r, err
	}
	all := make([]Usage, 0, len(ps))
	for _, q := range ps {
		all = append(all, Usage{Process: q})
	}
	if why := newWall(p, all).keeps(now); why != "" {
		return r, fmt.Errorf("process %d (%s) is not restarted: %s", now.PID, now.Name, why)
	}
	parent := ps[now.Parent]
	unit := now.unit()
	switch {
	case p.Within == 0 && unit != "" && unit != "init.scope":
		r.Service = unit
	case matching(supervisors, []string{parent.Name}) != "":
		r.Service = fmt.Sprintf("%s (process %d)", parent.Name, parent.PID)
	default:
		return r, fmt.Errorf("process %d (%s) belongs to no systemd unit, and nothing would begin it again: a person has to restart it", now.PID, now.Name)
	}
	if dry {
		r.Text = fmt.Sprintf("restart %s, of which process %d (%s) is", r.Service, now.PID, now.Name)
		return r, nil
	}
	if r.Service == unit {
		return restartUnit(ctx, r, unit, now)
	}
	return restartSupervised(ctx, r, now, parent, grace)
}

func restartUnit(ctx context.Context, r Restarted, unit string, was Process) (Restarted, error) {
	cctx, stop := context.WithTimeout(ctx, 2*time.Minute)
	defer stop()
	if out, err := exec.CommandContext(cctx, "systemctl", "restart", "--", unit).CombinedOutput(); err != nil {
		return r, fmt.Errorf("systemctl restart %s: %w: %s", unit, err, lastLine(string(out)))
	}
	for end := time.Now().Add(restartWait); ; {
		out, err := exec.CommandContext(cctx, "systemctl", "show", "--value", "-p", "ActiveState", "-p", "MainPID", "--", unit).Output()
		fields := strings.Fields(string(out))
		if err == nil && len(fields) == 2 {
			state, pid := fields[0], 0
			for _, f := range fields {
				if _, e := fmt.Sscan(f, &pid); e != nil {
					state = f
				}
			}
			if state == "active" && pid != was.PID {
				r.To, r.Text = pid, fmt.Sprintf("restarted %s: process %d took the place of %d", unit, pid, was.PID)
				return r, nil
			}
		}
		if time.Now().After(end) {
			return r, fmt.Errorf("%s has not come back %v after its restart: %s", unit, restartWait, strings.Join(fields, " "))
		}
		select {
		case <-ctx.Done():
			return r, context.Cause(ctx)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func restartSupervised(ctx context.Context, r Restarted, was, parent Process, grace time.Duration) (Restarted, error) {
	proc, err := os.FindProcess(was.PID)
	if err != nil {
		return r, err
	}
	defer func() { _ = proc.Release() }()
	// The handle is made: look once more that it is of the process that was meant.
	if now, err := processOf(was.PID); gone(now, err, was) {
		r.Text = fmt.Sprintf("process %d (%s) has ended already", was.PID, was.Name)
		return r, nil
	}
	for _, s := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGTERM, grace}, {syscall.SIGKILL, killWait}} {
		if err := proc.Signal(s.signal); err != nil && !errors.Is(err, os.ErrProcessDone) && !errors.Is(err, syscall.ESRCH) {
			return r, fmt.Errorf("signal %v to process %d: %w", s.signal, was.PID, err)
		}
		if ok, err := awaitGone(ctx, was, s.wait); err != nil {
			return r, err
		} else if ok {
			break
		}
	}
	for end := time.Now().Add(restartWait); time.Now().Before(end); {
		ps, err := snapshot()
		if err != nil {
			return r, err
		}
		for _, q := range ps {
			if q.Parent == parent.PID && q.Name == was.Name && q.PID != was.PID && q.state != "Z" {
				r.To, r.Text = q.PID, fmt.Sprintf("restarted %s under %s: process %d took the place of %d", was.Name, r.Service, q.PID, was.PID)
				return r, nil
			}
		}
		select {
		case <-ctx.Done():
			return r, context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
	return r, fmt.Errorf("%s has not come back under %s %v after it was ended", was.Name, r.Service, restartWait)
}
