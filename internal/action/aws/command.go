package aws

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"homeostat/automation"
)

// managed is how Systems Manager names the machines that it can send a command to.
var managed = regexp.MustCompile(`^(i-[0-9a-f]{8,17}|mi-[0-9a-f]{17})$`)

// Sends implements automation.Sender: a Command document that isn't at hand here, for machines that Systems Manager knows, is
// sent by its name. The scripts of one that is at hand are sent plugin by plugin, as AWS-RunShellScript. An Automation document
// that isn't at hand is begun by its name in Systems Manager, which has AWS' own and the account's.
func (h *Hands) Sends(c automation.Call) bool {
	if c.Action == "aws:executeAutomation" {
		return h.sessions != nil && h.cfg.Local != nil && !h.cfg.Local(text(c.Inputs["DocumentName"]))
	}
	if c.Action != "aws:runCommand" {
		return false
	}
	if c.Inputs["Targets"] != nil {
		return true
	}
	ids := texts(c.Inputs["InstanceIds"])
	return OnAWS(ids) && (h.cfg.Local == nil || !h.cfg.Local(text(c.Inputs["DocumentName"])))
}

// OnAWS says that all of these, and at least one, are machines that Systems Manager knows.
func OnAWS(instances []string) bool {
	return len(instances) > 0 && !slices.ContainsFunc(instances, func(i string) bool { return !managed.MatchString(i) })
}

// comment marks a command as this call's: it is found by it again.
func (w *work) comment() string { return "homeostat " + w.Token }

// sendDocument is aws:runCommand, carried out by Systems Manager.
func sendDocument() action {
	return action{
		uses: []string{"ssm SendCommand", "ssm ListCommands", "ssm ListCommandInvocations", "ssm GetCommandInvocation"},
		would: func(_ *Hands, c automation.Call) string {
			where := strings.Join(texts(c.Inputs["InstanceIds"]), ", ")
			if where == "" {
				where = "what " + brief(c.Inputs["Targets"]) + " finds"
			}
			return fmt.Sprintf("send command %s to %s with %s", text(c.Inputs["DocumentName"]), where, brief(c.Inputs["Parameters"]))
		},
		do: func(ctx context.Context, w *work) (map[string]any, error) {
			in := maps.Clone(w.Inputs)
			in["Comment"] = w.comment() // takes the place of the document's own: a command must be found again
			return w.send(ctx, in)
		},
		lookUp: func(ctx context.Context, w *work) (map[string]any, error) {
			return w.sent(ctx, text(w.Inputs["DocumentName"]))
		},
	}
}

// shellDocument is AWS' own document that runs lines of shell.
const shellDocument = "AWS-RunShellScript"

// sendScript is a shell plugin of a Command document that is at hand here, for machines that Systems Manager knows.
func sendScript() action {
	return action{
		uses: []string{"ssm SendCommand", "ssm ListCommands", "ssm ListCommandInvocations", "ssm GetCommandInvocation"},
		would: func(_ *Hands, c automation.Call) string {
			return fmt.Sprintf("run the script of %s on %s", cmp.Or(c.Document, "the step"), strings.Join(c.Instances, ", "))
		},
		do: func(ctx context.Context, w *work) (map[string]any, error) {
			lines, err := w.script()
			if err != nil {
				return nil, err
			}
			in := map[string]any{
				"DocumentName": shellDocument, "InstanceIds": listOf(w.Instances), "Comment": w.comment(),
				"Parameters": map[string]any{"commands": listOf(lines)},
			}
			p, _ := in["Parameters"].(map[string]any)
			if dir := text(w.Inputs["workingDirectory"]); dir != "" {
				p["workingDirectory"] = []any{dir}
			}
			if s := int64(w.Timeout / time.Second); s > 0 {
				p["executionTimeout"] = []any{fmt.Sprint(min(s, 172_800))}
			}
			return w.send(ctx, in)
		},
		lookUp: func(ctx context.Context, w *work) (map[string]any, error) { return w.sent(ctx, shellDocument) },
	}
}

// script is the plugin's lines after the parameters, which a shell gets as data: single quotes let nothing through.
func (w *work) script() ([]string, error) {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(w.Environment)) {
		if !variable.MatchString(name) {
			return nil, fmt.Errorf("%q is not the name of a variable", name)
		}
		lines = append(lines, "export "+name+"='"+strings.ReplaceAll(w.Environment[name], "'", `'\''`)+"'")
	}
	run := texts(w.Inputs["runCommand"])
	if len(run) == 0 {
		return nil, errors.New("runCommand: want a list of lines")
	}
	if slices.ContainsFunc(run, func(l string) bool { return strings.Contains(l, "$HOMEOSTAT_BIN") }) {
		return nil, errors.New("the script calls Homeostat's own program, which isn't known to be on other machines")
	}
	return append(lines, run...), nil
}

var variable = regexp.MustCompile(`^SSM_[A-Za-z0-9_]+$`)

// send sends a command and says how far it is.
func (w *work) send(ctx context.Context, in map[string]any) (map[string]any, error) {
	out, err := w.call(ctx, "ssm", "SendCommand", in)
	if err != nil {
		return nil, err
	}
	command, _ := out["Command"].(map[string]any)
	return w.command(ctx, command)
}

// sent finds a command by its comment, and says how far it is.
func (w *work) sent(ctx context.Context, document string) (map[string]any, error) {
	command, err := w.findCommand(ctx, document)
	if err != nil {
		return nil, err
	}
	return w.command(ctx, command)
}

// findCommand looks through the commands of a document, which Systems Manager lists with the newest first. None, found by the
// end of the list, was never sent; a list that is longer than we look at leaves it open.
func (w *work) findCommand(ctx context.Context, document string) (map[string]any, error) {
	in := map[string]any{"MaxResults": int64(50)}
	for range 20 {
		out, err := w.call(ctx, "ssm", "ListCommands", in)
		if err != nil {
			return nil, err
		}
		list, _ := out["Commands"].([]any)
		for _, it := range list {
			if c, _ := it.(map[string]any); text(c["Comment"]) == w.comment() {
				return c, nil
			}
		}
		next := text(out["NextToken"])
		if next == "" {
			return nil, fmt.Errorf("no command of %s was sent for this step: %w", document, automation.ErrNotDone)
		}
		in["NextToken"] = next
	}
	return nil, fmt.Errorf("this step's command is not among the last 1,000: %w", automation.ErrUnknown)
}

// lookUpSendCommand is for a document that calls SendCommand itself: it doesn't wait for the command.
func (w *work) lookUpSendCommand(ctx context.Context) (map[string]any, error) {
	if given := text(w.Inputs["Comment"]); given != "" {
		return nil, fmt.Errorf("a command with a comment of its own can't be found again: %w", automation.ErrUnknown)
	}
	c, err := w.findCommand(ctx, text(w.Inputs["DocumentName"]))
	if err != nil {
		return nil, err
	}
	return map[string]any{"Command": c}, nil
}

// command says how far a command is, and what it has said on each machine. The list of its invocations has but the first
// 2,500 characters of what it said; one by one they have 24,000.
func (w *work) command(ctx context.Context, c map[string]any) (map[string]any, error) {
	id := text(c["CommandId"])
	machines := texts(c["InstanceIds"])
	if len(machines) == 0 {
		out, err := w.call(ctx, "ssm", "ListCommandInvocations", map[string]any{"CommandId": id})
		if err != nil {
			return nil, err
		}
		list, _ := out["CommandInvocations"].([]any)
		for _, it := range list {
			inv, _ := it.(map[string]any)
			machines = append(machines, text(inv["InstanceId"]))
		}
	}
	var said, bad []string
	response, going := int64(0), len(machines) == 0
	for _, m := range machines {
		inv, err := w.call(ctx, "ssm", "GetCommandInvocation", map[string]any{"CommandId": id, "InstanceId": m})
		if code(err) == "InvocationDoesNotExist" {
			going = true // not yet
			continue
		}
		if err != nil {
			return nil, err
		}
		switch status := text(inv["Status"]); status {
		case "Success":
		case "Pending", "InProgress", "Delayed", "Cancelling":
			going = true
		default:
			bad = append(bad, strings.TrimSpace(fmt.Sprintf("%s: %s %s", m, cmp.Or(text(inv["StatusDetails"]), status), text(inv["StandardErrorContent"]))))
		}
		said = append(said, strings.TrimRight(text(inv["StandardOutputContent"]), "\r\n"))
		if n, ok := inv["ResponseCode"].(int64); ok && response == 0 {
			response = n
		}
	}
	out := map[string]any{"CommandId": id, "Status": "Success", "ResponseCode": response, "Output": strings.Join(said, "\n")}
	switch {
	case going:
		out["Status"] = "InProgress"
		return out, w.pending("command %s runs", id)
	case len(bad) > 0:
		out["Status"] = "Failed"
		return out, fmt.Errorf("command %s failed on %s: %w", id, strings.Join(bad, ", "), automation.ErrFailed)
	}
	return out, nil
}
