package runbook

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
	} {
		v, guard, reason := ask(Config{}.withDefaults().guards(), tt.act)
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
