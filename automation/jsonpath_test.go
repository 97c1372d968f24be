package automation

import (
	"encoding/json"
	"testing"
)

func TestPath(t *testing.T) {
	const response = `{"Reservations": [
	  {"Instances": [{"Id": "i-1", "State": {"Name": "running"}, "Tags": [{"Key": "env", "Value": "prod"}], "Cpus": 2}]},
	  {"Instances": [{"Id": "i-2", "State": {"Name": "stopped"}, "Tags": [], "Cpus": 8}, {"Id": "i-3", "State": {"Name": "running"}}]}],
	  "a.b": 1, "ok": true}`
	var v any
	if err := json.Unmarshal([]byte(response), &v); err != nil {
		t.Fatal(err)
	}
	v = normal(v)
	for _, tt := range []struct{ path, want string }{
		{"$.ok", "true"},
		{"$['a.b']", "1"},
		{`$["a.b"]`, "1"},
		{"$.Reservations[0].Instances[0].State.Name", `"running"`},
		{"$.Reservations[-1].Instances[1].Id", `"i-3"`},
		{"$.Reservations[*].Instances[*].Id", `["i-1","i-2","i-3"]`},
		{"$.Reservations..Id", `["i-1","i-2","i-3"]`},
		{"$..State.Name", `["running","stopped","running"]`},
		{"$.Reservations[1].Instances[0:1].Id", `["i-2"]`},
		{"$.Reservations[1].Instances[-1:].Id", `["i-3"]`},
		{"$.Reservations[*].Instances[?(@.State.Name == 'running')].Id", `["i-1","i-3"]`},
		{"$.Reservations[*].Instances[?(@.State.Name!=\"running\")].Id", `["i-2"]`},
		{"$.Reservations[*].Instances[?(@.Cpus > 2)].Id", `["i-2"]`},
		{"$.Reservations[*].Instances[?(@.Cpus<=2)].Id", `["i-1"]`},
		{"$.Reservations[*].Instances[?(@.Tags)].Id", `["i-1","i-2"]`},
		{"$.Reservations[0].Instances[0].Tags[?(@.Key == 'env')].Value", `["prod"]`},
		{"$.Reservations.length()", "2"},
		{"$.Reservations[7]", "nothing"},
		{"$.nobody.Id", "nothing"},
		{"$.Reservations[*].nobody", "[]"},
		{"Reservations", "error"},
		{"$.", "error"},
		{"$.a[", "error"},
		{"$.a[b]", "error"},
		{"$.a.length().b", "error"},
		{"$.a[?(@.b = 1)]", "error"},
	} {
		p, err := parsePath(tt.path)
		got := "error"
		if err == nil {
			got = "nothing"
			if found, ok := p.find(v); ok {
				got = jsonOf(found)
			}
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s (%v)", tt.path, got, tt.want, err)
		}
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]string{
		"PT10M": "10m0s", "PT1H30M": "1h30m0s", "P1DT1S": "24h0m1s", "P2W": "336h0m0s", "PT0.5S": "500ms", "PT0S": "0s",
		"P": "", "PT": "", "P1": "", "10M": "", "PT1M1H": "", "P1Y": "", "PT-1S": "", "PT99999999999999999999S": "", "P1DT": "",
	} {
		d, err := parseDuration(text)
		got := d.String()
		if err != nil {
			got = ""
		}
		if got != want {
			t.Errorf("%s: %q, want %q (%v)", text, got, want, err)
		}
	}
}

func TestVouching(t *testing.T) {
	for pattern, want := range map[string]bool{
		`^[a-zA-Z0-9_.-]+$`: true, `\d+`: true, `^i-[0-9a-f]{8,17}$`: true, `^(a|b)$`: true, `[a-z ]+`: true,
		`.*`: false, `.+`: false, `^[^;]+$`: false, `\S+`: false, `^[\w$]+$`: false, `(?!x).*`: false, ``: false, `[^ ]*`: false,
		`^arn:aws:.+$`: false, `^/tmp/[^;]+$`: false, `a;b`: false, `[!-~]+`: false, `^(?!.*--)[a-z-]+(?<!.)$`: true, `^arn:(?!x).+$`: false,
		`(?!a)[\w.-]{1,2000}`: true, `(?!a)\W`: false, `(?!a)\$x`: false, `(?i)[a-z]+`: true,
	} {
		if got := (Parameter{AllowedPattern: pattern}).vouches(); got != want {
			t.Errorf("%s vouches: %v, want %v", pattern, got, want)
		}
	}
}
