package automation

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// operators of aws:branch and of aws:loop's LoopCondition, and how each is said.
func operators() map[string]string {
	return map[string]string{
		"StringEquals": "is", "EqualsIgnoreCase": "is (in any case)", "StartsWith": "starts with", "EndsWith": "ends with",
		"Contains": "contains", "NumericEquals": "=", "NumericGreater": ">", "NumericLesser": "<",
		"NumericGreaterOrEquals": ">=", "NumericLesserOrEquals": "<=", "BooleanEquals": "is",
	}
}

// checkCondition checks one condition: a Variable and one operator, or one of And, Or, Not. extra are keys that may be there
// besides (a choice's NextStep).
func (p *parser) checkCondition(n node, where string, extra ...string) {
	if !p.want(n, mapNode, where) {
		return
	}
	ops := operators()
	known := slices.Concat(sortedKeys(ops), []string{"Variable", "And", "Or", "Not"}, extra)
	p.knownKeys(n, where, known)
	var found []field
	for _, f := range n.fields {
		if _, ok := ops[f.name]; ok || f.name == "And" || f.name == "Or" || f.name == "Not" {
			found = append(found, f)
		}
	}
	if len(found) != 1 {
		p.errorf(n.pos, "%s needs exactly one operator; it has %d", where, len(found))
		return
	}
	op, variable := found[0], placed(n, "Variable")
	switch op.name {
	case "And", "Or":
		if !p.want(op.value, listNode, where+"."+op.name) {
			return
		}
		if n := len(op.value.items); n < 2 {
			p.errorf(op.pos, "%s.%s needs at least two conditions; it has %d", where, op.name, n)
		}
		for _, it := range op.value.items {
			p.checkCondition(it, where+"."+op.name)
		}
	case "Not":
		p.checkCondition(op.value, where+".Not")
	default:
		if variable == nil {
			p.errorf(n.pos, "%s needs a Variable", where)
		}
		p.checkOperand(op, where)
	}
	if variable != nil && (op.name == "And" || op.name == "Or" || op.name == "Not") {
		p.errorf(variable.pos, "%s: Variable beside %s", where, op.name)
	}
}

func placed(n node, key string) *node {
	if v, ok := n.get(key); ok {
		return &v
	}
	return nil
}

func (p *parser) checkOperand(op field, where string) {
	v := op.value
	switch {
	case v.kind != scalarNode:
		p.errorf(v.pos, "%s.%s: a single value is wanted, not %s", where, op.name, v.kind)
	case strings.Contains(v.raw, "{{"):
	case strings.HasPrefix(op.name, "Numeric"):
		if _, err := strconv.ParseFloat(v.raw, 64); err != nil {
			p.errorf(v.pos, "%s.%s: a number is wanted, not %q", where, op.name, v.raw)
		}
	case op.name == "BooleanEquals":
		p.boolean(v, where+"."+op.name)
	}
}

// truth is true, false, or (in Observe) not known because a step was not done.
type truth int

const (
	isFalse truth = iota
	isUnknown
	isTrue
)

func truthOf(b bool) truth {
	if b {
		return isTrue
	}
	return isFalse
}

// evaluate decides a condition that Parse has accepted. why says in words what was compared.
func evaluate(c map[string]any, s scope) (t truth, why string, err error) {
	for _, word := range []string{"And", "Or"} {
		list, ok := c[word].([]any)
		if !ok {
			continue
		}
		t = truthOf(word == "And")
		var whys []string
		for _, it := range list {
			m, _ := it.(map[string]any)
			one, w, err := evaluate(m, s)
			if err != nil {
				return isFalse, "", err
			}
			whys = append(whys, w)
			if word == "And" {
				t = min(t, one)
			} else {
				t = max(t, one)
			}
		}
		return t, strings.Join(whys, " "+strings.ToLower(word)+" "), nil
	}
	if m, ok := c["Not"].(map[string]any); ok {
		t, why, err = evaluate(m, s)
		return isTrue - t, "not (" + why + ")", err
	}
	left, _, err := resolve(c["Variable"], s)
	if err != nil {
		return isFalse, "", err
	}
	for _, op := range sortedKeys(operators()) {
		operand, ok := c[op]
		if !ok {
			continue
		}
		right, _, err := resolve(operand, s)
		if err != nil {
			return isFalse, "", err
		}
		why = quoted(left) + " " + operators()[op] + " " + quoted(right)
		if len(unknowns(left))+len(unknowns(right)) > 0 {
			return isUnknown, why, nil
		}
		b, err := compare(op, left, right)
		return truthOf(b), why, err
	}
	return isFalse, "", fmt.Errorf("a condition without an operator")
}

func compare(op string, left, right any) (bool, error) {
	if strings.HasPrefix(op, "Numeric") {
		l, err1 := number(left)
		r, err2 := number(right)
		if err1 != nil {
			return false, err1
		}
		if err2 != nil {
			return false, err2
		}
		switch op {
		case "NumericEquals":
			return l == r, nil
		case "NumericGreater":
			return l > r, nil
		case "NumericLesser":
			return l < r, nil
		case "NumericGreaterOrEquals":
			return l >= r, nil
		}
		return l <= r, nil
	}
	if op == "BooleanEquals" {
		l, err := coerce(left, "Boolean")
		if err != nil {
			return false, err
		}
		r, err := coerce(right, "Boolean")
		return l == r, err
	}
	l, r := textOf(left), textOf(right)
	switch op {
	case "EqualsIgnoreCase":
		return strings.EqualFold(l, r), nil
	case "StartsWith":
		return strings.HasPrefix(l, r), nil
	case "EndsWith":
		return strings.HasSuffix(l, r), nil
	case "Contains":
		return strings.Contains(l, r), nil
	}
	return l == r, nil
}

func number(v any) (float64, error) {
	f, err := strconv.ParseFloat(strings.TrimSpace(textOf(v)), 64)
	if err != nil {
		return 0, fmt.Errorf("a number is wanted, not %s", quoted(v))
	}
	return f, nil
}

// conditionText says a condition as written, for graphs and plans.
func conditionText(c map[string]any) string {
	for _, word := range []string{"And", "Or"} {
		if list, ok := c[word].([]any); ok {
			var parts []string
			for _, it := range list {
				m, _ := it.(map[string]any)
				parts = append(parts, conditionText(m))
			}
			return strings.Join(parts, " "+strings.ToLower(word)+" ")
		}
	}
	if m, ok := c["Not"].(map[string]any); ok {
		return "not (" + conditionText(m) + ")"
	}
	for _, op := range sortedKeys(operators()) {
		if v, ok := c[op]; ok {
			return textOf(c["Variable"]) + " " + operators()[op] + " " + textOf(v)
		}
	}
	return ""
}
