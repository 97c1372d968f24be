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
// linear in time; what it lacks (look-around, back references, counts above 1000) or reads otherwise goes to a small matcher of
// our own, which tries alternatives one after the other, and gives up after maxTries: such a value is refused.
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

// otherwise finds what Go and Java read in different ways: counts with leading zeros are plain text to Go, and \10 is a character.
var otherwise = regexp.MustCompile(`\{(?:0\d|\d+,0\d)|\\\d`)

var errTries = errors.New("the pattern takes too long on this value")

// fullMatch compiles a pattern so that it has to match the whole text, which is stricter than a search and the safer reading.
func fullMatch(text string) (pattern, error) {
	if len(text) > 4096 {
		return pattern{}, errors.New("the pattern is too long")
	}
	// It must be a pattern by itself: ")|(" would be one only within our parentheses, and then match everything.
	if _, err := regexp.Compile(text); err == nil && !otherwise.MatchString(text) {
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
		if err1 != nil || err2 != nil || strings.ContainsAny(a+b, "+-") || most < least || most > maxCount {
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
