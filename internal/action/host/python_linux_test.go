package host

import (
	"archive/zip"
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeostat/automation"
)

func scriptCall(script string, payload any) automation.Call {
	return automation.Call{Action: "aws:executeScript", Inputs: map[string]any{"Runtime": "python3.11", "Handler": "main", "Script": script, "InputPayload": payload}}
}

func TestPythonScript(t *testing.T) {
	h := newHands(t, Config{})
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	c := scriptCall("import os\ndef main(event, context):\n    print('hello')\n    return {'sum': sum(event['n']), 'secret': os.environ.get('AWS_SECRET_ACCESS_KEY')}\n",
		map[string]any{"n": []any{int64(1), int64(2)}})
	if err := h.Able(c); err != nil {
		t.Fatal(err)
	}
	if h.Effect(c) != automation.Changing {
		t.Error("a script may change anything")
	}
	out, err := h.Do(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]any{"Output": "hello\n", "Payload": map[string]any{"sum": 3.0, "secret": nil}}, out); d != "" {
		t.Error(d)
	}
	for script, want := range map[string]string{
		"def main(e, c):\n    raise ValueError('no')\n": "ValueError: no",
		"def main(e, c):\n    return 'x' * (1 << 31)\n": "MemoryError",
		"def main(e, c):\n    return 'x' * 200000\n":    "more than 100000 bytes",
		"def other(e, c):\n    pass\n":                  "main",
	} {
		if _, err := h.Do(t.Context(), scriptCall(script, nil)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", script, err, want)
		}
	}
	ps := scriptCall("", nil)
	ps.Inputs["Runtime"] = "PowerShell 7.0"
	if err := h.Able(ps); err == nil {
		t.Error("PowerShell is taken")
	}
}

// TestPythonAttachment: the handler of a file that comes with the document, alone or in an archive. An archive's names lead
// nowhere else, and what it unpacks to is bounded.
func TestPythonAttachment(t *testing.T) {
	t.Parallel()
	archive := func(files map[string]string) string {
		t.Helper()
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		for _, name := range slices.Sorted(maps.Keys(files)) { // the error names the file that is too much
			f, err := w.Create(name)
			if err == nil {
				_, err = f.Write([]byte(files[name]))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	const run = "from lib import words\n\ndef run(e, c):\n    return words.join(e['w'])\n"
	files := map[string]string{
		"job.zip":   archive(map[string]string{"job.py": run, "lib/words.py": "def join(w):\n    return '+'.join(w)\n"}),
		"script.py": "def main(e, c):\n    return len(e['w'])\n",
		"away.zip":  archive(map[string]string{"job.py": run, "../away.py": "x"}),
		"big.zip":   archive(map[string]string{"job.py": run, "zeros": strings.Repeat("\x00", scriptUnpacked)}),
		"torn.zip":  "PK",
	}
	h := newHands(t, Config{Attachment: func(document, version, name string) ([]byte, error) {
		text, ok := files[name]
		if document != "Job" || version != "v1" || !ok {
			return nil, fmt.Errorf("attachment %s is not at hand", name)
		}
		return []byte(text), nil
	}})
	for _, tt := range []struct {
		name, handler string
		want          any
		fails         string
	}{
		{"job.zip", "job.run", "a+b", ""},
		{"script.py", "main", 2.0, ""},
		{"away.zip", "job.run", nil, "away.zip: ../away.py"},
		{"big.zip", "job.run", nil, "big.zip: zeros: all files together are more than"},
		{"torn.zip", "job.run", nil, "torn.zip"},
		{"none.zip", "job.run", nil, "attachment none.zip is not at hand"},
	} {
		c := scriptCall("", map[string]any{"w": []any{"a", "b"}})
		c.Document, c.Version = "Job", "v1"
		delete(c.Inputs, "Script")
		c.Inputs["Attachment"], c.Inputs["Handler"] = tt.name, tt.handler
		if err := h.Able(c); (err != nil) != (tt.name == "none.zip") {
			t.Errorf("%s: able: %v", tt.name, err)
		}
		out, err := h.Do(t.Context(), c)
		if tt.fails != "" && (err == nil || !strings.Contains(err.Error(), tt.fails)) || tt.fails == "" && (err != nil || out["Payload"] != tt.want) {
			t.Errorf("%s: %v, %v", tt.name, out, err)
		}
		if would, err := h.Would(t.Context(), c); tt.name != "none.zip" && (err != nil || would != "run "+tt.handler+" of the attachment "+tt.name+" on this host") {
			t.Errorf("%s: %q %v", tt.name, would, err)
		}
	}
	if err := newHands(t, Config{}).Able(automation.Call{Action: "aws:executeScript", Inputs: map[string]any{"Runtime": "python3.11", "Attachment": "job.zip"}}); err == nil {
		t.Error("no attachments are here at all")
	}
}
