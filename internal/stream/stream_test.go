package stream

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"homeostat/internal/signal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// host makes a batch of n series of a host, a sample each.
func host(name string, n int, at int64) *signal.Batch {
	b := &signal.Batch{}
	for i := range n {
		s := b.AddSeries(signal.MakeSeries(signal.MakeLabels(map[string]string{
			"__name__": "m", "host_name": name, "i": fmt.Sprint(i),
		})))
		b.Add(s, at, float64(at)+float64(i)/16)
	}
	return b
}

func open(t testing.TB, cfg Config) *Stream {
	t.Helper()
	s, err := Open(t.Context(), cfg, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

var errEnough = errors.New("enough")

func TestReadGivesWhatWasAppended(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir, Reserve: -1})
	for i := range 5 {
		if err := s.Append(t.Context(), host("web-1", 10, int64(1000+i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Append(t.Context(), host("web-1", 3500, 2000)); err != nil {
		t.Fatal(err)
	}
	read := func(s *Stream, after uint64) (rows int, last uint64) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		err := s.Read(ctx, after, func(seq uint64, b *signal.Batch) error {
			rows += b.Len()
			last = seq
			if want := fmt.Sprintf("ba-%d-%d", s.partition("host:web-1"), seq); b.ID != want {
				t.Errorf("batch is called %q, want %q", b.ID, want)
			}
			if seq == s.Last() {
				return errEnough
			}
			return nil
		})
		if !errors.Is(err, errEnough) {
			t.Fatal(err)
		}
		return rows, last
	}
	if rows, last := read(s, 0); rows != 3550 || last != s.Last() {
		t.Errorf("read %d rows to %d, want 3550 to %d", rows, last, s.Last())
	}
	want := s.Last()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, Config{Dir: dir, Reserve: -1})
	if s.Last() != want || s.Opened() != want {
		t.Errorf("opened again at %d, want %d", s.Last(), want)
	}
	if rows, _ := read(s, 2); rows != 3530 {
		t.Errorf("read %d rows after 2, want 3530", rows)
	}
}
