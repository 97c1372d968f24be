package automation

import (
	"context"
	"time"
)

// The states of executions and steps, as Systems Manager spells them; Refused is ours: a gate said no.
const (
	InProgress = "InProgress"
	Waiting    = "Waiting" // for a timer, an approval, or a person
	Success    = "Success"
	TimedOut   = "TimedOut"
	Cancelled  = "Cancelled"
	Failed     = "Failed"
	Refused    = "Refused"
)

// Entry is what the journal has about one step.
type Entry struct {
	Path     string // of the step within the execution: "outer/inner", "loop[2]/inner", "command/plugin"; "command#2/plugin" of its second attempt
	Action   string
	Effect   Effect
	State    string // InProgress and Waiting are open; all others are ended
	Attempt  int    // from 1
	Token    string // the call's idempotency token
	Began    time.Time
	Tried    time.Time // when the present attempt began
	Ended    time.Time
	Until    time.Time      // of a Waiting step: when Run is worth calling again at the latest
	Inputs   map[string]any // resolved
	Outputs  map[string]any
	Would    string // in Observe: what a changing step would have done; it was not done
	Error    string // why it did not succeed
	Note     string // what a reader should know: which way a branch went, and why
	Next     string // name of the step that follows; "" after the last
	Document string // of aws:executeAutomation and aws:runCommand: the document, and the version that it began with
	Version  string
	Approval *ApprovalRequest // of a Waiting step: what is asked of people

	Maybe []string // in Observe, of a branch that can't be decided: what might follow besides Next
	Heard int      // how many of the Answers have been acted on

	// Answers are what people said to a Waiting step, oldest first. The journal's owner puts them in; Run only reads them.
	Answers []Answer
}

// Open says that the step has not ended.
func (e Entry) Open() bool { return e.State == InProgress || e.State == Waiting }

// ApprovalRequest is a question to people.
type ApprovalRequest struct {
	Step      string   // its path
	Kind      string   // AskApproval, AskResume or AskOutcome
	Message   string   // the question, in a sentence or more
	Approvers []string // who may answer; empty means whoever has the right
	Needed    int      // how many approvals
	Given     []string // who has approved so far
	Expires   time.Time
}

// The kinds of questions.
const (
	AskApproval = "approval" // aws:approve: answers Approve, Reject
	AskResume   = "resume"   // aws:pause: answers Resume, or Reject to stop
	AskOutcome  = "outcome"  // a changing step was cut off: did it work? answers Continue (it did), Retry (do it again), Reject (it failed)
)

// Answer is what a person said to a Waiting step.
type Answer struct {
	Who     string
	Verb    string // Approve, Reject, Resume, Continue, Retry
	Comment string
	At      time.Time
}

// The verbs of an Answer. The first three are signals of Systems Manager.
const (
	Approve  = "Approve"
	Reject   = "Reject"
	Resume   = "Resume"
	Continue = "Continue"
	Retry    = "Retry"
)

// Journal keeps what was intended and what came of it, for one execution. What Intend and Outcome have returned nil for is
// there after a crash. An entry replaces the one of the same path, but never an ended one: Outcome of an ended step is an
// error. Run calls it from one goroutine.
//
// Inputs and Outputs go through JSON well: whole numbers may come back as float64.
type Journal interface {
	// Step returns the entry of a path, with the answers given so far.
	Step(ctx context.Context, path string) (Entry, bool, error)
	// Intend records that a step is about to be done (InProgress) or waits (Waiting).
	Intend(ctx context.Context, e Entry) error
	// Outcome records how a step ended.
	Outcome(ctx context.Context, e Entry) error
}
