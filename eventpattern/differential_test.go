package eventpattern

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// naively answers as the plain matcher does.
func naively(t interface{ Fatalf(string, ...any) }, p *Pattern, event string) bool {
	root, err := parseEvent([]byte(event))
	if err != nil {
		t.Fatalf("event %s: %v", event, err)
	}
	return naiveMatch(p.rules, leaves(root))
}

// parsed returns patterns that parse, by name.
func parsed(g gen, n int) map[string]*Pattern {
	out := make(map[string]*Pattern)
	for i := range n {
		if p, err := Parse("", []byte(g.pattern())); err == nil {
			out[strconv.Itoa(i)] = p
		}
	}
	return out
}

// compare matches the event both ways and returns how many answers were compared.
func compare(t interface{ Fatalf(string, ...any) }, m *Matcher, patterns map[string]*Pattern, event string) int {
	got, err := m.Match(nil, []byte(event))
	if err != nil {
		t.Fatalf("event %s: %v", event, err)
	}
	slices.Sort(got)
	if !slices.Equal(got, slices.Compact(slices.Clone(got))) {
		t.Fatalf("a name twice: %v", got)
	}
	for name, p := range patterns {
		_, found := slices.BinarySearch(got, name)
		if want := naively(t, p, event); found != want {
			t.Fatalf("pattern %s\nevent %s\ngot %v, want %v", p.text, event, found, want)
		}
	}
	return len(patterns)
}

func TestMatcherAnswersAsTheNaiveOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := rapidGen(t)
		patterns := parsed(g, 3)
		var m Matcher
		for name, p := range patterns {
			if err := m.Add(name, p); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			compare(t, &m, patterns, g.event())
		}
	})
}

func TestMatcherAnswersAsTheNaiveOneThroughChanges(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	changes(t, gen{intn: r.IntN, dups: true}, 60_000)
}

// changes adds and removes patterns, compares after each change, and goes on until n answers have been compared.
func changes(t *testing.T, g gen, n int) {
	for done := 0; done < n; {
		patterns := make(map[string]*Pattern)
		var m Matcher
		for range 12 {
			switch g.intn(4) {
			case 0:
				for name := range parsed(g, 20) {
					m.Remove(name)
					delete(patterns, name)
				}
			case 1:
				more := parsed(g, 30)
				if err := m.AddAll(func(yield func(string, *Pattern) bool) {
					for name, p := range more {
						patterns[name] = p
						if !yield(name, p) {
							return
						}
					}
				}); err != nil {
					t.Fatal(err)
				}
			default:
				for name, p := range parsed(g, 8) {
					patterns[name] = p
					if err := m.Add(name, p); err != nil {
						t.Fatal(err)
					}
				}
			}
			if m.Len() != len(patterns) {
				t.Fatalf("%d patterns, want %d", m.Len(), len(patterns))
			}
			for range 6 {
				done += compare(t, &m, patterns, g.event())
			}
		}
	}
}

// TestSoakComparisons compares 10 million answers with HOMEOSTAT_SOAK set, or as many as HOMEOSTAT_SOAK_COMPARISONS says, on fresh
// random numbers.
func TestSoakComparisons(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("HOMEOSTAT_SOAK_COMPARISONS"))
	switch {
	case err == nil:
	case os.Getenv("HOMEOSTAT_SOAK") != "":
		n = 10_000_000
	default:
		n = 20_000 // so that the test can't rot
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, %d comparisons", seed, n)
	r := rand.New(rand.NewPCG(seed, 0))
	changes(t, gen{intn: r.IntN, dups: true}, n)
}
