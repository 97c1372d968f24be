package outlook

import (
	"maps"
	"math"
	"slices"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser/posrange"
)

// slowShare is whose time is the slow feature: 95 of 100 requests take no longer.
const slowShare = 0.95

// slow is what 95 % of the open minute's requests took at most, in seconds, as histogram_quantile of PromQL has it; NaN where
// there is no histogram.
func (g *gathered) slow() float64 {
	switch {
	case g.p95 > 0:
		return g.p95
	case g.hist != nil && g.hist.Count > 0:
		v, _ := promql.HistogramQuantile(slowShare, g.hist, "", posrange.PositionRange{})
		return number(v * g.histFactor)
	case len(g.buckets) > 1:
		return number(bucketQuantile(slowShare, g.buckets))
	}
	return math.NaN()
}

// number is v where it is one.
func number(v float64) float64 {
	if math.IsInf(v, 0) {
		return math.NaN()
	}
	return v
}

// bucketQuantile is the value with q of the requests below it: within a bucket by a straight line, in the last the end of the
// one before it.
func bucketQuantile(q float64, buckets map[float64]float64) float64 {
	bounds := slices.Sorted(maps.Keys(buckets))
	total := buckets[bounds[len(bounds)-1]]
	if !(total > 0) || !math.IsInf(bounds[len(bounds)-1], 1) {
		return math.NaN()
	}
	rank := q * total
	from, below := 0.0, 0.0
	for _, b := range bounds {
		upto := max(buckets[b], below)
		if upto >= rank {
			if math.IsInf(b, 1) || upto == below {
				return from
			}
			return from + (b-from)*(rank-below)/(upto-below)
		}
		from, below = b, upto
	}
	return from
}
