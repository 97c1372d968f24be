package automation

import "regexp"

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

// vouches says that the parameter's allowedValues, or an allowedPattern that keeps the shell's characters out, decide what its
// value can be. A pattern such as ".*" vouches for nothing.
func (q Parameter) vouches() bool {
	if q.AllowedValues != nil {
		return true
	}
	if q.AllowedPattern == "" {
		return false
	}
	re, err := fullMatch(q.AllowedPattern)
	if err != nil {
		return false
	}
	for _, probe := range []string{
		"$(x)", "`x`", "a;b", "a; b", "a|b", "a&b", "a&&b", "a>b", "a<b", "a\nb", "${x}", "$x", "'x'", `"x"`, `a"b`, "a'b", `a\b`,
		"; x", "|", ";", "&", "$", "`", "'", `"`, "\n", "i-0123456789abcdef0;reboot", "/tmp/$(x)", "/a;b", "/tmp/a b;c", "x; rm -rf /",
		"abc$(id)", "abc`id`", "http://a/;b", "web-1;id", "1;id", "1|id", "a b|c", "$(id).example.com",
	} {
		if ok, err := re.match(probe); ok || err != nil {
			return false
		}
	}
	return true
}

// clean says whether a bound parameter's value may stand in a script's text.
func (q Parameter) clean(v any) bool {
	return q.vouches() || harmless(v) || q.Default != nil && jsonOf(v) == jsonOf(q.Default)
}
