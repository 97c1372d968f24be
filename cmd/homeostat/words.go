package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	"homeostat/internal/signal"
)

func unmarshalDetail(ev signal.Event, into any) error {
	if err := json.Unmarshal(ev.Detail, into); err != nil {
		return fmt.Errorf("event %s: detail: %w", ev.ID, err)
	}
	return nil
}

// summary tells an event in a few words.
func summary(ev signal.Event) string {
	var d struct {
		signal.Head
		Note, Title, Reason, Message, Outcome, Rule, Runbook string
	}
	_ = json.Unmarshal(ev.Detail, &d) // a detail of another shape has less to say
	if ev.DetailType == signal.IncidentUpdated && d.Note != "" {
		d.Title = d.Note // what is new about it
	}
	if ev.DetailType == signal.AlertResolved && d.Rule != "" {
		d.Title = d.Rule + " no longer holds" // its reason says what was wrong
	}
	words := cmp.Or(d.Title, d.Reason, d.Message, d.Outcome, d.Rule)
	if d.Runbook != "" {
		words = strings.TrimSuffix(d.Runbook+": "+words, ": ")
	}
	return cmp.Or(words, d.ID, ev.ID)
}

// byWhat names what detected something.
func byWhat(ev signal.Event) string {
	var d struct {
		Rule     string `json:"rule"`
		Detector string `json:"detector"`
	}
	if json.Unmarshal(ev.Detail, &d) != nil {
		return ev.DetailType
	}
	if d.Rule != "" {
		return "rule " + d.Rule
	}
	return "detector " + d.Detector
}

// counted says how many there are of what is named in the singular: "1 route", "2 routes".
func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
