package cloudtrail

import (
	"bytes"
	"errors"
	"unicode/utf16"
	"unicode/utf8"
)

// errMore means that the text ends within a value: with more of the file it may be whole.
var errMore = errors.New("the text ends within a record")

// syntaxError is what is wrong with a text, and where in it.
type syntaxError struct {
	at   int
	text string
}

func (e *syntaxError) Error() string { return e.text }

// maxDepth bounds how deep a record may nest; AWS's own stay below ten or so.
const maxDepth = 200

// cursor walks one JSON text strictly, value by value, without building anything. A general decoder spends ten times as long
// on a record, most of it on members that nobody reads.
type cursor struct {
	b []byte
	i int
}

func (c *cursor) fail(text string) error { return &syntaxError{c.i, text} }

func (c *cursor) space() {
	for c.i < len(c.b) {
		switch c.b[c.i] {
		case ' ', '\n', '\t', '\r':
			c.i++
		default:
			return
		}
	}
}

// peek returns the next byte that is no white space.
func (c *cursor) peek() (byte, error) {
	c.space()
	if c.i >= len(c.b) {
		return 0, errMore
	}
	return c.b[c.i], nil
}

// str reads a string and returns what stands between its quotes, and whether there are escapes in it.
func (c *cursor) str() (raw []byte, escaped bool, err error) {
	if c.b[c.i] != '"' {
		return nil, false, c.fail("expected a string")
	}
	start := c.i + 1
	b := c.b
	for i := start; i < len(b); i++ {
		switch ch := b[i]; {
		case ch == '"':
			c.i = i + 1
			return b[start:i], escaped, nil
		case ch == '\\':
			escaped = true
			i++
			if i < len(b) && (b[i] < 0x20 || b[i] > 0x7e) {
				c.i = i
				return nil, false, c.fail("a backslash before a character that needs none")
			}
		case ch < 0x20:
			c.i = i
			return nil, false, c.fail("a string is not closed on its line")
		}
	}
	return nil, false, errMore
}

// next reads what stands after a member or an element: true when another follows, false when the closing byte did.
func (c *cursor) next(closing byte) (bool, error) {
	ch, err := c.peek()
	if err != nil {
		return false, err
	}
	switch ch {
	case ',':
		c.i++
		return true, nil
	case closing:
		c.i++
		return false, nil
	}
	return false, c.fail("expected a comma or a closing bracket")
}

// key reads a member's name and its colon, and stands before its value.
func (c *cursor) key() ([]byte, error) {
	ch, err := c.peek()
	if err != nil {
		return nil, err
	}
	if ch != '"' {
		return nil, c.fail("expected the name of a member")
	}
	name, escaped, err := c.str()
	if err != nil {
		return nil, err
	}
	if escaped {
		name = unescape(nil, name)
	}
	if ch, err = c.peek(); err != nil {
		return nil, err
	}
	if ch != ':' {
		return nil, c.fail("expected a colon")
	}
	c.i++
	_, err = c.peek()
	return name, err
}

// open steps into an object or array. It returns false where it is empty, having stepped out of it again.
func (c *cursor) open(closing byte) (bool, error) {
	c.i++
	ch, err := c.peek()
	if err == nil && ch == closing {
		c.i++
		return false, nil
	}
	return true, err
}

// skip steps over the value that begins at the cursor and returns its text.
func (c *cursor) skip(depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, c.fail("nested too deep")
	}
	ch, err := c.peek()
	if err != nil {
		return nil, err
	}
	start := c.i
	switch ch {
	case '"':
		_, _, err = c.str()
	case '{', '[':
		closing := ch + 2 // in ASCII, of both
		more, e := c.open(closing)
		for ; more && e == nil; more, e = c.next(closing) {
			if ch == '{' {
				if _, e = c.key(); e != nil {
					break
				}
			}
			if _, e = c.skip(depth + 1); e != nil {
				break
			}
		}
		err = e
	default:
		err = c.scalar()
	}
	if err != nil {
		return nil, err
	}
	return c.b[start:c.i], nil
}

// scalar steps over a number, true, false or null.
func (c *cursor) scalar() error {
	start := c.i
	for c.i < len(c.b) {
		switch ch := c.b[c.i]; {
		case ch >= '0' && ch <= '9', ch >= 'a' && ch <= 'z', ch == '-', ch == '+', ch == '.', ch == 'E':
			c.i++
			continue
		}
		break
	}
	word := c.b[start:c.i]
	switch {
	case len(word) == 0:
		return c.fail("expected a value")
	case string(word) == "null", string(word) == "true", string(word) == "false":
		return nil
	case c.i == len(c.b):
		return errMore // a number or a word that may go on
	case word[0] == '-' && len(word) > 1 || word[0] >= '0' && word[0] <= '9':
		if bytes.IndexFunc(word, func(r rune) bool { return r >= 'a' && r <= 'z' && r != 'e' }) < 0 {
			return nil
		}
	}
	c.i = start
	return c.fail("expected a value")
}

// unescape appends the text of a JSON string's inside to dst. What is no proper escape becomes the replacement character.
func unescape(dst, raw []byte) []byte {
	for i := 0; i < len(raw); i++ {
		ch := raw[i]
		if ch != '\\' || i+1 == len(raw) {
			dst = append(dst, ch)
			continue
		}
		i++
		switch raw[i] {
		case 'n':
			dst = append(dst, '\n')
		case 't':
			dst = append(dst, '\t')
		case 'r':
			dst = append(dst, '\r')
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'u':
			r := hex4(raw[i+1:])
			if r < 0 {
				dst = utf8.AppendRune(dst, utf8.RuneError)
				continue
			}
			i += 4
			if utf16.IsSurrogate(r) {
				low := rune(-1)
				if i+2 < len(raw) && raw[i+1] == '\\' && raw[i+2] == 'u' {
					low = hex4(raw[i+3:])
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, raw[i])
		}
	}
	return dst
}

// hex4 reads four hex digits, or returns -1.
func hex4(b []byte) rune {
	if len(b) < 4 {
		return -1
	}
	var r rune
	for _, ch := range b[:4] {
		switch {
		case ch >= '0' && ch <= '9':
			ch -= '0'
		case ch >= 'a' && ch <= 'f':
			ch -= 'a' - 10
		case ch >= 'A' && ch <= 'F':
			ch -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(ch)
	}
	return r
}
