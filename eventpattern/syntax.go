package eventpattern

import (
	"errors"
	"fmt"
	"go/token"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep arrays and objects may nest, in patterns and in events. It bounds the stack, not what is useful.
const maxDepth = 10_000

// kind says which JSON value a node or a value is.
type kind uint8

const (
	kindLiteral kind = iota // null, true, false
	kindNumber
	kindString
	kindObject
	kindArray
)

func (k kind) String() string {
	return [...]string{"null, true or false", "a number", "a string", "an object", "an array"}[k]
}

// node is one JSON value of a parsed text, with its place in it: text[start:end].
type node struct {
	kind       kind
	start, end int
	text       []byte   // a string without quotes and escapes; a number or literal as written
	members    []member // of an object, in the order of the text, duplicates included
	items      []*node  // of an array
}

// member is one key of an object and its value.
type member struct {
	key   string
	start int // offset of the key's opening quote
	value *node
}

// get returns the value of the last member with the key, or nil.
func (n *node) get(key string) *node {
	if n.kind != kindObject {
		return nil
	}
	for i := len(n.members) - 1; i >= 0; i-- {
		if n.members[i].key == key {
			return n.members[i].value
		}
	}
	return nil
}

// PlaceError is a mistake in a text that a person wrote: routes/cpu.json:4:17: detail.grade: "numeric" needs an operator.
type PlaceError struct {
	Pos token.Position // file as Parse was told, line and column from 1, column in bytes
	Err error
}

// Error gives the place, then the reason.
func (e *PlaceError) Error() string { return e.Pos.String() + ": " + e.Err.Error() }

// Unwrap returns the reason without the place.
func (e *PlaceError) Unwrap() error { return e.Err }

// place turns an offset in text into a line and a column.
func place(name string, text []byte, offset int) token.Position {
	pos := token.Position{Filename: name, Offset: offset, Line: 1, Column: 1}
	for _, c := range text[:min(offset, len(text))] {
		pos.Column++
		if c == '\n' {
			pos.Line++
			pos.Column = 1
		}
	}
	return pos
}

// syntaxError is a text that isn't JSON, with the offset at which that shows.
type syntaxError struct {
	offset int
	reason string
}

func (e *syntaxError) Error() string {
	return fmt.Sprintf("not JSON at byte %d: %s", e.offset, e.reason)
}

// parseJSON reads one JSON value that fills the text. Its errors are syntaxErrors.
func parseJSON(text []byte) (*node, error) {
	p := parser{text: text}
	p.space()
	n, err := p.value(0)
	if err != nil {
		return nil, err
	}
	p.space()
	if p.at < len(text) {
		return nil, p.fail("something follows the value")
	}
	return n, nil
}

// parser is a plain recursive reader of JSON, strict as RFC 8259 is.
type parser struct {
	text []byte
	at   int
}

func (p *parser) fail(reason string) error { return &syntaxError{p.at, reason} }

func (p *parser) space() {
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case ' ', '\t', '\r', '\n':
			p.at++
		default:
			return
		}
	}
}

func (p *parser) value(depth int) (*node, error) {
	if depth > maxDepth {
		return nil, p.fail(fmt.Sprintf("nested more than %d deep", maxDepth))
	}
	if p.at == len(p.text) {
		return nil, p.fail("the text ends where a value is expected")
	}
	n := &node{start: p.at}
	var err error
	switch c := p.text[p.at]; {
	case c == '{':
		n.kind = kindObject
		err = p.object(n, depth)
	case c == '[':
		n.kind = kindArray
		err = p.array(n, depth)
	case c == '"':
		n.kind = kindString
		n.text, err = p.str()
	case c == '-' || c >= '0' && c <= '9':
		n.kind = kindNumber
		size := numberLen(p.text[p.at:])
		if size == 0 {
			return nil, p.fail("a malformed number")
		}
		n.text = p.text[p.at : p.at+size]
		p.at += size
	default:
		size := literalLen(p.text[p.at:])
		if size == 0 {
			return nil, p.fail("neither a value nor the end of one")
		}
		n.text = p.text[p.at : p.at+size]
		p.at += size
	}
	n.end = p.at
	return n, err
}

func (p *parser) object(n *node, depth int) error {
	p.at++
	for first := true; ; first = false {
		p.space()
		switch {
		case p.at == len(p.text):
			return p.fail("the text ends within an object")
		case p.text[p.at] == '}':
			if !first {
				return p.fail("a comma before the end of an object")
			}
			p.at++
			return nil
		case p.text[p.at] != '"':
			return p.fail("a key must be a string in double quotes")
		}
		m := member{start: p.at}
		key, err := p.str()
		if err != nil {
			return err
		}
		m.key = string(key)
		p.space()
		if p.at == len(p.text) || p.text[p.at] != ':' {
			return p.fail("no colon after a key")
		}
		p.at++
		p.space()
		if m.value, err = p.value(depth + 1); err != nil {
			return err
		}
		n.members = append(n.members, m)
		p.space()
		switch {
		case p.at == len(p.text):
			return p.fail("the text ends within an object")
		case p.text[p.at] == '}':
			p.at++
			return nil
		case p.text[p.at] != ',':
			return p.fail("no comma between two members of an object")
		}
		p.at++
	}
}

func (p *parser) array(n *node, depth int) error {
	p.at++
	for first := true; ; first = false {
		p.space()
		if p.at < len(p.text) && p.text[p.at] == ']' {
			if !first {
				return p.fail("a comma before the end of an array")
			}
			p.at++
			return nil
		}
		item, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		n.items = append(n.items, item)
		p.space()
		switch {
		case p.at == len(p.text):
			return p.fail("the text ends within an array")
		case p.text[p.at] == ']':
			p.at++
			return nil
		case p.text[p.at] != ',':
			return p.fail("no comma between two elements of an array")
		}
		p.at++
	}
}

// str reads a string and returns it without quotes and escapes.
func (p *parser) str() ([]byte, error) {
	start := p.at + 1
	escaped := false
	for i := start; i < len(p.text); i++ {
		switch c := p.text[i]; {
		case c == '"':
			p.at = i + 1
			if !escaped {
				return p.text[start:i], nil
			}
			out, at, err := appendUnescaped(nil, p.text[start:i])
			if err != nil {
				p.at = start + at
				return nil, p.fail(err.Error())
			}
			return out, nil
		case c == '\\':
			escaped = true
			i++
		case c < ' ':
			p.at = i
			return nil, p.fail("a control character within a string")
		}
	}
	p.at = len(p.text)
	return nil, p.fail("the text ends within a string")
}

var errEscape = errors.New("an escape that JSON doesn't have")

// appendUnescaped appends the inside of a JSON string to dst with its escapes resolved. Half a surrogate pair becomes U+FFFD;
// bytes that aren't UTF-8 stay what they are. On an error it gives the offset of the escape in s.
func appendUnescaped(dst, s []byte) ([]byte, int, error) {
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			dst = append(dst, s[i])
			continue
		}
		at := i
		i++
		if i == len(s) {
			return dst, at, errEscape
		}
		switch s[i] {
		case '"', '\\', '/':
			dst = append(dst, s[i])
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r := hex4(s[i+1:])
			if r < 0 {
				return dst, at, errEscape
			}
			i += 4
			if utf16.IsSurrogate(r) {
				if i+2 < len(s) && s[i+1] == '\\' && s[i+2] == 'u' {
					if pair := utf16.DecodeRune(r, hex4(s[i+3:])); pair != utf8.RuneError {
						dst = utf8.AppendRune(dst, pair)
						i += 6
						continue
					}
				}
				r = utf8.RuneError
			}
			dst = utf8.AppendRune(dst, r)
		default:
			return dst, at, errEscape
		}
	}
	return dst, 0, nil
}

// hex4 reads four hexadecimal digits, or returns -1.
func hex4(s []byte) rune {
	if len(s) < 4 {
		return -1
	}
	var r rune
	for _, c := range s[:4] {
		d := hexDigit(c)
		if d < 0 {
			return -1
		}
		r = r<<4 | rune(d)
	}
	return r
}

// hexDigit returns the value of a hexadecimal digit, or -1.
func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// literalLen returns the length of the literal that s begins with, or 0.
func literalLen(s []byte) int {
	for _, lit := range [...]string{"null", "true", "false"} {
		if len(s) >= len(lit) && string(s[:len(lit)]) == lit {
			return len(lit)
		}
	}
	return 0
}

// numberLen returns the length of the JSON number that s begins with, or 0.
func numberLen(s []byte) int {
	i := 0
	digits := func() bool {
		from := i
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		return i > from
	}
	if i < len(s) && s[i] == '-' {
		i++
	}
	if i < len(s) && s[i] == '0' {
		i++
	} else if !digits() {
		return 0
	}
	if i < len(s) && s[i] == '.' {
		i++
		if !digits() {
			return 0
		}
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		if !digits() {
			return 0
		}
	}
	return i
}
