package incident

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"homeostat/internal/signal"
)

// maxTitle is where a title is cut, in characters: it has to fit a line of a phone's lock screen or two.
const maxTitle = 160

// worst is the highest severity among members; it never falls while the incident is open.
func worst(members []signal.Member, so signal.Severity) signal.Severity {
	for _, m := range members {
		if m.Severity.Rank() > so.Rank() {
			so = m.Severity
		}
	}
	return so
}

// allEnded returns when the last of them ended, and zero while one goes on.
func allEnded(members []signal.Member) time.Time {
	var last time.Time
	for _, m := range members {
		if m.Ended.IsZero() {
			return time.Time{}
		}
		if m.Ended.After(last) {
			last = m.Ended
		}
	}
	return last
}

// title says what is wrong in one line: the worst thing that goes on, or that there was where all is over, on whom, and how much else
// there is.
func title(entity signal.EntityID, members []signal.Member) string {
	if len(members) == 0 {
		return ""
	}
	main, kinds := members[0], map[string]bool{}
	for _, m := range members {
		kinds[m.ID] = true // one that flaps is one thing
		on, was := m.Ended.IsZero(), main.Ended.IsZero()
		if on && !was || on == was && m.Severity.Rank() > main.Severity.Rank() {
			main = m
		}
	}
	text := strings.TrimRight(strings.Join(strings.Fields(main.Title), " "), ".")
	tail := ""
	if name := entity.Name(); name != "" && !strings.Contains(text, name) {
		tail = " on " + name
	}
	if n := len(kinds) - 1; n > 0 {
		tail += fmt.Sprintf(", and %d more", n)
	}
	return cut(text, maxTitle-utf8.RuneCountInString(tail)) + tail
}

// cut shortens a text to n characters.
func cut(s string, n int) string {
	n = max(n, 20)
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)
	return strings.TrimSpace(string(r[:n-1])) + "…"
}

// note says what is being done about an incident and what it waits for.
func note(r record, quiet time.Duration) string {
	var parts []string
	if d, ok := lastVerify(r.deeds); ok && d.verify == "failed" {
		parts = append(parts, fmt.Sprintf("%s ran, but the trouble did not go away: a person has to look, and to resolve this", d.runbook))
	}
	for _, d := range r.deeds {
		switch d.state {
		case signal.Waiting:
			parts = append(parts, d.runbook+" waits for approval")
		case signal.InProgress, signal.Pending, signal.Cancelling:
			parts = append(parts, d.runbook+" runs"+inMode(d.mode))
		}
	}
	if len(parts) == 0 && len(r.deeds) > 0 {
		parts = append(parts, said(r.deeds[len(r.deeds)-1]))
	}
	if !r.ended.IsZero() {
		parts = append(parts, "all is well again; it resolves when that lasts for "+span(quiet))
	}
	return strings.Join(parts, "; ")
}

// said tells how an execution ended.
func said(d deed) string {
	text := d.runbook + inMode(d.mode)
	switch d.state {
	case signal.Success:
		text += " is done"
	case signal.Refused:
		text += " was refused"
	case signal.Cancelled:
		text += " was cancelled"
	case signal.TimedOut:
		text += " ran out of time"
	default:
		text += " failed"
	}
	if d.verify == "passed" {
		text += " and verified"
	}
	if d.reason != "" {
		text += ": " + cut(strings.Join(strings.Fields(d.reason), " "), 200)
	}
	return text
}

func inMode(m signal.Mode) string {
	if m == signal.Observe {
		return " (in mode observe: nothing is changed)"
	}
	return ""
}

// span writes a duration for people: 5 minutes, 90 seconds, 2 hours.
func span(d time.Duration) string {
	n, unit := int(d/time.Second), "second"
	switch {
	case d >= 2*time.Hour || d == time.Hour:
		n, unit = int(d.Round(time.Hour)/time.Hour), "hour"
	case d >= 2*time.Minute || d == time.Minute:
		n, unit = int(d.Round(time.Minute)/time.Minute), "minute"
	}
	if n != 1 {
		unit += "s"
	}
	return fmt.Sprintf("%d %s", n, unit)
}
