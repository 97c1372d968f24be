package automation

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// pattern is a compiled allowedPattern. Systems Manager's patterns are Java's. What Go's regexp takes is left to it, which is
// linear in time; what it lacks (look-around, back references, counts above 1000) goes to a small matcher of our own, which
// tries alternatives one after the other, and gives up after maxTries: such a value is refused.
type pattern struct {
	re    *regexp.Regexp
	own   piece
	shell bool // of own: a part that is not look-around can be one of the shell's characters
}

// Bounds of our own matcher.
const (
	maxTries   = 200_000
	maxSubject = 16_384 // characters
	maxCount   = 65_536
)

var errTries = errors.New("the pattern takes too long on this value")

// fullMatch compiles a pattern so that it has to match the whole text, which is stricter than a search and the safer reading.
func fullMatch(text string) (pattern, error) {
	if len(text) > 4096 {
		return pattern{}, errors.New("the pattern is too long")
	}
	// It must be a pattern by itself: ")|(" would be one only within our parentheses, and then match everything.
	if _, err := regexp.Compile(text); err == nil {
		if re, err := regexp.Compile(`^(?:` + text + `)$`); err == nil {
			return pattern{re: re}, nil
		}
	}
	c := &patternReader{rest: []rune(text)}
	p, err2 := c.alternatives(0)
	if err2 == nil && len(c.rest) > 0 {
		err2 = fmt.Errorf("unexpected %q", string(c.rest))
	}
	if err2 != nil {
		return pattern{}, err2
	}
	return pattern{own: p, shell: c.shell}, nil
}

// match says whether the whole text matches. The error is errTries.
func (p pattern) match(text string) (bool, error) {
	if p.re != nil {
		return p.re.MatchString(text), nil
	}
	m := &matching{text: []rune(text), groups: map[int][2]int{}}
	if len(m.text) > maxSubject {
		return false, errTries
	}
	ok := p.own(m, 0, func(i int) bool { return i == len(m.text) })
	if m.tries > maxTries {
		return false, errTries
	}
	return ok, nil
}

// matching is one attempt at a text.
type matching struct {
	text   []rune
	groups map[int][2]int // number to begin and end
	tries  int
}

// piece matches from i and hands every end that it can have to next, until next says true.
type piece func(m *matching, i int, next func(int) bool) bool

func (m *matching) tired() bool {
	m.tries++
	return m.tries > maxTries
}

type patternReader struct {
	rest   []rune
	groups int
	fold   bool
	shell  bool
}

func (c *patternReader) take(prefix string) bool {
	p := []rune(prefix)
	if len(c.rest) < len(p) || !slices.Equal(c.rest[:len(p)], p) {
		return false
	}
	c.rest = c.rest[len(p):]
	return true
}

func (c *patternReader) alternatives(depth int) (piece, error) {
	if depth > 50 {
		return nil, errors.New("groups are too deep")
	}
	var all []piece
	for {
		s, err := c.sequence(depth)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
		if !c.take("|") {
			break
		}
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return func(m *matching, i int, next func(int) bool) bool {
		return slices.ContainsFunc(all, func(p piece) bool { return !m.tired() && p(m, i, next) })
	}, nil
}

func (c *patternReader) sequence(depth int) (piece, error) {
	var all []piece
	for len(c.rest) > 0 && c.rest[0] != '|' && c.rest[0] != ')' {
		p, err := c.atom(depth)
		if err != nil {
			return nil, err
		}
		if p, err = c.quantified(p); err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return chain(all), nil
}

func chain(all []piece) piece {
	switch len(all) {
	case 0:
		return func(_ *matching, i int, next func(int) bool) bool { return next(i) }
	case 1:
		return all[0]
	}
	first, rest := all[0], chain(all[1:])
	return func(m *matching, i int, next func(int) bool) bool {
		return first(m, i, func(j int) bool { return rest(m, j, next) })
	}
}

// quantified reads *, +, ?, {n}, {n,}, {n,m} after an atom, with ? (lazy) or + (possessive) behind.
func (c *patternReader) quantified(p piece) (piece, error) {
	least, most := 1, 1
	switch {
	case c.take("*"):
		least, most = 0, maxCount
	case c.take("+"):
		least, most = 1, maxCount
	case c.take("?"):
		least, most = 0, 1
	case len(c.rest) > 0 && c.rest[0] == '{':
		end := slices.Index(c.rest, '}')
		if end < 0 {
			return nil, errors.New("a } is missing")
		}
		a, b, comma := strings.Cut(string(c.rest[1:end]), ",")
		var err1, err2 error
		least, err1 = strconv.Atoi(a)
		if most = least; comma {
			if most = maxCount; b != "" {
				most, err2 = strconv.Atoi(b)
			}
		}
		if err1 != nil || err2 != nil || least < 0 || most < least || most > maxCount {
			return nil, fmt.Errorf("%s is not a count", string(c.rest[:end+1]))
		}
		c.rest = c.rest[end+1:]
	default:
		return p, nil
	}
	lazy, possessive := c.take("?"), false
	if !lazy {
		possessive = c.take("+")
	}
	r := repeat(p, least, most, lazy)
	if possessive {
		return atomic(r), nil
	}
	return r, nil
}

func repeat(p piece, least, most int, lazy bool) piece {
	return func(m *matching, i int, next func(int) bool) bool {
		var from func(n, i int) bool
		from = func(n, i int) bool {
			if m.tired() {
				return false
			}
			more := func() bool {
				return n < most && p(m, i, func(j int) bool { return (j > i || n < least) && from(n+1, j) })
			}
			if n < least {
				return more()
			}
			if lazy {
				return next(i) || more()
			}
			return more() || next(i)
		}
		return from(0, i)
	}
}

// atomic takes the first way in which p matches, and no other.
func atomic(p piece) piece {
	return func(m *matching, i int, next func(int) bool) bool {
		end := -1
		return p(m, i, func(j int) bool { end = j; return true }) && next(end)
	}
}

func (c *patternReader) atom(depth int) (piece, error) {
	r := c.rest[0]
	c.rest = c.rest[1:]
	switch r {
	case '(':
		return c.group(depth)
	case '[':
		set, err := c.class()
		if err != nil {
			return nil, err
		}
		return c.one(set), nil
	case '.':
		return c.one(func(r rune) bool { return r != '\n' && r != '\r' && r != '\u0085' && r != '\u2028' && r != '\u2029' }), nil
	case '^':
		return at(func(_ []rune, i int) bool { return i == 0 }), nil
	case '$':
		return at(func(text []rune, i int) bool { return i == len(text) }), nil
	case '\\':
		return c.escape()
	case '*', '+', '?', '{':
		return nil, fmt.Errorf("%q has nothing to repeat", r)
	}
	return c.letter(r), nil
}

func (c *patternReader) letter(r rune) piece {
	if c.fold {
		return c.one(func(x rune) bool { return unicode.ToLower(x) == unicode.ToLower(r) })
	}
	return c.one(func(x rune) bool { return x == r })
}

// one is a piece that takes one character of a set, and notes what the set lets through.
func (c *patternReader) one(set func(rune) bool) piece {
	c.shell = c.shell || strings.ContainsFunc(shellCharacters, set)
	return one(set)
}

func one(set func(rune) bool) piece {
	return func(m *matching, i int, next func(int) bool) bool {
		return i < len(m.text) && set(m.text[i]) && next(i+1)
	}
}

func at(holds func(text []rune, i int) bool) piece {
	return func(m *matching, i int, next func(int) bool) bool { return holds(m.text, i) && next(i) }
}

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
