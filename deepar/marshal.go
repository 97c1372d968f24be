package deepar

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// A model's file:
//
//	"DeepAR" 0 1 | length of the header, uint32 | header, JSON | weights, float32 each | CRC-32C of all before, uint32
//
// Numbers are little-endian. The byte before the length is the version.
var fileBegin = []byte("DeepAR\x00\x01")

// ErrDamaged means that a model's file isn't what was written.
var ErrDamaged = errors.New("damaged model file")

// fileHeader is all but the weights.
type fileHeader struct {
	Config Config
	Spec   spec
	Loss   float64
}

// MarshalBinary returns the model's file.
func (m *Model) MarshalBinary() ([]byte, error) {
	c := m.config
	c.Workers = 0 // it says nothing of the model
	header, err := json.Marshal(fileHeader{c, m.spec, m.loss})
	if err != nil {
		return nil, fmt.Errorf("deepar: %w", err)
	}
	b := append([]byte(nil), fileBegin...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(header)))
	b = append(b, header...)
	for _, w := range m.w {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(w))
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))), nil
}

// UnmarshalBinary makes m the model of a file. It checks all of it: ErrDamaged, with what is wrong, leaves m as it was.
func (m *Model) UnmarshalBinary(b []byte) error {
	damaged := func(format string, args ...any) error {
		return fmt.Errorf("%w: %w", ErrDamaged, fmt.Errorf(format, args...))
	}
	begin := len(fileBegin)
	switch {
	case len(b) < begin || !bytes.Equal(b[:begin-1], fileBegin[:begin-1]):
		return damaged("it doesn't begin as a DeepAR model does")
	case b[begin-1] != fileBegin[begin-1]:
		return damaged("version %d, this program reads %d", b[begin-1], fileBegin[begin-1])
	case len(b) < begin+8:
		return damaged("cut off after %d bytes", len(b))
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if got := crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)); got != sum {
		return damaged("checksum %08x, want %08x: cut off or changed", got, sum)
	}
	n := int(binary.LittleEndian.Uint32(b[begin:]))
	rest := body[begin+4:]
	if n > len(rest) {
		return damaged("a header of %d bytes in %d", n, len(rest))
	}
	dec := json.NewDecoder(bytes.NewReader(rest[:n]))
	dec.DisallowUnknownFields()
	var h fileHeader
	if err := dec.Decode(&h); err != nil {
		return damaged("header: %w", err)
	}
	weights := rest[n:]
	if err := h.check(len(weights)); err != nil {
		return damaged("header: %w", err)
	}
	next := Model{config: h.Config, spec: h.Spec, layout: newLayout(&h.Config, &h.Spec), loss: h.Loss}
	if len(weights) != 4*next.layout.total {
		return damaged("%d bytes of weights, want %d", len(weights), 4*next.layout.total)
	}
	next.w = make([]float32, next.layout.total)
	for i := range next.w {
		v := math.Float32frombits(binary.LittleEndian.Uint32(weights[4*i:]))
		if v != v || math.IsInf(float64(v), 0) {
			return damaged("weight %d is %v", i, v)
		}
		next.w[i] = v
	}
	*m = next
	return nil
}

// check says what in a header can't be, before anything as large as it says is made.
func (h *fileHeader) check(weightBytes int) error {
	c, s := &h.Config, &h.Spec
	if c.DropoutRate == nil {
		return errors.New("no dropout rate")
	}
	if err := c.check(); err != nil {
		return err
	}
	for i, l := range s.Lags {
		if l < 1 || l > 1200 || i > 0 && l <= s.Lags[i-1] {
			return fmt.Errorf("lags %v", s.Lags)
		}
	}
	if s.Calendars < 0 || s.Calendars > len(c.Freq.calendars()) {
		return fmt.Errorf("%d calendars", s.Calendars)
	}
	embeddings := 0
	for _, k := range s.Cardinality {
		if k < 1 || k > weightBytes/4 {
			return fmt.Errorf("a cardinality of %d", k)
		}
		if embeddings += k * c.EmbeddingDimension; embeddings > weightBytes/4 {
			return fmt.Errorf("more embeddings than weights")
		}
	}
	if len(s.DynMean) != len(s.DynScale) {
		return errors.New("dynamic features' means and scales differ in number")
	}
	for _, v := range s.DynScale {
		if !(v > 0) {
			return fmt.Errorf("a scale of %v", v)
		}
	}
	if !(s.LogScale > 0) {
		return fmt.Errorf("a scale of scales of %v", s.LogScale)
	}
	return nil
}
