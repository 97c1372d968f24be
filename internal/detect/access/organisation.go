package access

import (
	"math"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"homeostat/internal/signal"
	"homeostat/ipinsights"
)

const day = 24 * 3600 * 1000 // milliseconds

// place is what the organisation knows of a network.
type place struct {
	Users uint16 // who were there, once each
	Last  int32  // day
}

// live is who is at a network that nobody knows yet: a new office shows by many who come there at once.
type live struct {
	Users []int32
	Last  int32
}

type key struct {
	user, address string
	day           int32
}

// organisation is what has been learnt of one organisation. Its users' episodes are judged against it.
type organisation struct {
	Name    string
	Begun   int32 // first day
	Day     int32 // the day that it is
	Now     int64 // latest time seen
	Heard   int64 // by the detector's clock: when its last access came
	IDs     int32
	Users   map[string]*profile
	Nets    [widths]map[uint64]place
	Live    map[uint64]live
	Known   map[uint64]uint16 // hash of an API, agent, region, resource: how many users know it
	Hours   [kinds][2][24]float32
	Like    [kinds][2]tally // of grown-up users and of newcomers
	Open    []*episode      // of this day, and those that wait to be learnt, in the order of their begin
	Scores  []scored        // of closed episodes, the last weeks
	Limit   float64         // threshold of today
	Doubt   float64         // score from which an episode is learnt late
	Granted map[string]grant
	Roles   map[string]role
	Met     [2]map[uint64]bool // hashes of the eventIDs of late, in two generations
	Judged  []judged           // what people said of findings, of late
	Barred  map[uint64]int32   // places of intruders, by bars, and the day on which a person said so

	Pairs   []pair // who was where, once for each episode that was learnt; the newest maxPairs
	Trained int32  // day on which the embedding was trained last
	Vectors []byte // the embedding

	vectors *ipinsights.Model // nil until there is one
	index   map[key]*episode
	flagged map[string]*episode // by user: the episode that a finding is about, while it is told
}

type scored struct {
	Day   int32
	Score float64
}

// role is how its sessions are named: where hardly a name comes again, the sessions are one program's and one user.
type role struct {
	Sessions map[uint64]int32 // hash of a name, and the day on which it was seen first
	Again    int              // names that came again on another day
}

// grant is a session's key, or a call that two accounts have on record, and whose it is.
type grant struct {
	User string
	At   int64
}

func newOrganisation(name string, d int32) *organisation {
	o := &organisation{Name: name, Begun: d, Day: d, Users: map[string]*profile{}, Live: map[uint64]live{}, Known: map[uint64]uint16{}, Granted: map[string]grant{}, Roles: map[string]role{}, Barred: map[uint64]int32{}}
	o.Met = [2]map[uint64]bool{{}, {}}
	o.index, o.flagged = map[key]*episode{}, map[string]*episode{}
	for i := range o.Nets {
		o.Nets[i] = map[uint64]place{}
	}
	o.threshold(Config{}.withDefaults())
	return o
}

// observe judges one access and returns its episode.
func (d *Detector) observe(o *organisation, a *signal.Access) *episode {
	now := int32(a.Time / day)
	if now > o.Day {
		d.roll(o, now)
	}
	o.Now = max(o.Now, a.Time)
	user := o.trace(a)
	k := key{user, a.Address, now}
	e := o.index[k]
	if !o.fresh(a.ID) {
		if e == nil {
			e = o.begin(a, user, now) // of an episode that is learnt: judged, and not taken in
		}
		return e
	}
	if e == nil {
		e = o.begin(a, user, now)
		o.index[k] = e
		o.Open = append(o.Open, e)
	}
	if d.take(o, e, a) {
		e.score(o.like(e.p))
		e.Grade = 0
		if o.Day-o.Begun >= d.c.Learning {
			e.Grade = gradeOf(e.Score, o.limit(e))
		}
	}
	o.follow(e, a)
	return e
}

// fresh reports whether an eventID is met for the first time: CloudTrail delivers some records twice.
func (o *organisation) fresh(id string) bool {
	if id == "" {
		return true
	}
	const generation = 200_000
	h := xxhash.Sum64String(id)
	if o.Met[0][h] || o.Met[1][h] {
		return false
	}
	if len(o.Met[0]) >= generation {
		o.Met[0], o.Met[1] = map[uint64]bool{}, o.Met[0]
	}
	o.Met[0][h] = true
	return true
}

// session returns the name under which a role's session is known: its own where names come again, else the role's for all.
func (o *organisation) session(a *signal.Access) string {
	r, ok := o.Roles[a.Role]
	if !ok {
		r.Sessions = map[uint64]int32{}
	}
	h, d := xxhash.Sum64String(a.Session), int32(a.Time/day)
	switch first, met := r.Sessions[h]; {
	case !met && len(r.Sessions) < 10_000:
		r.Sessions[h] = d
	case met && first >= 0 && first != d:
		r.Sessions[h] = -1
		r.Again++
	}
	o.Roles[a.Role] = r
	if n := len(r.Sessions); n >= 12 && r.Again*5 < n {
		return a.Role + "/*"
	}
	return a.User
}

func (o *organisation) like(p *profile) *tally {
	young := 0
	if p.young() {
		young = 1
	}
	return &o.Like[p.Kind][young]
}

// trace says who a session belongs to: the person that assumed the role, where a record told so.
func (o *organisation) trace(a *signal.Access) string {
	user := a.User
	if a.Type == "AssumedRole" && a.Role != "" && user == a.Role+"/"+a.Session {
		user = o.session(a)
	}
	if a.Origin == "" {
		switch a.Type {
		case "AssumedRole", "FederatedUser":
			if g, ok := o.Granted[a.Key]; ok && a.Key != "" {
				user = g.User
			} else if g, ok := o.Granted[a.ARN]; ok && a.ARN != "" {
				user = g.User
			}
		case "AWSAccount":
			if g, ok := o.Granted[a.Shared]; ok && a.Shared != "" {
				user = g.User
			}
		}
	}
	if strings.HasPrefix(a.API, "AssumeRole") || strings.HasPrefix(a.API, "GetFederationToken") || strings.HasPrefix(a.API, "GetSessionToken") {
		if a.Type == "AWSService" || a.Type == "AWSAccount" && user == a.User || strings.HasPrefix(a.API, "AssumeRoleWith") {
			return user // who stands behind these is not a user of ours: the session's own name is all there is
		}
		g := grant{user, a.Time}
		for _, name := range [...]string{a.Granted, a.GrantARN, a.Shared} {
			if name != "" {
				o.Granted[name] = g
			}
		}
	}
	return user
}

func kindOf(a *signal.Access, user string) uint8 {
	switch a.Type {
	case "AWSService", "AWSAccount", "":
		return service
	case "AssumedRole":
		if user == a.User && (strings.Contains(user, "*") || !strings.Contains(user, "/") && !strings.Contains(user, "@")) {
			return machine
		}
	}
	return person
}

// begin makes the episode of an access.
func (o *organisation) begin(a *signal.Access, user string, d int32) *episode {
	p := o.Users[user]
	if p == nil {
		p = newProfile(o.IDs, kindOf(a, user), d)
		o.IDs++
		o.Users[user] = p
	}
	t := time.UnixMilli(a.Time).UTC()
	e := &episode{User: user, Address: a.Address, Day: d, Begun: a.Time, Nets: networksOf(a.Address), Seen: map[uint64]uint8{}, p: p}
	e.Weekend = t.Weekday() == time.Saturday || t.Weekday() == time.Sunday
	e.Bins[network] = o.network(p, &e.Nets, d)
	e.Bins[nearness] = o.nearness(user, a.Address, p)
	return e
}

// network says how well a network is known: to the user 0 to 2 (the address itself: often, now and then, hardly), 3 and 4
// (near it), 5, 6 (its surroundings); else to the organisation 7 (many users) to 9 (one user alone), 10, 11 (its
// surroundings); else 12.
func (o *organisation) network(p *profile, n *networks, d int32) uint8 {
	often := max(3, p.Days/10)
	if c, ok := p.Nets[exact][n[exact]]; ok {
		switch {
		case c.Days >= often:
			return 0
		case c.Days > 2:
			return 1
		}
		if c := p.Nets[near][n[near]]; c.Days >= often {
			return 3
		}
		return 2
	}
	if c, ok := p.Nets[near][n[near]]; ok {
		if c.Days >= often {
			return 3
		}
		return 4
	}
	if _, ok := p.Nets[wide][n[wide]]; ok {
		return 5
	}
	if _, ok := p.Nets[region][n[region]]; ok {
		return 6
	}
	users := int(o.Nets[near][n[near]].Users)
	l := o.Live[n[near]]
	if !slices.Contains(l.Users, p.ID) && len(l.Users) < 64 {
		l.Users = append(l.Users, p.ID)
	}
	l.Last = d
	o.Live[n[near]] = l
	if others := len(l.Users) - 1; others >= 3 {
		users = max(users, others)
	}
	switch {
	case users >= 5:
		return 7
	case users >= 2:
		return 8
	case users == 1:
		return 9
	case o.Nets[wide][n[wide]].Users > 0:
		return 10
	case o.Nets[region][n[region]].Users > 0:
		return 11
	}
	return 12
}

// take adds an access to its episode. It returns true when that may change the score.
func (det *Detector) take(o *organisation, e *episode, a *signal.Access) bool {
	changed := e.Count == 0
	p := e.p
	e.Last = max(e.Last, a.Time)
	e.Count++
	if a.ARN != "" {
		e.ARN = a.ARN
	}
	if a.Key != "" && len(e.Keys) < maxKeys && !slices.Contains(e.Keys, a.Key) {
		e.Keys = append(e.Keys, a.Key)
	}

	hour := int(a.Time / (3600 * 1000) % 24)
	if e.Hours&(1<<hour) == 0 {
		e.Hours |= 1 << hour
		weekend := 0
		if e.Weekend {
			weekend = 1
		}
		if p.rareHour(hour, weekend, &o.Hours[p.Kind]) {
			e.Rare |= 1 << hour
			changed = e.raise(hours, bin(float64(bits.OnesCount32(e.Rare)), 0, 1, 3)) || changed
		}
	}
	api := hashOf(a.Service, a.API)
	if e.meet(api, seenAPI) {
		m := det.weigh(a)
		if m.gravity > e.Gravest && a.Error == "" {
			e.Gravest = m.gravity
		}
		if m.technique.ID != "" && !slices.Contains(e.Means, m.technique) && len(e.Means) < 12 {
			e.Means = append(e.Means, m.technique)
		}
		if _, ok := p.APIs[api]; !ok && p.N >= 1 {
			active := float64(len(o.Users))
			s := -math.Log((float64(o.Known[api]) + .5) / (active + 1))
			if _, ok := p.Groups[hashOf("service", a.Service)]; !ok {
				s = 1 + 1.3*s
			}
			e.News += s
			changed = e.raise(novelty, bin(e.News, 0, 1.2, 3.5, 7, 13)) || changed
			changed = e.raise(gravity, m.gravity) || changed
		}
	}
	e.call(a)
	e.meet(hashOf("service", a.Service), seenGroup)
	if group := hashOf("region", a.Region); a.Region != "" && e.meet(group, seenGroup) {
		if _, ok := p.Groups[group]; !ok && p.N >= 1 {
			b := uint8(1)
			if o.Known[group] == 0 {
				b = 2
			}
			changed = e.raise(where, b) || changed
		}
	}
	if agentKey := hashOf("agent", a.Agent); a.Agent != "" && e.meet(agentKey, seenAgent) {
		family := hashOf("agent", familyOf(a.Agent))
		e.meet(family, seenAgent)
		b := uint8(0)
		if _, ok := p.Agents[agentKey]; !ok && p.N >= 1 {
			users := o.Known[family]
			switch _, ok := p.Agents[family]; {
			case ok:
				b = 1
			case users >= 4:
				b = 2
			case users >= 1:
				b = 3
			default:
				b = 4
			}
		}
		changed = e.raise(agent, b) || changed
	}
	for _, r := range a.Resources {
		thing := hashOf("thing", r)
		if !e.meet(thing, seenThing) {
			continue
		}
		if len(e.Things) < maxEpisodeThings {
			e.Things = append(e.Things, r)
		}
		if _, ok := p.Things[thing]; !ok && p.N >= 1 {
			e.Fresh++
			changed = e.raise(things, bin(float64(e.Fresh), 0, 1, 3, 8)) || changed
		}
	}
	if denied(a.Error) {
		e.Denied++
		changed = e.raise(refusals, bin(float64(e.Denied), 0, 1, 4)) || changed
	}
	if p.N >= 5 {
		usual := math.Exp(p.Volume) + 3
		changed = e.raise(volume, bin(float64(e.Count)/usual, 4, 16)) || changed
	}
	return o.meetOthers(e, a.Time) || changed
}

// meetOthers looks for the same user at a place that it knows better, at about the same time.
func (o *organisation) meetOthers(e *episode, now int64) bool {
	const about = 90 * 60 * 1000
	p := e.p
	known := e.Bins[network]
	slot, oldest := -1, 0
	b := uint8(0)
	for i := range p.Recent {
		s := &p.Recent[i]
		if s.Near == e.Nets[near] {
			slot = i
			continue
		}
		if p.Recent[i].Last < p.Recent[oldest].Last {
			oldest = i
		}
		if s.Last == 0 || s.Wide == e.Nets[wide] || s.Known >= known {
			continue
		}
		if now-s.Last <= about && now >= s.First {
			b = max(b, 1)
			if s.Last > e.Begun && s.First < e.Begun { // there before it began here, and after
				b = 2
			}
		}
	}
	if slot < 0 {
		slot = oldest
		p.Recent[slot] = sighting{Near: e.Nets[near], Wide: e.Nets[wide], First: now}
	}
	s := &p.Recent[slot]
	if now-s.Last > 12*3600*1000 {
		s.First = now
	}
	s.Last, s.Known = now, known
	return e.raise(overlap, b)
}

// roll closes the day and begins d: what has waited long enough is learnt, and the threshold follows what was seen.
func (det *Detector) roll(o *organisation, d int32) {
	c := &det.c
	keep := o.Open[:0]
	for _, e := range o.Open {
		if e.Day < d {
			det.end(o, e)
		}
		if e.Learn == 0 && e.Day < d {
			o.Scores = append(o.Scores, scored{e.Day, max(e.Score, e.Peak)})
			e.Learn = e.Day + 1 + c.Delay
			if e.Score > o.Doubt {
				e.Learn += c.Quarantine
			}
		}
		if e.Learn == 0 || e.Learn > d {
			keep = append(keep, e)
			continue
		}
		delete(o.index, key{e.User, e.Address, e.Day})
		o.close(e)
	}
	clear(o.Open[len(keep):])
	o.Open = keep
	gone := float32(math.Pow(.5, float64(d-o.Day)/45))
	for _, p := range o.Users {
		p.Tally.fade(gone)
	}
	for k := range o.Like {
		o.Like[k][0].fade(gone)
		o.Like[k][1].fade(gone)
	}
	o.Day = d
	o.embed(d)
	for n, l := range o.Live {
		if d-l.Last > 5 {
			delete(o.Live, n)
		}
	}
	for n, g := range o.Granted {
		if o.Now-g.At > 2*day {
			delete(o.Granted, n)
		}
	}
	o.threshold(*c)
}

// learn takes an episode for ordinary life.
func (o *organisation) learn(e *episode) {
	p := e.p
	if p.Kind < kinds {
		o.like(p).add(&e.Bins, 1)
	}
	p.Tally.add(&e.Bins, 1)
	if p.Last != e.Day {
		p.Days++
		p.Last = max(p.Last, e.Day)
	}
	o.visit(p, &e.Nets, e.Day)
	o.noteAll(e)
	weekend := 0
	if e.Weekend {
		weekend = 1
	}
	for h := range 24 {
		if e.Hours&(1<<h) != 0 {
			p.Hours[weekend][h]++
			o.Hours[p.Kind][weekend][h]++
		}
	}
	o.pair(e)
	p.Reach = max(p.Reach, e.Gravest)
	p.N++
	p.Volume += (math.Log(float64(e.Count)) - p.Volume) / min(p.N, 60)
}

// visit learns that a user was at an address.
func (o *organisation) visit(p *profile, n *networks, d int32) {
	for w := range widths {
		fresh := note(p.Nets[w], n[w], d, maxNets)
		pl := o.Nets[w][n[w]]
		if fresh {
			pl.Users++
		}
		pl.Last = max(pl.Last, d)
		o.Nets[w][n[w]] = pl
	}
}

// noteAll learns what was met in an episode.
func (o *organisation) noteAll(e *episode) {
	for k, what := range e.Seen {
		m, limit := e.p.seen(what)
		if note(m, k, e.Day, limit) && o.Known[k] < math.MaxUint16 {
			o.Known[k]++
		}
	}
}

// threshold sets the score above which an episode is told, by what was exceeded as often as the configuration allows, and the
// score above which it is learnt late.
func (o *organisation) threshold(c Config) {
	const weeks = 6
	cut := 0
	for cut < len(o.Scores) && o.Scores[cut].Day <= o.Day-7*weeks {
		cut++
	}
	o.Scores = o.Scores[cut:]
	o.Limit, o.Doubt = c.Least, c.Least
	days := min(o.Day-o.Begun, 7*weeks)
	if len(o.Scores) == 0 || days < 7 {
		return
	}
	s := make([]float64, len(o.Scores))
	for i := range o.Scores {
		s[i] = o.Scores[i].Score
	}
	slices.Sort(s)
	slices.Reverse(s)
	at := func(perWeek float64) float64 { return s[min(len(s)-1, int(perWeek*float64(days)/7))] }
	o.Limit = max(at(c.Alarms), c.Least)
	o.Doubt = at(8 * c.Alarms)
}

func hashOf(a, b string) uint64 {
	return xxhash.Sum64String(a)*31 ^ xxhash.Sum64String(b)
}

func denied(code string) bool {
	return code != "" && (strings.Contains(code, "Denied") || strings.Contains(code, "Unauthorized") || strings.Contains(code, "LoginFailure") || strings.Contains(code, "Forbidden") || strings.Contains(code, "AuthFailure"))
}

// familyOf returns what an agent is without its version: the browser's kind with its system, or the first product.
func familyOf(a string) string {
	if rest, ok := strings.CutPrefix(a, "Mozilla/"); ok {
		if i := strings.IndexByte(rest, '('); i >= 0 {
			rest = rest[i+1:]
		}
		rest, _, _ = strings.Cut(rest, ")")
		return "browser " + strings.TrimRight(rest, "0123456789._ ;:rv")
	}
	a = strings.Trim(a, "[]")
	a, _, _ = strings.Cut(a, " ")
	a, _, _ = strings.Cut(a, "/")
	return a
}
