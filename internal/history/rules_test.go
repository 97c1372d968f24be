package history

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"homeostat/internal/signal"
)

// openAlerts is the database's answer.
type openAlerts []signal.Alert

func (o openAlerts) Open(context.Context) ([]signal.Alert, error) { return o, nil }

const gaugeRules = `
groups:
  - name: g
    labels: {team: ops}
    rules:
      - record: m:double
        expr: m * 2
      - alert: High
        expr: m:double > 10
        labels: {severity: page}
        annotations: {summary: "m is {{ $value }}", runbook_url: "http://example.org/high"}
`

// newRules makes rules that are evaluated ten times a second.
func newRules(t testing.TB, h *History, text string, pub Publisher, open Alerts) *Rules {
	t.Helper()
	r, err := NewRules(h, RulesConfig{
		Files: []RuleFile{{Name: "r.yaml", Text: []byte(text)}}, Interval: 100 * time.Millisecond,
	}, pub, open, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func detail(t testing.TB, e signal.Event) (a signal.Alert) {
	t.Helper()
	if err := json.Unmarshal(e.Detail, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAlertsAreToldOnceAndWithoutLoss(t *testing.T) {
	h := open(t, Config{})
	defer h.Close()
	s := newTape()
	defer start(t, func(ctx context.Context) error { return h.Run(ctx, s) })()
	pub := &events{refuse: errors.New("the database is away")}
	r := newRules(t, h, gaugeRules, pub, nil)
	defer start(t, r.Run)()
	s.put(points(point{time.Now(), 7}))
	eventually(t, "publishing fails", func() bool { return strings.Contains(r.Health().State, "the database is away") })
	// It fires and ends while nothing can be told; both are told, in order, once it can.
	s.put(points(point{time.Now(), 1}))
	eventually(t, "the alert has ended", func() bool {
		r.alerts.mu.Lock()
		defer r.alerts.mu.Unlock()
		for _, a := range r.alerts.known {
			return !a.ended.IsZero()
		}
		return false
	})
	pub.mu.Lock()
	pub.refuse = nil
	pub.mu.Unlock()
	eventually(t, "both are told", func() bool { return len(pub.all()) >= 2 })
	eventually(t, "health is well again", func() bool { return r.Health().State == "ok" })
	es := pub.all()
	if len(es) != 2 || es[0].DetailType != signal.AlertFiring || es[1].DetailType != signal.AlertResolved {
		t.Fatalf("events %+v", es)
	}
	fired, ended := detail(t, es[0]), detail(t, es[1])
	if fired.ID != ended.ID || fired.ID == "" || ended.Ended.IsZero() || !fired.Ended.IsZero() {
		t.Errorf("fired %+v, ended %+v", fired, ended)
	}
	want := map[string]string{"alertname": "High", "host_name": "web-1", "severity": "page", "team": "ops"}
	if fired.Severity != signal.Critical || fired.Reason != "m is 14" || fired.Value != 14 ||
		fired.Runbook != "http://example.org/high" || !reflect.DeepEqual(fired.Labels, want) {
		t.Errorf("fired %+v", fired)
	}
}

func TestAfterARestartAnOpenAlertGoesOnOrEnds(t *testing.T) {
	h := open(t, Config{})
	defer h.Close()
	s := newTape()
	s.put(points(point{time.Now(), 7}))
	defer start(t, func(ctx context.Context) error { return h.Run(ctx, s) })()
	alert := func(id, rule, hostName string) signal.Alert {
		return signal.Alert{
			Head: signal.Head{ID: id, Entity: signal.EntityID("host:" + hostName), Cause: []string{}}, Rule: rule, Began: time.Now().Add(-time.Hour),
			Labels: map[string]string{"alertname": rule, "host_name": hostName, "severity": "page", "team": "ops"},
		}
	}
	pub := &events{}
	r := newRules(t, h, gaugeRules, pub, openAlerts{
		alert("al-1", "High", "web-1"), // still holds
		alert("al-2", "High", "gone"),  // holds no more
		alert("al-3", "Removed", "x"),  // its rule is no longer there
	})
	stop := start(t, r.Run)
	eventually(t, "two have ended", func() bool { return len(pub.all()) == 2 })
	s.put(points(point{time.Now(), 1}))
	eventually(t, "the third has ended", func() bool { return len(pub.all()) == 3 })
	stop()
	ids := map[string]bool{}
	for _, e := range pub.all() {
		if e.DetailType != signal.AlertResolved {
			t.Errorf("told %s of %s", e.DetailType, detail(t, e).ID)
		}
		ids[detail(t, e).ID] = true
	}
	if !reflect.DeepEqual(ids, map[string]bool{"al-1": true, "al-2": true, "al-3": true}) || detail(t, pub.all()[2]).ID != "al-1" {
		t.Errorf("ended: %v, the last %s", ids, detail(t, pub.all()[2]).ID)
	}
}

func TestForGoesOnAfterARestart(t *testing.T) {
	h := open(t, Config{})
	defer h.Close()
	s := newTape()
	defer start(t, func(ctx context.Context) error { return h.Run(ctx, s) })()
	// What an evaluation ten seconds ago, before the restart, left: pending for 31 minutes.
	now := time.Now().Truncate(time.Second)
	b := &signal.Batch{}
	b.Add(b.AddSeries(signal.MakeSeries(signal.MakeLabels(map[string]string{
		"__name__": "ALERTS_FOR_STATE", "alertname": "Slow", "host_name": "web-1",
	}))), now.Add(-10*time.Second).UnixMilli(), float64(now.Add(-31*time.Minute).Unix()))
	if err := h.Record(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	s.put(points(point{now, 7}))
	pub := &events{}
	defer start(t, newRules(t, h, `{groups: [{name: g, rules: [{alert: Slow, expr: m > 1, for: 30m}]}]}`, pub, nil).Run)()
	eventually(t, "it fires", func() bool { return len(pub.all()) == 1 })
	if began := detail(t, pub.all()[0]).Began; !began.Equal(now.Add(-31 * time.Minute)) {
		t.Errorf("began %s, want 31 minutes before %s", began, now)
	}
}

func TestHoldsAsksTheRuleForTheAlertsLabels(t *testing.T) {
	h := open(t, Config{})
	defer h.Close()
	feed(t, h, newTape(), points(point{time.Now(), 7}))
	const text = `
groups:
  - name: g
    rules:
      - {alert: High, expr: m > 5, for: 1h, labels: {severity: warning}}
      - {alert: High, expr: m > 50, labels: {severity: critical}}
      - {alert: Odd, expr: "m + on() group_left() m"}
`
	r := newRules(t, h, text, &events{}, nil)
	for _, tt := range []struct {
		rule   string
		labels map[string]string
		holds  bool
	}{
		{"High", map[string]string{"alertname": "High", "host_name": "web-1", "severity": "warning"}, true},
		{"High", map[string]string{"alertname": "High", "host_name": "web-2", "severity": "warning"}, false},
		{"High", map[string]string{}, true},
	} {
		holds, v, err := r.Holds(t.Context(), tt.rule, tt.labels)
		if err != nil || holds != tt.holds || holds && v != 7 {
			t.Errorf("%s %v: %v, %v, %v", tt.rule, tt.labels, holds, v, err)
		}
	}
	if _, _, err := r.Holds(t.Context(), "None", nil); err == nil {
		t.Error("a rule that isn't there holds or not")
	}
}

// TestAFailingRuleIsSaidOnceAndSeenUntilItWorks: another group that works doesn't hide it, and the log doesn't fill.
func TestAFailingRuleIsSaidOnceAndSeenUntilItWorks(t *testing.T) {
	h := open(t, Config{})
	defer h.Close()
	s := newTape()
	defer start(t, func(ctx context.Context) error { return h.Run(ctx, s) })()
	s.put(points(point{time.Now(), 7}))
	const text = `
groups:
  - name: bad
    rules: [{alert: Twice, for: 1s, expr: '{__name__=~"m|m:double"} * on() group_left() {__name__=~"m|m:double"}'}]
  - name: good
    rules: [{record: m:double, expr: m * 2}]
`
	log := &lines{}
	r, err := NewRules(h, RulesConfig{Files: []RuleFile{{Name: "r.yaml", Text: []byte(text)}}, Interval: 50 * time.Millisecond},
		&events{}, nil, slog.New(slog.NewTextHandler(log, nil)), nil)
	if err != nil {
		t.Fatal(err)
	}
	stop := start(t, r.Run)
	eventually(t, "the rule has failed", func() bool { return strings.HasPrefix(r.Health().State, "rule Twice can't be evaluated: ") })
	for range 20 { // the groups' turns come between these
		if state := r.Health().State; !strings.HasPrefix(state, "rule Twice") {
			t.Fatalf("hidden by the other group: %q", state)
		}
		before := h.rules.Load().RuleGroups()[1].GetLastEvaluation()
		eventually(t, "the other group's turn", func() bool { return h.rules.Load().RuleGroups()[1].GetLastEvaluation().After(before) })
	}
	stop()
	if said := log.String(); strings.Count(said, "rules fail") != 1 || strings.Contains(said, "Evaluating rule failed") {
		t.Errorf("the log:\n%s", said)
	}
}

// lines is a log that tests read.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestRuleMistakesComeAllWithTheirPlaces(t *testing.T) {
	const bad = `groups:
  - name: g
    rules:
      - alert: A
        expr: sum(
      - alert: B
        expr: up
        labels: {"": x}
      - record: "a b{"
        expr: up
`
	for _, tt := range []struct{ name, text, want string }{
		{"expressions and labels", bad, "r.yaml:5:15: group \"g\", rule 1, \"A\": could not parse expression: 1:5: parse error"},
		{"labels", bad, "r.yaml:6:9: group \"g\", rule 2, \"B\": invalid label name"},
		{"an unknown field", "groups:\n  - name: g\n    rulez: []\n", "r.yaml:3:1: field rulez not found"},
		{"no YAML", "groups:\n  - name: g\n   rules: []\n", "r.yaml:1:1: did not find"},
		{"a template", "groups: [{name: g, rules: [{alert: A, expr: up, annotations: {summary: '{{ nothing }}'}}]}]", "r.yaml:1:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := CheckRules([]RuleFile{{Name: "r.yaml", Text: []byte(tt.text)}})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
		})
	}
	good := RuleFile{Name: "r.yaml", Text: []byte(gaugeRules)}
	if err := CheckRules([]RuleFile{good}); err != nil {
		t.Error(err)
	}
	if err := CheckRules([]RuleFile{good, good}); err == nil {
		t.Error("one file twice")
	}
	if _, err := loadRules([]RuleFile{good}, map[string]time.Duration{"Hihg": 1}); err == nil {
		t.Error("\"for\" of a rule that isn't there")
	}
}

func TestRuleFilesAreReadOnceEach(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []string{"a.yaml", "b.yaml"} {
		if err := os.WriteFile(filepath.Join(dir, n), []byte(gaugeRules), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := ReadRuleFiles([]string{filepath.Join(dir, "b.yaml"), filepath.Join(dir, "*.yaml"), filepath.Join(dir, "*.none")})
	if err != nil || len(files) != 2 || filepath.Base(files[0].Name) != "b.yaml" {
		t.Errorf("%v, %v", files, err)
	}
	if _, err := ReadRuleFiles([]string{filepath.Join(dir, "missing.yaml"), "["}); err == nil {
		t.Error("a file that isn't there was read")
	}
}
