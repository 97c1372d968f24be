package aws

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"homeostat/automation"
)

// instanceState is aws:changeInstanceState. It has ended once all instances are in the state.
func instanceState() action {
	apis := map[string]string{"running": "StartInstances", "stopped": "StopInstances", "terminated": "TerminateInstances"}
	return action{
		uses: []string{"ec2 DescribeInstances", "ec2 StartInstances", "ec2 StopInstances", "ec2 TerminateInstances"},
		needs: func(in map[string]any) []string {
			look := []string{"ec2 DescribeInstances"}
			if text(in["CheckStateOnly"]) == "true" {
				return look
			}
			if api, known := apis[text(in["DesiredState"])]; known {
				return append(look, "ec2 "+api)
			}
			return append(look, "ec2 StartInstances", "ec2 StopInstances", "ec2 TerminateInstances") // a reference
		},
		effect: func(_ *Hands, c automation.Call) automation.Effect {
			if text(c.Inputs["CheckStateOnly"]) == "true" {
				return reading
			}
			return changing
		},
		would: func(_ *Hands, c automation.Call) string {
			ids, state := strings.Join(texts(c.Inputs["InstanceIds"]), ", "), text(c.Inputs["DesiredState"])
			if text(c.Inputs["CheckStateOnly"]) == "true" {
				return fmt.Sprintf("look whether %s: %s", state, ids)
			}
			verb := map[string]string{"running": "start", "stopped": "stop", "terminated": "terminate"}[state]
			return fmt.Sprintf("%s the EC2 instances %s", verb, ids)
		},
		do: func(ctx context.Context, w *work) (map[string]any, error) {
			if text(w.Inputs["CheckStateOnly"]) != "true" {
				in := map[string]any{"InstanceIds": w.Inputs["InstanceIds"]}
				state := text(w.Inputs["DesiredState"])
				if state == "stopped" && text(w.Inputs["Force"]) == "true" {
					in["Force"] = true
				}
				if info := text(w.Inputs["AdditionalInfo"]); info != "" && state == "running" {
					in["AdditionalInfo"] = info
				}
				if _, err := w.call(ctx, "ec2", apis[state], in); err != nil {
					return nil, err
				}
			}
			out, err := w.statesReached(ctx)
			if errors.Is(err, automation.ErrNotDone) {
				err = w.pending("%s", strings.TrimSuffix(err.Error(), ": "+automation.ErrNotDone.Error()))
			}
			return out, err
		},
		lookUp: func(ctx context.Context, w *work) (map[string]any, error) { return w.statesReached(ctx) },
	}
}

// statesReached looks at the instances: all there, some on the way (an Again), or some that nobody has set going (ErrNotDone).
func (w *work) statesReached(ctx context.Context) (map[string]any, error) {
	want := text(w.Inputs["DesiredState"])
	found, err := w.instances(ctx, texts(w.Inputs["InstanceIds"]))
	if err != nil {
		return nil, err
	}
	states := []any{}
	var onTheWay, still []string
	for _, i := range found {
		id, state := text(i["InstanceId"]), stateOf(i)
		states = append(states, state)
		switch {
		case state == want:
		case state == "terminated" || want == "running" && state == "shutting-down":
			return nil, fmt.Errorf("instance %s is %s: %w", id, state, automation.ErrFailed)
		case state == "pending", state == "stopping", state == "shutting-down":
			onTheWay = append(onTheWay, id+" is "+state)
		default:
			still = append(still, id+" is "+state)
		}
	}
	out := map[string]any{"InstanceStates": states}
	switch {
	case len(still) > 0:
		return out, fmt.Errorf("%s: %w", strings.Join(still, ", "), automation.ErrNotDone)
	case len(onTheWay) > 0:
		return out, w.pending("%s", strings.Join(onTheWay, ", "))
	}
	return out, nil
}

// instances describes instances by id; one that doesn't exist is an error.
func (w *work) instances(ctx context.Context, ids []string) ([]map[string]any, error) {
	out, err := w.call(ctx, "ec2", "DescribeInstances", map[string]any{"InstanceIds": listOf(ids)})
	if err != nil {
		return nil, err
	}
	found := instancesIn(out)
	if len(found) < len(ids) {
		return nil, fmt.Errorf("of %d instances EC2 knows %d", len(ids), len(found))
	}
	return found, nil
}

// instancesIn lists the instances in an answer of DescribeInstances.
func instancesIn(out map[string]any) []map[string]any {
	var found []map[string]any
	reservations, _ := out["Reservations"].([]any)
	for _, r := range reservations {
		m, _ := r.(map[string]any)
		list, _ := m["Instances"].([]any)
		for _, i := range list {
			if m, ok := i.(map[string]any); ok {
				found = append(found, m)
			}
		}
	}
	return found
}

func stateOf(instance map[string]any) string {
	state, _ := instance["State"].(map[string]any)
	return text(state["Name"])
}

// runInstances is aws:runInstances. Its inputs are RunInstances' own but for three that Automation calls otherwise.
func runInstances() action {
	return action{
		uses:  []string{"ec2 RunInstances", "ec2 DescribeInstances"},
		would: func(_ *Hands, c automation.Call) string { return "launch EC2 instances: " + brief(c.Inputs) },
		do: func(ctx context.Context, w *work) (map[string]any, error) {
			in := map[string]any{"MinCount": int64(1), "MaxCount": int64(1)}
			profile := map[string]any{}
			for k, v := range w.Inputs {
				switch k {
				case "MinInstanceCount":
					in["MinCount"] = v
				case "MaxInstanceCount":
					in["MaxCount"] = v
				case "IamInstanceProfileArn":
					profile["Arn"] = v
				case "IamInstanceProfileName":
					profile["Name"] = v
				default:
					in[k] = v
				}
			}
			if len(profile) > 0 {
				in["IamInstanceProfile"] = profile
			}
			if _, err := w.call(ctx, "ec2", "RunInstances", in); err != nil {
				return nil, err
			}
			return w.launched(ctx)
		},
		lookUp: func(ctx context.Context, w *work) (map[string]any, error) { return w.launched(ctx) },
	}
}

// launched finds the instances that were launched with this call's client token.
func (w *work) launched(ctx context.Context) (map[string]any, error) {
	token := text(w.Inputs["ClientToken"])
	if token == "" {
		token = uuid(w.Token)
	}
	out, err := w.call(ctx, "ec2", "DescribeInstances", map[string]any{"Filters": []any{
		map[string]any{"Name": "client-token", "Values": []any{token}},
	}})
	if err != nil {
		return nil, err
	}
	ids, states := []any{}, []any{}
	var onTheWay []string
	for _, i := range instancesIn(out) {
		id, state := text(i["InstanceId"]), stateOf(i)
		ids, states = append(ids, id), append(states, state)
		switch state {
		case "pending":
			onTheWay = append(onTheWay, id)
		case "running":
		default:
			return nil, fmt.Errorf("instance %s is %s: %w", id, state, automation.ErrFailed)
		}
	}
	response := map[string]any{"InstanceIds": ids, "InstanceStates": states}
	switch {
	case len(ids) == 0:
		return nil, fmt.Errorf("no instance has the client token %s: %w", token, automation.ErrNotDone)
	case len(onTheWay) > 0:
		return response, w.pending("%s: pending", strings.Join(onTheWay, ", "))
	}
	return response, nil
}

// createTags is aws:createTags: of EC2's resources, or of Systems Manager's.
func createTags() action {
	return action{
		uses: []string{"ec2 CreateTags", "ssm AddTagsToResource"},
		would: func(_ *Hands, c automation.Call) string {
			return fmt.Sprintf("tag %s with %s", strings.Join(texts(c.Inputs["ResourceIds"]), ", "), brief(c.Inputs["Tags"]))
		},
		do: func(ctx context.Context, w *work) (map[string]any, error) {
			ids, kind := texts(w.Inputs["ResourceIds"]), text(w.Inputs["ResourceType"])
			if kind == "" || kind == "EC2" {
				return w.call(ctx, "ec2", "CreateTags", map[string]any{"Resources": listOf(ids), "Tags": w.Inputs["Tags"]})
			}
			for _, id := range ids {
				in := map[string]any{"ResourceType": kind, "ResourceId": id, "Tags": w.Inputs["Tags"]}
				if _, err := w.call(ctx, "ssm", "AddTagsToResource", in); err != nil {
					return nil, err
				}
			}
			return map[string]any{}, nil
		},
		lookUp: func(context.Context, *work) (map[string]any, error) {
			return nil, fmt.Errorf("tags may be set again: %w", automation.ErrNotDone)
		},
	}
}
