package detect

import (
	"math"

	"homeostat/internal/signal"
)

// meter gathers the samples of one series over the two intervals that may be open.
type meter struct {
	w     *watched
	id    signal.SeriesID
	input int
	part  int
	prev  float64 // counters: the sample before
	time  int64   // of the sample before
	seen  bool    // there was one
	sums  [2]gathered
}

type gathered struct {
	Sum    float64 // of values, or of increases
	Weight float64 // samples, or milliseconds
}

// add gathers a sample. It returns false for one of a counter that isn't later than the one before.
func (m *meter) add(g *gathered, t int64, v float64, rate bool, step int64) bool {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		m.seen = false // a gap, or the end of the series: an increase isn't told across it
	case !rate:
		g.Sum += v
		g.Weight++
	case m.seen && t <= m.time:
		return false
	default:
		if dt := t - m.time; m.seen && dt <= max(5*step, 300_000) {
			increase := v - m.prev
			if increase < 0 { // the counter began again at 0
				increase = v
			}
			g.Sum += increase
			g.Weight += float64(dt)
		}
		m.prev, m.time, m.seen = v, t, true
	}
	return true
}

// value is the mean, or the rate a second.
func (g gathered) value(rate bool) float64 {
	if rate {
		return g.Sum / g.Weight * 1000 // the weight is in milliseconds
	}
	return g.Sum / g.Weight
}

// collect sets w.x to the features of interval k and empties its sums. It returns false where nothing was gathered.
func (w *watched) collect(k int64) bool {
	any := false
	for i := range w.ins {
		var total, n [2]float64
		for _, m := range w.meters {
			g := &m.sums[k&1]
			if m.input != i || g.Weight == 0 {
				continue
			}
			total[m.part] += g.value(w.ins[i].rate)
			n[m.part]++
			*g = gathered{}
		}
		w.x[i] = combine(w.ins[i].join, total, n)
		any = any || n[0] > 0
	}
	return any
}

// combine makes one number of the sums over series of both parts; NaN where there is nothing.
func combine(j join, total, n [2]float64) float64 {
	switch {
	case n[0] == 0:
		return math.NaN()
	case j == sum:
		return total[0]
	case j == busy:
		idle := total[0] / n[0]
		if n[1] > 0 {
			idle += total[1] / n[1]
		}
		return min(max(1-idle, 0), 1)
	}
	return total[0] / n[0]
}
