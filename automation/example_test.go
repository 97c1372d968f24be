package automation_test

import (
	"context"
	"fmt"
	"log"

	"homeostat/automation"
	"homeostat/automation/automationtest"
)

// A document with mistakes is refused with all of them, each with its place.
func ExampleParse() {
	_, err := automation.Parse("stop.yaml", []byte(`
schemaVersion: '0.3'
mainSteps:
  - name: stop
    action: aws:changeInstanceStat
  - name: wait
    action: aws:sleep
    inputs: {Duration: 5 minutes}
`))
	fmt.Println(err)
	// Output:
	// stop.yaml:5:13: step "stop": "aws:changeInstanceStat" is not an action; did you mean "aws:changeInstanceState"?
	// stop.yaml:8:24: step "wait".Duration: an ISO 8601 duration such as PT10M is wanted, not "5 minutes"
}

const restart = `
schemaVersion: '0.3'
parameters:
  Unit: {type: String, allowedPattern: '[a-z0-9-]+'}
mainSteps:
  - name: check
    action: aws:runCommand
    inputs:
      DocumentName: AWS-RunShellScript
      Parameters: {commands: ['systemctl is-active {{ Unit }}']}
  - name: healthy
    action: aws:branch
    inputs:
      Choices: [{NextStep: done, Variable: '{{ check.Output }}', StringEquals: active}]
      Default: restart
  - name: restart
    action: aws:runCommand
    inputs:
      DocumentName: AWS-RunShellScript
      Parameters: {commands: ['systemctl restart {{ Unit }}']}
  - name: done
    action: aws:sleep
    inputs: {Duration: PT0S}
`

// In Observe an execution really reads, and says what it would change.
func ExampleRun() {
	doc, err := automation.Parse("restart.yaml", []byte(restart))
	if err != nil {
		log.Fatal(err)
	}
	params, err := doc.Bind(map[string]any{"Unit": "web"})
	if err != nil {
		log.Fatal(err)
	}
	hands := &automationtest.Hands{Steps: map[string]automationtest.Answer{
		"check/runShellScript":   {Effect: automation.Reading, Outputs: []map[string]any{{"Output": "failed\n", "ResponseCode": 3}}},
		"restart/runShellScript": {Would: "run: systemctl restart web"},
	}}
	journal := &automation.MemoryJournal{}
	result, err := automation.Run(context.Background(), doc,
		automation.Execution{ID: "ex-1", Parameters: params, Mode: automation.Observe},
		automation.World{Hands: hands, Journal: journal})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.State)
	for _, e := range journal.Entries() {
		if e.Would != "" && e.Action == "aws:runCommand" {
			fmt.Println("would", e.Would)
		}
	}
	// Output:
	// Success
	// would run: systemctl restart web
}

// The graph of a document's steps, for drawing.
func ExampleWays() {
	doc, err := automation.Parse("restart.yaml", []byte(restart))
	if err != nil {
		log.Fatal(err)
	}
	for _, w := range automation.Ways(doc.Steps) {
		fmt.Printf("%s -> %s [%s]\n", w.From, w.To, w.When)
	}
	// Output:
	// check -> healthy []
	// healthy -> done [{{ check.Output }} is active]
	// healthy -> restart [otherwise]
	// restart -> done []
	// done ->  []
}
