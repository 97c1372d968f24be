// Package gameday breaks things on purpose, within bounds: real faults in child processes of the own binary and in a folder
// of their own, so that one can watch the loop notice, act and verify.
//
// The faults:
//
//	cpu        burns all cores but a little, as one process; it ends no earlier than after MinBurn of CPU time
//	memory     grows by 50 MB a second to 80 % of a limit of its own, then by 5 MB a second
//	disk       fills a small file system of its own (a folder measured against a size where none can be mounted)
//	neighbour  burns 60 % of one core, steadily: the one that must come through unharmed
//
// Each fault ends by itself after its bound, and at once when its parent ends, however that ends: the child holds the
// reading end of a pipe whose other end only the parent has. Nothing outside of the fault's own children, folder and control
// group is touched. [Fault.Describe] says in the open what is done.
package gameday

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"homeostat/internal/signal"
)

// The faults by name.
const (
	CPU       = "cpu"
	Memory    = "memory"
	Disk      = "disk"
	Neighbour = "neighbour"
)

// ChildCommand is the hidden sub command under which a child runs: BINARY gameday-child FAULT key=value...
const ChildCommand = "gameday-child"

// begun is the line that a child writes when it has begun.
const begun = "begun\n"

// Bounds of the faults.
const (
	MinBurn      = 3 * time.Second // CPU time that the cpu fault burns before a polite signal ends it
	DefaultBound = 3 * time.Minute // after which a fault ends itself

	// DefaultMemoryLimit and DefaultDiskSize are what the memory and disk faults are measured against, in bytes.
	DefaultMemoryLimit = 1_000_000_000
	DefaultDiskSize    = 256 << 20
)

// Options bound a fault. The zero value works.
type Options struct {
	Bound       time.Duration // after which the fault ends itself; DefaultBound when 0
	MemoryLimit int64         // bytes; DefaultMemoryLimit when 0
	DiskSize    int64         // bytes; DefaultDiskSize when 0
	Dir         string        // where the disk fault's folder is made; the system's temporary folder when empty
	Executable  string        // the binary that has ChildCommand; the own one when empty
	Log         *slog.Logger  // nil discards
}

// Sink takes the series of a fault's own entity: the stream, in a private loop.
type Sink interface {
	Append(ctx context.Context, b *signal.Batch) error
}

// Fault is a fault that has been started. Its methods are safe for concurrent use.
type Fault struct {
	name     string
	began    time.Time
	describe string
	dir      string // of the disk fault
	gauge    *gauge // of its own entity; nil without one
	log      *slog.Logger

	mu       sync.Mutex // guards the field below it
	readings []reading

	cmd     *exec.Cmd
	life    io.WriteCloser // closing it ends the child
	ready   chan struct{}  // closed when the child has said that it began, or never will
	done    chan struct{}  // closed when the child has ended
	stop    sync.Once
	stopErr error
	cleanup func() error
}

// Start starts a fault; ctx ends it. The caller must call Stop.
func Start(ctx context.Context, fault string, o Options) (*Fault, error) {
	if o.Bound <= 0 {
		o.Bound = DefaultBound
	}
	if o.MemoryLimit <= 0 {
		o.MemoryLimit = DefaultMemoryLimit
	}
	if o.DiskSize <= 0 {
		o.DiskSize = DefaultDiskSize
	}
	o.Log = discard(o.Log)
	if o.Executable == "" {
		exe, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find the own binary: %w", err)
		}
		o.Executable = exe
	}
	f := &Fault{name: fault, log: o.Log, began: time.Now(), ready: make(chan struct{}), done: make(chan struct{}), cleanup: func() error { return nil }}
	var err error
	switch fault {
	case CPU:
		f.describe = fmt.Sprintf("one process burns %d cores to 95 %% each, for %v at most", runtime.NumCPU(), o.Bound)
		err = f.start(o, nil, nil)
	case Neighbour:
		f.describe = fmt.Sprintf("one process burns 60 %% of one core, steadily, for %v at most", o.Bound)
		err = f.start(o, nil, nil)
	case Memory:
		err = f.startMemory(o)
	case Disk:
		err = f.startDisk(o)
	default:
		return nil, fmt.Errorf("no fault is called %q: there are %s, %s, %s and %s", fault, CPU, Memory, Disk, Neighbour)
	}
	if err != nil {
		return nil, errors.Join(err, f.cleanup())
	}
	context.AfterFunc(ctx, func() {
		if err := f.Stop(); err != nil {
			o.Log.Warn("a fault left something behind", "source", "gameday", "err", err)
		}
	})
	return f, nil
}

// start starts the child with this fault's name and settings (key=value). enter, where there is one, puts it into a control
// group.
func (f *Fault) start(o Options, settings []string, enter func(*syscall.SysProcAttr) (*os.File, error)) error {
	args := append([]string{ChildCommand, f.name, "bound=" + o.Bound.String()}, settings...)
	cmd := exec.Command(o.Executable, args...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(runtime.NumCPU()+1), "MALLOC_ARENA_MAX=1")
	cmd.SysProcAttr = childAttributes(f.name)
	if enter != nil {
		group, err := enter(cmd.SysProcAttr)
		if err != nil {
			return err
		}
		defer group.Close()
	}
	life, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	says, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = os.Stderr
	started := make(chan error)
	go func() {
		// The kernel's own "end with the parent" follows the thread that started the child, so this one is kept.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			<-f.ready      // Wait closes the pipe that is still read
			_ = cmd.Wait() // how it ended is no news: most are killed
		}
		close(f.done)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start the fault %s: %w", f.name, err)
	}
	f.cmd, f.life = cmd, life
	late := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	defer close(f.ready)
	// The child says that it has begun once it knows how to end.
	if line, err := bufio.NewReader(says).ReadString('\n'); line != begun {
		_ = life.Close()
		return fmt.Errorf("the fault %s has not begun: %q %w", f.name, line, err)
	}
	return nil
}

// Name is the fault's name.
func (f *Fault) Name() string { return f.name }

// Began is when the fault was started.
func (f *Fault) Began() time.Time { return f.began }

// Describe says in a sentence what is done, and to what.
func (f *Fault) Describe() string { return f.describe }

// PIDs are the processes of the fault.
func (f *Fault) PIDs() []int {
	if f.cmd == nil || f.cmd.Process == nil {
		return nil
	}
	return []int{f.cmd.Process.Pid}
}

// Alive reports whether the fault's process is still there.
func (f *Fault) Alive() bool {
	select {
	case <-f.done:
		return false
	default:
		return true
	}
}

// Done is closed when the fault's process has ended.
func (f *Fault) Done() <-chan struct{} { return f.done }

// Stop ends the fault and takes away what it made. It returns when that is done; a second call does nothing more.
func (f *Fault) Stop() error {
	f.stop.Do(func() {
		_ = f.life.Close()
		select {
		case <-f.done:
		case <-time.After(2 * time.Second):
			_ = f.cmd.Process.Kill()
			<-f.done
		}
		f.stopErr = f.cleanup()
	})
	return f.stopErr
}
