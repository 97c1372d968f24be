package detect

import (
	"context"
	"errors"
	"slices"
	"time"

	"homeostat/internal/signal"
)

// replaySpan is how much of the history is held in memory at once.
const replaySpan = time.Hour

// Replay plays what is stored of the entities, from from to to, through fresh detectors of the configuration, and returns the
// events that would have come of it, in order of time. Nothing is published, and no live model is touched. The detectors
// learn as they go, as they would on a host that is new. Detectors of accesses are left out: only samples are stored.
func Replay(ctx context.Context, cs []Config, entities []signal.EntityID, from, to time.Time, h History) ([]signal.Event, error) {
	if len(cs) == 0 {
		cs = Defaults()
	}
	var detectors []*Forests
	var metrics []string
	all := false
	for _, c := range cs {
		if c.Kind == kindAccess || c.Kind == kindOutlook {
			continue // accesses are not in the history; what looks ahead tells of what was not there yet
		}
		d, err := New(c)
		if err != nil {
			return nil, err
		}
		detectors = append(detectors, d)
		for _, in := range d.inputs {
			all = all || in.metric == ""
			if !slices.Contains(metrics, in.metric) {
				metrics = append(metrics, in.metric)
			}
		}
	}
	if all {
		metrics = nil
	}
	var out []signal.Event
	for begin := from.UnixMilli(); begin < to.UnixMilli(); begin += replaySpan.Milliseconds() {
		end := min(begin+replaySpan.Milliseconds(), to.UnixMilli())
		b := &signal.Batch{}
		for _, e := range entities {
			err := h.Samples(ctx, e, begin, end-1, metrics, func(ls signal.Labels, times []int64, values []float64) error {
				s := signal.MakeSeries(slices.Clone(ls))
				if n := len(b.Dict); n == 0 || b.Dict[n-1].ID != s.ID { // a long series comes in several pieces
					b.Dict = append(b.Dict, s)
				}
				at := int32(len(b.Dict) - 1)
				for i := range times {
					b.Add(at, times[i], values[i])
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
		for _, d := range detectors {
			for _, a := range d.Process(nil, b) {
				kind, at := signal.AnomalyDetected, a.Began.Add(d.c.Interval)
				if !a.Ended.IsZero() {
					kind, at = signal.AnomalyEnded, a.Ended
				}
				ev, err := signal.NewEvent("detect", kind, a.ID, at, a)
				if err != nil {
					return nil, err
				}
				out = append(out, ev)
			}
			d.bands.Reset()
		}
		if ctx.Err() != nil {
			return nil, errors.Join(context.Cause(ctx))
		}
	}
	slices.SortStableFunc(out, func(a, b signal.Event) int { return a.Time.Compare(b.Time) })
	return out, nil
}
