package deepar

import "math"

// rng is a small generator (splitmix64): a number is its whole state, so that every window and every path can have its own.
type rng uint64

// stream returns the generator of a purpose, given as numbers: two purposes never share one.
func stream(seed uint64, purpose ...uint64) rng {
	r := rng(seed)
	for _, p := range purpose {
		r = rng(r.next() ^ p*0x9e3779b97f4a7c15)
	}
	r.next()
	return r
}

func (r *rng) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// uniform is in (0,1).
func (r *rng) uniform() float64 { return (float64(r.next()>>11) + 0.5) / (1 << 53) }

func (r *rng) intn(n int) int { return int(r.uniform() * float64(n)) }

// disc returns a point in the unit disc, as u and the square of its distance from the middle.
func (r *rng) disc() (u, w float64) {
	for {
		u = 2*r.uniform() - 1
		v := 2*r.uniform() - 1
		w = float64(u*u) + float64(v*v)
		if w < 1 && w > 0 {
			return u, w
		}
	}
}

// normal is standard normal, by Marsaglia's polar method.
func (r *rng) normal() float64 {
	u, w := r.disc()
	return u * math.Sqrt(-2*log64(w)/w)
}

// studentT has nu degrees of freedom, by Bailey's polar method (Mathematics of Computation 62, 1994).
func (r *rng) studentT(nu float64) float64 {
	u, w := r.disc()
	return u * math.Sqrt(nu*(exp64(-2/nu*log64(w))-1)/w)
}

// gamma has shape k and scale 1, by Marsaglia and Tsang's method.
func (r *rng) gamma(k float64) float64 {
	if k < 1 {
		return r.gamma(k+1) * exp64(log64(r.uniform())/k)
	}
	d := k - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := r.normal()
		v := 1 + float64(c*x)
		if v <= 0 {
			continue
		}
		v = float64(v * v * v)
		if log64(r.uniform()) < float64(0.5*x*x)+d-float64(d*v)+float64(d*log64(v)) {
			return d * v
		}
	}
}

// poisson has mean m: by counting down to 30, by a rounded normal above, where the two can hardly be told apart.
func (r *rng) poisson(m float64) float64 {
	if m > 30 {
		return max(0, math.Floor(m+float64(math.Sqrt(m)*r.normal())+0.5))
	}
	limit, p, k := exp64(-m), r.uniform(), 0.0
	for p > limit {
		p *= r.uniform()
		k++
	}
	return k
}
