package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"homeostat/internal/signal"
)

// TestTailHoldsTheNewest drives a tail with one reader as a model would have it: a list of sequences.
func TestTailHoldsTheNewest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tl tail
		next := rapid.Uint64Range(1, 1000).Draw(t, "next")
		tl.start(next)
		var want []uint64 // sequences that it holds
		out := map[*gather]bool{}
		var read *kept
		freed := func(free []*gather) {
			for _, g := range free {
				if read != nil && read.gather == g {
					t.Fatal("memory was freed under its reader")
				}
				if !out[g] {
					t.Fatal("freed twice, or never added")
				}
				delete(out, g)
			}
		}
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"add", "add", "add", "gap", "trim", "take", "release"}).Draw(t, "step") {
			case "gap":
				next++
				want = nil
				fallthrough
			case "add":
				g := &gather{bytes: rapid.SampledFrom([]int{100, tailBytes / 3}).Draw(t, "bytes")}
				g.batch.ID = fmt.Sprint(next)
				out[g] = true
				freed(tl.add(next, g))
				want = append(want, next)
				next++
				want = want[len(want)-len(tl.items):]
				if len(want) > tailMessages {
					t.Fatalf("%d messages are kept", len(want))
				}
			case "trim":
				upTo := rapid.Uint64Range(next-min(next, 10), next).Draw(t, "upTo")
				freed(tl.trim(upTo))
				want = slices.DeleteFunc(want, func(s uint64) bool { return s <= upTo })
			case "take":
				if read != nil {
					continue
				}
				seq := rapid.Uint64Range(next-min(next, 70), next+2).Draw(t, "seq")
				k, came, ok := tl.take(seq)
				if has := slices.Contains(want, seq); has != (k != nil) || ok != (has || seq == next) || (came != nil) != (seq == next) {
					t.Fatalf("take(%d) of %v, next %d: %v %v", seq, want, next, k, ok)
				}
				if k != nil && k.batch.ID != fmt.Sprint(seq) {
					t.Fatalf("take(%d) gave %s", seq, k.batch.ID)
				}
				read = k
			case "release":
				if read == nil {
					continue
				}
				k := read
				read = nil
				if g := tl.release(k); g != nil {
					freed([]*gather{g})
				}
			}
		}
	})
}

func TestAReaderThatFallsBehindTheTailMissesNothing(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir(), Reserve: -1})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	const messages = 3 * tailMessages
	appendOne := func(at int64) {
		if err := s.Append(ctx, host("web-1", gatherRows, at)); err != nil {
			t.Error(err)
		}
	}
	appendOne(0)
	var times []int64
	err := s.Read(ctx, 0, func(seq uint64, b *signal.Batch) error {
		times = append(times, b.Times[0])
		switch seq {
		case 1: // it is overtaken by far more than the tail keeps, between two messages
			for at := range int64(messages - 2) {
				appendOne(1 + at)
			}
		case messages - 1: // it is up with the stream again, and waits for this one
			go appendOne(messages - 1)
		case messages:
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	for i, at := range times {
		if at != int64(i) {
			t.Fatalf("message %d has the samples of %d", i, at)
		}
	}
	if len(times) != messages {
		t.Errorf("%d messages were read, want %d", len(times), messages)
	}
}
