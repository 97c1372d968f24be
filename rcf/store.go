package rcf

import (
	"math"
	"slices"
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
	refs       []uint16 // of each row, as the first of a point
	free       int      // first free place plus 1
	used       int      // points
}

// add stores p, which no tree refers to yet, and for which there is room.
func (s *points) add(p []float32) int {
	s.used++
	if s.dim == s.width {
		id := s.free - 1
		if id >= 0 {
			s.free = int(math.Float32bits(s.coords[id*s.width]))
		} else {
			id = len(s.refs)
			s.coords = extendBy(s.coords, s.width)
			s.refs = grown(s.refs, 1)
		}
		copy(s.at(id), p)
		return id
	}
	rows := len(s.refs)
	end := rows * s.dim
	known := s.width - s.dim // values of p that stand at the end already, unless the series was broken off
	if end < known || !slices.Equal(s.coords[end-known:end], p[:known]) {
		known = 0
	}
	s.coords = extendBy(s.coords, s.width-known)
	s.refs = s.refs[:rows+(s.width-known)/s.dim]
	clear(s.refs[rows:])
	copy(s.coords[end:], p[known:])
	clear(s.coords[len(s.coords)-slack:])
	return (end - known) / s.dim
}

// full says that there is no room for one more point, if points overlap.
func (s *points) full() bool { return s.dim < s.width && len(s.refs)+s.width/s.dim > cap(s.refs) }

// squeeze drops the rows that no point holds, makes room for an eighth more, and returns the new number of each row.
func (s *points) squeeze() []uint32 {
	number, rows := s.live()
	for r, to := range number {
		if to != gone {
			copy(s.coords[int(to)*s.dim:], s.coords[r*s.dim:(r+1)*s.dim])
			s.refs[to] = s.refs[r]
		}
	}
	s.refs = s.refs[:rows]
	if room := rows + rows/8 + s.width/s.dim + 8; room > cap(s.refs) {
		s.refs = append(make([]uint16, 0, room), s.refs...)
		s.coords = append(make([]float32, 0, room*s.dim+slack), s.coords[:rows*s.dim]...)
	}
	s.coords = s.coords[:rows*s.dim+slack]
	clear(s.coords[rows*s.dim:])
	return number
}

// live numbers the rows that points hold, and returns how many there are.
func (s *points) live() (number []uint32, rows int) {
	number = make([]uint32, len(s.refs))
	until := 0
	for r, refs := range s.refs {
		if refs > 0 {
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

// drop takes one reference away and frees the point with its last.
func (s *points) drop(id int) {
	if s.refs[id]--; s.refs[id] == 0 {
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

func (s *points) bytes() int { return 4*cap(s.coords) + 2*cap(s.refs) }

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

// indexes is a slice of whole numbers that takes two bytes for each until one needs four.
type indexes struct {
	narrow []uint16
	wide   []uint32 // in place of narrow
}

func (x *indexes) at(i int) int {
	if x.wide != nil {
		return int(x.wide[i])
	}
	return int(x.narrow[i])
}

func (x *indexes) set(i, v int) {
	if x.wide == nil && v > math.MaxUint16 {
		x.wide = make([]uint32, len(x.narrow))
		for i, v := range x.narrow {
			x.wide[i] = uint32(v)
		}
		x.narrow = nil
	}
	if x.wide != nil {
		x.wide[i] = uint32(v)
		return
	}
	x.narrow[i] = uint16(v)
}

func (x *indexes) bytes() int { return 2*cap(x.narrow) + 4*cap(x.wide) }

// restride lays out rows of old values each as rows of width values, the new ones 0.
func (x *indexes) restride(rows, old, width int) {
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
