package signal

import (
	"encoding/json"
	"time"
)

// Entity is the thing that is well or ill, as lists show it.
type Entity struct {
	ID       EntityID          `json:"id"`
	Labels   map[string]string `json:"labels"` // the entity labels: host_id, host_name, os_type ...
	Series   int               `json:"series"` // how many it has
	LastSeen time.Time         `json:"lastSeen"`
}

// Incident is the anomalies and alerts that belong together, from the first one until all is well again. With Head it is the
// detail of the three incident events.
type Incident struct {
	Head
	State    string    `json:"state"` // open, resolved
	Title    string    `json:"title"` // one line that a person woken at night understands
	Opened   time.Time `json:"opened"`
	Updated  time.Time `json:"updated"`
	Resolved time.Time `json:"resolved,omitzero"`
	Members  []Member  `json:"members,omitempty"`
	Note     string    `json:"note,omitempty"` // why it is still open, or who resolved it and why
}

// Member is one anomaly, alert, unusual access or foreseen breach of an incident.
type Member struct {
	ID       string          `json:"id"`
	Kind     string          `json:"kind"` // anomaly, alert, access, breach
	Title    string          `json:"title"`
	Severity Severity        `json:"severity"`
	Began    time.Time       `json:"began"`
	Ended    time.Time       `json:"ended,omitzero"`
	Detail   json.RawMessage `json:"detail,omitempty"` // as last told; left out of lists and events
}

// The states of an execution and of a step, as Systems Manager has them, and Refused, which is ours: a guard said no.
const (
	Pending    = "Pending"
	InProgress = "InProgress"
	Waiting    = "Waiting" // for approval, a timer, or a person
	Success    = "Success"
	TimedOut   = "TimedOut"
	Cancelling = "Cancelling"
	Cancelled  = "Cancelled"
	Failed     = "Failed"
	Refused    = "Refused"
)

// Execution is one run of a runbook. With Head it is the detail of the execution events.
type Execution struct {
	Head
	Runbook    string         `json:"runbook"`
	Version    string         `json:"version"` // the hash of the document's text
	Mode       Mode           `json:"mode"`
	Route      string         `json:"route,omitempty"` // "" when a person started it
	Event      string         `json:"event,omitempty"` // id of the event that started it
	By         string         `json:"by"`              // "route NAME", or the token's name
	State      string         `json:"state"`
	Step       string         `json:"step,omitempty"` // the step that it is at, or that decided its end
	Outcome    string         `json:"outcome,omitempty"`
	Reason     string         `json:"reason,omitempty"`
	Parameters map[string]any `json:"parameters,omitempty"`
	Outputs    map[string]any `json:"outputs,omitempty"`
	Began      time.Time      `json:"began"`
	Ended      time.Time      `json:"ended,omitzero"`
	Verify     string         `json:"verify,omitempty"` // "", pending, passed, failed, skipped
	Steps      []Step         `json:"steps,omitempty"`
	Approval   *Approval      `json:"approval,omitempty"` // what it waits for, where it does
}

// Step is one step of an execution, as its journal has it.
type Step struct {
	ID      string         `json:"id"`
	Name    string         `json:"name"` // "outer/inner" within a nested document
	Action  string         `json:"action"`
	Effect  string         `json:"effect"` // reading, changing
	State   string         `json:"state"`
	Attempt int            `json:"attempt"`
	Began   time.Time      `json:"began,omitzero"`
	Ended   time.Time      `json:"ended,omitzero"`
	Inputs  map[string]any `json:"inputs,omitempty"`
	Outputs map[string]any `json:"outputs,omitempty"`
	Would   string         `json:"would,omitempty"` // in observe mode: what would have been done
	Note    string         `json:"note,omitempty"`  // which way a branch went, what it waits for
	Error   string         `json:"error,omitempty"`
}

// Approval is what a waiting execution asks of people.
type Approval struct {
	Step      string    `json:"step"`
	Kind      string    `json:"kind,omitempty"` // AskApproval, AskResume or AskOutcome
	Message   string    `json:"message"`
	Approvers []string  `json:"approvers,omitempty"`
	Needed    int       `json:"needed"`
	Given     []string  `json:"given,omitempty"`
	Expires   time.Time `json:"expires"`
}

// The kinds of what an execution asks of people.
const (
	AskApproval = "approval" // may it? approve or reject
	AskResume   = "resume"   // it is paused: continue or reject
	AskOutcome  = "outcome"  // a change was cut off: continue (it took effect), continue with retry (do it again) or reject (it failed)
)

// Query asks for a page of a list, oldest first. Zero fields don't restrict.
type Query struct {
	After    string // id or cursor that the page before ended with
	Limit    int    // 100 when 0, 1,000 at most
	Entity   EntityID
	Incident string
	Type     string // detail-type of events
	State    string
	Newest   bool // newest first, for the console
}

// AuditEntry is one line of the audit log: who or what did what to what, and why.
type AuditEntry struct {
	Seq     int64           `json:"seq,omitempty"` // from 1, without gaps; made by the log
	Time    time.Time       `json:"time"`
	Actor   string          `json:"actor"` // "ana", "local", "route high-cpu", "homeostat"
	Verb    string          `json:"verb"`  // "publish", "approve", "step.intent", "step.outcome", "pause" ...
	Subject string          `json:"subject"`
	Reason  string          `json:"reason,omitempty"`
	Detail  json.RawMessage `json:"detail,omitempty"`
	Hash    string          `json:"hash,omitempty"` // over the entry and the hash before it; made by the log
}

// Link is one thing in the causal chain that `homeostat why` walks: what it is in a sentence, and what caused it.
type Link struct {
	ID    string    `json:"id"`
	Kind  string    `json:"kind"` // batch, anomaly, alert, event, incident, execution, step, verify, notice
	Time  time.Time `json:"time"`
	Text  string    `json:"text"` // a sentence that a tired person understands
	Cause []string  `json:"cause"`
}

// Stage says how one stage of the loop is doing, for /readyz and the console.
type Stage struct {
	Name    string  `json:"name"`
	Ready   bool    `json:"ready"`
	State   string  `json:"state"` // "ok", or what is wrong in a few words
	Rate    float64 `json:"rate"`  // items a second over the last minute
	Lag     float64 `json:"lag"`   // seconds behind, 0 when it has caught up
	Dropped uint64  `json:"dropped"`
}
