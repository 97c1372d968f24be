package forecast

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// ETS is exponential smoothing in state space form: error, trend and season each additive, multiplicative or absent, the form chosen
// by AICc. Its spread is that of paths simulated with residuals that it really had.
//
// A season above 24 steps would cost a state a step: it is taken out by classical decomposition first, where a test finds it.
type ETS struct {
	Season int // steps; below 2 there is none
}

const (
	maxStates = 24   // of a season in the model
	maxFit    = 2048 // values that are fitted: the newest ones
	paths     = 500
)

// etsForm is which parts a model has.
type etsForm struct {
	relative bool // errors are relative to the expected value
	trend    bool
	damped   bool
	season   byte // 'N', 'A', 'M'
}

// String is the usual short form: AAdM.
func (f etsForm) String() string {
	s := "A"
	if f.relative {
		s = "M"
	}
	switch {
	case f.damped:
		s += "Ad"
	case f.trend:
		s += "A"
	default:
		s += "N"
	}
	return s + string(f.season)
}

// etsParams are the smoothing parameters.
type etsParams struct{ alpha, beta, gamma, phi float64 }

// etsModel is one form, fitted.
type etsModel struct {
	form   etsForm
	p      etsParams
	level  float64
	slope  float64
	season []float64 // (m,) of phase t % m
	sse    float64
	logs   float64 // sum of log |expected|, of relative errors
}

// Forecast implements [Model]. It needs 4 values.
func (m ETS) Forecast(y []float64, h int, levels []float64) (*Forecast, error) {
	if err := checkRequest(y, h, levels); err != nil {
		return nil, fmt.Errorf("ETS: %w", err)
	}
	full := fill(y, m.Season)
	if len(full) < 4 {
		return nil, fmt.Errorf("ETS: %w: %d, want 4", ErrTooShort, len(full))
	}
	full = slices.Clone(full[max(0, len(full)-maxFit):])
	observed := y[len(y)-len(full):]
	unit := unitOf(full)
	for i := range full {
		full[i] /= unit
	}
	season := m.Season
	if season < 2 || len(full) < 3*season {
		season = 1
	}
	var outside decomposition
	x := full
	if season > maxStates {
		if seasonal(full, season) {
			outside = decompose(full, season)
			x = outside.without(full)
		}
		season = 1
	}
	best, residuals := chooseETS(x, observed, season)
	f := newForecast(h, levels)
	best.simulate(f, residuals, len(x))
	for t := range h {
		f.Mean[t] = unit * outside.add(len(full)+t, f.Mean[t])
		for q := range levels {
			f.Quantiles[q][t] = unit * outside.add(len(full)+t, f.Quantiles[q][t])
		}
	}
	return f, nil
}

// unitOf is a power of two by which y is divided, exactly, to be about 1: so the search for parameters goes the same way whatever the
// unit, where a likelihood that is another by a rounding may turn it.
func unitOf(y []float64) float64 {
	sum := 0.0
	for _, v := range y {
		sum += math.Abs(v)
	}
	if sum == 0 || math.IsInf(sum, 0) {
		return 1
	}
	return math.Exp2(math.Floor(math.Log2(sum / float64(len(y)))))
}

// chooseETS fits every form that x allows and returns the one with the least AICc, run to the end of x, and its residuals where
// observed isn't missing.
func chooseETS(x, observed []float64, season int) (etsModel, []float64) {
	positive := slices.Min(x) > 0
	var best etsModel
	bestAICc := math.Inf(1)
	for _, s := range []byte{'N', 'A', 'M'} {
		if s != 'N' && season < 2 || s == 'M' && !positive {
			continue
		}
		for _, relative := range []bool{false, true} {
			if relative && !positive || !relative && s == 'M' {
				continue // additive errors on a multiplicative season aren't stable
			}
			for _, trend := range []int{0, 1, 2} {
				form := etsForm{relative: relative, trend: trend > 0, damped: trend == 2, season: s}
				m, aicc := fitETS(x, form, season)
				if aicc < bestAICc {
					best, bestAICc = m, aicc
				}
			}
		}
	}
	if math.IsInf(bestAICc, 1) { // nothing to choose between: a few values, or a constant
		best, _ = fitETS(x, etsForm{season: 'N'}, 1)
	}
	var residuals []float64
	best.run(x, func(t int, expected float64) {
		if math.IsNaN(observed[t]) {
			return
		}
		e := x[t] - expected
		if best.form.relative {
			e /= expected
		}
		residuals = append(residuals, e)
	})
	return best, residuals
}

// fitETS finds the smoothing parameters of a form by maximum likelihood, the initial states being heuristic. The model returned
// stands before the first value.
func fitETS(x []float64, form etsForm, season int) (etsModel, float64) {
	start := etsModel{form: form, season: make([]float64, season)}
	base := x
	if form.season == 'M' {
		start.season[0] = 1
	}
	if form.season != 'N' {
		d := decompose(x, season)
		if d.multiplicative != (form.season == 'M') {
			d = decomposeAs(x, season, form.season == 'M')
		}
		copy(start.season, d.index)
		base = d.without(x)
	}
	w := min(len(base), max(10, 2*season))
	tm, xm := float64(w-1)/2, mean(base[:w])
	var sxy, sxx float64
	for t, v := range base[:w] {
		sxy += (float64(t) - tm) * (v - xm)
		sxx += (float64(t) - tm) * (float64(t) - tm)
	}
	start.level = xm
	if form.trend {
		start.slope = sxy / sxx
		start.level = xm - start.slope*(tm+1)
	}
	params, states := 1, 1
	at := []float64{0} // logit of alpha
	if form.trend {
		at, states, params = append(at, -2), states+1, params+1
	}
	if form.season != 'N' {
		at, states, params = append(at, -2), states+season-1, params+1
	}
	if form.damped {
		at, params = append(at, 1), params+1
	}
	n := float64(len(x))
	deviance := func(v []float64) float64 {
		m := start
		m.season = slices.Clone(start.season)
		m.p = form.params(v)
		m.run(x, nil)
		d := n*math.Log(m.sse/n) + 2*m.logs
		if math.IsNaN(d) {
			return math.Inf(1)
		}
		return d
	}
	v, d := simplex(at, deviance)
	start.p = form.params(v)
	k := float64(params + states + 1)
	if n-k-1 <= 0 {
		return start, math.Inf(1)
	}
	aicc := d + 2*k + 2*k*(k+1)/(n-k-1)
	if math.IsInf(aicc, -1) || math.IsNaN(aicc) { // a perfect fit, of a constant: the simplest form will do
		aicc = math.Inf(1)
	}
	return start, aicc
}

// params turns what the search moves, one number a parameter on the whole line, into parameters within their bounds.
func (f etsForm) params(v []float64) etsParams {
	logistic := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	p := etsParams{alpha: 0.0001 + 0.9998*logistic(v[0]), phi: 1}
	i := 1
	if f.trend {
		p.beta = p.alpha * logistic(v[i])
		i++
	}
	if f.season != 'N' {
		p.gamma = (1 - p.alpha) * logistic(v[i])
		i++
	}
	if f.damped {
		p.phi = 0.8 + 0.18*logistic(v[i])
	}
	return p
}

// run carries the states over x, and tells each value's expectation to see.
func (m *etsModel) run(x []float64, see func(t int, expected float64)) {
	season := len(m.season)
	for t, v := range x {
		expected := m.expect(t % season)
		if see != nil {
			see(t, expected)
		}
		e := v - expected
		if m.form.relative {
			r := e / expected
			m.sse += r * r
			m.logs += math.Log(math.Abs(expected))
		} else {
			m.sse += e * e
		}
		m.update(t%season, e)
	}
}

func (m *etsModel) expect(phase int) float64 {
	base := m.level + m.p.phi*m.slope
	switch m.form.season {
	case 'A':
		return base + m.season[phase]
	case 'M':
		return base * m.season[phase]
	}
	return base
}

// update takes the error of a value, in its own unit, into the states.
func (m *etsModel) update(phase int, e float64) {
	base := m.level + m.p.phi*m.slope
	d := e
	switch m.form.season {
	case 'A':
		m.season[phase] += m.p.gamma * e
	case 'M':
		d = e / m.season[phase]
		m.season[phase] += m.p.gamma * e / base
	}
	m.level = base + m.p.alpha*d
	m.slope = m.p.phi*m.slope + m.p.beta*d
}

// simulate fills f from paths that begin after n values, each step's error drawn from the residuals around their mean.
func (m *etsModel) simulate(f *Forecast, residuals []float64, n int) {
	h := len(f.Mean)
	centre := 0.0
	if len(residuals) > 0 {
		centre = mean(residuals)
	}
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	ends := make([][]float64, h)
	for t := range ends {
		ends[t] = make([]float64, paths)
	}
	season := len(m.season)
	limit := 1e3 * (math.Abs(m.level) + math.Sqrt(m.sse/float64(n))*math.Sqrt(float64(h)) + 1e-300)
	for p := range paths {
		s := *m
		s.season = slices.Clone(m.season)
		for t := range h {
			expected := s.expect((n + t) % season)
			e := 0.0
			if len(residuals) > 0 {
				e = residuals[rng.IntN(len(residuals))] - centre
			}
			if m.form.relative {
				e *= expected
			}
			v := expected + e
			if m.form.relative && v <= 0 || math.Abs(v) > limit || math.IsNaN(v) {
				v, e = expected, 0 // such a path has left what the model is about
			}
			ends[t][p] = v
			s.update((n+t)%season, e)
		}
	}
	for t, vs := range ends {
		f.Mean[t] = mean(vs)
		slices.Sort(vs)
		for q, p := range f.Levels {
			f.Quantiles[q][t] = quantile(vs, p)
		}
	}
}

// simplex minimises f from x by Nelder and Mead's method.
func simplex(x []float64, f func([]float64) float64) ([]float64, float64) {
	type vertex struct {
		x []float64
		f float64
	}
	n := len(x)
	vs := make([]vertex, n+1)
	for i := range vs {
		v := slices.Clone(x)
		if i > 0 {
			v[i-1]++
		}
		vs[i] = vertex{v, f(v)}
	}
	order := func() {
		slices.SortStableFunc(vs, func(a, b vertex) int {
			switch {
			case a.f < b.f:
				return -1
			case a.f > b.f:
				return 1
			}
			return 0
		})
	}
	centre := make([]float64, n)
	toward := func(by float64) vertex {
		v := make([]float64, n)
		for i := range v {
			v[i] = min(max(centre[i]+by*(vs[n].x[i]-centre[i]), -8), 8)
		}
		return vertex{v, f(v)}
	}
	order()
	for range 40 * n {
		if vs[n].f-vs[0].f < 1e-4 {
			break
		}
		clear(centre)
		for _, v := range vs[:n] {
			for i := range centre {
				centre[i] += v.x[i] / float64(n)
			}
		}
		switch r := toward(-1); {
		case r.f < vs[0].f:
			if e := toward(-2); e.f < r.f {
				r = e
			}
			vs[n] = r
		case r.f < vs[n-1].f:
			vs[n] = r
		default:
			if c := toward(0.5); c.f < vs[n].f {
				vs[n] = c
				break
			}
			for i := 1; i <= n; i++ {
				for j := range vs[i].x {
					vs[i].x[j] = (vs[i].x[j] + vs[0].x[j]) / 2
				}
				vs[i].f = f(vs[i].x)
			}
		}
		order()
	}
	return vs[0].x, vs[0].f
}
