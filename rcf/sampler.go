package rcf

import "math"

// key is the priority of a point in a tree's sample: those with the smallest keys stay. It is -ln(uniform) x exp(-age), where
// age is that of the forest when the point came, as 6 bits of exponent and 10 of mantissa. 0 is smaller than any key.
type key uint16

// The smallest key is keyLeast, the largest below 2^14.
const keyLeast = 0x1p-50

func makeKey(v float64) key {
	const least = (127 - 50) << 10
	bits := (math.Float32bits(float32(max(v, keyLeast))) + 1<<12) >> 13 // rounded to 10 bits of mantissa
	return key(min(bits-least, math.MaxUint16-1) + 1)
}

func (k key) value() float64 {
	const least = (127 - 50) << 10
	return float64(math.Float32frombits((uint32(k) - 1 + least) << 13))
}

// offer draws the key that the next point has in tree t, and says whether the point enters the sample. scale is exp(age):
// keys shrink as time goes on, so that what is new stays longer.
func (f *Forest) offer(t int, scale float64) (key, bool) {
	tr := &f.trees[t]
	u := 1 - tr.rng.float() // in (0,1]
	if int(tr.size) < f.samples {
		return makeKey(-math.Log(u) / scale), true
	}
	// Enter when -ln(u) < x. As -ln(u) >= 1-u, most points are turned away without a logarithm.
	x := f.keys[t*f.stride+int(tr.top)].value() * scale
	if 1-u >= x {
		return 0, false
	}
	e := -math.Log(u)
	return makeKey(e / scale), e < x
}

// keep puts point id into the free slot of tree t's sample and returns the slot of the point that leaves for it, or -1. The
// slot of the one that leaves is the next free one, and keeps its point until then.
func (f *Forest) keep(t int, k key, id int) int {
	tr := &f.trees[t]
	base := t * f.stride
	f.keys[base+int(tr.spare)] = k
	f.ids.set(base+int(tr.spare), id)
	if int(tr.size) < f.samples {
		tr.size++
		tr.spare = tr.size // slots fill up in order
		if int(tr.size) == f.samples {
			tr.top = topKey(f.keys[base:base+f.samples+1], int(tr.spare))
		}
		return -1
	}
	out := int(tr.top)
	tr.spare = tr.top
	tr.top = topKey(f.keys[base:base+f.samples+1], out)
	return out
}

// topKey returns the slot with the largest key, but for the free one.
func topKey(keys []key, spare int) uint16 {
	keys[spare] = 0
	n := 0
	if haveAVX2 {
		n = len(keys) &^ 15
	}
	top, best := 0, keys[0]
	if n > 0 {
		top = topKeyAVX2(&keys[0], n)
		best = keys[top]
	}
	for i := n; i < len(keys); i++ {
		k := keys[i]
		if k > best {
			top, best = i, k
		}
	}
	return uint16(top)
}

// pass lets time go by: the weight of the points to come grows by exp(decay) for each unit.
func (f *Forest) pass(units float64) {
	if f.age += min(f.decay*units, maxAge); f.age > rebaseAge {
		// Keys shrink by exp(-age): before they come to their least all are brought back, which keeps their order.
		up := math.Exp(f.age)
		for i, k := range f.keys {
			if k > 0 {
				f.keys[i] = makeKey(k.value() * up)
			}
		}
		f.age = 0
	}
}

// In units of 1/decay: keys are brought back at rebaseAge; after maxAge nothing of what was before weighs anything.
const (
	rebaseAge = 8
	maxAge    = 32
)
