package automation_test

import (
	"fmt"
	"strings"
	"testing"

	"homeostat/automation"
	"homeostat/automation/automationtest"
)

// BenchmarkRun: ten steps that are calls, with a journal in memory: what the package itself costs a step.
func BenchmarkRun(b *testing.B) {
	const steps = 10
	var text strings.Builder
	text.WriteString("schemaVersion: '0.3'\nparameters: {Host: {type: String}}\nmainSteps:\n")
	for i := range steps {
		fmt.Fprintf(&text, "- {name: s%d, action: aws:createTags, inputs: {ResourceIds: ['{{ Host }}'], Tags: [{Key: a, Value: '{{ global:DATE }}'}]}}\n", i)
	}
	doc, err := automation.Parse("ten.yaml", []byte(text.String()))
	if err != nil {
		b.Fatal(err)
	}
	h := &automationtest.Hands{}
	x := automation.Execution{ID: "x", Mode: automation.Auto, Parameters: map[string]any{"Host": "i-1"}}
	b.ReportAllocs()
	for b.Loop() {
		r, err := automation.Run(b.Context(), doc, x, automation.World{Hands: h, Journal: &automation.MemoryJournal{}})
		if err != nil || r.State != automation.Success {
			b.Fatal(r, err)
		}
	}
	b.ReportMetric(float64(b.N*steps)/b.Elapsed().Seconds(), "steps/s")
}

// BenchmarkParse: a document of a hundred steps.
func BenchmarkParse(b *testing.B) {
	var text strings.Builder
	text.WriteString("schemaVersion: '0.3'\nparameters: {Host: {type: String}}\nmainSteps:\n")
	for i := range 100 {
		fmt.Fprintf(&text, "- {name: s%d, action: aws:createTags, inputs: {ResourceIds: ['{{ Host }}'], Tags: []}}\n", i)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := automation.Parse("hundred.yaml", []byte(text.String())); err != nil {
			b.Fatal(err)
		}
	}
}
