package host

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// standIn puts a shell script before the real program on PATH. It notes its calls in the file that is returned.
func standIn(t *testing.T, name, does string) (calls string) {
	t.Helper()
	dir := t.TempDir()
	calls = filepath.Join(dir, "calls.log")
	body := "#!/bin/sh\necho \"$*\" >>'" + calls + "'\n" + does + "\n"
	if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return calls
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestUnitIsRestartedAndLookedAt: a restart counts once systemd says that another process is active in the unit's place.
func TestUnitIsRestartedAndLookedAt(t *testing.T) {
	was := Process{PID: 4242, Name: "shop"}
	calls := standIn(t, "systemctl", `case $1 in show) n=$(grep -c '^show' "$(dirname "$0")/calls.log")
	if [ "$n" = 1 ]; then echo activating; echo 0; else echo active; echo 4343; fi ;; esac`)
	r, err := restartUnit(t.Context(), Restarted{Service: "shop.service", From: was.PID}, "shop.service", was)
	if err != nil || r.To != 4343 || !strings.Contains(r.Text, "process 4343 took the place of 4242") {
		t.Errorf("%+v %v", r, err)
	}
	if got := read(t, calls); strings.Count(got, "restart -- shop.service\n") != 1 || strings.Count(got, "show ") != 2 {
		t.Errorf("calls: %s", got)
	}
	standIn(t, "systemctl", "echo Unit shop.service not found. >&2; exit 5")
	if _, err := restartUnit(t.Context(), Restarted{}, "shop.service", was); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("no unit: %v", err)
	}
	standIn(t, "systemctl", `[ "$1" = restart ] || { echo failed; echo 0; }`)
	ctx, stop := context.WithTimeout(t.Context(), time.Second)
	defer stop()
	if r, err := restartUnit(ctx, Restarted{}, "shop.service", was); err == nil {
		t.Errorf("it has failed, and counts as back: %+v", r)
	}
}

// TestGarbageIsCollectedInJavaAlone: a process called java is asked through jcmd; none is when only rehearsed or protected.
func TestGarbageIsCollectedInJavaAlone(t *testing.T) {
	calls := standIn(t, "jcmd", "echo Command executed successfully")
	java := filepath.Join(t.TempDir(), "java")
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(java, raw, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(java, "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	within := Policy{Within: os.Getpid()}
	if d, err := collect(t.Context(), within, true); err != nil || d.Text != "collect the garbage of 1 Java processes" {
		t.Errorf("rehearsed: %+v %v", d, err)
	}
	protected := within
	protected.Protect = []string{"java"}
	if d, err := collect(t.Context(), protected, false); err != nil || len(d.Left) != 1 {
		t.Errorf("protected: %+v %v", d, err)
	}
	if _, err := os.Stat(calls); err == nil {
		t.Errorf("jcmd was called: %s", read(t, calls))
	}
	d, err := collect(t.Context(), within, false)
	if err != nil || len(d.Did) != 1 || !strings.HasSuffix(read(t, calls), " GC.run\n") {
		t.Errorf("%+v %v", d, err)
	}
	standIn(t, "jcmd", "echo no such JVM >&2; exit 1")
	if d, err := collect(t.Context(), within, false); err != nil || len(d.Left) != 1 || !strings.Contains(d.Left[0], "no such JVM") {
		t.Errorf("a JVM that doesn't answer: %+v %v", d, err)
	}
}
