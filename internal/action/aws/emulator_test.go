package aws

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"homeostat/automation"
	"homeostat/internal/action/aws/awstest"
)

// emulator is the address of the one that the tests share: each makes its own things in it.
var emulator string

func TestMain(m *testing.M) {
	url, stop, err := awstest.Run()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	emulator = url
	code := m.Run()
	stop()
	os.Exit(code)
}

// world is hands over the emulator.
type world struct {
	*Hands
	t *testing.T
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s, err := Open(t.Context(), Config{Region: "eu-west-1", Endpoint: emulator})
	if err != nil {
		t.Fatal(err)
	}
	return &world{New(s, HandsConfig{Poll: 20 * time.Millisecond}), t}
}

// api calls an operation past the actions, to set the scene and to look at it.
func (w *world) api(service, name string, in map[string]any) map[string]any {
	w.t.Helper()
	out, err := w.Do(w.t.Context(), automation.Call{
		Action: "aws:executeAwsApi", Token: strings.Repeat("5", 64), Inputs: merged(in, map[string]any{"Service": service, "Api": name}),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func merged(ms ...map[string]any) map[string]any {
	out := map[string]any{}
	for _, m := range ms {
		maps.Copy(out, m)
	}
	return out
}

// pick finds one value by its selector.
func (w *world) pick(out map[string]any, selector string) string {
	w.t.Helper()
	v, ok, err := automation.Select(out, selector)
	if err != nil || !ok {
		w.t.Fatalf("%s: %v %v in %v", selector, ok, err, out)
	}
	return text(v)
}

// instance launches an instance and returns its id.
func (w *world) instance(more map[string]any) string {
	w.t.Helper()
	image := w.pick(w.api("ec2", "DescribeImages", nil), "$.Images[0].ImageId")
	out := w.api("ec2", "RunInstances", merged(map[string]any{"ImageId": image, "MinCount": 1, "MaxCount": 1, "InstanceType": "m5.large", "ClientToken": w.t.Name()}, more))
	return w.pick(out, "$.Instances[0].InstanceId")
}

// TestActions takes each action of EC2, CloudFormation and Step Functions through an emulator: what it would do, that it is
// done, and what looking it up says before and after.
func TestActions(t *testing.T) {
	w := newWorld(t)
	id := w.instance(nil)
	machine := w.stateMachine()
	image := w.pick(w.api("ec2", "DescribeImages", nil), "$.Images[0].ImageId")
	token := strings.Repeat("ab", 32)
	for _, tt := range []struct {
		name    string
		call    automation.Call
		would   string
		before  error  // what LookUp says before; nil: it can't tell, or is done
		outputs string // a selector, and what it has afterwards
		want    string
	}{
		{"stop", call("aws:changeInstanceState", "InstanceIds", []any{id}, "DesiredState", "stopped"), "stop the EC2 instances " + id, automation.ErrNotDone, "$.InstanceStates[0]", "stopped"},
		{"start", call("aws:changeInstanceState", "InstanceIds", []any{id}, "DesiredState", "running"), "start the EC2 instances " + id, automation.ErrNotDone, "$.InstanceStates[0]", "running"},
		{"check", call("aws:changeInstanceState", "InstanceIds", []any{id}, "DesiredState", "running", "CheckStateOnly", true), "look whether running: " + id, nil, "$.InstanceStates[0]", "running"},
		{"run", call("aws:runInstances", "ImageId", image, "InstanceType", "t3.micro", "MinInstanceCount", int64(2), "MaxInstanceCount", "2"), "launch EC2 instances", automation.ErrNotDone, "$.InstanceStates[1]", "running"},
		{"image", call("aws:createImage", "InstanceId", id, "ImageName", "golden", "NoReboot", true), `make an image "golden" of EC2 instance ` + id + ", without rebooting it", automation.ErrNotDone, "$.ImageState", "available"},
		{"tags", call("aws:createTags", "ResourceIds", []any{id}, "Tags", []any{map[string]any{"Key": "team", "Value": "core"}}), "tag " + id, automation.ErrNotDone, "", ""},
		{"stack", call("aws:createStack", "StackName", "s1", "TemplateBody", stackTemplate), "create CloudFormation stack s1", automation.ErrNotDone, "$.StackStatus", "CREATE_COMPLETE"},
		{"no stack", call("aws:deleteStack", "StackName", "s1"), "delete CloudFormation stack s1", automation.ErrNotDone, "", ""},
		{"machine", call("aws:executeStateMachine", "stateMachineArn", machine, "input", map[string]any{"a": 1}), "start state machine", automation.ErrNotDone, "$.status", "SUCCEEDED"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.call.Token = strings.Replace(token, "ab", fmt.Sprintf("%02x", len(tt.name)), 1)
			if err := w.Able(tt.call); err != nil {
				t.Fatal(err)
			}
			if would, err := w.Would(t.Context(), tt.call); err != nil || !strings.HasPrefix(would, tt.would) {
				t.Errorf("would %q, %v; want %q", would, err, tt.would)
			}
			if _, err := w.LookUp(t.Context(), tt.call); tt.before != nil && !errors.Is(err, tt.before) {
				t.Errorf("looked up before: %v, want %v", err, tt.before)
			}
			out := w.ends(t.Context(), t, tt.call, w.Do)
			if tt.outputs != "" {
				if got := w.pick(out, tt.outputs); got != tt.want {
					t.Errorf("%s is %s, want %s", tt.outputs, got, tt.want)
				}
			}
			if tt.name == "tags" {
				return // nothing tells whether it was done; it may be done again
			}
			again := w.ends(t.Context(), t, tt.call, w.LookUp)
			if tt.outputs != "" && w.pick(again, tt.outputs) != tt.want {
				t.Errorf("looked up after: %v", again)
			}
		})
	}
}

// ends calls, and looks up what goes on, until it has ended well.
func (w *world) ends(ctx context.Context, t *testing.T, c automation.Call, first func(context.Context, automation.Call) (map[string]any, error)) map[string]any {
	t.Helper()
	out, err := first(ctx, c)
	for range 100 {
		again, ok := errors.AsType[*automation.Again](err)
		if !ok {
			break
		}
		<-time.After(again.After)
		out, err = w.LookUp(ctx, c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func call(action string, in ...any) automation.Call {
	c := automation.Call{Action: action, Inputs: map[string]any{}, Execution: "ex-1", Step: "s"}
	for i := 0; i < len(in); i += 2 {
		c.Inputs[text(in[i])] = in[i+1]
	}
	return c
}

const stackTemplate = `{"Resources": {"T": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "t"}}}}`

// stateMachine makes a state machine that does nothing. The table has no operation for it, as no runbook makes one.
func (w *world) stateMachine() string {
	w.t.Helper()
	arn, err := createStateMachine(w.t.Context(), w.sessions.Of("", ""))
	if err != nil {
		w.t.Fatal(err)
	}
	return arn
}

// TestImageIsDeletedWhole deletes an image with its snapshots, also when it was cut off between the two.
func TestImageIsDeletedWhole(t *testing.T) {
	w := newWorld(t)
	id := w.instance(nil)
	make := call("aws:createImage", "InstanceId", id, "ImageName", "old")
	make.Token = strings.Repeat("1", 64)
	image := w.pick(w.ends(t.Context(), t, make, w.Do), "$.ImageId")
	del := call("aws:deleteImage", "ImageId", image)
	del.Token = strings.Repeat("2", 64)
	if _, err := w.LookUp(t.Context(), del); !errors.Is(err, automation.ErrNotDone) {
		t.Errorf("before: %v", err)
	}
	w.ends(t.Context(), t, del, w.Do)
	w.ends(t.Context(), t, del, w.LookUp)
	left := w.api("ec2", "DescribeSnapshots", map[string]any{"OwnerIds": []any{"self"}, "Filters": []any{map[string]any{"Name": "description", "Values": []any{"*for " + image + "*"}}}})
	if list, _ := left["Snapshots"].([]any); len(list) > 0 {
		t.Errorf("snapshots are left: %v", list)
	}
}

func TestCommandIsSentAndFoundAgain(t *testing.T) {
	w := newWorld(t)
	id := w.instance(nil)
	c := call("aws:runShellScript", "runCommand", []any{`echo "$SSM_Name"`})
	c.Instances, c.Environment, c.Token = []string{id}, map[string]string{"SSM_Name": "it's; rm -rf /"}, strings.Repeat("c", 64)
	if _, err := w.LookUp(t.Context(), c); !errors.Is(err, automation.ErrNotDone) {
		t.Errorf("before: %v", err)
	}
	first := w.ends(t.Context(), t, c, w.Do)
	again := w.ends(t.Context(), t, c, w.LookUp)
	if first["CommandId"] != again["CommandId"] || first["CommandId"] == "" {
		t.Errorf("sent %v, found %v", first, again)
	}
	sent := w.api("ssm", "ListCommands", map[string]any{"CommandId": first["CommandId"]})
	if got := w.pick(sent, "$.Commands[0].Parameters.commands[0]"); got != `export SSM_Name='it'\''s; rm -rf /'` {
		t.Errorf("the parameter went as %s", got)
	}
	whole := call("aws:runCommand", "DocumentName", "AWS-RunShellScript", "InstanceIds", []any{id}, "Parameters", map[string]any{"commands": []any{"uptime"}})
	whole.Token = strings.Repeat("d", 64)
	if !w.Sends(whole) {
		t.Error("a command for an instance isn't sent")
	}
	w.ends(t.Context(), t, whole, w.Do)
	if local := call("aws:runCommand", "DocumentName", "AWS-RunShellScript", "InstanceIds", []any{"host:web-1"}); w.Sends(local) {
		t.Error("a command for this host is sent")
	}
}

func TestAnswersOfTheAPI(t *testing.T) {
	w := newWorld(t)
	id := w.instance(nil)
	c := call("aws:executeAwsApi", "Service", "ec2", "Api", "describe_instances", "InstanceIds", []any{id})
	if w.Effect(c) != automation.Reading {
		t.Error("boto3's spelling isn't known")
	}
	out, err := w.Do(t.Context(), c)
	if err != nil || w.pick(out, "$.Reservations[0].Instances[0].InstanceType") != "m5.large" {
		t.Errorf("%v %v", out, err)
	}
	for selector, want := range map[string]bool{"running": true, "stopped": false} {
		c := call("aws:assertAwsResourceProperty", "Service", "ec2", "Api", "DescribeInstances", "InstanceIds", []any{id},
			"PropertySelector", "$.Reservations[0].Instances[0].State.Name", "DesiredValues", []any{selector})
		if _, err := w.Do(t.Context(), c); (err == nil) != want {
			t.Errorf("assert %s: %v", selector, err)
		}
		c.Action = "aws:waitForAwsResourceProperty"
		_, err := w.Do(t.Context(), c)
		if _, again := errors.AsType[*automation.Again](err); again == want {
			t.Errorf("wait for %s: %v", selector, err)
		}
	}
	c = call("aws:executeAwsApi", "Service", "ec2", "Api", "DescribeInstances", "InstanceIds", []any{"i-0123456789abcdef0"})
	if _, err := w.Do(t.Context(), c); err == nil || !strings.HasPrefix(err.Error(), "EC2 DescribeInstances: InvalidInstanceID.NotFound: ") {
		t.Errorf("an instance that isn't there: %v", err)
	}
	if w.pick(w.api("sts", "GetCallerIdentity", nil), "$.Account") != "123456789012" {
		t.Error("whose account is it?")
	}
}

// TestVolumeIsLookedUp: a ModifyVolume that was cut off is never made twice.
func TestVolumeIsLookedUp(t *testing.T) {
	w := newWorld(t)
	id := w.pick(w.api("ec2", "CreateVolume", map[string]any{"AvailabilityZone": "eu-west-1a", "Size": 8}), "$.VolumeId")
	c := call("aws:executeAwsApi", "Service", "ec2", "Api", "ModifyVolume", "VolumeId", id, "Size", int64(16))
	if _, err := w.LookUp(t.Context(), c); !errors.Is(err, automation.ErrNotDone) {
		t.Errorf("before: %v", err)
	}
	if _, err := w.Do(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if out, err := w.LookUp(t.Context(), c); err != nil || w.pick(out, "$.VolumeModification.TargetSize") != "16" {
		t.Errorf("after: %v %v", out, err)
	}
	c.Inputs["Size"] = int64(32)
	if _, err := w.LookUp(t.Context(), c); !errors.Is(err, automation.ErrUnknown) {
		t.Errorf("another size: %v", err)
	}
}
