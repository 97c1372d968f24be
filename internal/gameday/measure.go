package gameday

import (
	"context"
	"log/slog"
	"time"

	"homeostat/internal/signal"
)

// gauge is what a fault with an entity of its own tells of it: one utilization, and the bytes behind it.
type gauge struct {
	ratio, usage, limit signal.Labels
	used                func() (int64, error) // bytes
	of                  int64                 // bytes, the limit
}

// reading is one measurement.
type reading struct {
	at    time.Time
	ratio float64
}

// maxReadings bounds what is remembered for Crossed: two hours at one a second.
const maxReadings = 7200

// Entity is the fault's own entity, "" for the faults that are the host's own trouble (cpu, neighbour).
func (f *Fault) Entity() signal.EntityID {
	if f.gauge == nil {
		return ""
	}
	return signal.EntityID("gameday:" + f.name)
}

// Run tells sink each second how full the fault's own entity is, until ctx ends; it returns nil then. A fault without an
// entity of its own tells nothing. A source, as the loop sees it.
func (f *Fault) Run(ctx context.Context, sink Sink) error {
	if f.gauge == nil {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	b := signal.Batch{}
	for {
		f.measure(ctx, sink, &b)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// measure takes one reading and hands it to the sink.
func (f *Fault) measure(ctx context.Context, sink Sink, b *signal.Batch) {
	used, err := f.gauge.used()
	if err != nil {
		f.log.WarnContext(ctx, "the fault can't be measured", "source", "gameday", "series", f.name, "err", err)
		return
	}
	now := time.Now()
	ratio := float64(used) / float64(f.gauge.of)
	f.mu.Lock()
	if len(f.readings) < maxReadings {
		f.readings = append(f.readings, reading{now, ratio})
	}
	f.mu.Unlock()
	b.Reset()
	for _, v := range [...]struct {
		labels signal.Labels
		value  float64
	}{{f.gauge.ratio, ratio}, {f.gauge.usage, float64(used)}, {f.gauge.limit, float64(f.gauge.of)}} {
		b.Add(b.AddSeries(signal.MakeSeries(v.labels)), now.UnixMilli(), v.value)
	}
	if err := sink.Append(ctx, b); err != nil && ctx.Err() == nil {
		f.log.WarnContext(ctx, "the stream takes nothing of the fault", "source", "gameday", "series", f.name, "err", err)
	}
}

// Crossed is when Run first saw the fault's own entity at or above a share of its limit. ok is false before that, and for
// faults without an entity of their own.
func (f *Fault) Crossed(share float64) (at time.Time, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.readings {
		if r.ratio >= share {
			return r.at, true
		}
	}
	return time.Time{}, false
}

// ownLabels are the labels of a series of the fault's own entity.
func (f *Fault) ownLabels(metric string, more ...string) signal.Labels {
	m := map[string]string{signal.MetricName: metric, signal.EntityLabel: "gameday:" + f.name}
	for i := 0; i+1 < len(more); i += 2 {
		m[more[i]] = more[i+1]
	}
	return signal.MakeLabels(m)
}

// discard is where a fault without a logger logs.
func discard(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}
