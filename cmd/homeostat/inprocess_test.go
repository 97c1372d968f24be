package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"

	"homeostat/internal/config"
)

// checked returns the parts of a configuration that has to be right.
func checked(tb testing.TB, cfg *Config) *parts {
	tb.Helper()
	p, err := cfg.check(&config.File{})
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// openInProcess opens a loop over dir within the test's process. The returned function closes it, as the test's end does.
func openInProcess(tb testing.TB, cfg Config, p *parts, dir string) (l *loop, done func()) {
	tb.Helper()
	data, err := openDataDir(dir)
	if err != nil {
		tb.Fatal(err)
	}
	if l, err = openLoop(tb.Context(), cfg, p, data, slog.New(slog.DiscardHandler)); err != nil {
		tb.Fatal(errors.Join(err, data.Close()))
	}
	done = sync.OnceFunc(func() {
		if err := errors.Join(l.Close(), data.Close()); err != nil {
			tb.Error(err)
		}
	})
	tb.Cleanup(done)
	return l, done
}

// runInProcess opens a loop as openInProcess does, and runs it until it is closed.
func runInProcess(tb testing.TB, cfg Config, p *parts, dir string) (l *loop, done func()) {
	tb.Helper()
	l, closed := openInProcess(tb, cfg, p, dir)
	ctx, cancel := context.WithCancel(tb.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	done = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Error(err)
		}
		closed()
	})
	tb.Cleanup(done)
	return l, done
}
