package automation

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// jsonPath is a parsed selector: the subset of JSONPath that documents use. $ is the response; .name, ['name'], [0], [-1],
// [*], .*, [1:3], ..name and [?(@.name == 'value')] follow, and .length() at the end. A path that can only meet one value
// gives that value; any other gives a list.
type jsonPath struct {
	hops     []hop
	definite bool
}

type hop struct {
	kind     hopKind
	name     string
	deep     bool // reached by "..": at any depth
	index    int
	from, to *int
	filter   *filter
}

type hopKind int

const (
	hopName hopKind = iota
	hopIndex
	hopAll
	hopSlice
	hopFilter
	hopLength
)

// filter is [?(@.path OP literal)]; without an operator it asks whether the path is there.
type filter struct {
	path  jsonPath
	op    string
	value any
}

var errPath = errors.New("not a JSONPath that is supported")

func parsePath(text string) (jsonPath, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), "$")
	if !ok {
		return jsonPath{}, fmt.Errorf("%w: %q does not begin with $", errPath, text)
	}
	p, err := parseHops(rest)
	if err != nil {
		return p, fmt.Errorf("%w: %q: %w", errPath, text, err)
	}
	return p, nil
}

// Select finds in a response what a selector such as "$.Reservations[0].State" points to. ok is false where there is nothing.
func Select(response map[string]any, selector string) (v any, ok bool, err error) {
	p, err := parsePath(selector)
	if err != nil {
		return nil, false, err
	}
	v, ok = p.find(normal(response))
	return v, ok, nil
}

func parseHops(rest string) (jsonPath, error) {
	p := jsonPath{definite: true}
	for rest != "" {
		var h hop
		var err error
		switch {
		case strings.HasPrefix(rest, ".."):
			p.definite = false
			if strings.HasPrefix(rest, "..[") {
				h, rest, err = parseBracket(rest[2:])
			} else {
				h, rest, err = parseName(rest[2:])
			}
			h.deep = true
		case rest[0] == '.':
			h, rest, err = parseName(rest[1:])
		case rest[0] == '[':
			h, rest, err = parseBracket(rest)
		default:
			err = fmt.Errorf("%q where . or [ is wanted", rest)
		}
		if err != nil {
			return p, err
		}
		if h.kind == hopAll || h.kind == hopSlice || h.kind == hopFilter {
			p.definite = false
		}
		if h.kind == hopLength && rest != "" {
			return p, errors.New("length() comes last")
		}
		p.hops = append(p.hops, h)
	}
	return p, nil
}

func parseName(rest string) (hop, string, error) {
	end := strings.IndexAny(rest, ".[")
	if end < 0 {
		end = len(rest)
	}
	name := rest[:end]
	switch {
	case name == "":
		return hop{}, rest, errors.New("a name is missing")
	case name == "*":
		return hop{kind: hopAll}, rest[end:], nil
	case name == "length()":
		return hop{kind: hopLength}, rest[end:], nil
	case strings.ContainsAny(name, "]()'\"?@ "):
		return hop{}, rest, fmt.Errorf("%q is not a name", name)
	}
	return hop{kind: hopName, name: name}, rest[end:], nil
}

// parseBracket reads [...]; rest begins with the bracket.
func parseBracket(rest string) (hop, string, error) {
	end := closing(rest)
	if end < 0 {
		return hop{}, rest, errors.New("a ] is missing")
	}
	in, after := strings.TrimSpace(rest[1:end]), rest[end+1:]
	switch {
	case in == "*":
		return hop{kind: hopAll}, after, nil
	case len(in) >= 2 && (in[0] == '\'' || in[0] == '"') && in[len(in)-1] == in[0] && strings.IndexByte(in[1:len(in)-1], in[0]) < 0:
		return hop{kind: hopName, name: in[1 : len(in)-1]}, after, nil
	case strings.HasPrefix(in, "?(") && strings.HasSuffix(in, ")"):
		f, err := parseFilter(strings.TrimSpace(in[2 : len(in)-1]))
		return hop{kind: hopFilter, filter: f}, after, err
	case strings.Contains(in, ":"):
		a, b, _ := strings.Cut(in, ":")
		from, err1 := optionalInt(a)
		to, err2 := optionalInt(b)
		return hop{kind: hopSlice, from: from, to: to}, after, errors.Join(err1, err2)
	}
	i, err := strconv.Atoi(in)
	if err != nil {
		return hop{}, rest, fmt.Errorf("[%s] is not an index, a name in quotes, *, a slice or a filter", in)
	}
	return hop{kind: hopIndex, index: i}, after, nil
}

// closing is the index of the ] that belongs to the [ at the start, quotes and inner brackets minded; -1 when there is none.
func closing(s string) int {
	var quote byte
	depth := 0
	for i := range len(s) {
		switch c := s[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '[':
			depth++
		case c == ']':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

func optionalInt(s string) (*int, error) {
	if s = strings.TrimSpace(s); s == "" {
		return nil, nil
	}
	i, err := strconv.Atoi(s)
	return &i, err
}

func parseFilter(text string) (*filter, error) {
	f := &filter{}
	left := text
	if at, op := operatorIn(text); op != "" {
		right := strings.TrimSpace(text[at+len(op):])
		left, f.op = strings.TrimSpace(text[:at]), op
		switch {
		case len(right) >= 2 && (right[0] == '\'' || right[0] == '"') && right[len(right)-1] == right[0]:
			f.value = right[1 : len(right)-1]
		case right == "true" || right == "false":
			f.value = right == "true"
		case right == "null":
		default:
			n, err := strconv.ParseFloat(right, 64)
			if err != nil {
				return nil, fmt.Errorf("%q is not a value to compare with", right)
			}
			f.value = normal(n)
		}
	}
	rest, ok := strings.CutPrefix(left, "@")
	if !ok {
		return nil, fmt.Errorf("filter %q does not begin with @", text)
	}
	var err error
	if f.path, err = parseHops(rest); err == nil && !f.path.definite {
		err = errors.New("a filter's path must lead to one value")
	}
	return f, err
}

// operatorIn finds the first comparison outside quotes.
func operatorIn(s string) (int, string) {
	var quote byte
	for i := range len(s) {
		if quote != 0 {
			if s[i] == quote {
				quote = 0
			}
			continue
		}
		if s[i] == '\'' || s[i] == '"' {
			quote = s[i]
			continue
		}
		for _, op := range []string{"==", "!=", "<=", ">=", "<", ">"} {
			if strings.HasPrefix(s[i:], op) {
				return i, op
			}
		}
	}
	return 0, ""
}

// find returns what the path selects; false when a definite path meets nothing.
func (p jsonPath) find(v any) (any, bool) {
	found := []any{v}
	for _, h := range p.hops {
		var next []any
		for _, it := range found {
			if h.deep {
				for _, d := range descend(nil, it, 0) {
					next = h.step(next, d)
				}
			} else {
				next = h.step(next, it)
			}
		}
		found = next
	}
	if p.definite {
		if len(found) == 0 {
			return nil, false
		}
		return found[0], true
	}
	if found == nil {
		found = []any{}
	}
	return found, true
}

// step appends what one hop leads to from v.
func (h hop) step(dst []any, v any) []any {
	list, isList := v.([]any)
	m, isMap := v.(map[string]any)
	switch h.kind {
	case hopName:
		if it, ok := m[h.name]; ok {
			return append(dst, it)
		}
	case hopIndex:
		i := h.index
		if i < 0 {
			i += len(list)
		}
		if isList && i >= 0 && i < len(list) {
			return append(dst, list[i])
		}
	case hopAll:
		dst = append(dst, list...)
		for _, k := range sortedKeys(m) {
			dst = append(dst, m[k])
		}
	case hopSlice:
		from, to := bounds(h.from, 0, len(list)), bounds(h.to, len(list), len(list))
		if from < to {
			return append(dst, list[from:to]...)
		}
	case hopFilter:
		items := list
		if isMap {
			items = []any{m}
		}
		for _, it := range items {
			if h.filter.keeps(it) {
				dst = append(dst, it)
			}
		}
	case hopLength:
		switch {
		case isList:
			return append(dst, int64(len(list)))
		case isMap:
			return append(dst, int64(len(m)))
		}
	}
	return dst
}

func bounds(i *int, otherwise, n int) int {
	if i == nil {
		return otherwise
	}
	v := *i
	if v < 0 {
		v += n
	}
	return min(max(v, 0), n)
}

// descend appends v and all below it.
func descend(dst []any, v any, depth int) []any {
	dst = append(dst, v)
	if depth > maxDepth {
		return dst
	}
	switch v := v.(type) {
	case []any:
		for _, it := range v {
			dst = descend(dst, it, depth+1)
		}
	case map[string]any:
		for _, k := range sortedKeys(v) {
			dst = descend(dst, v[k], depth+1)
		}
	}
	return dst
}

func (f *filter) keeps(v any) bool {
	got, ok := f.path.find(v)
	if f.op == "" || !ok {
		return ok && f.op == ""
	}
	switch f.op {
	case "==":
		return jsonOf(got) == jsonOf(f.value)
	case "!=":
		return jsonOf(got) != jsonOf(f.value)
	}
	l, err1 := number(got)
	r, err2 := number(f.value)
	less, more := l < r, l > r
	if err1 != nil || err2 != nil {
		a, okA := got.(string)
		b, okB := f.value.(string)
		if !okA || !okB {
			return false
		}
		less, more = a < b, a > b
	}
	switch f.op {
	case "<":
		return less
	case ">":
		return more
	case "<=":
		return !more
	}
	return !less
}
