package source

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"homeostat/internal/signal"
)

// Meter counts what one source does. All sources share the metrics and differ in the label "source":
//
//	homeostat_source_samples_total{source}             samples that the sink has taken
//	homeostat_source_set_aside_total{source,reason}    samples that could not be used
//	homeostat_source_failures_total{source,kind}       readings, requests or appends that failed
//
// Safe for concurrent use.
type Meter struct {
	name     string
	samples  prometheus.Counter
	aside    *prometheus.CounterVec
	failures *prometheus.CounterVec

	taken   atomic.Uint64
	dropped atomic.Uint64
	state   atomic.Pointer[string] // nil while all is well

	mu        sync.Mutex
	marks     [6]mark // one about every ten seconds, oldest overwritten
	lastMark  int
	everBegan bool
}

// mark is how many samples had been taken at a time.
type mark struct {
	at    time.Time
	taken uint64
}

// NewMeter returns the meter of the source called name. Registering a second meter on reg is fine. A nil reg counts for
// [Meter.Stage] alone.
func NewMeter(reg prometheus.Registerer, name string) *Meter {
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	vec := func(metric, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: metric, Help: help}, labels)
		if err := reg.Register(v); err != nil {
			if are, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
				if old, ok := are.ExistingCollector.(*prometheus.CounterVec); ok {
					return old
				}
			}
			// Another metric has our name: we count for ourselves rather than fail to start.
		}
		return v
	}
	label := prometheus.Labels{"source": name}
	return &Meter{
		name:     name,
		samples:  vec("homeostat_source_samples_total", "Samples that the stream has taken.", "source").With(label),
		aside:    vec("homeostat_source_set_aside_total", "Samples that could not be used.", "source", "reason").MustCurryWith(label),
		failures: vec("homeostat_source_failures_total", "Readings, requests or appends that failed.", "source", "kind").MustCurryWith(label),
	}
}

// Took counts samples that the sink has taken, and says that all is well again.
func (m *Meter) Took(samples int) {
	m.samples.Add(float64(samples))
	taken := m.taken.Add(uint64(samples))
	m.state.Store(nil)
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.everBegan || now.Sub(m.marks[m.lastMark].at) >= 10*time.Second {
		m.everBegan = true
		m.lastMark = (m.lastMark + 1) % len(m.marks)
		m.marks[m.lastMark] = mark{now, taken}
	}
}

// SetAside counts samples that could not be used. Reason comes from a small closed set.
func (m *Meter) SetAside(reason string, samples int) {
	if samples == 0 {
		return
	}
	m.aside.WithLabelValues(reason).Add(float64(samples))
	m.dropped.Add(uint64(samples))
}

// Failed counts a reading, a request or an append that failed. Kind comes from a small closed set.
func (m *Meter) Failed(kind string) { m.failures.WithLabelValues(kind).Inc() }

// Ignored counts what was left out on purpose, such as exemplars.
func (m *Meter) Ignored(reason string, items int) {
	if items > 0 {
		m.aside.WithLabelValues(reason).Add(float64(items))
	}
}

// Stuck says in a few words why nothing is taken at present; [Meter.Took] takes it back. It reports whether that is news.
func (m *Meter) Stuck(why string) bool { return m.state.Swap(&why) == nil }

// Stage says how the source is doing. A source that nobody has sent anything to is well.
func (m *Meter) Stage() signal.Stage {
	s := signal.Stage{Name: "source/" + m.name, Ready: true, State: "ok", Dropped: m.dropped.Load()}
	if why := m.state.Load(); why != nil {
		s.Ready, s.State = false, *why
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	oldest := m.marks[(m.lastMark+1)%len(m.marks)]
	for i := 0; oldest.at.IsZero() && i < len(m.marks); i++ {
		oldest = m.marks[(m.lastMark+2+i)%len(m.marks)]
	}
	if passed := time.Since(oldest.at).Seconds(); !oldest.at.IsZero() && passed >= 1 {
		s.Rate = float64(m.taken.Load()-oldest.taken) / passed
	}
	return s
}
