package main

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
)

// memoryAim is what the garbage collector aims to stay under where GOMEMLIMIT says nothing. It is an aim and not a limit: a
// query that needs more gets more, for more processor time.
const memoryAim = 128 << 20

// heapAim is the collector's aim of this process.
type heapAim struct {
	ours bool // GOMEMLIMIT says nothing
}

func boundMemory() heapAim {
	if os.Getenv("GOMEMLIMIT") != "" {
		return heapAim{}
	}
	debug.SetMemoryLimit(memoryAim)
	return heapAim{ours: true}
}

// follow raises the aim to half as much again as is in use, and lowers it when that is given up: of hundreds of models the aim
// would be filled by what lives, and the collector would run without end.
func (m heapAim) follow() {
	if !m.ours {
		return
	}
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	if s[0].Value.Kind() == metrics.KindUint64 {
		debug.SetMemoryLimit(aimFor(int64(s[0].Value.Uint64())))
	}
}

// aimFor returns the aim for a heap of which live bytes are in use. 32 MiB are for what is no heap.
func aimFor(live int64) int64 { return max(memoryAim, live+live/2+32<<20) }
