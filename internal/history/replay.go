package history

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"

	"homeostat/internal/signal"
)

// replaySpan is how much is evaluated by one query of a replay.
const replaySpan = 12 * time.Hour

// Replay evaluates the alerting rules over what is stored from from to to and returns the events that would have come of it,
// in order of time. Nothing is published. Each rule is evaluated every fifth of its "for", within the interval of rules and a
// minute, so that its alerts begin and end up to that much later than they did. Templates in labels stay as they are written.
func (r *Rules) Replay(ctx context.Context, from, to time.Time) ([]signal.Event, error) {
	var out []signal.Event
	for rule, added := range r.all() {
		if rule.Alert == "" {
			continue
		}
		evs, err := r.replay(ctx, rule, added, from, to)
		if err != nil {
			return nil, fmt.Errorf("rule %s: %w", rule.Alert, err)
		}
		out = append(out, evs...)
	}
	slices.SortStableFunc(out, func(a, b signal.Event) int { return a.Time.Compare(b.Time) })
	return out, nil
}

// replayed is an alert that is pending or fires.
type replayed struct {
	labels map[string]string
	active time.Time // since when the expression holds
	seen   time.Time // when it held last
	fired  *signal.Alert
}

func (r *Rules) replay(ctx context.Context, rule rulefmt.Rule, added map[string]string, from, to time.Time) ([]signal.Event, error) {
	hold, keep := time.Duration(rule.For), time.Duration(rule.KeepFiringFor)
	step := min(max(hold/5, r.cfg.Interval), time.Minute)
	active := map[string]*replayed{}
	var out []signal.Event
	tell := func(what string, a signal.Alert, at time.Time) error {
		ev, err := signal.NewEvent("history", what, a.ID, at, a)
		out = append(out, ev)
		return err
	}
	for begin := from; begin.Before(to); begin = begin.Add(replaySpan) {
		end := begin.Add(replaySpan - step)
		if end.After(to) {
			end = to
		}
		q, err := r.h.rulesQL.NewRangeQuery(ctx, r.h.db, nil, rule.Expr, begin, end, step)
		if err != nil {
			return nil, err
		}
		lines, err := plain(q.Exec(ctx))
		q.Close()
		if err != nil {
			return nil, err
		}
		// Step by step, as the rule would have been evaluated: an alert that isn't there at a step has ended.
		next := make([]int, len(lines))
		keys := make([]string, len(lines))
		for i := range lines {
			ls := alertLabels(lines[i].Labels, rule.Alert, added)
			keys[i] = alertKey(rule.Alert, ls)
			lines[i].Labels = ls
		}
		for at := begin; !at.After(end); at = at.Add(step) {
			for i, line := range lines {
				if next[i] >= len(line.Times) || line.Times[next[i]] != at.UnixMilli() {
					continue
				}
				value := line.Values[next[i]]
				next[i]++
				a, ok := active[keys[i]]
				if !ok {
					a = &replayed{labels: line.Labels, active: at}
					active[keys[i]] = a
				}
				a.seen = at
				if a.fired == nil && at.Sub(a.active) >= hold {
					d := replayedAlert(rule, a, value)
					a.fired = &d
					if err := tell(signal.AlertFiring, d, at); err != nil {
						return nil, err
					}
				}
			}
			for k, a := range active {
				if a.seen.Equal(at) || a.fired != nil && at.Sub(a.seen) < keep {
					continue
				}
				if delete(active, k); a.fired == nil {
					continue
				}
				a.fired.Ended = at.UTC()
				if err := tell(signal.AlertResolved, *a.fired, at); err != nil {
					return nil, err
				}
			}
		}
	}
	return out, nil
}

// alertLabels are a series' labels with the rule's own over them.
func alertLabels(series map[string]string, name string, added map[string]string) map[string]string {
	ls := make(map[string]string, len(series)+len(added)+1)
	for k, v := range series {
		if k != signal.MetricName {
			ls[k] = v
		}
	}
	maps.Copy(ls, added)
	ls[labels.AlertName] = name
	return ls
}

func replayedAlert(rule rulefmt.Rule, a *replayed, value float64) signal.Alert {
	began := a.active.UTC().Truncate(time.Millisecond)
	sorted := signal.MakeLabels(a.labels)
	return signal.Alert{
		Head: signal.Head{
			ID:     signal.MakeID(signal.KindAlert, rule.Alert, sorted.String(), began.Format(time.RFC3339Nano)),
			Entity: sorted.Entity(), Cause: []string{}, Severity: severity(a.labels["severity"]),
		},
		Rule: rule.Alert, Labels: a.labels, Value: value, Began: began,
		Reason: fmt.Sprintf("%s holds for %s, with the value %g", rule.Alert, sorted.Entity(), value),
	}
}
