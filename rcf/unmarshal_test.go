package rcf

import (
	"encoding/binary"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestModelThatLies: a header that promises much over few bytes is an error before memory is taken for it.
func TestModelThatLies(t *testing.T) {
	f := newForest(t, 2, Config{NumTrees: 2, NumSamplesPerTree: 16, ShingleSize: 2})
	feed(t, f, series(1, 100, 2))
	b, _ := f.MarshalBinary()
	for _, tt := range []struct {
		at   int
		v    uint32
		want string
	}{
		{4, 60_000, "out of range"}, // dimensions, in shingles of 2
		{4, 30_000, "cut short"},
		{8, 256, "shingle"}, // shingle
		{12, 1000, "cut short"},
		{12, 1 << 31, "out of range"}, // trees
		{16, 2048, "slot"},            // samples: the free slot can't be in the middle of a sample that isn't full
		{20, 17, "17 points in trees of 16"},
		{20, 4, "rows"},
	} {
		bad := slices.Clone(b[:len(b)-4])
		binary.LittleEndian.PutUint32(bad[tt.at:], tt.v)
		bad = binary.LittleEndian.AppendUint32(bad, checksum(bad))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := new(Forest).UnmarshalBinary(bad)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrModel) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%d at byte %d: %v", tt.v, tt.at, err)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 1<<17 {
			t.Errorf("%d at byte %d: %d bytes taken", tt.v, tt.at, got)
		}
	}
	if err := new(Forest).UnmarshalBinary(nil); !errors.Is(err, ErrModel) {
		t.Errorf("nothing: %v", err)
	}
	old := slices.Clone(b)
	old[3] = 2
	if err := new(Forest).UnmarshalBinary(old); !errors.Is(err, ErrModel) || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("another version: %v", err)
	}
}
