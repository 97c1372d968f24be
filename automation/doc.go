// Package automation parses, validates and runs AWS Systems Manager documents: Automation (schema 0.3) and Command (2.2).
//
// [Parse] reads a document, JSON or YAML, and refuses what AWS's CreateDocument refuses: all mistakes at once, each with its
// line and column. [Run] carries one execution of it forward: step after step, until it ends or has to wait for a timer, an
// approval or a person; the caller then calls Run again. What a step asks of the world goes to [Hands]; what was intended and
// what came of it goes to a [Journal]. So the package knows steps, not AWS and no database.
//
//	doc, err := automation.Parse("restart.yaml", text)
//	result, err := automation.Run(ctx, doc, automation.Execution{ID: "ex-1", Mode: automation.Auto}, automation.World{Hands: hands, Journal: journal})
//
// # What holds
//
// A step whose outcome is in the journal is never run again, however often Run is called and wherever the process died. A
// step that only reads, cut off in the middle, is repeated. A step that changes something, cut off between its intent and its
// outcome, is never repeated blindly: [Hands] looks up what came of it, and where that can't be known the execution waits for
// a person. In [Observe], the zero [Mode], no changing step reaches [Hands].Do: the journal says what it would have done.
//
// A value reaches a shell script as data: as the environment variable SSM_NAME. Where an author writes {{ Name }} into the
// text of a script, the value has to pass the parameter's allowedPattern or allowedValues, or be made of harmless characters
// only; else the step fails before anything runs.
//
// The documents' language is that of the "AWS Systems Manager Automation actions reference", "Data elements and parameters"
// and "Command document plugin reference". docs/runbooks.md lists what is done with each part of it.
package automation
