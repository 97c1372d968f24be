package automation

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// storedPath is the entry with the values of Parameter Store that a document refers to, among those of its steps.
const storedPath = "@parameters"

// maxStored is how many names one call of ssm GetParameters takes.
const maxStored = 10

// Stored lists the values of Parameter Store that the document refers to, as {{ ssm:NAME }}: the names, each once. They are read
// before the document's first step, by calls of ssm GetParameters through Hands, and an execution goes on with what it read
// then. Only the document's own text is looked at: what a caller gives to a parameter never is such a reference.
func (d *Document) Stored() []string { return d.stored }

// storedIn adds to names what a value refers to in Parameter Store.
func storedIn(names []string, v any) []string {
	for _, ref := range references(textOf(v)) {
		if name, ok := strings.CutPrefix(ref, "ssm:"); ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// readStored reads the values that the frame's document refers to, and binds the parameters whose defaults they are. over: the
// document can't go on, or has to wait.
func (f *frame) readStored(ctx context.Context) (done end, over bool, err error) {
	if len(f.doc.stored) == 0 || f.stored != nil {
		return end{}, false, nil
	}
	values := map[string]any{}
	for i := 0; i < len(f.doc.stored); i += maxStored {
		names := f.doc.stored[i:min(i+maxStored, len(f.doc.stored))]
		e, err := f.step(ctx, storedStep(i/maxStored+1, names))
		switch {
		case err != nil:
			return end{}, false, err
		case e.Open():
			return end{wait: &e}, true, nil
		case e.State != Success:
			return end{state: e.State, step: e.Path, reason: e.Error}, true, nil
		}
		if e.Would != "" { // in Observe, and it can't be read
			for _, name := range names {
				values[name] = Unknown{Ref: "ssm:" + name}
			}
			continue
		}
		if err := takeStored(values, names, e.Outputs); err != nil {
			return end{state: Failed, step: e.Path, reason: err.Error()}, true, nil
		}
	}
	f.stored = values
	if err := f.bindStored(); err != nil {
		return end{state: Failed, reason: err.Error()}, true, nil
	}
	return end{}, false, nil
}

// storedStep is the call that reads some of the values.
func storedStep(nth int, names []string) Step {
	s := Step{Name: storedPath, Action: "aws:executeAwsApi", MaxAttempts: 1, Timeout: time.Minute}
	if nth > 1 {
		s.Name = fmt.Sprintf("%s%d", storedPath, nth)
	}
	list := make([]any, len(names))
	for i, name := range names {
		list[i] = name
	}
	s.Inputs = map[string]any{"Service": "ssm", "Api": "GetParameters", "Names": list}
	return s
}

// takeStored takes the values of names from a response of GetParameters.
func takeStored(values map[string]any, names []string, response map[string]any) error {
	list, _ := response["Parameters"].([]any)
	for _, it := range list {
		m, _ := it.(map[string]any)
		if textOf(m["Type"]) == "SecureString" {
			return fmt.Errorf("parameter %s of Parameter Store is a SecureString, which documents can't refer to", textOf(m["Name"]))
		}
		v := m["Value"]
		if textOf(m["Type"]) == "StringList" {
			items := []any{}
			for s := range strings.SplitSeq(textOf(v), ",") {
				items = append(items, s)
			}
			v = items
		}
		values[textOf(m["Name"])+textOf(m["Selector"])] = v
	}
	for _, name := range names {
		if _, ok := values[name]; !ok {
			return fmt.Errorf("Parameter Store has no parameter %s", name)
		}
	}
	return nil
}

// bindStored puts the values into the parameters whose defaults refer to them, and holds them to what the parameters allow.
func (f *frame) bindStored() error {
	for _, q := range f.doc.Parameters {
		if len(storedIn(nil, q.Default)) == 0 || !reflect.DeepEqual(f.params[q.Name], q.Default) {
			continue
		}
		v, _, err := resolve(q.Default, f.lookup)
		if err == nil {
			v, err = coerce(v, q.Type)
		}
		if err == nil && len(unknowns(v)) == 0 {
			err = q.check(v)
		}
		if err != nil {
			return fmt.Errorf("parameter %s: %w", q.Name, err)
		}
		f.params[q.Name] = v
		f.dirty[q.Name] = !q.clean(v)
	}
	return nil
}
