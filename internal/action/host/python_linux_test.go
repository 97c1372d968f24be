package host

import (
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
