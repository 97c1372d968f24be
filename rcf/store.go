package rcf

// points holds each point once for all trees, with how many of them have it in their sample.
type points struct {
	width  int
	coords []float32
	refs   []uint16 // 0: free
	free   []int32
}

// add stores p, which no tree refers to yet.
func (s *points) add(p []float32) int32 {
	if n := len(s.free); n > 0 {
		id := s.free[n-1]
		s.free = s.free[:n-1]
		copy(s.at(id), p)
		return id
	}
	s.coords = append(s.coords, p...)
	s.refs = append(s.refs, 0)
	return int32(len(s.refs) - 1)
}

// at returns the coordinates of point id.
func (s *points) at(id int32) []float32 {
	i := int(id) * s.width
	return s.coords[i : i+s.width : i+s.width]
}

// drop takes one reference away and frees the point with its last.
func (s *points) drop(id int32) {
	if s.refs[id]--; s.refs[id] == 0 {
		s.release(id)
	}
}

func (s *points) count() int { return len(s.refs) - len(s.free) }

func (s *points) release(id int32) { s.free = append(s.free, id) }

func (s *points) bytes() int { return 4*cap(s.coords) + 2*cap(s.refs) + 4*cap(s.free) }

// boxes holds the bounding boxes that are kept: of each the low corner, then the high one.
type boxes struct {
	width  int
	coords []float32
	free   []int32
}

func (s *boxes) take() int32 {
	if n := len(s.free); n > 0 {
		id := s.free[n-1]
		s.free = s.free[:n-1]
		return id
	}
	id := len(s.coords) / (2 * s.width)
	for range 2 * s.width {
		s.coords = append(s.coords, 0)
	}
	return int32(id)
}

// at returns the low and the high corner of box id.
func (s *boxes) at(id int32) (lo, hi []float32) {
	i := int(id) * 2 * s.width
	j := i + s.width
	return s.coords[i:j:j], s.coords[j : j+s.width : j+s.width]
}

func (s *boxes) release(id int32) { s.free = append(s.free, id) }

func (s *boxes) bytes() int { return 4*cap(s.coords) + 4*cap(s.free) }
