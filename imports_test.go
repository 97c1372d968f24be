// Package homeostat_test holds the tree to its rules: data goes one way, stages know signal and never each other, and
// cmd/homeostat alone knows the whole. DESIGN's picture stays true because this fails when it doesn't.
package homeostat_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module is our own path, before the folder.
const module = "homeostat/"

// libraries are public: importable by anyone, so they stand on nothing of ours.
var libraries = []string{"rcf", "deepar", "forecast", "ipinsights", "eventpattern", "automation"}

// embedded folders hold texts for the binary (runbooks, rules, routes) and import nothing of ours either.
var embedded = []string{"runbooks", "rules", "routes"}

// top returns the first n elements of a slash-separated path.
func top(path string, n int) string {
	parts := strings.SplitN(path, "/", n+1)
	return strings.Join(parts[:min(n, len(parts))], "/")
}

func isLibrary(path string) bool {
	for _, l := range libraries {
		if top(path, 1) == l {
			return true
		}
	}
	return false
}

// forbidden says why the package in folder from may not import the one in folder to; "" when it may.
func forbidden(from, to string) string {
	switch {
	case from == to, from == "cmd/homeostat":
		return ""
	case top(from, 2) == top(to, 2) && top(from, 1) == "internal":
		return "" // an implementation and its parent, a stage and its parts
	case isLibrary(from):
		if top(from, 1) == top(to, 1) {
			return ""
		}
		return "a public library depends on nothing of ours: others use it without the rest"
	case from == "internal/signal":
		return "everything stands on signal; it stands on nothing"
	case to == "internal/signal":
		return ""
	case isLibrary(to):
		if from == "internal/store" || from == "internal/config" || from == "internal/api" || from == "internal/console" {
			return "what stores, configures or shows knows signal alone"
		}
		return ""
	}
	if slices.Contains(embedded, from) {
		return "embedded texts need no code of ours"
	}
	return "stages never know each other: they meet in cmd/homeostat"
}

func TestImportsPointDownTheStory(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "bin") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		from := filepath.ToSlash(filepath.Dir(path))
		for _, imp := range f.Imports {
			to, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				return err
			}
			to, ours := strings.CutPrefix(to, module)
			if !ours {
				continue
			}
			if strings.HasSuffix(path, "_test.go") && (to == "internal/store" || strings.HasPrefix(to, "internal/store/") || strings.HasSuffix(top(to, 2), "runbooks")) {
				continue // a test may open a real database, and run the real documents
			}
			if why := forbidden(from, to); why != "" {
				t.Errorf("%s imports %s: %s", path, to, why)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestForbiddenKnowsTheRules(t *testing.T) {
	for _, tt := range []struct {
		from, to string
		ok       bool
	}{
		{"internal/detect", "internal/signal", true},
		{"internal/detect", "rcf", true},
		{"internal/detect", "internal/bus", false},
		{"internal/source/host", "internal/source", true},
		{"internal/source/host", "internal/stream", false},
		{"internal/api", "internal/runbook", false},
		{"internal/console", "internal/api", false},
		{"internal/store", "internal/bus", false},
		{"internal/signal", "internal/store", false},
		{"rcf", "internal/signal", false},
		{"automation", "eventpattern", false},
		{"automation/automationtest", "automation", true},
		{"cmd/homeostat", "internal/bus", true},
		{"runbooks", "internal/runbook", false},
	} {
		if why := forbidden(tt.from, tt.to); (why == "") != tt.ok {
			t.Errorf("%s -> %s: %q", tt.from, tt.to, why)
		}
	}
}
