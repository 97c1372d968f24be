package aws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"homeostat/automation"
)

// apiActions are the actions that name an operation themselves.
var apiActions = []string{"aws:executeAwsApi", "aws:assertAwsResourceProperty", "aws:waitForAwsResourceProperty"}

// actions is the list of what Automation documents can ask of AWS.
func actions() map[string]action {
	api := action{effect: apiEffect, would: wouldCall, do: callAPI, lookUp: lookUpAPI}
	property := action{effect: apiEffect, would: wouldLook, do: lookAt(false), lookUp: lookUpAPI}
	wait := property
	wait.do = lookAt(true)
	return map[string]action{
		"aws:executeAwsApi":              api,
		"aws:assertAwsResourceProperty":  property,
		"aws:waitForAwsResourceProperty": wait,
		"aws:changeInstanceState":        instanceState(),
		"aws:runInstances":               runInstances(),
		"aws:createImage":                createImage(),
		"aws:copyImage":                  copyImage(),
		"aws:deleteImage":                deleteImage(),
		"aws:createTags":                 createTags(),
		"aws:createStack":                createStack(),
		"aws:deleteStack":                deleteStack(),
		"aws:invokeLambdaFunction":       invokeLambda(),
		"aws:executeStateMachine":        executeStateMachine(),
		"aws:runCommand":                 sendDocument(),
		"aws:runShellScript":             sendScript(),
		"aws:executeAutomation":          startAutomation(),
	}
}

// request is what of a step's inputs goes to the API.
func request(c automation.Call) map[string]any {
	in := maps.Clone(c.Inputs)
	maps.DeleteFunc(in, func(k string, _ any) bool {
		return slices.Contains([]string{"Service", "Api", "PropertySelector", "DesiredValues"}, k)
	})
	return in
}

// apiEffect is the operation's. One that isn't known yet, or not at all, is taken to change something.
func apiEffect(h *Hands, c automation.Call) automation.Effect {
	o, err := h.ops.find(text(c.Inputs["Service"]), text(c.Inputs["Api"]))
	if err != nil {
		return changing
	}
	return o.effect
}

func wouldCall(_ *Hands, c automation.Call) string {
	return fmt.Sprintf("call %s %s with %s", text(c.Inputs["Service"]), text(c.Inputs["Api"]), brief(request(c)))
}

func wouldLook(h *Hands, c automation.Call) string {
	return fmt.Sprintf("%s and look whether %s is %s", wouldCall(h, c), text(c.Inputs["PropertySelector"]), strings.Join(texts(c.Inputs["DesiredValues"]), " or "))
}

// brief is a request as JSON, cut to what a sentence bears.
func brief(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	if len(raw) > 400 {
		return strings.ToValidUTF8(string(raw[:400]), "") + "..."
	}
	return string(raw)
}

func callAPI(ctx context.Context, w *work) (map[string]any, error) {
	service, api := text(w.Inputs["Service"]), text(w.Inputs["Api"])
	in := request(w.Call)
	if is(service, api, "ssm", "SendCommand") && in["Comment"] == nil {
		in["Comment"] = w.comment() // by which it is found again
	}
	if events, ok := in["logEvents"].([]any); ok && is(service, api, "logs", "PutLogEvents") {
		for _, e := range events {
			if m, ok := e.(map[string]any); ok && m["timestamp"] == nil {
				m["timestamp"] = time.Now().UnixMilli() // which no reference of a document can give
			}
		}
	}
	return w.call(ctx, service, api, in)
}

func is(service, api, wantService, wantAPI string) bool {
	return key(service, api) == key(wantService, wantAPI)
}

// lookUpAPI finds out what came of a changing call that was cut off.
func lookUpAPI(ctx context.Context, w *work) (map[string]any, error) {
	service, api := text(w.Inputs["Service"]), text(w.Inputs["Api"])
	o, err := w.ops.find(service, api)
	if err != nil {
		return nil, err
	}
	switch {
	case is(service, api, "ec2", "ModifyVolume"):
		return w.lookUpModifyVolume(ctx)
	case is(service, api, "ec2", "CreateImage"):
		return w.lookUpCreateImage(ctx, text(w.Inputs["Name"]))
	case is(service, api, "ssm", "SendCommand"):
		return w.lookUpSendCommand(ctx)
	case o.again == sameToken:
		return nil, fmt.Errorf("%s %s carries a client token and may be made again: %w", service, api, automation.ErrNotDone)
	case o.again == sameState:
		return nil, fmt.Errorf("%s %s sets a state and may be made again: %w", service, api, automation.ErrNotDone)
	}
	return nil, fmt.Errorf("%s %s was cut off: %w", service, api, automation.ErrUnknown)
}

// lookUpModifyVolume looks at the volume's last modification. EBS takes one in 6 hours, so one that is younger than that and
// has what was asked for is the one.
func (w *work) lookUpModifyVolume(ctx context.Context) (map[string]any, error) {
	id := text(w.Inputs["VolumeId"])
	out, err := w.call(ctx, "ec2", "DescribeVolumesModifications", map[string]any{"VolumeIds": []any{id}})
	if code(err) == "InvalidVolumeModification.NotFound" {
		return nil, fmt.Errorf("volume %s was never modified: %w", id, automation.ErrNotDone)
	}
	if err != nil {
		return nil, err
	}
	list, _ := out["VolumesModifications"].([]any)
	if len(list) == 0 {
		return nil, fmt.Errorf("volume %s was never modified: %w", id, automation.ErrNotDone)
	}
	last, _ := list[0].(map[string]any)
	began, err := time.Parse(time.RFC3339Nano, text(last["StartTime"]))
	if err != nil || time.Since(began) > 6*time.Hour {
		return nil, fmt.Errorf("volume %s was not modified in the last 6 hours: %w", id, automation.ErrNotDone)
	}
	for _, m := range []struct{ want, got string }{{"Size", "TargetSize"}, {"VolumeType", "TargetVolumeType"}, {"Iops", "TargetIops"}, {"Throughput", "TargetThroughput"}} {
		if want := text(w.Inputs[m.want]); want != "" && want != text(last[m.got]) {
			return nil, fmt.Errorf("volume %s was modified at %v, but to another %s (%s): %w", id, began, m.want, text(last[m.got]), automation.ErrUnknown)
		}
	}
	if last["ModificationState"] == "failed" {
		return map[string]any{"VolumeModification": last}, fmt.Errorf("volume %s: %s: %w", id, text(last["StatusMessage"]), automation.ErrFailed)
	}
	return map[string]any{"VolumeModification": last}, nil
}

// errProperty is what an assertion fails with.
var errProperty = errors.New("not the value that is wanted")

// lookAt compares a property with the values that are wanted. With wait, one that has another value goes on.
func lookAt(wait bool) func(context.Context, *work) (map[string]any, error) {
	return func(ctx context.Context, w *work) (map[string]any, error) {
		out, err := callAPI(ctx, w)
		if err != nil {
			return nil, err
		}
		selector, want := text(w.Inputs["PropertySelector"]), texts(w.Inputs["DesiredValues"])
		got, ok, err := automation.Select(out, selector)
		if err != nil {
			return out, err
		}
		state := selector + " is not there"
		if ok {
			state = selector + " is " + text(got)
			if slices.Contains(want, text(got)) {
				return out, nil
			}
		}
		if wait {
			return out, w.pending("%s, want %s", state, strings.Join(want, " or "))
		}
		return out, fmt.Errorf("%w: %s, want %s", errProperty, state, strings.Join(want, " or "))
	}
}
