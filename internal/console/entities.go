package console

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
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
	Findings       []*findingView // that go on
	Models         []modelRow
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
				if err := c.openFindings(ctx, &v, in.ID); err != nil {
					return nil, err
				}
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
	if v.Models, err = c.modelRows(ctx, e.ID); err != nil {
		return nil, err
	}
	if c.loop.Processes != nil && v.Kind == "host" {
		// A host that sends its figures from elsewhere has no processes here; that is no error.
		if ps, err := c.loop.Processes.Processes(ctx, e.ID, time.Time{}); err == nil {
			v.Processes = newProcessRows(ps[:min(len(ps), topProcesses)])
		}
	}
	return v, nil
}

// openFindings adds what goes on of an incident.
func (c *Console) openFindings(ctx context.Context, v *entityView, incident string) error {
	in, err := c.loop.Incidents.Get(ctx, incident)
	if err != nil {
		return err
	}
	for _, m := range in.Members {
		if m.Ended.IsZero() {
			v.Findings = append(v.Findings, newMember(m))
		}
	}
	return c.judged(ctx, "/entities/"+seg(v.ID), v.Findings...)
}

// modelRow is a model of an entity.
type modelRow struct {
	ID, Detector, Series, State, Tone, Source, Points, Quality, Reason string
	Made                                                               time.Time
}

// modelRows are the models of an entity: what is in use, and what could be.
func (c *Console) modelRows(ctx context.Context, of signal.EntityID) ([]modelRow, error) {
	if c.loop.Models == nil {
		return nil, nil
	}
	ms, err := c.loop.Models.Models(ctx)
	if err != nil {
		return nil, err
	}
	var rows []modelRow
	for _, m := range ms {
		if m.Entity != of {
			continue
		}
		r := modelRow{ID: m.ID, Detector: m.Detector, Series: m.Series, State: m.State, Tone: "calm", Source: m.Source, Made: m.Made, Reason: m.Reason}
		switch m.State {
		case "in use":
			r.Tone = "good"
		case "failed":
			r.Tone = "critical"
		}
		switch m.Source {
		case "live":
			r.Source = "what it has seen here"
		case "csv":
			r.Source = "a file"
		}
		if m.Points > 0 {
			r.Points = strconv.Itoa(m.Points)
		}
		if m.Quality != nil {
			r.Quality = plain.format(m.Quality.PerWeek)
		}
		rows = append(rows, r)
	}
	return rows, nil
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
