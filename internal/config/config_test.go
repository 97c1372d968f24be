package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type sample struct {
	Mode string `yaml:"mode"`
	Data struct {
		Dir  string        `yaml:"dir"`
		Keep time.Duration `yaml:"keep"`
	} `yaml:"data"`
	Port   int               `yaml:"port"`
	Ratio  float64           `yaml:"ratio"`
	On     bool              `yaml:"on_"`
	Notify map[string]string `yaml:"notify"`
	Routes []struct {
		Name    string `yaml:"name"`
		Pattern any    `yaml:"pattern"`
	} `yaml:"routes"`
}

func env(name string) (string, bool) {
	v, ok := map[string]string{"PORT": "9000", "TOKEN": "s3cret: #x", "EMPTY": ""}[name]
	return v, ok
}

func TestDecodeFillsWhatItKnows(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("from file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := `mode: auto
data: {dir: ./x, keep: 30d}
port: ${PORT}
ratio: 0.5
on_: true
notify:
  ops: "${TOKEN}"
  raw: $${HOME}
  file: "${file:` + secret + `}"
routes:
  - name: high
    pattern: {detail: {rule: [HighCPU, 1]}}
`
	var c sample
	f, err := Decode("h.yaml", []byte(text), &c, env)
	if err != nil {
		t.Fatal(err)
	}
	var want sample
	want.Mode, want.Data.Dir, want.Data.Keep, want.Port, want.Ratio, want.On = "auto", "./x", 30*24*time.Hour, 9000, 0.5, true
	want.Notify = map[string]string{"ops": "s3cret: #x", "raw": "${HOME}", "file": "from file"}
	want.Routes = append(want.Routes, struct {
		Name    string `yaml:"name"`
		Pattern any    `yaml:"pattern"`
	}{"high", map[string]any{"detail": map[string]any{"rule": []any{"HighCPU", 1}}}})
	if d := cmp.Diff(want, c); d != "" {
		t.Error(d)
	}
	if got := f.Errorf("routes[0].pattern.source[1]", "bad").Error(); got != "h.yaml:12:14: routes[0].pattern.source[1]: bad" {
		t.Errorf("nearest place: %s", got)
	}
}

func TestDecodeNamesEveryMistakeAndItsPlace(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"misspelt", "mdoe: auto\n", `h.yaml:1:1: unknown key "mdoe"; the nearest is "mode"`},
		{"nested", "data:\n  kep: 3d\n", `h.yaml:2:3: unknown key "kep" in data; the nearest is "keep"`},
		{"twice", "mode: a\nmode: b\n", `h.yaml:2:1: mode is given twice`},
		{"kind", "port: many\n", `h.yaml:1:7: port: want a whole number, not "many"`},
		{"list", "data: [1]\n", `h.yaml:1:7: data: want keys and values, not a list`},
		{"text for list", "routes: x\n", `h.yaml:1:9: routes: want a list, not "x"`},
		{"map for text", "mode: {a: b}\n", `h.yaml:1:7: mode: want a text, not keys and values`},
		{"duration", "data: {keep: soon}\n", `h.yaml:1:14: data.keep: want a duration such as 90s, 10m or 30d, not "soon"`},
		{"variable", "mode: ${NOPE}\n", `h.yaml:1:7: mode: the environment has no variable NOPE`},
		{"unclosed", "mode: ${NOPE\n", `h.yaml:1:7: mode: ${ without its }`},
		{"alias", "mode: &a x\nport: *a\n", `h.yaml:2:7: port: aliases are not supported; write the value out`},
		{"syntax", "mode: [a\n", `h.yaml:1:1: did not find expected ',' or ']'`},
		{"two", "prot: 1\nport: x\n", "h.yaml:1:1: unknown key \"prot\"; the nearest is \"port\"\nh.yaml:2:7: port: want a whole number, not \"x\""},
		{"not keys", "just text\n", `h.yaml:1:1: want keys and values, not "just text"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c sample
			_, err := Decode("h.yaml", []byte(tt.text), &c, env)
			if err == nil {
				t.Fatal("accepted")
			}
			if tt.name == "syntax" { // the YAML library's words and line are its own
				if !strings.HasPrefix(err.Error(), "h.yaml:") {
					t.Error(err)
				}
				return
			}
			if d := cmp.Diff(tt.want, err.Error()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestDecodeGoesOnBesideMistakes(t *testing.T) {
	c := sample{Mode: "kept"}
	f, err := Decode("h.yaml", []byte("mode: [a]\ndata: {kep: 1, keep: 3d}\nport: 80\n"), &c, env)
	if err == nil || f == nil {
		t.Fatalf("%v, %v", f, err)
	}
	if c.Mode != "kept" || c.Port != 80 || c.Data.Keep != 72*time.Hour {
		t.Errorf("%+v", c)
	}
	for path, want := range map[string]bool{"mode": true, "mode.x": true, "data": true, "data.kep": true, "data.keep": false, "port": false, "": false, "mod": false} {
		if f.Wrong(path) != want {
			t.Errorf("Wrong(%q) is %v", path, !want)
		}
	}
}

func TestEmptyConfigurationIsFine(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing\n", "~\n"} {
		c := sample{Mode: "kept"}
		if _, err := Decode("h.yaml", []byte(text), &c, env); err != nil || c.Mode != "kept" {
			t.Errorf("%q: %v %q", text, err, c.Mode)
		}
	}
}

func TestParseDuration(t *testing.T) {
	f := func(in string, want time.Duration) {
		t.Helper()
		got, err := ParseDuration(in)
		if err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", in, got, err, want)
		}
	}
	f("30d", 720*time.Hour)
	f("2w", 336*time.Hour)
	f("1w1d1h", 193*time.Hour)
	f("90s", 90*time.Second)
	f("1h30m", 90*time.Minute)
	f("0s", 0)
	for _, bad := range []string{"", "d", "-1d", "1.5d", "3 days", "1h1d", "99999999999d"} {
		if d, err := ParseDuration(bad); err == nil {
			t.Errorf("%q is read as %v", bad, d)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("mode: auto\ndata: {keep: 3d}\nroutes: [{name: x, pattern: {a: [1]}}]"))
	f.Add([]byte("a: &x [*x]"))
	f.Add([]byte("port: ${PORT}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var c sample
		_, err := Decode("h.yaml", text, &c, func(string) (string, bool) { return "1", true })
		if err != nil && !strings.Contains(err.Error(), "h.yaml:") {
			t.Errorf("an error without a place: %v", err)
		}
	})
}
