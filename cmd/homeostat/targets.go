package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	"homeostat/internal/bus"
	"homeostat/internal/notify"
	"homeostat/internal/runbook"
	"homeostat/internal/signal"
)

// targets starts what a route names, within the bus' transaction. It is filled in once runbooks and notices are made.
//
// A trail that is read for the first time brings months of accesses, and among them findings. They are events and incidents
// like any other, and what may be done is asked in the console; but nobody is woken for what is long over, and nothing is done
// to a key of today for what it did then without a person's word.
type targets struct {
	runbooks *runbook.Runbooks
	events   *bus.Bus
	notices  *notify.Notices
	names    map[string]string // of notify targets
	log      *slog.Logger
}

// overAfter is how old a finding or an incident may be when it is told, to be told to people. CloudTrail is minutes late, a
// bucket that couldn't be read for a night is hours.
const overAfter = 24 * time.Hour

func (t *targets) Start(ctx context.Context, tx *sql.Tx, ev signal.Event, r bus.Route, to bus.Target) error {
	over, err := t.over(ctx, tx, &ev, time.Now())
	if err != nil {
		return err
	}
	if to.Runbook != "" {
		if again, err := t.again(ctx, &ev, to.Runbook); again || err != nil {
			return err
		}
		mode := to.Mode
		if over {
			mode = signal.Least(mode, signal.Approve)
		}
		return t.runbooks.Start(ctx, tx, ev, r.Name, runbook.Target{
			Runbook: to.Runbook, Mode: mode, Parameters: to.Parameters, Repeat: to.Repeat,
		})
	}
	if over && len(t.names) > 0 {
		t.log.InfoContext(ctx, "nobody was told of what is long over", "event", ev.ID, "route", r.Name)
	}
	if over {
		return nil
	}
	if to.Notify != "*" {
		return t.notices.Start(ctx, tx, ev, r.Name, to.Notify)
	}
	for _, n := range slices.Sorted(maps.Keys(t.names)) {
		if err := t.notices.Start(ctx, tx, ev, r.Name, n); err != nil {
			return err
		}
	}
	return nil
}

// over reports whether an event tells of what was over long before now: unusual access, its incident, and what is said of
// either later. An incident with news in it, an access of today, isn't over.
func (t *targets) over(ctx context.Context, tx *sql.Tx, ev *signal.Event, now time.Time) (bool, error) {
	var d struct {
		signal.Head
		Ended time.Time `json:"ended"`
	}
	if json.Unmarshal(ev.Detail, &d) != nil {
		return false, nil
	}
	switch ev.DetailType {
	case signal.UnusualAccess, signal.IncidentOpened:
		if d.Ended.IsZero() { // an end is told a day later, or more
			return now.Sub(ev.Time) > overAfter, nil
		}
	case signal.IncidentResolved, signal.ExecutionWaitingForApproval, signal.ExecutionSucceeded, signal.ExecutionFailed, signal.ExecutionRefused:
	default:
		return false, nil
	}
	if d.Incident == "" {
		return false, nil
	}
	late, err := t.events.Late(ctx, tx, d.Incident, signal.UnusualAccess, signal.IncidentOpened)
	return late > overAfter, err
}

// again reports whether a finding that is told again has had this runbook: that it grew is no reason to refuse a second one,
// and to tell people so. Another finding of the same user is refused as any second one is, and they are told.
func (t *targets) again(ctx context.Context, ev *signal.Event, name string) (bool, error) {
	if ev.DetailType != signal.UnusualAccess {
		return false, nil
	}
	finding := func(ev *signal.Event) (h signal.Head, err error) { return h, json.Unmarshal(ev.Detail, &h) }
	h, err := finding(ev)
	if err != nil || h.Incident == "" {
		return false, err
	}
	xs, _, err := t.runbooks.Executions(ctx, signal.Query{Incident: h.Incident, Limit: 100})
	if err != nil {
		return false, err
	}
	for _, x := range xs {
		if x.Runbook != name || x.State == signal.Refused || x.Event == "" {
			continue
		}
		first, err := t.events.Event(ctx, x.Event)
		if errors.Is(err, signal.ErrNotFound) {
			continue // pruned
		}
		if err != nil {
			return false, err
		}
		if old, err := finding(&first); err == nil && old.ID == h.ID {
			return true, nil
		}
	}
	return false, nil
}
