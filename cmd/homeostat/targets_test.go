package main

import (
	"testing"
	"time"

	"homeostat/internal/signal"
)

// What a trail that is read for the first time brings is not told to people; what is new is, in the same incident too.
func TestWhatIsLongOverIsNotTold(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	long, just := now.AddDate(0, 0, -40), now.Add(-10*time.Minute)
	event := func(kind string, at time.Time, incident string) signal.Event {
		ev, err := signal.NewEvent("detect", kind, incident, at, map[string]string{"id": "x", "incident": incident})
		if err != nil {
			t.Fatal(err)
		}
		return ev
	}
	to := &targets{}
	for i, tt := range []struct {
		ev   signal.Event
		over bool
	}{
		{event(signal.UnusualAccess, long, "in-1"), true},
		{event(signal.IncidentOpened, long, "in-1"), true},
		{event(signal.ExecutionRefused, now, "in-1"), true},
		{event(signal.IncidentResolved, now, "in-1"), true},
		{event(signal.UnusualAccess, just, "in-2"), false},
		{event(signal.IncidentOpened, just, "in-2"), false},
		{event(signal.ExecutionWaitingForApproval, now, "in-2"), false},
		{event(signal.UnusualAccess, just, "in-1"), false}, // the same user again, today
		{event(signal.ExecutionWaitingForApproval, now, "in-1"), false},
		{event(signal.AlertFiring, long, "in-3"), false}, // rules look at now, whatever the samples' time
	} {
		if got := to.over(&tt.ev, now); got != tt.over {
			t.Errorf("%d: %s of %s is over: %v, want %v", i, tt.ev.DetailType, tt.ev.Time, got, tt.over)
		}
	}
}
