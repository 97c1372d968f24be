// Package sourcetest has a [Sink] that keeps batches in memory, and [Run], the tests that every source passes:
//
//	func TestSource(t *testing.T) {
//		sourcetest.Run(t, func(t *testing.T) sourcetest.Source { ... })
//	}
package sourcetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"homeostat/internal/signal"
	"homeostat/internal/source"
)

// Sink keeps what it is given, in memory. The zero value works. Safe for concurrent use.
type Sink struct {
	mu      sync.Mutex
	batches []signal.Batch
	refuse  error
	came    chan struct{} // closed and made anew at each batch
}

var _ source.Sink = (*Sink)(nil)

// Append keeps a copy of b, as the contract says, or returns what Refuse was given.
func (s *Sink) Append(ctx context.Context, b *signal.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		return s.refuse
	}
	c := *b
	c.Dict, c.Series, c.Times, c.Values = slices.Clone(b.Dict), slices.Clone(b.Series), slices.Clone(b.Times), slices.Clone(b.Values)
	c.Meta = slices.Clone(b.Meta)
	c.Histograms = slices.Clone(b.Histograms)
	for i := range c.Histograms {
		c.Histograms[i].Data = slices.Clone(c.Histograms[i].Data)
	}
	s.batches = append(s.batches, c)
	if s.came != nil {
		close(s.came)
		s.came = nil
	}
	return nil
}

// Refuse makes Append fail with err from now on, or work again with nil.
func (s *Sink) Refuse(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = err
}

// Batches returns what has come so far.
func (s *Sink) Batches() []signal.Batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.batches)
}

// Wait returns once at least n batches have come, or fails the test after a minute.
func (s *Sink) Wait(t testing.TB, n int) []signal.Batch {
	t.Helper()
	end := time.After(time.Minute)
	for {
		s.mu.Lock()
		if len(s.batches) >= n {
			defer s.mu.Unlock()
			return slices.Clone(s.batches)
		}
		if s.came == nil {
			s.came = make(chan struct{})
		}
		came, have := s.came, len(s.batches)
		s.mu.Unlock()
		select {
		case <-came:
		case <-end:
			t.Fatalf("only %d of %d batches came", have, n)
		}
	}
}

// Sample is one row, spelt out.
type Sample struct {
	Series string // as PromQL writes it
	Time   int64
	Value  float64
}

// Samples returns all rows that have come, in order.
func (s *Sink) Samples() []Sample {
	var out []Sample
	for _, b := range s.Batches() {
		for i, si := range b.Series {
			out = append(out, Sample{b.Dict[si].Labels.String(), b.Times[i], b.Values[i]})
		}
	}
	return out
}

// Source is what Run tests: anything that reads by itself.
type Source interface {
	Run(ctx context.Context, sink source.Sink) error
}

// Run tests a source that reads by itself. Open returns a new one each time that soon, within seconds, appends and goes on.
func Run(t *testing.T, open func(t *testing.T) Source) {
	t.Run("AppendsWellFormedBatches", func(t *testing.T) {
		sink := &Sink{}
		stop := start(t, open(t), sink)
		sink.Wait(t, 3)
		stop()
		for i, b := range sink.Batches() {
			if err := Check(&b); err != nil {
				t.Errorf("batch %d: %v", i, err)
			}
			if b.Len() == 0 {
				t.Errorf("batch %d is empty", i)
			}
		}
	})
	t.Run("TimesGoForward", func(t *testing.T) {
		sink := &Sink{}
		stop := start(t, open(t), sink)
		sink.Wait(t, 3)
		stop()
		last := map[signal.SeriesID]int64{}
		for _, b := range sink.Batches() {
			for i, si := range b.Series {
				id := b.Dict[si].ID
				if at := b.Times[i]; at <= last[id] {
					t.Fatalf("%s: %d follows %d", b.Dict[si].Labels, at, last[id])
				}
				last[id] = b.Times[i]
			}
		}
	})
	t.Run("LosesNothingWhileTheSinkRefuses", func(t *testing.T) {
		sink := &Sink{}
		sink.Refuse(fmt.Errorf("no room"))
		began := time.Now()
		stop := start(t, open(t), sink)
		time.AfterFunc(time.Second, func() { sink.Refuse(nil) })
		first := sink.Wait(t, 1)[0]
		stop()
		if at := time.UnixMilli(slices.Min(first.Times)); at.After(began.Add(900 * time.Millisecond)) {
			t.Errorf("the first sample that came is of %v after the start: what was refused is lost", at.Sub(began))
		}
		if err := Check(&first); err != nil {
			t.Error(err)
		}
	})
	t.Run("EndsWithItsContext", func(t *testing.T) {
		start(t, open(t), &Sink{})()
	})
}

// start runs a source and returns what stops it and waits for its end.
func start(t *testing.T, s Source, sink source.Sink) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, sink) }()
	return func() {
		t.Helper()
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("Run goes on after its context has ended")
		}
	}
}

// Check reports what is wrong with a batch: columns of different length, a dictionary that doesn't fit, labels out of order.
func Check(b *signal.Batch) error {
	if len(b.Series) != len(b.Times) || len(b.Series) != len(b.Values) {
		return fmt.Errorf("columns of %d, %d and %d rows", len(b.Series), len(b.Times), len(b.Values))
	}
	seen := map[signal.SeriesID]bool{}
	for _, s := range b.Dict {
		if seen[s.ID] {
			return fmt.Errorf("%s is twice in the dictionary", s.Labels)
		}
		seen[s.ID] = true
		if s.ID != s.Labels.ID() || s.Entity != s.Labels.Entity() {
			return fmt.Errorf("%s: id or entity don't belong to the labels", s.Labels)
		}
		if s.Labels.Value(signal.MetricName) == "" {
			return fmt.Errorf("%s has no name", s.Labels)
		}
		for i := 1; i < len(s.Labels); i++ {
			if s.Labels[i-1].Name >= s.Labels[i].Name {
				return fmt.Errorf("%s: labels are not sorted", s.Labels)
			}
		}
	}
	for _, si := range b.Series {
		if int(si) >= len(b.Dict) || si < 0 {
			return fmt.Errorf("row of series %d, the dictionary has %d", si, len(b.Dict))
		}
	}
	for _, h := range b.Histograms {
		if int(h.Series) >= len(b.Dict) || h.Series < 0 {
			return fmt.Errorf("histogram of series %d, the dictionary has %d", h.Series, len(b.Dict))
		}
	}
	return nil
}
