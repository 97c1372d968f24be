package aws

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeostat/automation"
	"homeostat/internal/action/aws/awstest"
)

// newer says that the pinned models have a member and the SDK's version in go.mod doesn't yet.
func newer(member string) bool {
	return strings.HasPrefix(member, "cloud") || strings.HasPrefix(member, "machineImage") || slices.Contains([]string{
		"AcceleratorConfig", "ClientCertificateIdentityFilters", "MetricCategoryIds", "RuntimeConfig",
		"imageScanningTypes", "purlQualifier", "runtimeReachabilityReason", "runtimeReachability", "scanResultCondition",
	}, member)
}

// TestOperationsAreTheAPIs holds each operation of the table to the service's published model: it exists, a request with
// every member that the model has is decoded, member by member by the API's spelling, and its client token is a member.
func TestOperationsAreTheAPIs(t *testing.T) {
	models := map[string]*awstest.Model{}
	seen := map[string]bool{}
	for _, o := range operations() {
		m := models[o.service]
		if m == nil {
			m = awstest.LoadModel(t, o.service)
			models[o.service] = m
		}
		api, ok := m.Operations[o.name]
		switch {
		case !ok:
			t.Errorf("%s has no operation %s", o.service, o.name)
			continue
		case seen[key(o.service, o.name)]:
			t.Errorf("%s %s is here twice", o.service, o.name)
		}
		seen[key(o.service, o.name)] = true
		var in map[string]any
		if api.Input != nil {
			in, _ = m.Sample(api.Input.Shape, 8, newer).(map[string]any)
			for member, ref := range m.Shapes[api.Input.Shape].Members {
				if ref.Location == "uri" {
					in[member] = ""
					if err := o.check(in); err == nil || !strings.Contains(err.Error(), "it is empty") {
						t.Errorf("%s %s with an empty %s: %v", o.service, o.name, member, err)
					}
					in[member] = "text"
				}
			}
			if o.token != "" {
				if _, ok := m.Shapes[api.Input.Shape].Members[o.token]; !ok {
					t.Errorf("%s %s has no member %s", o.service, o.name, o.token)
				}
			}
		}
		if err := o.check(in); err != nil {
			t.Errorf("%s %s: %v", o.service, o.name, err)
		}
		for name := range in {
			if err := o.check(map[string]any{name + "x": in[name]}); err == nil {
				t.Errorf("%s %s takes the member %sx", o.service, o.name, name)
				break
			}
		}
	}
}

// TestReadingOperationsReadByName is a second look at the table: what is marked as reading must be called so.
func TestReadingOperationsReadByName(t *testing.T) {
	fits := func(name string, prefixes ...string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return len(name) > len(p) && name[:len(p)] == p })
	}
	for _, o := range operations() {
		reads := fits(o.name, "Describe", "Get", "List", "Filter", "BatchGet") || o.name == "StartQuery"
		if reads != (o.effect == automation.Reading) {
			t.Errorf("%s %s is marked %v", o.service, o.name, o.effect)
		}
		if o.effect == automation.Reading && o.again != askPerson {
			t.Errorf("%s %s reads, and needs no word on a second time", o.service, o.name)
		}
	}
}

func TestEveryActionUsesWhatIsAllowed(t *testing.T) {
	h := New(nil, HandsConfig{})
	for name, a := range h.actions {
		if len(a.uses) == 0 && !slices.Contains(apiActions, name) {
			t.Errorf("%s says nothing of what it calls", name)
		}
		for _, u := range a.uses {
			service, api, _ := strings.Cut(u, " ")
			if _, err := h.ops.find(service, api); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestDecode(t *testing.T) {
	type nested struct{ Name *string }
	type input struct {
		Size    *int32
		Whole   int64
		On      *bool
		Names   []string
		Nested  *nested
		Payload []byte
		Params  map[string][]string
	}
	var got input
	err := names{}.decode(map[string]any{
		"Size": "8", "Whole": 3.0, "On": "true", "Names": []any{"a", int64(1)}, "Nested": map[string]any{"Name": "x"},
		"Payload": map[string]any{"k": "v"}, "Params": map[string]any{"commands": "ls"},
	}, &got)
	if err != nil {
		t.Fatal(err)
	}
	want := input{
		Size: new(int32(8)), Whole: 3, On: new(true), Names: []string{"a", "1"}, Nested: &nested{new("x")}, Payload: []byte(`{"k":"v"}`),
		Params: map[string][]string{"commands": {"ls"}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for in, want := range map[string]string{
		"siZe": "siZe: the API has no such member, but Size", "Sizes": "Sizes: the API has no such member",
	} {
		if err := (names{}).decode(map[string]any{in: "8"}, &input{}); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", in, err, want)
		}
	}
	for _, in := range []map[string]any{
		{"Size": "eight"}, {"Size": 1.5}, {"Size": int64(1) << 40}, {"On": "perhaps"}, {"Names": "a"}, {"Nested": "x"}, {"Nested": map[string]any{"nAme": "x"}},
	} {
		if err := (names{}).decode(in, &input{}); err == nil {
			t.Errorf("%v is taken", in)
		}
	}
}
