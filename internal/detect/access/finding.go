package access

import (
	"cmp"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"
	"time"

	"homeostat/internal/signal"
)

// follow keeps what a user does elsewhere while a finding is told of it.
func (o *organisation) follow(e *episode, a *signal.Access) {
	switch f := o.flagged[e.User]; {
	case e.Grade > 0 && (f == nil || f.Grade < e.Grade || f.Day < e.Day):
		o.flagged[e.User] = e
	case f != nil && f != e && f.Address != a.Address:
		if a.Time-f.Last > 3*day {
			delete(o.flagged, e.User)
			return
		}
		f.Since = addCall(f.Since, a, maxSince, a.Address)
	}
}

// news reports whether an episode has to be told, or told again: it is worse by a third of the distance to the threshold,
// graver, or has grown much.
func (e *episode) news() bool {
	if e.Grade == 0 {
		return false
	}
	t := &e.Told
	return t.Count == 0 || e.severity() != t.Severity || e.Score > t.Score+1 || e.Count >= 4*t.Count || len(e.Since) >= t.Since+10 || len(e.Means) > t.Means
}

// severity is by what the user could reach, and what it did from here.
func (e *episode) severity() signal.Severity {
	switch {
	case e.Gravest >= 3 && e.Bins[gravity] >= 3, e.Gravest >= 3 && e.Bins[network] >= orgMany, e.Gravest >= 2 && e.p.Reach >= 3:
		return signal.Critical
	}
	return signal.Warning
}

// tell makes the finding of an episode.
func (d *Detector) tell(o *organisation, e *episode, ended bool) signal.Finding {
	if e.Judged == muted && e.Told.Count == 0 && e.Anew == 0 {
		e.Anew = e.Last // what was muted is over: this is another
	}
	e.Over = ended
	e.Told = telling{e.Score, e.severity(), e.Count, len(e.Since), len(e.Means)}
	date := time.UnixMilli(int64(e.Day) * day).UTC().Format(time.DateOnly)
	f := signal.Finding{
		Head: signal.Head{
			ID:     d.id(o, e.User, e.Address, date),
			Entity: signal.EntityID("user:" + e.User), Cause: []string{}, Severity: e.severity(),
		},
		Detector: d.c.Name, Organisation: o.Name, User: e.User, Identity: e.ARN, Address: e.Address, Day: date,
		Began: time.UnixMilli(cmp.Or(e.Anew, e.Begun)).UTC(), Updated: time.UnixMilli(e.Last).UTC(),
		Score: e.Score, Threshold: o.limit(e), Grade: e.Grade, Attribution: shares(&e.Ratios),
		Confidence: min(1, float64(o.Day-o.Begun)/30) * min(1, (float64(e.p.Days)+3)/15),
		Techniques: slices.Clone(e.Means), Keys: slices.Clone(e.Keys),
		Accesses: e.Count, Refused: e.Denied, Resources: slices.Clone(e.Things), Entities: entitiesOf(e.Things),
		Calls: e.telling(d), Since: slices.Clone(e.Since),
	}
	f.Evidence, f.Because = e.evidence()
	f.Name = nameOf(e.ARN)
	if n := len(e.Keys); n > 0 {
		f.Key = e.Keys[n-1]
	}
	if ended {
		f.Ended = f.Updated
	}
	if f.Techniques == nil {
		f.Techniques = []signal.Technique{}
	}
	for _, s := range [...]*[]string{&f.Keys, &f.Resources} {
		if *s == nil {
			*s = []string{}
		}
	}
	if f.Since == nil {
		f.Since = []signal.Call{}
	}
	f.Reason = fmt.Sprintf("%s from %s", e.User, e.Address)
	if len(f.Evidence) > 0 {
		f.Reason += ": " + strings.Join(f.Evidence[:min(2, len(f.Evidence))], "; ")
	}
	return f
}

// nameOf returns the name of the user or the role that an ARN is of, as the operations of IAM take it: without its path.
func nameOf(arn string) string {
	if _, rest, ok := strings.Cut(arn, ":user/"); ok {
		return rest[strings.LastIndexByte(rest, '/')+1:]
	}
	if _, rest, ok := strings.Cut(arn, ":assumed-role/"); ok {
		role, _, _ := strings.Cut(rest, "/")
		return role
	}
	return ""
}

// telling returns the calls, the gravest first.
func (e *episode) telling(d *Detector) []signal.Call {
	calls := slices.Clone(e.Calls)
	weight := func(c *signal.Call) int {
		return int(d.weigh(&signal.Access{Service: c.Service, API: c.API, ReadOnly: reading(c.API)}).gravity)
	}
	slices.SortStableFunc(calls, func(a, b signal.Call) int { return cmp.Compare(weight(&b), weight(&a)) })
	return calls[:min(len(calls), 20)]
}

func reading(api string) bool {
	return strings.HasPrefix(api, "Get") || strings.HasPrefix(api, "List") || strings.HasPrefix(api, "Describe")
}

// shares returns each part's share in what speaks for an intruder. They add up to 1.
func shares(ratios *[parts]float64) map[string]float64 {
	m := map[string]float64{}
	var sum float64
	for _, r := range ratios {
		sum += max(r, 0)
	}
	if sum == 0 {
		return m
	}
	for p, r := range ratios {
		if r > 0 {
			m[names[p]] = r / sum
		}
	}
	return m
}

// evidence says in sentences what speaks for an intruder, the weightiest first, and by part.
func (e *episode) evidence() ([]string, map[string]string) {
	order := make([]part, 0, parts)
	for p := range parts {
		if e.Ratios[p] > .2 {
			order = append(order, p)
		}
	}
	slices.SortStableFunc(order, func(a, b part) int { return cmp.Compare(e.Ratios[b], e.Ratios[a]) })
	out, because := []string{}, map[string]string{}
	for _, p := range order {
		if text := e.sentence(p); text != "" {
			out = append(out, text)
			because[names[p]] = text
		}
	}
	return out, because
}

func (e *episode) sentence(p part) string {
	plural := func(n int, what string) string {
		if n == 1 {
			return "1 " + what
		}
		return fmt.Sprintf("%d %ss", n, what)
	}
	switch p {
	case network:
		return [...]string{
			"", "an address that it uses now and then", "an address that it has hardly used", "a network that it knows", "an address near one that it has used",
			"a network near ones that it has used", "a provider's network that it has used", "a network that many colleagues use and it never did",
			"a network that few colleagues use and it never did", "a network that one colleague alone has used", "a network near those of colleagues",
			"a provider that colleagues use and it never did", "a network that nobody in the organisation has used",
		}[e.Bins[network]]
	case hours:
		return plural(bits.OnesCount32(e.Rare), "hour") + " of the day at which it is hardly ever there"
	case agent:
		return [...]string{"", "a program in a version that it has not used", "a program that it has not used", "a program that few have used", "a program that nobody has used"}[e.Bins[agent]]
	case novelty:
		return "calls that are new for it" + e.firsts()
	case gravity:
		return [...]string{"", "looks round", "reaches for secrets, data or running code", "changes who may do what, hides or destroys"}[e.Bins[gravity]]
	case where:
		return [...]string{"", "a region that is new for it", "a region that nobody uses"}[e.Bins[where]]
	case things:
		return plural(e.Fresh, "resource") + " that it touches for the first time"
	case refusals:
		return plural(e.Denied, "call") + " refused"
	case overlap:
		return "at work from a place that it knows better at the same time"
	case volume:
		return fmt.Sprintf("%d calls, many more than it makes", e.Count)
	case nearness:
		return "an address unlike those that it uses"
	}
	return ""
}

func (e *episode) firsts() string {
	var apis []string
	for i := range e.Calls {
		c := &e.Calls[i]
		if _, ok := e.p.APIs[hashOf(c.Service, c.API)]; !ok && len(apis) < 4 {
			apis = append(apis, strings.TrimSuffix(c.Service, ".amazonaws.com")+":"+c.API)
		}
	}
	if len(apis) == 0 {
		return ""
	}
	return " (" + strings.Join(apis, ", ") + ")"
}

// entitiesOf names what metrics may know of resources, under the names that their sources give.
func entitiesOf(resources []string) []signal.EntityID {
	set := map[signal.EntityID]bool{}
	for _, r := range resources {
		id := r[strings.LastIndexAny(r, ":/=")+1:]
		switch kind, _, _ := strings.Cut(r, "="); {
		case strings.HasPrefix(id, "i-"):
			set[signal.EntityID("host:"+id)] = true
			set[signal.EntityID("instance:"+id)] = true
		case kind == "dBInstanceIdentifier", kind == "dBClusterIdentifier", strings.HasPrefix(r, "arn:aws:rds:"):
			set[signal.EntityID("database:"+id)] = true
		case kind == "functionName", strings.HasPrefix(r, "arn:aws:lambda:"):
			set[signal.EntityID("function:"+id)] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}
