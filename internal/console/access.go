package console

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"homeostat/internal/signal"
)

// kindAccess is the kind of an incident's member that is a finding of unusual access.
const kindAccess = "access"

// accessView is what there is to say of unusual access besides what every finding has.
type accessView struct {
	Parts      []partRow
	Calls      calls // the gravest first
	Since      calls // by the same identity from elsewhere
	Techniques []link
	Entities   []link // of what it touched, what is watched
	Resources  []string
}

// link is a name that leads somewhere.
type link struct{ Name, Link string }

// partRow is one part of what speaks for an intruder.
type partRow struct {
	Name, Words, Share string
	Part               float64 // of the score, 0 to 1
}

// calls are a table of what was called.
type calls struct {
	Rows      []callRow
	Elsewhere bool // and each tells from where
}

// callRow is what was called, of one kind.
type callRow struct {
	What, Region, Count, Address string
	Refused                      string // how many of them, "" where none was
	First, Last                  time.Time
}

// partNames are what people call the parts of an episode.
var partNames = map[string]string{
	"network": "Where from", "hours": "Time of day", "agent": "Program", "novelty": "New calls", "gravity": "What it can do", "region": "Region",
	"resources": "New resources", "refusals": "Refused calls", "overlap": "Two places at once", "volume": "Number of calls", "embedding": "Kind of network",
}

// newAccess lays out a finding of unusual access; nil when it isn't one.
func newAccess(detail json.RawMessage) *findingView {
	var f signal.Finding
	if json.Unmarshal(detail, &f) != nil {
		return nil
	}
	v := &findingView{ID: f.ID, Kind: kindAccess, Reason: f.Reason, Tone: tone(f.Severity), Began: f.Began, Ended: f.Ended, Entity: f.Entity, Detector: f.Detector, Access: &accessView{Resources: f.Resources}}
	did := count(f.Accesses, "call")
	if f.Refused > 0 {
		did += ", " + strconv.Itoa(f.Refused) + " of them refused"
	}
	v.Facts = []pair{{"Who", f.User}, {"From", f.Address}, {"Did", did}, {"Score", plain.format(f.Score) + ", threshold " + plain.format(f.Threshold)}, {"Confidence", percent(f.Confidence)}}
	for _, p := range []pair{{"Identity", f.Identity}, {"Access keys", strings.Join(f.Keys, ", ")}, {"Organisation", f.Organisation}} {
		if p.Value != "" {
			v.Facts = append(v.Facts, p)
		}
	}
	a := v.Access
	for _, n := range sortedKeys(f.Attribution) {
		s := f.Attribution[n]
		a.Parts = append(a.Parts, partRow{cmp.Or(partNames[n], n), cmp.Or(f.Because[n], "a little unusual"), percent(s), s})
	}
	slices.SortStableFunc(a.Parts, func(a, b partRow) int { return cmp.Compare(b.Part, a.Part) })
	a.Calls, a.Since = calls{callRows(f.Calls), false}, calls{callRows(f.Since), true}
	for _, t := range f.Techniques {
		a.Techniques = append(a.Techniques, link{t.ID + " " + t.Name, "https://attack.mitre.org/techniques/" + strings.ReplaceAll(seg(t.ID), ".", "/") + "/"})
	}
	for _, e := range f.Entities {
		a.Entities = append(a.Entities, link{string(e), "/entities/" + seg(string(e))})
	}
	return v
}

// watched leaves those entities that there is a page for.
func (c *Console) watched(ctx context.Context, a *accessView) error {
	if len(a.Entities) == 0 || c.loop.Entities == nil {
		a.Entities = nil
		return nil
	}
	es, err := c.loop.Entities.Entities(ctx)
	a.Entities = slices.DeleteFunc(a.Entities, func(l link) bool {
		return !slices.ContainsFunc(es, func(e signal.Entity) bool { return string(e.ID) == l.Name })
	})
	return err
}

func callRows(cs []signal.Call) []callRow {
	var rows []callRow
	for _, c := range cs {
		r := callRow{What: strings.TrimSuffix(c.Service, ".amazonaws.com") + ":" + c.API, Region: c.Region, Count: strconv.Itoa(c.Count), Address: c.Address, First: c.First, Last: c.Last}
		if c.Refused > 0 {
			r.Refused = strconv.Itoa(c.Refused)
		}
		rows = append(rows, r)
	}
	return rows
}
