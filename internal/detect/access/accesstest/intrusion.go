package accesstest

import (
	"fmt"
	"math"
)

var (
	looking = []call{{"sts.amazonaws.com", "GetCallerIdentity", true}, {"iam.amazonaws.com", "ListUsers", true}, {"iam.amazonaws.com", "ListRoles", true}, {"s3.amazonaws.com", "ListBuckets", true}, {"ec2.amazonaws.com", "DescribeInstances", true}, {"iam.amazonaws.com", "ListAttachedUserPolicies", true}, {"secretsmanager.amazonaws.com", "ListSecrets", true}, {"lambda.amazonaws.com", "ListFunctions", true}, {"rds.amazonaws.com", "DescribeDBInstances", true}}
	harming = []call{{"iam.amazonaws.com", "CreateUser", false}, {"iam.amazonaws.com", "CreateAccessKey", false}, {"iam.amazonaws.com", "AttachUserPolicy", false}, {"cloudtrail.amazonaws.com", "StopLogging", false}, {"secretsmanager.amazonaws.com", "GetSecretValue", true}, {"ec2.amazonaws.com", "RunInstances", false}, {"s3.amazonaws.com", "GetObject", true}, {"ec2.amazonaws.com", "ModifySnapshotAttribute", false}, {"lambda.amazonaws.com", "UpdateFunctionCode20150331v2", false}}
	tooling = []string{"aws-cli/2.9.1 Python/3.9 Linux/5.10 kali", "Boto3/1.26.5 Python/3.11 Linux", "python-requests/2.31", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Safari/537.36"}
)

// intrude adds the incidents to the last days.
func (s *sim) intrude() {
	var victims []*person
	for _, i := range s.r.Perm(len(s.people)) {
		if s.people[i].hired < TrainDays-14 {
			victims = append(victims, s.people[i])
		}
	}
	for i := range Incidents {
		id := i + 1
		v := victims[i%len(victims)]
		switch {
		case i < Hard/2:
			for v.machine > 0 {
				v = s.people[s.r.IntN(len(s.people))]
			}
			s.lateral(id, v)
		case i < Hard:
			for v.machine > 0 {
				v = s.people[s.r.IntN(len(s.people))]
			}
			s.slow(id, v)
		default:
			s.stolen(id, v)
		}
	}
}

func (s *sim) mark(id int, p *person, d int, hour float64, place uint32, c call, thing, agent string) {
	a := s.emit(p, d, hour, place, c, thing, agent)
	if a.Error == "" && !c.read && s.chance(.4) || s.chance(.05) {
		a.Error = "AccessDenied"
	}
	s.w.Incident[a.ID] = id
}

// stolen: a key in the hands of somebody elsewhere: at a hoster, at home in another country, behind a proxy in this one.
func (s *sim) stolen(id int, v *person) {
	s.w.Kind[id] = "stolen"
	d := TrainDays + s.r.IntN(TestDays-1)
	days := 1 + s.r.IntN(4)
	place := s.public()
	switch s.r.IntN(5) {
	case 0: // another provider's customer, of those that colleagues have
		place = s.people[s.r.IntN(len(s.people))].provider.draw(s.r)
	case 1: // the cloud that builds run in
		place = s.clouds[s.r.IntN(len(s.clouds))].draw(s.r)
	}
	hour := s.r.Float64() * 24
	if s.chance(.4) {
		hour = v.start + s.r.Float64()*v.span
	}
	agent := tooling[s.r.IntN(len(tooling))]
	if s.chance(.35) || s.chance(s.guile) {
		agent = v.agents.cli
	}
	care := max(s.guile, s.r.Float64()) // how much of it looks like the victim's own work
	for k := range days {
		if d+k >= TrainDays+TestDays {
			return
		}
		if k > 0 && s.chance(.3) {
			place += uint32(s.r.IntN(200)) - 100
		}
		n := 3 + int(math.Exp(s.r.Float64()*3.2))
		for i := range n {
			c := looking[s.r.IntN(len(looking))]
			if k > 0 || i > n/2 {
				c = harming[s.r.IntN(len(harming))]
			}
			if s.chance(care) {
				c = v.calls[s.r.IntN(len(v.calls))]
			}
			thing := s.people[s.r.IntN(len(s.people))].things[0]
			if s.chance(care) {
				thing = v.things[s.r.IntN(len(v.things))]
			}
			s.mark(id, v, d+k, hour+2*s.r.Float64(), place, c, thing, agent)
		}
	}
}

// lateral: a colleague's machine, or somebody on it, uses the victim's key from the colleague's home.
func (s *sim) lateral(id int, v *person) {
	s.w.Kind[id], s.w.IsHard[id] = "lateral", true
	o := v
	for o == v || o.machine > 0 || o.hired > TrainDays-20 {
		o = s.people[s.r.IntN(len(s.people))]
	}
	d := TrainDays + s.r.IntN(TestDays-2)
	for k := range 1 + s.r.IntN(3) {
		n := 2 + s.r.IntN(12)
		hour := o.start + s.r.Float64()*o.span
		for range n {
			c := v.calls[s.r.IntN(len(v.calls))]
			if s.chance(.25 * (1 - s.guile)) {
				c = looking[s.r.IntN(len(looking))]
			}
			agent := v.agents.cli
			if s.chance(.5 * (1 - s.guile)) {
				agent = o.agents.cli
			}
			s.mark(id, v, min(d+k, TrainDays+TestDays-1), hour+s.r.Float64(), o.home, c, v.things[s.r.IntN(len(v.things))], agent)
		}
	}
}

// slow: a few calls a day that the victim makes too, at its hours, from a network that its colleagues use the like of.
func (s *sim) slow(id int, v *person) {
	s.w.Kind[id], s.w.IsHard[id] = "slow", true
	d := TrainDays + s.r.IntN(6)
	place := s.people[s.r.IntN(len(s.people))].provider.draw(s.r)
	if s.chance(.4) {
		place = s.public()
	}
	for k := range 4 + s.r.IntN(5) {
		if s.chance(.25) {
			continue
		}
		for range 1 + s.r.IntN(4) {
			c := v.calls[s.r.IntN(len(v.calls))]
			if s.chance(.2 * (1 - s.guile)) {
				c = looking[s.r.IntN(len(looking))]
			}
			s.mark(id, v, min(d+k, TrainDays+TestDays-1), v.start+s.r.Float64()*v.span, place, c, v.things[s.r.IntN(len(v.things))], v.agents.cli)
		}
	}
}

// String describes an incident.
func (w *World) String() string {
	return fmt.Sprintf("%d accesses, %d of incidents", len(w.Accesses), len(w.Incident))
}
