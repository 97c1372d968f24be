package ipinsights

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// A model's bytes, little endian:
//
//	"hsip\x01"  vectors u32  dim u32  layers u32
//	entities (vectors,dim) f32, first IPv4 (33,dim), first IPv6 (129,dim), rest layers times (dim+1,dim)
//	crc u32, Castagnoli, over all before it
const magic = "hsip\x01"

// ErrFormat is what unmarshalling says of bytes that are no model of this version, or a damaged one.
var ErrFormat = errors.New("not a model of IP Insights")

// MarshalBinary returns the model's bytes. Restored, it gives the same scores bit for bit.
func (m *Model) MarshalBinary() ([]byte, error) {
	le := binary.LittleEndian
	b := le.AppendUint32([]byte(magic), uint32(m.vectors))
	b = le.AppendUint32(b, uint32(m.dim))
	b = le.AppendUint32(b, uint32(len(m.encoder.rest)))
	for _, w := range m.arrays() {
		for at := 0; at < len(w); at += m.encoder.d {
			for _, v := range w[at : at+m.dim] {
				b = le.AppendUint32(b, math.Float32bits(v))
			}
		}
	}
	return le.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))), nil
}

func (m *Model) arrays() [][]float32 {
	return append([][]float32{m.entities, m.encoder.first[v4], m.encoder.first[v6]}, m.encoder.rest...)
}

// UnmarshalModel reads what MarshalBinary wrote. What it refuses is an [ErrFormat].
func UnmarshalModel(b []byte) (*Model, error) {
	le := binary.LittleEndian
	head := len(magic)
	if len(b) < head+16 || string(b[:head]) != magic {
		return nil, fmt.Errorf("%w: no header of this version", ErrFormat)
	}
	body, sum := b[:len(b)-4], le.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) != sum {
		return nil, fmt.Errorf("%w: the checksum is wrong: cut short or altered", ErrFormat)
	}
	vectors, dim, layers := uint64(le.Uint32(b[head:])), uint64(le.Uint32(b[head+4:])), uint64(le.Uint32(b[head+8:]))
	if vectors < 1 || vectors > 250_000_000 || dim < 4 || dim > 4096 || layers > 100 {
		return nil, fmt.Errorf("%w: %d vectors of %d numbers, %d layers", ErrFormat, vectors, dim, layers)
	}
	if want := 4 * dim * (vectors + 33 + 129 + layers*(dim+1)); uint64(len(body)-head-12) != want {
		return nil, fmt.Errorf("%w: %d bytes of numbers, want %d", ErrFormat, len(body)-head-12, want)
	}
	m := newModel(int(vectors), blankEncoder(int(dim), int(layers)))
	rest := body[head+12:]
	for _, w := range m.arrays() {
		for at := 0; at < len(w); at += m.encoder.d {
			for i := range m.dim {
				v := math.Float32frombits(le.Uint32(rest))
				if v != v || math.IsInf(float64(v), 0) {
					return nil, fmt.Errorf("%w: a weight that is no number", ErrFormat)
				}
				w[at+i], rest = v, rest[4:]
			}
		}
	}
	m.encoder.tabulate(v4)
	m.encoder.tabulate(v6)
	return m, nil
}
