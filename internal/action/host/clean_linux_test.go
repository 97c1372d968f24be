package host

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestRotateLosesNoLine compresses a log again and again while it is being written, in append mode and not, and finds each line
// exactly once: in an archive, or still in the file.
func TestRotateLosesNoLine(t *testing.T) {
	t.Parallel()
	for _, flags := range []int{os.O_APPEND, 0} {
		t.Run(fmt.Sprint("flags ", flags), func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "app.log")
			f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|flags, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			const lines = 60_000
			wrote := make(chan error, 1)
			go func() {
				for i := range lines {
					if _, err := fmt.Fprintf(f, "line %d %s\n", i, strings.Repeat("x", 40)); err != nil {
						wrote <- err
						return
					}
				}
				wrote <- nil
			}()
			rounds, done := 0, false
			for !done {
				select {
				case err := <-wrote:
					if err != nil {
						t.Fatal(err)
					}
					done = true
				default:
				}
				d, err := rotate(t.Context(), logrotate{}, []string{dir}, 64<<10, false)
				if err != nil || len(d.Left) > 0 {
					t.Fatal(d.Left, err)
				}
				rounds += len(d.Did)
			}
			if rounds == 0 {
				t.Fatal("nothing was ever compressed")
			}
			seen := make([]int, lines)
			count := func(r io.Reader) {
				for in := bufio.NewScanner(r); in.Scan(); {
					var i int
					if _, err := fmt.Sscanf(strings.TrimLeft(in.Text(), "\x00"), "line %d ", &i); err == nil {
						seen[i]++
					}
				}
			}
			archives, err := filepath.Glob(filepath.Join(dir, "*.gz"))
			if err != nil {
				t.Fatal(err)
			}
			var all strings.Builder
			slices.Sort(archives)
			for _, a := range archives {
				f, err := os.Open(a)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				zip, err := gzip.NewReader(f)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(&all, zip); err != nil {
					t.Fatal(err)
				}
			}
			rest, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			count(strings.NewReader(all.String() + strings.ReplaceAll(string(rest), "\x00", "")))
			for i, n := range seen {
				if n != 1 {
					t.Fatalf("line %d is there %d times, after %d rotations", i, n, rounds)
				}
			}
		})
	}
}

func TestRotateTakesAClosedLogWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "old.log")
	if err := os.WriteFile(path, []byte(strings.Repeat("a line\n", 100_000)), 0o640); err != nil {
		t.Fatal(err)
	}
	would, err := rotate(t.Context(), logrotate{}, []string{dir}, 1000, true)
	if err != nil || !strings.HasPrefix(would.Text, "compress 1 log,") {
		t.Errorf("%+v %v", would, err)
	}
	if d, err := rotate(t.Context(), logrotate{}, []string{dir}, 1000, false); err != nil || d.Freed < 500_000 {
		t.Fatalf("%+v %v", d, err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 || !strings.HasSuffix(left[0].Name(), ".gz") {
		t.Errorf("%v %v", left, err)
	}
}

// TestCleanSparesWhatIsInUse: young, open, linked and other owners' files stay, and a link leads nowhere.
func TestCleanSparesWhatIsInUse(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	make := func(path string) string {
		t.Helper()
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	old, open, linked := make(filepath.Join(dir, "old")), make(filepath.Join(dir, "open")), make(filepath.Join(dir, "linked"))
	kept := make(filepath.Join(outside, "kept"))
	f, err := os.Open(open)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Link(linked, filepath.Join(outside, "other")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "away")); err != nil {
		t.Fatal(err)
	}
	if d, err := clean([]string{dir}, time.Hour, nil, false); err != nil || d.Freed != 0 || !idle(d) {
		t.Errorf("young files went: %+v %v", d, err)
	}
	if d, err := clean([]string{dir}, 0, []int{os.Getuid() + 1}, false); err != nil || len(d.Did) > 0 {
		t.Errorf("another's files went: %+v %v", d, err)
	}
	if d, err := clean([]string{dir}, 0, nil, true); err != nil || len(d.Did) != 1 || d.Did[0] != old {
		t.Errorf("rehearsed: %+v %v", d, err)
	}
	if _, err := clean([]string{dir}, 0, nil, false); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{old: false, open: true, linked: true, kept: true} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, bad := range []string{"/", "/home", "var"} {
		if _, err := clean([]string{bad}, 0, nil, true); err == nil {
			t.Errorf("%s is taken for a folder of temporary files", bad)
		}
	}
}

// TestLogrotateIsAskedFirst: it does what is due by its own configuration, and what it leaves is compressed here, whether it
// succeeds or not. Rehearsed, and for other folders than its own, it isn't called.
func TestLogrotateIsAskedFirst(t *testing.T) {
	dir, conf := t.TempDir(), filepath.Join(t.TempDir(), "logrotate.conf")
	put := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	log := put("app.log", strings.Repeat("a line\n", 20_000))
	lr := logrotate{conf, dir}
	calls := standIn(t, "logrotate", "mv '"+log+"' '"+log+".1'; : >'"+log+"'")
	called := func() int {
		text, err := os.ReadFile(calls)
		if err != nil {
			return 0
		}
		return strings.Count(string(text), conf+"\n")
	}
	if d, err := rotate(t.Context(), lr, []string{dir}, 1<<30, false); err != nil || called() != 0 {
		t.Errorf("without a configuration: %+v %v", d, err)
	}
	if err := os.WriteFile(conf, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if d, err := rotate(t.Context(), lr, []string{dir}, 1000, true); err != nil || called() != 0 || d.Text != "have logrotate do what is due by "+conf+", and compress 1 log, in all 143 kB" {
		t.Errorf("rehearsed: %q %v", d.Text, err)
	}
	if d, err := rotate(t.Context(), lr, []string{t.TempDir()}, 1000, false); err != nil || called() != 0 {
		t.Errorf("another folder: %+v %v", d, err)
	}
	d, err := rotate(t.Context(), lr, []string{dir}, 1000, false)
	if err != nil || called() != 1 || len(d.Did) != 2 || len(d.Left) != 0 || d.Freed < 100_000 {
		t.Errorf("%+v %v, %d calls", d, err, called())
	}
	if archives, err := filepath.Glob(log + ".1.*.gz"); err != nil || len(archives) != 1 {
		t.Errorf("what logrotate left wasn't compressed: %q %v", archives, err)
	}

	put("app.log", strings.Repeat("a line\n", 20_000))
	standIn(t, "logrotate", "echo error: skipping app >&2; exit 1")
	if d, err := rotate(t.Context(), lr, []string{dir}, 1000, false); err != nil || len(d.Did) != 1 || len(d.Left) != 1 || !strings.Contains(d.Left[0], "skipping app") {
		t.Errorf("logrotate failed: %+v %v", d, err)
	}
}

// TestOpenFileIsSeenWithoutProc: who has a file open, or mapped, is noticed though /proc may not show them.
func TestOpenFileIsSeenWithoutProc(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := func() *os.File {
		t.Helper()
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	f := open()
	defer f.Close()
	if held(f) {
		t.Error("only we have it open")
	}
	other := open()
	if !held(f) {
		t.Error("somebody has it open")
	}
	mapped, err := unix.Mmap(int(other.Fd()), 0, 4, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	_ = other.Close()
	if !held(f) {
		t.Error("somebody has it mapped")
	}
	if err := unix.Munmap(mapped); err != nil {
		t.Fatal(err)
	}
	if held(f) {
		t.Error("nobody has it open any more")
	}
}

func TestFindLeakGoesByTrendNotSize(t *testing.T) {
	t.Parallel()
	b := hog(t, "") // burns and doesn't grow
	r, err := findLeak(t.Context(), Policy{Window: 300 * time.Millisecond, Within: b.within}, 100_000, nil)
	if err != nil || r.Found {
		t.Errorf("%+v %v", r, err)
	}
	r, err = findLeak(t.Context(), Policy{Window: 60 * time.Millisecond, Within: b.within}, 1, []Growth{{PID: b.pid, Bytes: 1e9, Seconds: 3600}})
	if err != nil || !r.Found || r.Processes[0].PID != b.pid {
		t.Errorf("the record says it leaks: %+v %v", r, err)
	}
}

func TestRoughly(t *testing.T) {
	for seconds, want := range map[float64]string{
		4_728_000: "55 days", 129_600: "36h", 5_400: "90m", 100: "1m40s", 0.4: "0s", 1e30: "more than a year",
	} {
		if got := roughly(seconds); got != want {
			t.Errorf("%v s: %q, want %q", seconds, got, want)
		}
	}
}
