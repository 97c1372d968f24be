package main

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"homeostat/internal/signal"
)

// schema is as much of JSON Schema as docs/events.schema.json uses.
type schema struct {
	Ref         string             `json:"$ref"`
	Type        string             `json:"type"`
	Format      string             `json:"format"`
	Description string             `json:"description"`
	Const       string             `json:"const"`
	Required    []string           `json:"required"`
	Properties  map[string]*schema `json:"properties"`
	Items       *schema            `json:"items"`
	AllOf       []*schema          `json:"allOf"`
	OneOf       []*schema          `json:"oneOf"`
	Defs        map[string]*schema `json:"$defs"`
}

func eventSchemas(t *testing.T) schema {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "events.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s schema
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestEventSchemasAreTheTypes holds each schema of a detail to the Go type that is marshalled: every field, its kind, whether
// it is always there, and nothing more.
func TestEventSchemasAreTheTypes(t *testing.T) {
	defs := eventSchemas(t).Defs
	for name, typ := range map[string]reflect.Type{
		"event": reflect.TypeFor[signal.Event](), "anomaly": reflect.TypeFor[signal.Anomaly](), "alert": reflect.TypeFor[signal.Alert](),
		"breach": reflect.TypeFor[signal.Breach](), "finding": reflect.TypeFor[signal.Finding](), "call": reflect.TypeFor[signal.Call](), "technique": reflect.TypeFor[signal.Technique](),
		"process": reflect.TypeFor[signal.Process](), "incident": reflect.TypeFor[signal.Incident](), "member": reflect.TypeFor[signal.Member](),
		"judgement": reflect.TypeFor[signal.Judgement](), "modelChange": reflect.TypeFor[signal.ModelChange](),
		"execution": reflect.TypeFor[signal.Execution](), "step": reflect.TypeFor[signal.Step](), "approval": reflect.TypeFor[signal.Approval](),
	} {
		s := defs[name]
		if s == nil {
			t.Errorf("%s: no schema", name)
			continue
		}
		kinds, always := map[string]string{}, []string{}
		for _, f := range reflect.VisibleFields(typ) {
			tag := f.Tag.Get("json")
			if f.Anonymous || tag == "" {
				continue
			}
			field, opts, _ := strings.Cut(tag, ",")
			kinds[field] = jsonKind(f.Type)
			if !strings.Contains(opts, "omit") {
				always = append(always, field)
			}
		}
		got := map[string]string{}
		for field, p := range s.Properties {
			got[field] = p.Type
			if p.Type == "string" && p.Format == "date-time" {
				got[field] = "date-time"
			}
			if p.Ref != "" {
				got[field] = "object"
			}
			if p.Description == "" {
				t.Errorf("%s.%s has no description", name, field)
			}
		}
		if diff := cmp.Diff(kinds, got); diff != "" {
			t.Errorf("%s: fields of the Go type (-) and of the schema (+):\n%s", name, diff)
		}
		slices.Sort(always)
		if diff := cmp.Diff(always, slices.Sorted(slices.Values(s.Required))); diff != "" {
			t.Errorf("%s: fields that are always marshalled (-) and required (+):\n%s", name, diff)
		}
	}
}

// jsonKind is what encoding/json makes of a type.
func jsonKind(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return "date-time"
	case t == reflect.TypeFor[json.RawMessage]():
		return "object" // in our events
	}
	switch t.Kind() {
	case reflect.String:
		return "string"
	case reflect.Slice:
		return "array"
	case reflect.Map, reflect.Struct, reflect.Pointer:
		return "object"
	case reflect.Float64:
		return "number"
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint64:
		return "integer"
	}
	return t.String()
}

// TestEveryDetailTypeIsDocumented wants a schema, a heading and a source for each detail-type that the code knows, and no other.
func TestEveryDetailTypeIsDocumented(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "..", "internal", "signal", "event.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		d, ok := n.(*ast.GenDecl)
		if !ok || d.Tok != token.CONST {
			return true
		}
		for _, sp := range d.Specs {
			for _, v := range sp.(*ast.ValueSpec).Values {
				text, err := strconv.Unquote(v.(*ast.BasicLit).Value)
				if err == nil && strings.Contains(text, " ") {
					known[text] = true
				}
			}
		}
		return false
	})
	if len(known) < 13 {
		t.Fatalf("only %d detail-types found in the code", len(known))
	}
	s := eventSchemas(t)
	listed := map[string]bool{}
	for _, one := range s.OneOf {
		name := strings.ReplaceAll(strings.TrimPrefix(one.Ref, "#/$defs/"), "%20", " ")
		listed[name] = true
		d := s.Defs[name]
		if d == nil || len(d.AllOf) != 2 || d.AllOf[1].Properties["detail-type"].Const != name {
			t.Errorf("%s: its schema doesn't hold detail-type to it", name)
		}
	}
	if diff := cmp.Diff(known, listed); diff != "" {
		t.Errorf("detail-types of the code (-) and of the schema (+):\n%s", diff)
	}
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "events.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if !strings.Contains(string(page), "\n### "+name+"\n") {
			t.Errorf("docs/events.md has no section %q", name)
		}
		d := s.Defs[name]
		if d != nil && !strings.Contains(string(page), d.AllOf[1].Properties["source"].Const) {
			t.Errorf("docs/events.md doesn't name the source of %q", name)
		}
	}
}
