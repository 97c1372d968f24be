package incident_test

import (
	"strings"
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

func TestUnusualAccessIsListedApart(t *testing.T) {
	w := newWorld(t)
	w.see(unusual("ana", 0, false))
	w.see(unusual("ben", 1, false))
	w.see(event("detect", signal.AnomalyDetected, "an-3", minutes(2), signal.Anomaly{Head: signal.Head{ID: "an-3", Entity: "user:ana"}, Began: minutes(2)}))
	got, _, err := w.Findings(t.Context(), signal.Query{})
	if err != nil || len(got) != 2 || got[0].ID != "an-ana" || got[1].Entity != "user:ben" {
		t.Errorf("%+v, %v", got, err)
	}
	if got, _, err := w.Findings(t.Context(), signal.Query{Entity: "user:ana", State: "open"}); err != nil || len(got) != 1 {
		t.Errorf("of one user: %+v, %v", got, err)
	}
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

func TestForeseenBreachJoinsTheIncident(t *testing.T) {
	breach := func(ended float64) *signal.Event {
		b := signal.Breach{
			Head:   signal.Head{ID: "fo-1", Entity: "host:web-1", Cause: []string{"ba-1-1"}, Severity: signal.Warning},
			Series: "disk /var", Limit: 0.85, Made: minutes(0), Reason: "disk /var is going to cross 0.85 in 40 minutes (30 to 55), at 12:40 UTC",
		}
		if ended > 0 {
			b.Ended, b.Reason = minutes(ended), "disk /var has crossed 0.85"
		}
		return event("detect", signal.ForecastBreach, "fo-1", minutes(ended), b)
	}
	w := newWorld(t)
	foreseen := breach(0)
	w.see(foreseen)
	w.wantTypes("Opened")
	in := w.open()
	if len(in) != 1 || in[0].Entity != "host:web-1" || !strings.HasPrefix(in[0].Title, "disk /var is going to cross 0.85 in 40 minutes (30 to 55)") || !strings.Contains(string(foreseen.Detail), in[0].ID) {
		t.Fatalf("%+v, %s", in, foreseen.Detail)
	}
	w.see(firing("DiskSpace", 39, signal.Warning)) // what was foreseen has come
	w.see(breach(40))
	if in := w.open(); len(in) != 1 || len(in[0].Members) != 2 || in[0].Members[0].Kind != "breach" || in[0].Members[0].Ended.IsZero() || !in[0].Members[1].Ended.IsZero() {
		t.Errorf("%+v", in)
	}
	w.see(resolved("DiskSpace", 39, 50))
	w.step(minutes(60))
	if in := w.open(); len(in) != 0 {
		t.Errorf("%+v", in)
	}
}
