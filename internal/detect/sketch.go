package detect

import "math"

// sketch is a histogram that forgets: what came n points ago counts exp(-n*decay). It answers quantiles and tails in equal
// steps over [lo, lo+bins*width), and takes a fixed 4 bytes a bin.
type sketch struct {
	lo, width float64
	decay     float64
	weight    float64 // of the next point; it grows instead of all others shrinking
	total     float64
	bins      []float32
}

func newSketch(lo, hi float64, bins int, decay float64) sketch {
	return sketch{lo: lo, width: (hi - lo) / float64(bins), decay: decay, weight: 1, bins: make([]float32, bins)}
}

func (s *sketch) add(x float64) {
	i := int((x - s.lo) / s.width)
	s.bins[min(max(i, 0), len(s.bins)-1)] += float32(s.weight)
	s.total += s.weight
	if s.weight *= math.Exp(s.decay); s.weight > 1e6 {
		for i := range s.bins {
			s.bins[i] = float32(float64(s.bins[i]) / s.weight)
		}
		s.total /= s.weight
		s.weight = 1
	}
}

// count returns how many points the sketch still remembers, in points of full weight.
func (s *sketch) count() float64 { return s.total / s.weight }

// quantile returns the value with a share q of the mass below it.
func (s *sketch) quantile(q float64) float64 {
	want := q * s.total
	for i, n := range s.bins {
		if want -= float64(n); want <= 0 && n > 0 {
			return s.lo + s.width*(float64(i)+1+want/float64(n))
		}
	}
	return s.lo + s.width*float64(len(s.bins))
}

// tail is what lies beyond a high quantile, as an exponential: the peaks over a threshold of extreme value theory with shape
// 0, which is careful for scores (bounded, so lighter) and is Pareto's law for what is kept in logarithms.
type tail struct {
	from  float64 // the quantile
	share float64 // of the mass beyond it
	mean  float64 // excess over from
}

// upper returns the tail of the largest share. With few points there, prior stands for the mean excess, as strong as 5.
func (s *sketch) upper(share, prior float64) tail { return s.tail(share, prior, false) }

// lower returns the tail of the smallest share, mirrored at 0, so that it too goes up.
func (s *sketch) lower(share, prior float64) tail { return s.tail(share, prior, true) }

func (s *sketch) tail(share, prior float64, mirrored bool) tail {
	const strength = 5
	left := share * s.total
	lo, last := s.lo, len(s.bins)-1
	if mirrored {
		lo = -(s.lo + s.width*float64(len(s.bins)))
	}
	sum, n := 0.0, 0.0
	for i := last; i >= 0; i-- {
		b := float64(s.bins[i])
		if mirrored {
			b = float64(s.bins[last-i])
		}
		if b == 0 {
			continue
		}
		if n+b >= left {
			// The quantile is inside this bin: what of it lies beyond has a mean excess of half its width.
			part := left - n
			from := lo + s.width*(float64(i)+1-part/b)
			excess := sum - n*from + part*(s.width*part/b)/2
			return tail{from, share, (excess/s.weight + strength*prior) / (left/s.weight + strength)}
		}
		n += b
		sum += b * (lo + s.width*(float64(i)+0.5))
	}
	return tail{lo, share, prior}
}

// at returns the value that a share p of the points exceeds, p being less than the tail's own share.
func (t tail) at(p float64) float64 { return t.from + t.mean*max(0, math.Log(t.share/p)) }

// beyond returns the share of the mass above x, which is at or above from.
func (t tail) beyond(x float64) float64 { return t.share * math.Exp(-(x-t.from)/t.mean) }
