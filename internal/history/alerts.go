package history

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/rules"

	"homeostat/internal/signal"
)

// alerts turns the alerts that rules have active into events, each once. It compares, after every evaluation, what is active
// with what has been told: so an event that could not be published is told after the next evaluation, and one that fires on
// after a restart is not told again.
type alerts struct {
	pub     Publisher
	open    Alerts
	batch   func(signal.EntityID) string // the last batch of an entity
	log     *slog.Logger
	metrics *alertMetrics

	mu    sync.Mutex // held over Publish too: events keep their order; groups are few and wait
	known map[string]*alert
}

// alert is one that fires, or whose end is still to be told.
type alert struct {
	detail signal.Alert
	group  string    // that it is of; "" for one of an earlier life that its group hasn't met yet
	fired  time.Time // when it began to fire
	told   bool      // that it fires
	ended  time.Time // zero while it fires
	note   string    // why it ended, where that is not its rule's doing
}

type alertMetrics struct {
	events *prometheus.CounterVec
	failed prometheus.Counter
	firing prometheus.Gauge
}

func newAlertMetrics(reg prometheus.Registerer) *alertMetrics {
	m := &alertMetrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "homeostat_rules_events_total", Help: "Events published about alerts, by what they tell.",
		}, []string{"outcome"}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "homeostat_rules_publish_failed_total", Help: "Tries to publish an event about an alert that failed.",
		}),
		firing: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "homeostat_rules_firing_alerts", Help: "Alerts that fire.",
		}),
	}
	m.events.WithLabelValues("firing")
	m.events.WithLabelValues("resolved")
	reg.MustRegister(m.events, m.failed, m.firing)
	return m
}

// publishTime bounds one publication.
const publishTime = 5 * time.Second

// load reads the alerts that are open from an earlier life. Those whose rule is no more end at once.
func (a *alerts) load(ctx context.Context, names map[string]bool) error {
	if a.open == nil {
		return nil
	}
	list, err := a.open.Open(ctx)
	if err != nil {
		return fmt.Errorf("read the open alerts: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, d := range list {
		k := alertKey(d.Rule, d.Labels)
		al := &alert{detail: d, fired: d.Began, told: true}
		if !names[d.Rule] {
			al.ended, al.note = time.Now(), "its rule is no longer there"
			k += " " + d.ID
		}
		a.known[k] = al
	}
	return nil
}

// alertKey is what makes two alerts the same: rule and labels.
func alertKey(rule string, ls map[string]string) string {
	return rule + signal.MakeLabels(ls).String()
}

// reconcile publishes what has changed with a group's alerts at an evaluation.
func (a *alerts) reconcile(ctx context.Context, g *rules.Group, at time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	group := rules.GroupKey(g.File(), g.Name())
	active := map[string]bool{} // firing or pending
	sure := map[string]bool{}   // alerts of rules with this name that are not active have ended
	for _, rule := range g.AlertingRules() {
		name := rule.Name()
		if _, met := sure[name]; !met {
			sure[name] = true
		}
		sure[name] = sure[name] && rule.Restored() && rule.LastError() == nil
		for _, al := range rule.ActiveAlerts() {
			ls := al.Labels.Map()
			k := alertKey(name, ls)
			active[k] = true
			known := a.known[k]
			if known != nil {
				known.group = group
			}
			if al.State != rules.StateFiring {
				continue
			}
			if known == nil {
				a.known[k] = &alert{detail: a.detail(name, ls, al), group: group, fired: al.FiredAt}
			} else if known.note == "" {
				known.ended = time.Time{} // its end had not been told yet, and it goes on
			}
		}
	}
	for k, al := range a.known {
		if sure[al.detail.Rule] && !active[k] && al.ended.IsZero() && (al.group == "" || al.group == group) {
			al.ended = at
		}
	}
	return a.publish(ctx)
}

// publish tells what has not been told. mu is held.
func (a *alerts) publish(ctx context.Context) error {
	var failed []error
	firing := 0
	for k, al := range a.known {
		if !al.told {
			if err := a.tell(ctx, signal.AlertFiring, al.detail, al.fired); err != nil {
				failed = append(failed, err)
				continue
			}
			al.told = true
			a.metrics.events.WithLabelValues("firing").Inc()
		}
		if al.ended.IsZero() {
			firing++
			continue
		}
		d := al.detail
		d.Ended = al.ended.UTC().Truncate(time.Millisecond)
		if al.note != "" {
			d.Reason += " (ended: " + al.note + ")"
		}
		if id := a.batch(d.Entity); id != "" {
			d.Cause = []string{id}
		}
		if err := a.tell(ctx, signal.AlertResolved, d, al.ended); err != nil {
			failed = append(failed, err)
			continue
		}
		delete(a.known, k)
		a.metrics.events.WithLabelValues("resolved").Inc()
	}
	a.metrics.firing.Set(float64(firing))
	return errors.Join(failed...)
}

// tell publishes one event.
func (a *alerts) tell(ctx context.Context, what string, d signal.Alert, at time.Time) error {
	e, err := signal.NewEvent("history", what, d.ID, at, d)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, publishTime)
	defer cancel()
	if err := a.pub.Publish(ctx, e); err != nil {
		a.metrics.failed.Inc()
		return fmt.Errorf("%s of %s: %w", what, d.Rule, err)
	}
	return nil
}

// detail tells of a firing alert.
func (a *alerts) detail(rule string, ls map[string]string, al *rules.Alert) signal.Alert {
	began := al.ActiveAt.UTC().Truncate(time.Millisecond)
	sorted := signal.MakeLabels(ls)
	d := signal.Alert{
		Head: signal.Head{
			ID:       signal.MakeID(signal.KindAlert, rule, sorted.String(), began.Format(time.RFC3339Nano)),
			Entity:   sorted.Entity(),
			Cause:    []string{},
			Severity: severity(ls["severity"]),
		},
		Rule: rule, Labels: ls, Value: al.Value, Began: began, Runbook: al.Annotations.Get("runbook_url"),
	}
	for _, n := range []string{"summary", "description", "message"} {
		if d.Reason = al.Annotations.Get(n); d.Reason != "" {
			break
		}
	}
	if d.Reason == "" {
		d.Reason = fmt.Sprintf("%s holds for %s, with the value %g", rule, d.Entity, al.Value)
	}
	if id := a.batch(d.Entity); id != "" {
		d.Cause = append(d.Cause, id)
	}
	return d
}

// severity reads the label that rule files set by custom; what it doesn't know is a warning.
func severity(s string) signal.Severity {
	switch s {
	case "critical", "page", "error", "emergency", "fatal":
		return signal.Critical
	case "info", "information", "notice", "none":
		return signal.Info
	}
	return signal.Warning
}
