package eventpattern

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of AWS on input transformers.
const (
	maxVariables     = 100
	maxVariableName  = 256  // characters
	maxTemplateChars = 8192 // characters
)

// Variables fill the placeholders that AWS predefines. The zero value leaves them empty.
type Variables struct {
	RuleARN       string    // <aws.events.rule-arn>
	RuleName      string    // <aws.events.rule-name>
	IngestionTime time.Time // <aws.events.event.ingestion-time>, written in UTC as ISO 8601
}

// Transformer makes a target's input out of an event: an InputPathsMap and an InputTemplate, checked. It is immutable and safe for
// concurrent use.
type Transformer struct {
	paths map[string]jsonPath
	parts []part
}

// part is literal text of a template, or a placeholder.
type part struct {
	literal string
	name    string // of the placeholder; empty for literal text
	quoted  bool   // the placeholder stands within a JSON string
}

// The placeholders that AWS predefines.
const (
	varRuleARN  = "aws.events.rule-arn"
	varRuleName = "aws.events.rule-name"
	varTime     = "aws.events.event.ingestion-time"
	varEvent    = "aws.events.event"
	varJSON     = "aws.events.event.json"
)

func predefined(name string) bool {
	return slices.Contains([]string{varRuleARN, varRuleName, varTime, varEvent, varJSON}, name)
}

// NewTransformer checks an InputPathsMap and an InputTemplate. The name is what errors call the template. The template is one JSON
// value, or strings one after another, with placeholders such as <instance>: as a value by itself or within a string, never as a
// key. All mistakes are reported at once, those of the template as [*PlaceError].
func NewTransformer(name string, paths map[string]string, template string) (*Transformer, error) {
	t := &Transformer{paths: make(map[string]jsonPath, len(paths))}
	var errs []error
	if len(paths) > maxVariables {
		errs = append(errs, fmt.Errorf("%s: %d variables, of which there may be %d", name, len(paths), maxVariables))
	}
	for _, v := range sortedKeys(paths) {
		if err := checkVariable(v); err != nil {
			errs = append(errs, fmt.Errorf("%s: variable %q: %w", name, v, err))
		}
		path, err := parsePath(paths[v])
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: variable %q: path %q: %w", name, v, paths[v], err))
		}
		t.paths[v] = path
	}
	if err := errors.Join(append(errs, t.template(name, template))...); err != nil {
		return nil, err
	}
	return t, nil
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func checkVariable(name string) error {
	switch {
	case name == "" || len(name) > maxVariableName:
		return fmt.Errorf("a name has 1 to %d characters", maxVariableName)
	case len(name) >= 4 && strings.EqualFold(name[:4], "aws."):
		return errors.New("names that begin with AWS. are reserved")
	}
	for _, c := range []byte(name) {
		if !variableByte(c) {
			return errors.New("a name is made of letters, digits, - and _")
		}
	}
	return nil
}

func variableByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// template splits the template into parts and checks that it is JSON whatever the placeholders stand for.
func (t *Transformer) template(name, text string) error {
	var mistakes []*PlaceError
	fail := func(offset int, format string, args ...any) {
		mistakes = append(mistakes, &PlaceError{place(name, []byte(text), offset), fmt.Errorf(format, args...)})
	}
	if n := len([]rune(text)); n == 0 || n > maxTemplateChars {
		fail(0, "a template has 1 to %d characters, not %d", maxTemplateChars, n)
		return joinInOrder(mistakes)
	}
	// shape is the template with each placeholder put as JSON of the same length, so that places stay right.
	shape := []byte(text)
	quoted, from := false, 0
	lastString := -1 // offset of a placeholder within the string that was read last
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
			if quoted {
				lastString = -1
			}
		case c == ':' && !quoted && lastString >= 0:
			fail(lastString, "a placeholder can't be, or be part of, a key")
			lastString = -1
		case c == ',' && !quoted:
			lastString = -1
		case c == '<':
			end := placeholderEnd(text[i:])
			if end == 0 {
				continue
			}
			v := text[i+1 : i+end-1]
			switch _, known := t.paths[v]; {
			case !known && !predefined(v):
				fail(i, "<%s> is neither in InputPathsMap nor predefined", v)
			case quoted && (v == varEvent || v == varJSON):
				fail(i, "<%s> can only be a value by itself, not part of a string", v)
			}
			lastString = i
			t.parts = append(t.parts, part{literal: text[from:i]}, part{name: v, quoted: quoted})
			for j := range end {
				shape[i+j] = ' '
			}
			if !quoted {
				shape[i] = '0'
			}
			i += end - 1
			from = i + 1
		}
	}
	t.parts = append(t.parts, part{literal: text[from:]})
	if offset, reason := checkValues(shape); reason != "" {
		fail(offset, "%s; a template is JSON, or text in double quotes", reason)
	}
	if len(mistakes) == 0 {
		return nil
	}
	return joinInOrder(mistakes)
}

// placeholderEnd returns the length of the placeholder that s begins with, or 0.
func placeholderEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '>' && i > 1:
			return i + 1
		case !variableByte(s[i]) && s[i] != '.':
			return 0
		}
	}
	return 0
}

// checkValues reads one JSON value, or several strings in a row.
func checkValues(text []byte) (offset int, reason string) {
	p := parser{text: text}
	for n := 0; ; n++ {
		p.space()
		if p.at == len(text) && n > 0 {
			return 0, ""
		}
		start := p.at
		v, err := p.value(0)
		if syntax, ok := errors.AsType[*syntaxError](err); ok {
			return syntax.offset, syntax.reason
		}
		if n > 0 && v.kind != kindString {
			return start, "something follows the value"
		}
		if v.kind != kindString {
			p.space()
			if p.at < len(text) {
				return p.at, "something follows the value"
			}
		}
	}
}

// Transform returns the input that the template makes of the event. A value by itself becomes JSON; within a string its text is put
// in and escaped, so that the result stays JSON (AWS doesn't escape). A path that finds nothing gives the empty string.
func (t *Transformer) Transform(event []byte, v Variables) ([]byte, error) {
	root, err := parseEvent(event)
	if err != nil {
		return nil, err
	}
	var out []byte
	for _, p := range t.parts {
		switch p.name {
		case "":
			out = append(out, p.literal...)
		case varRuleARN:
			out = appendText(out, v.RuleARN, p.quoted)
		case varRuleName:
			out = appendText(out, v.RuleName, p.quoted)
		case varTime:
			when := ""
			if !v.IngestionTime.IsZero() {
				when = v.IngestionTime.UTC().Format("2006-01-02T15:04:05Z")
			}
			out = appendText(out, when, p.quoted)
		case varJSON:
			out = append(out, event[root.start:root.end]...)
		case varEvent:
			out = appendWithoutDetail(out, root, event)
		default:
			out = appendFound(out, t.paths[p.name].find(nil, root), t.paths[p.name].many, event, p.quoted)
		}
	}
	return out, nil
}

// appendWithoutDetail appends the event without its detail.
func appendWithoutDetail(out []byte, root *node, event []byte) []byte {
	out = append(out, '{')
	first := true
	for _, m := range root.members {
		if m.key == "detail" || root.get(m.key) != m.value {
			continue
		}
		if !first {
			out = append(out, ',')
		}
		first = false
		out = append(out, event[m.start:m.value.end]...)
	}
	return append(out, '}')
}

// appendFound appends what a path has found.
func appendFound(out []byte, found []*node, many bool, event []byte, quoted bool) []byte {
	switch {
	case many && len(found) > 0:
		list := []byte{'['}
		for i, n := range found {
			if i > 0 {
				list = append(list, ',')
			}
			list = append(list, event[n.start:n.end]...)
		}
		list = append(list, ']')
		if quoted {
			return appendEscaped(out, list)
		}
		return append(out, list...)
	case len(found) == 0:
		return appendText(out, "", quoted)
	case !quoted:
		return append(out, event[found[0].start:found[0].end]...)
	case found[0].kind == kindString:
		return appendEscaped(out, found[0].text)
	}
	return appendEscaped(out, event[found[0].start:found[0].end])
}

func appendText(out []byte, s string, quoted bool) []byte {
	if quoted {
		return appendEscaped(out, []byte(s))
	}
	return append(appendEscaped(append(out, '"'), []byte(s)), '"')
}

// appendEscaped appends s as the inside of a JSON string.
func appendEscaped(out, s []byte) []byte {
	const hex = "0123456789abcdef"
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c == '\n':
			out = append(out, '\\', 'n')
		case c == '\t':
			out = append(out, '\\', 't')
		case c == '\r':
			out = append(out, '\\', 'r')
		case c < ' ':
			out = append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			out = append(out, c)
		}
	}
	return out
}

// jsonPath is the part of JSONPath that AWS takes: keys, [n], [*] and .*
type jsonPath struct {
	steps []pathStep
	many  bool // has a wildcard, so that it finds a list
}

type pathStep struct {
	key   string // of an object
	index int    // of an array, where key is empty; -1 stands for all, of an object's values too
}

var errPath = errors.New("a path is $ and then .key, [number], [*] or .*")

func parsePath(s string) (jsonPath, error) {
	var p jsonPath
	rest, ok := strings.CutPrefix(s, "$")
	if !ok {
		return p, errPath
	}
	for rest != "" {
		switch rest[0] {
		case '.':
			end := strings.IndexAny(rest[1:], ".[") + 1
			if end == 0 {
				end = len(rest)
			}
			key := rest[1:end]
			rest = rest[end:]
			switch {
			case key == "*":
				p.steps = append(p.steps, pathStep{index: -1})
				p.many = true
			case key == "" || strings.ContainsAny(key, "*]\"'()? \t"):
				return p, errPath
			default:
				p.steps = append(p.steps, pathStep{key: key})
			}
		case '[':
			inside, after, ok := strings.Cut(rest[1:], "]")
			index, err := strconv.Atoi(inside)
			if inside == "*" {
				index, err = -1, nil
				p.many = true
			}
			if !ok || err != nil || index < 0 && inside != "*" {
				return p, errPath
			}
			p.steps = append(p.steps, pathStep{index: index})
			rest = after
		default:
			return p, errPath
		}
	}
	return p, nil
}

// find appends what the path leads to from n.
func (p jsonPath) find(dst []*node, n *node) []*node {
	if len(p.steps) == 0 {
		return append(dst, n)
	}
	step, rest := p.steps[0], jsonPath{steps: p.steps[1:]}
	switch {
	case step.key != "":
		if v := n.get(step.key); v != nil {
			return rest.find(dst, v)
		}
	case step.index < 0:
		for _, item := range n.items {
			dst = rest.find(dst, item)
		}
		for _, m := range n.members {
			if n.get(m.key) == m.value {
				dst = rest.find(dst, m.value)
			}
		}
	case step.index < len(n.items):
		return rest.find(dst, n.items[step.index])
	}
	return dst
}
