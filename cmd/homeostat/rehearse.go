package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"homeostat/internal/bus"
	"homeostat/internal/detect"
	"homeostat/internal/history"
	"homeostat/internal/runbook"
	"homeostat/internal/signal"
)

// rehearser plays the stored history through rules, detectors, routes and guards as they are configured today. It reads the
// history beside the loop and touches nothing of it.
type rehearser struct {
	cfg      Config
	history  *history.History
	rules    *history.Rules
	bus      *bus.Bus
	runbooks *runbook.Runbooks
	turn     chan struct{} // holds one: a rehearsal takes a core for a while, and two at once would take two
}

// Rehearse implements api.Rehearser.
func (r *rehearser) Rehearse(ctx context.Context, days float64) (signal.Rehearsal, error) {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	default:
		return signal.Rehearsal{}, fmt.Errorf("another rehearsal is under way: %w", signal.ErrConflict)
	}
	to := time.Now().UTC().Truncate(time.Minute)
	from := to.Add(-time.Duration(days * 24 * float64(time.Hour))).Truncate(time.Minute)
	if r.cfg.Data.Keep > 0 {
		if oldest := to.Add(-r.cfg.Data.Keep); from.Before(oldest) {
			from = oldest
		}
	}
	events, err := r.rules.Replay(ctx, from, to)
	if err != nil {
		return signal.Rehearsal{}, err
	}
	var ids []signal.EntityID
	for _, e := range r.history.Entities() {
		ids = append(ids, e.ID)
	}
	found, err := detect.Replay(ctx, r.cfg.Detectors, ids, from, to, r.history)
	if err != nil {
		return signal.Rehearsal{}, err
	}
	events = append(events, found...)
	slices.SortStableFunc(events, func(a, b signal.Event) int { return a.Time.Compare(b.Time) })
	return r.play(ctx, events, from, to)
}

// play groups the events into incidents, routes all of them, and asks the guards.
func (r *rehearser) play(ctx context.Context, events []signal.Event, from, to time.Time) (signal.Rehearsal, error) {
	p, err := r.runbooks.Rehearse(ctx)
	if err != nil {
		return signal.Rehearsal{}, err
	}
	counts, notices := map[string]int{}, 0
	inc := rehearsedIncidents{quiet: r.cfg.Incidents.Quiet, open: map[signal.EntityID]*rehearsedIncident{}}
	route := func(ev signal.Event, head signal.Head) error {
		counts[ev.DetailType]++
		targets, err := r.bus.Targets(ev)
		for _, t := range targets {
			if t.Target.Notify != "" {
				notices++
				continue
			}
			p.Start(ctx, ev, head, rehearsedWhy(ev), head.Incident, t.Route, runbook.Target{
				Runbook: t.Target.Runbook, Mode: t.Target.Mode, Parameters: t.Target.Parameters, Repeat: t.Target.Repeat,
			})
		}
		return err
	}
	tell := func(evs []signal.Event) error {
		for _, ev := range evs {
			var head signal.Head
			if err := json.Unmarshal(ev.Detail, &head); err != nil {
				return err
			}
			if err := route(ev, head); err != nil {
				return err
			}
		}
		return nil
	}
	for _, ev := range events {
		if err := tell(inc.until(ev.Time)); err != nil {
			return signal.Rehearsal{}, err
		}
		more, err := inc.see(&ev)
		if err == nil {
			err = tell(append(more, ev))
		}
		if err != nil {
			return signal.Rehearsal{}, err
		}
	}
	if err := tell(inc.until(to)); err != nil {
		return signal.Rehearsal{}, err
	}
	out := p.Report()
	out.From, out.To, out.Events, out.Notices = from, to, counts, notices
	return out, nil
}

// rehearsedWhy says what an event tells in a sentence.
func rehearsedWhy(ev signal.Event) string {
	var d struct {
		Reason string `json:"reason"`
		Title  string `json:"title"`
	}
	if json.Unmarshal(ev.Detail, &d) != nil || d.Reason+d.Title == "" {
		return ev.DetailType
	}
	return d.Reason + d.Title
}

// rehearsedIncidents groups events by entity as incidents do: from the first anomaly or alert until all have ended and some
// time has been quiet.
type rehearsedIncidents struct {
	quiet time.Duration
	open  map[signal.EntityID]*rehearsedIncident
}

type rehearsedIncident struct {
	signal.Incident
	going map[string]bool // ids of what goes on
	ended time.Time       // when the last of them ended
}

// see puts an event into its incident, stamps it with the incident's id, and returns what is told of the incident before it.
func (in *rehearsedIncidents) see(ev *signal.Event) ([]signal.Event, error) {
	var detail map[string]any
	var head signal.Head
	if err := json.Unmarshal(ev.Detail, &detail); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(ev.Detail, &head); err != nil {
		return nil, err
	}
	x, ok := in.open[head.Entity]
	begins := ev.DetailType == signal.AnomalyDetected || ev.DetailType == signal.AlertFiring
	if !ok && !begins {
		return nil, nil
	}
	var told []signal.Event
	if !ok {
		x = &rehearsedIncident{going: map[string]bool{}}
		x.Incident = signal.Incident{
			Head:  signal.Head{ID: signal.MakeID(signal.KindIncident, "rehearsed", string(head.Entity), ev.ID), Entity: head.Entity, Cause: []string{head.ID}, Severity: head.Severity},
			State: "open", Title: rehearsedWhy(*ev), Opened: ev.Time, Updated: ev.Time,
		}
		in.open[head.Entity] = x
		opened, err := signal.NewEvent("incident", signal.IncidentOpened, x.ID, ev.Time, x.Incident)
		if err != nil {
			return nil, err
		}
		told = append(told, opened)
	}
	if begins {
		x.going[head.ID] = true
	} else if delete(x.going, head.ID); len(x.going) == 0 {
		x.ended = ev.Time
	}
	detail["incident"] = x.ID
	text, err := json.Marshal(detail)
	ev.Detail = text
	return told, err
}

// until resolves the incidents that have been quiet for long enough before t.
func (in *rehearsedIncidents) until(t time.Time) []signal.Event {
	var out []signal.Event
	for id, x := range in.open {
		if len(x.going) > 0 || t.Sub(x.ended) < in.quiet {
			continue
		}
		x.State, x.Resolved = "resolved", x.ended.Add(in.quiet)
		if ev, err := signal.NewEvent("incident", signal.IncidentResolved, x.ID, x.Resolved, x.Incident); err == nil {
			out = append(out, ev)
		}
		delete(in.open, id)
	}
	slices.SortFunc(out, func(a, b signal.Event) int { return a.Time.Compare(b.Time) })
	return out
}
