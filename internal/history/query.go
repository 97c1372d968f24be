package history

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"homeostat/internal/signal"
)

// queryTracker bounds how many queries run at once: a slot each.
type queryTracker chan struct{}

func (q queryTracker) GetMaxConcurrent() int { return cap(q) }

func (q queryTracker) Insert(ctx context.Context, _ string) (int, error) {
	select {
	case q <- struct{}{}:
		return 0, nil
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

func (q queryTracker) Delete(int) { <-q }

func (q queryTracker) Close() error { return nil }

// Query evaluates a PromQL expression at one time. Each series of the answer has one sample; a scalar is a series without
// labels. Native histograms and strings are left out.
func (h *History) Query(ctx context.Context, expr string, at time.Time) ([]signal.Samples, error) {
	q, err := h.engine.NewInstantQuery(ctx, h.db, nil, expr, at)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	return plain(q.Exec(ctx))
}

// QueryRange evaluates a PromQL expression at each step from from to to, both inclusive.
func (h *History) QueryRange(ctx context.Context, expr string, from, to time.Time, step time.Duration) ([]signal.Samples, error) {
	if step <= 0 || to.Sub(from)/step > 11_000 {
		return nil, fmt.Errorf("step %s from %s to %s: want one above 0 that gives 11,000 points at most", step, from.UTC(), to.UTC())
	}
	q, err := h.engine.NewRangeQuery(ctx, h.db, nil, expr, from, to, step)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	return plain(q.Exec(ctx))
}

// plain turns a result into our own types, which outlive the query.
func plain(r *promql.Result) ([]signal.Samples, error) {
	if r.Err != nil {
		return nil, r.Err
	}
	switch v := r.Value.(type) {
	case promql.Scalar:
		return []signal.Samples{{Labels: map[string]string{}, Times: []int64{v.T}, Values: []float64{v.V}}}, nil
	case promql.Vector:
		out := make([]signal.Samples, 0, len(v))
		for _, s := range v {
			if s.H == nil {
				out = append(out, signal.Samples{Labels: s.Metric.Map(), Times: []int64{s.T}, Values: []float64{s.F}})
			}
		}
		return out, nil
	case promql.Matrix:
		out := make([]signal.Samples, 0, len(v))
		for _, s := range v {
			line := signal.Samples{
				Labels: s.Metric.Map(), Times: make([]int64, len(s.Floats)), Values: make([]float64, len(s.Floats)),
			}
			for i, p := range s.Floats {
				line.Times[i], line.Values[i] = p.T, p.F
			}
			out = append(out, line)
		}
		return out, nil
	}
	return nil, nil
}

// samplesRows is how many samples are handed over at once.
const samplesRows = 8192

// Samples calls fn with the raw samples of an entity's series of the metrics (all of its metrics where there are none), from
// from to to, both inclusive, in Unix milliseconds: series by series, each in order of time and in pieces of up to samplesRows.
// fn is shown each series first, without samples, and may return [signal.ErrSkipSeries] to be spared them: those of one series
// among hundreds are found without reading all. The columns are valid only within fn. Stale markers come as the NaN that they are; native histograms are left out.
func (h *History) Samples(ctx context.Context, entity signal.EntityID, from, to int64, metrics []string, fn func(ls signal.Labels, times []int64, values []float64) error) error {
	q, err := h.db.Querier(from, to)
	if err != nil {
		return fmt.Errorf("samples of %s: %w", entity, err)
	}
	defer q.Close()
	if len(metrics) == 0 {
		metrics = []string{""}
	}
	r := rawReader{fn: fn, times: make([]int64, 0, samplesRows), values: make([]float64, 0, samplesRows)}
	for _, metric := range metrics {
		for _, ms := range entityMatchers(entity) {
			if metric != "" {
				ms = append(ms, labels.MustNewMatcher(labels.MatchEqual, signal.MetricName, metric))
			}
			set := q.Select(ctx, false, &storage.SelectHints{Start: from, End: to}, ms...)
			for set.Next() {
				if err := ctx.Err(); err != nil {
					return context.Cause(ctx)
				}
				ls := signalLabels(set.At().Labels())
				if ls.Entity() != entity {
					continue
				}
				err := fn(ls, nil, nil)
				if errors.Is(err, signal.ErrSkipSeries) {
					continue
				}
				if err == nil {
					err = r.read(ls, set.At())
				}
				if err != nil {
					return err
				}
			}
			if err := set.Err(); err != nil {
				return fmt.Errorf("samples of %s: %w", entity, err)
			}
		}
	}
	return nil
}

type rawReader struct {
	it     chunkenc.Iterator
	times  []int64
	values []float64
	fn     func(signal.Labels, []int64, []float64) error
}

func (r *rawReader) read(ls signal.Labels, s storage.Series) error {
	r.it = s.Iterator(r.it)
	r.times, r.values = r.times[:0], r.values[:0]
	for vt := r.it.Next(); vt != chunkenc.ValNone; vt = r.it.Next() {
		if vt != chunkenc.ValFloat {
			continue
		}
		t, v := r.it.At()
		r.times, r.values = append(r.times, t), append(r.values, v)
		if len(r.times) == samplesRows {
			if err := r.fn(ls, r.times, r.values); err != nil {
				return err
			}
			r.times, r.values = r.times[:0], r.values[:0]
		}
	}
	if err := r.it.Err(); err != nil {
		return fmt.Errorf("samples of %s: %w", ls, err)
	}
	if len(r.times) == 0 {
		return nil
	}
	return r.fn(ls, r.times, r.values)
}

// entityMatchers returns sets of matchers that together select the series of an entity, each at most once, as
// signal.Labels.Entity has it. They may select some of others, which Entity then tells.
func entityMatchers(id signal.EntityID) [][]*labels.Matcher {
	set := func(pairs ...string) []*labels.Matcher {
		var ms []*labels.Matcher
		for i := 0; i < len(pairs); i += 2 {
			ms = append(ms, labels.MustNewMatcher(labels.MatchEqual, pairs[i], pairs[i+1]))
		}
		return ms
	}
	sets := [][]*labels.Matcher{set(signal.EntityLabel, string(id))}
	switch name := id.Name(); id.Kind() {
	case "host":
		sets = append(sets,
			set(signal.EntityLabel, "", "host_name", name),
			set(signal.EntityLabel, "", "host_name", "", "host_id", name))
	case "service":
		// A namespace may hold slashes itself, so the last label decides and Entity tells the rest.
		for i := range len(name) {
			if name[i] == '/' {
				sets = append(sets, set(signal.EntityLabel, "", "service_namespace", name[:i], "service_name", name[i+1:]))
			}
		}
		sets = append(sets, set(signal.EntityLabel, "", "service_namespace", "", "service_name", name))
	case "instance":
		sets = append(sets, set(signal.EntityLabel, "", "instance", name))
	case "job":
		sets = append(sets, set(signal.EntityLabel, "", "instance", "", "job", name))
	}
	return sets
}

// newest returns the newest sample of a metric between two times.
func (h *History) newest(ctx context.Context, metric string, from, to int64) (t int64, v float64, ok bool, err error) {
	q, err := h.db.Querier(from, to)
	if err != nil {
		return 0, 0, false, err
	}
	defer q.Close()
	t = math.MinInt64
	set := q.Select(ctx, false, nil, labels.MustNewMatcher(labels.MatchEqual, signal.MetricName, metric))
	for set.Next() {
		it := set.At().Iterator(nil)
		for it.Next() == chunkenc.ValFloat {
			if at, value := it.At(); at >= t {
				t, v, ok = at, value, true
			}
		}
		if err := it.Err(); err != nil {
			return 0, 0, false, err
		}
	}
	return t, v, ok, set.Err()
}

// signalLabels returns labels of the TSDB as ours, with strings of their own.
func signalLabels(ls labels.Labels) signal.Labels {
	out := make(signal.Labels, 0, ls.Len())
	ls.Range(func(l labels.Label) {
		out = append(out, signal.Label{Name: l.Name, Value: l.Value})
	})
	return out
}
