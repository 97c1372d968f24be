package automation

import (
	"errors"
	"go/token"
	"time"
)

// The types of documents.
const (
	TypeAutomation = "Automation" // schema 0.3
	TypeCommand    = "Command"    // schema 2.2
)

// Document is a parsed and valid document. It does not change: one may be run by many goroutines at once.
type Document struct {
	Name          string
	Type          string // TypeAutomation or TypeCommand
	SchemaVersion string
	Description   string
	AssumeRole    string
	Version       string      // hex SHA-256 of the text
	Parameters    []Parameter // in the document's order
	Variables     []Parameter // in the document's order; of Automation
	Steps         []Step
	Outputs       []string          // "step.Output", of Automation
	Files         map[string]string // the attachments that it declares, by name, with the SHA-256 of each in hex; "" where it doesn't say

	warnings []error
	stored   []string // see Stored
}

// Parameter is a declared parameter, or a declared variable.
type Parameter struct {
	Name           string
	Type           string // String, StringList, Integer, Boolean, MapList, StringMap, or an AWS resource type such as List<AWS::EC2::Instance::Id>
	Description    string
	Default        any // nil when there is none: the parameter is then required
	AllowedValues  []any
	AllowedPattern string
	MinItems       *int // of lists and maps
	MaxItems       *int
	MinChars       *int // of strings
	MaxChars       *int
	DisplayType    string
	EnvVar         bool // interpolationType ENV_VAR, of Command: reaches scripts as SSM_NAME only
	Pos            token.Position
}

// Step is one step of an Automation document, or one plugin of a Command document.
type Step struct {
	Name        string
	Action      string         // "aws:branch" ...
	Description string         // free text
	Inputs      map[string]any // as written, references not resolved
	OnFailure   string         // "Abort", "Continue" or "step:NAME"
	OnCancel    string         // "Abort" or "step:NAME"
	NextStep    string         // "" means the one after it
	IsEnd       bool
	IsCritical  bool
	Timeout     time.Duration // over all attempts; 0 means the action's own default
	MaxAttempts int           // 1 or more
	Outputs     []Output
	Steps       []Step // of aws:loop
	// Precondition of a Command plugin: two texts that must be equal, one of them platformType or a reference. Empty: none.
	Precondition []string
	Pos          token.Position
}

// Output is an output that a step declares: a part of the response, by JSONPath.
type Output struct {
	Name     string
	Selector string // "$.Reservations[0].Instances[0].State.Name"
	Type     string // String, StringList, Integer, Boolean, StringMap, MapList
	Pos      token.Position
}

// Warnings are what has no effect here or in AWS, or is risky, without making the document invalid. Each is a *PlaceError.
func (d *Document) Warnings() []error { return d.warnings }

// Parameter returns the declared parameter of that name.
func (d *Document) Parameter(name string) (Parameter, bool) {
	for _, p := range d.Parameters {
		if p.Name == name {
			return p, true
		}
	}
	return Parameter{}, false
}

// PlaceError is a mistake in a document's text: runbooks/cpu.yaml:12:7: steps "end" and "look": ...
type PlaceError struct {
	Pos token.Position // file as Parse was told; line and column from 1, column in bytes
	Err error
}

func (e *PlaceError) Error() string { return e.Pos.String() + ": " + e.Err.Error() }

func (e *PlaceError) Unwrap() error { return e.Err }

// ErrNoDocument is what a Documents returns, wrapped, for a name that it doesn't know.
var ErrNoDocument = errors.New("no such document")

// Documents finds the documents that others name: aws:runCommand's and aws:executeAutomation's DocumentName. An empty version
// means the one to begin with now; a Document.Version means exactly that text, even when there is a newer one.
type Documents interface {
	Document(name, version string) (*Document, error)
}
