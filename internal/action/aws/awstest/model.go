package awstest

import (
	"cmp"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// Model is the published model of one service's API, as botocore carries it.
type Model struct {
	Metadata struct {
		Protocol     string `json:"protocol"`
		TargetPrefix string `json:"targetPrefix"`
		JSONVersion  string `json:"jsonVersion"`
		SigningName  string `json:"signingName"`
		Prefix       string `json:"endpointPrefix"`
	} `json:"metadata"`
	Operations map[string]Operation `json:"operations"`
	Shapes     map[string]Shape     `json:"shapes"`
}

// Operation is one operation of a model.
type Operation struct {
	HTTP struct {
		Method string `json:"method"`
		URI    string `json:"requestUri"`
	} `json:"http"`
	Input  *Ref `json:"input"`
	Output *struct {
		Ref
		Wrapper string `json:"resultWrapper"` // of the query protocol
	} `json:"output"`
}

// Ref refers to a shape.
type Ref struct {
	Shape    string `json:"shape"`
	Location string `json:"location"`     // "uri", "querystring", "header", "headers", "statusCode"; the body when empty
	Name     string `json:"locationName"` // in that place, where it has another one
	Query    string `json:"queryName"`    // in EC2's requests, where it has another one there
}

// Shape is one type of a model.
type Shape struct {
	Type      string         `json:"type"`
	Members   map[string]Ref `json:"members"`
	Required  []string       `json:"required"`
	Member    *Ref           `json:"member"` // of a list
	Key       *Ref           `json:"key"`    // of a map, and
	Value     *Ref           `json:"value"`
	Enum      []string       `json:"enum"`
	Min       *float64       `json:"min"`
	Max       *float64       `json:"max"`
	Union     bool           `json:"union"`
	Document  bool           `json:"document"`
	Streaming bool           `json:"streaming"`
	Payload   string         `json:"payload"`         // the member that is the whole body
	Flattened bool           `json:"flattened"`       // of a list or map in XML and in forms
	Timestamp string         `json:"timestampFormat"` // "iso8601", "unixTimestamp", "rfc822"; the protocol's when empty
}

// signingName is what a request's signature calls the service.
func (m *Model) signingName() string { return cmp.Or(m.Metadata.SigningName, m.Metadata.Prefix) }

// models are those that the process has read: EC2's alone takes seconds with the race detector.
var models sync.Map // of *Model, by service

// LoadModel reads a service's model, the service named as boto3 does. It is shared, and not to be changed.
func LoadModel(tb testing.TB, service string) *Model {
	tb.Helper()
	if m, ok := models.Load(service); ok {
		return m.(*Model)
	}
	dir, err := venv()
	if err != nil {
		tb.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "lib", "python3*", "site-packages", "botocore", "data", service, "*", "service-2.json*"))
	if err != nil || len(files) == 0 {
		tb.Fatalf("no model of %s: %v", service, err)
	}
	slices.Sort(files)
	f, err := os.Open(files[len(files)-1])
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	m := &Model{}
	if err := json.NewDecoder(zip).Decode(m); err != nil {
		tb.Fatal(err)
	}
	models.Store(service, m)
	return m
}

// Check says what of v, as JSON has it, isn't what the shape wants. The place is named.
func (m *Model) Check(shape string, v any, at string) error {
	s, ok := m.Shapes[shape]
	if !ok {
		return fmt.Errorf("%s: no shape %s", at, shape)
	}
	bad := func(want string) error { return fmt.Errorf("%s: want %s, not %v (%T)", at, want, v, v) }
	switch s.Type {
	case "structure":
		if s.Document {
			return nil
		}
		return m.checkStructure(s, v, at)
	case "list":
		l, ok := v.([]any)
		if !ok {
			return bad("a list")
		}
		for i, it := range l {
			if err := m.Check(s.Member.Shape, it, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
		return s.within(float64(len(l)), at, "items")
	case "map":
		o, ok := v.(map[string]any)
		if !ok {
			return bad("a map")
		}
		for k, it := range o {
			if err := m.Check(s.Key.Shape, k, at+"."+k); err != nil {
				return err
			}
			if err := m.Check(s.Value.Shape, it, at+"."+k); err != nil {
				return err
			}
		}
		return nil
	case "string":
		text, ok := v.(string)
		if !ok {
			return bad("a text")
		}
		if len(s.Enum) > 0 && !slices.Contains(s.Enum, text) {
			return bad(fmt.Sprintf("one of %v", s.Enum))
		}
		return s.within(float64(len([]rune(text))), at, "characters")
	case "boolean":
		if _, ok := v.(bool); !ok {
			return bad("true or false")
		}
	case "integer", "long", "float", "double":
		n, ok := v.(float64)
		if i, is := v.(int64); is {
			n, ok = float64(i), true
		}
		if !ok {
			return bad("a number")
		}
		return s.within(n, at, "as its value")
	}
	return nil // a blob is text to JSON, a timestamp a number or a text
}

func (m *Model) checkStructure(s Shape, v any, at string) error {
	o, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("%s: want a structure, not %T", at, v)
	}
	for _, name := range s.Required {
		if _, ok := o[name]; !ok {
			return fmt.Errorf("%s: %s is missing", at, name)
		}
	}
	for name, it := range o {
		ref, ok := s.Members[name]
		if !ok {
			return fmt.Errorf("%s: there is no member %s", at, name)
		}
		if err := m.Check(ref.Shape, it, at+"."+name); err != nil {
			return err
		}
	}
	return nil
}

func (s Shape) within(n float64, at, what string) error {
	if s.Min != nil && n < *s.Min || s.Max != nil && n > *s.Max {
		return fmt.Errorf("%s: %g %s", at, n, what)
	}
	return nil
}

// bound brings a number to where it may be.
func (s Shape) bound(n float64) float64 {
	if s.Min != nil {
		n = max(n, *s.Min)
	}
	if s.Max != nil {
		n = min(n, *s.Max)
	}
	return n
}

// Sample makes a value with every member of a shape but those to leave out, to a depth at which it stops.
func (m *Model) Sample(shape string, depth int, out func(member string) bool) any {
	s := m.Shapes[shape]
	switch s.Type {
	case "structure":
		made := map[string]any{}
		if s.Union || s.Document || depth == 0 {
			return nil
		}
		for name, ref := range s.Members {
			if v := m.Sample(ref.Shape, depth-1, out); v != nil && !m.Shapes[ref.Shape].Streaming && !out(name) {
				made[name] = v
			}
		}
		for _, name := range s.Required { // what is too deep to be whole is left out
			if _, ok := made[name]; !ok && !m.Shapes[s.Members[name].Shape].Streaming {
				return nil
			}
		}
		return made
	case "list":
		v := m.Sample(s.Member.Shape, depth-1, out)
		if v == nil {
			return nil
		}
		list := []any{v}
		for s.Min != nil && len(list) < int(*s.Min) {
			list = append(list, v)
		}
		return list
	case "map":
		if v := m.Sample(s.Value.Shape, depth-1, out); v != nil {
			key := "key"
			if k := m.Shapes[s.Key.Shape]; len(k.Enum) > 0 {
				key = k.Enum[0]
			}
			return map[string]any{key: v}
		}
		return nil
	case "string":
		if len(s.Enum) > 0 {
			return s.Enum[0]
		}
		text := "text"
		for s.Min != nil && len(text) < int(*s.Min) {
			text += "text"
		}
		if s.Max != nil && len(text) > int(*s.Max) {
			text = text[:int(*s.Max)]
		}
		return text
	case "boolean":
		return true
	case "integer", "long":
		return int64(s.bound(7))
	case "float", "double":
		return s.bound(1.5)
	case "timestamp":
		return "2026-01-02T03:04:05Z"
	case "blob":
		return "bytes"
	}
	return nil
}
