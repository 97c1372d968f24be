package eventpattern

import (
	"fmt"
	"strconv"
	"strings"

	"pgregory.net/rapid"
)

// gen makes patterns and events that meet often: few keys, few values, and the values that trip up matchers.
type gen struct {
	intn func(n int) int // a number from 0 to n-1
	dups bool            // events may have a key twice
}

// rapidGen draws from rapid, so that a failure shrinks.
func rapidGen(t *rapid.T) gen {
	return gen{intn: func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "n") }, dups: true}
}

func pick[T any](g gen, of ...T) T { return of[g.intn(len(of))] }

func (g gen) key() string {
	return pick(g, "a", "b", "c", "d", "a", "b", "c", "a.b", "x", "", "prefix", "b.c.d", "é")
}

// str returns a string from a small pool, in Go form.
func (g gen) str() string {
	switch g.intn(4) {
	case 0:
		var b strings.Builder
		for range g.intn(5) {
			b.WriteString(pick(g, "a", "b", "A", "B", "ab", "*", `\`, "é", "É", "ß", "SS", "ss", "K", "k", "\u212a", "İ", "i\u0307", "😀", "\"", "\n"))
		}
		return b.String()
	case 1:
		return pick(g, "10.0.0.1", "10.0.0.01", "10.0.0.200", "10.0.1.0", "192.168.0.1", "::1", "0:0::1", "2001:db8::1", "2001:DB8::ffff", "::ffff:a00:1", "1.2.3", "1.2.3.4.5", "256.0.0.1", ":", "::", "1::2::3", "a:b")
	}
	return pick(g, "", "a", "ab", "abc", "abcd", "b", "B", "AB", "aBc", "ba", "bab", "aa", "aaa", "aab", "cab", "x", "true", "null", "1")
}

func (g gen) number() string {
	return pick(g, "0", "-0", "0.0", "1", "1.0", "10e-1", "0.1e1", "2", "-1", "3.0e2", "300", "300.00", "0.1", "0.10", "1E-1",
		"5e9", "-5e9", "9007199254740993", "9007199254740992", "12345678901234567890", "1e400", "1e-400", "-1e400", "123456789012345", "0.30000000000000004", "0.3",
		"1.7976931348623157e308", "5e-324", "4.9e-324", "100000000000000000000000", "1e23", strconv.Itoa(g.intn(5)))
}

func (g gen) literal() string { return pick(g, "true", "false", "null") }

// quote writes a string as JSON, now and then with escapes that needn't be.
func (g gen) quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r < 0x80 && g.intn(12) == 0:
			fmt.Fprintf(&b, `\u%04x`, r)
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '😀' && g.intn(2) == 0:
			b.WriteString(`\ud83d\ude00`)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func (g gen) list(min, max int, item func() string) string {
	items := make([]string, min+g.intn(max-min+1))
	for i := range items {
		items[i] = item()
	}
	return strings.Join(items, pick(g, ",", ", ", " ,\n"))
}

// event returns an event as text: of any shape, of one field, or of arrays in arrays of objects.
func (g gen) event() string {
	switch g.intn(3) {
	case 0:
		return `{"a":` + g.val(1) + `,"b":` + g.val(2) + `}`
	case 1:
		element := func() string {
			if g.intn(4) == 0 {
				return "[" + g.nest(2) + "," + g.nest(1) + "]"
			}
			return g.nest(2)
		}
		return `{"a":[` + g.list(1, 4, element) + `],"x":[` + g.list(1, 2, func() string { return g.nest(1) }) + `]}`
	}
	return g.object(4)
}

// nest returns an object with some of three keys: a value, an object, or an array of objects under each.
func (g gen) nest(depth int) string {
	var members []string
	for _, k := range []string{"b", "c", "d"} {
		n := g.intn(5)
		switch {
		case n == 0:
		case n < 3 || depth == 0:
			members = append(members, g.quote(k)+":"+pick(g, "1", "2", "3", "[1,2]", "null"))
		case n == 3:
			members = append(members, g.quote(k)+":"+g.nest(depth-1))
		default:
			members = append(members, g.quote(k)+":["+g.list(1, 3, func() string { return g.nest(depth - 1) })+"]")
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

func (g gen) object(depth int) string {
	var members []string
	seen := map[string]bool{}
	for range g.intn(6) {
		k := g.key()
		if seen[k] && !(g.dups && g.intn(4) == 0) {
			continue
		}
		seen[k] = true
		members = append(members, g.quote(k)+pick(g, ":", " : ")+g.val(depth-1))
	}
	return "{" + strings.Join(members, pick(g, ",", ", ", "\n,")) + "}"
}

func (g gen) val(depth int) string {
	switch n := g.intn(20); {
	case n < 5 && depth > 0:
		return g.object(depth)
	case n < 9 && depth > 0:
		return "[" + g.list(0, 3, func() string { return g.val(depth - 1) }) + "]"
	case n < 11 && depth > 0:
		return "[" + g.list(1, 4, func() string { return g.object(depth - 1) }) + "]"
	case n < 16:
		return g.quote(g.str())
	case n < 19:
		return g.number()
	}
	return g.literal()
}

// pattern returns a pattern as text, for the events that event returns. Most are valid.
func (g gen) pattern() string {
	few := func() string {
		return "[" + g.list(1, 2, func() string {
			return pick(g, "1", "2", "3", `{"exists":false}`, `{"exists":true}`, `{"anything-but":1}`, `{"numeric":[">=",2]}`)
		}) + "]"
	}
	switch g.intn(4) {
	case 0:
		return `{"a":[` + g.list(1, 2, g.alternative) + `]}`
	case 1:
		return `{"a":{"b":` + few() + `,"c":` + few() + `}}`
	case 2:
		return `{"a":{"b":` + few() + `,"d":{"b":` + few() + `}},"x":{"b":` + few() + `},"$or":[{"x.c":` + few() + `},{"a":{"b":{"c":` + few() + `}}}]}`
	}
	return g.fields(3, false)
}

func (g gen) fields(depth int, inOr bool) string {
	var members []string
	for range 1 + g.intn(3) {
		if depth > 0 && g.intn(8) == 0 {
			members = append(members, `"$or":[`+g.list(2, 3, func() string { return g.fields(depth-1, true) })+"]")
			continue
		}
		k := g.key()
		if inOr && k == "prefix" {
			k = "b"
		}
		if depth > 0 && g.intn(3) == 0 {
			members = append(members, g.quote(k)+":"+g.fields(depth-1, inOr))
			continue
		}
		members = append(members, g.quote(k)+":["+g.list(1, 3, g.alternative)+"]")
	}
	return "{" + strings.Join(members, ",") + "}"
}

func (g gen) alternative() string {
	quoted := func() string { return g.quote(g.str()) }
	op := func(name, operand string) string { return `{"` + name + `":` + operand + `}` }
	oneOrMore := func(item func() string) string {
		if g.intn(2) == 0 {
			return item()
		}
		return "[" + g.list(1, 12, item) + "]"
	}
	full := func() string { return g.quote(g.str() + "a") } // not empty, nor an address
	switch g.intn(22) {
	case 0, 1, 2:
		return quoted()
	case 3, 4:
		return g.number()
	case 5:
		return g.literal()
	case 6:
		return op("prefix", quoted())
	case 7:
		return op("suffix", quoted())
	case 8:
		return op("prefix", op("equals-ignore-case", quoted()))
	case 9:
		return op("suffix", op("equals-ignore-case", quoted()))
	case 10:
		return op("equals-ignore-case", quoted())
	case 11, 12:
		return op("wildcard", g.glob())
	case 13:
		return op("anything-but", oneOrMore(quoted))
	case 14:
		return op("anything-but", oneOrMore(func() string { return pick(g, "1", "300", "0.1", "-0", "2.0") }))
	case 15:
		return op("anything-but", op(pick(g, "prefix", "suffix"), oneOrMore(full)))
	case 16:
		return op("anything-but", op("equals-ignore-case", oneOrMore(quoted)))
	case 17:
		return op("anything-but", op("wildcard", oneOrMore(g.glob)))
	case 18, 19:
		n := func() string { return pick(g, "-1", "0", "0.1", "1", "2", "300", "5e9") }
		switch g.intn(3) {
		case 0:
			return op("numeric", `["`+pick(g, "<", "<=", ">", ">=", "=")+`",`+n()+"]")
		default:
			return op("numeric", `["`+pick(g, ">", ">=")+`",`+pick(g, "-1", "0", "0.1")+`,"`+pick(g, "<", "<=")+`",`+pick(g, "1", "1.0", "2", "300")+"]")
		}
	case 20:
		return op("exists", pick(g, "true", "false"))
	}
	return op("cidr", `"`+pick(g, "10.0.0.0/24", "10.1.2.3/8", "0.0.0.0/0", "10.0.0.1/31", "::/64", "2001:db8::/32", "::1/127", "192.168.0.0/20")+`"`)
}

// glob returns a wildcard as JSON.
func (g gen) glob() string {
	var b strings.Builder
	star := false
	for range g.intn(6) {
		s := pick(g, "*", "a", "b", "ab", "c", `\*`, `\\`, "*", "é", "B")
		if s == "*" && star {
			continue
		}
		star = s == "*"
		b.WriteString(s)
	}
	return g.quote(b.String())
}
