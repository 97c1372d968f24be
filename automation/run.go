package automation

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Mode is how far an execution may go. Every Mode but Auto observes, the zero Mode too.
type Mode string

// The modes. Asking a person before the first step is the caller's: it then runs in Auto.
const (
	Observe Mode = "observe" // reading steps are done, changing ones are only told
	Auto    Mode = "auto"
)

// Execution is one run of a document.
type Execution struct {
	ID         string         // makes the steps' idempotency tokens: the same for every Run of the execution
	Parameters map[string]any // as Document.Bind returned them
	Mode       Mode
	Began      time.Time // what global:DATE and global:DATE_TIME say (UTC); the same for every Run
	Region     string    // global:REGION; "local" when empty
	Account    string    // global:ACCOUNT_ID; "000000000000" when empty
	Partition  string    // global:AWS_PARTITION; "aws" when empty
	Platform   string    // platformType of this host for Command plugins' preconditions; "Linux" when empty
	Cancel     string    // not empty: a person asked to cancel, and why; open steps end, cancel paths run
}

// World is what an execution meets. Hands and Journal are required.
type World struct {
	Hands     Hands
	Journal   Journal
	Documents Documents // nil: documents that name others fail at that step
	Gate      Gate      // nil: nothing is asked
	// Held is for how long since a moment the execution has waited for what Gate had asked somebody: it counts against no step's
	// time. nil: it never waits.
	Held func(since time.Time) time.Duration
}

// Result is how far an execution has come.
type Result struct {
	State    string           // Success, Failed, TimedOut, Cancelled, Refused; or Waiting
	Step     string           // path of the step that it waits at, or that decided its end
	Outputs  map[string]any   // of the document: "step.Output" to its value
	Until    time.Time        // when Waiting: call Run again then at the latest; zero when only a person can move it
	Approval *ApprovalRequest // when Waiting for a person
	Reason   string           // a sentence: what it waits for, why it failed or was refused
}

// maxNested is how deep documents may start documents, the first one counted.
const maxNested = 8

// cancelTime is how long the steps of a cancel path may take together.
const cancelTime = 2 * time.Minute

// Run carries an execution forward from its journal until it ends or must wait. The error is not nil only when Run itself
// could not go on (the context ended, the journal or the gate broke): nothing is lost then, and Run may be called again. An
// execution is carried by one Run at a time; that is the caller's to see to.
func Run(ctx context.Context, d *Document, x Execution, w World) (Result, error) {
	e := &engine{x: x, w: w, actions: actions(), plugins: plugins(), brought: map[string]*Document{}, cancel: x.Cancel}
	params, err := d.Bind(x.Parameters)
	if err != nil {
		return Result{State: Failed, Reason: err.Error()}, nil
	}
	f := e.frame(d, "", params, nil)
	if why, err := f.unable(ctx); err != nil || why != "" {
		return Result{State: Refused, Reason: why}, err
	}
	var done end
	if d.Type == TypeCommand {
		done, err = f.runDocument(ctx)
	} else {
		done, err = f.walk(ctx, d.Steps)
	}
	if err != nil {
		return Result{}, err
	}
	if done.wait != nil {
		r := Result{State: Waiting, Step: done.wait.Path, Until: done.wait.Until, Approval: done.wait.Approval, Reason: done.wait.Note}
		return r, nil
	}
	return Result{State: done.state, Step: done.step, Reason: done.reason, Outputs: f.documentOutputs()}, nil
}

// engine is what all frames of one Run share.
type engine struct {
	x        Execution
	w        World
	actions  map[string]action
	plugins  map[string]plugin
	brought  map[string]*Document // documents that the package brings along, once parsed
	cancel   string               // why the execution is being cancelled, "" when it isn't
	cancelAt time.Time            // when a step was cancelled: from here a cancel path runs
}

func (e *engine) auto() bool { return e.x.Mode == Auto }

// alive is the context to go on with: a cancelled execution runs its cancel path in a context that has not ended. That a
// containing step's time is up is seen in entry, where it is known whether there is a call to look up.
func (e *engine) alive(ctx context.Context) (context.Context, error) {
	err := context.Cause(ctx)
	if err == nil || err == errStepTime {
		return ctx, nil
	}
	if !errors.Is(err, ErrCancel) {
		return ctx, err
	} else if e.cancel == "" {
		e.cancel = err.Error()
	}
	return context.WithoutCancel(ctx), nil
}

// frame is one list of steps being run: a document's, or a loop's in one of its rounds.
type frame struct {
	*engine
	doc     *Document
	steps   []Step // the list
	prefix  string // of the steps' paths
	depth   int
	params  map[string]any
	dirty   map[string]bool // parameters whose values may not stand in a script's text
	vars    map[string]any
	stored  map[string]any            // values of Parameter Store that the document refers to; nil before they are read
	outputs map[string]map[string]any // by step
	untold  map[string]bool           // steps that were not done, in Observe: their outputs are Unknown
	outer   *frame                    // of a loop's round
	changes bool                      // a step was a changing one

	// Of a Command document: where it runs, and what its plugins have said.
	instances []string
	text      strings.Builder
	code      int64 // the first that isn't 0
	would     []string
}

// frame makes the frame of a document. clean says which parameters' values somebody has vouched for already.
func (e *engine) frame(d *Document, prefix string, params map[string]any, clean map[string]bool) *frame {
	f := &frame{
		engine: e, doc: d, prefix: prefix, params: params, dirty: map[string]bool{},
		vars: map[string]any{}, outputs: map[string]map[string]any{}, untold: map[string]bool{},
	}
	for _, q := range d.Parameters {
		f.dirty[q.Name] = !clean[q.Name] && !q.clean(params[q.Name])
	}
	for _, q := range d.Variables {
		f.vars[q.Name] = q.Default
	}
	return f
}

// round makes the frame of one round of a loop: steps of its own, all else shared.
func (f *frame) round(prefix string) *frame {
	return &frame{
		engine: f.engine, doc: f.doc, prefix: prefix, depth: f.depth, params: f.params, dirty: f.dirty, vars: f.vars, stored: f.stored, outer: f,
		outputs: map[string]map[string]any{}, untold: map[string]bool{},
	}
}

// end is how a list of steps ended, or the entry that it waits at.
type end struct {
	state  string
	step   string
	reason string
	wait   *Entry
}

// walk runs steps from the first until one ends the list or waits. In Observe, where a branch can't be decided, it follows
// every way that might be taken, each step once.
func (f *frame) walk(ctx context.Context, steps []Step) (end, error) {
	f.steps = steps
	if done, over, err := f.readStored(ctx); over || err != nil {
		return done, err
	}
	result := end{state: Success}
	todo, seen := []string{steps[0].Name}, map[string]bool{}
	for sure := true; len(todo) > 0; sure = false {
		name := todo[0]
		todo = todo[1:]
		for name != "" && !seen[name] {
			seen[name] = true
			i := slices.IndexFunc(steps, func(s Step) bool { return s.Name == name })
			var err error
			if ctx, err = f.alive(ctx); err != nil {
				return end{}, err
			}
			e, err := f.step(ctx, steps[i])
			if err != nil {
				return end{}, err
			}
			if e.Open() {
				return end{wait: &e}, nil
			}
			f.keep(steps[i], e)
			todo = append(todo, e.Maybe...)
			before := result
			name = f.after(steps, i, e, &result)
			if !sure {
				result = before // what only might happen decides nothing
			}
		}
	}
	return result, nil
}

// after decides which step follows an ended one, and what its end means for the whole.
func (f *frame) after(steps []Step, i int, e Entry, result *end) string {
	s := steps[i]
	decide := func(state string) {
		if result.state == Success {
			*result = end{state: state, step: e.Path, reason: e.Error}
		}
	}
	switch e.State {
	case Success:
		if s.Action == "aws:branch" {
			return e.Next
		}
		return following(steps, i)
	case Refused:
		*result = end{state: Refused, step: e.Path, reason: e.Error}
		return ""
	case Cancelled:
		if f.cancelAt.IsZero() {
			f.cancelAt = e.Ended
		}
		*result = end{state: Cancelled, step: e.Path, reason: e.Error}
		to, _ := strings.CutPrefix(s.OnCancel, "step:")
		if to == s.OnCancel {
			return ""
		}
		return to
	}
	if s.IsCritical || s.OnFailure == "Abort" {
		decide(e.State)
	}
	if to, ok := strings.CutPrefix(s.OnCancel, "step:"); ok && e.State == TimedOut && s.OnFailure == "Abort" {
		// A time that is up stops the step as a person does: what it left half done is put away on the same path.
		if f.cancelAt.IsZero() {
			f.cancelAt = e.Ended
		}
		return to
	}
	to, jump := strings.CutPrefix(s.OnFailure, "step:")
	switch {
	case s.IsEnd || s.OnFailure == "Abort":
		return ""
	case jump:
		return to
	}
	return following(steps, i)
}

// keep takes what an ended step leaves for the ones after it.
func (f *frame) keep(s Step, e Entry) {
	f.outputs[s.Name], _ = f.known(e.Outputs).(map[string]any)
	f.untold[s.Name] = e.Would != ""
	f.changes = f.changes || e.Effect == Changing
	if name, ok := strings.CutPrefix(textOf(s.Inputs["Name"]), "variable:"); ok && s.Action == "aws:updateVariable" && e.State == Success {
		f.vars[name] = f.known(e.Outputs["Value"])
	}
}

// known brings a journal's values to the package's types; in Observe the placeholders too.
func (f *frame) known(v any) any {
	v = normal(v)
	if f.auto() {
		return v
	}
	return placeholders(v)
}

func placeholders(v any) any {
	switch v := v.(type) {
	case string:
		if ref, ok := strings.CutPrefix(v, unknownPrefix); ok && strings.IndexByte(ref, '>') == len(ref)-1 && ref != "" {
			return Unknown{Ref: ref[:len(ref)-1]}
		}
	case []any:
		for i := range v {
			v[i] = placeholders(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = placeholders(v[k])
		}
	}
	return v
}

// runStep is how an action is run: by the package itself, or (runHands) by Hands. e is the step's entry so far; begun says
// that the journal has it. The entry that comes back is in the journal: ended, or open when the execution has to wait.
type runStep func(ctx context.Context, f *frame, s Step, e Entry, begun bool) (Entry, error)

// step runs one step, or takes its end from the journal.
func (f *frame) step(ctx context.Context, s Step) (Entry, error) {
	ctx, e, begun, err := f.entry(ctx, s)
	if err != nil || begun && !e.Open() {
		return e, err
	}
	if !f.cancelAt.IsZero() {
		left := time.Until(f.cancelAt.Add(cancelTime))
		if left <= 0 {
			return f.ended(ctx, e, Cancelled, "the cancel path has used up its two minutes")
		}
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, left)
		defer stop()
	} else if f.cancel != "" && !(begun && contains(s.Action)) {
		return f.cancelled(ctx, s, e, begun)
	}
	run := f.actions[s.Action].run
	if run == nil {
		run = runHands
	}
	return run(ctx, f, s, e, begun)
}

// entry reads a step's entry, or makes the one that it begins with.
func (f *frame) entry(ctx context.Context, s Step) (context.Context, Entry, bool, error) {
	path := f.prefix + s.Name
	e, begun, err := f.w.Journal.Step(context.WithoutCancel(ctx), path)
	if err != nil {
		return ctx, e, begun, fmt.Errorf("journal, step %s: %w", path, err)
	}
	if context.Cause(ctx) == errStepTime && !(begun && !e.Open()) {
		if !begun {
			return ctx, e, begun, errStepTime // nothing new is begun when the time is up
		}
		if !contains(s.Action) {
			ctx = context.WithoutCancel(ctx) // but what was cut off is looked up
		}
	}
	if !begun {
		now := time.Now()
		e = Entry{Path: path, Action: s.Action, Effect: Reading, State: InProgress, Attempt: 1, Token: f.token(path), Began: now, Tried: now}
	}
	return ctx, e, begun, nil
}

// contains says that an action has steps of its own: it is the steps that are cancelled, looked up and recorded.
func contains(action string) bool {
	return action == "aws:runCommand" || action == "aws:executeAutomation" || action == "aws:loop"
}

// cancelled ends an open step of an execution that is being cancelled. A changing call that was cut off is looked up first: if
// it has ended after all, that is what goes on record.
func (f *frame) cancelled(ctx context.Context, s Step, e Entry, begun bool) (Entry, error) {
	why := f.cancel
	if begun && e.Effect == Changing && e.Action == s.Action && e.Inputs != nil {
		out, err := f.w.Hands.LookUp(ctx, f.callOf(s, e))
		switch {
		case err == nil:
			return f.succeeded(ctx, s, e, out)
		case errors.Is(err, ErrFailed):
			e.Outputs = out
			return f.ended(ctx, e, Failed, err.Error())
		case !errors.Is(err, ErrNotDone):
			why += "; what came of this step is not known"
		}
	}
	return f.ended(ctx, e, Cancelled, why)
}

// ended records a step's end. It goes on record even when the context has ended.
func (f *frame) ended(ctx context.Context, e Entry, state, why string) (Entry, error) {
	e.State, e.Error, e.Ended, e.Until, e.Heard = state, why, time.Now(), time.Time{}, len(e.Answers)
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), journalTime)
	defer stop()
	if err := f.w.Journal.Outcome(ctx, e); err != nil {
		return e, fmt.Errorf("journal, outcome of step %s: %w", e.Path, err)
	}
	return e, nil
}

// journalTime is what a write to the journal may take once the context has ended.
const journalTime = 5 * time.Second

// intend records that a step is about to be done, or waits.
func (f *frame) intend(ctx context.Context, e Entry, state string) (Entry, error) {
	e.State, e.Error = state, ""
	if err := f.w.Journal.Intend(ctx, e); err != nil {
		return e, fmt.Errorf("journal, intent of step %s: %w", e.Path, err)
	}
	return e, nil
}

// token makes a call's idempotency token: the same for every attempt and after every crash.
func (f *frame) token(path string) string {
	sum := sha256.Sum256([]byte(f.x.ID + "\x00" + path))
	return hex.EncodeToString(sum[:])
}

// documentOutputs are what the document declares as its outputs; those of steps that did not run are left out.
func (f *frame) documentOutputs() map[string]any {
	if len(f.doc.Outputs) == 0 {
		return nil
	}
	out := map[string]any{}
	for _, name := range f.doc.Outputs {
		if r, err := f.lookup(name); err == nil {
			out[name] = r.v
		}
	}
	return out
}
