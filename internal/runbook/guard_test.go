package runbook

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"homeostat/internal/signal"
)

func TestZeroVerdictRefuses(t *testing.T) {
	var v Verdict
	if v != Refuse || v.String() != "refuse" {
		t.Errorf("the zero Verdict is %v", v)
	}
	if v, _, _ := ask(nil, Act{}); v != Refuse {
		t.Errorf("no guards at all: %v, want refuse", v)
	}
}

func TestCooldownHoldsToTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := Cooldown{Every: 10 * time.Minute}
		a := Act{Runbook: "HighCPU-Host", Entity: "host:web-1", LastActed: time.Now()}
		time.Sleep(10*time.Minute - time.Nanosecond)
		if v, reason := g.Check(a); v != Refuse || !strings.Contains(reason, "1s are left") {
			t.Errorf("one nanosecond early: %v, %q", v, reason)
		}
		time.Sleep(time.Nanosecond)
		if v, reason := g.Check(a); v != Allow {
			t.Errorf("at its end: %v, %q", v, reason)
		}
		if v, _ := g.Check(Act{}); v != Allow {
			t.Errorf("the first time: %v", v)
		}
		if v, _ := (Cooldown{}).Check(Act{}); v != Refuse {
			t.Errorf("a cooldown that isn't known: %v", v)
		}
		// A clock that was put back must not let anything through early.
		if v, _ := g.Check(Act{LastActed: time.Now().Add(time.Hour)}); v != Refuse {
			t.Errorf("acted in the future: %v", v)
		}
	})
}

func TestGuards(t *testing.T) {
	for _, tt := range []struct {
		name  string
		act   Act
		guard string // that refuses; "" when all allow
	}{
		{"nothing in the way", Act{Mode: signal.Auto}, ""},
		{"paused", Act{Mode: signal.Auto, Paused: true, Acting: 9}, "pause"},
		{"paused, approved", Act{Mode: signal.Approve, Paused: true}, "pause"},
		{"paused, but it only observes", Act{Mode: signal.Observe, Paused: true}, ""},
		{"acted just now", Act{Mode: signal.Auto, LastActed: time.Now(), Acting: 9}, "cooldown"},
		{"two act", Act{Mode: signal.Auto, Acting: 2}, ""},
		{"three act", Act{Mode: signal.Auto, Acting: 3, SameIncident: "ex-1"}, "concurrent"},
		{"ran for this incident", Act{Mode: signal.Auto, SameIncident: "ex-1"}, "once"},
		{"may run again", Act{Mode: signal.Auto, SameIncident: "ex-1", Repeat: true}, ""},
		{"a freeze", Act{Mode: signal.Auto, Outside: Outside{Frozen: "closing of the year"}}, "freeze"},
		{"a freeze that can't be read", Act{Mode: signal.Auto, Outside: Outside{FreezeErr: errors.New("x")}}, "freeze"},
		{"another of four", Act{Mode: signal.Auto, Entity: "host:a", Touched: []signal.EntityID{"host:b"}, Outside: Outside{Group: hosts("abcd")}}, "blast_radius"},
		{"another of five", Act{Mode: signal.Auto, Entity: "host:a", Touched: []signal.EntityID{"host:b"}, Outside: Outside{Group: hosts("abcde")}}, ""},
		{"one of another group", Act{Mode: signal.Auto, Entity: "host:a", Touched: []signal.EntityID{"host:z"}, Outside: Outside{Group: hosts("abcd")}}, ""},
		{"the entity itself", Act{Mode: signal.Auto, Entity: "host:a", Touched: []signal.EntityID{"host:a"}, Outside: Outside{Group: hosts("a")}}, ""},
		{"a group that isn't known", Act{Mode: signal.Auto, Outside: Outside{GroupErr: errors.New("x")}}, "blast_radius"},
		{"a script", Act{Mode: signal.Auto, Action: "aws:executeScript"}, "scripts"},
		{"a script that a person approved", Act{Mode: signal.Approve, Action: "aws:executeScript"}, ""},
	} {
		if tt.act.Group == nil {
			tt.act.Group = []signal.EntityID{""}
		}
		r, err := newRules(DefaultGuards())
		if err != nil {
			t.Fatal(err)
		}
		v, guard, reason := ask(r.guards, tt.act)
		if guard != tt.guard || (v == Allow) != (tt.guard == "") || (reason == "") != (tt.guard == "") {
			t.Errorf("%s: %v, %q, %q, want %q", tt.name, v, guard, reason, tt.guard)
		}
	}
}

func TestModeIsNeverAboveTheConfiguration(t *testing.T) {
	if m := (Config{}).withDefaults().Mode; m != signal.Observe {
		t.Errorf("the zero Config's mode is %q", m)
	}
	if m := (Config{Mode: "full-speed"}).withDefaults().Mode; m != signal.Observe {
		t.Errorf("an unknown mode is %q", m)
	}
}

func TestVerifyPassesOnlyAfterTheSettleTime(t *testing.T) {
	t0 := time.Unix(1e9, 0)
	at := func(s int) time.Time { return t0.Add(time.Duration(s) * time.Second) }
	type look struct {
		at    int
		holds bool
		err   error
		want  outcome
	}
	for name, looks := range map[string][]look{
		"gone at once":        {{0, false, nil, looking}, {9, false, nil, looking}, {10, false, nil, passed}},
		"comes back":          {{0, true, nil, looking}, {5, false, nil, looking}, {14, true, nil, looking}, {15, false, nil, looking}, {24, false, nil, looking}, {25, false, nil, passed}},
		"stays":               {{0, true, nil, looking}, {59, true, nil, looking}, {60, true, nil, notGone}},
		"can't be looked at":  {{0, false, errors.New("x"), looking}, {30, false, errors.New("x"), looking}, {60, false, errors.New("x"), notGone}},
		"settles later":       {{0, true, nil, looking}, {55, false, nil, looking}, {60, false, nil, looking}, {65, false, nil, passed}},
		"back after its time": {{0, true, nil, looking}, {55, false, nil, looking}, {62, true, nil, notGone}},
		"first look too late": {{70, true, nil, notGone}},
	} {
		w := watch{settle: 10 * time.Second, until: at(60)}
		for _, l := range looks {
			if got := w.see(at(l.at), l.holds, "", l.err); got != l.want {
				t.Errorf("%s, after %d s: %v, want %v", name, l.at, got, l.want)
			}
		}
	}
}

// Whatever is seen, verify never passes while the last look says that the condition is there, nor without a settle time's
// looks that all say it isn't.
func TestVerifyNeverPassesOnDoubt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		t0 := time.Unix(1e9, 0)
		w := watch{settle: 10 * time.Second, until: t0.Add(time.Minute)}
		now, gone := t0, t0.Add(-1)
		for {
			holds := rapid.Bool().Draw(t, "holds")
			if holds {
				gone = t0.Add(-1)
			} else if gone.Before(t0) {
				gone = now
			}
			switch w.see(now, holds, "", nil) {
			case passed:
				if holds || now.Sub(gone) < w.settle {
					t.Fatalf("passed at %v though gone only since %v", now, gone)
				}
				return
			case notGone:
				if now.Before(w.until) {
					t.Fatalf("gave up early at %v", now)
				}
				return
			}
			now = now.Add(time.Duration(rapid.IntRange(1, 12).Draw(t, "later")) * time.Second)
		}
	})
}

func hosts(names string) []signal.EntityID {
	var out []signal.EntityID
	for _, n := range names {
		out = append(out, signal.EntityID("host:"+string(n)))
	}
	return out
}

func TestConditionRefusesInDoubt(t *testing.T) {
	now := time.Now()
	act := Act{
		Entity: "host:web-1", Runbook: "Fix", Mode: signal.Auto, LastActed: now.Add(-time.Hour), Acted: 3,
		Outside: Outside{
			Labels: map[string]string{"host_name": "web-1", "tag_env": "prod"},
			Event:  map[string]any{"detail": map[string]any{"rule": "HighCPU", "value": 0.97}},
		},
	}
	for _, tt := range []struct {
		text string
		want Verdict
		says string
	}{
		{"true", Allow, ""},
		{"false", Refuse, "does not hold"},
		{"entity.tags.env != 'prod' || time.hour >= 0", Allow, ""},
		{"entity.tags.env != 'prod'", Refuse, "does not hold"},
		{"entity.tags.team == 'x'", Refuse, "can't be evaluated"},
		{"has(entity.tags.team) && entity.tags.team == 'x'", Refuse, "does not hold"},
		{"event.detail.value > 0.95 && event.detail.rule == 'HighCPU'", Allow, ""},
		{"event.detail.value > 'x'", Refuse, "can't be evaluated"},
		{"history.acted < 3", Refuse, "does not hold"},
		{"history.since > 3000.0 && history.failed == 0", Allow, ""},
		{"runbook == 'Fix' && entity.name.startsWith('web-')", Allow, ""},
		{"event.detail.rule", Refuse, "neither true nor false"},
		{"[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all(c, [1,2,3,4,5,6,7,8,9].all(d, [1,2,3,4,5,6,7,8,9].all(e, a+b+c+d+e+history.acted > 0)))))", Refuse, "can't be evaluated"},
	} {
		c, err := NewCondition(tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		if v, why := c.Check(act); v != tt.want || !strings.Contains(why, tt.says) {
			t.Errorf("%s: %v, %q", tt.text, v, why)
		}
	}
	for _, text := range []string{"", "entity.", "nothing == 1", "1 + 1", "'text'"} {
		if _, err := NewCondition(text); err == nil {
			t.Errorf("%q was compiled", text)
		}
	}
	if v, _ := (Condition{}).Check(act); v != Refuse {
		t.Error("the zero Condition allows")
	}
}

func TestGroupIsWhatHasItsLabelsInCommon(t *testing.T) {
	all := []signal.Entity{
		{ID: "host:a", Labels: map[string]string{"service_name": "shop", "tag_env": "prod"}},
		{ID: "host:b", Labels: map[string]string{"service_name": "shop", "env": "prod"}},
		{ID: "host:c", Labels: map[string]string{"service_name": "shop", "env": "dev"}},
		{ID: "service:shop", Labels: map[string]string{"service_name": "shop"}},
	}
	for _, tt := range []struct {
		by   []string
		want string
		err  bool
	}{
		{nil, "[host:a host:b host:c]", false},
		{[]string{"service.name"}, "[host:a host:b host:c service:shop]", false},
		{[]string{"service.name", "env"}, "[host:a host:b]", false},
		{[]string{"team"}, "[host:a]", true},
	} {
		got, err := groupOf("host:a", all[0].Labels, all, tt.by)
		if fmt.Sprint(got) != tt.want || (err != nil) != tt.err {
			t.Errorf("%q: %v, %v", tt.by, got, err)
		}
	}
}

func TestRouteGuardsAddToTheGeneralOnes(t *testing.T) {
	general := override(DefaultGuards(), signal.Guards{Condition: "time.hour > 6", Freezes: []string{"a.ics"}, Approvers: []string{"ana"}})
	got := override(general, signal.Guards{Condition: "time.hour < 20", Freezes: []string{"b.ics"}, Cooldown: time.Hour, BlastRadius: "1", Approvers: []string{"ben", "cat"}, Approvals: 2})
	want := signal.Guards{
		Cooldown: time.Hour, Concurrent: 3, BlastRadius: "1", Condition: "(time.hour > 6) && (time.hour < 20)", Freezes: []string{"a.ics", "b.ics"},
		Approvers: []string{"ben", "cat"}, Approvals: 2,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	err := CheckGuards(signal.Guards{}, signal.Guards{BlastRadius: "0%", Freezes: []string{"/nowhere.ics"}, Condition: "x", Approvers: []string{"ana"}, Approvals: 2})
	for _, key := range []string{"approvals: ", "blast_radius: ", "freezes: /nowhere.ics: ", "condition: "} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("want %q in %v", key, err)
		}
	}
}

func TestLengthsOfTimeAreTold(t *testing.T) {
	for d, want := range map[time.Duration]string{
		10 * time.Minute: "10m", 5*time.Minute + 10*time.Second: "5m10s", time.Hour: "1h", 90 * time.Minute: "1h30m", 10 * time.Second: "10s",
	} {
		if got := plainly(d); got != want {
			t.Errorf("%v is told as %q, want %q", d, got, want)
		}
	}
}
