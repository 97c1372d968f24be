package automation

import (
	"regexp"
	"strings"
	"testing"
)

func TestPatternsOfJava(t *testing.T) {
	for _, tt := range []struct {
		pattern string
		yes, no []string
	}{
		{`^(?!.*--)[a-z][a-z0-9-]{0,62}(?<!-)$`, []string{"a", "ab-c", "a1"}, []string{"", "a--b", "a-", "1a", "A", strings.Repeat("a", 64)}},
		{`(?=^.{3,63}$)(?!^(\d+\.)+\d+$)(^(([a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9])\.)*([a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9])$)`, []string{"bucket", "my.bucket-1"}, []string{"ab", "10.0.0.1", "Bucket", "-a-b", "a b c"}},
		{`^[a-zA-Z](?:(?!--)[a-zA-Z0-9-]){0,48}[a-zA-Z0-9]$|^[a-zA-Z]$`, []string{"a", "a-b", "cluster-1"}, []string{"a--b", "a-", "-a", "1a"}},
		{`^[\w+=,.@-]{1,2048}$`, []string{"a", strings.Repeat("x", 2048)}, []string{"", "a b", strings.Repeat("x", 2049)}},
		{`(a|b)\1(?!c).`, []string{"aad", "bbe"}, []string{"abd", "aac", "aa"}},
		{`(?i)(?!x)AB[c-d]`, []string{"abC", "ABD"}, []string{"xab", "abe"}},
		{`(?=a)a*+a`, nil, []string{"aaa"}}, // possessive: it gives nothing back
		{`(?>a*)(?=)b\b`, []string{"aab", "b"}, []string{"aa"}},
		{`0{00}0{01,02}`, []string{"0", "00"}, []string{"", "000", "0{00}0"}}, // Go would read 0{00} as it stands
		{`(a)\10?`, []string{"aa", "aa0"}, []string{"a\b", "aaa"}},            // nor \10 as the group and a 0
		{`(?<=)[^\s\]x]+?(?<!y)`, []string{"abc"}, []string{"ab c", "ab]", "ax", "aby"}},
	} {
		p, err := fullMatch(tt.pattern)
		if err != nil {
			t.Errorf("%s: %v", tt.pattern, err)
			continue
		}
		if p.re != nil {
			t.Errorf("%s: Go's regexp takes it: the case tests nothing", tt.pattern)
		}
		for want, texts := range map[bool][]string{true: tt.yes, false: tt.no} {
			for _, text := range texts {
				if got, err := p.match(text); got != want || err != nil {
					t.Errorf("%s on %.40q: %v, %v; want %v", tt.pattern, text, got, err, want)
				}
			}
		}
	}
	for _, bad := range []string{`(?!a`, `(?!a)[b`, `(?!a)*?{`, `(?!a)0{+01}`, `(?!a)0{-1}`, `(?#x)`, `(?!a)\1`, `(?!a)[z-a]`, `(?!a)\p{L}`, `(?!a))`, `(?!a)[a&&b]`, `)|(`} {
		if _, err := fullMatch(bad); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func TestPatternThatTakesTooLong(t *testing.T) {
	p, err := fullMatch(`(?!x)(a+)+(a+)+(a+)+b`)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := p.match(strings.Repeat("a", 200)); ok || err == nil {
		t.Errorf("%v, %v: want errTries", ok, err)
	}
}

// FuzzPattern: where Go's regexp takes a pattern, our matcher, if it takes it too, says the same. (Of the vertical tab they do not:
// it is among Java's \s, which ours are, and not among Go's; nor of what otherwise finds.)
func FuzzPattern(f *testing.F) {
	f.Add(`^(a|b)*c?$`, "abc")
	f.Add(`[^a-c\d]+?x{2,3}`, "zzxx")
	f.Add(`(?i)a\w\b.\B`, "Ab c")
	f.Add(`(?:a|ab)(?:c|bcd)(?:d*)`, "abcd")
	f.Fuzz(func(t *testing.T, text, subject string) {
		if len(text) > 100 || len(subject) > 100 || !ascii(text) || !ascii(subject) || otherwise.MatchString(text) || strings.ContainsAny(subject, "\r\v") || possessive.MatchString(text) {
			return
		}
		if _, err := regexp.Compile(text); err != nil {
			return
		}
		re, err := regexp.Compile(`^(?:` + text + `)$`)
		if err != nil {
			return
		}
		own, err := fullMatch(`(?!\b\B)(?:` + text + `)`) // a look-ahead that changes nothing, so that it is ours
		if err != nil {
			return
		}
		if got, err := own.match(subject); err == nil && got != re.MatchString(subject) {
			t.Errorf("%q on %q: %v, regexp says %v", text, subject, got, !got)
		}
	})
}

// Java reads a++ as a repetition that gives nothing back, Go refuses it, or takes a+?+ in its own way.
var possessive = regexp.MustCompile(`[*+?}][+?]`)

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 126 })
}
