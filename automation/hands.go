package automation

import (
	"context"
	"errors"
	"time"
)

// Effect says whether a call changes the world. The zero Effect is Changing: forgetting must never act.
type Effect int

const (
	Changing Effect = iota // recorded before and after, guarded, never repeated blindly, never done in Observe
	Reading                // may be repeated freely, and is really done in Observe
)

func (e Effect) String() string {
	if e == Reading {
		return "reading"
	}
	return "changing"
}

// Sentinels that hands, gates and callers use.
var (
	// ErrUnknown is what Hands.LookUp returns, wrapped, when it can't be known what came of a call: a person is asked.
	ErrUnknown = errors.New("what came of it can't be known")
	// ErrFailed is what Hands.LookUp returns, wrapped, when the call is known to have ended in failure.
	ErrFailed = errors.New("it failed")
	// ErrNotDone is what Hands.LookUp returns, wrapped, when the call certainly had no effect: it is then made again.
	ErrNotDone = errors.New("it was not done")
	// ErrRefused is what a Gate returns, wrapped, to end the execution as Refused.
	ErrRefused = errors.New("refused")
	// ErrCancel is the cause with which a caller ends Run's context to cancel the execution itself. A context that ends with
	// any other cause only interrupts Run: the execution goes on at the next call.
	ErrCancel = errors.New("execution cancelled")
)

// Hands do what a step asks of the world. Safe for concurrent use, as several executions share one.
type Hands interface {
	// Effect says whether this action with these inputs changes anything. When in doubt: Changing. It looks at the call only
	// and is quick. In Observe, inputs may hold placeholders (see [Unknown]).
	Effect(c Call) Effect
	// Would says in one sentence what Do would do, without doing any of it: "end process 4711 (stress-ng) of user ana".
	Would(ctx context.Context, c Call) (string, error)
	// Do does it and returns the response, whose keys are the step's outputs. ctx carries the step's time-out. An error with a
	// response that is not nil keeps both (a command's output and its exit status).
	Do(ctx context.Context, c Call) (map[string]any, error)
	// LookUp says what came of a changing call that was cut off, or of one that Do called an Again: its response when it has
	// ended well, an error wrapping ErrFailed when it has ended badly (the response may be there too), ErrNotDone when it had
	// no effect and may be done again, an Again when it goes on still. With ErrUnknown, and any other error, a person is asked.
	LookUp(ctx context.Context, c Call) (map[string]any, error)
}

// Again is the error with which Do, or LookUp, says that the call goes on: the execution waits and looks again. A reading call
// is then made again by Do (a condition to wait for), a changing one is looked up.
type Again struct {
	After time.Duration // when to look again; 15 s when 0
	State string        // how far it is, in a few words
}

func (a *Again) Error() string { return "not ended yet: " + a.State }

// Call is one thing asked of Hands.
type Call struct {
	Execution   string            // id of the execution
	Step        string            // path of the step: "outer/inner", "loop[2]/inner", "command/plugin"
	Token       string            // idempotency token: the same for all attempts and after every crash, 64 hex digits
	Attempt     int               // from 1
	Action      string            // "aws:runShellScript", "aws:executeAwsApi" ...
	Inputs      map[string]any    // resolved: strings, float64, int64, bool, []any, map[string]any
	Timeout     time.Duration     // what is left of the step's time, also in the context; 0 means no limit
	Environment map[string]string // of shell plugins: the Command document's parameters, as SSM_NAME
	Instances   []string          // of shell plugins: aws:runCommand's InstanceIds; empty means this host
	Document    string            // of shell plugins and aws:executeScript: the document that the step is of, and
	Version     string            // the hash of its text
	AssumeRole  string            // of the Automation document, resolved
	Account     string            // of the execution: where what it is about happened; "" where nobody said
	Region      string            // likewise
}

// Sender is implemented by Hands that carry out a whole aws:runCommand or aws:executeAutomation themselves (as AWS does, by
// SendCommand and StartAutomationExecution). Where Sends says true, the step goes to Hands as one Call with that Action; else
// the document's own steps are run. It is asked before the first step too, then like Able.
type Sender interface {
	Sends(c Call) bool
}

// Able is implemented by Hands that can't do every call: Able returns why not, or nil. References in the inputs are resolved
// as far as that is possible before the first step, that is to parameters; others stand as they are written. An execution that would meet such a step is refused before its first one; in Observe the plan says so.
type Able interface {
	Able(c Call) error
}

// Gate is asked before each changing call that is about to be made. An error that wraps ErrRefused ends the execution as
// Refused, with its text as the reason; any other error stops Run, and the step is asked for again at the next Run. In Observe
// it is asked too, and what it says is noted in the plan: it must not count the call as made.
type Gate func(ctx context.Context, c Call) error
