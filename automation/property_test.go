package automation_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"homeostat/automation"
	"homeostat/automation/automationtest"
)

// drawn is a random valid document, with those that it names, and a world to run it in.
type drawn struct {
	doc   *automation.Document
	docs  automationtest.Documents
	hands *automationtest.Hands
	nth   int
}

// draw makes a random document. Steps only go forward, as Parse asks; half of the calls read, half change.
func draw(t *rapid.T) *drawn {
	d := &drawn{docs: automationtest.Documents{}, hands: &automationtest.Hands{Steps: map[string]automationtest.Answer{}}}
	d.doc = d.document(t, "Main", "", 0)
	return d
}

func (d *drawn) document(t *rapid.T, name, prefix string, depth int) *automation.Document {
	m := map[string]any{
		"schemaVersion": "0.3",
		"parameters":    map[string]any{"P": map[string]any{"type": "String", "default": "p"}},
		"variables":     map[string]any{"V": map[string]any{"type": "String", "default": "v"}},
		"mainSteps":     d.steps(t, prefix, depth),
	}
	text, err := yaml.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := automation.Parse(name+".yaml", text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return doc
}

func (d *drawn) steps(t *rapid.T, prefix string, depth int) []any {
	n := rapid.IntRange(1, 5).Draw(t, "steps")
	names := make([]string, n)
	for i := range names {
		d.nth++
		names[i] = fmt.Sprintf("s%d", d.nth)
	}
	var steps []any
	for i, name := range names {
		later := names[i+1:]
		s := map[string]any{"name": name}
		if len(later) > 0 && rapid.Bool().Draw(t, "failure way") {
			s["onFailure"] = rapid.SampledFrom([]string{"Abort", "Continue", "step:" + later[len(later)-1]}).Draw(t, "onFailure")
		}
		if len(later) > 0 && rapid.IntRange(0, 5).Draw(t, "next") == 0 {
			s["nextStep"] = rapid.SampledFrom(later).Draw(t, "nextStep")
		}
		if rapid.IntRange(0, 9).Draw(t, "end") == 0 {
			s["isEnd"] = true
		}
		// What it refers to: any call that can have run before, or something that is always there.
		refs := []string{"{{ P }}", "{{ variable:V }}", "{{ global:DATE }}", "word"}
		if i > 0 && s["nextStep"] == nil && !jumps(steps) {
			for _, before := range steps {
				b := before.(map[string]any)
				if b["action"] == "aws:invokeLambdaFunction" {
					refs = append(refs, "{{ "+b["name"].(string)+".Payload }}")
				}
			}
		}
		ref := rapid.SampledFrom(refs).Draw(t, "reference")
		d.fill(t, s, name, prefix, ref, later, depth)
		steps = append(steps, s)
	}
	return steps
}

// jumps says that some step leads past others, so that not every step before has run before.
func jumps(steps []any) bool {
	return slices.ContainsFunc(steps, func(s any) bool {
		m := s.(map[string]any)
		way, _ := m["onFailure"].(string)
		return m["nextStep"] != nil || m["isEnd"] != nil || m["action"] == "aws:branch" || strings.HasPrefix(way, "step:") || way == "Continue"
	})
}

func (d *drawn) fill(t *rapid.T, s map[string]any, name, prefix, ref string, later []string, depth int) {
	actions := []string{"aws:invokeLambdaFunction", "aws:executeAwsApi", "aws:sleep", "aws:updateVariable", "aws:runCommand", "aws:approve", "aws:pause"}
	if len(later) > 0 {
		actions = append(actions, "aws:branch")
	}
	if depth < 2 {
		actions = append(actions, "aws:executeAutomation")
		if !strings.Contains(prefix, "[") {
			actions = append(actions, "aws:loop")
		}
	}
	action := rapid.SampledFrom(actions).Draw(t, "action")
	s["action"], s["inputs"] = action, map[string]any{}
	path := prefix + name
	switch action {
	case "aws:invokeLambdaFunction":
		s["maxAttempts"] = rapid.IntRange(1, 3).Draw(t, "attempts")
		s["inputs"] = map[string]any{"FunctionName": ref}
		d.answer(t, path)
	case "aws:executeAwsApi":
		s["inputs"] = map[string]any{"Service": "ec2", "Api": "X", "Filter": ref}
		d.answer(t, path)
	case "aws:sleep":
		s["inputs"] = map[string]any{"Duration": rapid.SampledFrom([]string{"PT0S", "PT0.005S"}).Draw(t, "sleep")}
	case "aws:updateVariable":
		s["inputs"] = map[string]any{"Name": "variable:V", "Value": ref}
	case "aws:approve":
		s["inputs"] = map[string]any{"Approvers": []any{"ana"}, "Message": ref}
	case "aws:runCommand":
		s["inputs"] = map[string]any{"DocumentName": "AWS-RunShellScript", "Parameters": map[string]any{"commands": []any{"echo " + ref}}}
		d.answer(t, path+"/runShellScript")
	case "aws:branch":
		s["inputs"] = map[string]any{
			"Choices": []any{map[string]any{"NextStep": rapid.SampledFrom(later).Draw(t, "choice"), "Variable": ref, "StringEquals": "p"}},
			"Default": rapid.SampledFrom(later).Draw(t, "default"),
		}
	case "aws:executeAutomation":
		inner := fmt.Sprintf("Inner%d", d.nth)
		d.docs[inner] = d.document(t, inner, path+"/", depth+1)
		s["inputs"] = map[string]any{"DocumentName": inner, "RuntimeParameters": map[string]any{"P": ref}}
	case "aws:loop":
		s["inputs"] = map[string]any{"Iterators": []any{"a", "b"}, "Steps": d.steps(t, path+"[1]/", depth+1)}
		for p, a := range maps.Clone(d.hands.Steps) {
			if rest, ok := strings.CutPrefix(p, path+"[1]/"); ok {
				d.hands.Steps[path+"[2]/"+rest] = a
			}
		}
	}
}

func (d *drawn) answer(t *rapid.T, path string) {
	a := automationtest.Answer{
		Effect:  rapid.SampledFrom([]automation.Effect{automation.Changing, automation.Reading}).Draw(t, "effect"),
		Outputs: []map[string]any{{"Payload": rapid.SampledFrom([]string{"p", "q"}).Draw(t, "payload")}},
		LookUp:  rapid.SampledFrom([]error{nil, automation.ErrUnknown, automation.ErrNotDone, automation.ErrFailed}).Draw(t, "lookup"),
	}
	if rapid.IntRange(0, 3).Draw(t, "fails") == 0 {
		a.Errors = []string{"broken", rapid.SampledFrom([]string{"", "broken"}).Draw(t, "second")}
	}
	d.hands.Steps[path] = a
}

// Whatever the document, in observe no changing call is ever made, and the plan comes to its end at once.
func TestObserveChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := draw(t)
		j := &automation.MemoryJournal{}
		mode := rapid.SampledFrom([]automation.Mode{automation.Observe, "", "Auto", "approve"}).Draw(t, "mode")
		r, err := automation.Run(t.Context(), d.doc, automation.Execution{ID: "x", Mode: mode}, automation.World{Hands: d.hands, Journal: j, Documents: d.docs})
		if err != nil || r.State == automation.Waiting {
			t.Fatalf("%+v, %v", r, err)
		}
		for _, c := range d.hands.Done() {
			if d.hands.Effect(c) != automation.Reading {
				t.Errorf("in mode %q %s was done: %s %v", mode, c.Step, c.Action, c.Inputs)
			}
		}
		for _, e := range j.Entries() {
			if e.Open() {
				t.Errorf("%s is %s at the end", e.Path, e.State)
			}
		}
	})
}

// fragile is a journal that breaks after so many writes, as a process that is killed there leaves it.
type fragile struct {
	*automation.MemoryJournal
	left int
}

var errBroken = errors.New("killed at this write")

func (f *fragile) write(put func(context.Context, automation.Entry) error, ctx context.Context, e automation.Entry) error {
	if f.left == 0 {
		return errBroken
	}
	f.left--
	return put(ctx, e)
}

func (f *fragile) Intend(ctx context.Context, e automation.Entry) error {
	return f.write(f.MemoryJournal.Intend, ctx, e)
}

func (f *fragile) Outcome(ctx context.Context, e automation.Entry) error {
	return f.write(f.MemoryJournal.Outcome, ctx, e)
}

// finish runs an execution to its end in the bubble's time, giving every question the same answer.
func finish(t *rapid.T, d *drawn, j automation.Journal, mem *automation.MemoryJournal) automation.Result {
	for range 1000 {
		x := automation.Execution{ID: "x", Mode: automation.Auto, Began: time.Unix(0, 0)}
		r, err := automation.Run(t.Context(), d.doc, x, automation.World{Hands: d.hands, Journal: j, Documents: d.docs})
		if errors.Is(err, errBroken) {
			return automation.Result{}
		}
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case r.State != automation.Waiting:
			return r
		case r.Approval != nil:
			verb := automation.Continue
			if r.Approval.Kind == automation.AskApproval {
				verb = automation.Approve
			}
			if err := mem.Answer(r.Step, automation.Answer{Who: "ana", Verb: verb, At: time.Now()}); err != nil {
				t.Fatal(err)
			}
		default:
			time.Sleep(time.Until(r.Until))
		}
	}
	t.Fatal("it never ends")
	return automation.Result{}
}

// Killed at any write of the journal and run again, every ended step stays ended, no changing call is made again unless it is
// known not to have happened, and the execution ends.
func TestKilledAtEveryWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ testing.TB }{t}, func(t *rapid.T) {
			d := draw(t)
			whole := &automation.MemoryJournal{}
			finish(t, d, whole, whole)
			writes := 3 * len(whole.Entries())
			for cut := range min(writes, 60) {
				d.hands = &automationtest.Hands{Steps: d.hands.Steps} // the same answers, nothing remembered
				mem := &automation.MemoryJournal{}
				finish(t, d, &fragile{MemoryJournal: mem, left: cut}, mem)
				before := map[string]automation.Entry{}
				for _, e := range mem.Entries() {
					before[e.Path] = e
				}
				first := len(d.hands.Done())
				if r := finish(t, d, mem, mem); r.State == "" {
					t.Fatal("it did not end")
				}
				calls := d.hands.Done()
				for _, c := range calls[first:] {
					e, begun := before[c.Step]
					switch {
					case begun && !e.Open():
						t.Errorf("cut at write %d: %s had ended and was done again", cut, c.Step)
					case begun && e.Effect == automation.Changing && !errors.Is(d.hands.Steps[c.Step].LookUp, automation.ErrNotDone) && c.Attempt == e.Attempt:
						t.Errorf("cut at write %d: %s, attempt %d, was done again blindly", cut, c.Step, c.Attempt)
					}
				}
			}
		})
	})
}
