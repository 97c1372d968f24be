package aws

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"homeostat/automation"
)

// Statement is one statement of an IAM policy.
type Statement struct {
	Sid      string   `json:"Sid,omitempty"`
	Effect   string   `json:"Effect"`
	Action   []string `json:"Action"`
	Resource any      `json:"Resource"` // "*", or a list of ARNs
}

// Document is an IAM policy.
type Document struct {
	Version   string      `json:"Version"`
	Statement []Statement `json:"Statement"`
}

// Policy returns the least IAM policy with which the steps of these documents can be carried out: each action that one of
// their steps calls, and no other. What the names of the resources will be isn't known before an execution, so they are "*"
// but where a step writes them out. A step whose Service or Api is a reference could call anything: an error.
func (h *Hands) Policy(docs []*automation.Document, find func(name string) (*automation.Document, error)) (Document, error) {
	p := &policy{h: h, find: find, resources: map[string]map[string]bool{}, seen: map[string]bool{}}
	for _, d := range docs {
		if err := p.document(d, false); err != nil {
			return Document{}, err
		}
	}
	return p.build(), nil
}

type policy struct {
	h         *Hands
	find      func(string) (*automation.Document, error)
	resources map[string]map[string]bool // by action
	seen      map[string]bool
}

// document looks at a document's steps. sent: its scripts may have to go to other machines.
func (p *policy) document(d *automation.Document, sent bool) error {
	k := fmt.Sprint(d.Name, " ", sent)
	if p.seen[k] {
		return nil
	}
	p.seen[k] = true
	if strings.HasPrefix(d.AssumeRole, "arn:") {
		p.allow("sts:AssumeRole", d.AssumeRole)
	}
	if len(d.Stored()) > 0 {
		if err := p.operation("ssm", "GetParameters", d.Name, nil); err != nil {
			return err
		}
	}
	return p.steps(d, d.Steps, sent)
}

func (p *policy) steps(d *automation.Document, steps []automation.Step, sent bool) error {
	for _, s := range steps {
		at := fmt.Sprintf("%s, step %s", d.Name, s.Name)
		switch {
		case s.Action == "aws:loop":
			if err := p.steps(d, s.Steps, sent); err != nil {
				return err
			}
		case slices.Contains(apiActions, s.Action):
			service, api := text(s.Inputs["Service"]), text(s.Inputs["Api"])
			if strings.Contains(service+api, "{{") {
				return fmt.Errorf("%s: what it calls is only known when it runs (%s %s)", at, service, api)
			}
			if err := p.operation(service, api, at, s.Inputs); err != nil {
				return err
			}
		case s.Action == "aws:runCommand" || s.Action == "aws:executeAutomation":
			if err := p.inner(d, s, at); err != nil {
				return err
			}
		case s.Action == "aws:runShellScript" && !sent:
			// On this host, no one's leave but the host's is needed.
		default:
			a := p.h.actions[s.Action]
			if a.needs != nil {
				a.uses = a.needs(s.Inputs)
			}
			for _, u := range a.uses {
				service, api, _ := strings.Cut(u, " ")
				if err := p.operation(service, api, at, nil); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// inner follows a step into the document that it runs, or else lets Systems Manager run it.
func (p *policy) inner(d *automation.Document, s automation.Step, at string) error {
	if inner, err := p.find(text(s.Inputs["DocumentName"])); err == nil && s.Inputs["Targets"] == nil {
		return p.document(inner, slices.ContainsFunc(texts(s.Inputs["InstanceIds"]), func(i string) bool { return mayBeManaged(d, i) }))
	}
	for _, u := range p.h.actions[s.Action].uses {
		service, api, _ := strings.Cut(u, " ")
		if err := p.operation(service, api, at, nil); err != nil {
			return err
		}
	}
	return nil
}

// mayBeManaged says whether an instance, as a step of d writes it, can be one that Systems Manager knows: its id, or a
// reference that may become one. A parameter whose pattern takes no such id can't.
func mayBeManaged(d *automation.Document, instance string) bool {
	if !strings.Contains(instance, "{{") {
		return managed.MatchString(instance)
	}
	q, ok := d.Parameter(strings.TrimSpace(strings.Trim(instance, "{} ")))
	if !ok || q.AllowedPattern == "" {
		return true
	}
	pattern, err := regexp.Compile(q.AllowedPattern)
	return err != nil || pattern.MatchString("i-0123456789abcdef0") || pattern.MatchString("mi-0123456789abcdef0")
}

func (p *policy) operation(service, api, at string, in map[string]any) error {
	o, err := p.h.ops.find(service, api)
	if err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	for _, a := range o.actions {
		service, _, _ := strings.Cut(a, ":")
		p.allow(a, resource(service, in))
	}
	return nil
}

// resource is the one ARN of the service that a request names, where it is written out; else "*".
func resource(service string, in map[string]any) string {
	found := "*"
	for _, v := range in {
		s, ok := v.(string)
		if parts := strings.SplitN(s, ":", 4); !ok || len(parts) < 4 || parts[0] != "arn" || parts[2] != service || strings.Contains(s, "{{") {
			continue
		}
		if found != "*" {
			return "*"
		}
		found = s
	}
	return found
}

func (p *policy) allow(action, resource string) {
	if p.resources[action] == nil {
		p.resources[action] = map[string]bool{}
	}
	p.resources[action][resource] = true
}

// build puts the actions that have the same resources into one statement.
func (p *policy) build() Document {
	byResource := map[string][]string{}
	for _, a := range slices.Sorted(maps.Keys(p.resources)) {
		rs := slices.Sorted(maps.Keys(p.resources[a]))
		if slices.Contains(rs, "*") {
			rs = []string{"*"}
		}
		k := strings.Join(rs, "\n")
		byResource[k] = append(byResource[k], a)
	}
	d := Document{Version: "2012-10-17", Statement: []Statement{}}
	for _, k := range slices.SortedFunc(maps.Keys(byResource), func(a, b string) int { return cmp.Compare(a, b) }) {
		s := Statement{Effect: "Allow", Action: byResource[k], Resource: "*"}
		if k != "*" {
			s.Resource = strings.Split(k, "\n")
		}
		d.Statement = append(d.Statement, s)
	}
	return d
}
