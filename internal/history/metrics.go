package history

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// metrics are the history's own.
type metrics struct {
	samples  prometheus.Counter
	rejected *prometheus.CounterVec
	commit   prometheus.Histogram
	failed   prometheus.Counter
	position prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		samples: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "homeostat_history_samples_total", Help: "Samples that came in, those set aside among them.",
		}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "homeostat_history_rejected_samples_total", Help: "Samples set aside, by reason.",
		}, []string{"reason"}),
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "homeostat_history_commit_seconds", Help: "Time that a commit to the TSDB takes.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1},
		}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "homeostat_history_commits_failed_total", Help: "Commits to the TSDB that failed; their samples are read again.",
		}),
		position: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "homeostat_history_stream_position", Help: "Sequence of the stream up to which samples are committed.",
		}),
	}
	for _, reason := range []string{reasonLate, reasonContradicting, reasonMalformed, reasonFuture} {
		m.rejected.WithLabelValues(reason)
	}
	reg.MustRegister(m.samples, m.rejected, m.commit, m.failed, m.position)
	return m
}

// rejectedCount returns how many samples were set aside, for Health.
func (m *metrics) rejectedCount() uint64 {
	var sum float64
	for _, reason := range []string{reasonLate, reasonContradicting, reasonMalformed, reasonFuture} {
		var d dto.Metric
		if err := m.rejected.WithLabelValues(reason).Write(&d); err == nil {
			sum += d.GetCounter().GetValue()
		}
	}
	return uint64(sum)
}

// quieter hands on what is a warning or worse, and the rest as Debug: what Prometheus tells of its normal work is no news to
// an operator of ours.
type quieter struct{ next slog.Handler }

func (q quieter) Enabled(ctx context.Context, l slog.Level) bool {
	if l < slog.LevelWarn {
		l = slog.LevelDebug
	}
	return q.next.Enabled(ctx, l)
}

func (q quieter) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn {
		r.Level = slog.LevelDebug
	}
	return q.next.Handle(ctx, r)
}

func (q quieter) WithAttrs(as []slog.Attr) slog.Handler { return quieter{q.next.WithAttrs(as)} }

func (q quieter) WithGroup(name string) slog.Handler { return quieter{q.next.WithGroup(name)} }

// meter counts items in the last minute, in slots of five seconds.
type meter struct {
	mu    sync.Mutex
	slots [13]int
	slot  int64 // number of the newest slot since 1970
}

const meterSlot = 5 * time.Second

func (m *meter) add(now time.Time, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn(now)
	m.slots[m.slot%int64(len(m.slots))] += n
}

// perSecond returns the rate over the last full minute.
func (m *meter) perSecond(now time.Time) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn(now)
	sum := -m.slots[m.slot%int64(len(m.slots))]
	for _, n := range m.slots {
		sum += n
	}
	return float64(sum) / (time.Duration(len(m.slots)-1) * meterSlot).Seconds()
}

// turn empties the slots between the newest one and now.
func (m *meter) turn(now time.Time) {
	slot := now.UnixNano() / int64(meterSlot)
	for s := max(m.slot+1, slot-int64(len(m.slots))+1); s <= slot; s++ {
		m.slots[s%int64(len(m.slots))] = 0
	}
	m.slot = max(m.slot, slot)
}
