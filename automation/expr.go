package automation

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A reference is {{ name }} in a text. Text between braces that isn't a name is left alone: scripts have their own braces.
var reference = regexp.MustCompile(`\{\{\s*([A-Za-z0-9_][A-Za-z0-9_.:/\-]*(?:\[[0-9*]+\][A-Za-z0-9_.\-]*)*)\s*\}\}`)

// references lists the names referred to in a text.
func references(text string) []string {
	var names []string
	for _, m := range reference.FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	return names
}

// Unknown stands in Observe for the output of a step that was not done. References to it resolve to it, so that the plan can
// go on; its text form is "<output of STEP.Output>".
type Unknown struct {
	Ref string // "step.Output"
}

func (u Unknown) String() string { return unknownPrefix + u.Ref + ">" }

// MarshalText writes the placeholder, so that journals show it.
func (u Unknown) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

const unknownPrefix = "<output of "

// unknowns lists the placeholders in a value, those within texts too.
func unknowns(v any) []string {
	var found []string
	switch v := v.(type) {
	case Unknown:
		found = append(found, v.String())
	case string:
		for rest := v; ; {
			_, after, ok := strings.Cut(rest, unknownPrefix)
			if !ok {
				break
			}
			ref, tail, ok := strings.Cut(after, ">")
			if !ok {
				break
			}
			found = append(found, Unknown{Ref: ref}.String())
			rest = tail
		}
	case []any:
		for _, it := range v {
			found = append(found, unknowns(it)...)
		}
	case map[string]any:
		for _, k := range sortedKeys(v) {
			found = append(found, unknowns(v[k])...)
		}
	}
	return found
}

// value is what a reference resolved to. Tainted: it came from outside and nothing has vouched for its characters.
type value struct {
	v       any
	tainted bool
	asIs    bool // the reference stays in the text as it is written
}

// scope resolves a reference's name.
type scope func(name string) (value, error)

// resolve replaces the references in v. A text that is one reference becomes its value, of whatever type; within a list a
// whole reference to a list puts in its items. tainted tells whether any tainted value went in.
func resolve(v any, s scope) (out any, tainted bool, err error) {
	switch v := v.(type) {
	case string:
		return resolveText(v, s)
	case []any:
		list := make([]any, 0, len(v))
		for _, it := range v {
			r, t, err := resolve(it, s)
			if err != nil {
				return nil, false, err
			}
			tainted = tainted || t
			text, isText := it.(string)
			if inner, ok := r.([]any); ok && isText && isReference(text) {
				list = append(list, inner...)
			} else {
				list = append(list, r)
			}
		}
		return list, tainted, nil
	case map[string]any:
		m := make(map[string]any, len(v))
		for _, k := range sortedKeys(v) {
			key, t1, err := resolveText(k, s)
			if err != nil {
				return nil, false, err
			}
			r, t2, err := resolve(v[k], s)
			if err != nil {
				return nil, false, err
			}
			tainted = tainted || t1 || t2
			m[textOf(key)] = r
		}
		return m, tainted, nil
	}
	return v, false, nil
}

// isReference says that the text is one reference and nothing else.
func isReference(text string) bool {
	text = strings.TrimSpace(text)
	at := reference.FindStringIndex(text)
	return at != nil && at[0] == 0 && at[1] == len(text)
}

func resolveText(text string, s scope) (any, bool, error) {
	if !strings.Contains(text, "{{") {
		return text, false, nil
	}
	if isReference(text) {
		r, err := s(references(text)[0])
		if r.asIs {
			r.v = text
		}
		return r.v, r.tainted, err
	}
	var b strings.Builder
	at, tainted := 0, false
	for _, m := range reference.FindAllStringSubmatchIndex(text, -1) {
		r, err := s(text[m[2]:m[3]])
		if err != nil {
			return nil, false, err
		}
		tainted = tainted || r.tainted
		b.WriteString(text[at:m[0]])
		if r.asIs {
			b.WriteString(text[m[0]:m[1]])
		} else {
			b.WriteString(textOf(r.v))
		}
		at = m[1]
	}
	b.WriteString(text[at:])
	return b.String(), tainted, nil
}

// textOf is how a value looks within a text: lists and maps as JSON.
func textOf(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case Unknown:
		return v.String()
	case []any, map[string]any:
		return jsonOf(v)
	}
	return fmt.Sprint(v)
}

// normal brings a value from Hands, or from a journal's JSON, to the few types that the package has: nil, bool, int64,
// float64, string, []any, map[string]any, Unknown. A whole float64 becomes int64, so that a value is the same before and
// after it went through a journal.
func normal(v any) any {
	switch v := v.(type) {
	case nil, bool, string, int64, Unknown:
		return v
	case int:
		return int64(v)
	case int32:
		return int64(v)
	case float32:
		return normal(float64(v))
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v)
		}
		return v
	case []string:
		l := make([]any, len(v))
		for i, s := range v {
			l[i] = s
		}
		return l
	case []any:
		l := make([]any, len(v))
		for i, it := range v {
			l[i] = normal(it)
		}
		return l
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, it := range v {
			m[k] = normal(it)
		}
		return m
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	}
	// Whatever else a hand returns (a response's struct) is taken as its JSON.
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	var out any
	if err := json.Unmarshal(b, &out); err != nil {
		return string(b)
	}
	return normal(out)
}

func jsonOf(v any) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimSuffix(b.String(), "\n")
}
