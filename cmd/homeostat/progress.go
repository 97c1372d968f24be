package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// progress shows one line that changes, on a terminal alone and from the first second on.
type progress struct {
	out   *os.File
	began time.Time
	last  time.Time
	shown bool
}

func newProgress(w io.Writer) *progress {
	p := &progress{began: time.Now()}
	if f, ok := w.(*os.File); ok && os.Getenv("TERM") != "" && os.Getenv("TERM") != "dumb" {
		if st, err := f.Stat(); err == nil && st.Mode()&fs.ModeCharDevice != 0 {
			p.out = f
		}
	}
	return p
}

func (p *progress) show(format string, args ...any) {
	now := time.Now()
	if p.out == nil || now.Sub(p.began) < time.Second || now.Sub(p.last) < 100*time.Millisecond {
		return
	}
	p.last, p.shown = now, true
	fmt.Fprintf(p.out, "\r\x1b[K"+format, args...)
}

func (p *progress) done() {
	if p.shown {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
