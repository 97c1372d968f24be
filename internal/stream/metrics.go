package stream

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// metrics are the stream's own.
type metrics struct {
	samples  prometheus.Counter
	messages prometheus.Counter
	bytes    prometheus.Counter
	refused  prometheus.Counter
	dropped  *prometheus.CounterVec
	append   prometheus.Histogram
	resets   prometheus.Counter
	missed   prometheus.Counter
	damaged  prometheus.Counter
	free     prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "homeostat_stream_" + name, Help: help})
		reg.MustRegister(c)
		return c
	}
	m := &metrics{
		samples:  counter("samples_total", "Samples that are durable in the stream."),
		messages: counter("messages_total", "Messages that are durable in the stream."),
		bytes:    counter("written_bytes_total", "Bytes of the messages that were published, packed."),
		refused:  counter("refused_samples_total", "Samples whose source was told that they are not stored; it sends them again."),
		resets:   counter("reader_resets_total", "Times that a reader had to start again from its position."),
		missed:   counter("missing_messages_total", "Messages that a reader found missing."),
		damaged:  counter("damaged_messages_total", "Messages that could not be decoded."),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "homeostat_stream_dropped_samples_total", Help: "Samples that can never be stored, by reason.",
		}, []string{"reason"}),
		append: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "homeostat_stream_append_seconds", Help: "Time from a batch to its acknowledgement.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
		}),
		free: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "homeostat_stream_disk_free_bytes", Help: "Bytes free on the stream's disk.",
		}),
	}
	reg.MustRegister(m.dropped, m.append, m.free)
	return m
}

// droppedCount returns how many samples were dropped, for Health.
func (m *metrics) droppedCount() uint64 {
	var d dto.Metric
	if err := m.dropped.WithLabelValues("malformed").Write(&d); err != nil {
		return 0
	}
	return uint64(d.GetCounter().GetValue())
}

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
