package aws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"homeostat/automation"
)

// createStack is aws:createStack. It has ended once the stack is complete.
func createStack() action {
	return action{
		uses: []string{"cloudformation CreateStack", "cloudformation DescribeStacks"},
		would: func(_ *Hands, c automation.Call) string {
			return fmt.Sprintf("create CloudFormation stack %s", text(c.Inputs["StackName"]))
		},
		do: func(ctx context.Context, w *work) (map[string]any, error) {
			out, err := w.call(ctx, "cloudformation", "CreateStack", w.Inputs)
			if err != nil {
				return nil, err
			}
			return w.stack(ctx, text(out["StackId"]), "CREATE")
		},
		lookUp: func(ctx context.Context, w *work) (map[string]any, error) {
			return w.stack(ctx, text(w.Inputs["StackName"]), "CREATE")
		},
	}
}

// deleteStack is aws:deleteStack. It has ended once the stack is gone.
func deleteStack() action {
	return action{
		uses: []string{"cloudformation DeleteStack", "cloudformation DescribeStacks"},
		would: func(_ *Hands, c automation.Call) string {
			return fmt.Sprintf("delete CloudFormation stack %s", text(c.Inputs["StackName"]))
		},
		do: func(ctx context.Context, w *work) (map[string]any, error) {
			in := maps.Clone(w.Inputs)
			if v, ok := in["RetainResources.member.N"]; ok { // as the query API spells it
				delete(in, "RetainResources.member.N")
				in["RetainResources"] = v
			}
			if _, err := w.call(ctx, "cloudformation", "DeleteStack", in); err != nil {
				return nil, err
			}
			return w.stack(ctx, text(w.Inputs["StackName"]), "DELETE")
		},
		lookUp: func(ctx context.Context, w *work) (map[string]any, error) {
			return w.stack(ctx, text(w.Inputs["StackName"]), "DELETE")
		},
	}
}

// stack looks at how far a stack is: what is CREATE or DELETE.
func (w *work) stack(ctx context.Context, name, what string) (map[string]any, error) {
	out, err := w.call(ctx, "cloudformation", "DescribeStacks", map[string]any{"StackName": name})
	if code(err) == "ValidationError" && strings.Contains(err.Error(), "does not exist") {
		if what == "DELETE" {
			return map[string]any{}, nil
		}
		return nil, fmt.Errorf("there is no stack %s: %w", name, automation.ErrNotDone)
	}
	if err != nil {
		return nil, err
	}
	list, _ := out["Stacks"].([]any)
	if len(list) == 0 {
		return nil, fmt.Errorf("there is no stack %s: %w", name, automation.ErrNotDone)
	}
	s, _ := list[0].(map[string]any)
	status := text(s["StackStatus"])
	response := map[string]any{"StackId": s["StackId"], "StackStatus": status, "StackStatusReason": text(s["StackStatusReason"])}
	switch {
	case status == what+"_COMPLETE":
		return response, nil
	case status == what+"_IN_PROGRESS", status == "ROLLBACK_IN_PROGRESS" && what == "CREATE":
		return response, w.pending("stack %s: %s", name, status)
	case what == "DELETE" && !strings.HasPrefix(status, "DELETE_"):
		return response, fmt.Errorf("stack %s is %s: %w", name, status, automation.ErrNotDone)
	}
	return response, fmt.Errorf("stack %s is %s: %s: %w", name, status, text(s["StackStatusReason"]), automation.ErrFailed)
}

// invokeLambda is aws:invokeLambdaFunction. Lambda keeps no account of who called with what, so that one that was cut off
// can't be looked up.
func invokeLambda() action {
	return action{
		uses: []string{"lambda Invoke"},
		effect: func(_ *Hands, c automation.Call) automation.Effect {
			if text(c.Inputs["InvocationType"]) == "DryRun" {
				return reading
			}
			return changing
		},
		would: func(_ *Hands, c automation.Call) string {
			return fmt.Sprintf("call Lambda function %s with %s", text(c.Inputs["FunctionName"]), brief(payload(c)))
		},
		do: func(ctx context.Context, w *work) (map[string]any, error) {
			in := map[string]any{}
			for _, k := range []string{"FunctionName", "Qualifier", "InvocationType", "LogType", "ClientContext"} {
				if v := w.Inputs[k]; v != nil {
					in[k] = v
				}
			}
			if p := payload(w.Call); p != nil {
				in["Payload"] = p
			}
			out, err := w.call(ctx, "lambda", "Invoke", in)
			if err == nil && text(out["FunctionError"]) != "" {
				err = fmt.Errorf("the function ended with an error (%s): %s", text(out["FunctionError"]), text(out["Payload"]))
			}
			return out, err
		},
	}
}

func payload(c automation.Call) any {
	if p := c.Inputs["InputPayload"]; p != nil {
		return p
	}
	return c.Inputs["Payload"]
}

// executeStateMachine is aws:executeStateMachine. The execution's name is this call's token unless the step gives one: a
// standard state machine begins no second execution of a name.
func executeStateMachine() action {
	look := func(ctx context.Context, w *work) (map[string]any, error) {
		arn := strings.Replace(text(w.Inputs["stateMachineArn"]), ":stateMachine:", ":execution:", 1) + ":" + w.machineName()
		out, err := w.call(ctx, "stepfunctions", "DescribeExecution", map[string]any{"executionArn": arn})
		if code(err) == "ExecutionDoesNotExist" {
			return nil, fmt.Errorf("there is no execution %s: %w", arn, automation.ErrNotDone)
		}
		if err != nil {
			return nil, err
		}
		switch status := text(out["status"]); status {
		case "SUCCEEDED":
			return out, nil
		case "RUNNING", "PENDING_REDRIVE":
			return out, w.pending("execution %s is %s", w.machineName(), status)
		default:
			return out, fmt.Errorf("execution %s is %s: %s %s: %w", w.machineName(), status, text(out["error"]), text(out["cause"]), automation.ErrFailed)
		}
	}
	return action{
		uses: []string{"stepfunctions StartExecution", "stepfunctions DescribeExecution"},
		would: func(_ *Hands, c automation.Call) string {
			return fmt.Sprintf("start state machine %s with %s", text(c.Inputs["stateMachineArn"]), brief(c.Inputs["input"]))
		},
		do: func(ctx context.Context, w *work) (map[string]any, error) {
			in := map[string]any{"stateMachineArn": w.Inputs["stateMachineArn"], "name": w.machineName()}
			if v := w.Inputs["input"]; v != nil {
				in["input"] = v
			}
			if _, err := w.call(ctx, "stepfunctions", "StartExecution", in); err != nil {
				return nil, err
			}
			out, err := look(ctx, w)
			if errors.Is(err, automation.ErrNotDone) {
				err = w.pending("it has just begun") // what was written may be read a moment later
			}
			return out, err
		},
		lookUp: look,
	}
}

func (w *work) machineName() string {
	if name := text(w.Inputs["name"]); name != "" {
		return name
	}
	return uuid(w.Token)
}

// startAutomation is aws:executeAutomation as Systems Manager itself carries it out: with targets and rate control.
func startAutomation() action {
	id := func(w *work) string { return uuid(w.Token) }
	look := func(ctx context.Context, w *work, execution string) (map[string]any, error) {
		out, err := w.call(ctx, "ssm", "GetAutomationExecution", map[string]any{"AutomationExecutionId": execution})
		if err != nil {
			return nil, err
		}
		x, _ := out["AutomationExecution"].(map[string]any)
		status := text(x["AutomationExecutionStatus"])
		response := map[string]any{"ExecutionId": execution, "Status": status, "Output": []any{}}
		if outs, ok := x["Outputs"].(map[string]any); ok {
			raw, err := json.Marshal(outs)
			if err != nil {
				return response, err
			}
			response["Output"] = []any{string(raw)}
		}
		switch status {
		case "Success":
			return response, nil
		case "Failed", "TimedOut", "Cancelled", "CompletedWithFailure", "Rejected":
			return response, fmt.Errorf("automation %s: %s: %s: %w", execution, status, text(x["FailureMessage"]), automation.ErrFailed)
		}
		return response, w.pending("automation %s: %s", execution, status)
	}
	start := func(ctx context.Context, w *work) (map[string]any, error) {
		in := map[string]any{"ClientToken": id(w)}
		for k, v := range w.Inputs {
			if k == "RuntimeParameters" {
				k = "Parameters"
			}
			in[k] = v
		}
		out, err := w.call(ctx, "ssm", "StartAutomationExecution", in)
		if err != nil {
			return nil, err
		}
		return look(ctx, w, text(out["AutomationExecutionId"]))
	}
	return action{
		uses: []string{"ssm StartAutomationExecution", "ssm GetAutomationExecution"},
		would: func(_ *Hands, c automation.Call) string {
			return fmt.Sprintf("start Systems Manager automation %s with %s", text(c.Inputs["DocumentName"]), brief(c.Inputs["RuntimeParameters"]))
		},
		do: start, lookUp: start, // the same client token answers with the same execution
	}
}
