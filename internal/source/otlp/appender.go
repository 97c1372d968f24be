package otlp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/storage"
	translate "github.com/prometheus/prometheus/storage/remote/otlptranslator/prometheusremotewrite"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"homeostat/internal/signal"
	"homeostat/internal/source"
)

// Why data points are set aside here, besides the reasons of package source.
const (
	delta       = "delta"       // delta temporality, or none
	translation = "translation" // Prometheus' translation refuses the metric
)

// maxTargetInfo bounds the target_info samples of one request. The translation writes one for every 150 s between the
// earliest and the latest data point, so two points of 1970 and now would make eleven million.
const maxTargetInfo = 2000

// appender is the storage.AppenderV2 that the translation writes to: it fills a batch.
type appender struct {
	g         *source.Gather
	known     *source.MetaCache
	latest    int64 // Unix milliseconds; what is later is set aside
	aside     map[string]int
	first     string // the first complaint
	points    int    // data points of the request
	exemplars int
	targets   int // target_info samples so far
	metas     map[string]bool
}

var _ storage.AppenderV2 = (*appender)(nil)

func (a *appender) reset() {
	a.g.Reset()
	clear(a.aside)
	clear(a.metas)
	a.first, a.points, a.exemplars, a.targets = "", 0, 0, 0
}

// setAside notes samples that can't be used.
func (a *appender) setAside(reason string, n int, what string) {
	if n == 0 {
		return
	}
	if a.aside == nil {
		a.aside = map[string]int{}
	}
	a.aside[reason] += n
	if a.first == "" {
		a.first = reason + ": " + what
	}
}

// rejected is how many data points were set aside, at most all: a histogram's point is several samples.
func (a *appender) rejected() int {
	n := 0
	for _, v := range a.aside {
		n += v
	}
	return min(n, max(a.points, 1))
}

// complaint tells the sender what was set aside.
func (a *appender) complaint() string {
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(a.aside)) {
		parts = append(parts, fmt.Sprintf("%d for %s", a.aside[reason], reason))
	}
	return "set aside: " + strings.Join(parts, ", ") + " (first: " + strings.ToValidUTF8(a.first, "\uFFFD") + ")"
}

// translate fills the batch. What can't be used is noted; an error means that ctx has ended.
func (a *appender) translate(ctx context.Context, md pmetric.Metrics, settings translate.Settings) (err error) {
	a.points = md.DataPointCount()
	a.dropDelta(md)
	defer func() {
		// The translation is not ours, and it is handed what anybody sends: a panic there is a bad request.
		if p := recover(); p != nil {
			a.setAside(translation, 1, fmt.Sprint(p))
		}
	}()
	_, terr := translate.NewPrometheusConverter(a).FromMetrics(ctx, md, settings)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for e := range flatten(terr) {
		a.setAside(translation, 1, e.Error())
	}
	return nil
}

// flatten walks the errors that errors.Join put together.
func flatten(err error) func(yield func(error) bool) {
	return func(yield func(error) bool) {
		var walk func(error) bool
		walk = func(err error) bool {
			if err == nil {
				return true
			}
			if many, ok := err.(interface{ Unwrap() []error }); ok {
				for _, e := range many.Unwrap() {
					if !walk(e) {
						return false
					}
				}
				return true
			}
			return yield(err)
		}
		walk(err)
	}
}

// dropDelta takes out metrics that are not cumulative, which the translation would refuse one by one without counting.
func (a *appender) dropDelta(md pmetric.Metrics) {
	rms := md.ResourceMetrics()
	for i := range rms.Len() {
		sms := rms.At(i).ScopeMetrics()
		for j := range sms.Len() {
			sms.At(j).Metrics().RemoveIf(func(m pmetric.Metric) bool {
				points, temporality := 0, pmetric.AggregationTemporalityCumulative
				switch m.Type() {
				case pmetric.MetricTypeSum:
					points, temporality = m.Sum().DataPoints().Len(), m.Sum().AggregationTemporality()
				case pmetric.MetricTypeHistogram:
					points, temporality = m.Histogram().DataPoints().Len(), m.Histogram().AggregationTemporality()
				case pmetric.MetricTypeExponentialHistogram:
					points, temporality = m.ExponentialHistogram().DataPoints().Len(), m.ExponentialHistogram().AggregationTemporality()
				}
				if temporality == pmetric.AggregationTemporalityCumulative {
					return false
				}
				a.setAside(delta, max(points, 1), m.Name())
				return true
			})
		}
	}
}

// errTargets stops a request that would make target_info without end.
var errTargets = errors.New("the data points of one resource lie too far apart")

// Append takes one sample from the translation. What can't be used is noted, and is no error: an error would cost the rest of
// its metric.
func (a *appender) Append(ref storage.SeriesRef, ls labels.Labels, _, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, opts storage.AppendV2Options) (storage.SeriesRef, error) {
	a.exemplars += len(opts.Exemplars)
	if opts.MetricFamilyName == "target_info" {
		if a.targets++; a.targets > maxTargetInfo {
			return 0, errTargets
		}
	}
	if t > a.latest {
		a.setAside(source.Future, 1, ls.Get(signal.MetricName))
		return ref, nil
	}
	a.g.Begin()
	ls.Range(func(l labels.Label) { a.g.Label(l.Name, l.Value) })
	index, reason := a.g.End()
	if reason != "" {
		a.setAside(reason, 1, a.g.Labels())
		return ref, nil
	}
	switch {
	case h != nil:
		a.histogram(index, t, h.Validate(), prompb.FromIntHistogram(t, h))
	case fh != nil:
		a.histogram(index, t, fh.Validate(), prompb.FromFloatHistogram(t, fh))
	default:
		a.g.Batch.Add(index, t, v)
	}
	if opts.MetricFamilyName != "" && !opts.Metadata.IsEmpty() && !a.metas[opts.MetricFamilyName] {
		if a.metas == nil {
			a.metas = map[string]bool{}
		}
		name := strings.Clone(opts.MetricFamilyName)
		a.metas[name] = true
		m := signal.Meta{Name: name, Type: string(opts.Metadata.Type), Unit: opts.Metadata.Unit, Help: opts.Metadata.Help}
		if a.known.News(m) {
			a.g.Batch.Meta = append(a.g.Batch.Meta, m)
		}
	}
	return ref, nil
}

// histogram adds a native histogram.
func (a *appender) histogram(index int32, at int64, invalid error, h prompb.Histogram) {
	data, err := h.Marshal()
	if err = errors.Join(invalid, err); err != nil {
		a.setAside(source.BadHistogram, 1, err.Error())
		return
	}
	a.g.Batch.Histograms = append(a.g.Batch.Histograms, signal.Histogram{Series: index, Time: at, Data: data})
}

// Commit and Rollback have nothing to do: the batch is handed on once the whole request is translated.
func (a *appender) Commit() error { return nil }

// Rollback is never called: see Commit.
func (a *appender) Rollback() error { return nil }
