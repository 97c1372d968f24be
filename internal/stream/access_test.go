package stream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"homeostat/internal/signal"
)

func drawAccess(t *rapid.T) signal.Access {
	s := rapid.SampledFrom([]string{"", "a", "b", strings.Repeat("long ", 50), "\x00\xff"})
	var a signal.Access
	for _, p := range accessTexts(&a) {
		*p = s.Draw(t, "text")
	}
	a.Time = rapid.Int64Range(-1e15, 1e15).Draw(t, "time")
	a.NoMFA, a.ReadOnly = rapid.Bool().Draw(t, "mfa"), rapid.Bool().Draw(t, "read")
	for range rapid.IntRange(0, 3).Draw(t, "resources") {
		a.Resources = append(a.Resources, s.Draw(t, "resource"))
	}
	if rapid.Bool().Draw(t, "extra") {
		a.Extra = []byte(`{"new":1}`)
	}
	return a
}

func TestAccessesReadBackAsTheyWere(t *testing.T) {
	enc, err := newEncoder()
	if err != nil {
		t.Fatal(err)
	}
	dec, err := newDecoder()
	if err != nil {
		t.Fatal(err)
	}
	defer dec.close()
	rapid.Check(t, func(t *rapid.T) {
		want := signal.Batch{Accesses: rapid.SliceOfN(rapid.Custom(drawAccess), 1, 20).Draw(t, "accesses")}
		msg, err := enc.appendAccesses(nil, &want)
		if err != nil {
			t.Fatal(err)
		}
		var got signal.Batch
		if err := dec.decodeAccesses(&got, msg); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.Accesses, got.Accesses); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzDecodeAccesses(f *testing.F) {
	enc, err := newEncoder()
	if err != nil {
		f.Fatal(err)
	}
	msg, err := enc.appendAccesses(nil, &signal.Batch{Accesses: []signal.Access{{ID: "1", Time: 5, Resources: []string{"r"}, Extra: []byte("{}")}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(msg)
	f.Add([]byte{codecVersion})
	dec, err := newDecoder()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		var b signal.Batch
		if err := dec.decodeAccesses(&b, msg); err != nil && len(b.Accesses) > 0 && errors.Is(err, errDamaged) && strings.Contains(err.Error(), "accesses") {
			t.Fatalf("%d accesses out of a damaged message", len(b.Accesses))
		}
	})
}

// Accesses and samples share the sequence: readers see both in order, in this life from memory and in the next from the file.
func TestAccessesTravelBesideSamples(t *testing.T) {
	dir := t.TempDir()
	var want []string
	s := open(t, Config{Dir: dir})
	for i := range 3 {
		rows := []signal.Access{{ID: fmt.Sprint("a", i), Org: "1"}, {ID: fmt.Sprint("b", i), Org: "1"}, {ID: fmt.Sprint("c", i), Org: "2"}}
		if err := s.AppendAccesses(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
		b := &signal.Batch{}
		b.Add(b.AddSeries(signal.MakeSeries(signal.MakeLabels(map[string]string{signal.MetricName: "m"}))), int64(i), 1)
		if err := s.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		want = append(want, fmt.Sprint("a", i, " b", i), fmt.Sprint("c", i), "1 sample")
	}
	read := func(s *Stream) (got []string) {
		done := errors.New("done")
		err := s.Read(t.Context(), 0, func(_ uint64, b *signal.Batch) error {
			var line []string
			for _, a := range b.Accesses {
				line = append(line, a.ID)
			}
			if b.Len() > 0 {
				line = append(line, fmt.Sprint(b.Len(), " sample"))
			}
			if got = append(got, strings.Join(line, " ")); len(got) == len(want) {
				return done
			}
			return nil
		})
		if !errors.Is(err, done) {
			t.Fatal(err)
		}
		return got
	}
	if diff := cmp.Diff(want, read(s)); diff != "" {
		t.Error(diff)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.AppendAccesses(context.Background(), []signal.Access{{ID: "late"}}); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if diff := cmp.Diff(want, read(open(t, Config{Dir: dir}))); diff != "" {
		t.Error(diff)
	}
}
