package aws

import (
	"context"
	"fmt"
	"strings"
	"time"

	"homeostat/automation"
)

// calendarTime bounds the question: a guard waits for it.
const calendarTime = 20 * time.Second

// Closed asks Systems Manager for the state of a Change Calendar at a time, now or another, and returns why nothing may be
// changed then; "" where the calendar is open. It is asked in the calendar's own region, with the configured role.
func (h *Hands) Closed(ctx context.Context, arn string, at time.Time) (string, error) {
	if h.sessions == nil {
		return "", ErrNotConfigured
	}
	parts := strings.Split(arn, ":") // arn:aws:ssm:region:account:document/name
	if len(parts) != 6 {
		return "", fmt.Errorf("want the ARN of a calendar, not %q", arn)
	}
	in := map[string]any{"CalendarNames": []any{arn}}
	if d := time.Since(at); d < -time.Second || d > time.Second {
		in["AtTime"] = at.UTC().Format(time.RFC3339)
	}
	ctx, stop := context.WithTimeout(ctx, calendarTime)
	defer stop()
	w := &work{Hands: h, Call: automation.Call{}, aws: h.sessions.Of("", parts[3])}
	out, err := w.call(ctx, "ssm", "GetCalendarState", in)
	if err != nil {
		return "", fmt.Errorf("calendar %s: %w", arn, err)
	}
	switch state := text(out["State"]); state {
	case "OPEN":
		return "", nil
	case "CLOSED":
		why := strings.TrimPrefix(parts[5], "document/") + " is closed"
		if until := text(out["NextTransitionTime"]); until != "" {
			why += " until " + until
		}
		return why, nil
	default:
		return "", fmt.Errorf("calendar %s is in state %q", arn, state)
	}
}
