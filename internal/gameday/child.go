package gameday

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Child is what the hidden sub command runs: one fault, in this process, until its bound, until standard input ends (the
// parent has ended), or until it is told to. args are the fault's name and its settings as key=value.
func Child(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("%s: which fault?", ChildCommand)
	}
	settings := map[string]string{}
	for _, a := range args[1:] {
		k, v, ok := strings.Cut(a, "=")
		if !ok {
			return fmt.Errorf("%s: %q is not key=value", ChildCommand, a)
		}
		settings[k] = v
	}
	bound, err := time.ParseDuration(settings["bound"])
	if err != nil || bound <= 0 || bound > time.Hour {
		return fmt.Errorf("%s: bound %q: want a duration up to 1h", ChildCommand, settings["bound"])
	}
	// The parent's end closes the pipe even when it is killed; nothing is ever written to it.
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		if args[0] == Disk {
			_ = removeDisk(settings["dir"])
		}
		os.Exit(0)
	}()
	rename("gameday-" + args[0])
	end := time.After(bound)
	polite := make(chan os.Signal, 1)
	signal.Notify(polite, syscall.SIGTERM, os.Interrupt)
	begin := func() { _, _ = os.Stdout.WriteString(begun) }
	switch args[0] {
	case CPU:
		begin()
		burnAll(end, polite)
		return nil
	case Neighbour:
		begin()
		go burn(0.6, new(atomic.Bool))
		select {
		case <-end:
		case <-polite:
		}
		return nil
	case Memory:
		return superviseLeak(args[1:], begin, end, polite)
	case leak:
		return growMemory(settings, begin, end, polite)
	case Disk:
		return fillDisk(settings, begin, end, polite)
	}
	return fmt.Errorf("%s: no fault is called %q", ChildCommand, args[0])
}

// number reads a setting that must be a whole number above 0.
func number(settings map[string]string, key string) (int64, error) {
	n, err := strconv.ParseInt(settings[key], 10, 64)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%s: %s=%q: want a whole number above 0", ChildCommand, key, settings[key])
	}
	return n, nil
}

// burnAll burns every core to 95 % until end, or until it is told to stop and has burnt MinBurn.
func burnAll(end <-chan time.Time, polite <-chan os.Signal) {
	var stop atomic.Bool
	for range runtime.NumCPU() {
		go burn(0.95, &stop)
	}
	select {
	case <-end:
	case <-polite:
		for cpuTime() < MinBurn {
			time.Sleep(10 * time.Millisecond)
		}
	}
	stop.Store(true)
}

// burn keeps one thread busy for a share of the time, in slices of 100 ms. What a slice misses, because others had the core,
// is not made up for: a share is the most that it takes.
func burn(share float64, stop *atomic.Bool) {
	runtime.LockOSThread()
	const slice = 100 * time.Millisecond
	x := uint64(88172645463325252)
	for !stop.Load() {
		begin := time.Now()
		busy := time.Duration(share * float64(slice))
		for time.Since(begin) < busy {
			for range 20_000 { // some tens of microseconds of work between two looks at the clock
				x ^= x << 13
				x ^= x >> 7
				x ^= x << 17
			}
		}
		time.Sleep(slice - min(slice, time.Since(begin)))
	}
	runtime.KeepAlive(x)
}
