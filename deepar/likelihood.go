package deepar

import (
	"fmt"
	"math"
)

// Likelihood is the family of distributions that a model's outputs are the parameters of.
type Likelihood string

// The likelihoods of SageMaker.
const (
	StudentT         Likelihood = "student-T"         // real values, with bursts
	Gaussian         Likelihood = "gaussian"          // real values
	Beta             Likelihood = "beta"              // shares, from 0 to 1
	NegativeBinomial Likelihood = "negative-binomial" // counts
	DeterministicL1  Likelihood = "deterministic-L1"  // a point, no distribution
)

// params is how many outputs a likelihood has.
func (l Likelihood) params() int {
	switch l {
	case StudentT:
		return 3
	case DeterministicL1:
		return 1
	}
	return 2
}

func (l Likelihood) valid() bool {
	switch l {
	case StudentT, Gaussian, Beta, NegativeBinomial, DeterministicL1:
		return true
	}
	return false
}

// checkValue says why a value can't have been drawn from l.
func (l Likelihood) checkValue(v float64) error {
	switch {
	case l == NegativeBinomial && (v < 0 || v != math.Trunc(v)):
		return fmt.Errorf("%g isn't a count, which the likelihood %s is about", v, l)
	case l == Beta && (v < 0 || v > 1):
		return fmt.Errorf("%g isn't from 0 to 1, as the likelihood %s needs", v, l)
	}
	return nil
}

// scaled says whether a series is divided by its scale. Shares are not.
func (l Likelihood) scaled() bool { return l != Beta }

const (
	leastSpread = 1e-4 // of a scaled value: a constant doesn't drive the likelihood to infinity
	leastShare  = 1e-4 // a beta's values keep so far from 0 and 1
)

// loss returns the negative log-likelihood of a scaled value y given the raw outputs, in the series' own unit, and fills grad with
// its gradient. scale is that of the series.
func (l Likelihood) loss(raw []float32, y, scale float64, grad *[3]float64) float64 {
	a := float64(raw[0])
	switch l {
	case StudentT:
		s, ds := softplus(float64(raw[1]))
		s += leastSpread
		nu, dnu := softplus(float64(raw[2]))
		nu += 2
		z := (y - a) / s
		zz := float64(z * z)
		half, dHalf := lgamma(nu / 2)
		more, dMore := lgamma((nu + 1) / 2)
		l1 := log1p64(zz / nu)
		w := (nu + 1) / (nu + zz)
		grad[0] = -w * z / s
		grad[1] = ds * (1 - float64(w*zz)) / s
		grad[2] = dnu * 0.5 * (dHalf - dMore + 1/nu + l1 - float64(w*zz)/nu)
		return half - more + 0.5*log64(math.Pi*nu) + float64((nu+1)/2*l1) + log64(s*scale)
	case Gaussian:
		s, ds := softplus(float64(raw[1]))
		s += leastSpread
		z := (y - a) / s
		grad[0] = -z / s
		grad[1] = ds * (1 - float64(z*z)) / s
		return 0.9189385332046727 + float64(0.5*z*z) + log64(s*scale)
	case Beta:
		p, dp := softplus(a)
		q, dq := softplus(float64(raw[1]))
		p, q = p+leastShare, q+leastShare
		y = min(max(y, leastShare), 1-leastShare)
		lp, gp := lgamma(p)
		lq, gq := lgamma(q)
		lpq, gpq := lgamma(p + q)
		ly, l1y := log64(y), log64(1-y)
		grad[0] = dp * (gp - gpq - ly)
		grad[1] = dq * (gq - gpq - l1y)
		return lp + lq - lpq - float64((p-1)*ly) - float64((q-1)*l1y)
	case NegativeBinomial:
		mu, al, dmu, dal := negativeBinomial(raw, scale)
		k := float64(y * scale)
		r := 1 / al
		lr, gr := lgamma(r)
		lkr, gkr := lgamma(k + r)
		lk, _ := lgamma(k + 1)
		am := float64(al * mu)
		l1 := log1p64(am)
		dLdmu := float64((k+r)*al)/(1+am) - k/mu
		dLdr := gr - gkr + l1 - 1 + float64((k+r)*al)/(1+am)
		// r = 1/al; of the terms above, (k+r) log(1+al mu) - k log(al mu) = r log(1+al mu) + k log((1+am)/am)
		grad[0] = dLdmu * dmu
		grad[1] = -dLdr * dal * float64(r*r)
		return lr + lk - lkr + float64((k+r)*l1) - float64(k*log64(am))
	case DeterministicL1:
		grad[0] = 1
		if y < a {
			grad[0] = 1
		} else if y > a {
			grad[0] = -1
		} else {
			grad[0] = 0
		}
		return math.Abs(y-a) * scale
	}
	panic("deepar: likelihood " + string(l))
}

// negativeBinomial returns the mean and shape of a count in its own unit, and their derivatives by the raw outputs.
func negativeBinomial(raw []float32, scale float64) (mu, alpha, dmu, dalpha float64) {
	mu, dmu = softplus(float64(raw[0]))
	alpha, dalpha = softplus(float64(raw[1]))
	root := math.Sqrt(scale)
	return (mu + 1e-6) * scale, (alpha + 1e-4) / root, dmu * scale, dalpha / root
}

// sample draws a scaled value.
func (l Likelihood) sample(raw []float32, scale float64, r *rng) float64 {
	a := float64(raw[0])
	switch l {
	case StudentT:
		s, _ := softplus(float64(raw[1]))
		nu, _ := softplus(float64(raw[2]))
		return a + float64((s+leastSpread)*r.studentT(nu+2))
	case Gaussian:
		s, _ := softplus(float64(raw[1]))
		return a + float64((s+leastSpread)*r.normal())
	case Beta:
		p, _ := softplus(a)
		q, _ := softplus(float64(raw[1]))
		x := r.gamma(p + leastShare)
		y := r.gamma(q + leastShare)
		if x+y == 0 {
			return 0.5
		}
		return x / (x + y)
	case NegativeBinomial:
		mu, alpha, _, _ := negativeBinomial(raw, scale)
		return r.poisson(r.gamma(1/alpha)*alpha*mu) / scale
	}
	return a
}
