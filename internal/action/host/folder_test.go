package host

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestKilledLifeLeavesNothingForEver kills a process whose script is running: what it leaves goes with the next life's sweep, but
// not before the script has ended.
func TestKilledLifeLeavesNothingForEver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	told := filepath.Join(t.TempDir(), "pid")
	if err := syscall.Mkfifo(told, 0o600); err != nil {
		t.Fatal(err)
	}
	life := exec.Command(os.Args[0], "script", dir, "echo $$ > "+told+"; sleep 600")
	if err := life.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = life.Process.Kill() })
	f, err := os.OpenFile(told, os.O_RDWR, 0) // for reading alone, it would wait here for a script that may never come
	if err != nil {
		t.Fatal(err)
	}
	if err := f.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(f).ReadString('\n')
	script, cerr := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || cerr != nil {
		t.Fatalf("the script said %q, %v", line, err)
	}
	_ = f.Close()
	t.Cleanup(func() { killGroup(script) })
	_ = life.Process.Kill()
	_ = life.Wait()

	left := func() string {
		t.Helper()
		if err := Sweep(dir); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) > 1 {
			t.Fatalf("%v, %v", entries, err)
		}
		for _, e := range entries {
			return filepath.Join(dir, e.Name())
		}
		return ""
	}
	path := left()
	if _, err := os.Stat(filepath.Join(path, "_script.sh")); path == "" || err != nil {
		t.Fatalf("the folder of a script that runs: %q, %v", path, err)
	}
	lock, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	killGroup(script)
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil { // waits until the script has ended
		t.Fatal(err)
	}
	_ = lock.Close()
	if path := left(); path != "" {
		t.Errorf("left for ever: %s", path)
	}
}

func TestSweepTakesScriptsFoldersAlone(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{folderPrefix + "1/deep/file", folderPrefix + "2/_script.sh", "mine/file", folderPrefix + "3"} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(dir, "mine"), filepath.Join(dir, folderPrefix+"4")); err != nil {
		t.Fatal(err)
	}
	if err := Sweep(dir); err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, pattern := range []string{"*", "*/*"} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			left = append(left, strings.TrimPrefix(n, dir+"/"))
		}
	}
	if d := cmp.Diff([]string{folderPrefix + "3", folderPrefix + "4", "mine", folderPrefix + "4/file", "mine/file"}, left); d != "" {
		t.Error(d)
	}
	if err := Sweep(filepath.Join(dir, "nowhere")); err != nil {
		t.Errorf("of a folder that isn't there yet: %v", err)
	}
}

func TestScriptsNeedNoFolderThatExecutes(t *testing.T) {
	for script, want := range map[string][]string{
		"echo":                              {"/bin/sh"},
		"#!/bin/bash\necho":                 {"/bin/bash"},
		"#! /usr/bin/env -S python3 -u \nx": {"/usr/bin/env", "-S python3 -u"},
		"#!/usr/bin/perl\t-w\r\nx":          {"/usr/bin/perl", "-w"},
		"#!\necho":                          {"/bin/sh"},
		" #!/bin/bash is a comment":         {"/bin/sh"},
		"#!/bin/sh":                         {"/bin/sh"},
	} {
		if d := cmp.Diff(want, interpreter(script)); d != "" {
			t.Errorf("%q: %s", script, d)
		}
	}
	// And with a folder that is named from where we stand.
	t.Chdir(t.TempDir())
	h, err := New(Config{Dir: "data/steps"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := h.Do(t.Context(), shell("#!/bin/sh -e", `cd / && ls "$TMPDIR"`))
	if got["Output"] != "_script.sh\n" || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if st, err := os.Stat("data/steps"); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", st, err)
	}
}
