// Package history is what was: it reads the stream into a Prometheus TSDB, answers PromQL over Prometheus' own HTTP API, and
// evaluates Prometheus rule files against it.
//
// [History.Run] consumes the stream from a position that it keeps in the TSDB itself: after each commit of samples it commits
// a sample of the series homeostat_history_position, whose value is the sequence of the last message that is in. After a kill
// the TSDB's write-ahead log gives both back, in that order; what lies between is read again, and the TSDB takes a sample
// twice. The log is not fsynced with each commit, so [History.Position], behind which the stream may be trimmed, stays two
// minutes back: by then the system has written it.
//
// Samples go in as they came: late ones within the out-of-order window, NaN, infinities, stale markers. What is older, says
// something else of a time that is already stored, lies in the future or isn't a sample is counted by reason in
// homeostat_history_rejected_samples_total and set aside. Nothing that comes in is fatal.
//
// A [History] is safe for concurrent use; Run is called once.
package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/shirou/gopsutil/v4/disk"

	"homeostat/internal/signal"
)

// Config says where the history lies, how long it keeps, and what a query may cost. Only Dir is needed.
type Config struct {
	Dir        string        // folder of the TSDB; made where it isn't there
	Keep       time.Duration // how long samples are kept; 30 days when 0
	OutOfOrder time.Duration // how late a sample may come, behind the newest; 1 h when 0
	Reserve    int64         // bytes of the disk to be left free: below, consumption pauses; 128 MiB when 0, none when negative

	QueryTimeout    time.Duration // of one query; 30 s when 0
	QuerySamples    int           // that one query may hold in memory; 10,000,000 when 0
	QueryConcurrent int           // queries at once, others wait; 4 when 0
	Lookback        time.Duration // how old the newest sample of a series may be for it to count as there; 5 min when 0

	Version string // of the binary, for /status/buildinfo

	// Free tells the bytes that are free for us on the disk under a folder; nil asks the system. Tests fill disks with it.
	Free func(dir string) (uint64, error)
}

// How consumption is batched and bounded.
const (
	commitRows  = 5000                   // samples
	commitTime  = 100 * time.Millisecond // from a sample's arrival to its commit, at most
	maxAhead    = 10 * time.Minute       // of a sample before our clock: one far ahead would make all others too late
	safeAfter   = 2 * time.Minute        // from a commit to the time that it is safe from a power cut
	lateChecks  = 64                     // late samples, in one commit, that are compared with what is stored
	seriesKept  = 3 * time.Hour          // from the last sample of a series to its being forgotten by the writer
	blockLength = 9 * 24 * time.Hour     // of the longest block: 30 days are a handful of them
)

// positionMetric is the series that holds the position in the stream.
const positionMetric = "homeostat_history_position"

// History is the store. Open makes one.
type History struct {
	cfg     Config
	log     *slog.Logger
	db      *tsdb.DB
	engine  *promql.Engine // for people and programs, with bounds
	rulesQL *promql.Engine // for rules and verify, so that a query from outside never keeps an alert waiting
	metrics *metrics
	gather  prometheus.Gatherer // of the registry that the TSDB's metrics are in
	rate    meter
	state   atomic.Pointer[string]        // why consumption pauses, nil while it doesn't
	rules   atomic.Pointer[rules.Manager] // of the Rules that run
	caught  atomic.Int64                  // when consumption was last up with the stream, Unix ms
	behind  atomic.Bool
	running atomic.Bool
	looked  atomic.Int64 // when the disk was last looked at, Unix ms

	mu        sync.Mutex // guards what follows
	writer    writer
	committed uint64 // position
	safe      []commit
	safeSeq   uint64
	posTime   int64  // of the newest stored position, data time
	posSeq    uint64 // newest message in hand

	meta     metaStore
	entities entities
}

// commit is a position and when it was reached.
type commit struct {
	at  time.Time
	seq uint64
}

// Open opens the TSDB in cfg.Dir, replays its log and finds the position again. The caller must Close.
func Open(ctx context.Context, cfg Config, log *slog.Logger, reg prometheus.Registerer) (*History, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	cfg.Keep = cmp.Or(cfg.Keep, 30*24*time.Hour)
	cfg.OutOfOrder = cmp.Or(cfg.OutOfOrder, time.Hour)
	cfg.Reserve = max(cmp.Or(cfg.Reserve, 128<<20), 0)
	cfg.QueryTimeout = cmp.Or(cfg.QueryTimeout, 30*time.Second)
	cfg.QuerySamples = cmp.Or(cfg.QuerySamples, 10_000_000)
	cfg.QueryConcurrent = cmp.Or(cfg.QueryConcurrent, 4)
	cfg.Lookback = cmp.Or(cfg.Lookback, 5*time.Minute)
	if cfg.Free == nil {
		cfg.Free = diskFree
	}
	opts := tsdb.DefaultOptions()
	opts.RetentionDuration = cfg.Keep.Milliseconds()
	opts.MaxBlockDuration = min(blockLength, max(cfg.Keep/3, 2*time.Hour)).Milliseconds()
	opts.OutOfOrderTimeWindow = cfg.OutOfOrder.Milliseconds()
	opts.WALReplayConcurrency = runtime.GOMAXPROCS(0)
	db, err := tsdb.Open(cfg.Dir, tsdbLog(log), reg, opts, nil)
	if err != nil {
		return nil, fmt.Errorf("open the history in %s: %w", cfg.Dir, err)
	}
	// Late samples come back from a log of their own, in which a mark of before a kill can be taken for one of a later run: then
	// samples are thought to lie in a file of chunks that was never written, and are lost at the next start. In a block they
	// are safe, and the log begins anew.
	if err := db.CompactOOOHead(ctx); err != nil {
		log.WarnContext(ctx, "late samples stay in their log: a kill may cost some of them", "err", err)
	}
	ql := func(name string, tracker promql.QueryTracker) *promql.Engine {
		return promql.NewEngine(promql.EngineOpts{
			Logger: log, Reg: prometheus.WrapRegistererWith(prometheus.Labels{"engine": name}, reg),
			MaxSamples: cfg.QuerySamples, Timeout: cfg.QueryTimeout, ActiveQueryTracker: tracker,
			LookbackDelta: cfg.Lookback, EnableAtModifier: true, EnableNegativeOffset: true,
			NoStepSubqueryIntervalFn: func(int64) int64 { return (15 * time.Second).Milliseconds() },
			Parser:                   parser.NewParser(parser.Options{}),
		})
	}
	h := &History{
		cfg: cfg, log: log, db: db, metrics: newMetrics(reg),
		engine:  ql("queries", make(queryTracker, cfg.QueryConcurrent)),
		rulesQL: ql("rules", nil),
	}
	if g, ok := reg.(prometheus.Gatherer); ok {
		h.gather = g
	} else {
		h.gather = prometheus.NewRegistry()
	}
	h.writer.series = map[signal.SeriesID]*entry{}
	if err := h.restore(ctx); err != nil {
		return nil, fmt.Errorf("read the history's position in %s: %w", cfg.Dir, errors.Join(err, db.Close()))
	}
	return h, nil
}

// Close commits what is in hand and closes the TSDB. Run and all readers must have ended.
func (h *History) Close() error {
	h.mu.Lock()
	err := h.flush()
	h.mu.Unlock()
	for _, e := range []*promql.Engine{h.engine, h.rulesQL} {
		err = cmp.Or(err, e.Close())
	}
	return cmp.Or(err, h.db.Close())
}

// Position returns the position behind which the stream may be trimmed: all up to it is safe here from a power cut.
func (h *History) Position() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.settle(time.Now())
	return h.safeSeq
}

// Committed returns the position up to which samples are committed: queries see them, and a kill doesn't lose them.
func (h *History) Committed() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.committed
}

// settle moves safeSeq over the commits that are old enough.
func (h *History) settle(now time.Time) {
	n := 0
	for n < len(h.safe) && now.Sub(h.safe[n].at) >= safeAfter {
		h.safeSeq = h.safe[n].seq
		n++
	}
	h.safe = append(h.safe[:0], h.safe[n:]...)
}

// Ready reports whether consumption runs and is up with the stream, or was within the last five seconds.
func (h *History) Ready() bool {
	return h.running.Load() && h.state.Load() == nil && (!h.behind.Load() || h.lag() < 5)
}

// lag returns the seconds since consumption was last up with the stream, 0 while it is.
func (h *History) lag() float64 {
	if !h.behind.Load() {
		return 0
	}
	return float64(time.Now().UnixMilli()-h.caught.Load()) / 1000
}

// Health tells how the history is doing.
func (h *History) Health() signal.Stage {
	s := signal.Stage{
		Name: "history", Ready: h.Ready(), State: "ok", Rate: h.rate.perSecond(time.Now()),
		Lag: h.lag(), Dropped: h.metrics.rejectedCount(),
	}
	switch why := h.state.Load(); {
	case why != nil:
		s.State = *why
	case !h.running.Load():
		s.State = "starting"
	case !s.Ready:
		s.State = fmt.Sprintf("catching up, %.0f s behind the stream", s.Lag)
	}
	return s
}

// restore reads the position that the last commit left, and the entities of the series that the head holds.
func (h *History) restore(ctx context.Context) error {
	head := h.db.Head()
	h.caught.Store(time.Now().UnixMilli())
	if head.NumSeries() == 0 && len(h.db.Blocks()) == 0 {
		return nil
	}
	maxt := head.MaxTime()
	if maxt == math.MinInt64 && len(h.db.Blocks()) > 0 {
		maxt = h.db.Blocks()[len(h.db.Blocks())-1].MaxTime()
	}
	h.writer.known = maxt
	// The newest position is as young as the newest sample but for what was late; the wider looks are for that.
	for _, back := range []time.Duration{10 * time.Minute, 3 * time.Hour, 24 * time.Hour, h.cfg.Keep} {
		t, v, ok, err := h.newest(ctx, positionMetric, maxt-back.Milliseconds(), math.MaxInt64)
		if err != nil {
			return err
		}
		if ok {
			h.committed, h.posTime = uint64(v), t
			break
		}
	}
	return h.restoreEntities(ctx)
}

// diskFree returns the bytes that are free for us on the disk under dir.
func diskFree(dir string) (uint64, error) {
	u, err := disk.Usage(filepath.Clean(dir))
	if err != nil {
		return 0, err
	}
	return u.Free, nil
}

// tsdbLog lowers what Prometheus tells of its normal work, which comes at Info, to Debug.
func tsdbLog(log *slog.Logger) *slog.Logger { return slog.New(quieter{log.Handler()}) }
