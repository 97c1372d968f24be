package automation_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"go.yaml.in/yaml/v3"

	"homeostat/automation"
	"homeostat/automation/automationtest"
)

var update = flag.Bool("update", false, "rewrite the golden parts of testdata")

// scenario is the part "case.yaml" of a text case of testdata/run: what is given, and how the world answers.
type scenario struct {
	Mode       automation.Mode           `yaml:"mode"`
	Parameters map[string]any            `yaml:"parameters"`
	Platform   string                    `yaml:"platform"`
	Hands      map[string]scriptedAnswer `yaml:"hands"`   // by step
	Answers    []givenAnswer             `yaml:"answers"` // what people say, each when the execution waits for it
	Refuse     []string                  `yaml:"refuse"`  // steps that the gate refuses
	CancelAt   string                    `yaml:"cancel"`  // the step that it waits at when a person cancels
	CutAt      string                    `yaml:"cut"`     // the process dies while this step is done, once
}

type scriptedAnswer struct {
	Effect  string           `yaml:"effect"` // reading, or changing
	Outputs []map[string]any `yaml:"outputs"`
	Errors  []string         `yaml:"errors"`
	Would   string           `yaml:"would"`
	LookUp  string           `yaml:"lookup"` // unknown, notdone, failed
	Unable  string           `yaml:"unable"`
	Sends   bool             `yaml:"sends"`
	Pending int              `yaml:"pending"`
}

type givenAnswer struct {
	Step    string `yaml:"step"`
	Who     string `yaml:"who"`
	Verb    string `yaml:"verb"`
	Comment string `yaml:"comment"`
}

func (s scenario) hands() *automationtest.Hands {
	h := &automationtest.Hands{Steps: map[string]automationtest.Answer{}}
	for path, a := range s.Hands {
		out := automationtest.Answer{Outputs: a.Outputs, Errors: a.Errors, Would: a.Would, Unable: a.Unable, Pending: a.Pending, Sends: a.Sends}
		if a.Effect == "reading" {
			out.Effect = automation.Reading
		}
		switch a.LookUp {
		case "unknown":
			out.LookUp = automation.ErrUnknown
		case "notdone":
			out.LookUp = automation.ErrNotDone
		case "failed":
			out.LookUp = automation.ErrFailed
		}
		h.Steps[path] = out
	}
	return h
}

// dying are hands that die once, in the middle of a step: it was done, and nobody heard of it.
type dying struct {
	*automationtest.Hands
	at   string
	stop context.CancelCauseFunc
}

var errKilled = errors.New("killed")

func (d *dying) Do(ctx context.Context, c automation.Call) (map[string]any, error) {
	out, err := d.Hands.Do(ctx, c)
	if c.Step == d.at && d.stop != nil {
		d.stop(errKilled)
		d.stop = nil
		return nil, ctx.Err()
	}
	return out, err
}

// TestRun plays the cases of testdata/run. A case needs no Go: a document (doc.yaml), documents that it names
// (docs/NAME.yaml), what is given and answered (case.yaml), and what happens (want), rewritten by -update.
func TestRun(t *testing.T) {
	files, err := filepath.Glob("testdata/run/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { playFile(t, file) })
		})
	}
}

func playFile(t *testing.T, file string) {
	arc, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var doc *automation.Document
	docs := automationtest.Documents{}
	var s scenario
	want := -1
	for i, f := range arc.Files {
		switch {
		case f.Name == "want":
			want = i
		case f.Name == "case.yaml":
			dec := yaml.NewDecoder(bytes.NewReader(f.Data))
			dec.KnownFields(true)
			if err := dec.Decode(&s); err != nil {
				t.Fatal(err)
			}
		default:
			d, err := automation.Parse(f.Name, f.Data)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(f.Name, "doc.") {
				doc = d
			} else {
				docs[d.Name] = d
			}
		}
	}
	got := play(t, doc, docs, s)
	if *update {
		if want < 0 {
			arc.Files = append(arc.Files, txtar.File{Name: "want"})
			want = len(arc.Files) - 1
		}
		arc.Files[want].Data = []byte(got)
		if err := os.WriteFile(file, txtar.Format(arc), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want < 0 {
		t.Fatal("the case has no want: run with -update")
	}
	if diff := cmp.Diff(string(arc.Files[want].Data), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// play runs a scenario to its end, in the bubble's time, and tells what happened.
func play(t *testing.T, doc *automation.Document, docs automationtest.Documents, s scenario) string {
	var b strings.Builder
	j := &automation.MemoryJournal{}
	h := s.hands()
	d := &dying{Hands: h, at: s.CutAt}
	start := time.Now()
	x := automation.Execution{ID: "ex-1", Parameters: s.Parameters, Mode: s.Mode, Began: start, Platform: s.Platform}
	w := automation.World{Hands: d, Journal: j, Documents: docs, Gate: func(_ context.Context, c automation.Call) error {
		if slices.Contains(s.Refuse, c.Step) {
			return fmt.Errorf("a freeze is on: %w", automation.ErrRefused)
		}
		return nil
	}}
	told := 0
	for runs := 1; ; runs++ {
		if runs > 50 {
			t.Fatal("it never ends")
		}
		ctx, stop := context.WithCancelCause(t.Context())
		if s.CutAt != "" && runs == 1 {
			d.stop = stop
		}
		r, err := automation.Run(ctx, doc, x, w)
		stop(nil)
		for calls := h.Done(); told < len(calls); told++ {
			c := calls[told]
			fmt.Fprintf(&b, "do %s attempt %d %s %s", c.Step, c.Attempt, c.Action, line(c.Inputs))
			if len(c.Environment) > 0 {
				fmt.Fprintf(&b, " env %s", line(c.Environment))
			}
			b.WriteString("\n")
		}
		after := time.Since(start).Round(time.Millisecond)
		if err != nil {
			fmt.Fprintf(&b, "%s: cut off: %v\n", after, err)
			continue
		}
		fmt.Fprintf(&b, "%s: %s", after, r.State)
		for _, p := range []string{r.Step, r.Reason} {
			if p != "" {
				fmt.Fprintf(&b, " | %s", p)
			}
		}
		if len(r.Outputs) > 0 {
			fmt.Fprintf(&b, " | %s", line(r.Outputs))
		}
		b.WriteString("\n")
		if r.State != automation.Waiting {
			break
		}
		switch i := slices.IndexFunc(s.Answers, func(a givenAnswer) bool { return a.Step == r.Step }); {
		case s.CancelAt == r.Step:
			x.Cancel = "ana has cancelled it"
		case i >= 0:
			a := s.Answers[i]
			s.Answers = slices.Delete(s.Answers, i, i+1)
			if err := j.Answer(r.Step, automation.Answer{Who: a.Who, Verb: a.Verb, Comment: a.Comment, At: time.Now()}); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "%s: %s says %s\n", after, a.Who, a.Verb)
		case r.Until.IsZero():
			t.Fatalf("nobody answers at %s:\n%s", r.Step, b.String())
		default:
			time.Sleep(time.Until(r.Until))
		}
	}
	for _, e := range j.Entries() {
		fmt.Fprintf(&b, "%s: %s %s", e.Path, e.Effect, e.State)
		for _, p := range []struct{ what, text string }{
			{"would", e.Would}, {"error", e.Error}, {"note", e.Note}, {"next", e.Next}, {"maybe", strings.Join(e.Maybe, ", ")},
		} {
			if p.text != "" {
				fmt.Fprintf(&b, " | %s: %s", p.what, p.text)
			}
		}
		if len(e.Outputs) > 0 {
			fmt.Fprintf(&b, " | %s", line(e.Outputs))
		}
		b.WriteString("\n")
	}
	return b.String()
}

func line(v any) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err.Error()
	}
	return strings.TrimSpace(b.String())
}
