package bus

import (
	"cmp"
	"fmt"
	"slices"

	"homeostat/internal/signal"
)

// maxCauses bounds the causes of one event that are looked at: a list from outside may be as long as an event.
const maxCauses = 64

// foreign says whether an id from outside may stand in the chain as its own: one that looks like a thing of ours may not.
func foreign(id string) bool {
	switch signal.KindOf(id) {
	case signal.KindBatch, signal.KindAnomaly, signal.KindAlert, signal.KindIncident, signal.KindExecution,
		signal.KindStep, signal.KindVerify, signal.KindNotice, signal.KindOrder, signal.KindModel:
		return false
	}
	return true
}

// links says what the event adds to the causal chain: itself, and the anomaly or alert that it is the first to tell of, as
// detectors and rules have no transaction of their own. Incidents and executions write their own.
func links(ev *signal.Event, d told) []signal.Link {
	if !ours(ev) {
		if !foreign(ev.ID) {
			return nil
		}
		return []signal.Link{{
			ID: ev.ID, Kind: "event", Time: ev.Time, Text: fmt.Sprintf("%s told: %s", ev.Source, ev.DetailType), Cause: causes(ev.ID, d.Cause),
		}}
	}
	var out []signal.Link
	event := signal.Link{ID: ev.ID, Kind: "event", Time: ev.Time, Text: sentence(ev, d), Cause: causes(ev.ID, d.Cause)}
	if ev.DetailType == signal.ForecastBreach && !d.Ended.IsZero() {
		event.Cause = []string{d.ID}
		return append(out, event)
	}
	switch ev.DetailType {
	case signal.AnomalyDetected, signal.AlertFiring, signal.UnusualAccess, signal.ForecastBreach:
		kind, text := "anomaly", cmp.Or(d.Reason, d.Detector+" found something unusual")
		if ev.DetailType == signal.AlertFiring {
			kind, text = "alert", cmp.Or(d.Reason, d.Rule+" holds")
		} else if ev.DetailType == signal.ForecastBreach {
			kind = "breach"
		}
		at := d.Began
		if at.IsZero() {
			at = ev.Time
		}
		out = append(out, signal.Link{ID: d.ID, Kind: kind, Time: at, Text: text, Cause: causes(d.ID, d.Cause)})
		event.Cause = []string{d.ID}
	case signal.AnomalyEnded, signal.AlertResolved:
		event.Cause = []string{d.ID}
	default:
		if d.ID != "" && d.ID != ev.ID && !slices.Contains(event.Cause, d.ID) {
			event.Cause = append([]string{d.ID}, event.Cause...)
		}
	}
	return append(out, event)
}

func causes(id string, list []string) []string {
	out := make([]string, 0, len(list))
	for _, c := range list[:min(len(list), maxCauses)] {
		if c != "" && c != id && len(c) <= maxID {
			out = append(out, c)
		}
	}
	return out
}

// sentence tells an event of ours to a tired person.
func sentence(ev *signal.Event, d told) string {
	about := cmp.Or(d.Title, d.Runbook, d.Rule, d.Detector)
	switch ev.DetailType {
	case signal.AnomalyEnded:
		return "it is back in its normal range"
	case signal.AlertResolved:
		return d.Rule + " no longer holds"
	case signal.IncidentUpdated:
		if d.Note != "" { // what is new about it; its title stands beside it in the chain
			about = ""
		}
	}
	text := ev.DetailType
	if about != "" {
		text += ": " + about
	}
	if why := cmp.Or(d.Note, d.Outcome, d.Reason); why != "" && why != about {
		text += ": " + why
	}
	return text
}
