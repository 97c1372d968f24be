package automation

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

func checkApprove(p *parser, s *Step, in node) {
	if n, ok := in.get("Approvers"); ok && n.kind == listNode {
		if len(n.items) == 0 || len(n.items) > 10 {
			p.errorf(n.pos, "step %q.Approvers: 1 to 10 are wanted, not %d", s.Name, len(n.items))
		}
	}
	if v, n, ok := literal(in, "MinRequiredApprovals"); ok && v != "" {
		most := int64(10)
		if a, ok := in.get("Approvers"); ok && a.kind == listNode && len(a.items) > 0 && !strings.Contains(textOf(a.plain()), "{{") {
			most = min(most, int64(len(a.items)))
		}
		p.integer(n, "step \""+s.Name+"\".MinRequiredApprovals", 1, most)
	}
	if v, n, ok := literal(in, "Message"); ok && len(v) > 4096 {
		p.errorf(n.pos, "step %q.Message has %d bytes; 4096 are the most", s.Name, len(v))
	}
	if s.Timeout > 30*24*time.Hour {
		p.errorf(s.Pos, "step %q: an approval waits 30 days at most", s.Name)
	}
}

func checkProperty(p *parser, s *Step, in node) {
	if n, ok := in.get("DesiredValues"); ok && n.kind == listNode && len(n.items) == 0 {
		p.errorf(n.pos, "step %q.DesiredValues is empty", s.Name)
	}
	if v, n, ok := literal(in, "PropertySelector"); ok {
		if !strings.HasPrefix(v, "$") {
			v = "$." + v
		}
		if _, err := parsePath(v); err != nil {
			p.errorf(n.pos, "step %q.PropertySelector: %w", s.Name, err)
		}
	}
}

func checkBranch(p *parser, s *Step, in node) {
	n, ok := in.get("Choices")
	if !ok || !p.want(n, listNode, "step \""+s.Name+"\".Choices") {
		return
	}
	if len(n.items) == 0 {
		p.errorf(n.pos, "step %q.Choices is empty", s.Name)
	}
	for i, c := range n.items {
		where := fmt.Sprintf("step %q.Choices[%d]", s.Name, i)
		p.checkCondition(c, where, "NextStep")
		if _, ok := c.get("NextStep"); !ok && c.kind == mapNode {
			p.errorf(c.pos, "%s needs a NextStep", where)
		}
	}
}

func checkCreateStack(p *parser, s *Step, in node) {
	_, body := in.get("TemplateBody")
	_, url := in.get("TemplateURL")
	if body == url {
		p.errorf(in.pos, "step %q: aws:createStack needs one of TemplateBody and TemplateURL", s.Name)
	}
}

// checkTargets holds aws:executeAutomation's rate control: targets need the name of the parameter that they go into.
func checkTargets(p *parser, s *Step, in node) {
	checkRates(p, s, in)
	_, name := in.get("TargetParameterName")
	if n, ok := in.get("Targets"); ok && !name {
		p.errorf(n.pos, "step %q: Targets need a TargetParameterName", s.Name)
	}
	if n, ok := in.get("RuntimeParameters"); ok && n.kind == listNode {
		p.errorf(n.pos, "step %q.RuntimeParameters: a map is wanted, not a list", s.Name)
	}
}

func checkRates(p *parser, s *Step, in node) {
	for _, name := range []string{"MaxConcurrency", "MaxErrors"} {
		if v, n, ok := literal(in, name); ok && !rate.MatchString(v) {
			p.errorf(n.pos, "step %q.%s: a number or a percentage is wanted, not %q", s.Name, name, v)
		}
	}
}

var rate = regexp.MustCompile(`^(\d{1,7}|\d{1,2}%|100%)$`)

func checkRunCommand(p *parser, s *Step, in node) {
	checkRates(p, s, in)
	if n, ok := in.get("InstanceIds"); ok && n.kind == listNode && len(n.items) > 50 {
		p.errorf(n.pos, "step %q.InstanceIds: 50 at most, not %d", s.Name, len(n.items))
	}
	if n, ok := in.get("Parameters"); ok && n.kind == listNode {
		p.errorf(n.pos, "step %q.Parameters: a map is wanted, not a list", s.Name)
	}
	if _, targets := in.get("Targets"); targets {
		if n, ids := in.get("InstanceIds"); ids {
			p.errorf(n.pos, "step %q: InstanceIds and Targets exclude each other", s.Name)
		}
	}
}

func checkScript(p *parser, s *Step, in node) {
	if v, n, ok := literal(in, "Runtime"); ok && !scriptRuntime.MatchString(v) {
		p.errorf(n.pos, "step %q.Runtime: python3.x or a PowerShell is wanted, not %q", s.Name, v)
	}
	script, written := in.get("Script")
	attachment, attached := in.get("Attachment")
	switch {
	case !attached && (!written || strings.TrimSpace(script.raw) == "" && script.kind == scalarNode):
		p.errorf(in.pos, "step %q: aws:executeScript needs a Script or an Attachment", s.Name)
	case written && script.kind != scalarNode:
		p.errorf(script.pos, "step %q.Script: a single value is wanted, not %s", s.Name, script.kind)
	}
	if attached {
		name := textOf(attachment.plain())
		if _, ok := p.doc.Files[name]; !ok && !strings.Contains(name, "{{") {
			p.warnf(attachment.pos, "step %q: the document's files have no %q; the step can't run", s.Name, name)
		}
	}
	if v, _, ok := literal(in, "Runtime"); ok && strings.HasPrefix(v, "python") {
		if _, ok := in.get("Handler"); !ok {
			p.errorf(in.pos, "step %q: a Python script needs a Handler", s.Name)
		}
	}
	if s.Timeout > maxScript {
		p.warnf(s.Pos, "step %q: a script runs 600 seconds at most, whatever its timeoutSeconds", s.Name)
		s.Timeout = maxScript
	}
}

// maxScript is the longest that aws:executeScript runs.
const maxScript = 10 * time.Minute

var scriptRuntime = regexp.MustCompile(`^(python3\.\d+|PowerShell.*|powershell.*)$`)

func checkLoop(p *parser, s *Step, in node) {
	iterators, each := in.get("Iterators")
	condition, while := in.get("LoopCondition")
	if each == while {
		p.errorf(in.pos, "step %q: aws:loop needs one of Iterators and LoopCondition", s.Name)
	}
	if each && iterators.kind == listNode && len(iterators.items) > maxIterations {
		p.errorf(iterators.pos, "step %q.Iterators: %d at most", s.Name, maxIterations)
	}
	if while {
		p.checkCondition(condition, "step \""+s.Name+"\".LoopCondition")
	}
	if _, n, ok := literal(in, "MaxIterations"); ok {
		p.integer(n, "step \""+s.Name+"\".MaxIterations", 1, maxIterations)
	}
	oneOf("IteratorDataType", "Boolean", "Integer", "String", "StringMap")(p, s, in)
	for _, inner := range s.Steps {
		if inner.Action == "aws:loop" {
			p.errorf(inner.Pos, "step %q: a loop within a loop is not allowed", inner.Name)
		}
	}
}

func checkUpdateVariable(p *parser, s *Step, in node) {
	v, n, ok := literal(in, "Name")
	if !ok {
		return
	}
	name, ok := strings.CutPrefix(v, "variable:")
	i := slices.IndexFunc(p.doc.Variables, func(q Parameter) bool { return q.Name == name })
	switch {
	case !ok:
		p.errorf(n.pos, "step %q.Name: variable:NAME is wanted, not %q", s.Name, v)
	case i < 0:
		p.errorf(n.pos, "step %q.Name: the document declares no variable %q%s", s.Name, name, didYouMean(name, parameterNames(p.doc.Variables)))
	default:
		if val, ok := in.get("Value"); ok && !strings.Contains(textOf(val.plain()), "{{") {
			if _, err := coerce(val.plain(), p.doc.Variables[i].Type); err != nil {
				p.errorf(val.pos, "step %q.Value: %w", s.Name, err)
			}
		}
	}
}

// maxSleep is the longest aws:sleep.
const maxSleep = 604_799 * time.Second

func checkSleep(p *parser, s *Step, in node) {
	_, duration := in.get("Duration")
	_, stamp := in.get("Timestamp")
	if duration == stamp {
		p.errorf(in.pos, "step %q: aws:sleep needs one of Duration and Timestamp", s.Name)
	}
	if v, n, ok := literal(in, "Duration"); ok {
		if d, err := parseDuration(v); err != nil {
			p.errorf(n.pos, "step %q.Duration: %w", s.Name, err)
		} else if d > maxSleep {
			p.errorf(n.pos, "step %q.Duration: %s is too long: 604799 seconds are the most", s.Name, v)
		}
	}
	if v, n, ok := literal(in, "Timestamp"); ok {
		if _, err := parseStamp(v); err != nil {
			p.errorf(n.pos, "step %q.Timestamp: %w", s.Name, err)
		}
	}
}

var isoDuration = regexp.MustCompile(`^P(?:(\d+)W|(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.(\d{1,9}))?S)?)?)$`)

// parseDuration reads an ISO 8601 duration of weeks, or of days, hours, minutes and seconds.
func parseDuration(text string) (time.Duration, error) {
	m := isoDuration.FindStringSubmatch(text)
	if m == nil || strings.HasSuffix(text, "T") || text == "P" {
		return 0, fmt.Errorf("an ISO 8601 duration such as PT10M is wanted, not %q", text)
	}
	var total time.Duration
	for i, unit := range []time.Duration{7 * 24 * time.Hour, 24 * time.Hour, time.Hour, time.Minute, time.Second} {
		if m[i+1] == "" {
			continue
		}
		n, err := strconv.ParseInt(m[i+1], 10, 64)
		if err != nil || n > int64(100*365*24*time.Hour/unit) {
			return 0, fmt.Errorf("the duration %q is too long", text)
		}
		total += time.Duration(n) * unit
	}
	if m[6] != "" {
		n, err := strconv.ParseInt((m[6] + "00000000")[:9], 10, 64)
		if err != nil {
			return 0, errors.New("a fraction of a second has digits only")
		}
		total += time.Duration(n)
	}
	return total, nil
}

// parseStamp reads an ISO 8601 time; without a zone it is UTC.
func parseStamp(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04Z07:00", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("an ISO 8601 time such as 2026-12-24T18:00:00Z is wanted, not %q", text)
}
