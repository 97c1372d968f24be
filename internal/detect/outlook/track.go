package outlook

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"time"

	"homeostat/deepar"
	"homeostat/forecast"
	"homeostat/internal/signal"
)

// levels of a forecast: the band of 80 % is the second to the last but one.
var levels = []float64{0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98}

const (
	bottom = 1 // of levels: the band
	middle = 3
	top    = 5
)

// track is one series of one endpoint by the minute. Its exported fields are what a checkpoint keeps.
type track struct {
	Phase   int64
	Values  []float32 // the last keep, oldest first; NaN is missing
	End     int64     // the minute after the last
	From    int64     // the first minute of the forecast
	Fan     [][]float64
	Method  string    // where the forecast comes from
	Strange []float64 // surprise of the last minutes that were judged
	Latest  float64
	Judged  int
	Covered float64 // share of late within the band
	Factor  float64 // on the band's distance from the median
	Open    *signal.Anomaly
	Breach  bool // the forecast that crosses the limit has been told
}

// push appends the value of minute k.
func (t *track) push(k int64, v float64) {
	t.Values = append(t.Values, float32(v))
	if len(t.Values) >= keep+keep/4 { // now and then, as it moves all
		t.Values = append(t.Values[:0], t.Values[len(t.Values)-keep:]...)
	}
	t.End = k + 1
}

func (t *track) observed() int {
	n := 0
	for _, v := range t.Values {
		if v == v {
			n++
		}
	}
	return n
}

// confidence grows over the first day.
func (t *track) confidence() float64 { return min(1, float64(t.observed())/1440) }

// band is the forecast of minute k; NaN where there is none.
func (t *track) band(k int64) (lower, median, upper float64) {
	s := int(k - t.From)
	if t.Fan == nil || s < 0 || s >= horizon {
		return math.NaN(), math.NaN(), math.NaN()
	}
	return t.Fan[bottom][s], t.Fan[middle][s], t.Fan[top][s]
}

const (
	together  = 5    // minutes that are judged together
	mostTold  = 12.0 // surprise of one of them, in nats: no lone one is enough
	late      = 1.0 / 360
	quickness = 0.02
)

// judge compares minute k with its forecast.
func (t *track) judge(k int64, v float64) {
	t.Latest = v
	s := int(k - t.From)
	if math.IsNaN(v) || t.Fan == nil || s < 0 || s >= horizon {
		return
	}
	p := t.above(s, v)
	t.Strange = append(t.Strange, min(-math.Log(2*max(min(p, 1-p), 1e-12)), mostTold))
	if len(t.Strange) > together {
		t.Strange = t.Strange[1:]
	}
	t.Judged++
	inside := 0.0
	if v >= t.Fan[bottom][s] && v <= t.Fan[top][s] {
		inside = 1
	}
	t.Covered += (inside - t.Covered) * late
	if t.Covered < 0.77 || t.Covered > 0.83 {
		t.Factor = min(max(t.Factor*math.Exp(quickness*(0.8-inside)), 0.3), 5)
	}
}

// score is -log10 of the chance that the last minutes together are as strange as they are, were the forecast true: the sum of their
// surprises then has a gamma distribution.
func (t *track) score() float64 {
	sum, term, q := 0.0, 1.0, 0.0
	for _, e := range t.Strange {
		sum += e
	}
	for i := range len(t.Strange) {
		if i > 0 {
			term *= sum / float64(i)
		}
		q += term
	}
	if q == 0 {
		return 0
	}
	return max(0, (sum-math.Log(q))/math.Ln10)
}

// above is the forecast's probability that step s lies above v: between two levels by a straight line, beyond the last by an
// exponential tail as steep as the stretch before it.
func (t *track) above(s int, v float64) float64 {
	q := func(i int) float64 { return t.Fan[i][s] }
	n := len(levels)
	tail := func(beyond, stretch, share, ratio float64) float64 {
		if stretch <= 0 {
			return 0
		}
		return share * math.Exp(-beyond/stretch*math.Log(ratio))
	}
	switch {
	case v >= q(n-1):
		if v == q(0) { // a band without width, and right
			return 0.5
		}
		return tail(v-q(n-1), q(n-1)-q(n-2), 1-levels[n-1], (1-levels[n-2])/(1-levels[n-1]))
	case v < q(0):
		return 1 - tail(q(0)-v, q(1)-q(0), levels[0], levels[1]/levels[0])
	}
	i := 0
	for v >= q(i+1) {
		i++
	}
	return 1 - (levels[i] + (levels[i+1]-levels[i])*(v-q(i))/(q(i+1)-q(i)))
}

var errLearned = errors.New("the model has learned from these minutes")

// forecast makes the fan of feature i after minute k, and tells a breach that it foresees.
func (d *Detector) forecast(e *endpoint, i int, k int64) {
	tr, feature := e.tracks[i], d.c.Features[i]
	y := make([]float64, min(len(tr.Values), keep))
	for j, v := range tr.Values[len(tr.Values)-len(y):] {
		y[j] = float64(v)
	}
	local := func(name string, m forecast.Model) forecast.Candidate {
		return forecast.Candidate{Name: name, Forecast: func(_, n int) (*forecast.Forecast, error) { return m.Forecast(y[:n], horizon, levels) }}
	}
	cands := []forecast.Candidate{local("theta", forecast.Theta{Season: 60}), local("the last value", forecast.SeasonalNaive{})}
	if feature == Disk { // what fills goes on filling: it follows a slope
		cands = append(cands, forecast.Candidate{Name: "ETS", Forecast: func(_, n int) (*forecast.Forecast, error) {
			return forecast.ETS{}.Forecast(y[max(0, n-4*horizon):n], horizon, levels)
		}})
	}
	if len(y) > 1440+2*horizon {
		cands = append(cands, local("the day before", forecast.SeasonalNaive{Season: 1440}))
	}
	if m := d.models[feature]; m != nil {
		cands = append(cands, d.deep(m, y, k))
	}
	got, err := forecast.Choose(context.Background(), cands, [][]float64{y}, horizon, levels, forecast.ChooseConfig{Windows: 2, Workers: 1})
	if err != nil {
		return // too short: the next one may do
	}
	tr.Fan, tr.From, tr.Method = got[0].Forecast.Quantiles, k+1, got[0].Reason
	floor := 0.0 // what is counted can't fall below it
	for s := range horizon {
		median := tr.Fan[middle][s]
		for l := range levels {
			tr.Fan[l][s] = max(floor, median+tr.Factor*(tr.Fan[l][s]-median))
		}
	}
	if limit, ok := d.c.Limits[feature]; ok {
		d.foresee(e, i, k, limit)
	}
}

// deep is the candidate of the kind's model. It is only asked for minutes that it can't have learned from.
func (d *Detector) deep(m *deepar.Model, y []float64, k int64) forecast.Candidate {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, k)
	return forecast.Candidate{Name: "deepar", Forecast: func(_, n int) (*forecast.Forecast, error) {
		first := k + 1 - int64(len(y))
		if first+int64(n) < d.until {
			return nil, errLearned
		}
		paths, err := m.Sample(context.Background(), &deepar.Series{Start: time.UnixMilli(first * minute).UTC(), Target: y[:n]}, 100, h.Sum64())
		if err != nil {
			return nil, err
		}
		f := &forecast.Forecast{Levels: levels, Mean: paths.Mean()}
		for _, q := range levels {
			f.Quantiles = append(f.Quantiles, paths.Quantile(q))
		}
		return f, nil
	}}
}

const (
	sure   = 0.8 // probability at which a breach is told
	unsure = 0.5 // and below which it may be told anew
)

// foresee tells when the forecast of feature i crosses its limit within the hour. The probability is that of the worst minute by
// itself, so that of the hour is higher.
func (d *Detector) foresee(e *endpoint, i int, k int64, limit float64) {
	tr, feature := e.tracks[i], d.c.Features[i]
	now := float64(tr.Values[len(tr.Values)-1])
	most, when, earliest, latest := 0.0, -1, -1, -1
	for s := range horizon {
		p := tr.above(s, limit)
		most = max(most, p)
		if p >= 0.1 && earliest < 0 {
			earliest = s
		}
		if p >= 0.5 && when < 0 {
			when = s
		}
		if p >= 0.9 && latest < 0 {
			latest = s
		}
	}
	switch {
	case most < unsure:
		tr.Breach = false
		return
	case most < sure || tr.Breach || !(now < limit): // a limit that is crossed already is no forecast's business
		return
	}
	tr.Breach = true
	at := func(s int) time.Time {
		if s < 0 {
			return time.Time{}
		}
		return time.UnixMilli((tr.From + int64(s)) * minute).UTC()
	}
	name := seriesName(feature, e.name)
	made := time.UnixMilli((k + 1) * minute).UTC()
	b := signal.Breach{
		Head: signal.Head{
			ID: signal.MakeID(signal.KindBreach, d.c.Name, string(e.entity), name, made.Format(time.RFC3339Nano)), Entity: e.entity,
			Cause: []string{}, Severity: signal.Warning,
		},
		Detector: d.c.Name, Series: name, Limit: limit, Value: now, Probability: most, Made: made,
		At: at(when), Earliest: at(earliest), Latest: at(latest), Expected: tr.Fan[middle], Lower: tr.Fan[bottom], Upper: tr.Fan[top], Method: tr.Method,
		Reason: fmt.Sprintf("%s is going to cross %g in %d minutes, at %s (now %.3g; probability %.0f %%)", name, limit, when+1, at(when).Format("15:04"), now, 100*most),
	}
	if e.batch != "" {
		b.Cause = append(b.Cause, e.batch)
	}
	d.breaches = append(d.breaches, b)
}
