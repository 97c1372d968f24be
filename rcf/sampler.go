package rcf

import "math"

// offer draws the key that the next point has in tree t, and says whether the point enters the sample. grown is exp(age):
// keys shrink as time goes on, so that what is new stays longer.
func (f *Forest) offer(t int, grown float64) (float32, bool) {
	tr := &f.trees[t]
	u := 1 - tr.rng.float() // in (0,1]
	if int(tr.size) < f.samples {
		return float32(-math.Log(u) / grown), true
	}
	// Enter when -ln(u) < x. As -ln(u) >= 1-u, most points are turned away without a logarithm.
	x := float64(f.entries[t*f.samples].key) * grown
	if 1-u >= x {
		return 0, false
	}
	e := -math.Log(u)
	return float32(e / grown), e < x
}

// keep puts e into tree t's sample and returns the point that leaves for it, or -1. visit has counted e in size already.
func (f *Forest) keep(t int, e entry) int32 {
	h := f.entries[t*f.samples : (t+1)*f.samples]
	tr := &f.trees[t]
	if int(tr.size) <= f.samples {
		i := int(tr.size) - 1
		h[i] = e
		for i > 0 && h[(i-1)/2].key < h[i].key {
			h[i], h[(i-1)/2] = h[(i-1)/2], h[i]
			i = (i - 1) / 2
		}
		return -1
	}
	out := h[0].point
	h[0] = e
	for i := 0; ; {
		c := 2*i + 1
		if c >= len(h) {
			break
		}
		if c+1 < len(h) && h[c+1].key > h[c].key {
			c++
		}
		if h[c].key <= h[i].key {
			break
		}
		h[i], h[c] = h[c], h[i]
		i = c
	}
	return out
}
