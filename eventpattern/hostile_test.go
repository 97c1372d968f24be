package eventpattern

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func mustParse(t testing.TB, text string) *Pattern {
	t.Helper()
	p, err := Parse("", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestHostileEvents holds that each of them gets an answer or an error, soon.
func TestHostileEvents(t *testing.T) {
	deep := func(n int) string {
		return `{"a":` + strings.Repeat(`[`, n) + `1` + strings.Repeat(`]`, n) + `}`
	}
	deepObjects := strings.Repeat(`{"a":`, 9_000) + "1" + strings.Repeat("}", 9_000)
	wide := `{"a":{` + strings.Repeat(`"k":0,`, 1<<20) + `"b":1}}`
	elements := `{"a":[` + strings.Repeat(`{"b":1,"c":0},`, 700_000) + `{"b":1,"c":1}]}`
	pairs := `{"a":[` + strings.Repeat(`{"b":1},{"c":1},`, 300_000) + `{"b":1,"c":1}]}`
	for _, tt := range []struct {
		name    string
		pattern string
		event   string
		want    string // true, false or the beginning of an error
	}{
		{"10 MB of text", `{"a":[{"wildcard":"*x*y"}]}`, `{"a":"` + strings.Repeat("x", 10<<20) + `y"}`, "true"},
		{"10 MB to pass over", `{"b":[1]}`, `{"a":"` + strings.Repeat(`\\`, 5<<20) + `","b":1}`, "true"},
		{"10 MB of repetition against a wildcard", `{"a":[{"wildcard":"*aaaaaaaab*aaaaaaaaac*"}]}`, `{"a":"` + strings.Repeat("a", 10<<20) + `"}`, "false"},
		{"a million members", `{"a":{"b":[1]}}`, strings.ReplaceAll(wide, `"k":0,`, `"k":0 ,`), "true"},
		{"a key twice a million times", `{"a":{"k":[0],"b":[1]}}`, wide, "true"},
		{"many elements", `{"a":{"b":[1],"c":[1]}}`, elements, "true"},
		{"many elements that never meet", `{"a":{"b":[1],"c":[1],"d":[1]}}`, pairs, "false"},
		{"many elements and an absence", `{"a":{"b":[1],"c":[1],"d":[{"exists":false}]}}`, pairs, "too many combinations"},
		{"nested as deep as it may be", `{"a":[1]}`, deep(9_990), "true"},
		{"nested deeper", `{"a":[1]}`, deep(10_001), "not JSON"},
		{"nested much deeper, not asked for", `{"b":[1]}`, deep(5_000_000), "not JSON"},
		{"deep objects", `{"a":{"a":{"b":[1]}}}`, deepObjects, "false"},
		{"a number of 400 digits", `{"a":[1` + strings.Repeat("0", 399) + `]}`, `{"a":1` + strings.Repeat("0", 399) + `}`, "true"},
		{"a number of a million digits", `{"a":[{"numeric":[">",0]}]}`, `{"a":` + strings.Repeat("9", 1<<20) + `}`, "false"},
		{"an exponent beyond all", `{"a":[{"numeric":[">",0]},{"anything-but":1}]}`, `{"a":1e999999999999999999999}`, "true"},
		{"broken UTF-8", `{"a":[{"equals-ignore-case":"é"},{"suffix":"y"}]}`, "{\"a\":\"\xff\xc3y\"}", "true"},
		{"broken UTF-8 in a key", `{"a":[1]}`, "{\"\xff\":1,\"a\":1}", "true"},
		{"half a string", `{"a":[1]}`, `{"b":"\`, "not JSON"},
		{"half an escape", `{"a":["x"]}`, `{"a":"\u12"}`, "not JSON"},
		{"no object", `{"a":[1]}`, `[{"a":1}]`, "the event isn't a JSON object"},
		{"nothing", `{"a":[1]}`, ``, "not JSON"},
		{"two events", `{"a":[1]}`, `{"a":1}{"a":1}`, "not JSON"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Now()
			got, err := mustParse(t, tt.pattern).Match([]byte(tt.event))
			answer := fmt.Sprint(got)
			if err != nil {
				answer = err.Error()
			}
			if !strings.HasPrefix(answer, tt.want) {
				t.Errorf("%s, want %s", answer, tt.want)
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// TestHostilePatterns holds that Parse answers soon, whatever it is given.
func TestHostilePatterns(t *testing.T) {
	branch := `{"a":[1]},{"b":[1]}`
	for _, tt := range []struct{ name, text, want string }{
		{"1,024 combinations", `{"x":{` + strings.TrimSuffix(strings.Repeat(`"$or":[`+branch+`],`, 10), ",") + `}}`, "more than 1000 combinations"},
		{"two to the hundredth combinations", `{` + strings.TrimSuffix(strings.Repeat(`"$or":[`+branch+`],`, 100), ",") + `}`, "more than 1000 combinations"},
		{"too many branches", `{"$or":[` + strings.TrimSuffix(strings.Repeat(branch+`,`, 501), ",") + `]}`, "more than 1000 combinations"},
		{"deep", strings.Repeat(`{"a":`, 20_000), "nested more than"},
		{"broken UTF-8", "{\"a\":[\"\xff\"]}", "UTF-8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Parse("", []byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
	if _, err := Parse("", []byte(`{"$or":[`+strings.TrimSuffix(strings.Repeat(branch+`,`, 500), ",")+`]}`)); err != nil {
		t.Errorf("1000 combinations: %v", err)
	}
}

func TestWarnings(t *testing.T) {
	p := mustParse(t, `{"a":[1],"n":[{"numeric":["<",6e9]}],"a":["`+strings.Repeat("x", 2100)+`"]}`)
	w := p.Warnings()
	if len(w) != 3 || !errors.Is(w[0], ErrLimit) || !errors.Is(w[1], ErrLimit) || !errors.Is(w[2], ErrDuplicate) {
		t.Errorf("%v", w)
	}
}

// TestMatcherBoundsItsMemory holds that a matcher refuses what is too much for it, keeps what it has, and takes more once there is
// room again.
func TestMatcherBoundsItsMemory(t *testing.T) {
	m := NewMatcher(Config{MaxBytes: 64 << 10})
	n := 0
	var err error
	for ; n < 10_000 && err == nil; n++ {
		err = m.Add(fmt.Sprint(n), mustParse(t, fmt.Sprintf(`{"a":[{"wildcard":"*%d*x*%d*"}]}`, n, n)))
	}
	if !errors.Is(err, ErrFull) {
		t.Fatalf("after %d patterns: %v", n, err)
	}
	if names, err := m.Match(nil, []byte(`{"a":"0x0"}`)); err != nil || len(names) != 1 || m.Len() != n-1 {
		t.Fatalf("%v, %v with %d patterns, want %d", names, err, m.Len(), n-1)
	}
	for i := range 50 {
		m.Remove(fmt.Sprint(i))
	}
	if err := m.Add("again", mustParse(t, `{"a":["x"]}`)); err != nil {
		t.Error(err)
	}
}

// TestMatcherStaysSmallThroughChanges holds that what is removed doesn't stay in memory.
func TestMatcherStaysSmallThroughChanges(t *testing.T) {
	var m Matcher
	for i := range 20_000 {
		if err := m.Add(fmt.Sprint(i%10), mustParse(t, fmt.Sprintf(`{"k%d":["v%d",{"prefix":"p%d"}]}`, i, i, i))); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	if m.bytes > 4<<20 || m.Len() != 10 {
		t.Errorf("%d bytes for %d patterns", m.bytes, m.Len())
	}
}

// TestMatchDuringChanges is for the race detector, and holds that a reader sees a change whole: two patterns are exchanged, and one
// of them matches always.
func TestMatchDuringChanges(t *testing.T) {
	var m Matcher
	even, odd := mustParse(t, `{"a":[{"prefix":"x"}],"b":["y"]}`), mustParse(t, `{"a":["xx"],"b":[{"suffix":"y"}]}`)
	if err := m.Add("p", even); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if names, err := m.Match(nil, []byte(`{"a":"xx","b":"y"}`)); err != nil || len(names) != 1 {
					t.Errorf("%v, %v", names, err)
					return
				}
			}
		})
	}
	for i := range 3000 {
		p := even
		if i%2 == 0 {
			p = odd
		}
		if err := m.Add("p", p); err != nil {
			t.Error(err)
		}
		if err := m.Add(fmt.Sprint(i%7), mustParse(t, fmt.Sprintf(`{"c%d":["%d"]}`, i, i))); err != nil {
			t.Error(err)
		}
	}
	close(done)
	wg.Wait()
}

// TestMatchDoesNotAllocate holds that an event which matches nothing costs no memory, whatever it is compared by.
func TestMatchDoesNotAllocate(t *testing.T) {
	var m Matcher
	for i, text := range []string{
		`{"s":["nothing",{"prefix":"no"},{"suffix":"ng"},{"wildcard":"*o*i*g"},{"wildcard":"*thin*"}],"n":[1]}`,
		`{"s":[{"equals-ignore-case":"NOTHING"},{"suffix":{"equals-ignore-case":"İNG"}},{"prefix":{"equals-ignore-case":"É"}}]}`,
		`{"s":[{"cidr":"10.0.0.0/8"}]}`, `{"s":[{"anything-but":["café \"x\"","b"]}],"t":[{"exists":true}]}`,
		`{"n":[5,{"numeric":[">",1e6]},12345678901234567890]}`, `{"o":{"a":[1],"b":[2]}}`, `{"o":{"a":[1],"b":[{"exists":false}],"c":[4]}}`,
	} {
		if err := m.Add(fmt.Sprint(i), mustParse(t, text)); err != nil {
			t.Fatal(err)
		}
	}
	event := []byte(`{"s":"caf\u00e9 \"x\"","n":[17.25,0.30000000000000004,99999999999999999999],"skipped":[{"a":["b"]}],"o":[{"a":1},{"b":2}],"É":null}`)
	var dst []string
	var s scan // Match takes it from a pool, which forgets things under the race detector
	match := func() {
		var err error
		dst, err = s.match(dst[:0], m.current.Load(), event)
		if s.keep(); err != nil || len(dst) > 0 {
			t.Fatalf("%v, %v", dst, err)
		}
	}
	match()
	if n := testing.AllocsPerRun(200, match); n > 0 {
		t.Errorf("%v allocations an event", n)
	}
}

// TestFoldedTextsAreEqual holds what the index of tests without case relies on, for every character there is: the two cases that a
// character stands for fold into the same.
func TestFoldedTextsAreEqual(t *testing.T) {
	for r := rune(0); r <= 0x10ffff; r++ {
		if r >= 0xd800 && r < 0xe000 {
			continue
		}
		step := foldSteps(string(r))[0]
		own := appendFolded(nil, []byte(string(r)))
		for _, s := range []string{step.lower, step.upper} {
			if got := appendFolded(nil, []byte(s)); string(got) != string(own) {
				t.Errorf("%q folds into %q, its case %q into %q", r, own, s, got)
			}
		}
	}
}

func TestExplain(t *testing.T) {
	p := mustParse(t, `{"source":["a"],"detail":{"x":[{"numeric":[">",1]}],"y":[{"exists":false}]}}`)
	e, err := p.Explain([]byte(`{"source":"a","detail":[{"x":[0,1]},{"y":null}]}`))
	if err != nil {
		t.Fatal(err)
	}
	const want = `fails    detail.x is 0, 1; wanted a number > 1
fails    detail.y is null; wanted absent
matches  source is "a"; wanted "a"
`
	if e.Matched || e.String() != want {
		t.Errorf("%v\n%s", e.Matched, e)
	}
	e, err = mustParse(t, `{"a":{"b":[1],"c":[2]}}`).Explain([]byte(`{"a":[{"b":1},{"c":2}]}`))
	if err != nil || e.Matched || e.Rules[0].Reason == "" {
		t.Errorf("%v, %+v", err, e)
	}
}
