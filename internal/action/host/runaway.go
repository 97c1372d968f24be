package host

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Policy says which process counts as a runaway, and which may never be ended. The zero value is careful: see each field.
type Policy struct {
	MinCores      float64       // 0.8 when 0: it must use as much in each part of the window
	Window        time.Duration // 3 s when 0: how long it is watched
	MinCPUSeconds float64       // 3 when 0: it must have used as much since it began
	Max           int           // 1 when 0: how many are named at most, the worst first
	Within        int           // only descendants of this pid, where it isn't 0
	Protect       []string      // names never to end, besides the built-in ones; * and ? as in a shell's file names
	AllowSystem   bool          // lets what belongs to the system be ended too; pid 1, kernel threads, Homeostat and Protect stay safe
}

func (p Policy) withDefaults() Policy {
	if p.MinCores == 0 {
		p.MinCores = 0.8
	}
	if p.Window == 0 {
		p.Window = 3 * time.Second
	}
	if p.MinCPUSeconds == 0 {
		p.MinCPUSeconds = 3
	}
	if p.Max == 0 {
		p.Max = 1
	}
	return p
}

// Runaways is what [FindRunaways] found.
type Runaways struct {
	Found     bool    `json:"found"`
	Text      string  `json:"text"` // a sentence
	Processes []Usage `json:"processes"`
	Spared    []Spare `json:"spared,omitempty"` // burn as much, and may not be ended
}

// Spare is a process that burns and is left alone.
type Spare struct {
	PID   int     `json:"pid"`
	Name  string  `json:"name"`
	Cores float64 `json:"cores"`
	Why   string  `json:"why"`
}

// calm is the share of all cores that may stay in use: once ending the processes named so far would leave no more, no further
// one is named.
const calm = 0.7

// always is what a process wants, in cores, that never sleeps. Where others load the machine, or several runaways share it,
// such a one gets its share only, and that is less than MinCores: what it waited for tells. (One that sleeps for 40 ms of each
// 100 would have to wait for 300 ms each time to look so.)
const always = 0.9

// FindRunaways watches for the policy's window and names the processes that burn and may be ended.
func FindRunaways(ctx context.Context, p Policy) (Runaways, error) {
	p = p.withDefaults()
	all, err := Watch(ctx, p.Window)
	if err != nil {
		return Runaways{}, err
	}
	wall := newWall(p, all)
	r := Runaways{Processes: []Usage{}}
	excess := -calm * float64(runtime.NumCPU()) // cores that have to become free; one process is named in any case
	for _, u := range all {
		excess += u.Cores
	}
	for _, u := range all {
		if u.Least < p.MinCores && u.Wanted < max(p.MinCores, always) || u.CPUSeconds < p.MinCPUSeconds {
			continue
		}
		if p.Within != 0 && !wall.within(u.Process) {
			continue // not asked about
		}
		if why := wall.spares(u.Process); why != "" {
			r.Spared = append(r.Spared, Spare{PID: u.PID, Name: u.Name, Cores: u.Cores, Why: why})
			continue
		}
		if len(r.Processes) == p.Max || len(r.Processes) > 0 && excess <= 0 {
			continue
		}
		excess -= u.Cores
		u.Command = u.command()
		r.Processes = append(r.Processes, u)
	}
	r.Found = len(r.Processes) > 0
	switch {
	case r.Found:
		r.Text = "found " + describe(r.Processes)
	case len(r.Spared) > 0:
		r.Text = fmt.Sprintf("no process may be ended: process %d (%s) uses %.1f cores, but %s",
			r.Spared[0].PID, r.Spared[0].Name, r.Spared[0].Cores, r.Spared[0].Why)
	default:
		r.Text = fmt.Sprintf("no process used, or waited for, %.1f cores throughout %v", p.MinCores, p.Window)
	}
	return r, nil
}

// describe names processes as a sentence's object: "process 4242 (stress) using 1.9 cores".
func describe(us []Usage) string {
	var parts []string
	for _, u := range us {
		parts = append(parts, fmt.Sprintf("process %d (%s) using %.1f cores", u.PID, u.Name, u.Cores))
	}
	return strings.Join(parts, " and ")
}

// system names processes that a machine needs, wherever they run. The control group tells most of them on a host with
// systemd; in a container or without it only names do.
var system = []string{
	"agetty", "auditd", "chronyd", "containerd*", "cri-o", "cron", "crond", "dbus-broker*", "dbus-daemon", "dhclient", "dockerd",
	"getty", "gdm*", "init", "kubelet", "launchd", "lightdm", "login", "NetworkManager", "ntpd", "polkitd", "rsyslogd", "runc",
	"runit", "s6-*", "snapd", "sshd*", "supervisord", "systemd*", "tini", "dumb-init", "catatonit", "udevd", "wpa_supplicant", "Xorg",
}

// wall keeps processes from being ended.
type wall struct {
	policy    Policy
	byPID     map[int]Process
	ancestors map[int]bool // of this process, itself included
	self      string       // our own executable
}

func newWall(p Policy, all []Usage) *wall {
	w := &wall{policy: p, byPID: make(map[int]Process, len(all)), ancestors: map[int]bool{}}
	for _, u := range all {
		w.byPID[u.PID] = u.Process
	}
	w.self, _ = os.Executable()
	for pid := os.Getpid(); pid > 0 && !w.ancestors[pid]; pid = w.byPID[pid].Parent {
		w.ancestors[pid] = true
	}
	return w
}

// spares says why p may not be ended; "" when it may.
//
// What belongs to the system is told by four signs, because none holds everywhere: its control group is a service of
// system.slice or init.scope (systemd); its name is one of those above; its user is a system account (uid 1 to 999); or it
// is a root daemon (a session of its own, started by pid 1). Root alone says nothing: in a container everything is root.
func (w *wall) spares(p Process) string {
	if why := w.keeps(p); why != "" || w.policy.AllowSystem {
		return why
	}
	if unit := p.unit(); unit != "" {
		return "it belongs to the system (" + unit + ")"
	}
	switch {
	case p.UID > 0 && p.UID < 1000:
		return fmt.Sprintf("it belongs to the system (user %d)", p.UID)
	case p.UID == 0 && p.Parent == 1 && p.session == p.PID:
		return "it belongs to the system (a daemon of root)"
	}
	return ""
}

// keeps says why p may not even be restarted as a service; "" when it may.
func (w *wall) keeps(p Process) string {
	switch {
	case p.PID <= 1:
		return "it is pid 1"
	case p.kernel:
		return "it is a thread of the kernel"
	case w.ancestors[p.PID]:
		return "it is Homeostat, or what started it"
	case w.policy.Within != 0 && !w.within(p):
		return fmt.Sprintf("it was not started by process %d", w.policy.Within)
	}
	exe := p.exe()
	if w.policy.Within == 0 && w.self != "" && exe == w.self {
		return "it is a Homeostat" // within a game day the faults are our own binary, and to be ended
	}
	names := []string{p.Name, filepath.Base(exe)}
	if pattern := matching(w.policy.Protect, names); pattern != "" {
		return fmt.Sprintf("it is on the protect list (%s)", pattern)
	}
	if !w.policy.AllowSystem && matching(system, names) != "" {
		return "it belongs to the system"
	}
	return ""
}

// within reports whether p descends from the policy's process.
func (w *wall) within(p Process) bool {
	seen := map[int]bool{}
	for pid := p.Parent; pid > 0 && !seen[pid]; pid = w.byPID[pid].Parent {
		if pid == w.policy.Within {
			return true
		}
		seen[pid] = true
	}
	return false
}

// matching returns the first pattern that one of the names fits. A pattern that can't be read protects: it fits all.
func matching(patterns, names []string) string {
	for _, pattern := range patterns {
		if slices.ContainsFunc(names, func(name string) bool {
			// The kernel cuts names to 15 bytes.
			ok, err := path.Match(pattern, name)
			return ok || err != nil || len(name) == 15 && strings.HasPrefix(pattern, name)
		}) {
			return pattern
		}
	}
	return ""
}
