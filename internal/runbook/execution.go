package runbook

import (
	"bytes"
	"encoding/json"
	"time"

	"homeostat/automation"
	"homeostat/internal/signal"
)

// execution is a row of the table executions.
type execution struct {
	signal.Execution
	documents map[string]string // name to version
	envelope  string            // the event, "" where there is none
	cancel    string            // who asked to cancel, and why
	repeat    bool              // the route lets the runbook act twice for an incident
	acted     time.Time         // when a changing step was let through last
	idle      bool              // it ends without having changed anything

	targets     *automation.Document // of one that begins over targets: what runs its runbook for each
	targetsText string
}

// event returns the event that began it; false where a person did.
func (x *execution) event() (signal.Event, bool) {
	var ev signal.Event
	if x.envelope == "" || json.Unmarshal([]byte(x.envelope), &ev) != nil {
		return signal.Event{}, false
	}
	return ev, true
}

// ended reports whether it is over.
func (x *execution) ended() bool { return !x.Ended.IsZero() }

// real reports whether its changing steps are done, and not only told.
func (x *execution) real() bool { return x.Mode == signal.Auto || x.Mode == signal.Approve }

// The paths of our own steps in the journal: no step of a document can be called so.
const (
	approvalPath = "@approval"
	verifyPath   = "@verify"
)

// stepID makes a step's id.
func stepID(execution, path string) string {
	return signal.MakeID(signal.KindStep, execution, path)
}

// ms is a time as the tables have it: Unix milliseconds, 0 for the zero time.
func ms(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMS(v int64) time.Time {
	if v == 0 {
		return time.Time{}
	}
	return time.UnixMilli(v).UTC()
}

// fromJSON reads a column of JSON; whole numbers become int64, so that a large one keeps its digits.
func fromJSON[T any](text string) (T, error) {
	var v T
	if text == "" {
		return v, nil
	}
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.UseNumber()
	err := dec.Decode(&v)
	return v, err
}

// plain turns json.Number within v into int64 or float64.
func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	case map[string]any:
		return plainMap(v)
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	}
	return v
}

func plainMap(m map[string]any) map[string]any {
	for k := range m {
		m[k] = plain(m[k])
	}
	return m
}

// saying returns the sentence in which a step tells what it did: "text" of the JSON object that it printed.
func saying(outputs map[string]any) string {
	out, ok := outputs["Output"].(string)
	if !ok {
		return ""
	}
	var said struct {
		Text string `json:"text"`
	}
	if json.Unmarshal([]byte(out), &said) != nil {
		return ""
	}
	return said.Text
}

// shownStep is a step as lists show it.
func shownStep(id string, e automation.Entry) signal.Step {
	s := signal.Step{
		ID: id, Name: e.Path, Action: e.Action, Effect: e.Effect.String(), State: e.State, Attempt: e.Attempt,
		Began: e.Began, Ended: e.Ended, Inputs: e.Inputs, Outputs: e.Outputs, Would: e.Would, Note: e.Note, Error: e.Error,
	}
	switch e.Path {
	case approvalPath:
		s.Name = "approval"
	case verifyPath:
		s.Name = "verify"
	}
	return s
}
