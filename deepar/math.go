package deepar

import "math"

// The functions here give the same bytes on every processor, which package math's need not: some of those are in assembly, and a
// product that is added to something may be fused with it unless it is converted first.

const (
	ln2Hi = 6.93147180369123816490e-01
	ln2Lo = 1.90821492927058770002e-10
)

// exp64 is e^x, to about 1e-15 of it.
func exp64(x float64) float64 {
	switch {
	case x != x:
		return x
	case x > 709:
		return math.Inf(1)
	case x < -708:
		return 0
	}
	k := math.Floor(float64(x*math.Log2E) + 0.5)
	r := x - float64(k*ln2Hi) - float64(k*ln2Lo)
	p := 1.0
	for i := 13; i >= 1; i-- {
		p = 1 + float64(float64(p*r)/float64(i))
	}
	return p * math.Float64frombits(uint64(1023+int64(k))<<52)
}

// log64 is the natural logarithm of x, which is above 0, to about 1e-15.
func log64(x float64) float64 {
	m, e := math.Frexp(x)
	if m < math.Sqrt2/2 {
		m, e = 2*m, e-1
	}
	return float64(float64(e)*ln2Hi) + (atanh2((m-1)/(m+1)) + float64(float64(e)*ln2Lo))
}

// atanh2 is log((1+s)/(1-s)) for small s.
func atanh2(s float64) float64 {
	z := float64(s * s)
	p := 0.0
	for i := 21; i >= 1; i -= 2 {
		p = float64(p*z) + 1/float64(i)
	}
	return float64(2 * s * p)
}

// log1p64 is log(1+x) for x from 0.
func log1p64(x float64) float64 {
	if x < 0.4 {
		return atanh2(x / (2 + x))
	}
	return log64(1 + x)
}

// softplus is log(1+e^x), with its derivative.
func softplus(x float64) (v, derivative float64) {
	e := exp64(-math.Abs(x))
	v = log1p64(e)
	derivative = 1 / (1 + e)
	if x > 0 {
		return v + x, derivative
	}
	return v, 1 - derivative
}

// lgamma is the logarithm of the gamma function of x, above 0, and its derivative, both to about 1e-10, by Stirling's series from 7
// upward.
func lgamma(x float64) (v, derivative float64) {
	product := 1.0
	for x < 7 {
		product *= x
		derivative -= 1 / x
		x++
	}
	i := 1 / x
	z := float64(i * i)
	l := log64(x)
	series := float64(i * (1.0/12 - float64(z*(1.0/360-float64(z*(1.0/1260-float64(z*(1.0/1680-float64(z/1188)))))))))
	v = float64((x-0.5)*l) - x + 0.9189385332046727 + series - log64(product)
	derivative += l - i/2 - float64(z*(1.0/12-float64(z*(1.0/120-float64(z*(1.0/252-float64(z*(1.0/240-float64(z/132)))))))))
	return v, derivative
}
