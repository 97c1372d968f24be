package main

import (
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"homeostat/internal/bus"
	"homeostat/internal/signal"
	"homeostat/internal/store/storetest"
)

// What a trail that is read for the first time brings is not told to people; what is new is, in the same incident too.
func TestWhatIsLongOverIsNotTold(t *testing.T) {
	now := time.Now().UTC()
	long, just := now.AddDate(0, 0, -40), now.Add(-10*time.Minute)
	n := 0
	event := func(kind string, at time.Time, incident string) signal.Event {
		n++
		ev, err := signal.NewEvent("detect", kind, strconv.Itoa(n), at, signal.Head{ID: "x", Incident: incident, Cause: []string{}})
		if err != nil {
			t.Fatal(err)
		}
		return ev
	}
	ended := func(at time.Time, incident string) signal.Event {
		n++
		ev, err := signal.NewEvent("detect", signal.UnusualAccess, strconv.Itoa(n), at, signal.Finding{Head: signal.Head{ID: "x", Incident: incident, Cause: []string{}}, Ended: at})
		if err != nil {
			t.Fatal(err)
		}
		return ev
	}
	s := storetest.Open(t)
	open := func() *bus.Bus {
		b, err := bus.New(bus.Needs{DB: s.DB, Read: s.Read, Audit: s.Audit, Chain: s.Chain}, nil, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	to := &targets{events: open()}
	over := func(ev signal.Event) (over bool, err error) {
		tx, err := s.DB.BeginTx(t.Context(), nil)
		if err != nil {
			return false, err
		}
		defer tx.Rollback()
		if err := to.events.PublishTx(t.Context(), tx, ev); err != nil {
			return false, err
		}
		if over, err = to.over(t.Context(), tx, &ev, now); err != nil {
			return false, err
		}
		return over, tx.Commit()
	}
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
		{ended(long, "in-2"), false}, // told in time, and now that it is over
		{event(signal.IncidentResolved, now, "in-2"), false},
		{ended(long, "in-1"), true},
		{event(signal.UnusualAccess, just, "in-1"), false}, // the same user again, today
		{event(signal.ExecutionWaitingForApproval, now, "in-1"), false},
		{event(signal.AlertFiring, long, "in-3"), false}, // rules look at now, whatever the samples' time
	} {
		if got, err := over(tt.ev); got != tt.over || err != nil {
			t.Errorf("%d: %s of %s is over: %v, want %v; %v", i, tt.ev.DetailType, tt.ev.Time, got, tt.over, err)
		}
		to = &targets{events: open()} // a restart forgets nothing
	}
}

// An instance that was touched is watched under its host's name: the incident is that host's, where it is in trouble.
func TestWhatWasTouchedIsNamedAsItIsWatched(t *testing.T) {
	watched := []signal.Entity{
		{ID: "host:web-1", Labels: map[string]string{"host_name": "web-1", "host_id": "i-0abc"}},
		{ID: "host:web-2", Labels: map[string]string{"host_name": "web-2", "host_id": "i-0def"}},
		{ID: "host:i-0abc", Labels: map[string]string{"host_id": "i-0abc"}},
		{ID: "service:shop", Labels: map[string]string{}},
	}
	ev, err := signal.NewEvent("detect", signal.UnusualAccess, "an-1", time.Now(), signal.Finding{Entities: []signal.EntityID{"host:i-0abc", "instance:i-0abc"}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // told again
		if err := watchedAs(&ev, watched); err != nil {
			t.Fatal(err)
		}
	}
	var f signal.Finding
	if err := json.Unmarshal(ev.Detail, &f); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]signal.EntityID{"host:i-0abc", "instance:i-0abc", "host:web-1"}, f.Entities); diff != "" {
		t.Error(diff)
	}
}
