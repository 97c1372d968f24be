// Package config reads the one YAML file that a person writes for Homeostat, strictly: an unknown key, a key given twice, a
// value of the wrong kind or a variable that isn't set is an error that names file, line and column, and all of them come at
// once. What the keys mean belongs to the stages: each keeps its own Config struct, and [Decode] fills whatever struct it is
// handed by its `yaml` tags.
//
// In values, ${NAME} is the environment variable NAME and ${file:PATH} the content of a file without its last line break, for
// secrets; $${ is a plain ${. Durations may be given in days and weeks (30d, 2w) besides what Go reads (90s, 1h30m).
package config

import (
	"encoding"
	"errors"
	"fmt"
	"go/token"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// PlaceError is a mistake in a text that a person wrote: homeostat.yaml:4:17: mode: want observe, approve or auto
type PlaceError struct {
	Pos token.Position // line and column from 1, column in bytes
	Err error
}

func (e *PlaceError) Error() string { return e.Pos.String() + ": " + e.Err.Error() }

func (e *PlaceError) Unwrap() error { return e.Err }

// File is a configuration that has been read, with the places of its keys.
type File struct {
	name   string
	places map[string]*yaml.Node
	wrong  []string // paths at which Decode found mistakes
}

// Errorf makes a mistake at the key with this path ("routes[2].targets[0].mode"), or at the nearest key around it that the
// file has.
func (f *File) Errorf(path, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if path != "" {
		err = fmt.Errorf("%s: %w", path, err)
	}
	pos := token.Position{Filename: f.name, Line: 1, Column: 1}
	for p := path; p != ""; p = outer(p) {
		if n, ok := f.places[p]; ok {
			pos.Line, pos.Column = n.Line, n.Column
			break
		}
	}
	return &PlaceError{Pos: pos, Err: err}
}

// Wrong reports whether Decode found a mistake at this path, in it or around it: what a value means can't be judged there.
func (f *File) Wrong(path string) bool {
	within := func(outer, inner string) bool {
		rest, ok := strings.CutPrefix(inner, outer)
		return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
	}
	return path != "" && slices.ContainsFunc(f.wrong, func(w string) bool { return within(w, path) || within(path, w) })
}

// Has reports whether the file gives a value at this path.
func (f *File) Has(path string) bool {
	_, ok := f.places[path]
	return ok
}

// outer cuts the last step off a path.
func outer(path string) string {
	i := strings.LastIndexAny(path, ".[")
	if i < 0 {
		return ""
	}
	return path[:i]
}

// maxBytes bounds a configuration file: far above what a person writes, far below what would hurt.
const maxBytes = 1 << 20

// Read decodes the file called name into the struct that into points at.
func Read(name string, into any) (*File, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if st.Size() > maxBytes {
		return nil, fmt.Errorf("%s: %d bytes is more than a configuration may have (%d)", name, st.Size(), maxBytes)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return Decode(name, text, into, os.LookupEnv)
}

// Decode decodes text into the struct that into points at; what is there already serves as the default. The error is a
// join of [PlaceError]s in the order of the text. Where the file comes with an error, all that is right has been decoded, so
// that the caller can look at the rest of it, [File.Wrong] aside.
func Decode(name string, text []byte, into any, env func(string) (string, bool)) (*File, error) {
	w := &walker{file: &File{name: name, places: map[string]*yaml.Node{}}, env: env}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, w.syntax(err)
	}
	if doc.Kind == 0 || len(doc.Content) == 0 || doc.Content[0].ShortTag() == "!!null" {
		return w.file, nil // an empty file is a fine configuration
	}
	root := doc.Content[0]
	w.walk(root, reflect.TypeOf(into).Elem(), "")
	if err := root.Decode(into); err != nil {
		return nil, errors.Join(errors.Join(w.errs...), w.syntax(err))
	}
	return w.file, errors.Join(w.errs...)
}

// walker goes over the text beside the type that it will fill.
type walker struct {
	file *File
	env  func(string) (string, bool)
	errs []error
}

// fail notes a mistake in the value n, which is left out of what is decoded.
func (w *walker) fail(n *yaml.Node, path, format string, args ...any) {
	err := fmt.Errorf(format, args...)
	if path != "" {
		err = fmt.Errorf("%s: %w", path, err)
	}
	w.note(n, path, err)
	*n = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: n.Line, Column: n.Column}
}

func (w *walker) note(n *yaml.Node, path string, err error) {
	w.errs = append(w.errs, &PlaceError{Pos: token.Position{Filename: w.file.name, Line: n.Line, Column: n.Column}, Err: err})
	if path != "" {
		w.file.wrong = append(w.file.wrong, path)
	}
}

// syntax turns the YAML library's "yaml: line 3: ..." into places.
func (w *walker) syntax(err error) error {
	lines := []string{strings.TrimPrefix(err.Error(), "yaml: ")}
	if te, ok := errors.AsType[*yaml.TypeError](err); ok {
		lines = te.Errors
	}
	var out []error
	for _, l := range lines {
		pos := token.Position{Filename: w.file.name, Line: 1, Column: 1}
		if rest, ok := strings.CutPrefix(l, "line "); ok {
			if num, msg, ok := strings.Cut(rest, ": "); ok {
				if n, err := strconv.Atoi(num); err == nil {
					pos.Line, l = n, msg
				}
			}
		}
		out = append(out, &PlaceError{Pos: pos, Err: errors.New(l)})
	}
	return errors.Join(out...)
}

var (
	durationType    = reflect.TypeFor[time.Duration]()
	unmarshalerType = reflect.TypeFor[yaml.Unmarshaler]()
	textType        = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// walk checks n against t, expands variables, and notes where each path stands.
func (w *walker) walk(n *yaml.Node, t reflect.Type, path string) {
	if path != "" {
		w.file.places[path] = n
	}
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if n.Kind == yaml.AliasNode {
		w.fail(n, path, "aliases are not supported; write the value out")
		return
	}
	if t != nil && reflect.PointerTo(t).Implements(unmarshalerType) {
		t = nil // it reads its node itself; only variables are expanded
	}
	switch n.Kind {
	case yaml.MappingNode:
		w.mapping(n, t, path)
	case yaml.SequenceNode:
		var elem reflect.Type
		if t != nil && t.Kind() != reflect.Interface {
			if t.Kind() != reflect.Slice && t.Kind() != reflect.Array {
				w.fail(n, path, "want %s, not a list", wanted(t))
				return
			}
			elem = t.Elem()
		}
		for i, c := range n.Content {
			w.walk(c, elem, path+"["+strconv.Itoa(i)+"]")
		}
	case yaml.ScalarNode:
		w.scalar(n, t, path)
	}
}

func (w *walker) mapping(n *yaml.Node, t reflect.Type, path string) {
	var fields map[string]reflect.Type
	var elem reflect.Type
	switch {
	case t == nil || t.Kind() == reflect.Interface:
	case t.Kind() == reflect.Struct:
		fields = map[string]reflect.Type{}
		collect(t, fields)
	case t.Kind() == reflect.Map:
		elem = t.Elem()
	default:
		w.fail(n, path, "want %s, not keys and values", wanted(t))
		return
	}
	seen := map[string]bool{}
	kept := n.Content[:0:0]
	defer func() { n.Content = kept }()
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		p := k.Value
		if path != "" {
			p = path + "." + k.Value
		}
		if seen[k.Value] {
			w.note(k, p, fmt.Errorf("%s is given twice", p))
			continue
		}
		seen[k.Value] = true
		ft := elem
		if fields != nil {
			var ok bool
			if ft, ok = fields[k.Value]; !ok {
				w.note(k, p, fmt.Errorf("unknown key %q%s%s", k.Value, within(path), Nearest(k.Value, slices.Collect(maps.Keys(fields)))))
				continue
			}
		}
		w.walk(v, ft, p)
		kept = append(kept, k, v)
	}
}

func (w *walker) scalar(n *yaml.Node, t reflect.Type, path string) {
	if strings.Contains(n.Value, "${") {
		s, err := w.expand(n.Value)
		if err != nil {
			w.fail(n, path, "%w", err)
			return
		}
		n.Value = s
		if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
			n.Tag = "" // an unquoted ${PORT} may well be a number
		}
	}
	if t == nil || n.ShortTag() == "!!null" {
		return
	}
	if reflect.PointerTo(t).Implements(textType) {
		if err := n.Decode(reflect.New(t).Interface()); err != nil {
			w.fail(n, path, "%s", strings.TrimPrefix(err.Error(), "yaml: "))
		}
		return
	}
	if t == durationType {
		d, err := ParseDuration(n.Value)
		if err != nil {
			w.fail(n, path, "want a duration such as 90s, 10m or 30d, not %q", n.Value)
			return
		}
		n.Value, n.Tag = d.String(), "!!str"
		return
	}
	ok := true
	switch t.Kind() {
	case reflect.Bool:
		var b bool
		ok = n.Decode(&b) == nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
		ok = n.Decode(reflect.New(t).Interface()) == nil
	case reflect.Struct, reflect.Map, reflect.Slice:
		ok = false
	}
	if !ok {
		w.fail(n, path, "want %s, not %q", wanted(t), n.Value)
	}
}

// expand replaces ${NAME} and ${file:PATH}. Its errors never hold a value.
func (w *walker) expand(s string) (string, error) {
	var b strings.Builder
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			b.WriteString(s)
			return b.String(), nil
		}
		if i > 0 && s[i-1] == '$' {
			b.WriteString(s[:i-1] + "${")
			s = s[i+2:]
			continue
		}
		b.WriteString(s[:i])
		name, rest, ok := strings.Cut(s[i+2:], "}")
		if !ok {
			return "", errors.New("${ without its }")
		}
		s = rest
		if path, ok := strings.CutPrefix(name, "file:"); ok {
			text, err := os.ReadFile(path)
			if err != nil {
				return "", err
			}
			b.WriteString(strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"))
			continue
		}
		v, ok := w.env(name)
		if !ok {
			return "", fmt.Errorf("the environment has no variable %s", name)
		}
		b.WriteString(v)
	}
}

// collect gathers the keys of a struct by its yaml tags, as the YAML library does.
func collect(t reflect.Type, into map[string]reflect.Type) {
	for f := range t.Fields() {
		name, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "-" || !f.IsExported() {
			continue
		}
		if strings.Contains(opts, "inline") {
			collect(f.Type, into)
			continue
		}
		if name == "" {
			name = strings.ToLower(f.Name)
		}
		into[name] = f.Type
	}
}

// wanted says in words what a type takes.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "keys and values"
	case reflect.String:
		return "a text"
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	return "a whole number"
}

func within(path string) string {
	if path == "" {
		return ""
	}
	return " in " + path
}

// Nearest names the one of the known words that a misspelt one most likely meant, as the end of a sentence; it is empty where none
// has anything of it.
func Nearest(given string, known []string) string {
	best, least := "", 1<<30
	for _, name := range known {
		if d := distance(given, name); d < least || d == least && name < best {
			best, least = name, d
		}
	}
	switch {
	case best == "":
		return "; none is known here"
	case least >= len(given):
		return ""
	}
	return fmt.Sprintf("; the nearest is %q", best)
}

// distance is the Levenshtein distance of two short words, a swap of neighbours counting as one change.
func distance(a, b string) int {
	prev2, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}

// ParseDuration reads what [time.ParseDuration] reads, and days and weeks before it: 30d, 2w, 1d12h.
func ParseDuration(s string) (time.Duration, error) {
	var days time.Duration
	rest := s
	for _, unit := range []struct {
		suffix string
		length time.Duration
	}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}} {
		num, after, ok := strings.Cut(rest, unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(num, 10, 16)
		if err != nil {
			break
		}
		days += time.Duration(n) * unit.length
		rest = after
	}
	if rest == "" && rest != s {
		return days, nil
	}
	d, err := time.ParseDuration(rest)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration", s)
	}
	return days + d, nil
}
