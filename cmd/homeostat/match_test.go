package main

import (
	"bytes"
	"strings"
	"testing"

	"homeostat/eventpattern"
)

func TestMatchLinesNeedsNoLastNewline(t *testing.T) {
	p, err := eventpattern.Parse("", []byte(`{"a":["`+strings.Repeat("x", 1<<17)+`"]}`))
	if err != nil {
		t.Fatal(err)
	}
	long := `{"a":"` + strings.Repeat("x", 1<<17) + `"}` // longer than the reader's buffer
	for in, want := range map[string]string{
		"":                           "",
		`{"a":1}`:                    "false\n",
		long:                         "true\n",
		long + "\r\n" + `{}`:         "true\nfalse\n",
		"{}\n" + long + "\n{}\n{}\n": "false\ntrue\nfalse\nfalse\n",
	} {
		var out, errs bytes.Buffer
		if err := matchLines(p, strings.NewReader(in), &out, &errs); err != nil || out.String() != want || errs.Len() > 0 {
			t.Errorf("%.20q: %q, %q, %v; want %q", in, out.String(), errs.String(), err, want)
		}
	}
}
