// Package host reads this machine: CPU, load, memory, paging, file systems, disks and network, and which processes use most.
//
// A [Source] takes one reading of each kind at its interval and appends them as one batch. Names are those of OpenTelemetry's
// semantic conventions (system.cpu.utilization), written as their translation to Prometheus (system_cpu_utilization_ratio);
// every series carries host_id and host_name. Counters are passed on as the kernel has them, so that whoever takes a rate
// sees a reset for what it is; utilization is a share of the time since the reading before. A sample's time is when it was
// read. In a container, HOST_PROC, HOST_SYS and HOST_ETC say where the host's own folders are, as gopsutil has it.
//
// [Processes] keeps a record of the busiest processes, and no series: a process is gone before its series is worth having.
//
// Source: "Semantic conventions for system metrics", OpenTelemetry 1.38; "OTLP metric points to Prometheus".
package host

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"homeostat/internal/signal"
	"homeostat/internal/source"
)

// Config says how this machine is read. The zero value works.
type Config struct {
	Interval time.Duration `yaml:"interval"` // between two readings; 5s when 0, 100ms at least
	Name     string        `yaml:"name"`     // host.name; the machine's own when empty
	ID       string        `yaml:"id"`       // host.id; the machine's own when empty
	Off      bool          `yaml:"off"`      // don't read this machine at all
}

// DefaultInterval is the time between two readings where the configuration says nothing.
const DefaultInterval = 5 * time.Second

// maxPendingRows bounds what is kept while the sink takes nothing: a quarter of an hour of a machine with 400 series. Beyond
// it all of that is dropped and counted.
const maxPendingRows = 72_000

// Source reads this machine. Make it with [New]; Run may be called once.
type Source struct {
	cfg   Config
	host  Identity
	log   *slog.Logger
	meter *source.Meter

	kinds  []kind
	failed map[string]bool // kinds of reading that failed last time, so that each is logged once

	series map[seriesKey]known
	round  uint64
	batch  signal.Batch
	index  map[signal.SeriesID]int32 // of what is in batch.Dict
	told   bool                      // metadata has reached the sink
}

// kind is one kind of reading.
type kind struct {
	name string
	read func(context.Context, *Source) error
}

// seriesKey finds a series without building its labels: the metric, and the values of its own labels.
type seriesKey struct{ metric, a, b, c string }

// known is a series that was made before.
type known struct {
	signal.Series
	round uint64 // when it was last used
}

// New returns a source that reads this machine. A nil log discards, a nil reg counts for nobody. It fails only where the
// machine has neither a name nor an id.
func New(c Config, log *slog.Logger, reg prometheus.Registerer) (*Source, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if c.Interval == 0 {
		c.Interval = DefaultInterval
	}
	c.Interval = max(c.Interval, 100*time.Millisecond)
	id, err := Identify(c)
	if err != nil {
		return nil, err
	}
	s := &Source{
		cfg:    c,
		host:   id,
		log:    log,
		meter:  source.NewMeter(reg, "host"),
		failed: map[string]bool{},
		series: map[seriesKey]known{},
		index:  map[signal.SeriesID]int32{},
	}
	s.kinds = kinds()
	return s, nil
}

// Host says which machine this is.
func (s *Source) Host() Identity { return s.host }

// Health says how the source is doing.
func (s *Source) Health() signal.Stage { return s.meter.Stage() }

// Run reads at the interval and appends to sink until ctx ends; it returns nil then. What the sink refuses is kept and
// offered again with the next reading.
func (s *Source) Run(ctx context.Context, sink source.Sink) error {
	s.log.InfoContext(ctx, "reading this machine", "entity", s.host.Entity(), "interval", s.cfg.Interval.String())
	tick := time.NewTicker(s.cfg.Interval)
	defer tick.Stop()
	for {
		began := time.Now()
		s.read(ctx)
		s.send(ctx, sink)
		for range int(time.Since(began) / s.cfg.Interval) {
			s.meter.Failed("late") // a reading that was not taken, because the sink or the machine was slow
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// read takes one reading of each kind into the batch.
func (s *Source) read(ctx context.Context) {
	s.round++
	for _, k := range s.kinds {
		err := k.read(ctx, s)
		switch {
		case err == nil:
			delete(s.failed, k.name)
		case ctx.Err() != nil:
			return
		default:
			s.meter.Failed(k.name)
			if !s.failed[k.name] {
				s.failed[k.name] = true
				s.log.WarnContext(ctx, "a reading of this machine failed", "series", k.name, "err", err)
			}
		}
	}
	if s.round%720 == 0 { // an hour at 5 s: series of disks and interfaces that are gone
		for k, v := range s.series {
			if v.round+720 < s.round {
				delete(s.series, k)
			}
		}
	}
}

// send offers the batch to the sink, and keeps it where the sink refuses.
func (s *Source) send(ctx context.Context, sink source.Sink) {
	n := s.batch.Len()
	if n == 0 {
		return
	}
	if !s.told {
		s.batch.Meta = append(s.batch.Meta[:0], metadata...)
	}
	actx, cancel := context.WithTimeout(ctx, source.AppendPatience)
	defer cancel()
	if err := sink.Append(actx, &s.batch); err != nil {
		if ctx.Err() != nil {
			return
		}
		s.meter.Failed("append")
		if !s.failed["append"] {
			s.failed["append"] = true
			s.log.ErrorContext(ctx, "the stream takes nothing; readings are kept", "err", err)
		}
		s.meter.Stuck("the stream takes nothing: " + err.Error())
		// What is kept is offered again; a sample that the stream took all the same is the same sample there.
		if n < maxPendingRows {
			return
		}
		s.meter.SetAside("stream_refused", n)
	} else {
		s.told = true
		if s.failed["append"] {
			delete(s.failed, "append")
			s.log.InfoContext(ctx, "the stream takes readings again")
		}
		s.meter.Took(n)
	}
	s.batch.Reset()
	clear(s.index)
}

// add puts one sample into the batch. The labels' own names belong to the metric: values come in their order.
func (s *Source) add(m *metric, at int64, value float64, own ...string) {
	key := seriesKey{metric: m.Name}
	switch len(own) {
	case 3:
		key.c = own[2]
		fallthrough
	case 2:
		key.b = own[1]
		fallthrough
	case 1:
		key.a = own[0]
	}
	k, ok := s.series[key]
	if !ok {
		labels := map[string]string{signal.MetricName: m.Name, "host_id": s.host.ID, "host_name": s.host.Name}
		for i, v := range own {
			labels[m.labels[i]] = strings.ToValidUTF8(v, "\uFFFD")
		}
		k.Series = signal.MakeSeries(signal.MakeLabels(labels))
	}
	k.round = s.round
	s.series[key] = k
	i, ok := s.index[k.ID]
	if !ok {
		i = s.batch.AddSeries(k.Series)
		s.index[k.ID] = i
	}
	s.batch.Add(i, at, value)
}
