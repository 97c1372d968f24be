package rcf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// ErrModel means that bytes are not a model that this package wrote, or not any more.
var ErrModel = errors.New("not a usable random cut forest model")

// UnmarshalBinary makes f the forest that data holds. Data that is cut short, altered or inconsistent is an error that wraps
// [ErrModel] and says what is wrong; f is then as it was. Memory is taken in proportion to len(data).
func (f *Forest) UnmarshalBinary(data []byte) error {
	r, err := decode(data)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrModel, err)
	}
	*f = *r
	return nil
}

func decode(data []byte) (*Forest, error) {
	if len(data) < 4 || string(data[:3]) != magic[:3] {
		return nil, errors.New("no header")
	}
	if data[3] != magic[3] {
		return nil, fmt.Errorf("version %d, where this is %d", data[3], magic[3])
	}
	if len(data) < headLength+4 {
		return nil, errors.New("cut short in the header")
	}
	body, sum := data[:len(data)-4], binary.LittleEndian.Uint32(data[len(data)-4:])
	if checksum(body) != sum {
		return nil, errors.New("the checksum is wrong: cut short or altered")
	}
	r := reader{b: body, at: 4}
	dim := int(r.u32())
	c := Config{ShingleSize: int(r.u32()), NumTrees: int(r.u32()), NumSamplesPerTree: int(r.u32())}
	size := int(r.u32())
	c.Compact = r.u32() != 0
	c.TimeDecay = r.f64()
	age := r.f64()
	c.Seed = r.u64()
	seen := r.u64()
	c.Interval = time.Duration(r.u64())
	k := clock{interval: c.Interval, begun: r.u64() == 1, last: int64(r.u64())}
	for i := range k.made {
		k.made[i] = r.u64()
	}
	if err := c.check(dim); err != nil {
		return nil, err
	}
	switch {
	case !(c.TimeDecay >= 0):
		return nil, fmt.Errorf("time decay %v", c.TimeDecay)
	case !(age >= 0 && age <= rebaseAge):
		return nil, fmt.Errorf("age %v", age)
	case size > c.NumSamplesPerTree:
		return nil, fmt.Errorf("%d points in trees of %d", size, c.NumSamplesPerTree)
	case r.need(4*dim + c.NumTrees*(treeLength+size*leastPoint)):
		return nil, r.err
	}
	decay := c.TimeDecay
	f, err := New(dim, c)
	if err != nil {
		return nil, err
	}
	f.decay, f.age, f.seen, f.clock = decay, age, seen, k
	if err := f.decodePoints(&r, size); err != nil {
		return nil, err
	}
	f.makeRoom(size)
	for t := range f.trees {
		if err := f.decodeTree(&r, t, size); err != nil {
			return nil, fmt.Errorf("tree %d: %w", t, err)
		}
	}
	if _, rows := f.points.live(); rows < f.points.refs.len() {
		return nil, fmt.Errorf("%d rows of points are in no tree", f.points.refs.len()-rows)
	}
	for id := range f.points.refs.len() {
		if f.points.refs.at(id) > 0 {
			f.points.used++
		}
	}
	if r.err == nil && r.at != len(body) {
		return nil, fmt.Errorf("%d bytes too many", len(body)-r.at)
	}
	return f, r.err
}

// Bytes of a tree, and of a point in its sample and its shape, at least.
const (
	treeLength = 8 + 2 + 2
	leastPoint = 2 + 2 + 3
)

func (f *Forest) decodePoints(r *reader, size int) error {
	for d := range f.dim {
		w := r.f32()
		if !(w > 0 && w <= 1) {
			return first(r.err, fmt.Errorf("weight %d is %v", d, w))
		}
		for i := d; i < f.width; i += f.dim {
			f.weights[i] = w
		}
	}
	n := int(r.u32())
	if n > f.width || n%f.dim != 0 || size > 0 && n < f.width {
		return first(r.err, fmt.Errorf("a shingle of %d values, where %d make it full", n, f.width))
	}
	f.recent = r.floats(f.recent, n)
	if i := slices.IndexFunc(f.recent, unusable); i >= 0 {
		return first(r.err, fmt.Errorf("value %d of the shingle is %v", i, f.recent[i]))
	}
	n = int(r.u32())
	if n > len(f.trees)*size*f.shingle || n < f.shingle && size > 0 || r.need(4*n*f.dim) {
		return first(r.err, fmt.Errorf("%d rows of points", n))
	}
	if n > 0 {
		f.points.coords = r.floats(make([]float32, 0, n*f.dim+slack), n*f.dim)[:n*f.dim+slack]
		f.points.refs.resize(n)
	}
	if i := slices.IndexFunc(f.points.coords, unusable); i >= 0 {
		return first(r.err, fmt.Errorf("row %d of the points: value %d is %v", i/f.dim, i%f.dim, f.points.coords[i]))
	}
	return r.err
}

func unusable(v float32) bool { return !(v >= -maxAbs && v <= maxAbs) }

func (f *Forest) decodeTree(r *reader, t, size int) error {
	tr := &f.trees[t]
	base := t * f.stride
	tr.rng = rng(r.u64())
	tr.spare = r.u16()
	tr.top = r.u16()
	tr.size = uint16(size)
	full := size == f.samples
	if int(tr.spare) > size || !full && int(tr.spare) != size || int(tr.top) > size || full && tr.top == tr.spare {
		return first(r.err, fmt.Errorf("slots %d and %d of %d", tr.spare, tr.top, size))
	}
	if size == 0 {
		return r.err
	}
	unseen := make([]bool, size+1) // slots that the shape has not shown yet
	holders := make(map[int]bool, size)
	for i := range unseen {
		if i == int(tr.spare) {
			continue
		}
		k := key(r.u16())
		id := 0
		if f.points.refs.len() > math.MaxUint16 {
			id = int(r.u32())
		} else {
			id = int(r.u16())
		}
		if k == 0 || id > f.points.refs.len()-f.shingle || holders[id] {
			return first(r.err, fmt.Errorf("slot %d has key %d and point %d", i, k, id))
		}
		holders[id], unseen[i] = true, true
		f.keys[base+i] = k
		f.ids.set(base+i, id)
		f.points.hold(id)
	}
	if full && f.keys[base+int(tr.top)] < slices.Max(f.keys[base:base+size+1]) {
		return fmt.Errorf("slot %d doesn't have the largest key", tr.top)
	}
	root, err := f.decodeShape(r, t, unseen)
	if err != nil {
		return err
	}
	tr.root = uint16(root)
	if i := slices.Index(unseen, true); i >= 0 {
		return fmt.Errorf("slot %d is not in the tree", i)
	}
	return f.checkPlaces(t)
}

// checkPlaces reports the first point that is not where its coordinates lead: remove relies on it.
func (f *Forest) checkPlaces(t int) error {
	tr := &f.trees[t]
	base := t * f.stride
	came := make([]int, f.stride) // of each chain: how many points it was reached from
	for i := range int(tr.size) + 1 {
		if i == int(tr.spare) {
			continue
		}
		p := f.points.at(f.ids.at(base + i))
		c := ref(tr.root)
		for !c.leaf() && !f.nodes[base+c.id()].equal() {
			if n := f.nodes[base+c.id()]; p[f.dimOf(base, c.id())] <= n.cut {
				c = n.left()
			} else {
				c = n.right()
			}
		}
		right := c == ref(i)|leafBit
		if !c.leaf() {
			came[c.id()]++
			right = came[c.id()] <= f.massOf(base, c) && slices.Equal(p, f.points.at(f.pointOf(base, c)))
		}
		if !right {
			return fmt.Errorf("the point in slot %d is not where the cuts lead", i)
		}
	}
	return nil
}

// decodeShape reads a tree in preorder without recursion, as a tree may be as deep as its sample is large.
func (f *Forest) decodeShape(r *reader, t int, unseen []bool) (ref, error) {
	tr := &f.trees[t]
	base := t * f.stride
	type open struct {
		node int
		dim  int // -1: copies of one point
		cut  float32
		left ref // once it is read
		half bool
	}
	var stack []open
	used := 0
	for {
		var c ref
		switch kind := r.u8(); kind {
		case kindLeaf:
			slot := int(r.u16())
			if slot >= len(unseen) || !unseen[slot] {
				return 0, first(r.err, fmt.Errorf("a leaf is slot %d", slot))
			}
			unseen[slot] = false
			c = ref(slot) | leafBit
		case kindCut, kindEqual:
			o := open{dim: -1}
			if kind == kindCut {
				o.dim, o.cut = int(r.u16()), r.f32()
			}
			inChain := len(stack) > 0 && stack[len(stack)-1].dim < 0
			if o.dim >= f.width || o.cut != o.cut || inChain && (o.dim >= 0 || !stack[len(stack)-1].half) {
				return 0, first(r.err, fmt.Errorf("a cut in dimension %d at %v", o.dim, o.cut))
			}
			if used++; used >= int(tr.size) {
				return 0, first(r.err, errors.New("more cuts than a sample can have"))
			}
			o.node = f.takeNode(tr, base)
			stack = append(stack, o)
			continue
		default:
			return 0, first(r.err, fmt.Errorf("a node of kind %d", kind))
		}
		for {
			if len(stack) == 0 {
				return c, r.err
			}
			o := &stack[len(stack)-1]
			if !o.half {
				o.left, o.half = c, true
				break
			}
			mass := f.massOf(base, o.left) + f.massOf(base, c)
			f.side.set(base+o.node, mass)
			if o.dim < 0 {
				if !slices.Equal(f.points.at(f.pointOf(base, o.left)), f.points.at(f.pointOf(base, c))) {
					return 0, first(r.err, errors.New("points that differ stand as equal"))
				}
				f.nodes[base+o.node] = makeNode(equalDim, 0, o.left, c)
			} else {
				f.setCut(base, o.node, o.dim, o.cut, o.left, c)
				if mass >= f.boxMass {
					f.giveBox(base, o.node, mass)
				}
			}
			c = ref(o.node)
			stack = stack[:len(stack)-1]
		}
	}
}

// first returns the first error that is one: that the bytes ran out explains whatever was read after.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// reader reads little-endian values and remembers the first time that the bytes ran out.
type reader struct {
	b   []byte
	at  int
	err error
}

// need reports that fewer than n bytes are left.
func (r *reader) need(n int) bool {
	if n > len(r.b)-r.at && r.err == nil {
		r.err = fmt.Errorf("cut short at byte %d", r.at)
	}
	return r.err != nil
}

func (r *reader) take(n int) []byte {
	if r.need(n) {
		return make([]byte, 8)[:n]
	}
	r.at += n
	return r.b[r.at-n : r.at]
}

func (r *reader) u8() uint8    { return r.take(1)[0] }
func (r *reader) u16() uint16  { return binary.LittleEndian.Uint16(r.take(2)) }
func (r *reader) u32() uint32  { return binary.LittleEndian.Uint32(r.take(4)) }
func (r *reader) u64() uint64  { return binary.LittleEndian.Uint64(r.take(8)) }
func (r *reader) f32() float32 { return math.Float32frombits(r.u32()) }
func (r *reader) f64() float64 { return math.Float64frombits(r.u64()) }

func (r *reader) floats(dst []float32, n int) []float32 {
	if r.need(4 * n) {
		return dst
	}
	for range n {
		dst = append(dst, r.f32())
	}
	return dst
}
