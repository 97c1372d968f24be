package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// Ended says what became of one process.
type Ended struct {
	PID    int     `json:"pid"`
	Name   string  `json:"name"`
	Cores  float64 `json:"cores"`
	How    string  `json:"how"` // "term", "kill", "gone" (it had ended already), "quiet" (it no longer burns) or "spared"
	Why    string  `json:"why,omitempty"`
	AfterS float64 `json:"afterSeconds"` // from the first signal until it was gone
}

// killWait is how long a process may take to go after KILL: it can hang in the kernel, then it is not gone and we say so.
const killWait = 5 * time.Second

// End ends a process that was found before: TERM, then after grace KILL, until it is gone. Right before the signal it looks
// again: a pid that belongs to another process by now, one that may not be ended and one that has become quiet (less than
// half of the policy's MinCores over a second) are left alone, which is no error.
func End(ctx context.Context, target Usage, p Policy, grace time.Duration) (Ended, error) {
	p = p.withDefaults()
	e := Ended{PID: target.PID, Name: target.Name, Cores: target.Cores}
	// The handle is a pidfd where the kernel has them: from here on a signal can't reach another process with this pid.
	proc, err := os.FindProcess(target.PID)
	if err != nil {
		return e, err
	}
	defer func() { _ = proc.Release() }()
	now, err := processOf(target.PID)
	if gone(now, err, target.Process) {
		e.How = "gone"
		return e, nil
	}
	if err != nil {
		return e, err
	}
	all, err := Watch(ctx, min(p.Window, time.Second))
	if err != nil {
		return e, err
	}
	if why := newWall(p, all).spares(now); why != "" {
		e.How, e.Why = "spared", why
		return e, nil
	}
	for _, u := range all {
		if u.PID == now.PID && u.Start == now.Start && u.Cores < p.MinCores/2 && u.Wanted < always/2 {
			e.How, e.Why, e.Cores = "quiet", fmt.Sprintf("it uses %.2f cores now", u.Cores), u.Cores
			return e, nil
		}
	}
	began := time.Now()
	for _, s := range []struct {
		how    string
		signal syscall.Signal
		wait   time.Duration
	}{{"term", syscall.SIGTERM, grace}, {"kill", syscall.SIGKILL, killWait}} {
		if err := proc.Signal(s.signal); err != nil && !errors.Is(err, os.ErrProcessDone) && !errors.Is(err, syscall.ESRCH) {
			return e, fmt.Errorf("signal %v to process %d: %w", s.signal, target.PID, err)
		}
		ok, err := awaitGone(ctx, target.Process, s.wait)
		if err != nil {
			return e, err
		}
		if ok {
			e.How, e.AfterS = s.how, time.Since(began).Seconds()
			return e, nil
		}
	}
	return e, fmt.Errorf("process %d (%s) is still there %v after KILL", target.PID, target.Name, killWait)
}

// gone reports whether the process called want is no more: none has its pid, or another has, or it is a zombie.
func gone(now Process, err error, want Process) bool {
	return errors.Is(err, ErrGone) || err == nil && (now.Start != want.Start || now.state == "Z")
}

// awaitGone waits for at most wait; false means that the process is still there.
func awaitGone(ctx context.Context, want Process, wait time.Duration) (bool, error) {
	deadline := time.Now().Add(wait)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		now, err := processOf(want.PID)
		if gone(now, err, want) {
			return true, nil
		}
		if !time.Now().Before(deadline) {
			return false, nil
		}
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-tick.C:
		}
	}
}
