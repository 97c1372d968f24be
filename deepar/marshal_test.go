package deepar

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
)

func trained(t testing.TB) (*Model, []Series) {
	t.Helper()
	series := waves(4, 80)
	for i := range series {
		series[i].Cat = []int{i % 2}
	}
	m, err := Train(t.Context(), series, small(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return m, series
}

func TestModelFileIsTheModel(t *testing.T) {
	m, series := trained(t)
	b, err := m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var back Model
	if err := back.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	want, err := m.Sample(t.Context(), &series[2], 5, 9)
	if err != nil {
		t.Fatal(err)
	}
	got, err := back.Sample(t.Context(), &series[2], 5, 9)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want.Paths {
		if !slices.Equal(got.Paths[i], want.Paths[i]) {
			t.Fatalf("path %d differs after reading the file", i)
		}
	}
	if back.FinalLoss() != m.FinalLoss() {
		t.Errorf("final loss %v, want %v", back.FinalLoss(), m.FinalLoss())
	}
}

// resum gives b the checksum of what it holds.
func resum(b []byte) []byte {
	body := b[:len(b)-4]
	return binary.LittleEndian.AppendUint32(slices.Clone(body), crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}

func TestDamagedModelFileSaysWhatIsWrong(t *testing.T) {
	m, _ := trained(t)
	whole, err := m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		want string
		do   func(b []byte) []byte
	}{
		{"doesn't begin", func([]byte) []byte { return nil }},
		{"doesn't begin", func(b []byte) []byte { b[0] = 'x'; return b }},
		{"version 9", func(b []byte) []byte { b[7] = 9; return b }},
		{"cut off after 10 bytes", func(b []byte) []byte { return b[:10] }},
		{"checksum", func(b []byte) []byte { return b[:len(b)-1] }},
		{"checksum", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }},
		{"a header of", func(b []byte) []byte { b[11] = 0xff; return resum(b) }},
		{"header:", func(b []byte) []byte { b[12] = 'x'; return resum(b) }},
		{"bytes of weights", func(b []byte) []byte { return resum(b[:len(b)-4]) }},
		{"weight", func(b []byte) []byte { copy(b[len(b)-8:], "\xff\xff\xff\xff"); return resum(b) }},
	} {
		var back Model
		err := back.UnmarshalBinary(tt.do(slices.Clone(whole)))
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %q", err, tt.want)
		}
	}
}

func FuzzModelFile(f *testing.F) {
	m, series := trained(f)
	whole, err := m.MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:40])
	f.Add([]byte("DeepAR\x00\x01\x02\x00\x00\x00{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 4 {
			return
		}
		var back Model
		if back.UnmarshalBinary(resum(b)) != nil {
			return
		}
		if back.config.PredictionLength > 50 || back.config.ContextLength > 50 {
			return // true, and slow
		}
		if back.Check(&series[0]) == nil {
			if _, err := back.Sample(t.Context(), &series[0], 1, 1); err != nil {
				t.Fatal(err)
			}
		}
	})
}
