package automation

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The parameter types of Automation, besides AWS's resource types, and those of Command. Of the latter AWS's manual names the
// first two only, but its documents (AWS-RunRemoteScript, the example of aws:downloadContent) have StringMap, and its agent reads it.
var (
	parameterTypes = []string{"String", "StringList", "Integer", "Boolean", "MapList", "StringMap"}
	commandTypes   = []string{"String", "StringList", "StringMap"}
)

var (
	resourceType  = regexp.MustCompile(`^(AWS(::[A-Za-z0-9]+){2,}|List<AWS(::[A-Za-z0-9]+){2,}>)$`)
	parameterName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)
)

var parameterKeys = []string{
	"type", "description", "default", "allowedValues", "allowedPattern", "minItems", "maxItems", "minChars", "maxChars",
	"displayType", "interpolationType",
}

// parameters reads "parameters" or "variables" (what names which).
func (p *parser) parameters(n node, what string, command bool) []Parameter {
	if !p.want(n, mapNode, what) {
		return nil
	}
	var all []Parameter
	for _, f := range n.fields {
		if !parameterName.MatchString(f.name) {
			p.errorf(f.pos, "%s: %q is not a name: letters, digits, _ and -", what, f.name)
			continue
		}
		all = append(all, p.parameter(f, what, command))
	}
	return all
}

func (p *parser) parameter(f field, what string, command bool) Parameter {
	q := Parameter{Name: f.name, Pos: f.pos, Type: "String"}
	where := what + "." + f.name
	if !p.want(f.value, mapNode, where) {
		return q
	}
	p.knownKeys(f.value, where, parameterKeys)
	typ, ok := f.value.get("type")
	if !ok {
		p.errorf(f.pos, "%s needs a type", where)
	} else if q.Type = p.text(typ, where+".type"); q.Type != "" {
		p.parameterType(typ, q.Type, where, command)
	}
	q.Description = p.textAt(f.value, "description", where)
	q.AllowedPattern = p.textAt(f.value, "allowedPattern", where)
	q.DisplayType = p.textAt(f.value, "displayType", where)
	if n, ok := f.value.get("displayType"); ok && q.DisplayType != "" && q.DisplayType != "textfield" && q.DisplayType != "textarea" {
		p.errorf(n.pos, "%s.displayType: textfield or textarea, not %q", where, q.DisplayType)
	}
	if n, ok := f.value.get("interpolationType"); ok {
		switch how := p.text(n, where+".interpolationType"); {
		case how != "ENV_VAR":
			p.errorf(n.pos, "%s.interpolationType: ENV_VAR, not %q", where, how)
		case !command || q.Type != "String":
			p.errorf(n.pos, "%s.interpolationType: only for String parameters of Command documents", where)
		default:
			q.EnvVar = true
		}
	}
	q.MinItems, q.MaxItems = p.bound(f.value, "minItems", where), p.bound(f.value, "maxItems", where)
	q.MinChars, q.MaxChars = p.bound(f.value, "minChars", where), p.bound(f.value, "maxChars", where)
	if q.MinItems != nil && q.MaxItems != nil && *q.MinItems > *q.MaxItems || q.MinChars != nil && q.MaxChars != nil && *q.MinChars > *q.MaxChars {
		p.errorf(f.pos, "%s: the least is more than the most", where)
	}
	if n, ok := f.value.get("allowedPattern"); ok && q.AllowedPattern != "" {
		if _, err := fullMatch(q.AllowedPattern); err != nil {
			// Systems Manager's expressions are Java's: some (look-ahead) can't be had here. Bind then refuses every value.
			p.warnf(n.pos, "%s.allowedPattern can't be evaluated here, so no value will be taken: %w", where, err)
		}
	}
	if n, ok := f.value.get("allowedValues"); ok && p.want(n, listNode, where+".allowedValues") {
		q.AllowedValues, _ = n.plain().([]any)
		for _, it := range n.items {
			if _, err := coerce(it.plain(), itemType(q.Type)); err != nil {
				p.errorf(it.pos, "%s.allowedValues: %w", where, err)
			}
		}
	}
	p.parameterDefault(f, &q, where)
	return q
}

func (p *parser) parameterType(n node, typ, where string, command bool) {
	switch {
	case command && !slices.Contains(commandTypes, typ):
		p.errorf(n.pos, "%s: %q is not a type of Command documents, which have String and StringList", where, typ)
	case resourceType.MatchString(typ):
	default:
		if slices.Contains(parameterTypes, typ) {
			return
		}
		p.errorf(n.pos, "%s: %q is not a type%s", where, typ, didYouMean(typ, parameterTypes))
	}
}

func (p *parser) parameterDefault(f field, q *Parameter, where string) {
	n, ok := f.value.get("default")
	if !ok {
		return
	}
	if n.kind == scalarNode && n.value == nil {
		p.errorf(n.pos, "%s.default is empty", where)
		return
	}
	v, err := coerce(n.plain(), q.Type)
	if err != nil {
		p.errorf(n.pos, "%s.default: %w", where, err)
		return
	}
	q.Default = v
	if refs := references(textOf(v)); len(refs) > 0 {
		for _, name := range refs {
			if strings.HasPrefix(name, "ssm") { // it is resolved later, and checked then
				p.uses = append(p.uses, use{name: name, pos: n.pos, step: -1, key: "default"})
			}
		}
		return
	}
	switch err := q.check(v); {
	case err == nil || errors.Is(err, errPattern):
	case v == "" && q.AllowedPattern != "" && q.AllowedValues == nil && q.MinChars == nil:
		// AWS's manual has such parameters: the empty text stands for "not given".
		p.warnf(n.pos, "%s.default: %w", where, err)
	default:
		p.errorf(n.pos, "%s.default: %w", where, err)
	}
}

// bound reads a whole number that is at least 0.
func (p *parser) bound(n node, key, where string) *int {
	v, ok := n.get(key)
	if !ok {
		return nil
	}
	i, err := coerce(v.plain(), "Integer")
	if err != nil || i.(int64) < 0 || i.(int64) > 1<<31 {
		p.errorf(v.pos, "%s.%s: a whole number from 0 is wanted", where, key)
		return nil
	}
	return new(int(i.(int64)))
}

func isList(typ string) bool {
	return typ == "StringList" || typ == "MapList" || strings.HasPrefix(typ, "List<")
}

// itemType is the type of what allowedValues lists.
func itemType(typ string) string {
	switch {
	case typ == "MapList":
		return "StringMap"
	case isList(typ):
		return "String"
	}
	return typ
}

// coerce brings a value to a parameter's type: text is taken for numbers and booleans, a single text for a list of one, JSON
// text for lists and maps. The error says what was wanted.
func coerce(v any, typ string) (any, error) {
	v = normal(v)
	if u, ok := v.(Unknown); ok {
		return u, nil
	}
	text, isText := v.(string)
	wrong := func() (any, error) { return nil, fmt.Errorf("%s is wanted, not %s", typ, quoted(v)) }
	switch {
	case typ == "Integer":
		switch n := v.(type) {
		case int64:
			return n, nil
		case string:
			if i, err := strconv.ParseInt(strings.TrimSpace(n), 10, 64); err == nil {
				return i, nil
			}
		}
		return wrong()
	case typ == "Boolean":
		if b, ok := v.(bool); ok {
			return b, nil
		}
		switch strings.ToLower(text) {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
		return wrong()
	case typ == "StringMap":
		if m, ok := v.(map[string]any); ok {
			return m, nil
		}
		var m map[string]any
		if isText && json.Unmarshal([]byte(text), &m) == nil && m != nil {
			return normal(m), nil
		}
		return wrong()
	case typ == "MapList":
		l, ok := v.([]any)
		if !ok && (!isText || json.Unmarshal([]byte(text), &l) != nil) {
			return wrong()
		}
		for _, it := range l {
			if _, ok := it.(map[string]any); !ok {
				return wrong()
			}
		}
		return normal(l), nil
	case isList(typ):
		l, ok := v.([]any)
		if !ok {
			if !isText {
				return wrong()
			}
			if !strings.HasPrefix(strings.TrimSpace(text), "[") || json.Unmarshal([]byte(text), &l) != nil {
				return []any{text}, nil
			}
		}
		list := make([]any, len(l))
		for i, it := range l {
			switch it.(type) {
			case []any, map[string]any, nil:
				return wrong()
			case Unknown:
				list[i] = it
			default:
				list[i] = textOf(it)
			}
		}
		return list, nil
	}
	switch v.(type) { // String, and the resource types
	case string:
		return v, nil
	case bool, int64, float64:
		return textOf(v), nil
	}
	return wrong()
}

// quoted is a value for an error text, shortened.
func quoted(v any) string {
	s := jsonOf(v)
	if len(s) > 80 {
		cut := 77
		for !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "..."
	}
	return s
}

var errPattern = errors.New("allowedPattern can't be evaluated")

// check holds a value of the right type to the parameter's allowedValues, allowedPattern, minimum and maximum.
func (q Parameter) check(v any) error {
	items := []any{v}
	if l, ok := v.([]any); ok {
		items = l
	}
	count := len(items)
	if m, ok := v.(map[string]any); ok {
		count = len(m)
	}
	_, isMap := v.(map[string]any)
	if isMap || isList(q.Type) {
		if q.MinItems != nil && count < *q.MinItems {
			return fmt.Errorf("%d items; at least %d are wanted", count, *q.MinItems)
		}
		if q.MaxItems != nil && count > *q.MaxItems {
			return fmt.Errorf("%d items; at most %d are allowed", count, *q.MaxItems)
		}
	}
	if q.AllowedValues != nil {
		for _, it := range items {
			if !q.allows(it) {
				return fmt.Errorf("%s is not one of the allowed values %s", quoted(it), quoted(q.AllowedValues))
			}
		}
	}
	for _, it := range items {
		s, ok := it.(string)
		if !ok {
			if q.AllowedPattern == "" || isMap {
				continue
			}
			s = textOf(it)
		}
		if n := utf8.RuneCountInString(s); q.MinChars != nil && n < *q.MinChars {
			return fmt.Errorf("%s has %d characters; at least %d are wanted", quoted(s), n, *q.MinChars)
		} else if q.MaxChars != nil && n > *q.MaxChars {
			return fmt.Errorf("%s has %d characters; at most %d are allowed", quoted(s), n, *q.MaxChars)
		}
		if q.AllowedPattern == "" {
			continue
		}
		re, err := fullMatch(q.AllowedPattern)
		if err != nil {
			return fmt.Errorf("%w: %w", errPattern, err)
		}
		if ok, err := re.match(s); err != nil {
			return fmt.Errorf("%s, allowed pattern %s: %w", quoted(s), q.AllowedPattern, err)
		} else if !ok {
			return fmt.Errorf("%s does not match the allowed pattern %s", quoted(s), q.AllowedPattern)
		}
	}
	return nil
}

func (q Parameter) allows(v any) bool {
	for _, a := range q.AllowedValues {
		if c, err := coerce(a, itemType(q.Type)); err == nil && reflect.DeepEqual(c, v) {
			return true
		}
	}
	return false
}

// Bind checks what was given against the parameters and fills in the defaults. A parameter that isn't declared, a missing one
// and a value that isn't allowed are errors, all of them joined, in the document's order. Numbers and booleans given as text
// ("5", "true") are taken. Values come back as string, int64, bool, []any or map[string]any.
func (d *Document) Bind(given map[string]any) (map[string]any, error) {
	bound := map[string]any{}
	var errs []error
	var names []string
	for _, q := range d.Parameters {
		names = append(names, q.Name)
		v, ok := given[q.Name]
		if !ok {
			switch {
			case q.Default == nil:
				errs = append(errs, fmt.Errorf("parameter %s is missing", q.Name))
			case len(references(textOf(q.Default))) > len(storedIn(nil, q.Default)):
				errs = append(errs, fmt.Errorf("parameter %s is missing: its default %s is not at hand here", q.Name, quoted(q.Default)))
			default:
				bound[q.Name] = q.Default
			}
			continue
		}
		c, err := coerce(v, q.Type)
		if err == nil && !reflect.DeepEqual(c, q.Default) { // a default was checked by Parse
			err = q.check(c)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("parameter %s: %w", q.Name, err))
			continue
		}
		bound[q.Name] = c
	}
	for _, name := range sortedKeys(given) {
		if _, ok := d.Parameter(name); !ok {
			meant := didYouMean(name, names)
			if meant == "" && len(names) > 0 {
				meant = "; it has " + strings.Join(names, ", ")
			}
			errs = append(errs, fmt.Errorf("%s has no parameter %s%s", d.Name, name, meant))
		}
	}
	return bound, errors.Join(errs...)
}
