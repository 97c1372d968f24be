package history

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"

	"homeostat/internal/signal"
)

// RulesConfig says which rules are evaluated, and how often.
type RulesConfig struct {
	Files    []RuleFile               // Prometheus rule files
	Interval time.Duration            // between evaluations of groups that don't say; 15 s when 0
	For      map[string]time.Duration // another "for" than the file's, by the alert's name; a game day shortens openly
}

// Publisher takes the events that alerts become. It must take an event that it has already (by its id) without harm.
type Publisher interface {
	Publish(ctx context.Context, events ...signal.Event) error
}

// Alerts knows the alerts that are open: told of as firing and not as resolved.
type Alerts interface {
	Open(ctx context.Context) ([]signal.Alert, error)
}

// Rules evaluates rule files against the history, with Prometheus' own engine, and publishes the alerts that come of it.
type Rules struct {
	cfg     RulesConfig
	h       *History
	log     *slog.Logger
	loader  ruleLoader
	alerts  alerts
	metrics *rules.Metrics
	running atomic.Bool

	mu      sync.Mutex
	failing map[string]string // what goes wrong, by group
}

// NewRules reads the rules; its error holds all mistakes in them, each with its place.
func NewRules(h *History, cfg RulesConfig, pub Publisher, open Alerts, log *slog.Logger, reg prometheus.Registerer) (*Rules, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	cfg.Interval = cmp.Or(cfg.Interval, 15*time.Second)
	loader, err := loadRules(cfg.Files, cfg.For)
	if err != nil {
		return nil, err
	}
	r := &Rules{cfg: cfg, h: h, log: log, loader: loader, metrics: rules.NewGroupMetrics(reg), failing: map[string]string{}}
	r.alerts = alerts{pub: pub, open: open, batch: h.entities.lastBatch, log: log, metrics: newAlertMetrics(reg), known: map[string]*alert{}}
	return r, nil
}

// Run evaluates until ctx ends, whose cause it returns. It begins when the history is up with the stream, so that an alert
// that holds is not taken as gone because its samples are still on their way.
func (r *Rules) Run(ctx context.Context) error {
	for i := 0; i < 200 && !r.h.Ready(); i++ {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
	if err := r.alerts.load(ctx, r.names()); err != nil {
		return err
	}
	m := rules.NewManager(&rules.ManagerOptions{
		Context:         ctx,
		QueryFunc:       rules.EngineQueryFunc(r.h.rulesQL, r.h.db),
		NotifyFunc:      func(context.Context, string, ...*rules.Alert) {}, // alerts are read after each evaluation
		Appendable:      ruleAppendable{r.h},
		Queryable:       r.h.db,
		Logger:          slog.New(turnsOnly{quieter{r.log.Handler()}}),
		GroupLoader:     r.loader,
		OutageTolerance: time.Hour,
		ForGracePeriod:  0, // with one, the state of rules with a shorter "for" would not be restored
		ResendDelay:     time.Minute,
		Metrics:         r.metrics,
	})
	files := slices.Sorted(maps.Keys(r.loader))
	if err := m.Update(r.cfg.Interval, files, labels.EmptyLabels(), "", r.evaluate); err != nil {
		return fmt.Errorf("load rules: %w", err)
	}
	r.h.rules.Store(m)
	r.running.Store(true)
	defer r.running.Store(false)
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.Run()
	}()
	<-ctx.Done()
	m.Stop()
	<-done
	return context.Cause(ctx)
}

// evaluate is one evaluation of a group: Prometheus' own, then what has become of its alerts.
func (r *Rules) evaluate(ctx context.Context, g *rules.Group, at time.Time) {
	rules.DefaultEvalIterationFunc(ctx, g, at)
	if ctx.Err() != nil {
		return // what failed did because we are stopping
	}
	var failing string
	for _, rule := range g.Rules() {
		if err := rule.LastError(); err != nil {
			failing = fmt.Sprintf("rule %s can't be evaluated: %v", rule.Name(), err)
		}
	}
	if err := r.alerts.reconcile(ctx, g, at); err != nil {
		failing = fmt.Sprintf("alerts can't be published: %v", err)
		r.log.ErrorContext(ctx, "alert not published, it will be tried again", "err", err)
	}
	r.note(ctx, rules.GroupKey(g.File(), g.Name()), failing)
}

// note remembers what goes wrong in a group, "" for nothing. It logs the turns alone: a rule that fails does so at each evaluation.
func (r *Rules) note(ctx context.Context, group, failing string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.failing[group]
	if failing == "" {
		delete(r.failing, group)
		if was != "" {
			r.log.InfoContext(ctx, "rules are evaluated again", "group", group)
		}
		return
	}
	r.failing[group] = failing
	if was == "" {
		r.log.WarnContext(ctx, "rules fail", "group", group, "err", failing)
	}
}

// names returns the names of all alerting rules.
func (r *Rules) names() map[string]bool {
	names := map[string]bool{}
	for rule := range r.all() {
		if rule.Alert != "" {
			names[rule.Alert] = true
		}
	}
	return names
}

// all walks all rules, with their groups' labels.
func (r *Rules) all() func(yield func(rulefmt.Rule, map[string]string) bool) {
	return func(yield func(rulefmt.Rule, map[string]string) bool) {
		for _, file := range slices.Sorted(maps.Keys(r.loader)) {
			for _, g := range r.loader[file].Groups {
				for _, rule := range g.Rules {
					if !yield(rule, rules.FromMaps(g.Labels, rule.Labels).Map()) {
						return
					}
				}
			}
		}
	}
}

// Holds reports whether the expression of an alerting rule holds now for an alert's labels (those of a signal.Alert), whatever
// the rule's "for", and the value that it has. It is the question that verify asks after a runbook.
func (r *Rules) Holds(ctx context.Context, rule string, alertLabels map[string]string) (bool, float64, error) {
	found := false
	for def, added := range r.all() {
		if def.Alert != rule {
			continue
		}
		found = true
		q, err := r.h.rulesQL.NewInstantQuery(ctx, r.h.db, nil, def.Expr, time.Now())
		if err != nil {
			return false, 0, fmt.Errorf("rule %s: %w", rule, err)
		}
		lines, err := plain(q.Exec(ctx))
		q.Close()
		if err != nil {
			return false, 0, fmt.Errorf("rule %s: %w", rule, err)
		}
		for _, line := range lines {
			if about(line.Labels, added, alertLabels) {
				return true, line.Values[0], nil
			}
		}
	}
	if !found {
		return false, 0, fmt.Errorf("no alerting rule is called %s", rule)
	}
	return false, 0, nil
}

// about reports whether a series that a rule's expression gives is the one of an alert. The rule has put labels of its own
// over the series'.
func about(series, added, alertLabels map[string]string) bool {
	for name, v := range alertLabels {
		if _, own := added[name]; own || name == labels.AlertName {
			continue
		}
		if series[name] != v {
			return false
		}
	}
	return true
}

// Health tells how rules and alerts are doing.
func (r *Rules) Health() signal.Stage {
	s := signal.Stage{Name: "rules", Ready: r.running.Load(), State: "ok"}
	r.mu.Lock()
	defer r.mu.Unlock()
	if groups := slices.Sorted(maps.Keys(r.failing)); len(groups) > 0 {
		s.State = r.failing[groups[0]]
		if n := len(groups) - 1; n > 0 {
			s.State += fmt.Sprintf("; and %d more groups fail", n)
		}
	} else if !s.Ready {
		s.State = "starting"
	}
	return s
}

// turnsOnly leaves out that a rule could not be evaluated, which Prometheus says each time; note says it once.
type turnsOnly struct{ quieter }

func (t turnsOnly) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "Evaluating rule failed" {
		return nil
	}
	return t.quieter.Handle(ctx, r)
}

func (t turnsOnly) WithAttrs(as []slog.Attr) slog.Handler {
	return turnsOnly{quieter{t.next.WithAttrs(as)}}
}

func (t turnsOnly) WithGroup(name string) slog.Handler {
	return turnsOnly{quieter{t.next.WithGroup(name)}}
}

// ruleAppendable takes what rules record. On a full disk it takes nothing and says nothing: alerts go on being told, the one
// about the disk among them.
type ruleAppendable struct{ h *History }

func (a ruleAppendable) Appender(ctx context.Context) storage.Appender {
	app := a.h.db.Appender(ctx)
	if a.h.full() {
		return rolledBack{app}
	}
	return app
}

type rolledBack struct{ storage.Appender }

func (r rolledBack) Commit() error { return r.Rollback() }
