package source_test

import (
	"bytes"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"homeostat/internal/signal"
	"homeostat/internal/source"
	"homeostat/internal/source/sourcetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestGatherMakesTheSeriesThatSignalMakes holds that labels in any order, reused memory and all, give the series that
// signal.MakeSeries gives, once each.
func TestGatherMakesTheSeriesThatSignalMakes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := source.NewGather(&source.Dictionary{})
		name := rapid.SampledFrom([]string{"__name__", "a", "b", "host_name", "job", "zz"})
		for range rapid.IntRange(1, 3).Draw(t, "batches") {
			want := map[signal.SeriesID]signal.Series{}
			for range rapid.IntRange(0, 20).Draw(t, "series") {
				m := rapid.MapOf(name, rapid.SampledFrom([]string{"", "x", "y", "longer"})).Draw(t, "labels")
				g.Begin()
				for n, v := range m { // in whatever order
					g.Label(n, string([]byte(v)))
				}
				i, reason := g.End()
				if m["__name__"] == "" {
					if reason != source.NoName {
						t.Fatalf("%v: %q", m, reason)
					}
					continue
				}
				s := signal.MakeSeries(signal.MakeLabels(m))
				if reason != "" || g.Batch.Dict[i].ID != s.ID || g.Batch.Dict[i].Entity != s.Entity {
					t.Fatalf("%v: %q, %+v, want %+v", m, reason, g.Batch.Dict[i], s)
				}
				want[s.ID] = s
				g.Batch.Add(i, 1, 2)
			}
			if len(g.Batch.Dict) != len(want) {
				t.Fatalf("%d series, want %d", len(g.Batch.Dict), len(want))
			}
			if err := sourcetest.Check(&g.Batch); err != nil {
				t.Fatal(err)
			}
			g.Reset()
		}
	})
}

func TestGatherKeepsNothingOfItsInput(t *testing.T) {
	dict := &source.Dictionary{}
	g := source.NewGather(dict)
	body := []byte("upx")
	add := func() string {
		g.Begin()
		g.Label("__name__", string(body[:2]))
		g.Label("a", string(body[2:]))
		i, _ := g.End()
		return g.Batch.Dict[i].Labels.String()
	}
	if got := add(); got != `up{a="x"}` {
		t.Error(got)
	}
	copy(body, "dn?")
	if got := g.Batch.Dict[0].Labels.String(); got != `up{a="x"}` {
		t.Errorf("it changed with its input: %s", got)
	}
}

func TestMetersShareTheirMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	a, b := source.NewMeter(reg, "a"), source.NewMeter(reg, "b")
	a.Took(3)
	b.Took(4)
	b.SetAside(source.NoName, 2)
	b.Ignored(source.Exemplar, 1)
	b.Failed("append")
	want := `
		# HELP homeostat_source_failures_total Readings, requests or appends that failed.
		# TYPE homeostat_source_failures_total counter
		homeostat_source_failures_total{kind="append",source="b"} 1
		# HELP homeostat_source_samples_total Samples that the stream has taken.
		# TYPE homeostat_source_samples_total counter
		homeostat_source_samples_total{source="a"} 3
		homeostat_source_samples_total{source="b"} 4
		# HELP homeostat_source_set_aside_total Samples that could not be used.
		# TYPE homeostat_source_set_aside_total counter
		homeostat_source_set_aside_total{reason="exemplar",source="b"} 1
		homeostat_source_set_aside_total{reason="no_name",source="b"} 2
	`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	if s := b.Stage(); s.Name != "source/b" || !s.Ready || s.Dropped != 2 {
		t.Errorf("%+v", s)
	}
	if !b.Stuck("disk full") || b.Stuck("disk full") {
		t.Error("it is news once")
	}
	if s := b.Stage(); s.Ready || s.State != "disk full" {
		t.Errorf("%+v", s)
	}
	b.Took(1)
	if s := b.Stage(); !s.Ready {
		t.Errorf("%+v", s)
	}
}

func TestIntakeBoundsWhatIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := source.NewIntake(source.Limits{MaxBody: 100, MaxDecoded: 100, InFlight: 200})
		read := func(n int) (*source.Body, error) {
			r := httptest.NewRequestWithContext(t.Context(), "POST", "/", bytes.NewReader(make([]byte, n)))
			return in.Read(httptest.NewRecorder(), r)
		}
		if _, err := read(101); !errors.Is(err, source.ErrTooLarge) {
			t.Errorf("too large: %v", err)
		}
		a, err := read(100)
		if err != nil || len(a.Bytes) != 100 {
			t.Fatal(err)
		}
		if _, err := a.Decoded(t.Context(), 101); !errors.Is(err, source.ErrTooLarge) {
			t.Errorf("decoded too large: %v", err)
		}
		if _, err := a.DecodeFrom(t.Context(), io.LimitReader(zeros{}, 1000)); !errors.Is(err, source.ErrTooLarge) {
			t.Errorf("decoded too large: %v", err)
		}
		began := time.Now()
		if _, err := read(50); !errors.Is(err, source.ErrBusy) || time.Since(began) < time.Second {
			t.Errorf("full: %v at once, want to have waited", err)
		}
		a.Release()
		b, err := read(50)
		if err != nil {
			t.Fatal(err)
		}
		b.Release()
	})
}

// zeros is endless.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
