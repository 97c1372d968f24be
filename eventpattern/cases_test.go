package eventpattern

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// TestCases takes the language operator by operator: see testdata/cases/exact.txtar for the form.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/cases/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var p *Pattern
		name := ""
		for _, f := range archive.Files {
			if title, ok := strings.CutPrefix(f.Name, "pattern"); ok {
				name = strings.TrimPrefix(title, ": ")
				if p, err = Parse(file, f.Data); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				continue
			}
			for line := range strings.Lines(string(f.Data)) {
				event := strings.TrimSpace(line)
				t.Run(filepath.Base(file)+"/"+name, func(t *testing.T) {
					got, err := p.Match([]byte(event))
					if err != nil {
						t.Fatalf("%s: %v", event, err)
					}
					if want := f.Name == "true"; got != want {
						t.Errorf("%s: %v, want %v", event, got, want)
					}
					if plain := naively(t, p, event); plain != got {
						t.Errorf("%s: %v, but the naive matcher says %v", event, got, plain)
					}
				})
			}
		}
	}
}

// TestRefusedPatterns holds that what AWS refuses is refused, each mistake with its place and a reason.
func TestRefusedPatterns(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/refused/refused.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(archive.Files); i += 2 {
		f, want := archive.Files[i], archive.Files[i+1]
		t.Run(f.Name, func(t *testing.T) {
			_, err := Parse("", []byte(strings.TrimRight(string(f.Data), "\n")))
			if err == nil {
				t.Fatal("accepted")
			}
			if got := err.Error() + "\n"; got != string(want.Data) {
				t.Errorf("got\n%swant\n%s", got, want.Data)
			}
		})
	}
}
