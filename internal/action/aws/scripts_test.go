package aws

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"homeostat/runbooks"
)

// script is the shell of a Command document for instances. The emulator doesn't run commands: these tests do, with stand-ins
// before the real programs on PATH and, where a script reads /proc, a folder in its place.
func script(t *testing.T, name string) string {
	t.Helper()
	raw, err := runbooks.Files.ReadFile(name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		MainSteps []struct {
			Inputs struct {
				RunCommand []string `yaml:"runCommand"`
			} `yaml:"inputs"`
		} `yaml:"mainSteps"`
	}
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	return strings.Join(doc.MainSteps[0].Inputs.RunCommand, "\n")
}

// runScript runs a script under sh and returns what it said, the calls of its stand-ins and how it ended. A stand-in is a
// name and what it does after it has noted its call; it finds the test's folder in $ROOT.
func runScript(t *testing.T, root, text string, env []string, standIns map[string]string) (said, calls string, err error) {
	t.Helper()
	bin := t.TempDir()
	log := filepath.Join(bin, "calls.log")
	for name, does := range standIns {
		body := "#!/bin/sh\necho \"" + name + " $*\" >>\"" + log + "\"\n" + does + "\n"
		if err := os.WriteFile(filepath.Join(bin, name), []byte(body), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", text)
	cmd.Env = append(append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "ROOT="+root, "TMPDIR="+bin), env...)
	out, err := cmd.CombinedOutput()
	noted, _ := os.ReadFile(log) // not there when nothing was called
	return string(out), string(noted), err
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestScriptsOfInstancesParse(t *testing.T) {
	for _, name := range []string{"CleanDisk", "EndBusy", "FreeMemory", "GrowFilesystem", "MemoryReport"} {
		cmd := exec.CommandContext(t.Context(), "sh", "-n")
		cmd.Stdin = strings.NewReader(script(t, "Homeostat-EC2-"+name))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v %s", name, err, out)
		}
	}
}

func TestGrowScript(t *testing.T) {
	for _, tt := range []struct {
		name, kind, disk, growpart string
		want                       string // the calls that change something
		fails                      bool
	}{
		{"ext4 on a partition", "ext4", "nvme0n1", "exit 0", "growpart /dev/nvme0n1 1\nresize2fs /dev/nvme0n1p1\n", false},
		{"the partition has it all", "xfs", "nvme0n1", "exit 1", "growpart /dev/nvme0n1 1\nxfs_growfs /data\n", false},
		{"a whole disk", "xfs", "", "exit 0", "xfs_growfs /data\n", false},
		{"growpart fails", "ext4", "nvme0n1", "exit 2", "growpart /dev/nvme0n1 1\n", true},
		{"another kind", "btrfs", "", "exit 0", "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			said, calls, err := runScript(t, t.TempDir(), script(t, "Homeostat-EC2-GrowFilesystem"), []string{"SSM_MountPoint=/data"}, map[string]string{
				"findmnt": `case $2 in SOURCE) echo /dev/nvme0n1p1 ;; *) echo ` + tt.kind + ` ;; esac`,
				"lsblk":   "echo " + tt.disk, "cat": "echo 1", "growpart": tt.growpart, "resize2fs": "", "xfs_growfs": "", "df": "",
			})
			var changed strings.Builder
			for line := range strings.Lines(calls) {
				if strings.HasPrefix(line, "growpart") || strings.HasPrefix(line, "resize2fs") || strings.HasPrefix(line, "xfs_growfs") {
					changed.WriteString(line)
				}
			}
			if changed.String() != tt.want || (err != nil) != tt.fails {
				t.Errorf("%q, %v: %s; want %q", changed.String(), err, said, tt.want)
			}
		})
	}
}

// TestCleanScript: old files go; young, open and linked ones stay, and a folder whose name ends in a line feed leads to no file
// outside.
func TestCleanScript(t *testing.T) {
	root, outside := t.TempDir(), filepath.Join(t.TempDir(), "kept")
	old := time.Now().Add(-10 * 24 * time.Hour)
	path := func(name string) string { return filepath.Join(root, name) }
	trap := root + "/x\n" + outside
	for _, p := range []string{path("old"), path("an old one"), path("open"), path("linked"), trap, outside} {
		write(t, p, "x")
		if err := os.Chtimes(p, old, old); err != nil {
			t.Fatal(err)
		}
	}
	write(t, path("young"), "x")
	f, err := os.Open(path("open"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Link(path("linked"), path("other")); err != nil {
		t.Fatal(err)
	}
	said, calls, err := runScript(t, root, script(t, "Homeostat-EC2-CleanDisk"), []string{"SSM_MountPoint=/"}, map[string]string{
		"find":      `if [ "$1" = /tmp ]; then shift 2; exec /usr/bin/find "$ROOT" "$@"; fi; exec /usr/bin/find "$@"`,
		"logrotate": "", "journalctl": "", "df": "",
	})
	if err != nil || !strings.Contains(calls, "journalctl --vacuum-time=7d") {
		t.Errorf("%v %s: %s", err, said, calls)
	}
	for p, want := range map[string]bool{
		path("old"): false, path("an old one"): false, trap: false,
		path("young"): true, path("open"): true, path("linked"): true, outside: true,
	} {
		if _, err := os.Stat(p); (err == nil) != want {
			t.Errorf("%q: %v", p, err)
		}
	}
}

// TestEndBusyScript has a /proc of its own, whose busy processes get ticks while the script sleeps: the one that is busy
// throughout is ended, the protected one, the one that was busy once and the quiet one are not. (A minute takes no time.)
func TestEndBusyScript(t *testing.T) {
	root := t.TempDir()
	proc := func(pid, name, ticks string) {
		write(t, filepath.Join(root, "proc", pid, "stat"), pid+" ("+name+") R 50 0 0 0 0 0 0 0 0 0 "+ticks+" 0 0 0 20 0 1 0 777 0\n")
	}
	child := exec.CommandContext(t.Context(), "sleep", "600")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	pid := filepath.Base(filepath.Join("/", text(child.Process.Pid)))
	proc(pid, "burner", "0")
	proc("999999901", "postgres", "0")
	proc("999999902", "once", "0")
	proc("999999903", "quiet", "0")
	run := func(protect string) (string, error) {
		said, _, err := runScript(t, root, strings.ReplaceAll(script(t, "Homeostat-EC2-EndBusy"), "/proc/", root+"/proc/"),
			[]string{"SSM_Minutes=1", "SSM_MinPercent=80", "SSM_Protect=" + protect, "SSM_Proposal=scale it"}, map[string]string{
				"sleep": `n=$(cat "$ROOT/n" 2>/dev/null || echo 0); n=$((n + 2000)); echo $n >"$ROOT/n"
for p in ` + pid + ` 999999901; do sed -i "s/\( 0 0 0 0 0 0 0 0 0\) [0-9]* /\1 $n /" "$ROOT/proc/$p/stat"; done
[ $n != 2000 ] || sed -i "s/\( 0 0 0 0 0 0 0 0 0\) [0-9]* /\1 $n /" "$ROOT/proc/999999902/stat"`,
			})
		return said, err
	}
	if said, err := run("^(postgres|burner)$"); err == nil || !strings.Contains(said, "a person is needed: scale it") {
		t.Errorf("all protected: %v %s", err, said)
	}
	if err := os.Remove(filepath.Join(root, "n")); err != nil {
		t.Fatal(err)
	}
	proc(pid, "burner", "0")
	proc("999999901", "postgres", "0")
	proc("999999902", "once", "0")
	if said, err := run("^(postgres)$"); err != nil || said != `{"text":"ended `+pid+` (burner)"}`+"\n" {
		t.Errorf("%v %s", err, said)
	}
	err := child.Wait()
	if st, ok := child.ProcessState.Sys().(syscall.WaitStatus); !ok || st.Signal() != syscall.SIGTERM {
		t.Errorf("it ended by %v", err)
	}
}

// TestFreeMemoryScript ends as soon as memory is well: after Java's garbage, or by a restart of the unit that grew.
func TestFreeMemoryScript(t *testing.T) {
	const full, fine = "MemTotal: 1000 kB\nMemAvailable: 100 kB\n", "MemTotal: 1000 kB\nMemAvailable: 500 kB\n"
	for _, tt := range []struct {
		name, jcmd, unit string
		want             string // the last call that changes something
		fails            bool
	}{
		{"garbage helps", `echo "$FINE" >"$ROOT/proc/meminfo"`, "shop.service", "jcmd 71 GC.run", false},
		{"a restart helps", "", "shop.service", "systemctl restart -- shop.service", false},
		{"not this unit", "", "sshd.service", "jcmd 71 GC.run", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			write(t, root+"/proc/meminfo", full)
			write(t, root+"/proc/sys/vm/drop_caches", "")
			write(t, root+"/proc/72/cgroup", "0::/system.slice/"+tt.unit+"\n")
			text := strings.NewReplacer("/proc/", root+"/proc/").Replace(script(t, "Homeostat-EC2-FreeMemory"))
			said, calls, err := runScript(t, root, text, []string{"SSM_Percent=85", "FINE=" + fine}, map[string]string{
				"pgrep": "echo 71", "jcmd": tt.jcmd, "sync": "", "sleep": "touch \"$ROOT/later\"",
				"ps":        `echo "71 900"; if [ -e "$ROOT/later" ]; then echo "72 500"; else echo "72 100"; fi`,
				"systemctl": `[ "$1" != restart ] || echo "$FINE" >"$ROOT/proc/meminfo"`,
			})
			last := ""
			for line := range strings.Lines(calls) {
				if strings.HasPrefix(line, "jcmd") || strings.HasPrefix(line, "systemctl restart") {
					last = strings.TrimSpace(line)
				}
			}
			if last != tt.want || (err != nil) != tt.fails {
				t.Errorf("%q, %v: %s", last, err, said)
			}
		})
	}
}
