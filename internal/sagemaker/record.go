package sagemaker

import (
	"errors"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Record is aialgs.data.Record, the protocol buffer that SageMaker's algorithms read and write: tensors by name.
type Record struct {
	Features map[string]Tensor
	Label    map[string]Tensor
}

// Tensor is a vector: dense where Keys is empty, else Values[i] stands at Keys[i] and everything else is 0.
type Tensor struct {
	Values []float64
	Keys   []uint64
	Shape  []uint64
}

// Values is the name of the features, and of the label, of whoever has one only.
const Values = "values"

// Dense appends the dim values of t to dst.
func (t *Tensor) Dense(dst []float64, dim int) ([]float64, error) {
	size := uint64(1)
	for _, n := range t.Shape {
		if n == 0 || size > math.MaxInt32/n {
			return dst, BadBody("a tensor of shape %v", t.Shape)
		}
		size *= n
	}
	if len(t.Shape) > 0 && size != uint64(dim) {
		return dst, BadBody("a tensor of shape %v; want %d features", t.Shape, dim)
	}
	if len(t.Keys) == 0 && (len(t.Values) > 0 || len(t.Shape) == 0) {
		if len(t.Values) != dim {
			return dst, BadBody("%d features; want %d", len(t.Values), dim)
		}
		for i, v := range t.Values {
			if v-v != 0 {
				return dst, BadBody("feature %d is %v", i+1, v)
			}
		}
		return append(dst, t.Values...), nil
	}
	if len(t.Keys) != len(t.Values) {
		return dst, BadBody("%d keys for %d values", len(t.Keys), len(t.Values))
	}
	at := len(dst)
	for range dim {
		dst = append(dst, 0)
	}
	for i, k := range t.Keys {
		if k >= uint64(dim) {
			return dst[:at], BadBody("key %d; want less than %d", k, dim)
		}
		if v := t.Values[i]; v-v != 0 {
			return dst[:at], BadBody("the feature at key %d is %v", k, v)
		}
		dst[at+int(k)] = t.Values[i]
	}
	return dst, nil
}

// Records reads RecordIO-protobuf and calls fn with each record and its number, from 1. The record is fn's until it returns.
func Records(r io.Reader, fn func(n int, rec *Record) error) error {
	frames := NewFrames(r)
	for n := 1; ; n++ {
		payload, err := frames.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		rec, err := parseRecord(payload)
		if err != nil {
			return BadBody("record %d: %w", n, err)
		}
		if err := fn(n, rec); err != nil {
			return err
		}
	}
}

// The fields of the protocol buffers:
//
//	Record  1 features, 2 label: map of string to Value    3 uid, 4 metadata, 5 configuration: strings, not kept
//	Value   one of 2 Float32Tensor, 3 Float64Tensor, 7 Int32Tensor, 9 Bytes (not kept)
//	tensors 1 values, 2 keys, 3 shape: packed, or one by one
func parseRecord(b []byte) (*Record, error) {
	rec := &Record{}
	err := eachField(b, func(num protowire.Number, _ uint64, part []byte) error {
		var into *map[string]Tensor
		switch num {
		case 1:
			into = &rec.Features
		case 2:
			into = &rec.Label
		default:
			return nil
		}
		name := ""
		var t Tensor
		err := eachField(part, func(num protowire.Number, _ uint64, part []byte) (err error) {
			switch num {
			case 1:
				name = string(part)
			case 2:
				t, err = parseValue(part)
			}
			return err
		})
		if err != nil {
			return err
		}
		if *into == nil {
			*into = map[string]Tensor{}
		}
		(*into)[name] = t
		return nil
	})
	return rec, err
}

func parseValue(b []byte) (t Tensor, err error) {
	err = eachField(b, func(num protowire.Number, _ uint64, part []byte) (err error) {
		switch num {
		case 2, 3, 7:
			t, err = parseTensor(num, part)
		}
		return err
	})
	return t, err
}

func parseTensor(kind protowire.Number, b []byte) (t Tensor, err error) {
	err = eachField(b, func(num protowire.Number, one uint64, part []byte) (err error) {
		switch num {
		case 1:
			t.Values, err = appendValues(t.Values, kind, one, part)
		case 2:
			t.Keys, err = appendInts(t.Keys, one, part)
		case 3:
			t.Shape, err = appendInts(t.Shape, one, part)
		}
		return err
	})
	return t, err
}

func appendValues(dst []float64, kind protowire.Number, one uint64, part []byte) ([]float64, error) {
	value := func(bits uint64) float64 {
		switch kind {
		case 2:
			return float64(math.Float32frombits(uint32(bits)))
		case 3:
			return math.Float64frombits(bits)
		}
		return float64(int32(bits))
	}
	if part == nil {
		return append(dst, value(one)), nil
	}
	for len(part) > 0 {
		var bits uint64
		var n int
		switch kind {
		case 2:
			var v uint32
			v, n = protowire.ConsumeFixed32(part)
			bits = uint64(v)
		case 3:
			bits, n = protowire.ConsumeFixed64(part)
		default:
			bits, n = protowire.ConsumeVarint(part)
		}
		if n < 0 {
			return dst, protowire.ParseError(n)
		}
		dst, part = append(dst, value(bits)), part[n:]
	}
	return dst, nil
}

func appendInts(dst []uint64, one uint64, part []byte) ([]uint64, error) {
	if part == nil {
		return append(dst, one), nil
	}
	for len(part) > 0 {
		v, n := protowire.ConsumeVarint(part)
		if n < 0 {
			return dst, protowire.ParseError(n)
		}
		dst, part = append(dst, v), part[n:]
	}
	return dst, nil
}

// eachField calls fn with each field of a message: part for one that has a length (never nil), one for a number.
func eachField(b []byte, fn func(num protowire.Number, one uint64, part []byte) error) error {
	for len(b) > 0 {
		num, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		var one uint64
		var part []byte
		switch kind {
		case protowire.BytesType:
			if part, n = protowire.ConsumeBytes(b); part == nil {
				part = []byte{}
			}
		case protowire.VarintType:
			one, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(b)
			one = uint64(v)
		case protowire.Fixed64Type:
			one, n = protowire.ConsumeFixed64(b)
		default:
			n = protowire.ConsumeFieldValue(num, kind, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if err := fn(num, one, part); err != nil {
			return err
		}
	}
	return nil
}

// AppendRecord appends a frame with rec to dst, values as Float32Tensor.
func AppendRecord(dst []byte, rec *Record) []byte {
	var b []byte
	b = appendTensors(b, 1, rec.Features)
	b = appendTensors(b, 2, rec.Label)
	return AppendFrame(dst, b)
}

func appendTensors(b []byte, field protowire.Number, ts map[string]Tensor) []byte {
	for name, t := range ts {
		var tensor, packed []byte
		for _, v := range t.Values {
			packed = protowire.AppendFixed32(packed, math.Float32bits(float32(v)))
		}
		tensor = protowire.AppendBytes(protowire.AppendTag(tensor, 1, protowire.BytesType), packed)
		for num, ints := range [...][]uint64{2: t.Keys, 3: t.Shape} {
			if packed = packed[:0]; len(ints) > 0 {
				for _, v := range ints {
					packed = protowire.AppendVarint(packed, v)
				}
				tensor = protowire.AppendBytes(protowire.AppendTag(tensor, protowire.Number(num), protowire.BytesType), packed)
			}
		}
		value := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), tensor)
		entry := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), name)
		entry = protowire.AppendBytes(protowire.AppendTag(entry, 2, protowire.BytesType), value)
		b = protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), entry)
	}
	return b
}
