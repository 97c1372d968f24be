package eventpattern

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

const sensorEvent = `{"version":"0","id":"e-1","detail-type":"Reading","source":"plant.sensors","time":"2026-11-24T00:00:00Z",
"resources":["arn:1","arn:2"],"detail":{"name":"say \"hi\"\n","value":2.50,"ok":true,"none":null,"tags":[{"k":"a"},{"k":"b"}],
"nested":{"deep/er":{"x_y-z":"found"}}}}`

func TestTransform(t *testing.T) {
	paths := map[string]string{
		"name": "$.detail.name", "value": "$.detail.value", "ok": "$.detail.ok", "none": "$.detail.none", "tags": "$.detail.tags",
		"keys": "$.detail.tags[*].k", "first": "$.detail.tags[0].k", "deep": "$.detail.nested.deep/er.x_y-z", "missing": "$.detail.missing",
		"type": "$.detail-type", "far": "$.resources[7]", "all": "$", "any": "$.detail.nested.*",
	}
	vars := Variables{RuleARN: "arn:aws:events:local:000000000000:rule/r", RuleName: `r"1`, IngestionTime: time.Date(2026, 11, 24, 1, 2, 3, 0, time.UTC)}
	for _, tt := range []struct{ name, template, want string }{
		{
			"a value by itself keeps its type", `{"n": <value>, "o": <ok>, "z": <none>, "s": <name>, "t": <tags>}`,
			`{"n": 2.50, "o": true, "z": null, "s": "say \"hi\"\n", "t": [{"k":"a"},{"k":"b"}]}`,
		},
		{"within a string it is text, escaped", `{"s": "it is <value>, <ok>, <none>: <name>"}`, `{"s": "it is 2.50, true, null: say \"hi\"\n"}`},
		{"an object within a string is its JSON, escaped", `{"s": "<tags>"}`, `{"s": "[{\"k\":\"a\"},{\"k\":\"b\"}]"}`},
		{"text in quotes", `"<type> of \"<first>\""`, `"Reading of \"a\""`},
		{"several lines of text", "\"<type>\"\n\"<first>\"", "\"Reading\"\n\"a\""},
		{"a placeholder alone", `<name>`, `"say \"hi\"\n"`},
		{"within an array", `[<value>, [<first>]]`, `[2.50, ["a"]]`},
		{"a star finds a list", `{"k": <keys>, "s": "<keys>", "a": <any>}`, `{"k": ["a","b"], "s": "[\"a\",\"b\"]", "a": [{"x_y-z":"found"}]}`},
		{"slash, dash and underscore in a path", `<deep>`, `"found"`},
		{"a path that finds nothing gives the empty string", `{"m": <missing>, "s": "[<missing>]", "f": <far>}`, `{"m": "", "s": "[]", "f": ""}`},
		{
			"predefined", `{"a": <aws.events.rule-arn>, "n": "<aws.events.rule-name>", "t": <aws.events.event.ingestion-time>}`,
			`{"a": "arn:aws:events:local:000000000000:rule/r", "n": "r\"1", "t": "2026-11-24T01:02:03Z"}`,
		},
		{"angle brackets that hold no name", `"a < b, <>, <no name>, <first>"`, `"a < b, <>, <no name>, a"`},
		{"constant", `{"a": 1}`, `{"a": 1}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr, err := NewTransformer("", paths, tt.template)
			if err != nil {
				t.Fatal(err)
			}
			got, err := tr.Transform([]byte(sensorEvent), vars)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestTransformPredefinedEvents(t *testing.T) {
	tr, err := NewTransformer("", nil, `{"whole": <aws.events.event.json>, "head": <aws.events.event>}`)
	if err != nil {
		t.Fatal(err)
	}
	out, err := tr.Transform([]byte(sensorEvent), Variables{})
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Whole, Head map[string]any }
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if _, ok := got.Head["detail"]; ok || len(got.Head) != len(got.Whole)-1 || len(got.Whole) != 7 {
		t.Errorf("head %v\nwhole %v", got.Head, got.Whole)
	}
}

func TestRefusedTransformers(t *testing.T) {
	many := make(map[string]string)
	for i := range 101 {
		many[strings.Repeat("v", i+1)] = "$.a"
	}
	for _, tt := range []struct {
		name     string
		paths    map[string]string
		template string
		want     string
	}{
		{"unknown variable", nil, "{\n\"a\": <b>}", "t:2:6: <b> is neither in InputPathsMap nor predefined"},
		{"key", map[string]string{"a": "$.a"}, `{"x<a>" : 1}`, "t:1:4: a placeholder can't be, or be part of, a key"},
		{"bare key", map[string]string{"a": "$.a"}, `{<a>: 1}`, "t:1:2: a placeholder can't be, or be part of, a key"},
		{"whole event in a string", nil, `"<aws.events.event>"`, "t:1:2: <aws.events.event> can only be a value by itself, not part of a string"},
		{"text without quotes", nil, `hello`, "t:1:1: neither a value nor the end of one; a template is JSON, or text in double quotes"},
		{"two values", nil, `{} {}`, "t:1:4: something follows the value; a template is JSON, or text in double quotes"},
		{"empty", nil, ``, "t:1:1: a template has 1 to 8192 characters, not 0"},
		{"long", nil, `"` + strings.Repeat("é", 8191) + `"`, "t:1:1: a template has 1 to 8192 characters, not 8193"},
		{"reserved name", map[string]string{"AWS.x": "$.a"}, `1`, `t: variable "AWS.x": names that begin with AWS. are reserved`},
		{"bad name", map[string]string{"a b": "$.a"}, `1`, `t: variable "a b": a name is made of letters, digits, - and _`},
		{"bad path", map[string]string{"a": "$['a']"}, `1`, `t: variable "a": path "$['a']": a path is $ and then .key, [number], [*] or .*`},
		{"many variables", many, `1`, "t: 101 variables, of which there may be 100"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := NewTransformer("t", tt.paths, tt.template); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}
