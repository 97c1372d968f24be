// Package aws is the hands of a runbook's steps on AWS: the actions of Automation documents, on a typed allow-list of
// operations of the AWS SDK for Go.
//
// What may be called is the table in operations.go and nothing else: each operation with its effect, the IAM actions that it
// needs, and what a second call would do. From the table follow the words of observe mode, what is refused before the first
// step ([Hands.Able]), and the least IAM policy of a runbook ([Policy]).
//
// A changing call carries a client token made from the step's own wherever the API has one. One that was cut off is looked up:
// by what it aims at (an instance's state, a stack, an image's name, a volume's last modification), or made again where its
// token or its nature make that harmless; of any other a person is asked.
//
// Sources: "Systems Manager Automation actions reference", the services' API references.
package aws

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"

	"homeostat/automation"
)

// Hands implements automation.Hands, Able and Sender for AWS. Safe for concurrent use.
type Hands struct {
	sessions *Sessions // nil: there is no AWS, and all is refused
	ops      registry
	actions  map[string]action
	cfg      HandsConfig
}

// HandsConfig is what is optional. The zero value works.
type HandsConfig struct {
	Poll  time.Duration          // how often something that goes on is looked at; 15 s when 0
	Local func(name string) bool // whether a Command document is at hand here: its scripts are then sent, not its name
}

// action is one action of Automation documents.
type action struct {
	effect func(h *Hands, c automation.Call) automation.Effect
	would  func(h *Hands, c automation.Call) string
	do     func(ctx context.Context, w *work) (map[string]any, error)
	lookUp func(ctx context.Context, w *work) (map[string]any, error) // nil: nothing can be known
	uses   []string                                                   // the operations that it calls: "ec2 StopInstances"
	needs  func(inputs map[string]any) []string                       // those of them that a step with these inputs calls; nil: all
}

// work is one call under way.
type work struct {
	*Hands
	automation.Call
	aws aws.Config
}

// ErrNotConfigured means that the configuration has no aws section.
var ErrNotConfigured = errors.New("the configuration has no aws.region: nothing of AWS is called")

// New returns hands over sessions. With none they can tell what they would do, and do nothing.
func New(s *Sessions, c HandsConfig) *Hands {
	c.Poll = cmp.Or(c.Poll, 15*time.Second)
	return &Hands{sessions: s, ops: newRegistry(), actions: actions(), cfg: c}
}

// Takes says whether an action is AWS' own.
func (h *Hands) Takes(action string) bool {
	_, ok := h.actions[action]
	return ok
}

// Effect implements automation.Hands.
func (h *Hands) Effect(c automation.Call) automation.Effect {
	if a, ok := h.actions[c.Action]; ok && a.effect != nil {
		return a.effect(h, c)
	}
	return changing
}

// Would implements automation.Hands.
func (h *Hands) Would(_ context.Context, c automation.Call) (string, error) {
	a, ok := h.actions[c.Action]
	if !ok {
		return "", fmt.Errorf("%s can't be done on AWS", c.Action)
	}
	return a.would(h, c), nil
}

// Do implements automation.Hands.
func (h *Hands) Do(ctx context.Context, c automation.Call) (map[string]any, error) {
	w, a, err := h.work(c)
	if err != nil {
		return nil, err
	}
	return a.do(ctx, w)
}

// LookUp implements automation.Hands.
func (h *Hands) LookUp(ctx context.Context, c automation.Call) (map[string]any, error) {
	w, a, err := h.work(c)
	if err != nil {
		return nil, err
	}
	if a.lookUp == nil {
		return nil, fmt.Errorf("%s was cut off: %w", c.Action, automation.ErrUnknown)
	}
	return a.lookUp(ctx, w)
}

// Able implements automation.Able.
func (h *Hands) Able(c automation.Call) error {
	if _, ok := h.actions[c.Action]; !ok {
		return fmt.Errorf("%s can't be done on AWS", c.Action)
	}
	if err := h.Known(c); err != nil {
		return err
	}
	if h.sessions == nil {
		return ErrNotConfigured
	}
	if c.AssumeRole != "" && !strings.Contains(c.AssumeRole, "{{") && !roleARN.MatchString(c.AssumeRole) {
		return fmt.Errorf("assumeRole: want the ARN of a role, not %q", c.AssumeRole)
	}
	_, err := h.sessions.whose(c.Account, c.Region)
	return err
}

// Known says whether what a step calls is in the allow-list, and whether its inputs fit, as far as they are written out.
// Nothing of AWS needs to be configured for it.
func (h *Hands) Known(c automation.Call) error {
	service, api := text(c.Inputs["Service"]), text(c.Inputs["Api"])
	if !slices.Contains(apiActions, c.Action) || strings.Contains(service+api, "{{") {
		return nil
	}
	o, err := h.ops.find(service, api)
	if err != nil {
		return err
	}
	in := request(c)
	if raw, err := json.Marshal(in); err != nil || strings.Contains(string(raw), "{{") {
		return nil // more can be said when the references are resolved
	}
	if err := o.check(in); err != nil {
		return fmt.Errorf("%s %s: %w", o.service, o.name, err)
	}
	return nil
}

// Configured says whether there is an AWS to act on.
func (h *Hands) Configured() bool { return h.sessions != nil }

// work finds the action, and the session that the call is made in.
func (h *Hands) work(c automation.Call) (*work, action, error) {
	a, ok := h.actions[c.Action]
	if !ok {
		return nil, a, fmt.Errorf("%s can't be done on AWS", c.Action)
	}
	if err := h.Able(c); err != nil {
		return nil, a, err
	}
	p, err := h.sessions.whose(c.Account, c.Region)
	if err != nil {
		return nil, a, err
	}
	return &work{Hands: h, Call: c, aws: h.sessions.Of(cmp.Or(c.AssumeRole, p.role), p.region)}, a, nil
}

// call makes one call of an operation in the table. Where the operation has a client token and the step gives none, it is the
// call's own.
func (w *work) call(ctx context.Context, service, api string, in map[string]any) (map[string]any, error) {
	o, err := w.ops.find(service, api)
	if err != nil {
		return nil, err
	}
	if o.token != "" && in[o.token] == nil {
		in = maps.Clone(in)
		if in == nil {
			in = map[string]any{}
		}
		in[o.token] = uuid(w.Token)
	}
	ctx, stop := context.WithTimeout(ctx, callTime)
	defer stop()
	out, err := o.do(ctx, w.aws, in)
	return out, short(err)
}

// uuid makes of a step's token the form that all services take as a client token: 36 characters.
func uuid(token string) string {
	token += strings.Repeat("0", max(0, 32-len(token)))
	return token[:8] + "-" + token[8:12] + "-" + token[12:16] + "-" + token[16:20] + "-" + token[20:32]
}

// pending is how an action says that it goes on.
func (w *work) pending(format string, args ...any) error {
	return &automation.Again{After: w.cfg.Poll, State: fmt.Sprintf(format, args...)}
}

// short takes from the SDK's errors what says nothing to an operator, and keeps the code and the message.
func short(err error) error {
	if e, ok := errors.AsType[*smithy.OperationError](err); ok {
		if api, ok := errors.AsType[smithy.APIError](err); ok {
			return fmt.Errorf("%s %s: %w", e.ServiceID, e.OperationName, &apiError{api})
		}
	}
	return err
}

// apiError prints as its code and message.
type apiError struct{ smithy.APIError }

func (e *apiError) Error() string { return e.ErrorCode() + ": " + e.ErrorMessage() }

func (e *apiError) Unwrap() error { return e.APIError }

// code is the API's own name of an error, "" of another.
func code(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

// text is what stands in an input as text.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case map[string]any, []any:
		raw, err := json.Marshal(v)
		if err != nil {
			return fmt.Sprint(v)
		}
		return string(raw)
	}
	return fmt.Sprint(v)
}

// texts is what stands in an input as a list of texts, or as one.
func texts(v any) []string {
	switch v := v.(type) {
	case nil:
		return nil
	case []string:
		return v
	case []any:
		out := make([]string, len(v))
		for i, it := range v {
			out[i] = text(it)
		}
		return out
	}
	return []string{text(v)}
}

// listOf makes of texts a list as inputs have it.
func listOf(ss []string) []any {
	out := make([]any, len(ss))
	for i, s := range ss {
		out[i] = s
	}
	return out
}
