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
	// LookUp says what came of a changing call that was cut off: its response (and error) when it is known to have ended, an
	// error wrapping ErrNotDone when it had no effect, one wrapping ErrUnknown when that can't be known.
	LookUp(ctx context.Context, c Call) (map[string]any, error)
}

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
	AssumeRole  string            // of the Automation document, resolved
}

// Sender is implemented by Hands that carry out a whole aws:runCommand themselves (as AWS does, by SendCommand). Where Sends
// says true, the step goes to Hands as one Call with Action "aws:runCommand"; else plugin by plugin.
type Sender interface {
	Sends(c Call) bool
}

// Gate is asked before each changing call that is about to be made. An error that wraps ErrRefused ends the execution as
// Refused, with its text as the reason; any other error stops Run, and the step is asked for again at the next Run.
type Gate func(ctx context.Context, c Call) error
