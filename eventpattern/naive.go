package eventpattern

import "strings"

// This file is the language as plainly as it can be said: the whole event is read into a tree and written out as a list of leaves,
// and every alternative is tried on every leaf. Matchers are tested against it, and Explain looks at single fields by it. Of several
// fields it tries all combinations, which no event from outside may be given the chance to ask for.

// leaf is one value of an event that isn't an object or an array, with the path of keys that leads to it. Arrays don't show in the
// path; in says through which elements of which arrays it was reached.
type leaf struct {
	path  string
	value *node
	in    []element
}

// element is one element of one array of an event. Only elements that are objects or arrays are told apart.
type element struct{ array, index int }

// leaves flattens an event. Where a key stands twice in an object, the last one counts.
func leaves(event *node) []leaf {
	var out []leaf
	arrays := 0
	var walk func(path []string, n *node, in []element)
	walk = func(path []string, n *node, in []element) {
		switch n.kind {
		case kindObject:
			last := make(map[string]int, len(n.members))
			for i, m := range n.members {
				last[m.key] = i
			}
			for i, m := range n.members {
				if last[m.key] == i {
					walk(append(path[:len(path):len(path)], m.key), m.value, in)
				}
			}
		case kindArray:
			id := arrays
			arrays++
			for i, item := range n.items {
				if item.kind == kindObject || item.kind == kindArray {
					walk(path, item, append(in[:len(in):len(in)], element{id, i}))
					continue
				}
				out = append(out, leaf{strings.Join(path, "."), item, in})
			}
		default:
			out = append(out, leaf{strings.Join(path, "."), n, in})
		}
	}
	walk(nil, event, nil)
	return out
}

// naiveMatch says whether any rule matches.
func naiveMatch(rules []rule, event []leaf) bool {
	for _, r := range rules {
		if naiveRule(r, event, nil) {
			return true
		}
	}
	return false
}

// naiveRule tries to match the fields of a rule in turn. chosen holds the elements of arrays that the fields so far were found in.
func naiveRule(r rule, event []leaf, chosen []element) bool {
	if len(r) == 0 {
		return true
	}
	f := &r[0]
	absent := true
	for i := range event {
		l := &event[i]
		if l.path != f.path || !consistent(chosen, l.in) {
			continue
		}
		absent = false
		for j := range f.tests {
			if naiveTest(&f.tests[j], l.value) && naiveRule(r[1:], event, append(chosen[:len(chosen):len(chosen)], l.in...)) {
				return true
			}
		}
	}
	for j := range f.tests {
		if absent && f.tests[j].op == opAbsent {
			return naiveRule(r[1:], event, chosen)
		}
	}
	return false
}

// consistent says whether no array would have to be in two of its elements at once.
func consistent(a, b []element) bool {
	for _, x := range a {
		for _, y := range b {
			if x.array == y.array && x.index != y.index {
				return false
			}
		}
	}
	return true
}

// naiveTest tries one alternative on one value.
func naiveTest(t *test, n *node) bool {
	isString := n.kind == kindString
	switch t.op {
	case opString:
		if t.bits > 0 && isString {
			ip, ok := parseAddress(n.text)
			return ok && ip == t.ip
		}
		return isString && t.text == string(n.text)
	case opNumber:
		if n.kind != kindNumber {
			return false
		}
		d := parseDecimal(n.text)
		return t.text == string(n.text) || t.num.ok && d.ok && t.num.f == d.f
	case opLiteral:
		return n.kind == kindLiteral && t.text == string(n.text)
	case opPrefix:
		return isString && strings.HasPrefix(string(n.text), t.text)
	case opSuffix:
		return isString && strings.HasSuffix(string(n.text), t.text)
	case opFold:
		return isString && foldPrefix(n.text, foldSteps(t.text)) == len(n.text)
	case opPrefixFold:
		return isString && foldPrefix(n.text, foldSteps(t.text)) >= 0
	case opSuffixFold:
		return isString && foldSuffix(n.text, foldSteps(t.text))
	case opWildcard:
		return isString && naiveGlob(t.text, n.text)
	case opNumeric:
		if n.kind != kindNumber {
			return false
		}
		d := parseDecimal(n.text)
		return d.ok && (t.lo.none || d.f > t.lo.f || d.f == t.lo.f && !t.lo.open) &&
			(t.hi.none || d.f < t.hi.f || d.f == t.hi.f && !t.hi.open)
	case opCIDR:
		ip, ok := parseAddress(n.text)
		return isString && ok && ip.v4 == t.ip.v4 && ip.masked(t.bits) == t.ip
	case opAnythingBut:
		for i := range t.not {
			if naiveTest(&t.not[i], n) {
				return false
			}
		}
		return true
	case opExists:
		return true
	}
	return false
}

// naiveGlob compares a value with a wildcard byte by byte: row[i] says whether the first i bytes of v match the wildcard so far.
func naiveGlob(glob string, v []byte) bool {
	row := make([]bool, len(v)+1)
	row[0] = true
	for i := 0; i < len(glob); i++ {
		if glob[i] == '*' {
			for j := 1; j <= len(v); j++ {
				row[j] = row[j] || row[j-1]
			}
			continue
		}
		if glob[i] == '\\' {
			i++
		}
		for j := len(v); j > 0; j-- {
			row[j] = row[j-1] && v[j-1] == glob[i]
		}
		row[0] = false
	}
	return row[len(v)]
}
