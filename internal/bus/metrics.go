package bus

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	events      *prometheus.CounterVec // by the stage that told
	duplicates  prometheus.Counter
	failed      prometheus.Counter
	refused     prometheus.Counter
	took        prometheus.Histogram
	targets     *prometheus.CounterVec
	liveDropped prometheus.Counter
	rate        rate
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "homeostat_bus_events_total", Help: "Events stored, by the stage that told them; outside for others' events.",
		}, []string{"stage"}),
		duplicates: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "homeostat_bus_duplicates_total", Help: "Events that were there already.",
		}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "homeostat_bus_publish_failed_total", Help: "Publications that failed; nothing of them was stored.",
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "homeostat_bus_refused_total", Help: "Events from outside that were malformed.",
		}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "homeostat_bus_publish_seconds", Help: "Time to publish one event, durable.",
			Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 5},
		}),
		targets: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "homeostat_bus_targets_total", Help: "Targets of routes that matched, by what became of them.",
		}, []string{"kind", "outcome"}),
		liveDropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "homeostat_bus_live_dropped_total", Help: "Events that a subscriber of live pages had no room for.",
		}),
	}
	reg.MustRegister(m.events, m.duplicates, m.failed, m.refused, m.took, m.targets, m.liveDropped)
	return m
}

// rate counts what happened in each of the last 60 seconds.
type rate struct {
	mu    sync.Mutex
	slots [60]struct {
		second int64
		n      int
	}
}

func (r *rate) add(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.slots[now.Unix()%60]
	if s.second != now.Unix() {
		s.second, s.n = now.Unix(), 0
	}
	s.n++
}

// perSecond is the mean over the last minute.
func (r *rate) perSecond(now time.Time) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, s := range r.slots {
		if now.Unix()-s.second < 60 {
			n += s.n
		}
	}
	return float64(n) / 60
}
