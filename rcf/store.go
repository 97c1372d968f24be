package rcf

import (
	"math"
	"slices"
	"unsafe"
)

// slack is how many values lie behind the last point and the last box, so that eight lanes may be read from any of them.
const slack = lanes

// points holds each point once for all trees, with how many of them have it in their sample. A point is some rows of dim
// values, one after the other, and its number is that of the first. Points that are shingles of one series overlap: the rows
// that two have in common stand there once.
//
// Where a point is one row, a place that gets free is used again, and holds the number of the next free one in its first value.
// Else new rows come at the end, and when there is no more room all that no point holds any longer is squeezed out.
type points struct {
	dim, width int
	coords     []float32
	refs       counts // of each row, as the first of a point
	free       int    // first free place plus 1
	used       int    // points
}

// add stores p, which no tree refers to yet, and for which there is room.
func (s *points) add(p []float32) int {
	s.used++
	if s.dim == s.width {
		id := s.free - 1
		if id >= 0 {
			s.free = int(math.Float32bits(s.coords[id*s.width]))
		} else {
			id = s.refs.len()
			s.coords = extendBy(s.coords, s.width)
			s.refs.resize(id + 1)
		}
		copy(s.at(id), p)
		return id
	}
	rows := s.refs.len()
	end := rows * s.dim
	known := s.width - s.dim // values of p that stand at the end already, unless the series was broken off
	if end < known || !slices.Equal(s.coords[end-known:end], p[:known]) {
		known = 0
	}
	s.coords = extendBy(s.coords, s.width-known)
	s.refs.resize(rows + (s.width-known)/s.dim)
	copy(s.coords[end:], p[known:])
	clear(s.coords[len(s.coords)-slack:])
	return (end - known) / s.dim
}

// full says that there is no room for one more point, if points overlap.
func (s *points) full() bool { return s.dim < s.width && s.refs.len()+s.width/s.dim > s.refs.cap() }

// squeeze drops the rows that no point holds, makes room for an eighth more, and returns the new number of each row.
func (s *points) squeeze() []uint32 {
	number, rows := s.live()
	for r, to := range number {
		if to != gone {
			copy(s.coords[int(to)*s.dim:], s.coords[r*s.dim:(r+1)*s.dim])
			s.refs.set(int(to), s.refs.at(r))
		}
	}
	s.refs.resize(rows)
	if room := rows + rows/8 + s.width/s.dim + 8; room > s.refs.cap() {
		s.refs.reserve(room)
		s.coords = append(make([]float32, 0, room*s.dim+slack), s.coords[:rows*s.dim]...)
	}
	s.coords = s.coords[:rows*s.dim+slack]
	clear(s.coords[rows*s.dim:])
	return number
}

// live numbers the rows that points hold, and returns how many there are.
func (s *points) live() (number []uint32, rows int) {
	number = make([]uint32, s.refs.len())
	until := 0
	for r := range number {
		if s.refs.at(r) > 0 {
			until = r + s.width/s.dim
		}
		number[r] = gone
		if r < until {
			number[r] = uint32(rows)
			rows++
		}
	}
	return number, rows
}

const gone = math.MaxUint32

// at returns the coordinates of point id.
func (s *points) at(id int) []float32 {
	i := id * s.dim
	return s.coords[i : i+s.width : i+s.width]
}

// hold adds one reference.
func (s *points) hold(id int) { s.refs.set(id, s.refs.at(id)+1) }

// drop takes one reference away and frees the point with its last.
func (s *points) drop(id int) {
	n := s.refs.at(id) - 1
	if s.refs.set(id, n); n == 0 {
		s.release(id)
	}
}

func (s *points) release(id int) {
	s.used--
	if s.dim == s.width {
		s.coords[id*s.width] = math.Float32frombits(uint32(s.free))
		s.free = id + 1
	}
}

func (s *points) bytes() int { return 4*cap(s.coords) + s.refs.bytes() }

// boxes holds the bounding boxes that are kept: of each the low corner, then the high one, and the mass of its subtree.
type boxes struct {
	width  int
	coords []float32
	mass   []uint16
	free   int // first free place plus 1; as in points
}

func (s *boxes) take() int {
	if id := s.free - 1; id >= 0 {
		s.free = int(math.Float32bits(s.coords[id*2*s.width]))
		return id
	}
	s.coords = extendBy(s.coords, 2*s.width)
	s.mass = grown(s.mass, 1)
	return len(s.mass) - 1
}

// at returns the low and the high corner of box id.
func (s *boxes) at(id int) (lo, hi []float32) {
	i := id * 2 * s.width
	j := i + s.width
	return s.coords[i:j:j], s.coords[j : j+s.width : j+s.width]
}

// first returns where box 0 begins.
func (s *boxes) first() *float32 {
	if len(s.coords) == 0 {
		return nil
	}
	return &s.coords[0]
}

func (s *boxes) release(id int) {
	s.coords[id*2*s.width] = math.Float32frombits(uint32(s.free))
	s.free = id + 1
}

func (s *boxes) bytes() int { return 4*cap(s.coords) + 2*cap(s.mass) }

// extendBy returns s with n more values before its slack.
func extendBy(s []float32, n int) []float32 {
	if len(s) == 0 {
		n += slack
	}
	return grown(s, n)
}

// grown returns s with n more zeros. What must be copied for that grows by a 32nd only, as memory counts for more here than
// the copying, which ends when the forest has its size.
func grown[T any](s []T, n int) []T {
	if n += len(s); n > cap(s) {
		s = append(make([]T, 0, max(n, n+n/32)), s...)
	}
	return s[:n]
}

// packed is a slice of whole numbers that takes the narrow type for each until one needs the wide one.
type packed[N uint8 | uint16, W uint16 | uint32] struct {
	narrow []N
	wide   []W // in place of narrow
}

type (
	indexes = packed[uint16, uint32]
	counts  = packed[uint8, uint16]
)

func (x *packed[N, W]) at(i int) int {
	if x.wide != nil {
		return int(x.wide[i])
	}
	return int(x.narrow[i])
}

func (x *packed[N, W]) set(i, v int) {
	if x.wide == nil && v > int(^N(0)) {
		x.wide = make([]W, len(x.narrow), cap(x.narrow))
		for i, v := range x.narrow {
			x.wide[i] = W(v)
		}
		x.narrow = nil
	}
	if x.wide != nil {
		x.wide[i] = W(v)
		return
	}
	x.narrow[i] = N(v)
}

func (x *packed[N, W]) len() int { return len(x.narrow) + len(x.wide) }
func (x *packed[N, W]) cap() int { return cap(x.narrow) + cap(x.wide) }

// resize makes the length n; what is new is 0.
func (x *packed[N, W]) resize(n int) {
	if x.wide != nil {
		x.wide = resized(x.wide, n)
	} else {
		x.narrow = resized(x.narrow, n)
	}
}

func resized[T any](s []T, n int) []T {
	if n <= len(s) {
		return s[:n]
	}
	old := len(s)
	s = grown(s, n-old)
	clear(s[old:])
	return s
}

// reserve makes room for n in all, and no more.
func (x *packed[N, W]) reserve(n int) {
	if x.wide != nil {
		x.wide = append(make([]W, 0, n), x.wide...)
	} else {
		x.narrow = append(make([]N, 0, n), x.narrow...)
	}
}

func (x *packed[N, W]) bytes() int {
	return cap(x.narrow)*int(unsafe.Sizeof(N(0))) + cap(x.wide)*int(unsafe.Sizeof(W(0)))
}

// restride lays out rows of old values each as rows of width values, the new ones 0.
func (x *packed[N, W]) restride(rows, old, width int) {
	if x.wide != nil {
		x.wide = restride(x.wide, rows, old, width)
	} else {
		x.narrow = restride(x.narrow, rows, old, width)
	}
}

func restride[T any](s []T, rows, old, width int) []T {
	out := make([]T, rows*width)
	for r := range rows {
		copy(out[r*width:], s[r*old:(r+1)*old])
	}
	return out
}
