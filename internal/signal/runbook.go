package signal

import "time"

// Runbook is an SSM document, as lists show it.
type Runbook struct {
	Name        string             `json:"name"`
	Version     string             `json:"version"` // the hash of the document's text
	Kind        string             `json:"kind"`    // automation, command
	Origin      string             `json:"origin"`  // "built-in", or the file's path
	Description string             `json:"description,omitempty"`
	Parameters  []RunbookParameter `json:"parameters,omitempty"`
	Steps       []RunbookStep      `json:"steps,omitempty"`
	Ways        []RunbookWay       `json:"ways,omitempty"`     // between its steps
	Routes      []string           `json:"routes,omitempty"`   // that start it
	Warnings    []string           `json:"warnings,omitempty"` // what has no effect, or is risky; each with its place
	Text        string             `json:"text,omitempty"`     // the document; left out of lists
	Held        []Hold             `json:"held,omitempty"`     // where it asks before it acts, whatever its route says
}

// Hold says that a runbook has failed verification on an entity so often that it asks a person before it acts there again,
// until somebody resets it.
type Hold struct {
	Runbook   string    `json:"runbook"`
	Entity    EntityID  `json:"entity"`
	Failed    int       `json:"failed"`    // how often verification failed
	Execution string    `json:"execution"` // the last one that failed
	Since     time.Time `json:"since"`
}

// RunbookParameter is what a runbook asks for.
type RunbookParameter struct {
	Name        string `json:"name"`
	Type        string `json:"type"`
	Description string `json:"description,omitempty"`
	Default     any    `json:"default,omitempty"`
	Required    bool   `json:"required"`
}

// RunbookStep is one step of a runbook as written.
type RunbookStep struct {
	Name   string `json:"name"`
	Action string `json:"action"`
	Effect string `json:"effect"` // reading, changing
}

// RunbookWay is one way from a step of a runbook to another.
type RunbookWay struct {
	From string `json:"from"`
	To   string `json:"to"`             // "" is the end
	When string `json:"when,omitempty"` // "" after success; else failure, cancel, or a branch's choice in words
}

// Start is a person's wish to run a runbook.
type Start struct {
	Runbook    string         `json:"runbook"`
	Entity     EntityID       `json:"entity,omitempty"`
	Mode       Mode           `json:"mode,omitempty"` // Observe when ""
	Parameters map[string]any `json:"parameters,omitempty"`
	Reason     string         `json:"reason,omitempty"`
	By         string         `json:"by"`
	Rate       *RateControl   `json:"rate,omitempty"` // nil: once
}

// RateControl has a runbook run once for each of several targets, as Systems Manager has it.
type RateControl struct {
	Targets        []RateTarget `json:"targets" minItems:"1" maxItems:"5" doc:"What to run it for."`
	Parameter      string       `json:"target_parameter_name,omitempty" doc:"The runbook's parameter that each target goes into; Entity when left out."`
	MaxConcurrency string       `json:"max_concurrency,omitempty" doc:"How many at once, counting those that wait: a number or a percentage; 10 when left out."`
	MaxErrors      string       `json:"max_errors,omitempty" doc:"How many may fail before no more are begun: a number or a percentage; 0 when left out."`
}

// RateTarget names targets.
type RateTarget struct {
	Key    string   `json:"key" maxLength:"200" doc:"ParameterValues for a list of values; tag:NAME for the entities that are watched and have one of the values as that label or tag."`
	Values []string `json:"values" minItems:"1" maxItems:"1000"`
}

// Guards is what must hold before a step that changes something may run, and whom it asks. In a route's target, each key
// that is given takes the place of the one under guards; freezes and conditions are added to those there.
type Guards struct {
	// Between two executions of one runbook that act on one entity.
	Cooldown time.Duration `json:"cooldown,omitempty" yaml:"cooldown"`
	// Executions that act at once.
	Concurrent int `json:"concurrent,omitempty" yaml:"concurrent"`
	// How many of a group's entities may be acted on within the cooldown: a share of them, rounded up to one (25%), or a number.
	BlastRadius string `json:"blast_radius,omitempty" yaml:"blast_radius"`
	// Labels and tags that the entities of a group have in common, such as [service_name]; without any, a group is all entities of one kind.
	Group []string `json:"group,omitempty" yaml:"group"`
	// iCalendar files, those of SSM Change Calendar too, and ARNs of Change Calendars, which are asked: while an event goes on (or, of a calendar that is closed by default, while none does), nothing is changed.
	Freezes []string `json:"freezes,omitempty" yaml:"freezes"`
	// A CEL condition over event, entity, time and history. It must be true.
	Condition string `json:"condition,omitempty" yaml:"condition"`
	// Names of the tokens that may approve; whoever has the role approver when there is none.
	Approvers []string `json:"approvers,omitempty" yaml:"approvers"`
	// How many different people must approve; 1 when 0.
	Approvals int `json:"approvals,omitempty" yaml:"approvals"`
	// Whether documents may run scripts of their own (aws:executeScript) in mode auto.
	Scripts bool `json:"scripts,omitempty" yaml:"scripts"`
}

// Learning says how far a detector is with one entity.
type Learning struct {
	Detector   string    `json:"detector"`
	Kind       string    `json:"kind"`
	Entity     EntityID  `json:"entity"`
	Confidence float64   `json:"confidence"` // 0 to 1, how much of what it wants it has seen
	Since      time.Time `json:"since,omitzero"`
	Note       string    `json:"note,omitempty"` // "learning", "watching", or what it waits for
}

// Rehearsal is what would have been done with today's rules, detectors, routes and guards over what is stored.
type Rehearsal struct {
	From       time.Time            `json:"from"`
	To         time.Time            `json:"to"`
	Events     map[string]int       `json:"events"` // by detail-type
	Notices    int                  `json:"notices"`
	Runbooks   []RehearsedRunbook   `json:"runbooks"`
	Executions []RehearsedExecution `json:"executions"` // oldest first; the first 10,000
}

// RehearsedRunbook sums up what one route would have done with one runbook.
type RehearsedRunbook struct {
	Runbook  string         `json:"runbook"`
	Route    string         `json:"route"`
	Mode     Mode           `json:"mode"`
	Started  int            `json:"started"`
	Done     int            `json:"done"`              // acted by itself, in mode auto
	Asked    int            `json:"asked"`             // would have asked a person
	Observed int            `json:"observed"`          // would have said what it would do
	Refused  map[string]int `json:"refused,omitempty"` // by guard
}

// RehearsedExecution is one execution that would have been begun.
type RehearsedExecution struct {
	Time     time.Time `json:"time"`
	Runbook  string    `json:"runbook"`
	Route    string    `json:"route"`
	Entity   EntityID  `json:"entity"`
	Mode     Mode      `json:"mode"`
	Incident string    `json:"incident,omitempty"`
	Why      string    `json:"why"`     // what the event tells
	Outcome  string    `json:"outcome"` // done, asked, observed, refused
	Guard    string    `json:"guard,omitempty"`
	Reason   string    `json:"reason,omitempty"` // of the refusal
}
