package detect

import "github.com/prometheus/client_golang/prometheus"

// metrics are the stage's own.
type metrics struct {
	batches, samples, accesses     prometheus.Counter
	intervals, late, leftAlone     prometheus.Counter
	orders, ordersFailed           prometheus.Counter
	publishFailed, recordFailed    prometheus.Counter
	checkpoints, checkpointsFailed prometheus.Counter
	checkpointSeconds              prometheus.Histogram
	checkpointBytes, lag, training prometheus.Gauge
	anomalies                      *prometheus.CounterVec
	models                         *prometheus.GaugeVec
}

// newMetrics registers the stage's metrics; with a nil reg they are counted for nobody.
func newMetrics(reg prometheus.Registerer) *metrics {
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "homeostat_detect_" + name, Help: help})
		reg.MustRegister(c)
		return c
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "homeostat_detect_" + name, Help: help})
		reg.MustRegister(g)
		return g
	}
	m := &metrics{
		batches:           counter("batches_total", "Batches of the stream that the detectors have read."),
		samples:           counter("samples_total", "Samples in them."),
		accesses:          counter("accesses_total", "Accesses that the detectors have read."),
		intervals:         counter("intervals_total", "Intervals of entities that were scored."),
		late:              counter("late_samples_total", "Samples set aside as their interval was closed already."),
		leftAlone:         counter("left_alone_series_total", "Series of endpoints beyond the most that one detector looks ahead at."),
		publishFailed:     counter("publish_failed_total", "Times that anomalies could not be published; they are tried again."),
		recordFailed:      counter("record_failed_total", "Times that bands could not be recorded; they are dropped."),
		orders:            counter("orders_total", "Orders of people (mute, confirm, use) that were carried out."),
		ordersFailed:      counter("orders_failed_total", "Orders that could not be; each is in the log."),
		checkpoints:       counter("checkpoints_total", "Checkpoints begun."),
		checkpointsFailed: counter("checkpoints_failed_total", "Checkpoints that could not be written."),
		checkpointBytes:   gauge("checkpoint_bytes", "Size of the last checkpoint."),
		lag:               gauge("lag_seconds", "Age of the latest sample read, when read; 0 below 15 s."),
		training:          gauge("training_models", "Models that wait for their training from history or are in it."),
		checkpointSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "homeostat_detect_checkpoint_seconds", Help: "Time that a checkpoint took.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}),
		anomalies: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "homeostat_detect_anomalies_total", Help: "Anomalies by detector and what was told of them.",
		}, []string{"detector", "told"}),
		models: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "homeostat_detect_models", Help: "Models by detector; of one that looks ahead, endpoints.",
		}, []string{"detector"}),
	}
	reg.MustRegister(m.checkpointSeconds, m.anomalies, m.models)
	return m
}
