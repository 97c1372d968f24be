package eventpattern

import (
	"errors"
	"hash/maphash"
)

// ErrTooComplex means that a match was given up: a pattern with exists: false met an event whose arrays allow too many combinations.
var ErrTooComplex = errors.New("too many combinations of array elements")

// maxSteps bounds the search for array elements where a rule has exists: false, in values looked at.
const maxSteps = 2_000_000

// solver finds the elements of an event's arrays in which the fields of a rule meet. Every array may be entered in one element only.
type solver struct {
	places []int32 // elements in which values lie that hold, a run for each field
	fields []places
	chosen []int32 // by array: the element entered; 0 if none
	steps  int
	failed error
}

// places is a run of solver.places: where one field holds, in the order of the event.
type places struct {
	from, to int32
	array    int32 // the array through which the field must be reached; 0 if the field is done with
}

// holds says whether all fields of a candidate hold, in elements of arrays that go together.
func (s *scan) holds(c *compiled) (bool, error) {
	inArrays := 0
	for i := range c.fields {
		f := &c.fields[i]
		list := &s.slots[f.slot]
		if list.epoch != s.epoch {
			if !f.absent {
				return false, nil
			}
			continue
		}
		if list.inArray {
			inArrays++
		}
		if !(f.absent && list.inArray) && !s.fieldHolds(f, list) {
			return false, nil
		}
	}
	if inArrays == 0 || inArrays == 1 && !c.absent {
		return true, nil
	}
	s.solver.steps, s.solver.failed = 0, nil
	if !c.absent {
		if ok, plain := s.meet(c); plain {
			return ok, nil
		}
	}
	s.solver.chosen = grown(s.solver.chosen, int(s.arrays)+1)
	clear(s.solver.chosen)
	ok := s.search(c.fields)
	return ok, s.solver.failed
}

// opens says whether the field at a posting's gate may hold. It saves most candidates from having all their fields looked at, each
// of which lies somewhere else in memory.
func (s *scan) opens(p *posting) bool {
	list := &s.slots[p.gate]
	return list.epoch == s.epoch && (list.first != list.last || s.hash(list) == p.hash)
}

// hash returns the hash of a field's only value.
func (s *scan) hash(list *slotVals) uint64 {
	if !list.hashed {
		list.hashed = true
		if v := &s.vals[list.first]; v.kind == kindString {
			list.hash = maphash.Bytes(s.now.seed, v.text)
		} else {
			list.hash = 0 // no string is refused for sure, one that hashes to 0 by its fields
		}
	}
	return list.hash
}

// fieldHolds says whether a value of the field holds, wherever it lies.
func (s *scan) fieldHolds(f *slotField, list *slotVals) bool {
	for i := list.first; i >= 0; i = s.vals[i].next {
		if f.holds(&s.vals[i]) {
			return true
		}
	}
	return false
}

func (f *slotField) holds(v *val) bool {
	if f.single {
		return v.kind == kindString && string(v.text) == f.plain
	}
	for i := range f.tests {
		if f.tests[i].holds(v) {
			return true
		}
	}
	return false
}

// meet decides for a rule without exists: false, in time linear in the number of values. Within one element, a field is reached
// through one array at most, so that fields reached through different arrays don't bear on each other. (Not so where the event has
// keys with dots that spell the same path as others: then plain is false.)
func (s *scan) meet(c *compiled) (ok, plain bool) {
	v := &s.solver
	v.places, v.fields = v.places[:0], v.fields[:0]
	for i := range c.fields {
		f := &c.fields[i]
		list := &s.slots[f.slot]
		if !list.inArray {
			continue
		}
		run := places{from: int32(len(v.places))}
		for j := list.first; j >= 0; j = s.vals[j].next {
			if f.holds(&s.vals[j]) {
				v.places = append(v.places, s.vals[j].in)
			}
		}
		run.to = int32(len(v.places))
		v.fields = append(v.fields, run)
	}
	return s.meetIn(0, 0, len(v.fields))
}

// top returns the element through which e is reached from the element in.
func (s *scan) top(e, in int32) int32 {
	for s.elements[e].parent != in {
		e = s.elements[e].parent
	}
	return e
}

// meetIn decides for the fields from:to of the solver, all of whose places lie in one element.
func (s *scan) meetIn(in int32, from, to int) (ok, plain bool) {
	v := &s.solver
	for i := from; i < to; i++ {
		f := &v.fields[i]
		f.array = -1
		for _, e := range v.places[f.from:f.to] {
			if e == in {
				f.array = 0 // right here, nothing has to be entered
				break
			}
			switch a := s.elements[s.top(e, in)].array; {
			case f.array < 0:
				f.array = a
			case f.array != a:
				return false, false
			}
		}
		if f.array < 0 {
			return false, true
		}
	}
	for i := from; i < to; i++ {
		array := v.fields[i].array
		if array == 0 {
			continue
		}
		group := len(v.fields)
		for j := i; j < to; j++ {
			if v.fields[j].array == array {
				v.fields = append(v.fields, v.fields[j])
				v.fields[j].array = 0
			}
		}
		ok, plain := s.meetInArray(in, group, len(v.fields))
		v.fields = v.fields[:group]
		if !ok || !plain {
			return ok, plain
		}
	}
	return true, true
}

// meetInArray looks for one element of an array in which all the fields from:to meet.
func (s *scan) meetInArray(in int32, from, to int) (ok, plain bool) {
	v := &s.solver
	if to-from == 1 {
		return true, true
	}
	for v.fields[from].from < v.fields[from].to {
		element := s.top(v.places[v.fields[from].from], in)
		all := true
		for i := from; i < to; i++ {
			f := &v.fields[i]
			for f.from < f.to && s.top(v.places[f.from], in) < element {
				f.from++
			}
			if f.from == f.to {
				return false, true
			}
			all = all && s.top(v.places[f.from], in) == element
		}
		inner := len(v.fields)
		for i := from; i < to; i++ {
			end := v.fields[i].from
			for end < v.fields[i].to && s.top(v.places[end], in) == element {
				end++
			}
			if all {
				v.fields = append(v.fields, places{from: v.fields[i].from, to: end})
			}
			if all || i == from {
				v.fields[i].from = end
			}
		}
		if !all {
			continue
		}
		ok, plain := s.meetIn(element, inner, len(v.fields))
		v.fields = v.fields[:inner]
		if ok || !plain {
			return ok, plain
		}
	}
	return false, true
}

// search tries the fields in their order and every value of each, as Event Ruler does: what exists: false means for a field depends
// on the elements that the fields before it have chosen.
func (s *scan) search(fields []slotField) bool {
	if len(fields) == 0 {
		return true
	}
	f := &fields[0]
	list := &s.slots[f.slot]
	absent := true
	if list.epoch == s.epoch {
		for i := list.first; i >= 0; i = s.vals[i].next {
			if s.solver.steps++; s.solver.steps > maxSteps {
				s.solver.failed = ErrTooComplex
			}
			if s.solver.failed != nil {
				return false
			}
			v := &s.vals[i]
			if !s.goesWith(v.in) {
				continue
			}
			absent = false
			if !f.holds(v) {
				continue
			}
			depth := s.enter(v.in)
			ok := s.search(fields[1:])
			s.leave(v.in, depth)
			if ok {
				return true
			}
		}
	}
	return absent && f.absent && s.search(fields[1:])
}

// goesWith says whether the element can be entered beside those that are.
func (s *scan) goesWith(e int32) bool {
	for ; e != 0; e = s.elements[e].parent {
		if c := s.solver.chosen[s.elements[e].array]; c != 0 && c != e {
			return false
		}
	}
	return true
}

// enter chooses the element and those around it, and returns how many of them, from the inmost, were not chosen before.
func (s *scan) enter(e int32) int {
	n := 0
	for ; e != 0 && s.solver.chosen[s.elements[e].array] == 0; e = s.elements[e].parent {
		s.solver.chosen[s.elements[e].array] = e
		n++
	}
	return n
}

// leave undoes enter.
func (s *scan) leave(e int32, n int) {
	for ; n > 0; n-- {
		s.solver.chosen[s.elements[e].array] = 0
		e = s.elements[e].parent
	}
}
