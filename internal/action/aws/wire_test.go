package aws

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"homeostat/internal/action/aws/awstest"
)

// reallyDone are services that the emulator does really, in a protocol that fakes don't speak.
var reallyDone = []string{"s3"}

// TestEveryOperationOverTheWire calls each operation of the table with every member that its published model has, against a fake
// that takes the request apart by the model and answers with every member: what arrives there, and what comes back, is what was
// said, in the service's own protocol.
func TestEveryOperationOverTheWire(t *testing.T) {
	fakes := map[string]*awstest.Fake{}
	models := map[string]*awstest.Model{}
	all := operations()
	for _, o := range all {
		if models[o.service] == nil {
			models[o.service] = awstest.LoadModel(t, o.service)
		}
	}
	sample := func(o operation, shape string) map[string]any {
		m := models[o.service]
		v, _ := m.Sample(shape, 7, newer).(map[string]any)
		for member, ref := range m.Shapes[shape].Members {
			if ref.Location == "statusCode" {
				v[member] = int64(202)
			}
		}
		return v
	}
	for service, m := range models {
		if slices.Contains(reallyDone, service) {
			continue
		}
		answers := map[string]any{}
		for _, o := range all {
			if o.service != service {
				continue
			}
			answers[o.name] = map[string]any{}
			if out := m.Operations[o.name].Output; out != nil {
				answers[o.name] = sample(o, out.Shape)
			}
		}
		fakes[service] = awstest.Serve(t, service, answers)
	}
	for _, o := range all {
		f, ok := fakes[o.service]
		if !ok {
			continue
		}
		s, err := Open(t.Context(), Config{Region: "eu-west-1", Endpoint: f.URL})
		if err != nil {
			t.Fatal(err)
		}
		var in map[string]any
		if api := models[o.service].Operations[o.name]; api.Input != nil {
			in = sample(o, api.Input.Shape)
		}
		out, err := o.do(t.Context(), s.Of("", ""), in)
		if err != nil {
			t.Errorf("%s %s: %v", o.service, o.name, err)
			continue
		}
		calls := f.Calls()
		last := calls[len(calls)-1]
		if last.Operation != o.name {
			t.Errorf("%s %s arrived as %s", o.service, o.name, last.Operation)
		}
		if d := differs(in, last.Input); d != "" {
			t.Errorf("%s %s, request: %s", o.service, o.name, d)
		}
		if shape := models[o.service].Operations[o.name].Output; shape != nil {
			// The model may be newer than the SDK: what came back must be in the answer, and spelt so.
			want := sample(o, shape.Shape)
			if d := differs(out, want); d != "" || len(out) == 0 && len(want) > 0 {
				t.Errorf("%s %s, answer: %s", o.service, o.name, d)
			}
		}
	}
}

// differs says what of want isn't so in got. Times are compared as such.
func differs(want, got any) string {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok && got != nil {
			return fmt.Sprintf("want %v, got %v", want, got)
		}
		for k, v := range w {
			if d := differs(v, g[k]); d != "" {
				return k + "." + d
			}
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return fmt.Sprintf("want %v, got %v", want, got)
		}
		for i := range w {
			if d := differs(w[i], g[i]); d != "" {
				return fmt.Sprintf("[%d].%s", i, d)
			}
		}
		return ""
	case nil:
		return ""
	}
	a, b := fmt.Sprint(want), fmt.Sprint(got)
	if t1, err := time.Parse(time.RFC3339Nano, a); err == nil {
		if t2, err := time.Parse(time.RFC3339Nano, b); err == nil && t1.Equal(t2) {
			return ""
		}
	}
	if a != b {
		return fmt.Sprintf("want %q, got %q", a, b)
	}
	return ""
}
