package eventpattern

import (
	"errors"
	"fmt"
	"go/token"
	"strings"
	"unicode/utf8"
)

// ErrNotObject says that an event is JSON, but no object.
var ErrNotObject = errors.New("the event isn't a JSON object")

// Explanation says how a pattern fared with an event.
type Explanation struct {
	Matched bool
	Rules   []RuleResult // one for each way through the pattern's $or
}

// RuleResult says how one combination of fields fared.
type RuleResult struct {
	Matched bool
	Fields  []FieldResult
	Reason  string // why it failed although each field matched by itself; empty otherwise
}

// FieldResult says how one field fared by itself.
type FieldResult struct {
	Path    string         // keys joined by dots
	Pos     token.Position // of the alternatives in the pattern
	Matched bool
	Want    []string // the alternatives, in words
	Got     []string // the values in the event, as JSON; empty where there are none
}

// String gives one line for each field, and the reason where there is one.
func (e Explanation) String() string {
	var b strings.Builder
	for i, r := range e.Rules {
		if len(e.Rules) > 1 {
			fmt.Fprintf(&b, "combination %d of %d: %s\n", i+1, len(e.Rules), word(r.Matched))
		}
		for _, f := range r.Fields {
			got := "absent"
			if len(f.Got) > 0 {
				got = strings.Join(f.Got, ", ")
			}
			fmt.Fprintf(&b, "%-8s %s is %s; wanted %s\n", word(f.Matched), f.Path, got, strings.Join(f.Want, " or "))
		}
		if r.Reason != "" {
			fmt.Fprintf(&b, "%-8s %s\n", word(false), r.Reason)
		}
	}
	return b.String()
}

func word(ok bool) string {
	if ok {
		return "matches"
	}
	return "fails"
}

// maxShown bounds how many values of a field, and how many bytes of one, an explanation shows.
const maxShown, maxShownBytes = 8, 200

// Explain matches the event and says of each field whether it matched, what was wanted and what was there. It is for people: for
// speed, see [Matcher].
func (p *Pattern) Explain(event []byte) (Explanation, error) {
	root, err := parseEvent(event)
	if err != nil {
		return Explanation{}, err
	}
	all := leaves(root)
	var out Explanation
	for _, r := range p.rules {
		alone := Pattern{rules: []rule{r}}
		matched, err := alone.Match(event)
		if err != nil {
			return Explanation{}, err
		}
		res := RuleResult{Matched: matched}
		each := true
		for i := range r {
			f := explainField(&r[i], all, event)
			each = each && f.Matched
			res.Fields = append(res.Fields, f)
		}
		if each && !res.Matched {
			res.Reason = "each field matches by itself, but not within one element of the event's arrays"
		}
		out.Matched = out.Matched || res.Matched
		out.Rules = append(out.Rules, res)
	}
	return out, nil
}

func explainField(f *field, all []leaf, event []byte) FieldResult {
	res := FieldResult{Path: f.path, Pos: f.pos, Matched: naiveRule(rule{*f}, all, nil)}
	for i := range f.tests {
		res.Want = append(res.Want, f.tests[i].describe())
	}
	for _, l := range all {
		if l.path != f.path {
			continue
		}
		if len(res.Got) == maxShown {
			res.Got = append(res.Got, "...")
			break
		}
		text := event[l.value.start:l.value.end]
		if len(text) > maxShownBytes {
			text = append(text[:maxShownBytes:maxShownBytes], "..."...)
		}
		res.Got = append(res.Got, strings.ToValidUTF8(string(text), string(utf8.RuneError)))
	}
	return res
}

// parseEvent reads an event into a tree.
func parseEvent(event []byte) (*node, error) {
	root, err := parseJSON(event)
	if err != nil {
		return nil, err
	}
	if root.kind != kindObject {
		return nil, ErrNotObject
	}
	return root, nil
}
