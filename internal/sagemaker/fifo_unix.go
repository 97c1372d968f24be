//go:build unix

package sagemaker

import (
	"context"
	"os"
	"syscall"
	"time"
)

// openFIFO opens a FIFO for reading, which waits for its writer, or for ctx to end.
func openFIFO(ctx context.Context, path string) (*os.File, error) {
	opened := make(chan struct{})
	defer close(opened)
	stop := context.AfterFunc(ctx, func() {
		// Whoever opens the other end releases the one who waits here; again, for it may not wait yet.
		for {
			if fd, err := syscall.Open(path, syscall.O_WRONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0); err == nil {
				_ = syscall.Close(fd)
			}
			select {
			case <-opened:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	defer stop()
	return os.Open(path)
}
