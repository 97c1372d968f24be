package automation_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"homeostat/automation"
)

// TestParse plays the cases of testdata/parse: documents, each with what is wrong with it and what is warned of, place by
// place. A case's documents are the files that are followed by one named "want".
func TestParse(t *testing.T) {
	files, err := filepath.Glob("testdata/parse/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			arc, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var files []txtar.File
			for i, f := range arc.Files {
				if f.Name == "want" {
					continue
				}
				got := verdict(f.Name, f.Data)
				want := ""
				if i+1 < len(arc.Files) && arc.Files[i+1].Name == "want" {
					want = string(arc.Files[i+1].Data)
				}
				files = append(files, f, txtar.File{Name: "want", Data: []byte(got)})
				if !*update && want != got {
					t.Errorf("%s (-want +got):\n%s", f.Name, cmp.Diff(want, got))
				}
			}
			if *update {
				arc.Files = files
				if err := os.WriteFile(file, txtar.Format(arc), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func verdict(name string, text []byte) string {
	d, err := automation.Parse(name, text)
	if err != nil {
		return err.Error() + "\n"
	}
	var b strings.Builder
	b.WriteString("valid\n")
	for _, w := range d.Warnings() {
		b.WriteString("warning: " + w.Error() + "\n")
	}
	return b.String()
}

func TestEveryMistakeHasAPlace(t *testing.T) {
	_, err := automation.Parse("x.yaml", []byte("schemaVersion: '0.3'\nmainSteps:\n- {name: a, action: aws:slep}\n- {name: a b, action: aws:sleep, inputs: {}}\n"))
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("%v does not join its mistakes", err)
	}
	last := 0
	for _, one := range joined.Unwrap() {
		place, ok := errors.AsType[*automation.PlaceError](one)
		if !ok || place.Pos.Filename != "x.yaml" || place.Pos.Line < last || place.Pos.Column < 1 {
			t.Errorf("%v: place %+v", one, place)
			continue
		}
		last = place.Pos.Line
	}
}

func TestDefaultsOfParameterStoreAreLeftForTheExecution(t *testing.T) {
	d, err := automation.Parse("d.yaml", []byte("schemaVersion: '0.3'\nparameters: {Ami: {type: String, default: '{{ ssm:/golden/ami }}', allowedPattern: 'ami-.*'}}\nmainSteps: [{name: a, action: aws:createTags, inputs: {ResourceIds: '{{ Ami }}', Tags: '{{ssm:b}}{{ ssm:b }}'}}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Stored(); !slices.Equal(got, []string{"/golden/ami", "b"}) || len(d.Warnings()) != 2 {
		t.Errorf("%q %v", got, d.Warnings())
	}
	if v, err := d.Bind(nil); err != nil || v["Ami"] != "{{ ssm:/golden/ami }}" {
		t.Errorf("bound to %v, %v", v, err)
	}
	if _, err := d.Bind(map[string]any{"Ami": "{{ ssm:/other }}"}); err == nil {
		t.Error("what a caller gives is taken for a reference")
	}
}

func TestBind(t *testing.T) {
	d, err := automation.Parse("d.yaml", []byte(`
schemaVersion: '0.3'
parameters:
  Name: {type: String, minChars: 2, maxChars: 4, allowedPattern: '[a-zé]+'}
  Count: {type: Integer, default: 3, allowedValues: [3, 5]}
  Force: {type: Boolean, default: false}
  Ids: {type: 'List<AWS::EC2::Instance::Id>', default: [], maxItems: 2}
  Tags: {type: StringMap, default: {}, maxItems: 1}
  Maps: {type: MapList, default: []}
mainSteps:
- {name: a, action: aws:pause, inputs: {}}
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		given map[string]any
		want  map[string]any // what differs from the defaults
		err   string
	}{
		{"defaults", map[string]any{"Name": "ab"}, map[string]any{"Name": "ab"}, ""},
		{"text for others", map[string]any{"Name": "ab", "Count": "5", "Force": "TRUE", "Ids": "i-1"}, map[string]any{"Name": "ab", "Count": int64(5), "Force": true, "Ids": []any{"i-1"}}, ""},
		{"JSON in text", map[string]any{"Name": "ab", "Ids": `["i-1","i-2"]`, "Tags": `{"a":1}`, "Maps": `[{"b":2}]`}, map[string]any{"Name": "ab", "Ids": []any{"i-1", "i-2"}, "Tags": map[string]any{"a": int64(1)}, "Maps": []any{map[string]any{"b": int64(2)}}}, ""},
		{"Go's own types", map[string]any{"Name": "ab", "Count": 5, "Ids": []string{"i-1"}}, map[string]any{"Name": "ab", "Count": int64(5), "Ids": []any{"i-1"}}, ""},
		{"missing", nil, nil, "parameter Name is missing"},
		{"unknown", map[string]any{"Name": "ab", "Nmae": "x"}, nil, `d has no parameter Nmae; did you mean "Name"?`},
		{"characters are counted, not bytes", map[string]any{"Name": "éééé"}, map[string]any{"Name": "éééé"}, ""},
		{"too long", map[string]any{"Name": "ééééé"}, nil, `parameter Name: "ééééé" has 5 characters; at most 4 are allowed`},
		{"the pattern is for the whole", map[string]any{"Name": "ab;"}, nil, `parameter Name: "ab;" does not match the allowed pattern [a-zé]+`},
		{"a line feed at the end is no end", map[string]any{"Name": "ab\n"}, nil, `parameter Name: "ab\n" does not match the allowed pattern [a-zé]+`},
		{"values", map[string]any{"Name": "ab", "Count": 4}, nil, "parameter Count: 4 is not one of the allowed values [3,5]"},
		{"type", map[string]any{"Name": "ab", "Count": "many"}, nil, `parameter Count: Integer is wanted, not "many"`},
		{"items", map[string]any{"Name": "ab", "Ids": []any{"a", "b", "c"}, "Tags": map[string]any{"a": 1, "b": 2}}, nil, "parameter Ids: 3 items; at most 2 are allowed\nparameter Tags: 2 items; at most 1 are allowed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := d.Bind(tt.given)
			if tt.err != "" {
				if err == nil || err.Error() != tt.err {
					t.Errorf("error %v, want %s", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]any{"Count": int64(3), "Force": false, "Ids": []any{}, "Tags": map[string]any{}, "Maps": []any{}}
			maps.Copy(want, tt.want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if again, err := d.Bind(got); err != nil || !cmp.Equal(again, got) {
				t.Errorf("binding what was bound: %v, %v", again, err)
			}
		})
	}
}
