package automation

import (
	"context"
	"errors"
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

// Unknown stands in Observe for the output of a step that was not done. References to it resolve to it, so that the plan can
// go on; its text form is "<output of STEP.Output>".
type Unknown struct {
	Ref string // "step.Output"
}

func (u Unknown) String() string { return "<output of " + u.Ref + ">" }

// MarshalText writes the placeholder, so that journals show it.
func (u Unknown) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// Run carries an execution forward from its journal until it ends or must wait. The error is not nil only when Run itself
// could not go on (the context ended, the journal or the gate broke): nothing is lost then, and Run may be called again.
func Run(ctx context.Context, d *Document, x Execution, w World) (Result, error) {
	return Result{}, errors.New("not yet")
}
