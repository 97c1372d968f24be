package runbook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"homeostat/internal/signal"
)

// DefaultGuards is what a careful operator would choose.
func DefaultGuards() signal.Guards {
	return signal.Guards{Cooldown: 10 * time.Minute, Concurrent: 3, BlastRadius: "25%", Approvals: 1}
}

// override returns g with each of o's settings that is given in its place; freezes and conditions are added.
func override(g, o signal.Guards) signal.Guards {
	g.Cooldown = cmp.Or(o.Cooldown, g.Cooldown)
	g.Concurrent = cmp.Or(o.Concurrent, g.Concurrent)
	g.BlastRadius = cmp.Or(o.BlastRadius, g.BlastRadius)
	g.Approvals = cmp.Or(o.Approvals, g.Approvals)
	g.Scripts = g.Scripts || o.Scripts
	if o.Group != nil {
		g.Group = o.Group
	}
	if o.Approvers != nil {
		g.Approvers = o.Approvers
	}
	g.Freezes = slices.Concat(g.Freezes, o.Freezes)
	switch {
	case g.Condition == "":
		g.Condition = o.Condition
	case o.Condition != "":
		g.Condition = "(" + g.Condition + ") && (" + o.Condition + ")"
	}
	return g
}

// rules are guards, ready to be asked.
type rules struct {
	signal.Guards
	guards []Guard
}

// newRules makes guards of settings. The error joins all that is wrong with them, each with the name of its key.
func newRules(g signal.Guards) (*rules, error) {
	var errs []error
	if g.Cooldown < 0 {
		errs = append(errs, fmt.Errorf("cooldown: want at least 0, not %v", g.Cooldown))
	}
	if g.Concurrent < 1 {
		errs = append(errs, fmt.Errorf("concurrent: want at least 1, not %d", g.Concurrent))
	}
	if g.Approvals < 1 || len(g.Approvers) > 0 && g.Approvals > len(g.Approvers) {
		errs = append(errs, fmt.Errorf("approvals: want at least 1, and no more than there are approvers, not %d", g.Approvals))
	}
	radius, err := parseRadius(g.BlastRadius)
	if err != nil {
		errs = append(errs, fmt.Errorf("blast_radius: %w", err))
	}
	for _, f := range g.Freezes {
		if calendarARN.MatchString(f) {
			continue
		}
		if _, err := readCalendar(f); err != nil {
			errs = append(errs, fmt.Errorf("freezes: %s: %w", f, err))
		}
	}
	r := &rules{Guards: g, guards: []Guard{
		KillSwitch{}, Freeze{}, Cooldown{Every: g.Cooldown}, Concurrent{Most: g.Concurrent}, radius, OncePerIncident{}, Scripts{Allowed: g.Scripts},
	}}
	if g.Condition != "" {
		c, err := NewCondition(g.Condition)
		if err != nil {
			errs = append(errs, fmt.Errorf("condition: %w", err))
		}
		r.guards = append(r.guards, c)
	}
	return r, errors.Join(errs...)
}

// CheckGuards says what is wrong with settings: of a route, together with those that hold everywhere. The error joins all
// mistakes, each beginning with the name of its key.
func CheckGuards(everywhere, route signal.Guards) error {
	_, err := newRules(override(override(DefaultGuards(), everywhere), route))
	return err
}

// makeRules makes the guards of each route.
func (r *Runbooks) makeRules() error {
	r.rules = map[string]*rules{}
	all, err := newRules(r.cfg.Guards)
	if err != nil {
		return fmt.Errorf("guards: %w", err)
	}
	r.rules[""] = all
	for route, runbooks := range r.cfg.Route {
		for name, g := range runbooks {
			own, err := newRules(override(r.cfg.Guards, g))
			if err != nil {
				return fmt.Errorf("guards of route %s, runbook %s: %w", route, name, err)
			}
			r.rules[ruleKey(route, name)] = own
		}
	}
	return nil
}

func ruleKey(route, runbook string) string { return route + "\x00" + runbook }

// rulesFor are the guards that hold for an execution today. A rollback has those of what it takes back.
func (r *Runbooks) rulesFor(x *execution) *rules {
	name := strings.TrimSuffix(x.Runbook, rollbackName(""))
	for _, key := range []string{ruleKey(x.Route, x.Runbook), ruleKey(x.Route, name)} {
		if own, ok := r.rules[key]; ok && x.Route != "" {
			return own
		}
	}
	return r.rules[""]
}

// calendarARN is how a freeze names a Change Calendar of Systems Manager.
var calendarARN = regexp.MustCompile(`^arn:aws[a-z-]*:ssm:[a-z0-9-]+:[0-9]{12}:document/[A-Za-z0-9_.-]{3,128}$`)

// readCalendar reads a freeze's file.
func readCalendar(file string) (*calendar, error) {
	st, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if st.Size() > maxCalendar {
		return nil, fmt.Errorf("%d bytes; %d are the most", st.Size(), maxCalendar)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parseCalendar(string(text))
}

// frozenAt asks calendars whether nothing may be changed at t: files, which are read anew each time, so that a freeze which is
// put there now holds now; and those of Systems Manager, by asking it.
func frozenAt(ctx context.Context, calendars func(ctx context.Context, arn string, at time.Time) (string, error), freezes []string, t time.Time) (why string, err error) {
	for _, f := range freezes {
		if calendarARN.MatchString(f) {
			if calendars == nil {
				return "", fmt.Errorf("%s: nobody is here who could ask Systems Manager", f)
			}
			if why, err := calendars(ctx, f, t); err != nil || why != "" {
				return why, err
			}
			continue
		}
		c, err := readCalendar(f)
		if err != nil {
			return "", fmt.Errorf("%s: %w", f, err)
		}
		why, frozen, err := c.frozen(t)
		if err != nil {
			return "", fmt.Errorf("%s: %w", f, err)
		}
		if frozen {
			return why, nil
		}
	}
	return "", nil
}

// outside gathers what guards need that no table says.
func (r *Runbooks) outside(ctx context.Context, x *execution, g signal.Guards) Outside {
	o := Outside{Event: map[string]any{}, Labels: map[string]string{}}
	if ev, ok := x.event(); ok {
		o.Event = eventMap(ev)
	}
	o.Frozen, o.FreezeErr = frozenAt(ctx, r.need.Calendars, g.Freezes, time.Now())
	o.Group = []signal.EntityID{x.Entity}
	if r.need.Entities == nil {
		if len(g.Group) > 0 {
			o.GroupErr = errors.New("no entities are known")
		}
		return o
	}
	all, err := r.need.Entities(ctx)
	if err != nil {
		o.GroupErr = err
		return o
	}
	for _, e := range all {
		if e.ID == x.Entity {
			o.Labels = e.Labels
		}
	}
	o.Group, o.GroupErr = groupOf(x.Entity, o.Labels, all, g.Group)
	return o
}

// tag is the value of a label, or of a tag that came as the label tag_NAME. Dots in names are underscores in labels.
func tag(labels map[string]string, name string) string {
	name = strings.NewReplacer(".", "_", "-", "_").Replace(name)
	return cmp.Or(labels[name], labels["tag_"+name])
}

// groupOf returns the entities that have the labels by in common with one; without labels, those of its kind.
func groupOf(id signal.EntityID, labels map[string]string, all []signal.Entity, by []string) ([]signal.EntityID, error) {
	group := []signal.EntityID{id}
	for _, name := range by {
		if tag(labels, name) == "" {
			return group, fmt.Errorf("%s has no label or tag %s, so its group is not known", id, name)
		}
	}
	for _, e := range all {
		same := e.ID != id && (len(by) > 0 || e.ID.Kind() == id.Kind())
		for _, name := range by {
			same = same && tag(e.Labels, name) == tag(labels, name)
		}
		if same {
			group = append(group, e.ID)
		}
	}
	return group, nil
}

// parseRadius reads a share or a number.
func parseRadius(s string) (BlastRadius, error) {
	if share, ok := strings.CutSuffix(s, "%"); ok {
		v, err := strconv.ParseFloat(strings.TrimSpace(share), 64)
		if err != nil || !(v > 0 && v <= 100) {
			return BlastRadius{}, fmt.Errorf("want a share such as 25%%, or a number, not %q", s)
		}
		return BlastRadius{Share: v / 100}, nil
	}
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || n < 1 {
		return BlastRadius{}, fmt.Errorf("want a share such as 25%%, or a number, not %q", s)
	}
	return BlastRadius{Most: n}, nil
}
