package host

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"homeostat/automation"
)

// TestMain lets the test binary stand for homeostat: `host VERB` does the verb.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) == 3 && os.Args[1] == "host":
		if err := Command(context.Background(), os.Args[2], os.Getenv, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	case len(os.Args) == 4 && os.Args[1] == "script":
		h, err := New(Config{Dir: os.Args[2]})
		if err == nil {
			_, err = h.Do(context.Background(), shell(os.Args[3]))
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// Most of what these tests do is to watch processes for a while.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// burner is a shell that burns a core, and the one that waits for it: nothing else is within that.
type burner struct{ pid, within int }

// hog starts a burner, for 30 s at most. prelude comes before its loop.
func hog(t *testing.T, prelude string) burner {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `sh -c '`+strings.ReplaceAll(prelude, "'", `'\''`)+` echo $$; i=0; while [ $i -lt 30000000 ]; do i=$((i+1)); done' & wait`)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		killGroup(cmd.Process.Pid)
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	pid, cerr := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || cerr != nil {
		t.Fatalf("the hog said %q, %v", line, err)
	}
	return burner{pid: pid, within: cmd.Process.Pid}
}

// patience is how long a hog may take to be noticed where many others want the processors.
const patience = 30 * time.Second

// eager finds a hog fast, and no other process than it, on a machine that others use too.
func (b burner) eager() Policy {
	return Policy{MinCores: 0.01, Window: 600 * time.Millisecond, MinCPUSeconds: 0.05, Within: b.within}
}

// find waits until the policy finds something: a busy machine gives a hog little at first.
func find(t *testing.T, p Policy) Runaways {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		r, err := FindRunaways(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if r.Found || len(r.Spared) > 0 || time.Now().After(deadline) {
			return r
		}
	}
}

// end ends what was found. A starved hog looks quiet, and is left alone: then it is tried again.
func (b burner) end(t *testing.T, u Usage, grace time.Duration) (Ended, error) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		e, err := End(t.Context(), u, b.eager(), grace)
		if e.How != "quiet" || time.Now().After(deadline) {
			return e, err
		}
	}
}

func TestRunawayIsFoundAndEnded(t *testing.T) {
	t.Parallel()
	b := hog(t, "")
	pid := b.pid
	r := find(t, b.eager())
	if !r.Found || r.Processes[0].PID != pid || r.Processes[0].Cores < 0.01 {
		t.Fatalf("want %d: %+v", pid, r)
	}
	if want := fmt.Sprintf("found process %d (sh) using", pid); !strings.HasPrefix(r.Text, want) {
		t.Errorf("text %q, want %q ...", r.Text, want)
	}
	e, err := b.end(t, r.Processes[0], 5*time.Second)
	if err != nil || e.How != "term" {
		t.Fatalf("%+v, %v", e, err)
	}
	if now, err := processOf(pid); !gone(now, err, r.Processes[0].Process) {
		t.Errorf("it is still there: %+v, %v", now, err)
	}
	if e, err = End(t.Context(), r.Processes[0], b.eager(), time.Second); err != nil || e.How != "gone" {
		t.Errorf("a second time: %+v, %v", e, err)
	}
}

func TestDeafProcessIsKilledAfterItsGrace(t *testing.T) {
	t.Parallel()
	b := hog(t, "trap '' TERM;")
	r := find(t, b.eager())
	if !r.Found {
		t.Fatalf("%+v", r)
	}
	e, err := b.end(t, r.Processes[0], 200*time.Millisecond)
	if err != nil || e.How != "kill" || e.AfterS < 0.2 {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestProtectedProcessIsSpared(t *testing.T) {
	t.Parallel()
	b := hog(t, "")
	pid := b.pid
	for _, tt := range []struct {
		name string
		set  func(p *Policy)
		why  string
	}{
		{"by name", func(p *Policy) { p.Protect = []string{"sh"} }, "protect list (sh)"},
		{"by pattern", func(p *Policy) { p.Protect = []string{"nothing", "s?"} }, "protect list (s?)"},
		{"by a pattern that can't be read", func(p *Policy) { p.Protect = []string{"[a"} }, "protect list ([a)"},
		{"even where the system isn't", func(p *Policy) { p.Protect, p.AllowSystem = []string{"sh"}, true }, "protect list"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := b.eager()
			tt.set(&p)
			r := find(t, p)
			if r.Found || len(r.Spared) != 1 || r.Spared[0].PID != pid || !strings.Contains(r.Spared[0].Why, tt.why) {
				t.Errorf("%+v", r)
			}
			self, err := processOf(pid)
			if err != nil {
				t.Fatal(err)
			}
			e, err := End(t.Context(), Usage{Process: self}, p, time.Second)
			if err != nil || e.How != "spared" {
				t.Errorf("End: %+v, %v", e, err)
			}
		})
	}
}

func TestWallHoldsWhateverThePolicy(t *testing.T) {
	all := []Usage{
		{Process: Process{PID: 1, Name: "init"}},
		{Process: Process{PID: 2, Name: "kthreadd", kernel: true}},
		{Process: Process{PID: os.Getppid(), Name: "go", Parent: 1}},
		{Process: Process{PID: os.Getpid(), Name: "host.test", Parent: os.Getppid()}},
		{Process: Process{PID: 1 << 30, Name: "sshd", Parent: 1, UID: 1000}},
		{Process: Process{PID: 1<<30 + 1, Name: "daemon", Parent: 1, UID: 0, session: 1<<30 + 1}},
		{Process: Process{PID: 1<<30 + 2, Name: "mail", Parent: 1, UID: 8, session: 7}},
		{Process: Process{PID: 1<<30 + 3, Name: "job", Parent: 1, UID: 0, session: 7}},
		{Process: Process{PID: 1<<30 + 4, Name: "job", Parent: 7, UID: 1000, session: 7}},
	}
	for _, tt := range []struct {
		policy Policy
		spared []bool
	}{
		{Policy{}, []bool{true, true, true, true, true, true, true, false, false}},
		{Policy{AllowSystem: true}, []bool{true, true, true, true, false, false, false, false, false}},
		{Policy{AllowSystem: true, Within: 7}, []bool{true, true, true, true, true, true, true, true, false}},
		{Policy{AllowSystem: true, Protect: []string{"*"}}, []bool{true, true, true, true, true, true, true, true, true}},
	} {
		w := newWall(tt.policy, all)
		for i, u := range all {
			if why := w.spares(u.Process); (why != "") != tt.spared[i] {
				t.Errorf("%+v, %s: %q", tt.policy, u.Name, why)
			}
		}
	}
}

func TestPidOfAnotherIsLeftAlone(t *testing.T) {
	t.Parallel()
	b := hog(t, "")
	pid := b.pid
	now, err := processOf(pid)
	if err != nil {
		t.Fatal(err)
	}
	now.Start-- // as if the pid had belonged to an older process
	e, err := End(t.Context(), Usage{Process: now}, b.eager(), time.Second)
	if err != nil || e.How != "gone" {
		t.Fatalf("%+v, %v", e, err)
	}
	if _, err := processOf(pid); err != nil {
		t.Errorf("the innocent one: %v", err)
	}
}

// idler is a process that does nothing until the test ends.
func idler(t *testing.T) Process {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	p, err := processOf(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestQuietProcessIsLeftAlone(t *testing.T) {
	t.Parallel()
	p := idler(t)
	e, err := End(t.Context(), Usage{Process: p, Cores: 1.9}, burner{within: os.Getpid()}.eager(), time.Second)
	if err != nil || e.How != "quiet" {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestParseStat(t *testing.T) {
	text := "4242 (a) b (c) S 17 4242 4242 0 -1 4194560 1 2 3 4 150 50 7 8 20 0 3 0 987654 1000 25 184467 1 1"
	p, err := parseStat([]byte(text))
	if err != nil || p.PID != 4242 || p.Name != "a) b (c" || p.Parent != 17 || p.CPU != 2*time.Second || p.Start != 987654 ||
		p.RSS != 25*uint64(os.Getpagesize()) || p.state != "S" || p.kernel {
		t.Errorf("%+v, %v", p, err)
	}
	for _, bad := range []string{"", "1 (a", "x (a) S", "1 (a) S 1 2", strings.Replace(text, "987654", "x", 1)} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("1 (a) S 1 1 1 0 -1 4194560 1 2 3 4 150 50 7 8 20 0 3 0 987654 1000 25 184467 1 1"))
	f.Fuzz(func(_ *testing.T, text []byte) { _, _ = parseStat(text) })
}

func newHands(t *testing.T, c Config) *Hands {
	t.Helper()
	c.Dir = t.TempDir()
	h, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func shell(lines ...any) automation.Call {
	return automation.Call{Action: "aws:runShellScript", Inputs: map[string]any{"runCommand": lines}}
}

func TestScript(t *testing.T) {
	h := newHands(t, Config{MaxOutput: 1000, StopGrace: 300 * time.Millisecond})
	c := shell(`echo "out: $SSM_Name"`, `echo err >&2`, `[ -z "$SECRET" ] || echo leaked`, `pwd`)
	c.Environment = map[string]string{"SSM_Name": "$(touch hacked); `id`", "LD_PRELOAD": "x"}
	t.Setenv("SECRET", "x")
	got, err := h.Do(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	out, _ := got["Output"].(string)
	if !strings.HasPrefix(out, "out: $(touch hacked); `id`\n") || strings.Contains(out, "leaked") || got["StandardError"] != "err\n" ||
		got["ResponseCode"] != int64(0) || got["Status"] != "Success" {
		t.Errorf("%+v", got)
	}
	if left, err := filepath.Glob(h.cfg.Dir + "/*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}

	got, err = h.Do(t.Context(), shell("echo some; echo why not >&2; exit 3"))
	if err == nil || !strings.Contains(err.Error(), "why not (the script ended with exit status 3)") || got["ResponseCode"] != int64(3) || got["Output"] != "some\n" {
		t.Errorf("%+v, %v", got, err)
	}
	got, err = h.Do(t.Context(), shell("yes | head -c 100000"))
	if out, _ := got["Output"].(string); err != nil || len(out) > 1100 || !strings.HasSuffix(out, "--- 99000 bytes more ---") {
		t.Errorf("%d bytes, %v", len(out), err)
	}
	if got, err = h.Do(t.Context(), shell("#!/usr/bin/env -S sh -x", "echo named")); err != nil || got["Output"] != "named\n" {
		t.Errorf("%+v, %v", got, err)
	}
	// What a script leaves running is its own business, as long as time is not up.
	if got, err = h.Do(t.Context(), shell("sleep 5 & echo $!")); err != nil || got["Status"] != "Success" {
		t.Errorf("%+v, %v", got, err)
	}
	out, _ = got["Output"].(string)
	if pid, err := strconv.Atoi(strings.TrimSpace(out)); err == nil {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

func TestScriptOverItsTimeLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	h := newHands(t, Config{StopGrace: 300 * time.Millisecond})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	got, err := h.Do(ctx, shell("trap '' TERM", "sleep 600 & echo $!", "while :; do sleep 600; done"))
	if !errors.Is(err, context.DeadlineExceeded) || got["Status"] != "TimedOut" {
		t.Fatalf("%+v, %v", got, err)
	}
	out, _ := got["Output"].(string)
	pid, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil {
		t.Fatal(err)
	}
	gone, err := awaitGone(t.Context(), mustProcess(pid), 5*time.Second)
	if err != nil || !gone {
		t.Errorf("process %d of the script's group lives on: %v", pid, err)
	}
}

// mustProcess is the process with this pid, or one that never was.
func mustProcess(pid int) Process {
	p, err := processOf(pid)
	if err != nil {
		return Process{PID: pid}
	}
	return p
}

func TestEffectIsReadingForOurReadingVerbsAlone(t *testing.T) {
	h := newHands(t, Config{})
	for _, tt := range []struct {
		call automation.Call
		want automation.Effect
	}{
		{shell(`exec "$HOMEOSTAT_BIN" host top`), automation.Reading},
		{shell(`exec "$HOMEOSTAT_BIN" host find-runaway`), automation.Reading},
		{shell(`exec "$HOMEOSTAT_BIN" host end`), automation.Changing},
		{shell(`exec "$HOMEOSTAT_BIN" host top; rm -rf /`), automation.Changing},
		{shell(`exec "$HOMEOSTAT_BIN" host top`, `rm -rf /`), automation.Changing},
		{shell(`rm -rf /`, `exec "$HOMEOSTAT_BIN" host top`), automation.Changing},
		{shell(`HOMEOSTAT_BIN=rm; exec "$HOMEOSTAT_BIN" host top`), automation.Changing},
		{shell(`true`), automation.Changing},
		{shell(), automation.Changing},
		{shell(7), automation.Changing},
		{automation.Call{Action: "aws:executeAwsApi"}, automation.Changing},
		{automation.Call{}, automation.Changing},
	} {
		if got := h.Effect(tt.call); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.call.Inputs, got, tt.want)
		}
	}
}

func TestAnotherHostIsRefused(t *testing.T) {
	h := newHands(t, Config{Entity: "host:here"})
	c := shell("echo hello")
	c.Instances = []string{"host:here"}
	if _, err := h.Do(t.Context(), c); err != nil {
		t.Error(err)
	}
	c.Instances = []string{"host:there"}
	if _, err := h.Do(t.Context(), c); err == nil || !strings.Contains(err.Error(), "this is host:here") {
		t.Errorf("%v", err)
	}
}

// TestVerbs takes the way of the built-in documents: through the shell into our own binary.
func TestVerbs(t *testing.T) {
	t.Parallel()
	b := hog(t, "")
	pid := b.pid
	h := newHands(t, Config{Protect: []string{"postgres"}})
	verb := func(name string, env map[string]string) (string, error) {
		c := shell(`exec "$HOMEOSTAT_BIN" host ` + name)
		c.Environment = env
		got, err := h.Do(t.Context(), c)
		out, _ := got["Output"].(string)
		return out, err
	}
	out, err := verb("top", map[string]string{"SSM_WindowSeconds": "0.3", "SSM_Top": "3"})
	var top Top
	if err != nil || json.Unmarshal([]byte(out), &top) != nil || len(top.ByCPU) != 3 || len(top.ByMemory) != 3 {
		t.Fatalf("%s, %v", out, err)
	}
	env := map[string]string{
		"SSM_WindowSeconds": "0.6", "SSM_MinCores": "0.01", "SSM_MinCPUSeconds": "0.05", "SSM_Within": strconv.Itoa(b.within),
	}
	for deadline := time.Now().Add(patience); ; {
		out, err = verb("find-runaway", env)
		if strings.HasPrefix(out, `{"found":true,`) {
			break
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%s, %v", out, err)
		}
	}
	env["SSM_Target"] = out
	env["SSM_GraceSeconds"] = "5"
	c := shell(`exec "$HOMEOSTAT_BIN" host end`)
	c.Environment = env
	would, err := h.Would(t.Context(), c)
	if want := fmt.Sprintf("end process %d (sh) using ", pid); err != nil || !strings.HasPrefix(would, want) {
		t.Errorf("%q, %v", would, err)
	}
	if _, err := h.LookUp(t.Context(), c); !errors.Is(err, automation.ErrNotDone) {
		t.Errorf("before: %v", err)
	}
	for deadline := time.Now().Add(patience); ; { // a starved hog looks quiet, and is left alone
		out, err = verb("end", env)
		if strings.Contains(out, `"ended":1`) {
			break
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%s, %v", out, err)
		}
	}
	if got, err := h.LookUp(t.Context(), c); err != nil || !strings.Contains(got["Output"].(string), "had ended already") {
		t.Errorf("after: %v, %v", got, err)
	}
	if _, err := h.LookUp(t.Context(), shell("something else")); !errors.Is(err, automation.ErrUnknown) {
		t.Errorf("a script: %v", err)
	}
	for name, env := range map[string]map[string]string{
		"end":          {"SSM_Target": `{"found":true,"processes":[{"pid":1,"start":5}]}`},
		"find-runaway": {"SSM_MinCores": "NaN"},
		"top":          {"SSM_WindowSeconds": "-1"},
		"nothing":      {},
	} {
		if out, err := verb(name, env); err == nil {
			t.Errorf("%s %v: %s", name, env, out)
		}
	}
}
