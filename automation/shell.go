package automation

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// What may stand in a script's text without anyone vouching for it. No value that begins with a dash: it would be an option.
var harmlessText = regexp.MustCompile(`^(?:[A-Za-z0-9_.,:/@%+=][A-Za-z0-9_.,:/@%+=-]*)?$`)

// harmless says that a value can't be more than a word in any shell.
func harmless(v any) bool {
	switch v := v.(type) {
	case nil, bool, int64, float64:
		return true
	case Unknown:
		return true // only told, never run
	case string:
		return harmlessText.MatchString(v)
	case []any:
		for _, it := range v {
			if !harmless(it) {
				return false
			}
		}
		return true
	}
	return false // a map's JSON has quotes
}

// shellCharacters are those by which a value can be more than a word to a shell.
const shellCharacters = "$`;&|<>\n\r\x00'\"\\(){}[]*?!#~"

// vouches says that the parameter's allowedValues, or an allowedPattern none of whose parts can be one of the shell's
// characters, decide what its value can be. A pattern such as "arn:.*" vouches for nothing.
func (q Parameter) vouches() bool {
	if q.AllowedValues != nil {
		return true
	}
	if q.AllowedPattern == "" {
		return false
	}
	p, err := fullMatch(q.AllowedPattern)
	switch {
	case err != nil:
		return false
	case p.re == nil:
		return !p.shell
	}
	tree, err := syntax.Parse(q.AllowedPattern, syntax.Perl)
	return err == nil && !takesShell(tree)
}

// takesShell says that a part of an expression can be one of the shell's characters.
func takesShell(e *syntax.Regexp) bool {
	switch e.Op {
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return true
	case syntax.OpLiteral:
		return strings.ContainsAny(string(e.Rune), shellCharacters)
	case syntax.OpCharClass:
		for i := 0; i+1 < len(e.Rune); i += 2 {
			if strings.ContainsFunc(shellCharacters, func(r rune) bool { return r >= e.Rune[i] && r <= e.Rune[i+1] }) {
				return true
			}
		}
		return false
	}
	return slices.ContainsFunc(e.Sub, takesShell)
}

// clean says whether a bound parameter's value may stand in a script's text.
func (q Parameter) clean(v any) bool {
	return q.vouches() || harmless(v) || q.Default != nil && jsonOf(v) == jsonOf(q.Default)
}
