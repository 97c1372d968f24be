package notify

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"homeostat/internal/signal"
)

// text is one event in a person's words.
type text struct {
	topic       string // notices of one topic may share a message: the incident, else the event
	title, body string
	link        string
	severity    signal.Severity
}

// compose tells an event. What it doesn't know it tells by its type, its entity and a sentence that it brings.
func compose(ev signal.Event, base string) (text, error) {
	var head signal.Head
	if err := json.Unmarshal(ev.Detail, &head); err != nil {
		return text{}, fmt.Errorf("event %s: detail: %w", ev.ID, err)
	}
	t := text{
		topic: cmp.Or(head.Incident, ev.ID), severity: head.Severity,
		title: ev.DetailType, link: base + "/events/" + ev.ID,
	}
	if head.Entity != "" {
		t.title += ": " + head.Entity.Name()
	}
	var err error
	switch ev.DetailType {
	case signal.IncidentOpened, signal.IncidentUpdated, signal.IncidentResolved:
		err = t.incident(ev, base)
	case signal.ExecutionStarted, signal.ExecutionWaitingForApproval, signal.ExecutionSucceeded, signal.ExecutionFailed, signal.ExecutionRefused:
		err = t.execution(ev, base)
	case signal.AnomalyDetected, signal.AnomalyEnded:
		var a signal.Anomaly
		if err = json.Unmarshal(ev.Detail, &a); err == nil {
			t.title, t.body = "Unusual on "+a.Entity.Name(), a.Reason
			if ev.DetailType == signal.AnomalyEnded {
				t.title = "Usual again on " + a.Entity.Name()
			}
		}
	case signal.UnusualAccess:
		var f signal.Finding
		if err = json.Unmarshal(ev.Detail, &f); err == nil {
			t.title, t.body = "Unusual access by "+f.User, f.Reason
			if !f.Ended.IsZero() {
				t.title += " is over"
			}
		}
	case signal.ForecastBreach:
		var b signal.Breach
		if err = json.Unmarshal(ev.Detail, &b); err == nil {
			t.title, t.body = "Foreseen on "+b.Entity.Name(), b.Reason
			if !b.Ended.IsZero() {
				t.title = "No longer foreseen on " + b.Entity.Name()
			}
		}
	case signal.AlertFiring, signal.AlertResolved:
		var a signal.Alert
		if err = json.Unmarshal(ev.Detail, &a); err == nil {
			t.title, t.body = a.Rule+" on "+a.Entity.Name(), a.Reason
			if ev.DetailType == signal.AlertResolved {
				t.title += " is over"
			}
		}
	default:
		var other struct{ Title, Reason, Message string } // as the events of others mostly have them
		if json.Unmarshal(ev.Detail, &other) == nil {
			t.body = cmp.Or(other.Reason, other.Message, other.Title)
		}
	}
	if err != nil {
		return text{}, fmt.Errorf("event %s: detail: %w", ev.ID, err)
	}
	t.title, t.body = line(t.title), plain(t.body)
	return t, nil
}

func (t *text) incident(ev signal.Event, base string) error {
	var in signal.Incident
	if err := json.Unmarshal(ev.Detail, &in); err != nil {
		return err
	}
	t.topic = cmp.Or(in.Incident, in.ID)
	t.link = base + "/incidents/" + in.ID
	switch ev.DetailType {
	case signal.IncidentOpened:
		t.title = in.Title
		t.body = "Opened " + in.Opened.UTC().Format("15:04:05 MST") + "."
	case signal.IncidentUpdated:
		t.title = in.Title
		t.body = cmp.Or(in.Note, "The incident goes on.")
	case signal.IncidentResolved:
		t.title = "Resolved: " + in.Title
		t.severity = signal.Info
		why := ""
		if in.Note != "" {
			why = ": " + in.Note
		}
		goesOn := 0
		for _, m := range in.Members {
			if m.Ended.IsZero() {
				goesOn++
			}
		}
		after := rounded(in.Resolved.Sub(in.Opened)) + " after it began"
		if goesOn > 0 { // a person has resolved it, and is believed; the figures aren't
			t.body = fmt.Sprintf("Ended by hand, %s%s. Not over yet: %d of its findings.", after, why, goesOn)
		} else {
			t.body = "All is well again, " + after + why + "."
		}
	}
	return nil
}

func (t *text) execution(ev signal.Event, base string) error {
	var x signal.Execution
	if err := json.Unmarshal(ev.Detail, &x); err != nil {
		return err
	}
	t.link = base + "/executions/" + x.ID
	what := x.Runbook + " on " + x.Entity.Name()
	said := cmp.Or(x.Reason, x.Outcome)
	switch ev.DetailType {
	case signal.ExecutionStarted:
		t.title, t.body = "Started: "+what, fmt.Sprintf("Mode %s, by %s.", x.Mode, x.By)
	case signal.ExecutionWaitingForApproval:
		t.title = "Needs your approval: " + what
		if x.Approval != nil {
			said = x.Approval.Message
			if !x.Approval.Expires.IsZero() {
				said += "\nIt waits until " + x.Approval.Expires.UTC().Format("15:04 MST") + ", then it is given up."
			}
		}
		t.body = strings.TrimPrefix(said+"\nApprove: homeostat runbook approve "+x.ID, "\n")
	case signal.ExecutionSucceeded:
		t.title, t.body = "Done: "+what, said
		if x.Mode == signal.Observe {
			t.title = "Would have run: " + what
		}
		if x.Verify == "passed" {
			t.body = strings.TrimSpace(t.body + " Checked afterwards: the trouble is gone.")
		}
	case signal.ExecutionFailed:
		t.title, t.body = "FAILED: "+what, said
		if x.Verify == "failed" {
			t.body = strings.TrimSpace(t.body + " Checked afterwards: the trouble is still there. A person is needed.")
		}
	case signal.ExecutionRefused:
		t.title, t.body = "Refused: "+what, said
	}
	return nil
}

// message puts notices into one: the gravest gives the title, each its lines, and the newest its link.
func message(ns []notice) (title, body string) {
	top := slices.MaxFunc(ns, func(a, b notice) int { return cmp.Compare(a.severity.Rank(), b.severity.Rank()) })
	title = top.title
	if top.severity.Rank() > 0 {
		title = "[" + string(top.severity) + "] " + title
	}
	var b strings.Builder
	for i, n := range ns {
		if i == maxNotices {
			fmt.Fprintf(&b, "... and %d more.\n", len(ns)-i)
			break
		}
		if len(ns) > 1 {
			b.WriteString(n.created.UTC().Format("15:04:05") + " " + n.title + "\n")
		}
		if n.body != "" {
			b.WriteString(n.body + "\n")
		}
	}
	link := ns[len(ns)-1].link
	return title, cut(b.String(), maxText-len(link)-1) + link
}

// line makes one line of a text that may hold anything.
func line(s string) string {
	return cut(strings.Join(strings.Fields(plain(s)), " "), 200)
}

// plain takes control characters out: an event's text is not ours.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		if r < ' ' || r == 0x7f || r == utf8.RuneError || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return -1
		}
		return r
	}, s)
}

// cut shortens s to n bytes at a character's border.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	n -= len("...\n")
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "...\n"
}

// rounded tells a length of time as people do: 42s, 7m, 1h20m.
func rounded(d time.Duration) string {
	if d < time.Minute {
		return d.Round(time.Second).String()
	}
	return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
}
