package main

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite golden files")

// TestConfigReference holds docs/config.md to the configuration's structs: a key without a comment, or a page that says
// something else, fails. -update writes the page.
func TestConfigReference(t *testing.T) {
	const page = "../../docs/config.md"
	r := &reference{t: t, comments: map[string]map[string]string{}}
	r.structure(reflect.TypeFor[Config](), reflect.ValueOf(defaultConfig()), "")
	got := configIntro + r.b.String()
	if *update {
		if err := os.WriteFile(page, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("docs/config.md is behind the code (go test ./cmd/homeostat -run ConfigReference -update):\n%s", d)
	}
}

// TestTutorialsConfiguration holds the tutorial's files to the configuration, and to what the page says that config check says.
func TestTutorialsConfiguration(t *testing.T) {
	page, err := os.ReadFile("../../docs/tutorial.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```")
	t.Chdir(t.TempDir())
	names := []string{"busy.yaml", "tutorial.yaml"} // in the page's order
	for _, b := range blocks {
		text, is := strings.CutPrefix(b, "yaml\n")
		if !is || len(names) == 0 {
			continue
		}
		if err := os.WriteFile(names[0], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		names = names[1:]
	}
	var out strings.Builder
	cmd := rootCommand()
	cmd.SetArgs([]string{"config", "check", "tutorial.yaml"})
	cmd.SetOut(&out)
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(out.String()); !strings.Contains(string(page), "# "+got+"\n") {
		t.Errorf("the page doesn't say %q", got)
	}
}

const configIntro = `# Configuration

One YAML file: ` + "`homeostat run --config FILE`" + `. Every key is optional; with no file at all Homeostat watches this machine and takes
what is sent to its HTTP inputs, in mode observe. An unknown key is an error with its line and the nearest right one:
` + "`homeostat config check FILE`" + ` names all mistakes at once and ends with status 2.

In values, ` + "`${NAME}`" + ` is the environment variable NAME, ` + "`${file:PATH}`" + ` the content of a file (for secrets), ` + "`$${`" + ` a plain ` + "`${`" + `.
Durations are written 90s, 10m, 1h30m, 30d, 2w. This page is made from the comments in the code (` + "`go test ./cmd/homeostat -run ConfigReference -update`" + `).

| key | kind | default | meaning |
|---|---|---|---|
`

type reference struct {
	t        *testing.T
	b        strings.Builder
	comments map[string]map[string]string // "package.Type" -> field -> comment
}

// structure writes a row for each key of a struct, and those below it.
func (r *reference) structure(st reflect.Type, v reflect.Value, path string) {
	for i := range st.NumField() {
		f := st.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "-" || !f.IsExported() {
			continue
		}
		var fv reflect.Value
		if v.IsValid() {
			fv = v.Field(i)
		}
		if strings.Contains(opts, "inline") {
			r.structure(f.Type, fv, path)
			continue
		}
		if name == "" {
			r.t.Errorf("%s.%s has no yaml tag", st, f.Name)
		}
		key := path + name
		comment := r.comment(st, f.Name)
		if comment == "" {
			r.t.Errorf("%s.%s (%s) has no comment: it is the manual's text", st, f.Name, key)
		}
		kind, inner, suffix := kindOf(f.Type)
		fmt.Fprintf(&r.b, "| `%s` | %s | %s | %s |\n", key, kind, defaultOf(fv), strings.ReplaceAll(comment, "|", "\\|"))
		if inner != nil {
			if suffix != "." || inner != f.Type {
				fv = reflect.Value{}
			}
			r.structure(inner, fv, key+suffix)
		}
	}
}

// kindOf names a key's kind, and what is inside it.
func kindOf(t reflect.Type) (kind string, inner reflect.Type, suffix string) {
	if t == reflect.TypeFor[time.Duration]() {
		return "duration", nil, ""
	}
	switch t.Kind() {
	case reflect.Pointer:
		k, in, s := kindOf(t.Elem())
		return k, in, s
	case reflect.Struct:
		if reflect.PointerTo(t).Implements(reflect.TypeFor[interface{ UnmarshalText([]byte) error }]()) {
			return "text", nil, ""
		}
		return "keys", t, "."
	case reflect.Slice:
		k, in, _ := kindOf(t.Elem())
		if in != nil {
			return "list", in, "[]."
		}
		return "list of " + k, nil, ""
	case reflect.Map:
		k, in, _ := kindOf(t.Elem())
		if in != nil {
			return "map", in, ".NAME."
		}
		return "map of " + k, nil, ""
	case reflect.Bool:
		return "true or false", nil, ""
	case reflect.String:
		return "text", nil, ""
	case reflect.Interface:
		return "any", nil, ""
	case reflect.Float64, reflect.Float32:
		return "number", nil, ""
	}
	return "whole number", nil, ""
}

func defaultOf(v reflect.Value) string {
	if !v.IsValid() || v.IsZero() {
		return ""
	}
	switch v.Kind() {
	case reflect.Struct, reflect.Slice, reflect.Map:
		return ""
	case reflect.Pointer:
		return defaultOf(v.Elem())
	}
	if d, ok := v.Interface().(time.Duration); ok {
		s := d.String()
		if h := d.Hours(); h >= 24 && h == float64(int(h/24)*24) {
			s = fmt.Sprintf("%dd", int(h/24))
		}
		if strings.HasSuffix(s, "m0s") {
			s = strings.TrimSuffix(s, "0s")
		}
		if strings.HasSuffix(s, "h0m") {
			s = strings.TrimSuffix(s, "0m")
		}
		return "`" + s + "`"
	}
	return fmt.Sprintf("`%v`", v.Interface())
}

// comment returns what stands at a field in the source: the lines above it, or else the one behind it.
func (r *reference) comment(st reflect.Type, field string) string {
	id := st.PkgPath() + "." + st.Name()
	if st.PkgPath() == "main" || strings.HasSuffix(st.PkgPath(), "cmd/homeostat") {
		id = "main." + st.Name()
	}
	if fields, ok := r.comments[id]; ok {
		return fields[field]
	}
	dir := "."
	if !strings.HasPrefix(id, "main.") {
		dir = filepath.Join("../..", strings.TrimPrefix(st.PkgPath(), "homeostat/"))
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(names) == 0 {
		r.t.Fatalf("no source for %s in %s: %v", st, dir, err)
	}
	fields := map[string]string{}
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			r.t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			ts, ok := n.(*ast.TypeSpec)
			if !ok || ts.Name.Name != st.Name() {
				return true
			}
			s, ok := ts.Type.(*ast.StructType)
			if !ok {
				return true
			}
			for _, f := range s.Fields.List {
				text := f.Doc.Text()
				if text == "" {
					text = f.Comment.Text()
				}
				for _, n := range f.Names {
					fields[n.Name] = strings.Join(strings.Fields(text), " ")
				}
			}
			return false
		})
	}
	r.comments[id] = fields
	return fields[field]
}
