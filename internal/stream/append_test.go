package stream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"homeostat/internal/signal"
)

// eventually waits for a condition that comes about by itself.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
		<-tick.C
	}
}

// read collects, for each series, the times of its samples in the order in which they come, up to the stream's end.
func read(t testing.TB, s *Stream, after uint64) map[string][]int64 {
	t.Helper()
	got := map[string][]int64{}
	if s.Last() <= after {
		return got
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err := s.Read(ctx, after, func(seq uint64, b *signal.Batch) error {
		for i, k := range b.Series {
			name := b.Dict[k].Labels.String()
			got[name] = append(got[name], b.Times[i])
		}
		if seq >= s.Last() {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	return got
}

func TestConcurrentAppendsAreGatheredAndNoneIsLost(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir(), Reserve: -1, Partitions: 4})
	const sources, rounds, series = 40, 5, 20
	var wg sync.WaitGroup
	for i := range sources {
		wg.Go(func() {
			b := &signal.Batch{} // used again: the stream keeps nothing of it but labels
			for r := range rounds {
				b.Reset()
				for k := range series {
					b.Add(b.AddSeries(signal.MakeSeries(signal.Labels{
						{Name: "__name__", Value: "m"}, {Name: "host_name", Value: fmt.Sprint("web-", i)}, {Name: "k", Value: fmt.Sprint(k)},
					})), int64(r), 1)
				}
				if err := s.Append(t.Context(), b); err != nil {
					t.Error(err)
				}
				clear(b.Dict)
			}
		})
	}
	wg.Wait()
	got := read(t, s, 0)
	if len(got) != sources*series {
		t.Errorf("%d series, want %d", len(got), sources*series)
	}
	for name, times := range got {
		if fmt.Sprint(times) != "[0 1 2 3 4]" {
			t.Errorf("%s has %v", name, times)
		}
	}
	// 4,000 samples in 200 pieces: far fewer messages, whose number depends on the machine's mood.
	if s.Last() > sources*rounds/2 {
		t.Errorf("%d messages for %d appends: not gathered", s.Last(), sources*rounds)
	}
}

func TestEntitiesStayInTheirPartition(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir(), Reserve: -1})
	b := host("web-1", 3, 1)
	for i := range 100 {
		k := b.AddSeries(signal.MakeSeries(signal.MakeLabels(map[string]string{"__name__": "m", "host_name": fmt.Sprint("db-", i)})))
		b.Add(k, 1, 1)
	}
	b.Meta = []signal.Meta{{Name: "m", Type: "gauge"}}
	b.Histograms = []signal.Histogram{{Series: 5, Time: 7, Data: []byte("h")}}
	for i := range 10 {
		b.Orders = append(b.Orders, signal.MakeOrder(signal.Order{
			Do: signal.Confirm, Detector: "host", Entity: signal.EntityID(fmt.Sprint("host:db-", i)), Series: "all", Anomaly: "an-1",
		}))
	}
	b.Orders[9].Episode = &signal.Episode{Organisation: "111122223333"} // about accesses, which lie in their organisation's
	if err := s.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	rows, meta, histograms, orders := 0, 0, 0, 0
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := s.Read(ctx, 0, func(seq uint64, b *signal.Batch) error {
		partition := strings.Split(b.ID, "-")[1]
		for _, d := range b.Dict {
			if want := fmt.Sprint(s.partition(d.Entity)); partition != want {
				t.Errorf("%s is in partition %s, want %s", d.Entity, partition, want)
			}
		}
		for _, o := range b.Orders {
			want := fmt.Sprint(s.partition(o.Entity))
			if o.Episode != nil {
				want = fmt.Sprint(s.partition("111122223333"))
			}
			if partition != want {
				t.Errorf("the order to %s is in partition %s, want %s", o.Entity, partition, want)
			}
		}
		rows, meta, histograms, orders = rows+len(b.Series), meta+len(b.Meta), histograms+len(b.Histograms), orders+len(b.Orders)
		if seq == s.Last() {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) || rows != 103 || meta != 1 || histograms != 1 || orders != 10 {
		t.Errorf("%d rows, %d meta, %d histograms, %d orders, %v", rows, meta, histograms, orders, err)
	}
	if err := s.Append(t.Context(), &signal.Batch{Orders: []signal.Order{{Do: signal.Mute}}}); !errors.Is(err, signal.ErrInvalid) {
		t.Errorf("an order about nothing: %v, want invalid", err)
	}
}

func TestSmallPiecesWaitAtMostTheGatherTime(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir(), Reserve: -1})
	began := time.Now()
	if err := s.Append(t.Context(), host("web-1", 1, 1)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < gatherTime/2 || took > gatherTime+5*time.Second {
		t.Errorf("a lone sample took %s, want about %s", took, gatherTime)
	}
	if h := s.Health(); !h.Ready || h.State != "ok" || h.Name != "stream" {
		t.Errorf("health %+v", h)
	}
}

func TestAppendRefusesABatchThatDoesNotFit(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir(), Reserve: -1})
	b := host("web-1", 2, 1)
	b.Times = b.Times[:1]
	if err := s.Append(t.Context(), b); err == nil {
		t.Error("taken")
	}
	if h := s.Health(); h.Dropped != 2 {
		t.Errorf("dropped %d, want 2", h.Dropped)
	}
}

func TestAppendEndsWithItsContext(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir(), Reserve: -1})
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errEnough)
	if err := s.Append(ctx, host("web-1", 1, 1)); !errors.Is(err, errEnough) {
		t.Errorf("err %v, want the cause", err)
	}
}

func TestFullDiskRefusesAndGoesOnByItself(t *testing.T) {
	var free atomic.Uint64
	free.Store(1 << 40)
	s := open(t, Config{
		Dir: t.TempDir(), Reserve: 100 << 20,
		Free: func(string) (uint64, error) { return free.Load(), nil },
	})
	if err := s.Append(t.Context(), host("web-1", 1, 1)); err != nil {
		t.Fatal(err)
	}
	free.Store(99 << 20)
	eventually(t, "the stream sees it", func() bool { return !s.Health().Ready })
	err := s.Append(t.Context(), host("web-1", 1, 2))
	if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "99 MB free") {
		t.Errorf("err %v, want ErrFull in words", err)
	}
	if h := s.Health(); !strings.Contains(h.State, "disk is full") {
		t.Errorf("state %q", h.State)
	}
	free.Store(101 << 20) // within a tenth of the reserve: not yet
	if err := s.checkDisk(); err != nil || s.Health().Ready {
		t.Errorf("goes on at once, or %v", err)
	}
	free.Store(1 << 30)
	eventually(t, "the stream goes on", func() bool { return s.Health().Ready })
	if err := s.Append(t.Context(), host("web-1", 1, 3)); err != nil {
		t.Fatal(err)
	}
	for name, times := range read(t, s, 0) {
		if fmt.Sprint(times) != "[1 3]" {
			t.Errorf("%s has %v, want what was acknowledged", name, times)
		}
	}
}

func TestAtMaxBytesTheNewIsRefusedUntilTrimmed(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir(), Reserve: -1, MaxBytes: 64 << 10})
	random := func() *signal.Batch { // what doesn't pack
		b := &signal.Batch{}
		k := b.AddSeries(signal.MakeSeries(signal.Labels{{Name: "__name__", Value: "m"}}))
		for range gatherRows {
			b.Add(k, rand.Int64(), rand.NormFloat64())
		}
		return b
	}
	var err error
	n := 0
	for ; err == nil && n < 100; n++ {
		err = s.Append(t.Context(), random())
	}
	if !errors.Is(err, ErrFull) {
		t.Fatalf("after %d messages: %v, want ErrFull", n, err)
	}
	if err := s.Trim(t.Context(), s.Last()-1); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(t.Context(), random()); err != nil {
		t.Errorf("after the trim: %v", err)
	}
	if !s.server.JetStreamEnabled() {
		t.Error("JetStream has switched itself off")
	}
}

func TestReadersSurviveTheLossOfTheirConsumer(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir(), Reserve: -1})
	for i := range 3 {
		if err := s.Append(t.Context(), host("web-1", 1, int64(i))); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var times []int64
	err := s.Read(ctx, 0, func(seq uint64, b *signal.Batch) error {
		times = append(times, b.Times...)
		if seq == 2 { // the server forgets the reader
			st, err := s.js.Stream(ctx, streamName)
			if err != nil {
				return err
			}
			for name := range st.ConsumerNames(ctx).Name() {
				if err := st.DeleteConsumer(ctx, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
					return err
				}
			}
			go func() { _ = s.Append(ctx, host("web-1", 1, 3)) }()
		}
		if b.Times[0] == 3 {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) || fmt.Sprint(times) != "[0 1 2 3]" {
		t.Errorf("read %v, %v", times, err)
	}
}

func TestTrimKeepsWhatIsBehindIt(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir(), Reserve: -1})
	for i := range 4 {
		if err := s.Append(t.Context(), host("web-1", 1, int64(i))); err != nil {
			t.Fatal(err)
		}
	}
	for _, upTo := range []uint64{0, 2, 1} {
		if err := s.Trim(t.Context(), upTo); err != nil {
			t.Fatal(err)
		}
	}
	for name, times := range read(t, s, 0) {
		if fmt.Sprint(times) != "[2 3]" {
			t.Errorf("%s has %v", name, times)
		}
	}
}

func TestAPositionFromALostFutureGoesOnBehindWhatThereIs(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir(), Reserve: -1})
	if err := s.Append(t.Context(), host("web-1", 1, 5)); err != nil {
		t.Fatal(err)
	}
	if got := read(t, s, 0); len(got) != 1 {
		t.Fatal(got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := s.Read(ctx, 1000, func(seq uint64, b *signal.Batch) error { return errEnough })
	if !errors.Is(err, errEnough) {
		t.Errorf("err %v: nothing was read", err)
	}
}

func TestFolderIsKeptByOneAndAsItWasMade(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir, Reserve: -1, Partitions: 8})
	if _, err := Open(t.Context(), Config{Dir: dir, Reserve: -1}, nil, nil); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("opened twice: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(t.Context(), host("web-1", 1, 1)); !errors.Is(err, ErrClosed) {
		t.Errorf("append after Close: %v", err)
	}
	if _, err := Open(t.Context(), Config{Dir: dir, Reserve: -1, Partitions: 9}, nil, nil); err == nil || !strings.Contains(err.Error(), "made with 8 partitions") {
		t.Errorf("opened with another count: %v", err)
	}
	s = open(t, Config{Dir: dir, Reserve: -1})
	if s.Partitions() != 8 {
		t.Errorf("%d partitions, want 8", s.Partitions())
	}
	s.Close()
	if err := os.WriteFile(filepath.Join(dir, "meta.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Config{Dir: dir, Reserve: -1}, nil, nil); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("opened with a damaged meta file: %v", err)
	}
}

func TestCloseEndsReadersAndKeepsWhatWasTaken(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir, Reserve: -1})
	var wg sync.WaitGroup
	var taken atomic.Int64
	wg.Go(func() {
		err := s.Read(t.Context(), 0, func(uint64, *signal.Batch) error { return nil })
		if !errors.Is(err, ErrClosed) {
			t.Errorf("reader ended with %v, want ErrClosed", err)
		}
	})
	for i := range 8 {
		wg.Go(func() {
			for k := int64(0); ; k++ {
				if s.Append(t.Context(), host(fmt.Sprint("web-", i), 1, k)) != nil {
					return
				}
				taken.Add(1)
			}
		})
	}
	eventually(t, "some are taken", func() bool { return taken.Load() > 16 })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	s = open(t, Config{Dir: dir, Reserve: -1})
	var got int64
	for _, times := range read(t, s, 0) {
		got += int64(len(times))
	}
	if got < taken.Load() {
		t.Errorf("%d samples, %d were acknowledged", got, taken.Load())
	}
}
