package automation

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// FuzzParse: no text makes Parse panic or hang, every mistake has a place within the text, and what is valid can be observed.
func FuzzParse(f *testing.F) {
	for _, dir := range []string{"testdata/parse", "testdata/run"} {
		files, err := filepath.Glob(dir + "/*.txtar")
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			for _, part := range txtar.Parse(text).Files {
				f.Add(part.Data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := Parse("f.yaml", text)
		if err == nil {
			if len(d.Steps) == 0 {
				t.Error("valid, but without steps")
			}
			_, err := Run(t.Context(), d, Execution{ID: "x"}, World{Hands: refusing{t}, Journal: &MemoryJournal{}})
			if err != nil {
				t.Errorf("observing it: %v", err)
			}
			return
		}
		joined, ok := err.(interface{ Unwrap() []error })
		if !ok {
			t.Fatalf("not joined: %v", err)
		}
		lines := 1 // YAML ends lines at more than line feeds
		for _, r := range string(text) {
			if strings.ContainsRune("\r\n\u0085\u2028\u2029", r) {
				lines++
			}
		}
		for _, one := range joined.Unwrap() {
			place, ok := errors.AsType[*PlaceError](one)
			if !ok || place.Pos.Line < 1 || place.Pos.Line > lines+1 || place.Pos.Column < 1 {
				t.Errorf("%v has no place within %d lines", one, lines)
			}
		}
	})
}

// FuzzPath: no selector makes parsing or finding panic or hang.
func FuzzPath(f *testing.F) {
	for _, p := range []string{"$", "$.a.b[0]", "$..a", "$.a[*].b", "$['a b'][-1]", "$.a[?(@.b == 'c')]", "$.a[1:3]", "$.a.length()", "$.a[?(@.b[0] >= 1.5)]"} {
		f.Add(p)
	}
	v := map[string]any{"a": []any{map[string]any{"b": "c", "n": int64(2)}, "x", nil, 1.5}, "b": map[string]any{"a": true}}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePath(text)
		if err != nil {
			return
		}
		if got, ok := p.find(v); !p.definite && ok {
			if _, isList := got.([]any); !isList {
				t.Errorf("%q gives %T where a list is wanted", text, got)
			}
		}
	})
}

// FuzzReferences: text without references stays as it is, and a value never becomes a reference of its own.
func FuzzReferences(f *testing.F) {
	for _, s := range []string{"{{ a }}", "x {{a}} y {{ b.c }}", "{{{{ a }}}}", "{{ a", "{{ global:DATE }} {{.Go}}", "{{ a[0].b }}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		out, _, err := resolve(text, func(string) (value, error) { return value{v: "{{ a }}"}, nil })
		if err != nil {
			t.Fatal(err)
		}
		if len(references(text)) == 0 && out != text {
			t.Errorf("%q became %q", text, out)
		}
		if n := len(references(textOf(out))); n < len(references(text)) {
			t.Errorf("%q became %q: a reference was lost", text, out)
		}
	})
}

// FuzzHarmless: what counts as harmless has no character that a shell would take for more than a word.
func FuzzHarmless(f *testing.F) {
	f.Add("web-1.example.com")
	f.Add("$(reboot)")
	f.Add("a\nb")
	f.Fuzz(func(t *testing.T, text string) {
		if harmless(text) && (strings.ContainsAny(text, " \t\r\n\x00$`;&|<>()[]{}*?!#~'\"\\^") || strings.HasPrefix(text, "-")) {
			t.Errorf("%q counts as harmless", text)
		}
	})
}

// refusing are hands that do nothing and say that they do.
type refusing struct{ t *testing.T }

func (refusing) Effect(Call) Effect                          { return Changing }
func (refusing) Would(context.Context, Call) (string, error) { return "do it", nil }

func (r refusing) Do(context.Context, Call) (map[string]any, error) {
	r.t.Error("Do was called in observe")
	return nil, nil
}

func (refusing) LookUp(context.Context, Call) (map[string]any, error) { return nil, ErrUnknown }
