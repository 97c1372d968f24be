package action

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"homeostat/automation"
	"homeostat/internal/action/aws"
	"homeostat/internal/action/aws/awstest"
	"homeostat/internal/action/host"
)

// services are all that the allow-list has operations of.
var services = []string{
	"autoscaling", "cloudformation", "cloudwatch", "ec2", "elbv2", "events", "iam", "imagebuilder", "inspector2", "kinesis", "lambda",
	"logs", "sagemaker", "service-quotas", "sns", "ssm", "stepfunctions", "sts",
}

// reads says by an operation's name alone that it can't change anything.
func reads(operation string) bool {
	return operation == "StartQuery" || slices.ContainsFunc([]string{"Describe", "Get", "List", "Filter", "BatchGet"}, func(p string) bool { return strings.HasPrefix(operation, p) })
}

// observed is a world that takes note of what is changed in it: a host, AWS, and what webhooks reach.
type observed struct {
	hands *Hands
	dir   string                    // in which every script leaves a file
	ops   map[string][]string       // the operations that may be called, by service
	model map[string]*awstest.Model // by service
	hooks int
}

// newObserved makes the world. The fakes of AWS fail the test when they are called for anything but what reads.
func newObserved(t *testing.T) *observed {
	t.Helper()
	awstest.Credentials(t)
	o := &observed{dir: t.TempDir(), ops: map[string][]string{}, model: map[string]*awstest.Model{}}
	none := func(string) bool { return false }
	answers := map[string]map[string]any{}
	for _, s := range services {
		m := awstest.LoadModel(t, s)
		o.model[s], answers[s] = m, map[string]any{}
		for _, name := range slices.Sorted(maps.Keys(m.Operations)) {
			if Known(automation.Call{Action: "aws:executeAwsApi", Inputs: map[string]any{"Service": s, "Api": name, "x": "{{ x }}"}}) != nil {
				continue
			}
			o.ops[s] = append(o.ops[s], name)
			if out := m.Operations[name].Output; reads(name) {
				answers[s][name] = map[string]any{}
				if out != nil {
					answers[s][name] = m.Sample(out.Shape, 5, none)
				}
			}
		}
	}
	answers["ssm"]["GetParameters"] = map[string]any{"Parameters": []any{map[string]any{"Name": "/name", "Type": "String", "Value": "x"}}}
	url, fakes := awstest.ServeAll(t, answers)
	for _, f := range fakes {
		f.Lenient = true
	}
	sessions, err := aws.Open(t.Context(), aws.Config{Region: "eu-west-1", Endpoint: url})
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(t.TempDir(), "homeostat")
	if err := os.WriteFile(bin, []byte("#!/bin/sh\necho '{}'\ncase $2 in top|find-*|report-*|*-well) ;; ask-person) exit 1 ;; *) touch '"+o.dir+"'/verb ;; esac\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	h, err := host.New(host.Config{Entity: "host:here", Bin: bin, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	hook := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { o.hooks++ }))
	t.Cleanup(hook.Close)
	o.hands = &Hands{Host: h, AWS: aws.New(sessions, aws.HandsConfig{Poll: time.Millisecond, Local: func(name string) bool { return name == "Local" }}), Webhooks: Webhooks{"hook": hook.URL}}
	return o
}

// verbs are what our own scripts may call, and scripts that do more than that.
var verbs = []string{
	"top", "find-runaway", "find-leak", "report-memory", "report-disk", "memory-well", "disk-well", "ask-person",
	"end", "restart", "collect", "drop-caches", "clean", "rotate", "grow",
}

// value is what stands in an input: anything that people, events and earlier steps may put there.
func (o *observed) value(t *rapid.T, refs []string) any {
	return rapid.OneOf(
		rapid.SampledFrom(refs),
		rapid.SampledFrom([]string{"i-0123456789abcdef0", "host:here", "x", "", "true", "7", "DryRun", "$(touch '" + o.dir + "/value')", "; touch '" + o.dir + "/value' #"}),
	).Draw(t, "value")
}

// changing are what has to be told for the test to say anything, so that they come often.
var changing = []string{"aws:executeAwsApi", "aws:executeScript", "aws:runShellScript", "aws:invokeWebhook", "aws:changeInstanceState", "aws:runCommand"}

// step makes a random step.
func (o *observed) step(t *rapid.T, name string, refs []string) map[string]any {
	v := func() any { return o.value(t, refs) }
	touch := fmt.Sprintf("touch '%s/%s'", o.dir, name)
	inputs := map[string]map[string]any{
		"aws:changeInstanceState":  {"InstanceIds": []any{v()}, "DesiredState": rapid.SampledFrom([]string{"running", "stopped", "terminated"}).Draw(t, "state"), "CheckStateOnly": rapid.Bool().Draw(t, "check")},
		"aws:runInstances":         {"ImageId": v(), "InstanceType": v()},
		"aws:createImage":          {"InstanceId": v(), "ImageName": v()},
		"aws:copyImage":            {"SourceRegion": v(), "SourceImageId": v(), "ImageName": v()},
		"aws:deleteImage":          {"ImageId": v()},
		"aws:createTags":           {"ResourceIds": []any{v()}, "Tags": []any{map[string]any{"Key": v(), "Value": v()}}},
		"aws:createStack":          {"StackName": v(), "TemplateBody": v()},
		"aws:deleteStack":          {"StackName": v()},
		"aws:invokeLambdaFunction": {"FunctionName": v(), "Payload": v(), "InvocationType": rapid.SampledFrom([]string{"RequestResponse", "Event"}).Draw(t, "type")},
		"aws:executeStateMachine":  {"stateMachineArn": v(), "input": v()},
		"aws:invokeWebhook":        {"IntegrationName": "hook", "Body": v()},
		"aws:executeScript":        {"Runtime": "python3.11", "Handler": "main", "InputPayload": map[string]any{"v": v()}, "Script": "open('" + o.dir + "/" + name + "', 'w')\ndef main(e, c):\n    return e\n"},
		"aws:runCommand": rapid.SampledFrom([]map[string]any{
			{"DocumentName": "AWS-RunShellScript", "Parameters": map[string]any{"commands": []any{touch}}},
			{"DocumentName": "AWS-RunShellScript", "InstanceIds": []any{v()}, "Parameters": map[string]any{"commands": []any{touch}}},
			{"DocumentName": "AWS-RunShellScript", "Targets": []any{map[string]any{"Key": "tag:a", "Values": []any{"b"}}}, "Parameters": map[string]any{"commands": []any{touch}}},
			{"DocumentName": "Theirs", "InstanceIds": []any{"i-0123456789abcdef0"}},
			{"DocumentName": "Local", "Parameters": map[string]any{"Word": v()}},
			{"DocumentName": "Local", "InstanceIds": []any{"i-0123456789abcdef0"}, "Parameters": map[string]any{"Word": v()}},
		}).Draw(t, "command"),
		"aws:executeAutomation": {"DocumentName": rapid.SampledFrom([]string{"Theirs", "Inner"}).Draw(t, "document")},
		"aws:sleep":             {"Duration": "PT0S"},
		"aws:pause":             {},
		"aws:approve":           {"Approvers": []any{"ana"}},
	}
	api := rapid.SampledFrom([]string{"aws:executeAwsApi", "aws:assertAwsResourceProperty", "aws:waitForAwsResourceProperty"})
	action := rapid.OneOf(rapid.SampledFrom(slices.Sorted(maps.Keys(inputs))), api, rapid.SampledFrom(changing)).Draw(t, "action")
	in, ok := inputs[action]
	switch {
	case action == "aws:runShellScript": // a step of a Command document
		action, in = "aws:runCommand", map[string]any{"DocumentName": "Local", "Parameters": map[string]any{"Word": v()}}
	case !ok:
		in = o.request(t, v)
		if action != "aws:executeAwsApi" {
			in["PropertySelector"], in["DesiredValues"] = "$.x", []any{v()}
		}
	}
	s := map[string]any{"name": name, "action": action, "inputs": in, "onFailure": "Continue", "maxAttempts": rapid.IntRange(1, 2).Draw(t, "attempts")}
	if rapid.Bool().Draw(t, "output") && action == "aws:executeAwsApi" {
		s["outputs"] = []any{map[string]any{"Name": "Out", "Selector": "$..*", "Type": "StringList"}}
	}
	return s
}

// request is one of an operation in the list: with all that its model has, or with what comes. Or the operation is only known
// when it runs.
func (o *observed) request(t *rapid.T, v func() any) map[string]any {
	service := rapid.SampledFrom(services).Draw(t, "service")
	name := rapid.SampledFrom(o.ops[service]).Draw(t, "operation")
	in := map[string]any{}
	if input := o.model[service].Operations[name].Input; input != nil {
		if sample, ok := o.model[service].Sample(input.Shape, 3, func(string) bool { return rapid.IntRange(0, 3).Draw(t, "less") == 0 }).(map[string]any); ok {
			in = sample
		}
		for member := range in {
			if _, text := in[member].(string); text && rapid.Bool().Draw(t, "other value") {
				in[member] = v()
			}
		}
	}
	in["Service"], in["Api"] = service, name
	switch rapid.IntRange(0, 9).Draw(t, "name") {
	case 0:
		in["Api"] = "{{ Api }}"
	case 1:
		in["Service"], in["Api"] = v(), v()
	}
	return in
}

// document makes a random Automation document, a valid one.
func (o *observed) document(t *rapid.T, name string, steps int) *automation.Document {
	refs := []string{"{{ Event }}", "{{ global:DATE }}", "{{ ssm:/name }}", "{{ automation:EXECUTION_ID }}"}
	var list []any
	for i := range rapid.IntRange(1, steps).Draw(t, "steps") {
		s := o.step(t, fmt.Sprint("s", i), refs)
		if s["outputs"] != nil {
			refs = append(refs, fmt.Sprintf("{{ s%d.Out }}", i))
		}
		if rapid.IntRange(0, 7).Draw(t, "loop") == 0 {
			s["name"] = fmt.Sprint("in", i)
			s = map[string]any{"name": fmt.Sprint("s", i), "action": "aws:loop", "inputs": map[string]any{"Iterators": []any{"a", "b"}, "IteratorDataType": "String", "Steps": []any{s}}}
			refs = refs[:4]
		}
		list = append(list, s)
	}
	text, err := yaml.Marshal(map[string]any{
		"schemaVersion": "0.3", "mainSteps": list,
		"parameters": map[string]any{"Event": map[string]any{"type": "String", "default": "x"}, "Api": map[string]any{"type": "String", "default": "TerminateInstances"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	d, err := automation.Parse(name+".yaml", text)
	if err != nil {
		t.Fatal(err) // what is refused proves nothing
	}
	return d
}

// documents finds documents by name.
type documents map[string]*automation.Document

func (d documents) Document(name, _ string) (*automation.Document, error) {
	if doc, ok := d[name]; ok {
		return doc, nil
	}
	return nil, automation.ErrNoDocument
}

// TestObserveChangesNothing: whatever the document, its parameters and what AWS answers, in mode observe, and in no mode at all,
// nothing is changed: no operation is called but what reads, no script runs but a reading verb of ours, no webhook is sent.
func TestObserveChangesNothing(t *testing.T) {
	o := newObserved(t)
	told := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		doc := o.document(rt, "Main", 6)
		verb := rapid.SampledFrom(verbs).Draw(rt, "verb")
		more := rapid.SampledFrom([]string{"", "; touch '" + o.dir + "/more'", " && touch '" + o.dir + "/more'", " {{ Word }}"}).Draw(rt, "more")
		local, err := automation.Parse("Local.yaml", []byte("schemaVersion: '2.2'\nparameters: {Word: {type: String, default: x}}\nmainSteps: [{action: aws:runShellScript, name: say, inputs: {runCommand: [\"exec \\\"$HOMEOSTAT_BIN\\\" host "+verb+more+"\"]}}]\n"))
		if err != nil {
			rt.Fatal(err)
		}
		docs := documents{"Local": local, "Inner": o.document(rt, "Inner", 3)}
		params, err := doc.Bind(map[string]any{
			"Event": o.value(rt, []string{"{{ ssm:/x }}"}), "Api": rapid.SampledFrom([]string{"TerminateInstances", "DescribeInstances", "StopInstances"}).Draw(rt, "api"),
		})
		if err != nil {
			rt.Fatal(err)
		}
		var j automation.MemoryJournal
		for range 3 { // what waits is taken up again
			_, err = automation.Run(t.Context(), doc, automation.Execution{
				ID: "ex-1", Parameters: params, Mode: rapid.SampledFrom([]automation.Mode{automation.Observe, ""}).Draw(rt, "mode"), Began: time.Now(),
			}, automation.World{Hands: o.hands, Journal: &j, Documents: docs})
			if err != nil {
				rt.Fatal(err)
			}
		}
		for _, e := range j.Entries() {
			if e.Would != "" {
				told[e.Action]++
			}
		}
		if left, err := os.ReadDir(o.dir); err != nil || len(left) > 0 || o.hooks > 0 {
			rt.Fatalf("changed: %v, %d webhooks, %v", left, o.hooks, err)
		}
	})
	for _, action := range changing {
		if told[action] == 0 {
			t.Errorf("no %s was ever told: the test says nothing of it (%v)", action, told)
		}
	}
}

// TestAutoChangesWhatObserveTells: the world of the test above does notice what is changed in it.
func TestAutoChangesWhatObserveTells(t *testing.T) {
	dir := t.TempDir()
	h, err := host.New(host.Config{Entity: "host:here", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	hands := &Hands{Host: h, AWS: aws.New(nil, aws.HandsConfig{})}
	d, err := automation.Parse("d.yaml", []byte("schemaVersion: '0.3'\nmainSteps: [{name: a, action: aws:runCommand, inputs: {DocumentName: AWS-RunShellScript, Parameters: {commands: [\"touch '"+dir+"/a'\"]}}}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[automation.Mode]bool{automation.Observe: false, automation.Auto: true} {
		var j automation.MemoryJournal
		if _, err := automation.Run(t.Context(), d, automation.Execution{ID: "x", Mode: mode}, automation.World{Hands: hands, Journal: &j}); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "a")); errors.Is(err, os.ErrNotExist) == want {
			t.Errorf("%s: %v", mode, err)
		}
		_ = os.Remove(filepath.Join(dir, "a"))
	}
}
