package ipinsights

import (
	"math"
	"net/netip"
	"sync"

	"github.com/cespare/xxhash/v2"
)

// Model is what was learnt. It doesn't change any more and is safe for concurrent use.
type Model struct {
	vectors  int
	dim      int
	entities []float32 // (vectors, d), row-major
	encoder  *encoder
	memory   sync.Pool // of *layers
}

func newModel(vectors int, e *encoder) *Model {
	m := &Model{vectors: vectors, dim: e.dim, encoder: e, entities: make([]float32, vectors*e.d)}
	m.memory.New = func() any { return &layers{e.layers()} }
	return m
}

// layers is the memory of one encoding.
type layers struct{ ls [][]float32 }

// VectorDim returns the length of the vectors.
func (m *Model) VectorDim() int { return m.dim }

// slot returns which vector an entity has: its name's xxHash64, modulo their number.
func slot(entity string, vectors int) int { return int(xxhash.Sum64String(entity) % uint64(vectors)) }

func (m *Model) entity(name string) []float32 {
	i := slot(name, m.vectors) * m.encoder.d
	return m.entities[i : i+m.encoder.d]
}

// Score returns the dot product of the entity's and the address's vector: the higher, the more usual. An address that is not
// valid scores minus infinity.
func (m *Model) Score(entity string, ip netip.Addr) float64 {
	if !ip.IsValid() {
		return math.Inf(-1)
	}
	l := m.memory.Get().(*layers)
	s := dot(m.entity(entity), m.encoder.encode(l.ls, ip))
	m.memory.Put(l)
	return float64(s)
}

// AppendScores appends the score of each pair to dst.
func (m *Model) AppendScores(dst []float64, pairs []Pair) []float64 {
	l := m.memory.Get().(*layers)
	for _, p := range pairs {
		if !p.IP.IsValid() {
			dst = append(dst, math.Inf(-1))
			continue
		}
		dst = append(dst, float64(dot(m.entity(p.Entity), m.encoder.encode(l.ls, p.IP))))
	}
	m.memory.Put(l)
	return dst
}

// AppendEntityVector appends the vector of an entity, VectorDim numbers.
func (m *Model) AppendEntityVector(dst []float32, entity string) []float32 {
	return append(dst, m.entity(entity)[:m.dim]...)
}

// AppendIPVector appends the vector of an address, VectorDim numbers.
func (m *Model) AppendIPVector(dst []float32, ip netip.Addr) []float32 {
	l := m.memory.Get().(*layers)
	dst = append(dst, m.encoder.encode(l.ls, ip)[:m.dim]...)
	m.memory.Put(l)
	return dst
}
