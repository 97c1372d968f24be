package runbook

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"homeostat/automation"
	"homeostat/internal/signal"
)

// gate stands before each changing step of one execution: guards, and in mode approve a person. Used by one goroutine.
type gate struct {
	r       *Runbooks
	x       *execution
	j       *journal
	refused string // in observe: the first refusal
}

// pass implements automation.Gate.
func (g *gate) pass(ctx context.Context, c automation.Call) error {
	if g.x.Mode == signal.Approve {
		if err := g.approved(ctx, c); err != nil {
			return err
		}
	}
	return g.guards(ctx, c, true)
}

// guards asks the guards, and marks the execution as acting in the same transaction when they all agree and mark is set.
func (g *gate) guards(ctx context.Context, c automation.Call, mark bool) error {
	var guard, reason string
	v := Refuse
	rules := g.r.rulesFor(g.x)
	entity, others, err := g.aimed(ctx, c.Step)
	if err != nil {
		return fmt.Errorf("ask the guards: %w", err)
	}
	about := *g.x
	about.Entity = entity
	outside := g.r.outside(ctx, &about, rules.Guards)
	ctx = context.WithoutCancel(ctx) // of a transaction that others share
	err = g.r.commits.do(func(tx *sql.Tx) error {
		a, err := facts(ctx, tx, &about, rules.Cooldown)
		if err != nil {
			return err
		}
		a.Action, a.Outside, a.Touched = c.Action, outside, append(a.Touched, others...)
		if v, guard, reason = ask(rules.guards, a); v != Allow || !mark {
			return nil
		}
		return markActing(ctx, tx, g.x, entity, time.Now())
	})
	if err != nil {
		return fmt.Errorf("ask the guards: %w", err) // the step is asked for again; nothing was done
	}
	if v != Allow {
		g.r.metric.refusals.WithLabelValues(guard).Inc()
		return fmt.Errorf("%w: %s", automation.ErrRefused, reason)
	}
	return nil
}

// approved asks a person before the first changing step, once for the execution.
func (g *gate) approved(ctx context.Context, c automation.Call) error {
	e, asked := g.j.entries[approvalPath]
	if asked && !e.Open() {
		if e.State == automation.Success {
			return nil
		}
		return fmt.Errorf("%w: %s", automation.ErrRefused, e.Error)
	}
	if !asked {
		return g.ask(ctx, c)
	}
	e.Ended = time.Now().UTC()
	var given []string
	for _, a := range e.Answers {
		if a.Verb == automation.Approve && !slices.Contains(given, a.Who) {
			given = append(given, a.Who)
		}
	}
	switch i := slices.IndexFunc(e.Answers, func(a automation.Answer) bool { return a.Verb == automation.Reject }); {
	case i >= 0:
		e.State, e.Error = automation.Failed, e.Answers[i].Who+" rejected it"
		if c := e.Answers[i].Comment; c != "" {
			e.Error += ": " + c
		}
	case len(given) > 0 && len(given) >= e.Approval.Needed:
		e.State = automation.Success
		e.Note = "approved by " + strings.Join(given, " and ")
		if c := e.Answers[len(e.Answers)-1].Comment; c != "" {
			e.Note += ": " + c
		}
	case !time.Now().Before(e.Until):
		e.State, e.Error = automation.TimedOut, "nobody approved it within "+plainly(g.r.cfg.ApprovalExpiry)
		if len(given) > 0 {
			e.Error = fmt.Sprintf("%d of %d approved it within %s", len(given), e.Approval.Needed, plainly(g.r.cfg.ApprovalExpiry))
		}
	case g.x.Approval != nil && len(given) != len(g.x.Approval.Given):
		g.x.Approval.Given = given
		if err := g.r.inTx(ctx, func(tx *sql.Tx) error { return update(ctx, tx, g.x) }); err != nil {
			return err
		}
		return errAsked
	default:
		return errAsked // woken too early
	}
	if e.State == automation.Success {
		g.x.State, g.x.Approval, g.x.Reason = signal.InProgress, nil, ""
	}
	ctx = context.WithoutCancel(ctx)
	err := g.j.put(ctx, e, func(tx *sql.Tx) error {
		if err := g.j.tell(ctx, tx, e); err != nil {
			return err
		}
		return update(ctx, tx, g.x)
	})
	if err != nil {
		return err
	}
	if e.State != automation.Success {
		return fmt.Errorf("%w: %s", automation.ErrRefused, e.Error)
	}
	return nil
}

// held is for how long since a moment a person had been asked and hadn't answered.
func (g *gate) held(since time.Time) time.Duration {
	e, asked := g.j.entries[approvalPath]
	if !asked {
		return 0
	}
	from, until := e.Began, e.Ended
	if since.After(from) {
		from = since
	}
	if e.Open() {
		until = time.Now()
	}
	return max(0, until.Sub(from))
}

// ask puts the question: what would be done, until when it waits. Guards that refuse now spare the person.
func (g *gate) ask(ctx context.Context, c automation.Call) error {
	if err := g.guards(ctx, c, false); err != nil {
		return err
	}
	would, err := g.r.need.Hands.Would(ctx, c)
	if err != nil {
		would = fmt.Sprintf("do step %s (%s), of which nothing more can be said: %v", c.Step, c.Action, err)
	}
	now := time.Now().UTC()
	expires := now.Add(g.r.cfg.ApprovalExpiry).Truncate(time.Millisecond)
	rules := g.r.rulesFor(g.x)
	message := fmt.Sprintf("%s on %s would %s.", g.x.Runbook, g.x.Entity, would)
	if later := g.later(ctx, c.Step); len(later) > 0 {
		message += fmt.Sprintf(" It may go on with %s, and doesn't ask again.", strings.Join(later, ", "))
	}
	message += " May it?"
	g.x.State, g.x.Step, g.x.Reason = signal.Waiting, c.Step, "it waits for a person to approve"
	g.x.Approval = &signal.Approval{Step: approvalPath, Kind: signal.AskApproval, Message: message, Approvers: rules.Approvers, Needed: rules.Approvals, Expires: expires}
	e := automation.Entry{
		Path: approvalPath, Action: "homeostat:approve", Effect: automation.Reading, State: automation.Waiting, Attempt: 1,
		Began: now, Until: expires, Note: message,
		Approval: &automation.ApprovalRequest{
			Step: approvalPath, Kind: automation.AskApproval, Message: message, Approvers: rules.Approvers, Needed: rules.Approvals, Expires: expires,
		},
	}
	ctx = context.WithoutCancel(ctx)
	err = g.j.put(ctx, e, func(tx *sql.Tx) error {
		if err := update(ctx, tx, g.x); err != nil {
			return err
		}
		if err := g.r.publish(ctx, tx, signal.ExecutionWaitingForApproval, g.x.ID, now, g.x.Execution); err != nil {
			return err
		}
		return g.r.schedule(ctx, tx, g.x.ID, expires)
	})
	if err != nil {
		return err
	}
	return errAsked
}

// later names the document's other changing steps to which a way leads from the one at path: the answer holds for them too.
func (g *gate) later(ctx context.Context, path string) []string {
	d, err := g.r.pinned(ctx, g.x).Document(g.x.Runbook, "")
	if err != nil {
		return nil // without its document nothing of it is done
	}
	first := strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '[' })[0]
	ways := automation.Ways(d.Steps)
	reached := map[string]bool{}
	for at := []string{first}; len(at) > 0; at = at[1:] {
		for _, w := range ways {
			if w.From == at[0] && !reached[w.To] && w.When != "cancel" {
				reached[w.To] = true
				at = append(at, w.To)
			}
		}
	}
	changes := func(s automation.Step) bool {
		return g.r.need.Catalog.effect(g.r.need.Hands, s, 0) != automation.Reading
	}
	var names []string
	for _, s := range d.Steps {
		switch {
		case s.Name != first:
			if reached[s.Name] && changes(s) {
				names = append(names, s.Name)
			}
		case path != first: // the change is within this step, and others may be
			inner := s.Steps
			if name, _ := s.Inputs["DocumentName"].(string); name != "" {
				if d, err := g.r.need.Catalog.Document(name, ""); err == nil {
					inner = d.Steps
				}
			}
			several := 0
			for _, s := range inner {
				if changes(s) {
					several++
				}
			}
			if several > 1 || s.Action == "aws:loop" {
				names = append(names, "the rest of "+first)
			}
		}
	}
	return names
}

// rehearsed are the hands with the guards' word added to what they would do: in observe, no gate stands before a step.
type rehearsed struct {
	automation.Hands
	g *gate
}

// Would implements automation.Hands.
func (h *rehearsed) Would(ctx context.Context, c automation.Call) (string, error) {
	would, err := h.Hands.Would(ctx, c)
	if err != nil || h.g.x.real() {
		return would, err
	}
	if err := h.g.guards(ctx, c, true); err != nil {
		if h.g.refused == "" {
			h.g.refused = err.Error()
		}
		return would + " (but " + err.Error() + ")", nil
	}
	return would, nil
}

// Sends implements automation.Sender as the hands behind do.
func (h *rehearsed) Sends(c automation.Call) bool {
	s, ok := h.Hands.(automation.Sender)
	return ok && s.Sends(c)
}

// Able implements automation.Able as the hands behind do.
func (h *rehearsed) Able(c automation.Call) error {
	if a, ok := h.Hands.(automation.Able); ok {
		return a.Able(c)
	}
	return nil
}

// Targets implements automation.Targeter: as the hands behind do, else by the tags of the entities that are watched. A parameter
// of a document that asks for no entity takes an instance of EC2 by its id there.
func (h *rehearsed) Targets(ctx context.Context, parameter, key string, values []string) ([]string, error) {
	if t, ok := h.Hands.(automation.Targeter); ok {
		return t.Targets(ctx, parameter, key, values)
	}
	name, ok := strings.CutPrefix(key, "tag:")
	if !ok || h.g.r.need.Entities == nil {
		return nil, fmt.Errorf("%s can't be found here", key)
	}
	all, err := h.g.r.need.Entities(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range all {
		if !slices.Contains(values, tag(e.Labels, name)) {
			continue
		}
		value := string(e.ID)
		if id := e.Labels["host_id"]; strings.HasPrefix(id, "i-") && parameter != "Entity" && parameter != "InstanceIds" {
			value = id
		}
		out = append(out, value)
	}
	return out, nil
}
