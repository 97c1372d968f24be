package eventpattern

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
)

func seeds() gen {
	r := rand.New(rand.NewPCG(3, 4))
	return gen{intn: r.IntN, dups: true}
}

// FuzzPattern holds that no text makes Parse panic, that mistakes have places, and that what is accepted matches both ways alike.
func FuzzPattern(f *testing.F) {
	g := seeds()
	for range 50 {
		f.Add([]byte(g.pattern()), []byte(g.event()))
	}
	f.Fuzz(func(t *testing.T, pattern, event []byte) {
		p, err := Parse("p", pattern)
		if err != nil {
			if err.Error()[:2] != "p:" {
				t.Fatalf("no place in %q", err)
			}
			return
		}
		if len(event) > 1<<12 {
			return
		}
		both(t, p, event)
	})
}

// FuzzEvent holds that no event makes a match panic, and that both ways agree on what is an event and whether it matches.
func FuzzEvent(f *testing.F) {
	g := seeds()
	var patterns []*Pattern
	for range 40 {
		if p, err := Parse("", []byte(g.pattern())); err == nil {
			patterns = append(patterns, p)
		}
		f.Add([]byte(g.event()))
	}
	f.Fuzz(func(t *testing.T, event []byte) {
		if len(event) > 1<<12 {
			return
		}
		for _, p := range patterns {
			both(t, p, event)
		}
	})
}

func both(t *testing.T, p *Pattern, event []byte) {
	got, err := p.Match(event)
	root, plainErr := parseEvent(event)
	if (err == nil) != (plainErr == nil) || json.Valid(event) && root == nil && plainErr != ErrNotObject {
		t.Fatalf("pattern %s\nevent %q\n%v, plainly %v", p.text, event, err, plainErr)
	}
	if root != nil && err == nil && choices(p, leaves(root)) > 1<<12 {
		return // the naive matcher would try them all
	}
	var m Matcher // alone, without Match's check of the whole event
	if err := m.Add("p", p); err != nil {
		t.Fatal(err)
	}
	names, matchErr := m.Match(nil, event)
	if err != nil {
		return
	}
	if want := naiveMatch(p.rules, leaves(root)); got != want || matchErr != nil || want != (len(names) > 0) {
		t.Fatalf("pattern %s\nevent %q\n%v, plainly %v (%v, %v)", p.text, event, got, want, names, matchErr)
	}
}

// FuzzTransform holds that an accepted template makes JSON of any event, if it holds one value.
func FuzzTransform(f *testing.F) {
	f.Add(`{"a": <x>, "b": "<x>, <y>"}`, []byte(`{"x": "q\"", "y": [1]}`))
	f.Add(`"<x>"`, []byte(`{"x": {"y": "\u0000"}}`))
	f.Add(`[<aws.events.event>, <aws.events.event.json>]`, []byte(`{"detail": 1}`))
	f.Fuzz(func(t *testing.T, template string, event []byte) {
		tr, err := NewTransformer("", map[string]string{"x": "$.x", "y": "$.y[*].*"}, template)
		if err != nil {
			return
		}
		out, err := tr.Transform(event, Variables{RuleName: "r\n"})
		if err != nil {
			return
		}
		if _, reason := checkValues(out); reason != "" {
			t.Fatalf("template %q made %q: %s", template, out, reason)
		}
	})
}

// choices says how many ways there are to give each field of a pattern a value.
func choices(p *Pattern, event []leaf) int {
	most := 0
	for _, r := range p.rules {
		n := 1
		for _, f := range r {
			with := 1
			for _, l := range event {
				if l.path == f.path {
					with++
				}
			}
			n = min(n*with, 1<<30)
		}
		most = max(most, n)
	}
	return most
}
