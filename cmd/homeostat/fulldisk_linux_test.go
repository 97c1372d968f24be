package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"homeostat/internal/history"
	"homeostat/internal/signal"
	"homeostat/internal/stream"
)

// smallDisk returns a folder on a disk of 96 MB of its own and how to ask for its free bytes; where no tmpfs may be mounted,
// a folder that counts what lies in it against that size.
func smallDisk(t *testing.T) (dir string, free func(string) (uint64, error)) {
	const size = 96 << 20
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=96m"); err == nil {
		t.Cleanup(func() {
			if err := syscall.Unmount(dir, 0); err != nil {
				t.Error(err)
			}
		})
		return dir, nil // the system knows
	}
	return dir, func(string) (uint64, error) {
		left := int64(size)
		err := filepath.Walk(dir, func(_ string, st os.FileInfo, err error) error {
			if err == nil && st.Mode().IsRegular() {
				left -= st.Size()
			}
			return nil // files come and go under our eyes
		})
		return uint64(max(left, 0)), err
	}
}

// TestFullDiskStopsAndHarmsNothing fills the disk under a running stream and history, to the last byte.
func TestFullDiskStopsAndHarmsNothing(t *testing.T) {
	disk, free := smallDisk(t)
	run := func(use func(s *stream.Stream, h *history.History)) {
		s, err := stream.Open(t.Context(), stream.Config{Dir: filepath.Join(disk, "stream"), Reserve: 32 << 20, Free: free}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		h, err := history.Open(t.Context(), history.Config{Dir: filepath.Join(disk, "history"), Reserve: 16 << 20, Free: free}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = h.Run(ctx, s)
		}()
		use(s, h)
		cancel()
		<-done
		if err := errors.Join(h.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	}
	wait := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); !ok(); <-time.After(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("not within 30 s: %s", what)
			}
		}
	}
	base, acked := time.Now().UnixMilli(), int64(0)
	batch := pipelineBatch(0, 100)
	next := func(s *stream.Stream) error {
		for r := range batch.Times {
			batch.Times[r], batch.Values[r] = base+acked, float64(acked)
		}
		err := s.Append(t.Context(), batch)
		if err == nil {
			acked++
		}
		return err
	}
	ballast := filepath.Join(disk, "ballast")
	run(func(s *stream.Stream, h *history.History) {
		for range 5 {
			if err := next(s); err != nil {
				t.Fatal(err)
			}
		}
		f, err := os.Create(ballast)
		if err != nil {
			t.Fatal(err)
		}
		for block := make([]byte, 1<<20); ; { // until the disk takes no more, or is counted as full
			left := uint64(1)
			if free != nil {
				left, _ = free(disk)
			}
			if _, err := f.Write(block); err != nil || left == 0 {
				break
			}
		}
		f.Close()
		wait("the stream says so", func() bool { return !s.Health().Ready })
		if err := next(s); !errors.Is(err, stream.ErrFull) {
			t.Errorf("append on a full disk: %v", err)
		}
		if err := h.Record(t.Context(), &signal.Batch{}); !errors.Is(err, history.ErrFull) {
			t.Errorf("record on a full disk: %v", err)
		}
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		wait("the stream goes on", func() bool { return s.Health().Ready })
		for range 5 {
			if err := next(s); err != nil {
				t.Fatal(err)
			}
		}
		wait("the history has it", func() bool { return h.Committed() == s.Last() })
	})
	run(func(s *stream.Stream, h *history.History) {
		wait("the history is up", h.Ready)
		if got := stored(t, h, 1); int64(got) != 100*acked {
			t.Errorf("%d samples stored, %d acknowledged", got, 100*acked)
		}
	})
}
