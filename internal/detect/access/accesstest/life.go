package accesstest

import (
	"fmt"
	"math"
	"time"

	"homeostat/internal/signal"
)

// live lets a user live one day.
func (s *sim) live(p *person, d int) {
	if p.machine > 0 {
		s.run(p, d)
		return
	}
	// What changes in a life.
	if s.chance(p.leases) {
		p.home = p.provider.draw(s.r)
	}
	if s.chance(.0012) { // moves house
		p.provider = s.block(11 + s.r.IntN(6))
		p.home = p.provider.draw(s.r)
	}
	if s.chance(.0008) { // another role
		p.team = s.r.IntN(6)
		s.equip(p)
	}
	if s.chance(.02) { // another version
		p.agents.cli += "1"
	}
	if s.chance(.01) {
		p.agents.browser = p.agents.browser[:len(p.agents.browser)-len(".0.0.0 Safari/537.36")] + "1.0.0 Safari/537.36"
	}
	if d >= p.leaves && s.chance(p.travel) {
		p.leaves = d + 1 + s.r.IntN(7)
		b := s.block(16)
		p.hotel = []uint32{b.draw(s.r)}
		if s.chance(.5) {
			p.hotel = append(p.hotel, s.public())
		}
		p.abroad = 0
		if s.chance(.4) {
			p.abroad = s.between(-8, 8)
		}
	}
	wd := s.w.Begin.AddDate(0, 0, d).Weekday()
	share := p.week
	if wd == time.Saturday || wd == time.Sunday {
		share = p.weekend
	}
	if !s.chance(share) {
		return
	}
	var places []uint32
	o := s.offices[p.office]
	switch {
	case d < p.leaves:
		places = p.hotel
		if s.chance(p.vpn * .7) {
			places = []uint32{s.vpns[s.r.IntN(len(s.vpns))]}
		}
	case d >= o.opens && s.chance(p.toOffice):
		places = []uint32{o.pool[s.r.IntN(len(o.pool))]}
		if len(o.pool) > 1 && s.chance(.4) {
			places = append(places, o.pool[s.r.IntN(len(o.pool))])
		}
		if s.chance(.15) {
			places = append(places, p.home)
		}
	case s.chance(p.vpn):
		places = []uint32{s.vpns[int(p.home)%len(s.vpns)]}
		if s.chance(.2) {
			places = append(places, p.home)
		}
	default:
		places = []uint32{p.home}
	}
	if s.chance(p.mobile) {
		places = append(places, p.carrier.draw(s.r))
	}
	if s.chance(.006) { // a café
		places = append(places, s.public())
	}
	p.active[d] = places
	n := 1 + int(p.rate*math.Exp(s.r.NormFloat64()*.6))
	start := p.start + s.r.NormFloat64()*.7
	if d < p.leaves {
		start += p.abroad
	}
	for i := range n {
		at := (float64(i) + s.r.Float64()) / float64(n)
		place := places[min(len(places)-1, int(at*float64(len(places))+s.r.NormFloat64()*.15+.0001))&0xff%len(places)]
		c := p.calls[min(len(p.calls)-1, int(s.r.ExpFloat64()*float64(len(p.calls))/4))]
		if s.chance(p.curious) {
			cs := s.catalog[s.r.IntN(len(s.catalog))]
			if s.chance(.7) {
				t := teams[p.team]
				cs = s.catalog[t[s.r.IntN(len(t))]]
			}
			c = cs[s.r.IntN(len(cs))]
		}
		s.emit(p, d, start+at*p.span, place, c, p.things[s.r.IntN(len(p.things))], "")
	}
}

// run lets a machine work one day.
func (s *sim) run(p *person, d int) {
	n := 5 + s.r.IntN(30)
	var places []uint32
	switch p.machine {
	case 1: // builds: runners with new addresses each day
		for range 1 + s.r.IntN(5) {
			places = append(places, s.clouds[p.hired%2].draw(s.r))
		}
	case 2:
		places = p.fixed
	case 3:
		places = []uint32{p.fixed[s.r.IntN(len(p.fixed))], s.clouds[2].draw(s.r)}
	}
	if s.chance(.003) {
		p.fixed[0] = s.clouds[s.r.IntN(len(s.clouds))].draw(s.r)
	}
	p.active[d] = places
	for range n {
		c := p.calls[min(len(p.calls)-1, int(s.r.ExpFloat64()*float64(len(p.calls))/4))]
		h := s.r.Float64() * 24
		if p.machine == 1 {
			h = s.people[len(s.people)-1].start + s.r.NormFloat64()*3 + 4
		}
		s.emit(p, d, h, places[s.r.IntN(len(places))], c, p.things[s.r.IntN(len(p.things))], "")
	}
}

// emit writes one access.
func (s *sim) emit(p *person, d int, hour float64, place uint32, c call, thing, agent string) *signal.Access {
	s.n++
	at := s.w.Begin.AddDate(0, 0, d).Add(time.Duration(hour * float64(time.Hour)))
	a := signal.Access{
		ID: fmt.Sprintf("%08x-%04x-4000-8000-%012x", s.r.Uint32(), s.n&0xffff, s.n), Time: at.UnixMilli() / 1000 * 1000, Org: "111122223333", Account: "111122223333",
		Type: p.typ, User: p.name, Address: addressOf(place), Service: c.service, API: c.api, Region: p.region, ReadOnly: c.read,
		Kind: "AwsApiCall", Category: "Management", Key: "AKIA" + p.name, ARN: "arn:aws:iam::111122223333:user/" + p.name,
	}
	if p.typ == "AssumedRole" {
		session := p.name
		if p.machine > 0 {
			session = "*"
		}
		a.Role, a.Session, a.User = p.role, session, p.role+"/"+session
		a.ARN = "arn:aws:sts::111122223333:assumed-role/" + p.role + "/" + session
	}
	a.Agent = agent
	if agent == "" {
		a.Agent = p.agents.cli
		if p.machine == 0 && s.chance(.5) {
			a.Agent = p.agents.browser
		}
	}
	switch c.service {
	case "s3.amazonaws.com", "dynamodb.amazonaws.com", "lambda.amazonaws.com", "secretsmanager.amazonaws.com":
		a.Resources = []string{thing}
	}
	if s.chance(.01) {
		a.Error = "AccessDenied"
	}
	if s.chance(.01) {
		a.Region = "us-east-1"
	}
	s.rows = append(s.rows, a)
	return &s.rows[len(s.rows)-1]
}
