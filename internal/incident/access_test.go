package incident_test

import (
	"testing"

	"homeostat/internal/signal"
)

func unusual(user string, at float64, ended bool, touched ...signal.EntityID) *signal.Event {
	f := signal.Finding{
		Head: signal.Head{ID: "an-" + user, Entity: signal.EntityID("user:" + user), Cause: []string{}, Severity: signal.Critical},
		User: user, Address: "203.0.113.9", Reason: user + " from 203.0.113.9", Began: minutes(0), Updated: minutes(at), Entities: touched,
	}
	if ended {
		f.Ended = f.Updated
	}
	return event("detect", signal.UnusualAccess, f.ID, minutes(at), f)
}

func TestUnusualAccessOpensAnIncidentUntilItsDayIsOver(t *testing.T) {
	w := newWorld(t)
	w.see(unusual("ana", 0, false))
	w.wantTypes("Opened")
	if in := w.open(); len(in) != 1 || in[0].Entity != "user:ana" || in[0].Title != "Unusual access: ana from 203.0.113.9" || in[0].Severity != signal.Critical {
		t.Fatalf("%+v", in)
	}
	w.see(unusual("ana", 3, false)) // told again
	w.wantTypes()
	w.see(unusual("ana", 9, true))
	w.wantTypes("Updated")
	w.step(minutes(20))
	if in := w.open(); len(in) != 0 {
		t.Errorf("%+v", in)
	}
}

func TestAccessAndTroubleOfWhatItTouchedAreOneIncident(t *testing.T) {
	for _, accessFirst := range []bool{true, false} {
		w := newWorld(t)
		steps := []*signal.Event{unusual("ana", 0, false, "host:web-1", "host:100%_x"), firing("HighCPU", 1, signal.Warning)}
		if !accessFirst {
			steps[0], steps[1] = steps[1], steps[0]
		}
		w.see(steps[0])
		w.see(steps[1])
		w.see(unusual("bob", 2, false, "host:db-1"))
		if in := w.open(); len(in) != 2 {
			t.Errorf("access first %v: %d incidents are open, want ana's with the alert and bob's: %+v", accessFirst, len(in), in)
		}
	}
}
