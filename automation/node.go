package automation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/token"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// node is one value of the text with its place: JSON and YAML in one shape, aliases followed, keys unique.
type node struct {
	pos    token.Position
	value  any     // of a scalar: nil, bool, int64, float64, string
	raw    string  // of a scalar: as written, without quotes
	fields []field // of a map, in order
	items  []node  // of a list
	kind   nodeKind
}

type field struct {
	name  string
	pos   token.Position
	value node
}

type nodeKind int

const (
	scalarNode nodeKind = iota
	mapNode
	listNode
)

func (k nodeKind) String() string { return [...]string{"a single value", "a map", "a list"}[k] }

// Bounds on what is read. The size is AWS's quota.
const (
	maxText  = 64 << 10
	maxNodes = 200_000 // aliases multiply
	maxDepth = 100
)

func (n node) get(name string) (node, bool) {
	for _, f := range n.fields {
		if f.name == name {
			return f.value, true
		}
	}
	return node{}, false
}

// plain is the value without places: nil, bool, int64, float64, string, []any, map[string]any.
func (n node) plain() any {
	switch n.kind {
	case mapNode:
		m := make(map[string]any, len(n.fields))
		for _, f := range n.fields {
			m[f.name] = f.value.plain()
		}
		return m
	case listNode:
		l := make([]any, len(n.items))
		for i, it := range n.items {
			l[i] = it.plain()
		}
		return l
	}
	return n.value
}

// walk calls fn for the node and all below it.
func (n node) walk(fn func(node)) {
	fn(n)
	for _, f := range n.fields {
		f.value.walk(fn)
	}
	for _, it := range n.items {
		it.walk(fn)
	}
}

// reader turns text into nodes.
type reader struct {
	file  string
	lines [][]byte
	nodes int
	errs  []error

	warnings []error
}

func (r *reader) errorf(pos token.Position, format string, args ...any) {
	r.errs = append(r.errs, &PlaceError{Pos: pos, Err: fmt.Errorf(format, args...)})
}

func (r *reader) warnf(pos token.Position, format string, args ...any) {
	r.warnings = append(r.warnings, &PlaceError{Pos: pos, Err: fmt.Errorf(format, args...)})
}

// read parses the text; what it finds wrong is in errs.
func (r *reader) read(text []byte) node {
	first := token.Position{Filename: r.file, Line: 1, Column: 1}
	switch {
	case len(text) > maxText:
		r.errorf(first, "the document has %d bytes; %d are the most", len(text), maxText)
		return node{}
	case len(bytes.TrimSpace(text)) == 0:
		r.errorf(first, "the document is empty")
		return node{}
	case !utf8.Valid(text):
		r.errorf(r.at(text, invalidUTF8(text)), "the text is not UTF-8")
		return node{}
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if bytes.TrimLeft(text, " \t\r\n")[0] == '{' {
		return r.readJSON(text)
	}
	return r.readYAML(text)
}

func invalidUTF8(text []byte) int {
	for i := 0; i < len(text); {
		c, n := utf8.DecodeRune(text[i:])
		if c == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
	return 0
}

// at is the place of the byte at offset.
func (r *reader) at(text []byte, offset int) token.Position {
	offset = min(max(offset, 0), len(text))
	before := text[:offset]
	line := bytes.Count(before, []byte{'\n'}) + 1
	return token.Position{Filename: r.file, Offset: offset, Line: line, Column: offset - bytes.LastIndexByte(before, '\n')}
}

func (r *reader) readJSON(text []byte) node {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	n, err := r.jsonValue(d, text, 0)
	if err == nil {
		var after json.Token
		if after, err = d.Token(); err == nil {
			r.errorf(r.at(text, int(d.InputOffset())), "%v after the document's end", after)
			return n
		}
		if errors.Is(err, io.EOF) {
			return n
		}
	}
	pos := r.at(text, int(d.InputOffset()))
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		pos = r.at(text, int(syntax.Offset)-1)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		pos, err = r.at(text, len(text)), errors.New("the text ends too early")
	}
	r.errorf(pos, "JSON: %w", err)
	return n
}

// jsonValue reads one value. The decoder's offset before a token is the end of the last one, so what lies between is skipped.
func (r *reader) jsonValue(d *json.Decoder, text []byte, depth int) (node, error) {
	start := r.jsonStart(d, text)
	t, err := d.Token()
	if err != nil {
		return node{}, err
	}
	return r.jsonRest(d, text, t, start, depth)
}

func (r *reader) jsonStart(d *json.Decoder, text []byte) token.Position {
	at := int(d.InputOffset())
	for at < len(text) && strings.IndexByte(" \t\r\n,:", text[at]) >= 0 {
		at++
	}
	return r.at(text, at)
}

func (r *reader) jsonRest(d *json.Decoder, text []byte, t json.Token, pos token.Position, depth int) (node, error) {
	if depth > maxDepth {
		return node{}, fmt.Errorf("more than %d levels deep", maxDepth)
	}
	n := node{pos: pos}
	switch v := t.(type) {
	case json.Delim:
		if v == '[' {
			n.kind = listNode
			for d.More() {
				it, err := r.jsonValue(d, text, depth+1)
				if err != nil {
					return n, err
				}
				n.items = append(n.items, it)
			}
			_, err := d.Token()
			return n, err
		}
		n.kind = mapNode
		for d.More() {
			keyPos := r.jsonStart(d, text)
			k, err := d.Token()
			if err != nil {
				return n, err
			}
			key, ok := k.(string)
			if !ok {
				return n, fmt.Errorf("a name was expected, not %v", k)
			}
			it, err := r.jsonValue(d, text, depth+1)
			if err != nil {
				return n, err
			}
			r.add(&n, key, keyPos, it)
		}
		_, err := d.Token()
		return n, err
	case json.Number:
		n.raw = v.String()
		if i, err := v.Int64(); err == nil {
			n.value = i
		} else if n.value, err = v.Float64(); err != nil {
			return n, fmt.Errorf("number %s: %w", v, err)
		}
	case string:
		n.raw, n.value = v, v
	case bool:
		n.raw, n.value = strconv.FormatBool(v), v
	}
	return n, nil
}

// add puts a field into a map, once.
func (r *reader) add(n *node, name string, pos token.Position, v node) {
	if i := slices.IndexFunc(n.fields, func(f field) bool { return f.name == name }); i >= 0 {
		if jsonOf(n.fields[i].value.plain()) == jsonOf(v.plain()) {
			r.warnf(pos, "%q is here twice with the same value (first in line %d)", name, n.fields[i].pos.Line)
		} else {
			r.errorf(pos, "%q is here twice (first in line %d)", name, n.fields[i].pos.Line)
		}
		return
	}
	n.fields = append(n.fields, field{name: name, pos: pos, value: v})
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

func (r *reader) readYAML(text []byte) node {
	r.lines = bytes.Split(text, []byte{'\n'})
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&doc); err != nil {
		pos := token.Position{Filename: r.file, Line: 1, Column: 1}
		msg := err.Error()
		if m := yamlLine.FindStringSubmatch(msg); m != nil {
			msg = m[2]
			if line, err := strconv.Atoi(m[1]); err == nil {
				pos.Line = line
				if strings.HasPrefix(msg, "did not find expected") {
					pos.Line++ // yaml counts from 0 in its parser's errors, from 1 in its scanner's
				}
				pos.Line = min(pos.Line, len(r.lines))
			}
		}
		r.errorf(pos, "YAML: %s", msg)
		return node{}
	}
	var second yaml.Node
	if err := dec.Decode(&second); err == nil {
		r.errorf(r.yamlPos(&second), "a second document in one text")
	}
	if len(doc.Content) == 0 {
		r.errorf(token.Position{Filename: r.file, Line: 1, Column: 1}, "the document is empty")
		return node{}
	}
	return r.yamlNode(doc.Content[0], 0)
}

// yamlPos is the place of a YAML node; yaml counts characters in a line, we count bytes.
func (r *reader) yamlPos(y *yaml.Node) token.Position {
	p := token.Position{Filename: r.file, Line: max(y.Line, 1), Column: max(y.Column, 1)}
	if p.Line > len(r.lines) {
		return p
	}
	line, col := r.lines[p.Line-1], 0
	for range p.Column - 1 {
		if col >= len(line) {
			return p
		}
		_, n := utf8.DecodeRune(line[col:])
		col += n
	}
	p.Column = col + 1
	return p
}

func (r *reader) yamlNode(y *yaml.Node, depth int) node {
	n := node{pos: r.yamlPos(y)}
	r.nodes++
	if depth > maxDepth || r.nodes > maxNodes {
		if r.nodes < math.MaxInt32 {
			r.errorf(n.pos, "the document is too deep or too large")
			r.nodes = math.MaxInt32 // once is enough
		}
		return n
	}
	switch y.Kind {
	case yaml.AliasNode:
		return r.yamlNode(y.Alias, depth+1)
	case yaml.MappingNode:
		n.kind = mapNode
		for i := 0; i+1 < len(y.Content); i += 2 {
			k := y.Content[i]
			if k.Kind != yaml.ScalarNode {
				r.errorf(r.yamlPos(k), "a name was expected, not %s", kindOf(k))
				continue
			}
			r.add(&n, k.Value, r.yamlPos(k), r.yamlNode(y.Content[i+1], depth+1))
		}
	case yaml.SequenceNode:
		n.kind = listNode
		for _, c := range y.Content {
			n.items = append(n.items, r.yamlNode(c, depth+1))
		}
	default:
		n.raw = y.Value
		n.value = r.yamlScalar(y, n.pos)
	}
	return n
}

func kindOf(y *yaml.Node) nodeKind {
	switch y.Kind {
	case yaml.MappingNode:
		return mapNode
	case yaml.SequenceNode:
		return listNode
	}
	return scalarNode
}

// yamlScalar reads a scalar as JSON would have it: a date stays the text that it is.
func (r *reader) yamlScalar(y *yaml.Node, pos token.Position) any {
	switch y.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		var b bool
		if y.Decode(&b) == nil {
			return b
		}
	case "!!int":
		var i int64
		if y.Decode(&i) == nil {
			return i
		}
	case "!!float":
		var f float64
		if y.Decode(&f) == nil {
			if math.IsNaN(f) || math.IsInf(f, 0) {
				r.errorf(pos, "%s is not a number that a document can hold", y.Value)
			}
			return f
		}
	}
	return y.Value
}
