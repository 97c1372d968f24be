package host

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// verb does a verb as a script's call of it would, and decodes what it printed.
func verb[T any](t *testing.T, name string, env map[string]string) (T, error) {
	t.Helper()
	var out T
	var b bytes.Buffer
	err := Command(t.Context(), name, func(k string) string { return env[k] }, &b)
	if err == nil {
		if err := json.Unmarshal(b.Bytes(), &out); err != nil {
			t.Fatalf("%s printed %q: %v", name, b.String(), err)
		}
	}
	return out, err
}

// TestReportsSayWhatTheySaw: memory of the machine and of a limit of one's own, a file system and a folder with a limit, and
// whether they are well.
func TestReportsSayWhatTheySaw(t *testing.T) {
	t.Parallel()
	m, err := verb[MemoryReport](t, "report-memory", map[string]string{"SSM_Top": "3", "HOMEOSTAT_GROWTH": `[{"pid":7,"bytes":5e8,"seconds":3600},{"pid":8,"bytes":9e8,"seconds":3600}]`})
	if err != nil || m.Limit == 0 || m.Used <= 0 || m.Used > 1 || len(m.Biggest) == 0 || m.Slab == 0 || len(m.Growing) != 2 || m.Growing[0].PID != 8 ||
		!strings.HasPrefix(m.Text, fmt.Sprintf("memory is %.0f %% used", 100*m.Used)) {
		t.Errorf("%+v %v", m, err)
	}
	own := map[string]string{"SSM_Within": strconv.Itoa(os.Getpid()), "SSM_LimitBytes": "1e15"}
	if m, err := verb[MemoryReport](t, "report-memory", own); err != nil || m.Limit != 1e15 || m.Used > 0.01 {
		t.Errorf("of a limit: %+v %v", m, err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "app.log"), bytes.Repeat([]byte("x"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	disk := map[string]string{"SSM_MountPoint": dir, "SSM_LimitBytes": "2097152", "SSM_WindowSeconds": "0.05", "SSM_Folders": dir}
	if d, err := verb[DiskReport](t, "report-disk", disk); err != nil || d.Used < 0.5 || d.Used > 0.51 || len(d.Biggest) != 1 || !strings.HasPrefix(d.Text, dir+" is 50 % full (1 MB of 2 MB)") {
		t.Errorf("%+v %v", d, err)
	}
	if d, err := verb[DiskReport](t, "report-disk", map[string]string{"SSM_MountPoint": "/", "SSM_WindowSeconds": "0.05"}); err != nil || d.Used <= 0 || d.Used > 1 {
		t.Errorf("of a file system: %+v %v", d, err)
	}
	for below, want := range map[string]bool{"0.9": true, "0.4": false} {
		disk["SSM_Below"], own["SSM_Below"] = below, "0.9"
		if w, err := verb[Well](t, "disk-well", disk); err != nil || w.Well != want {
			t.Errorf("below %s: %+v %v", below, w, err)
		}
		if w, err := verb[Well](t, "memory-well", own); err != nil || !w.Well {
			t.Errorf("%+v %v", w, err)
		}
	}
	if _, err := verb[Well](t, "ask-person", map[string]string{"SSM_Found": `{"text":"nothing may be ended"}`, "SSM_Proposal": "scale"}); err == nil || err.Error() != "nothing may be ended; a person is needed: scale" {
		t.Errorf("%v", err)
	}
	for name, env := range map[string]map[string]string{
		"report-disk": {"SSM_MountPoint": "/nowhere"}, "clean": {"SSM_Folders": dir, "SSM_Owners": "ana"}, "grow": {}, "rotate": {"SSM_Folders": "logs"},
		"memory-well": {"SSM_Below": "2"}, "restart": {"SSM_Target": "{}"},
	} {
		if out, err := verb[map[string]any](t, name, env); err == nil {
			t.Errorf("%s %v: %v", name, env, out)
		}
	}
}

func TestMemoryOfTheControlGroup(t *testing.T) {
	t.Parallel()
	m := &machine{t: t}
	m.root = t.TempDir()
	m.put("/proc/self/cgroup", "0::/shop.slice\n")
	m.put("/sys/fs/cgroup/shop.slice/memory.max", "max")
	m.put("/sys/fs/cgroup/shop.slice/memory.current", 5)
	if _, _, ok := memoryGroup(m.root); ok {
		t.Error("it has no limit")
	}
	m.put("/sys/fs/cgroup/shop.slice/memory.max", 7)
	if used, limit, ok := memoryGroup(m.root); !ok || used != 5 || limit != 7 {
		t.Errorf("%d of %d, %v", used, limit, ok)
	}
}

// TestCachesAreLetGoWherePermitted: by the kernel's file; rehearsed, and where the file can't be written, nothing is done.
func TestCachesAreLetGoWherePermitted(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "drop_caches")
	if d, err := dropCaches(file, false); err != nil || len(d.Left) != 1 || !strings.Contains(d.Text, "can't be let go from here") || !idle(d) {
		t.Errorf("not permitted: %+v %v", d, err)
	}
	if d, err := verb[Done](t, "drop-caches", map[string]string{"SSM_Rehearse": "true"}); err != nil || !strings.HasPrefix(d.Text, "would write out ") || !idle(d) {
		t.Errorf("only rehearsed: %+v %v", d, err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if d, err := dropCaches(file, true); err != nil || read(t, file) != "" || !strings.HasPrefix(d.Text, "write out ") {
		t.Errorf("rehearsed: %+v %v", d, err)
	}
	if d, err := dropCaches(file, false); err != nil || read(t, file) != "3\n" || !strings.HasPrefix(d.Text, "let go of ") || idle(d) {
		t.Errorf("%+v %v, wrote %q", d, err, read(t, file))
	}
}

// idle reports whether a verb says that it did nothing.
func idle(d Done) bool { return d.Changed != nil && !*d.Changed }

// TestServiceUnderASupervisorIsRestarted: the process is ended, and counts as restarted once the supervisor has begun another.
// One that nothing would begin again is left alone.
func TestServiceUnderASupervisorIsRestarted(t *testing.T) {
	t.Parallel()
	script, service := filepath.Join(t.TempDir(), "runsv"), filepath.Join(t.TempDir(), "served")
	for name, text := range map[string]string{
		script:  "#!/bin/sh\nwhile :; do " + service + "; done\n",
		service: "#!/bin/sh\necho $$\nread forever\n", // says that it has begun, and ends with the test
	} {
		if err := os.WriteFile(name, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), script)
	ownGroup(cmd)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { killGroup(cmd.Process.Pid); _ = cmd.Wait() }()
	begun := func() Process {
		t.Helper()
		var pid int
		if _, err := fmt.Fscanln(out, &pid); err != nil {
			t.Fatal(err)
		}
		p, err := processOf(pid)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	was := begun()
	target, err := json.Marshal(Runaways{Found: true, Processes: []Usage{{Process: was}}})
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"SSM_Target": string(target), "SSM_Within": strconv.Itoa(cmd.Process.Pid), "SSM_GraceSeconds": "5"}
	if r, err := do(t.Context(), "restart", func(k string) string { return env[k] }, true); err != nil || r.(Restarted).Text != fmt.Sprintf("restart runsv (process %d), of which process %d (served) is", cmd.Process.Pid, was.PID) {
		t.Errorf("rehearsed: %+v %v", r, err)
	}
	if now, err := processOf(was.PID); err != nil || now.Start != was.Start {
		t.Fatalf("a rehearsal ended it: %+v %v", now, err)
	}
	r, err := verb[Restarted](t, "restart", env)
	if err != nil || r.From != was.PID || r.To == was.PID || r.To != begun().PID {
		t.Errorf("%+v %v", r, err)
	}
	if r, err := verb[Restarted](t, "restart", env); err != nil || !strings.Contains(r.Text, "has ended already") {
		t.Errorf("a second time: %+v %v", r, err)
	}

	p := idler(t)
	target, err = json.Marshal(Runaways{Found: true, Processes: []Usage{{Process: p}}})
	if err != nil {
		t.Fatal(err)
	}
	env["SSM_Target"], env["SSM_Within"] = string(target), strconv.Itoa(os.Getpid())
	if r, err := verb[Restarted](t, "restart", env); err == nil || !strings.Contains(err.Error(), "a person has to restart it") {
		t.Errorf("alone: %+v %v", r, err)
	}
	if now, err := processOf(p.PID); gone(now, err, p) {
		t.Error("it was ended, and nothing begins it again")
	}
}
