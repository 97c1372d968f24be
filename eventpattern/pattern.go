package eventpattern

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/token"
	"math"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// Limits of AWS. A pattern beyond maxCombinations or maxFields is refused; beyond maxCharacters it gets a warning, since AWS raises
// that one on request.
const (
	maxCombinations = 1000 // ways through the pattern's $or
	maxFields       = 256  // distinct fields in one combination
	maxCharacters   = 2048
)

// ErrDuplicate is wrapped by the warning that a field of a pattern is written twice; the last one counts.
var ErrDuplicate = errors.New("written twice, the last one counts")

// ErrLimit is wrapped by the warnings about limits that AWS has and this package doesn't need.
var ErrLimit = errors.New("beyond a limit of AWS")

// Pattern is an event pattern, ready to match. It is immutable and safe for concurrent use.
type Pattern struct {
	name     string
	text     []byte
	rules    []rule
	warnings []error

	once   sync.Once
	single Matcher // holds the pattern alone, from the first Match on
}

// rule is one way through a pattern: fields that must all match. $or makes several of one pattern. It is sorted by path, which is
// the order in which exists: false sees what the fields before it have chosen among the elements of an array.
type rule []field

// field is a path into the event and the alternatives for what is there.
type field struct {
	path  string // keys joined by dots; a dot within a key is no different
	tests []test
	pos   token.Position // of the alternatives in the pattern's text
}

// Parse reads a pattern. The name is what errors call the text, most often a file's. What AWS refuses is refused: the error joins a
// [*PlaceError] for each mistake, in the order of the text.
func Parse(name string, text []byte) (*Pattern, error) {
	root, err := parseJSON(text)
	if err != nil {
		if syntax, ok := errors.AsType[*syntaxError](err); ok {
			err = &PlaceError{place(name, text, syntax.offset), fmt.Errorf("not JSON: %s", syntax.reason)}
		}
		return nil, err
	}
	if at := invalidUTF8(text); at >= 0 {
		return nil, &PlaceError{place(name, text, at), errors.New("bytes that aren't UTF-8")}
	}
	c := compiler{name: name, text: text, or: true}
	c.pattern(root)
	if len(c.mistakes) > 0 && c.sawOr {
		// Event Ruler takes $or as the name of a field where the pattern makes no sense otherwise.
		plain := compiler{name: name, text: text}
		if plain.pattern(root); len(plain.mistakes) == 0 {
			c = plain
		}
	}
	if len(c.mistakes) > 0 {
		return nil, joinInOrder(c.mistakes)
	}
	if n := utf8.RuneCount(text); n > maxCharacters {
		c.limit(0, "%d characters, of which AWS takes %d unless asked for more", n, maxCharacters)
	}
	p := &Pattern{name: name, text: slices.Clone(text), rules: c.rules}
	slices.SortStableFunc(c.warnings, byPlace)
	for _, w := range c.warnings {
		p.warnings = append(p.warnings, w)
	}
	return p, nil
}

// Name returns the name that Parse was given.
func (p *Pattern) Name() string { return p.name }

// Warnings returns, in the order of the text, a [*PlaceError] for each thing that is accepted but deserves a look: it wraps
// [ErrDuplicate] or [ErrLimit].
func (p *Pattern) Warnings() []error { return slices.Clone(p.warnings) }

// Match says whether the pattern matches the event. Unlike a [Matcher], it also checks that the whole event is JSON. ErrNotObject
// says that it is, but not an object.
func (p *Pattern) Match(event []byte) (bool, error) {
	if !json.Valid(event) {
		if _, err := parseJSON(event); err != nil {
			return false, err
		}
	}
	p.once.Do(func() {
		p.single.config.MaxBytes = math.MaxInt64
		_ = p.single.Add("", p) // fails for want of memory only
	})
	var room [1]string
	names, err := p.single.Match(room[:0], event)
	return len(names) > 0, err
}

func joinInOrder(mistakes []*PlaceError) error {
	slices.SortStableFunc(mistakes, byPlace)
	errs := make([]error, len(mistakes))
	for i, m := range mistakes {
		errs[i] = m
	}
	return errors.Join(errs...)
}

func byPlace(a, b *PlaceError) int { return a.Pos.Offset - b.Pos.Offset }

// compiler turns the JSON of a pattern into rules. Like Event Ruler, it goes through the text in order and keeps a list of rules:
// a field is put into each of them, over an earlier one of the same path; $or makes copies of them all for each of its branches.
type compiler struct {
	name     string
	text     []byte
	or       bool // $or is an operator
	sawOr    bool
	path     []string
	rules    []rule
	mistakes []*PlaceError
	warnings []*PlaceError
	full     bool // too many combinations: said once
}

func (c *compiler) fail(offset int, format string, args ...any) {
	if where := strings.Join(c.path, "."); where != "" {
		format, args = "%s: "+format, append([]any{where}, args...)
	}
	c.mistakes = append(c.mistakes, &PlaceError{place(c.name, c.text, offset), fmt.Errorf(format, args...)})
}

func (c *compiler) limit(offset int, format string, args ...any) {
	err := fmt.Errorf(format+": %w", append(args, ErrLimit)...)
	c.warnings = append(c.warnings, &PlaceError{place(c.name, c.text, offset), err})
}

func (c *compiler) pattern(root *node) {
	if root.kind != kindObject {
		c.fail(root.start, "a pattern is an object, not %s", root.kind)
		return
	}
	c.object(root, false)
	for _, r := range c.rules {
		slices.SortFunc(r, func(a, b field) int { return strings.Compare(a.path, b.path) })
		if len(r) > maxFields {
			c.fail(root.start, "%d fields, of which a pattern may have %d", len(r), maxFields)
			break
		}
	}
}

// reserved are the names that fields within $or can't have.
func reserved(key string) bool {
	switch key {
	case "exactly", "equals-ignore-case", "prefix", "suffix", "anything-but", "exists", "wildcard", "numeric", "cidr",
		"=", "<", "<=", ">", ">=", "regex", "not-wildcard", "not-equals-ignore-case",
		"date-after", "date-on-or-after", "date-before", "date-on-or-before", "in-date-range",
		"ip-address-in-range", "ip-address-not-in-range":
		return true
	}
	return false
}

func (c *compiler) object(n *node, inOr bool) {
	if len(n.members) == 0 {
		c.fail(n.start, "an empty object")
	}
	seen := make(map[string]bool, len(n.members))
	for _, m := range n.members {
		if c.or && m.key == "$or" {
			c.sawOr = true
			c.branches(m.value)
			continue
		}
		c.path = append(c.path, m.key)
		switch {
		case seen[m.key]:
			c.warnings = append(c.warnings, &PlaceError{
				place(c.name, c.text, m.start), fmt.Errorf("%s: %w", strings.Join(c.path, "."), ErrDuplicate),
			})
		case inOr && reserved(m.key):
			c.fail(m.start, "%q is the name of an operator and can't be a field's within \"$or\"", m.key)
		}
		seen[m.key] = true
		switch m.value.kind {
		case kindObject:
			c.object(m.value, inOr)
		case kindArray:
			c.field(m.value)
		default:
			c.fail(m.value.start, "the value must be an array of alternatives or an object, not %s", m.value.kind)
		}
		c.path = c.path[:len(c.path)-1]
	}
}

// field puts the alternatives of one field into all rules.
func (c *compiler) field(n *node) {
	if len(n.items) == 0 {
		c.fail(n.start, "an empty array, which nothing can match")
		return
	}
	r := exprReader{
		fail: func(_ *node, offset int, format string, args ...any) { c.fail(offset, format, args...) },
		warn: c.limit,
	}
	f := field{path: strings.Join(c.path, "."), pos: place(c.name, c.text, n.start)}
	for _, item := range n.items {
		if t, ok := r.value(item); ok {
			f.tests = append(f.tests, t)
		}
	}
	if len(c.rules) == 0 {
		c.rules = []rule{nil}
	}
	for i, r := range c.rules {
		at := slices.IndexFunc(r, func(o field) bool { return o.path == f.path })
		if at >= 0 {
			r[at] = f
			continue
		}
		c.rules[i] = append(r, f)
	}
}

// branches multiplies the rules by the branches of a $or.
func (c *compiler) branches(n *node) {
	c.path = append(c.path, "$or")
	defer func() { c.path = c.path[:len(c.path)-1] }()
	if n.kind != kindArray || len(n.items) < 2 {
		c.fail(n.start, "\"$or\" takes an array of at least two objects")
		return
	}
	before := c.rules
	var after []rule
	where := slices.Clone(c.path)
	for _, branch := range n.items {
		if branch.kind != kindObject {
			c.fail(branch.start, "\"$or\" takes objects, not %s", branch.kind)
			continue
		}
		c.rules = nil
		for _, r := range before {
			c.rules = append(c.rules, slices.Clone(r))
		}
		c.path = slices.Clone(where[:len(where)-1])
		c.object(branch, true)
		c.path = where
		if len(after)+len(c.rules) > maxCombinations {
			if !c.full {
				c.fail(n.start, "more than %d combinations", maxCombinations)
			}
			c.full = true
			break
		}
		after = append(after, c.rules...)
	}
	c.rules = after
}

// invalidUTF8 returns the offset of the first byte that isn't part of UTF-8, or -1.
func invalidUTF8(text []byte) int {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}
