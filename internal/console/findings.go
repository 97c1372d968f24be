package console

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"homeostat/internal/signal"
)

// findingView is an anomaly, an alert or unusual access, laid out.
type findingView struct {
	ID, Kind, Reason, Tone string
	Page                   string // the address that the rule gives for reading on
	Began, Ended           time.Time
	Facts                  []pair
	Features               []featureRow
	Access                 *accessView
	Processes              []processRow

	Entity   signal.EntityID
	Detector string
	Judged   string // what a person said of it, "" while nobody has
	MayJudge bool   // the reader may say what it was worth
	Back     string // where a browser without scripts is sent then
}

// featureRow is one input of an anomaly.
type featureRow struct {
	Name, Value, Expected, Range, Share string
	Part                                float64 // of the score, 0 to 1
	Outside                             bool
}

// newFinding lays out the detail of an anomaly or alert; nil when it isn't one.
func newFinding(kind string, detail json.RawMessage) *findingView {
	if kind == kindBreach {
		return newBreach(detail)
	}
	if kind == "alert" {
		var a signal.Alert
		if json.Unmarshal(detail, &a) != nil {
			return nil
		}
		v := &findingView{ID: a.ID, Kind: kind, Reason: a.Reason, Tone: tone(a.Severity), Began: a.Began, Ended: a.Ended, Processes: newProcessRows(a.Processes), Entity: a.Entity}
		v.Facts = append(v.Facts, pair{"Rule", a.Rule}, pair{"The rule's value", plain.format(a.Value)})
		if a.Runbook != "" {
			v.Page = a.Runbook
		}
		for _, n := range sortedKeys(a.Labels) {
			if n == "alertname" || n == "severity" { // said already
				continue
			}
			v.Facts = append(v.Facts, pair{n, a.Labels[n]})
		}
		return v
	}
	if kind == kindAccess {
		return newAccess(detail)
	}
	var a signal.Anomaly
	if json.Unmarshal(detail, &a) != nil {
		return nil
	}
	v := &findingView{ID: a.ID, Kind: kind, Reason: a.Reason, Tone: tone(a.Severity), Began: a.Began, Ended: a.Ended, Processes: newProcessRows(a.Processes), Entity: a.Entity, Detector: a.Detector}
	v.Facts = append(v.Facts, pair{"Detector", a.Detector}, pair{"Score", plain.format(a.Score) + ", threshold " + plain.format(a.Threshold)},
		pair{"Grade", grade(a.Grade)}, pair{"Confidence", percent(a.Confidence)})
	for _, n := range a.Series {
		u := featureUnit(n)
		v.Features = append(v.Features, featureRow{
			Name: n, Value: u.format(a.Values[n]), Expected: u.format(a.Expected[n]), Range: u.format(a.Lower[n]) + " to " + u.format(a.Upper[n]),
			Share: percent(a.Attribution[n]), Part: a.Attribution[n], Outside: a.Values[n] > a.Upper[n] || a.Values[n] < a.Lower[n],
		})
	}
	slices.SortStableFunc(v.Features, func(a, b featureRow) int { return cmp.Compare(b.Part, a.Part) })
	return v
}

// featureUnit returns the unit of a detector's input: a feature's own, else what its name tells.
func featureUnit(name string) unit {
	for _, f := range features {
		if f.Name == name {
			return f.Unit
		}
	}
	return unitOf(name)
}

// judged puts on findings what a person said of them, whether the reader may say something, and which of what they name is watched.
func (c *Console) judged(ctx context.Context, back string, fs ...*findingView) error {
	said := map[signal.EntityID]map[string]string{}
	may := c.loop.Judge != nil && signal.ActorOf(ctx).Role.Allows(signal.Operator)
	for _, f := range fs {
		if f.Kind != "anomaly" && f.Kind != kindAccess {
			continue
		}
		if said[f.Entity] == nil {
			var err error
			if said[f.Entity], err = c.judgements(ctx, f.Entity); err != nil {
				return err
			}
		}
		if f.Access != nil {
			if err := c.watched(ctx, f.Access); err != nil {
				return err
			}
		}
		f.Back, f.Judged, f.MayJudge = back, said[f.Entity][f.ID], may && c.learns(f.Detector)
	}
	return nil
}

// judgements are the last words on an entity's findings, by their ids.
func (c *Console) judgements(ctx context.Context, entity signal.EntityID) (map[string]string, error) {
	said := map[string]string{}
	if c.loop.Events == nil {
		return said, nil
	}
	es, _, err := c.loop.Events.Events(ctx, signal.Query{Type: signal.AnomalyJudged, Entity: entity, Newest: true, Limit: 200})
	for _, e := range slices.Backward(es) { // the last one holds
		var j signal.Judgement
		if json.Unmarshal(e.Detail, &j) == nil {
			said[j.Anomaly] = j.Judgement + " by " + j.By
		}
	}
	return said, err
}

// learns says whether a detector takes what people say of its findings: one that judges by a forecast has nothing to move.
func (c *Console) learns(detector string) bool {
	if c.loop.Learning == nil {
		return true
	}
	return !slices.ContainsFunc(c.loop.Learning.Learning(), func(l signal.Learning) bool { return l.Detector == detector && l.Kind == "deepar" })
}
