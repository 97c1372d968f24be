package main

import (
	"cmp"
	"encoding/json"
	"fmt"

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
		Reason  string `json:"reason"`
		Title   string `json:"title"`
		Rule    string `json:"rule"`
		Runbook string `json:"runbook"`
		Outcome string `json:"outcome"`
		ID      string `json:"id"`
	}
	if json.Unmarshal(ev.Detail, &d) != nil {
		return ev.ID
	}
	return cmp.Or(d.Title, d.Reason, d.Outcome, d.Rule, d.Runbook, d.ID)
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
