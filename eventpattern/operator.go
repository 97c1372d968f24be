package eventpattern

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// op is what a test compares by.
type op uint8

const (
	opString      op = iota // the text, byte by byte; an address where the text is one
	opNumber                // by value, see decimal
	opLiteral               // null, true, false
	opPrefix                //
	opSuffix                //
	opFold                  // equals-ignore-case
	opPrefixFold            //
	opSuffixFold            //
	opWildcard              //
	opNumeric               // between two bounds
	opCIDR                  //
	opAnythingBut           // none of the tests in not
	opExists                //
	opAbsent                // exists: false
)

func (o op) String() string {
	return [...]string{
		"equals", "equals", "equals", "prefix", "suffix", "equals-ignore-case", "prefix equals-ignore-case",
		"suffix equals-ignore-case", "wildcard", "numeric", "cidr", "anything-but", "exists", "exists false",
	}[o]
}

// test is one alternative of a field: one value or one operator with its operands. It is immutable.
type test struct {
	op     op
	text   string              // operand as the pattern has it, without JSON's escapes
	fold   []foldStep          // of the operators that ignore case
	glob   [][]byte            // of a wildcard: what stands between its stars
	num    decimal             // of opNumber
	lo, hi bound               // of opNumeric
	ip     address             // of opCIDR, and of opString where its text is an address
	bits   int                 // how many bits of ip count
	not    []test              // of opAnythingBut
	exact  map[string]struct{} // of opAnythingBut: the texts among not, where there are many
}

// bound is one end of a numeric range.
type bound struct {
	f    float64
	open bool // the bound itself is outside
	none bool // there is no bound
}

// exprReader turns match expressions into tests and collects what is wrong with them.
type exprReader struct {
	fail func(at *node, offset int, format string, args ...any)
	warn func(offset int, format string, args ...any)
}

// value reads one element of a field's array.
func (r *exprReader) value(n *node) (test, bool) {
	switch n.kind {
	case kindString:
		t := test{op: opString, text: string(n.text)}
		if ip, ok := parseAddress(n.text); ok {
			t.ip, t.bits = ip, fullBits(ip)
		}
		return t, true
	case kindNumber:
		return test{op: opNumber, text: string(n.text), num: parseDecimal(n.text)}, true
	case kindLiteral:
		return test{op: opLiteral, text: string(n.text)}, true
	case kindArray:
		r.fail(n, n.start, "an array within an array; alternatives are strings, numbers, true, false, null or one operator in braces")
		return test{}, false
	}
	return r.operator(n)
}

// operators names those that a match expression may have.
func operators() []string {
	return []string{
		"prefix", "suffix", "equals-ignore-case", "wildcard", "anything-but", "numeric", "exists", "cidr", "exactly",
	}
}

// operator reads a match expression: an object of one operator.
func (r *exprReader) operator(n *node) (test, bool) {
	if len(n.members) == 0 {
		r.fail(n, n.start, "an empty match expression")
		return test{}, false
	}
	if len(n.members) > 1 {
		r.fail(n, n.members[1].start, "only one operator is allowed in a match expression")
		return test{}, false
	}
	m := n.members[0]
	v := m.value
	switch m.key {
	case "exactly":
		return r.text(v, m.key, opString)
	case "prefix", "suffix":
		plain, fold := opPrefix, opPrefixFold
		if m.key == "suffix" {
			plain, fold = opSuffix, opSuffixFold
		}
		if v.kind != kindObject {
			return r.text(v, m.key, plain)
		}
		if len(v.members) != 1 || v.members[0].key != "equals-ignore-case" {
			r.fail(v, v.start, "%q takes a string or {\"equals-ignore-case\": a string}", m.key)
			return test{}, false
		}
		return r.text(v.members[0].value, "equals-ignore-case", fold)
	case "equals-ignore-case":
		return r.text(v, m.key, opFold)
	case "wildcard":
		return r.text(v, m.key, opWildcard)
	case "anything-but":
		return r.anythingBut(v)
	case "numeric":
		return r.numeric(v)
	case "exists":
		switch {
		case v.kind == kindLiteral && string(v.text) == "true":
			return test{op: opExists}, true
		case v.kind == kindLiteral && string(v.text) == "false":
			return test{op: opAbsent}, true
		}
		r.fail(v, v.start, "\"exists\" takes true or false")
		return test{}, false
	case "cidr":
		return r.cidr(v)
	}
	r.fail(n, m.start, "unknown operator %q; there are %s", m.key, strings.Join(operators(), ", "))
	return test{}, false
}

// text reads the operand of an operator over one string.
func (r *exprReader) text(v *node, name string, o op) (test, bool) {
	if v.kind != kindString {
		r.fail(v, v.start, "%q takes a string, not %s", name, v.kind)
		return test{}, false
	}
	t := test{op: o, text: string(v.text)}
	switch o {
	case opFold, opPrefixFold, opSuffixFold:
		t.fold = foldSteps(t.text)
	case opWildcard:
		glob, err := parseGlob(t.text)
		if err != nil {
			r.fail(v, v.start, "%v in the wildcard %q", err, t.text)
			return test{}, false
		}
		t.glob = glob
	}
	return t, true
}

var (
	errTwoStars   = errors.New("two stars in a row")
	errGlobEscape = errors.New(`a backslash before something other than * and \`)
)

// parseGlob splits a wildcard at its stars. A wildcard without one gives a single part.
func parseGlob(s string) ([][]byte, error) {
	var parts [][]byte
	var part []byte
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '*':
			if i+1 < len(s) && s[i+1] == '*' {
				return nil, errTwoStars
			}
			parts = append(parts, part)
			part = nil
		case s[i] == '\\':
			if i+1 == len(s) || s[i+1] != '*' && s[i+1] != '\\' {
				return nil, errGlobEscape
			}
			i++
			part = append(part, s[i])
		default:
			part = append(part, s[i])
		}
	}
	return append(parts, part), nil
}

// anythingBut reads the operand of anything-but: a string, a number, a list of either, or an operator over one or more strings.
func (r *exprReader) anythingBut(v *node) (test, bool) {
	t := test{op: opAnythingBut}
	if v.kind != kindObject {
		return r.butValues(t, v)
	}
	if len(v.members) != 1 {
		r.fail(v, v.start, "\"anything-but\" takes one operator")
		return t, false
	}
	m := v.members[0]
	o, known := map[string]op{
		"prefix": opPrefix, "suffix": opSuffix, "equals-ignore-case": opFold, "wildcard": opWildcard,
	}[m.key]
	if !known {
		r.fail(v, m.start, "\"anything-but\" knows prefix, suffix, equals-ignore-case and wildcard, not %q", m.key)
		return t, false
	}
	list := []*node{m.value}
	if m.value.kind == kindArray {
		list = m.value.items
	}
	if len(list) == 0 {
		r.fail(m.value, m.value.start, "an empty list in \"anything-but\"")
		return t, false
	}
	for _, n := range list {
		inner, ok := r.text(n, m.key, o)
		if !ok {
			return t, false
		}
		if inner.text == "" && (o == opPrefix || o == opSuffix) {
			r.fail(n, n.start, "an empty %s in \"anything-but\", which would match nothing", m.key)
			return t, false
		}
		t.not = append(t.not, inner)
	}
	return t, true
}

func (r *exprReader) butValues(t test, v *node) (test, bool) {
	list := []*node{v}
	if v.kind == kindArray {
		list = v.items
	}
	if len(list) == 0 {
		r.fail(v, v.start, "an empty list in \"anything-but\"")
		return t, false
	}
	for _, n := range list {
		switch {
		case n.kind != kindString && n.kind != kindNumber:
			r.fail(n, n.start, "\"anything-but\" takes strings or numbers, not %s", n.kind)
			return t, false
		case n.kind != list[0].kind:
			r.fail(n, n.start, "\"anything-but\" takes strings or numbers, not both")
			return t, false
		case n.kind == kindString:
			t.not = append(t.not, test{op: opString, text: string(n.text)})
		default:
			d := parseDecimal(n.text)
			if !d.ok {
				r.fail(n, n.start, "%s has more digits than can be compared", n.text)
				return t, false
			}
			t.not = append(t.not, test{op: opNumber, text: string(n.text), num: d})
		}
	}
	if list[0].kind == kindString && len(list) > 8 {
		t.exact = make(map[string]struct{}, len(list))
		for _, inner := range t.not {
			t.exact[inner.text] = struct{}{}
		}
	}
	return t, true
}

// numeric reads ["=", n], [">", n], [">=", n], ["<", n], ["<=", n], or a lower bound followed by an upper one.
func (r *exprReader) numeric(v *node) (test, bool) {
	t := test{op: opNumeric, lo: bound{none: true}, hi: bound{none: true}}
	if v.kind != kindArray {
		r.fail(v, v.start, "\"numeric\" takes an array of operator and number, not %s", v.kind)
		return t, false
	}
	if len(v.items) == 0 || len(v.items)%2 != 0 {
		r.fail(v, v.start, "\"numeric\" needs pairs of operator and number")
		return t, false
	}
	if len(v.items) > 4 {
		r.fail(v, v.items[4].start, "\"numeric\" takes at most a lower and an upper bound")
		return t, false
	}
	var text []string
	for i := 0; i < len(v.items); i += 2 {
		sign, number := v.items[i], v.items[i+1]
		if sign.kind != kindString || !slices.Contains([]string{"=", "<", "<=", ">", ">="}, string(sign.text)) {
			r.fail(sign, sign.start, "\"numeric\" knows the operators =, <, <=, > and >=")
			return t, false
		}
		o := string(sign.text)
		if number.kind != kindNumber {
			r.fail(number, number.start, "%q takes a number, not %s", o, number.kind)
			return t, false
		}
		d := parseDecimal(number.text)
		if !d.ok {
			r.fail(number, number.start, "%s has more digits, or is larger, than can be compared", number.text)
			return t, false
		}
		switch {
		case i > 0 && (t.lo.none || !t.hi.none):
			r.fail(sign, sign.start, "only a lower bound (> or >=) can be followed by another")
			return t, false
		case i > 0 && o[0] != '<':
			r.fail(sign, sign.start, "a lower bound can only be followed by an upper one (< or <=)")
			return t, false
		case o == "=":
			t.lo, t.hi = bound{f: d.f}, bound{f: d.f}
		case o[0] == '>':
			t.lo = bound{f: d.f, open: o == ">"}
		default:
			t.hi = bound{f: d.f, open: o == "<"}
			if i > 0 && t.lo.f >= d.f {
				r.fail(number, number.start, "the lower bound must be less than the upper one")
				return t, false
			}
		}
		if d.f < -5e9 || d.f > 5e9 {
			r.warn(number.start, "AWS documents \"numeric\" for -5.0e9 to 5.0e9 only")
		}
		text = append(text, o, string(number.text))
	}
	t.text = strings.Join(text, " ")
	return t, true
}

// cidr reads an address block. Bits beyond the mask may be set.
func (r *exprReader) cidr(v *node) (test, bool) {
	t, ok := r.text(v, "cidr", opCIDR)
	if !ok {
		return t, false
	}
	addr, mask, ok := strings.Cut(t.text, "/")
	if !ok {
		r.fail(v, v.start, "%q has no mask, such as /24", t.text)
		return t, false
	}
	ip, ok := parseAddress([]byte(addr))
	if !ok {
		r.fail(v, v.start, "%q isn't an IP address", addr)
		return t, false
	}
	bits, err := strconv.Atoi(mask)
	if err != nil || bits < 0 || bits >= fullBits(ip) {
		r.fail(v, v.start, "the mask %q must be a number from 0 to %d; write a single address as a plain string", mask, fullBits(ip)-1)
		return t, false
	}
	t.ip, t.bits = ip.masked(bits), bits
	return t, true
}

// fullBits is the number of bits of an address.
func fullBits(ip address) int {
	if ip.v4 {
		return 32
	}
	return 128
}

// describe puts a test into words that follow "is".
func (t *test) describe() string {
	switch t.op {
	case opString:
		return strconv.Quote(t.text)
	case opNumber, opLiteral:
		return t.text
	case opExists:
		return "present"
	case opAbsent:
		return "absent"
	case opAnythingBut:
		words := make([]string, len(t.not))
		for i := range t.not {
			words[i] = t.not[i].describe()
		}
		return "anything but " + strings.Join(words, ", ")
	case opNumeric:
		return "a number " + t.text
	}
	return fmt.Sprintf("%s %q", t.op, t.text)
}
