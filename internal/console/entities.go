package console

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"homeostat/internal/signal"
)

// entityView is the page of one entity.
type entityView struct {
	ID, Name, Kind string
	Labels         []pair
	Series         int
	Seen           time.Time
	Open           []incidentRow
	Past           []incidentRow
	Executions     []executionRow
	Processes      []processRow
	Ranges         []choice
	Charts         string // where the script gets the charts
	Learning       []learningRow
	Outlook        []outlookRow
}

func (v entityView) title() string { return v.Name }

// pair is a name and a value.
type pair struct{ Name, Value string }

// choice is one of several links.
type choice struct {
	Name, Link string
	On         bool
}

// processRow is a process in a table.
type processRow struct {
	PID                           int32
	Name, User, Command, CPU, RSS string
	CPUTime                       string
	Began                         time.Time
}

func newProcessRows(ps []signal.Process) []processRow {
	var rows []processRow
	for _, p := range ps {
		rows = append(rows, processRow{
			PID: p.PID, Name: p.Name, User: p.User, Command: p.Command, CPU: percent(p.CPU) + " of a core", RSS: bytesText(float64(p.RSS)),
			CPUTime: length(time.Duration(p.CPUSeconds * float64(time.Second))), Began: p.Began,
		})
	}
	return rows
}

// topProcesses is how many processes an entity's page shows; /api/processes has all of the scan.
const topProcesses = 10

// learningRow is how far a detector is.
type learningRow struct {
	Detector, Kind, Entity, Share, Note string
	Value                               float64
	Since                               time.Time
}

func (c *Console) learningRows(of signal.EntityID) []learningRow {
	if c.loop.Learning == nil {
		return nil
	}
	var rows []learningRow
	for _, l := range c.loop.Learning.Learning() {
		if of == "" || l.Entity == of {
			rows = append(rows, learningRow{l.Detector, l.Kind, string(l.Entity), percent(l.Confidence), l.Note, l.Confidence, l.Since})
		}
	}
	return rows
}

func (c *Console) entity(ctx context.Context, r *http.Request) (titled, error) {
	e, err := c.findEntity(ctx, signal.EntityID(r.PathValue("id")))
	if err != nil {
		return nil, err
	}
	v := entityView{ID: string(e.ID), Name: e.ID.Name(), Kind: e.ID.Kind(), Series: e.Series, Seen: e.LastSeen, Learning: c.learningRows(e.ID), Outlook: c.outlookRows(e.ID)}
	for _, n := range slices.Sorted(maps.Keys(e.Labels)) {
		v.Labels = append(v.Labels, pair{n, e.Labels[n]})
	}
	path := "/entities/" + seg(v.ID)
	at := r.URL.Query().Get("range")
	if !slices.ContainsFunc(chartRanges, func(x chartRange) bool { return x.Name == at }) {
		at = "1h"
	}
	v.Charts = path + "/charts?range=" + at
	for _, x := range chartRanges {
		v.Ranges = append(v.Ranges, choice{x.Name, path + "?range=" + x.Name, x.Name == at})
	}
	if c.loop.Incidents != nil {
		ins, _, err := c.loop.Incidents.List(ctx, signal.Query{Entity: e.ID, Newest: true, Limit: 20})
		if err != nil {
			return nil, err
		}
		for _, in := range ins {
			if in.State == "open" {
				v.Open = append(v.Open, newIncidentRow(in))
			} else {
				v.Past = append(v.Past, newIncidentRow(in))
			}
		}
	}
	if c.loop.Executions != nil {
		xs, _, err := c.loop.Executions.Executions(ctx, signal.Query{Entity: e.ID, Newest: true, Limit: 10})
		if err != nil {
			return nil, err
		}
		for _, x := range xs {
			v.Executions = append(v.Executions, newExecutionRow(x))
		}
	}
	if c.loop.Processes != nil && v.Kind == "host" {
		// A host that sends its figures from elsewhere has no processes here; that is no error.
		if ps, err := c.loop.Processes.Processes(ctx, e.ID, time.Time{}); err == nil {
			v.Processes = newProcessRows(ps[:min(len(ps), topProcesses)])
		}
	}
	return v, nil
}

// entitiesView is the list of all that is watched.
type entitiesView struct {
	Entities []entityRow
	More     string
	Search   string
}

func (entitiesView) title() string { return "Entities" }

func (c *Console) entities(ctx context.Context, r *http.Request) (titled, error) {
	v := entitiesView{Search: r.URL.Query().Get("q")}
	var open []signal.Incident
	var err error
	if c.loop.Incidents != nil {
		if open, _, err = c.loop.Incidents.List(ctx, signal.Query{State: "open", Limit: 1000}); err != nil {
			return nil, err
		}
	}
	rows, err := c.entityRows(ctx, open)
	for _, e := range rows {
		if strings.Contains(strings.ToLower(e.ID), strings.ToLower(v.Search)) && len(v.Entities) < 500 {
			v.Entities = append(v.Entities, e)
		}
	}
	return v, err
}
