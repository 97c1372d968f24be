package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/prompb"
)

// TestSecondProcessEnds starts two loops over one data folder.
func TestSecondProcessEnds(t *testing.T) {
	data := t.TempDir()
	c := startChild(t, freeAddress(t), data, "")
	c.awaitReady(t, "ready", func(r readiness) bool { return r.Ready })
	out, err := exec.Command("homeostat", "run", "--listen", freeAddress(t), "--data", data).CombinedOutput()
	want := fmt.Sprintf("data folder %s belongs to another homeostat that is running (process %d)", data, c.cmd.Process.Pid)
	if err == nil || !strings.Contains(string(out), want) {
		t.Errorf("the second one: %v: %s", err, out)
	}
	c.stop(t)
}

// fillDisk returns a folder for a loop's data, the bytes that it is to leave free, and how to fill its disk and make room again:
// a disk of its own to its last byte, or, where none may be mounted, this one until less than the reserve is free.
func fillDisk(t *testing.T) (dir string, reserve uint64, fill func()) {
	t.Helper()
	dir, counted := smallDisk(t)
	ballast := filepath.Join(dir, "ballast")
	if counted == nil {
		return dir, 32 << 20, func() {
			for f, block := create(t, ballast), make([]byte, 1<<20); ; {
				if _, err := f.Write(block); err != nil {
					f.Close()
					return
				}
			}
		}
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return dir, st.Bavail*uint64(st.Bsize) - 512<<20, func() {
		f := create(t, ballast)
		defer f.Close()
		if err := syscall.Fallocate(int(f.Fd()), 0, 0, 1<<30); err != nil {
			t.Fatal(err)
		}
	}
}

func create(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestFullDiskStopsTheLoop fills the disk under a loop: it says so on /readyz, takes nothing, and goes on by itself when there
// is room, with all that it had acknowledged.
func TestFullDiskStopsTheLoop(t *testing.T) {
	dir, reserve, fill := fillDisk(t)
	config := t.TempDir()
	writeFiles(t, config, map[string]string{
		"c.yaml": fmt.Sprintf("sources: {host: {off: true}}\nstream: {max_bytes: %d, reserve: %d}\n", 64<<20, reserve),
	})
	address, data := freeAddress(t), filepath.Join(dir, "data")
	c := startChild(t, address, data, filepath.Join(config, "c.yaml"))
	c.awaitReady(t, "ready", func(r readiness) bool { return r.Ready })
	acked := points{}
	next := func() int {
		at, v := time.Now().UnixMilli(), float64(len(acked))
		status, said, err := remoteWrite(t.Context(), http.DefaultClient, c.url, &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{
			Labels: promLabels("__name__", "disk_test", "host_name", "d"), Samples: []prompb.Sample{{Timestamp: at, Value: v}},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		if status/100 == 2 {
			acked[at] = v
		} else if status != http.StatusServiceUnavailable {
			t.Errorf("%d %s", status, said)
		}
		return status
	}
	next()
	fill()
	c.awaitReady(t, "it says that the disk is full", func(r readiness) bool { return r.says("disk is full") })
	if status := next(); status != http.StatusServiceUnavailable {
		t.Errorf("a sample on a full disk: %d", status)
	}
	if err := os.Remove(filepath.Join(dir, "ballast")); err != nil {
		t.Fatal(err)
	}
	// A source that was refused says so until something is taken.
	c.await(t, "it takes samples again", func() bool { return next()/100 == 2 }, func() string { return "" })
	c.awaitReady(t, "ready again", func(r readiness) bool { return r.Ready })
	c.stop(t)
	c = startChild(t, address, data, filepath.Join(config, "c.yaml"))
	c.awaitReady(t, "ready after a restart", func(r readiness) bool { return r.Ready })
	var got map[string]points
	c.await(t, "all is in the history", func() bool {
		var err error
		got, err = c.query(t.Context(), "disk_test[1h]", "host_name")
		return err == nil && len(got["d"]) == len(acked)
	}, func() string { return fmt.Sprintf("%v, acknowledged %v", got, acked) })
	for at, v := range acked {
		if got["d"][at] != v {
			t.Errorf("at %d: %v, want %v", at, got["d"][at], v)
		}
	}
	if out, err := exec.Command("homeostat", "audit", "verify", "--data", data).CombinedOutput(); err != nil {
		t.Errorf("audit verify: %v: %s", err, out)
	}
	c.stop(t)
}
