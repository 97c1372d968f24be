package rcf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// ErrModel means that bytes are not a model that this package wrote, or not any more.
var ErrModel = errors.New("not a usable random cut forest model")

// A model, little endian:
//
//	"rcf\x01"  dim u32  shingle u32  trees u32  samples u32  decay f64  age f64  seed u64  seen u64
//	weights  dim x f32
//	recent   count u32, then that many f32
//	points   count u32, then each width x f32
//	trees    each: rng u64, size u32, the sample: size x (key f32, point u32), the shape in preorder:
//	         a leaf is "\x00" point u32; a cut is "\x01" dim u16 cut f32 and its two children, dim 65535 being equal points
//	crc      u32, Castagnoli, over all before it
//
// Boxes and masses are worked out again when the model is read; free places need not be the same, as no result depends on
// which place a node or a point has.
const magic = "rcf\x01"

const headLength = 4 + 4*4 + 4*8

// AppendBinary appends the whole state to b: a forest that is restored from it goes on to give bit-equal scores.
func (f *Forest) AppendBinary(b []byte) ([]byte, error) {
	begin := len(b)
	b = append(b, magic...)
	le := binary.LittleEndian
	for _, v := range [4]int{f.dim, f.shingle, len(f.trees), f.samples} {
		b = le.AppendUint32(b, uint32(v))
	}
	b = le.AppendUint64(b, math.Float64bits(f.decay))
	b = le.AppendUint64(b, math.Float64bits(f.age))
	b = le.AppendUint64(b, f.seed)
	b = le.AppendUint64(b, f.seen)
	b = appendFloats(b, f.weights[:f.dim])
	b = le.AppendUint32(b, uint32(len(f.recent)))
	b = appendFloats(b, f.recent)

	// Points are numbered anew, so that those that are free leave no gaps.
	number := make([]uint32, len(f.points.refs))
	count := uint32(0)
	for id, refs := range f.points.refs {
		if refs > 0 {
			number[id] = count
			count++
		}
	}
	b = le.AppendUint32(b, count)
	for id, refs := range f.points.refs {
		if refs > 0 {
			b = appendFloats(b, f.points.at(int32(id)))
		}
	}
	for t := range f.trees {
		tr := &f.trees[t]
		b = le.AppendUint64(b, uint64(tr.rng))
		b = le.AppendUint32(b, uint32(tr.size))
		if tr.size == 0 {
			continue
		}
		for _, e := range f.entries[t*f.samples:][:tr.size] {
			b = le.AppendUint32(b, math.Float32bits(e.key))
			b = le.AppendUint32(b, number[e.point])
		}
		nodes := f.nodes[t*f.samples : (t+1)*f.samples]
		stack := append(f.stack[:0], tr.root)
		for len(stack) > 0 {
			c := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if c < 0 {
				b = append(b, 0)
				b = le.AppendUint32(b, number[^c])
				continue
			}
			n := &nodes[c]
			b = append(b, 1)
			b = le.AppendUint16(b, n.dim)
			b = le.AppendUint32(b, math.Float32bits(n.cut))
			stack = append(stack, n.right, n.left)
		}
	}
	return le.AppendUint32(b, checksum(b[begin:])), nil
}

// MarshalBinary returns what AppendBinary appends.
func (f *Forest) MarshalBinary() ([]byte, error) { return f.AppendBinary(nil) }

// UnmarshalBinary makes f the forest that data holds. Data that is cut short, altered or inconsistent is an error that wraps
// [ErrModel] and says what is wrong; f is then as it was. Memory is taken in proportion to len(data), except for the arenas,
// whose size follows from trees and samples within the limits of Config.
func (f *Forest) UnmarshalBinary(data []byte) error {
	r, err := decode(data)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrModel, err)
	}
	*f = *r
	return nil
}

func decode(data []byte) (*Forest, error) {
	if len(data) < headLength+4 || string(data[:4]) != magic {
		if len(data) >= 4 && string(data[:3]) == magic[:3] && data[3] != magic[3] {
			return nil, fmt.Errorf("version %d, where this is %d", data[3], magic[3])
		}
		return nil, errors.New("no header")
	}
	body, sum := data[:len(data)-4], binary.LittleEndian.Uint32(data[len(data)-4:])
	if checksum(body) != sum {
		return nil, errors.New("the checksum is wrong: cut short or altered")
	}
	r := reader{b: body, at: 4}
	dim, shingle, trees, samples := int(r.u32()), int(r.u32()), int(r.u32()), int(r.u32())
	c := Config{NumTrees: trees, NumSamplesPerTree: samples, ShingleSize: shingle, TimeDecay: r.f64()}
	age := r.f64()
	c.Seed = r.u64()
	if err := check(dim, c); err != nil {
		return nil, err
	}
	if !(age >= 0 && age <= 64) {
		return nil, fmt.Errorf("age %v", age)
	}
	// Each tree takes 12 bytes at least: a lie about their number is found before the arenas are made.
	if trees*12 > len(body) {
		return nil, fmt.Errorf("%d trees in %d bytes", trees, len(body))
	}
	f := &Forest{dim: dim, shingle: shingle, width: dim * shingle, samples: samples, decay: c.TimeDecay, seed: c.Seed, age: age}
	f.seen = r.u64()
	if r.need(4 * f.dim); r.err != nil {
		return nil, r.err
	}
	f.allocate(trees)
	for d := range f.dim {
		w := r.f32()
		if !(w > 0 && w <= 1) {
			return nil, fmt.Errorf("weight %d is %v", d, w)
		}
		for i := d; i < f.width; i += f.dim {
			f.weights[i] = w
		}
	}
	n := int(r.u32())
	if n > f.width || n%f.dim != 0 {
		return nil, fmt.Errorf("a shingle of %d values, where %d make it full", n, f.width)
	}
	f.recent = r.floats(f.recent, n)
	n = int(r.u32())
	if n > trees*samples || r.need(4*n*f.width) {
		return nil, fmt.Errorf("%d points", n)
	}
	f.points.coords = r.floats(make([]float32, 0, n*f.width), n*f.width)
	f.points.refs = make([]uint16, n)
	for i, v := range f.points.coords {
		if !(v >= -maxAbs && v <= maxAbs) {
			return nil, fmt.Errorf("point %d: coordinate %d is %v", i/f.width, i%f.width, v)
		}
	}
	for t := range f.trees {
		if err := f.decodeTree(&r, t); err != nil {
			return nil, fmt.Errorf("tree %d: %w", t, err)
		}
	}
	for id, refs := range f.points.refs {
		if refs == 0 {
			return nil, fmt.Errorf("point %d is in no tree", id)
		}
	}
	if r.err == nil && r.at != len(body) {
		return nil, fmt.Errorf("%d bytes too many", len(body)-r.at)
	}
	return f, r.err
}

func (f *Forest) decodeTree(r *reader, t int) error {
	tr := &f.trees[t]
	tr.rng = rng(r.u64())
	size := int(r.u32())
	if size > f.samples || r.need(8*size) {
		return fmt.Errorf("a sample of %d", size)
	}
	tr.size = int32(size)
	if size == 0 {
		return r.err
	}
	entries := f.entries[t*f.samples:][:size]
	left := make(map[int32]bool, size) // points of the sample that the shape has not shown yet
	for i := range entries {
		key, id := r.f32(), int32(r.u32())
		if !(key >= 0) || math.IsInf(float64(key), 0) || i > 0 && key > entries[(i-1)/2].key {
			return fmt.Errorf("sample %d has the key %v", i, key)
		}
		if id < 0 || int(id) >= len(f.points.refs) || left[id] {
			return fmt.Errorf("sample %d is point %d", i, id)
		}
		entries[i] = entry{key, id}
		left[id] = true
		f.points.refs[id]++
	}
	root, err := f.decodeShape(r, t, left)
	if err != nil {
		return err
	}
	tr.root = root
	if len(left) > 0 {
		return fmt.Errorf("%d points of the sample are not in the tree", len(left))
	}
	// Each point must be where its coordinates lead: remove relies on it.
	nodes := f.nodes[t*f.samples : (t+1)*f.samples]
	for _, e := range entries {
		p := f.points.at(e.point)
		c := tr.root
		for c >= 0 && nodes[c].dim != equal {
			if p[nodes[c].dim] <= nodes[c].cut {
				c = nodes[c].left
			} else {
				c = nodes[c].right
			}
		}
		q := f.points.at(anyPoint(nodes, c))
		for d := range p {
			if p[d] != q[d] {
				return fmt.Errorf("point %d is not where the cuts lead", e.point)
			}
		}
	}
	return nil
}

// decodeShape reads a tree in preorder without recursion, as a tree may be as deep as its sample is large.
func (f *Forest) decodeShape(r *reader, t int, left map[int32]bool) (int32, error) {
	nodes := f.nodes[t*f.samples : (t+1)*f.samples]
	boxOf := f.boxOf[t*f.samples : (t+1)*f.samples]
	tr := &f.trees[t]
	type open struct {
		node  int32
		right bool // the left child is read
	}
	var stack []open
	for {
		var c int32
		switch kind := r.u8(); kind {
		case 0:
			id := int32(r.u32())
			if !left[id] {
				return 0, first(r.err, fmt.Errorf("a leaf is point %d", id))
			}
			delete(left, id)
			c = ^id
		case 1:
			n := node{dim: r.u16(), cut: r.f32()}
			if int(n.dim) >= f.width && n.dim != equal || math.IsNaN(float64(n.cut)) || len(stack) > 0 &&
				nodes[stack[len(stack)-1].node].dim == equal && (n.dim != equal || !stack[len(stack)-1].right) {
				return 0, first(r.err, fmt.Errorf("a cut in dimension %d at %v", n.dim, n.cut))
			}
			k := tr.free
			if k < 0 {
				return 0, errors.New("more cuts than a sample can have")
			}
			tr.free = nodes[k].left
			nodes[k] = n
			stack = append(stack, open{node: k})
			continue
		default:
			return 0, first(r.err, fmt.Errorf("a node of kind %d", kind))
		}
		for {
			if len(stack) == 0 {
				return c, r.err
			}
			top := &stack[len(stack)-1]
			n := &nodes[top.node]
			if !top.right {
				n.left, top.right = c, true
				break
			}
			n.right = c
			n.mass = massOf(nodes, n.left) + massOf(nodes, n.right)
			if n.dim == equal {
				if !sameCoordinates(f.points.at(anyPoint(nodes, n.left)), f.points.at(anyPoint(nodes, n.right))) {
					return 0, errors.New("points that differ stand as equal")
				}
			} else if int(n.mass) >= f.boxMass {
				f.giveBox(nodes, boxOf, top.node)
			}
			c = top.node
			stack = stack[:len(stack)-1]
		}
	}
}

func sameCoordinates(a, b []float32) bool {
	for d := range a {
		if a[d] != b[d] {
			return false
		}
	}
	return true
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

func appendFloats(b []byte, fs []float32) []byte {
	for _, v := range fs {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
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

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
