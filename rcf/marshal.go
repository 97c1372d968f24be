package rcf

import (
	"encoding/binary"
	"hash/crc32"
	"math"
)

// A model, little endian:
//
//	"rcf\x04"  dim u32  shingle u32  trees u32  samples u32  size u32  compact u32 (0, 1)  decay f64  age f64  seed u64  seen u64
//	clock    interval i64 (ns), begun u64 (0, 1), last i64 (Unix microseconds), imputed 4 x u64
//	weights  dim x f32
//	recent   count u32, then that many f32
//	points   rows u32, then each dim x f32; a point is the rows of a shingle, and its number that of the first
//	trees    each: rng u64, free slot u16, slot of the largest key u16; of each slot but the free one, in order: key u16, point
//	         (u16, or u32 when there are more than 65535 rows); the shape in preorder: a leaf is 0x00 slot u16; a cut is 0x01 dim u16
//	         cut f32 and its two children; copies of one point are 0x02, one of them and the rest
//	crc      u32, Castagnoli, over all before it
//
// size is how many points each tree has. Boxes and masses are worked out again when the model is read; nodes and points need
// not be in the same places, as no result depends on that.
const magic = "rcf\x04"

const headLength = 4 + 6*4 + 4*8 + 7*8

// The kinds of node in a model.
const (
	kindLeaf = iota
	kindCut
	kindEqual
)

// AppendBinary appends the whole state to b: a forest that is restored from it goes on to give bit-equal scores.
func (f *Forest) AppendBinary(b []byte) ([]byte, error) {
	begin := len(b)
	b = append(b, magic...)
	le := binary.LittleEndian
	compact := 0
	if f.compact {
		compact = 1
	}
	for _, v := range [6]int{f.dim, f.shingle, len(f.trees), f.samples, int(f.trees[0].size), compact} {
		b = le.AppendUint32(b, uint32(v))
	}
	b = le.AppendUint64(b, math.Float64bits(f.decay))
	b = le.AppendUint64(b, math.Float64bits(f.age))
	b = le.AppendUint64(b, f.seed)
	b = le.AppendUint64(b, f.seen)
	begun := uint64(0)
	if f.clock.begun {
		begun = 1
	}
	for _, v := range append([]uint64{uint64(f.clock.interval), begun, uint64(f.clock.last)}, f.clock.made[:]...) {
		b = le.AppendUint64(b, v)
	}
	b = appendFloats(b, f.weights[:f.dim])
	b = le.AppendUint32(b, uint32(len(f.recent)))
	b = appendFloats(b, f.recent)

	number, rows := f.points.live() // without gaps
	b = le.AppendUint32(b, uint32(rows))
	for r, to := range number {
		if to != gone {
			b = appendFloats(b, f.points.coords[r*f.dim:(r+1)*f.dim])
		}
	}
	for t := range f.trees {
		tr := &f.trees[t]
		base := t * f.stride
		b = le.AppendUint64(b, uint64(tr.rng))
		b = le.AppendUint16(b, tr.spare)
		b = le.AppendUint16(b, tr.top)
		if tr.size == 0 {
			continue
		}
		for i := range int(tr.size) + 1 {
			if i == int(tr.spare) {
				continue
			}
			b = le.AppendUint16(b, uint16(f.keys[base+i]))
			if n := number[f.ids.at(base+i)]; rows > math.MaxUint16 {
				b = le.AppendUint32(b, n)
			} else {
				b = le.AppendUint16(b, uint16(n))
			}
		}
		stack := []ref{ref(tr.root)}
		for len(stack) > 0 {
			c := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if c.leaf() {
				b = append(b, kindLeaf)
				b = le.AppendUint16(b, uint16(c.id()))
				continue
			}
			n := f.nodes[base+c.id()]
			if n.equal() {
				b = append(b, kindEqual)
			} else {
				b = append(b, kindCut)
				b = le.AppendUint16(b, uint16(f.dimOf(base, c.id())))
				b = le.AppendUint32(b, math.Float32bits(n.cut))
			}
			stack = append(stack, n.right(), n.left())
		}
	}
	return le.AppendUint32(b, checksum(b[begin:])), nil
}

// MarshalBinary returns what AppendBinary appends.
func (f *Forest) MarshalBinary() ([]byte, error) { return f.AppendBinary(nil) }

func appendFloats(b []byte, fs []float32) []byte {
	for _, v := range fs {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
