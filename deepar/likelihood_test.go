package deepar

import (
	"math"
	"testing"
)

func TestPortableMath(t *testing.T) {
	for x := 1e-3; x < 60; x *= 1.07 {
		for _, tt := range []struct {
			name      string
			got, want float64
		}{
			{"exp", exp64(x), math.Exp(x)},
			{"exp of -x", exp64(-x), math.Exp(-x)},
			{"log", log64(x), math.Log(x)},
			{"log1p", log1p64(x / 1e5), math.Log1p(x / 1e5)},
		} {
			if math.Abs(tt.got-tt.want) > 2e-15*math.Abs(tt.want)+1e-16 {
				t.Errorf("%s at %v: %v, want %v", tt.name, x, tt.got, tt.want)
			}
		}
		v, d := lgamma(x)
		want, _ := math.Lgamma(x)
		up, _ := math.Lgamma(x * (1 + 1e-5))
		down, _ := math.Lgamma(x * (1 - 1e-5))
		if math.Abs(v-want) > 1e-9*(1+math.Abs(want)) || math.Abs(d-(up-down)/(2e-5*x)) > 1e-4*(1+math.Abs(d)) {
			t.Errorf("lgamma %v: %v and %v, want %v and %v", x, v, d, want, (up-down)/(2e-5*x))
		}
	}
}

// The gradient of each likelihood is the slope of its loss, and its samples have the mean that makes the loss least.
func TestLikelihoodGradients(t *testing.T) {
	for _, l := range []Likelihood{StudentT, Gaussian, Beta, NegativeBinomial, DeterministicL1} {
		for _, raw := range [][]float32{{0.3, -0.5, 0.2}, {1.5, 0.7, -2}, {-1, -2, 3}} {
			for _, y := range []float64{0.25, 0.75} {
				const scale = 4
				var grad, scratch [3]float64
				l.loss(raw, y, scale, &grad)
				for i := range l.params() {
					const eps = 1e-3
					up, down := append([]float32(nil), raw...), append([]float32(nil), raw...)
					up[i] += eps
					down[i] -= eps
					slope := (l.loss(up, y, scale, &scratch) - l.loss(down, y, scale, &scratch)) / float64(up[i]-down[i])
					if l == DeterministicL1 {
						slope /= scale // its gradient is that of the scaled value
					}
					if math.Abs(slope-grad[i]) > 2e-3*(1+math.Abs(slope)) {
						t.Errorf("%s %v at %v: gradient %d is %v, slope %v", l, raw, y, i, grad[i], slope)
					}
				}
			}
		}
	}
}

func TestSamplesHaveTheirMoments(t *testing.T) {
	r := stream(7)
	moments := func(f func() float64) (mean, variance float64) {
		const n = 60000
		for range n {
			v := f()
			mean += v / n
			variance += v * v / n
		}
		return mean, variance - mean*mean
	}
	for _, tt := range []struct {
		name           string
		f              func() float64
		mean, variance float64
	}{
		{"normal", r.normal, 0, 1},
		{"student's t of 9", func() float64 { return r.studentT(9) }, 0, 9.0 / 7},
		{"gamma of 3", func() float64 { return r.gamma(3) }, 3, 3},
		{"gamma of 0.4", func() float64 { return r.gamma(0.4) }, 0.4, 0.4},
		{"poisson of 5", func() float64 { return r.poisson(5) }, 5, 5},
		{"poisson of 80", func() float64 { return r.poisson(80) }, 80, 80},
	} {
		m, v := moments(tt.f)
		if math.Abs(m-tt.mean) > 0.03*math.Sqrt(tt.variance)+0.002*tt.mean || math.Abs(v-tt.variance) > 0.06*tt.variance {
			t.Errorf("%s: mean %.3f variance %.3f, want %v and %v", tt.name, m, v, tt.mean, tt.variance)
		}
	}
	raw := []float32{0.5, 0.2, 0}
	mu, alpha, _, _ := negativeBinomial(raw, 4)
	m, v := moments(func() float64 { return 4 * NegativeBinomial.sample(raw, 4, &r) })
	if math.Abs(m-mu) > 0.05*mu || math.Abs(v-(mu+alpha*mu*mu)) > 0.1*v {
		t.Errorf("counts: mean %.3f variance %.3f, want %.3f and %.3f", m, v, mu, mu+alpha*mu*mu)
	}
	p, _ := softplus(0.5)
	q, _ := softplus(float64(raw[1]))
	if m, _ := moments(func() float64 { return Beta.sample(raw, 1, &r) }); math.Abs(m-p/(p+q)) > 0.01 {
		t.Errorf("shares: mean %.3f, want %.3f", m, p/(p+q))
	}
}
