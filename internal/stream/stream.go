// Package stream is the durable, partitioned log of samples and accesses: what a source has handed over survives a kill, and history and
// the detectors each read all of it, in order, from a position of their own.
//
// A [Stream] is a NATS JetStream server inside the process, without a port, and one JetStream stream in files under
// Config.Dir. Samples go to the subject samples.P, where P is the hash of their entity modulo a count that is fixed when the
// folder is made; accesses to access.P, by organisation. So all that an entity needs lies in one partition, in order.
//
// [Stream.Append] gathers small pieces, by partition, to [gatherRows] samples or [gatherTime], whichever comes first,
// publishes them as one message and returns once JetStream has it in its file. It then survives kill -9; a power cut costs at
// most Config.Sync. When more comes than the disk takes, Append waits; when there is no room it refuses with [ErrFull], and
// takes again by itself once there is. Nothing that was taken is ever dropped silently.
//
// [Stream.Read] delivers from a position on: the newest from memory, as they were before they were packed, what lies further back
// from JetStream. A position is JetStream's sequence number; the reader keeps it with its own
// state, so that the two can't disagree. JetStream's acknowledgements by consumers are not used: measured, acknowledge-all
// loses what was delivered and not processed, explicit ones bring it back out of order.
//
// All methods are safe for concurrent use.
package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/tsdb/fileutil"

	"homeostat/internal/signal"
)

// Config says where the stream lies and how much it may take. Only Dir is needed.
type Config struct {
	Dir        string        // folder of the stream; made where it isn't there
	Partitions int           // 64 when 0; fixed when the folder is made, later only checked
	Sync       time.Duration // longest time between a message and its fsync; 1 s when 0
	MaxBytes   int64         // what is stored at most; 2 GiB when 0. Full, it refuses the new and keeps the old
	Reserve    int64         // bytes of the disk to be left free; 256 MiB when 0, none when negative

	// Free tells the bytes that are free for us on the disk under a folder; nil asks the system. Tests fill disks with it.
	Free func(dir string) (uint64, error)
}

// The bounds of what is gathered into one message, and of what is under way.
const (
	gatherRows  = 1000                   // samples
	gatherBytes = 1 << 20                // roughly, of labels and histograms
	gatherTime  = 200 * time.Millisecond // the longest that a sample waits for company
	inFlight    = 128                    // messages being gathered, packed or acknowledged; beyond, Append waits
)

const streamName = "homeostat"

// Subjects, before the partition's number.
const (
	samplesSubject = "samples."
	accessSubject  = "access."
)

// ErrFull means that there is no room: the disk is down to its reserve, or the stream at its MaxBytes. Nothing of the batch
// may be taken as stored. It passes by itself when there is room.
var ErrFull = errors.New("no room in the stream")

// ErrClosed means that the stream is being closed.
var ErrClosed = errors.New("the stream is closed")

// Stream is the log. Open makes one.
type Stream struct {
	cfg     Config
	log     *slog.Logger
	lock    fileutil.Releaser
	server  *server.Server
	conn    *nats.Conn
	js      jetstream.JetStream
	metrics *metrics

	opened uint64        // last sequence when it was opened
	last   atomic.Uint64 // last sequence acknowledged
	shown  atomic.Uint64 // last sequence that a reader has seen in this life
	full   atomic.Pointer[string]
	spent  atomic.Int64 // bytes published since the disk was last looked at
	rate   meter
	tail   tail

	slots chan struct{} // one for each gather that is not acknowledged
	acks  chan pending
	wake  chan struct{}
	stop  chan struct{}
	done  sync.WaitGroup

	mu     sync.Mutex // guards what follows
	open   []*gather  // by partition, nil where nothing is gathered
	queue  []*gather  // to be published, in order
	oldest []*gather  // open ones in the order of their beginning
	free   []*gather  // kept for their memory
	places [][]place  // likewise
	calls  uint64     // of Append, so far
	closed bool
}

// Open starts the server over cfg.Dir and recovers what is there. It fails when another process has the folder, or when the
// folder was made with another count of partitions. The caller must Close.
func Open(ctx context.Context, cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Stream, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	cfg.Sync = cmp.Or(cfg.Sync, time.Second)
	cfg.MaxBytes = cmp.Or(cfg.MaxBytes, 2<<30)
	cfg.Reserve = max(cmp.Or(cfg.Reserve, 256<<20), 0)
	if cfg.Free == nil {
		cfg.Free = diskFree
	}
	if err := os.MkdirAll(cfg.Dir, 0o750); err != nil {
		return nil, err
	}
	lock, _, err := fileutil.Flock(filepath.Join(cfg.Dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("stream folder %s is used by another process: %w", cfg.Dir, err)
	}
	s := &Stream{
		cfg: cfg, log: log, lock: lock, metrics: newMetrics(reg),
		slots: make(chan struct{}, inFlight),
		acks:  make(chan pending, inFlight),
		wake:  make(chan struct{}, 1),
		stop:  make(chan struct{}),
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.shutdown())
	}
	s.done.Go(s.publish)
	s.done.Go(s.acknowledge)
	s.done.Go(s.watchDisk)
	return s, nil
}

// Close publishes what is gathered, waits for it, and stops the server. Appends that come later get ErrClosed.
func (s *Stream) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.stop)
	s.mu.Unlock()
	s.done.Wait()
	return s.shutdown()
}

// Last returns the sequence of the newest message that is durable, 0 when there was never one.
func (s *Stream) Last() uint64 { return s.last.Load() }

// Opened returns what Last was when the stream was opened. A position that a reader kept from an earlier life and that lies
// beyond it tells of messages that a power cut has taken: Read goes on behind Opened then.
func (s *Stream) Opened() uint64 { return s.opened }

// Partitions returns how many partitions there are.
func (s *Stream) Partitions() int { return s.cfg.Partitions }

// Trim removes all messages up to and with upTo. All readers must be beyond it.
func (s *Stream) Trim(ctx context.Context, upTo uint64) error {
	if upTo == 0 {
		return nil
	}
	for _, g := range s.tail.trim(upTo) {
		s.recycle(g)
	}
	st, err := s.js.Stream(ctx, streamName)
	if err != nil {
		return fmt.Errorf("trim the stream: %w", err)
	}
	if st.CachedInfo().State.FirstSeq > upTo {
		return nil
	}
	if err := st.Purge(ctx, jetstream.WithPurgeSequence(upTo+1)); err != nil {
		return fmt.Errorf("trim the stream to %d: %w", upTo, err)
	}
	return nil
}

// Health tells how the stream is doing.
func (s *Stream) Health() signal.Stage {
	h := signal.Stage{Name: "stream", Ready: true, State: "ok", Rate: s.rate.perSecond(time.Now()), Dropped: s.metrics.droppedCount()}
	if why := s.full.Load(); why != nil {
		h.Ready, h.State = false, *why
	} else if !s.server.JetStreamEnabled() {
		h.Ready, h.State = false, "JetStream has stopped over a disk error; free the disk and restart"
	}
	return h
}
