package automation

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// group reads what follows an opening parenthesis.
func (c *patternReader) group(depth int) (piece, error) {
	kind, number, fold := "", 0, c.fold
	for _, k := range []string{"?:", "?=", "?!", "?>", "?<=", "?<!", "?i)", "?i:"} {
		if c.take(k) {
			kind = k
			break
		}
	}
	switch {
	case kind == "?i)": // for the rest of the group that it is in
		c.fold = true
		return chain(nil), nil
	case kind == "?i:":
		c.fold = true
	case kind != "":
	case c.take("?<"), c.take("?P<"):
		end := slices.Index(c.rest, '>')
		if end < 1 {
			return nil, errors.New("a group's name is missing")
		}
		c.rest = c.rest[end+1:]
	case c.take("?"):
		return nil, fmt.Errorf("(?%s is not supported", string(c.rest[:min(1, len(c.rest))]))
	}
	if kind == "" {
		c.groups++
		number = c.groups
	}
	shell := c.shell
	p, err := c.alternatives(depth + 1)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(kind, "=") || strings.HasSuffix(kind, "!") {
		c.shell = shell // what is only looked at takes no character
	}
	if !c.take(")") {
		return nil, errors.New("a ) is missing")
	}
	c.fold = fold
	yes := func(int) bool { return true }
	switch kind {
	case "?=":
		return func(m *matching, i int, next func(int) bool) bool { return p(m, i, yes) && next(i) }, nil
	case "?!":
		return func(m *matching, i int, next func(int) bool) bool { return !p(m, i, yes) && !m.tired() && next(i) }, nil
	case "?<=":
		return func(m *matching, i int, next func(int) bool) bool { return endsAt(m, p, i) && next(i) }, nil
	case "?<!":
		return func(m *matching, i int, next func(int) bool) bool { return !endsAt(m, p, i) && !m.tired() && next(i) }, nil
	case "?>":
		return atomic(p), nil
	case "":
		return capture(p, number), nil
	}
	return p, nil
}

// endsAt says that p matches some text that ends at i.
func endsAt(m *matching, p piece, i int) bool {
	for from := i; from >= 0; from-- {
		if m.tired() {
			return false
		}
		if p(m, from, func(j int) bool { return j == i }) {
			return true
		}
	}
	return false
}

func capture(p piece, number int) piece {
	return func(m *matching, i int, next func(int) bool) bool {
		return p(m, i, func(j int) bool {
			before, was := m.groups[number]
			m.groups[number] = [2]int{i, j}
			if next(j) {
				return true
			}
			if delete(m.groups, number); was {
				m.groups[number] = before
			}
			return false
		})
	}
}

// sets are the classes that are written with a letter.
func sets(r rune) (set func(rune) bool, ok bool) {
	digit := func(x rune) bool { return x >= '0' && x <= '9' }
	word := func(x rune) bool { return digit(x) || x == '_' || x >= 'a' && x <= 'z' || x >= 'A' && x <= 'Z' }
	space := func(x rune) bool { return x == ' ' || x >= '\t' && x <= '\r' }
	not := func(f func(rune) bool) func(rune) bool { return func(x rune) bool { return !f(x) } }
	switch r {
	case 'd':
		return digit, true
	case 'D':
		return not(digit), true
	case 'w':
		return word, true
	case 'W':
		return not(word), true
	case 's':
		return space, true
	case 'S':
		return not(space), true
	}
	return nil, false
}

// escaped is the character that a backslash and r stand for.
func escaped(r rune) (rune, bool) {
	switch r {
	case 't':
		return '\t', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 'f':
		return '\f', true
	}
	letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
	return r, !letter
}

// escape reads what follows a backslash outside a class.
func (c *patternReader) escape() (piece, error) {
	if len(c.rest) == 0 {
		return nil, errors.New("a backslash at the end")
	}
	r := c.rest[0]
	c.rest = c.rest[1:]
	if set, ok := sets(r); ok {
		return c.one(set), nil
	}
	word, _ := sets('w')
	edge := func(text []rune, i int) bool {
		return (i > 0 && word(text[i-1])) != (i < len(text) && word(text[i]))
	}
	switch {
	case r == 'b':
		return at(edge), nil
	case r == 'B':
		return at(func(text []rune, i int) bool { return !edge(text, i) }), nil
	case r == 'A':
		return at(func(_ []rune, i int) bool { return i == 0 }), nil
	case r == 'z', r == 'Z':
		return at(func(text []rune, i int) bool { return i == len(text) }), nil
	case r >= '1' && r <= '9':
		number := int(r - '0')
		if number > c.groups {
			return nil, fmt.Errorf("\\%d refers to no group", number)
		}
		return func(m *matching, i int, next func(int) bool) bool {
			g, ok := m.groups[number]
			n := g[1] - g[0]
			return ok && i+n <= len(m.text) && slices.Equal(m.text[g[0]:g[1]], m.text[i:i+n]) && next(i+n)
		}, nil
	}
	if x, ok := escaped(r); ok {
		return c.letter(x), nil
	}
	return nil, fmt.Errorf("\\%c is not supported", r)
}

// class reads [...]; the bracket is taken already.
func (c *patternReader) class() (func(rune) bool, error) {
	negated := c.take("^")
	var parts []func(rune) bool
	for first := true; ; first = false {
		if len(c.rest) == 0 {
			return nil, errors.New("a ] is missing")
		}
		r := c.rest[0]
		c.rest = c.rest[1:]
		if r == ']' && !first {
			break
		}
		if r == '[' || r == '&' && c.take("&") {
			return nil, errors.New("classes within classes are not supported")
		}
		if r == '\\' && len(c.rest) > 0 {
			r = c.rest[0]
			c.rest = c.rest[1:]
			if set, ok := sets(r); ok {
				parts = append(parts, set)
				continue
			}
			var ok bool
			if r, ok = escaped(r); !ok {
				return nil, fmt.Errorf("\\%c is not supported", r)
			}
		}
		last := r
		if len(c.rest) > 1 && c.rest[0] == '-' && c.rest[1] != ']' {
			last = c.rest[1]
			c.rest = c.rest[2:]
			if last == '\\' && len(c.rest) > 0 {
				var ok bool
				if last, ok = escaped(c.rest[0]); !ok {
					return nil, fmt.Errorf("a range up to \\%c", c.rest[0])
				}
				c.rest = c.rest[1:]
			}
			if last < r {
				return nil, fmt.Errorf("the range %c-%c is the wrong way round", r, last)
			}
		}
		parts = append(parts, func(x rune) bool { return x >= r && x <= last })
	}
	fold := c.fold
	return func(x rune) bool {
		in := slices.ContainsFunc(parts, func(p func(rune) bool) bool {
			return p(x) || fold && (p(unicode.ToLower(x)) || p(unicode.ToUpper(x)))
		})
		return in != negated
	}, nil
}
