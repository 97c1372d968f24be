package console

import (
	"context"
	"net/http"
	"strings"
	"time"

	"homeostat/internal/signal"
)

// runbooksView is the list of runbooks: what is run, and the Command documents that it is made of.
type runbooksView struct{ Rows, Parts []runbookRow }

func (runbooksView) title() string { return "Runbooks" }

// runbookRow is a runbook in a list.
type runbookRow struct {
	Name, Kind, Origin, Description, Routes, Steps string
	Changes                                        bool // some step changes something
}

func newRunbookRow(b signal.Runbook) runbookRow {
	r := runbookRow{Name: b.Name, Kind: b.Kind, Origin: b.Origin, Description: b.Description, Routes: strings.Join(b.Routes, ", "), Steps: count(len(b.Steps), "step")}
	for _, s := range b.Steps {
		r.Changes = r.Changes || s.Effect == "changing"
	}
	return r
}

func (c *Console) runbooks(ctx context.Context, _ *http.Request) (titled, error) {
	var v runbooksView
	if c.loop.Runbooks == nil {
		return v, nil
	}
	bs, err := c.loop.Runbooks.Runbooks(ctx)
	for _, b := range bs {
		if b.Kind == "command" && len(b.Routes) == 0 {
			v.Parts = append(v.Parts, newRunbookRow(b))
		} else {
			v.Rows = append(v.Rows, newRunbookRow(b))
		}
	}
	return v, err
}

// runbookView is one runbook with its text, and the form that starts it.
type runbookView struct {
	runbookRow
	Version    string
	Parameters []parameterRow
	StepRows   []signal.RunbookStep
	Text       string
	Graph      graph
	Held       []heldRow
	Entities   []string
	MayStart   bool
	MayAct     bool
}

// heldRow is an entity on which the runbook asks before it acts.
type heldRow struct {
	Entity, Execution string
	Failed            int
	Since             time.Time
}

func (v runbookView) title() string { return v.Name }

// parameterRow is a parameter and its field in the form.
type parameterRow struct {
	Name, Type, Description, Default string
	Required                         bool
}

func (c *Console) runbook(ctx context.Context, r *http.Request) (titled, error) {
	if c.loop.Runbooks == nil {
		return nil, errAbsent
	}
	b, err := c.loop.Runbooks.Runbook(ctx, r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	a := signal.ActorOf(ctx)
	v := runbookView{
		runbookRow: newRunbookRow(b), Version: b.Version, StepRows: b.Steps, Text: b.Text,
		MayStart: c.loop.Starter != nil && b.Kind != "command" && a.Role.Allows(signal.Operator), MayAct: a.Role.Allows(signal.Approver),
	}
	v.Graph = drawGraph(b.Steps, b.Ways)
	for _, h := range b.Held {
		v.Held = append(v.Held, heldRow{string(h.Entity), h.Execution, h.Failed, h.Since})
	}
	for _, p := range b.Parameters {
		if p.Name == "Entity" {
			continue // the form's own first field is it
		}
		row := parameterRow{Name: p.Name, Type: p.Type, Description: p.Description, Required: p.Required}
		switch d := p.Default.(type) {
		case nil:
		case string:
			row.Default = d
		default:
			row.Default = pretty(d)
		}
		v.Parameters = append(v.Parameters, row)
	}
	if v.MayStart && c.loop.Entities != nil {
		es, err := c.loop.Entities.Entities(ctx)
		if err != nil {
			return nil, err
		}
		for _, e := range es {
			v.Entities = append(v.Entities, string(e.ID))
		}
	}
	return v, nil
}
