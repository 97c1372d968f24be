package accesstest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"homeostat/internal/signal"
)

// Plain simulates another organisation, written apart from New so that what fits one world is held against a second: three
// offices with NAT pools, homes of six providers, travel to anywhere, a new office in the twelfth week, and build machines with
// new addresses at each run. Intruders come from hosting providers with the calls that thieves of keys make; the hard ones from a
// colleague's home or a consumer's provider, with the victim's own calls at the victim's hours. With bare, records have no
// program, region, error and key.
func Plain(seed uint64, bare bool) *World {
	p := &plain{r: rand.New(rand.NewPCG(seed, 77)), bare: bare, seed: seed}
	p.w = &World{Begin: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), Incident: map[string]int{}, IsHard: map[int]bool{}, Kind: map[int]string{}}
	p.pool = 1 + p.r.IntN(6)
	p.churn = oneOf(p.r, .01, .05, .2)
	for i := range Users {
		p.people = append(p.people, p.hire(i))
	}
	for d := range TrainDays + TestDays {
		for _, u := range p.people {
			if u.machine {
				p.build(u, d)
			} else {
				p.live(u, d)
			}
		}
	}
	for id := 1; id <= Incidents; id++ {
		p.intrude(id)
	}
	slices.SortStableFunc(p.w.Accesses, func(a, b signal.Access) int { return cmp.Compare(a.Time, b.Time) })
	return p.w
}

type plain struct {
	r      *rand.Rand
	w      *World
	seed   uint64
	bare   bool
	pool   int     // addresses of an office's NAT
	churn  float64 // how often a home's address changes, a day
	people []*employee
}

type employee struct {
	name, key, agent, region string
	machine                  bool
	office                   int
	home                     [3]int // of a /24
	host                     int
	start, span              float64 // hours of the day
	apis, buckets            []string
	atHome, travels          float64 // shares of days
	moves                    int     // day; -1 for one who stays
}

// machines of the organisation are its last users.
const machines = 8

var (
	plainRoles = map[string][]string{
		"dev":   {"ec2:DescribeInstances", "s3:GetObject", "s3:PutObject", "s3:ListObjects", "lambda:Invoke", "lambda:GetFunction", "logs:FilterLogEvents", "cloudwatch:GetMetricData", "dynamodb:Query", "sts:GetCallerIdentity", "ecr:GetAuthorizationToken", "codebuild:StartBuild"},
		"ops":   {"ec2:DescribeInstances", "ec2:StartInstances", "ec2:StopInstances", "rds:DescribeDBInstances", "cloudwatch:GetMetricData", "ssm:StartSession", "autoscaling:UpdateAutoScalingGroup", "iam:ListRoles", "iam:GetRole", "cloudformation:UpdateStack", "route53:ChangeResourceRecordSets"},
		"data":  {"s3:GetObject", "s3:ListObjects", "athena:StartQueryExecution", "athena:GetQueryResults", "glue:GetTables", "redshift:ExecuteStatement", "sagemaker:CreateTrainingJob", "kms:Decrypt"},
		"admin": {"iam:ListUsers", "iam:CreateUser", "iam:AttachUserPolicy", "iam:ListAccessKeys", "ec2:DescribeInstances", "cloudtrail:LookupEvents", "organizations:ListAccounts", "s3:ListBuckets", "kms:Decrypt", "secretsmanager:GetSecretValue"},
		"ci":    {"ecr:PutImage", "s3:PutObject", "lambda:UpdateFunctionCode", "cloudformation:CreateChangeSet", "cloudformation:ExecuteChangeSet", "sts:GetCallerIdentity", "ecs:UpdateService"},
	}
	plainThief = []string{
		"sts:GetCallerIdentity", "iam:ListUsers", "iam:ListRoles", "s3:ListBuckets", "ec2:DescribeInstances", "secretsmanager:ListSecrets", "secretsmanager:GetSecretValue",
		"iam:CreateUser", "iam:CreateAccessKey", "iam:AttachUserPolicy", "ec2:RunInstances", "s3:GetObject", "cloudtrail:StopLogging",
	}
	plainOffices   = [3][3]int{{12, 34, 56}, {81, 2, 69}, {203, 17, 8}}
	plainProviders = [][2]int{{86, 12}, {92, 40}, {109, 77}, {31, 94}, {145, 53}, {178, 201}}
	plainAgents    = []string{"aws-cli/2.15.30 Python/3.11", "aws-cli/2.9.1 Python/3.9", "Boto3/1.34.11", "console.amazonaws.com", "Terraform/1.7", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Chrome"}
)

func oneOf[T any](r *rand.Rand, all ...T) T { return all[r.IntN(len(all))] }

func (p *plain) hire(i int) *employee {
	role := oneOf(p.r, "dev", "dev", "dev", "ops", "data", "admin")
	u := &employee{
		name: fmt.Sprintf("emp%02d", i), key: fmt.Sprintf("AKIA%016d", i), agent: oneOf(p.r, plainAgents...), office: p.r.IntN(len(plainOffices)), home: p.newHome(), host: 1 + p.r.IntN(254),
		start: 7 + 3*p.r.Float64(), span: 7 + 3*p.r.Float64(), atHome: .7 * p.r.Float64(), travels: oneOf(p.r, 0, 0, .01, .04), moves: -1,
	}
	if i >= Users-machines {
		role, u.machine, u.name, u.agent = "ci", true, fmt.Sprintf("ci-runner-%d", i), "aws-sdk-go/1.50"
	}
	if p.r.IntN(12) == 0 {
		u.moves = 60 + p.r.IntN(40)
	}
	u.region = []string{"eu-west-1", "us-east-1", "eu-central-1"}[u.office]
	u.apis = slices.Clone(plainRoles[role])
	p.r.Shuffle(len(u.apis), func(a, b int) { u.apis[a], u.apis[b] = u.apis[b], u.apis[a] })
	u.apis = u.apis[:max(4, len(u.apis)-p.r.IntN(4))]
	for range 5 {
		u.buckets = append(u.buckets, p.bucket())
	}
	return u
}

func (p *plain) newHome() [3]int {
	isp := oneOf(p.r, plainProviders...)
	return [3]int{isp[0], isp[1] + p.r.IntN(3), p.r.IntN(256)}
}

func (p *plain) bucket() string { return fmt.Sprint("bucketName=team-", p.r.IntN(25)) }

func in24(n [3]int, host int) string { return fmt.Sprintf("%d.%d.%d.%d", n[0], n[1], n[2], host) }

func (p *plain) anywhere(first int) string {
	return in24([3]int{first, p.r.IntN(256), p.r.IntN(256)}, p.r.IntN(256))
}

// usual draws one of a user's own calls: the first ones far more often than the last.
func (p *plain) usual(u *employee) string {
	return u.apis[min(p.r.IntN(len(u.apis)), p.r.IntN(len(u.apis)))]
}

func (p *plain) day(d int) time.Time { return p.w.Begin.AddDate(0, 0, d) }

func hoursOf(h float64) time.Duration { return time.Duration(h * float64(time.Hour)) }

// build is a day of a build machine: some runs, each from an address that it never had.
func (p *plain) build(u *employee, d int) {
	for range 1 + p.r.IntN(4) {
		address := p.anywhere(oneOf(p.r, 3, 18, 52, 54))
		t := p.day(d).Add(time.Duration(p.r.IntN(86400)) * time.Second)
		for range 3 + p.r.IntN(6) {
			p.access(u, t, address, p.usual(u), u.agent, oneOf(p.r, u.buckets...), "", 0)
			t = t.Add(time.Duration(p.r.IntN(60)) * time.Second)
		}
	}
}

// live is a day of a person.
func (p *plain) live(u *employee, d int) {
	switch {
	case d == u.moves:
		u.home, u.host = p.newHome(), 1+p.r.IntN(254)
	case p.r.Float64() < p.churn:
		u.home[2], u.host = (u.home[2]+p.r.IntN(16))%256, 1+p.r.IntN(254)
	}
	weekend := p.day(d).Weekday() == time.Saturday || p.day(d).Weekday() == time.Sunday
	if weekend && p.r.Float64() > .12 || !weekend && p.r.Float64() < .08 {
		return
	}
	for _, place := range p.places(u, d, weekend) {
		t := p.day(d).Add(hoursOf(u.start + .7*p.r.NormFloat64()))
		for range 2 + p.r.IntN(12) {
			api, agent, code := p.usual(u), u.agent, ""
			if p.r.Float64() < .01 {
				api = oneOf(p.r, plainRoles[oneOf(p.r, "dev", "ops", "data")]...)
			}
			if p.r.Float64() < .01 {
				code = "AccessDenied"
			}
			if p.r.Float64() < .02 {
				agent = "Boto3/1.34.11"
			}
			p.access(u, t, place, api, agent, oneOf(p.r, u.buckets...), code, 0)
			t = t.Add(hoursOf(p.r.Float64() * u.span / 10))
		}
	}
}

// places are the addresses of a person's day.
func (p *plain) places(u *employee, d int, weekend bool) (places []string) {
	home := in24(u.home, u.host)
	switch {
	case p.r.Float64() < u.travels:
		for range 1 + p.r.IntN(2) {
			places = append(places, p.anywhere(20+p.r.IntN(180)))
		}
	case weekend || p.r.Float64() < u.atHome:
		places = append(places, home)
	default:
		places = append(places, in24(plainOffices[u.office], 1+p.r.IntN(p.pool)))
		if p.r.Float64() < .2 {
			places = append(places, home)
		}
	}
	if p.r.Float64() < .06 { // a carrier's gateways
		places = append(places, in24([3]int{107, 64 + p.r.IntN(4), p.r.IntN(256)}, p.r.IntN(256)))
	}
	if d >= 80 && u.office == 1 && p.r.Float64() < .3 {
		places[0] = in24([3]int{193, 108, 24}, 1+p.r.IntN(3))
	}
	return places
}

// intrude is one incident: the first Hard ones are hard.
func (p *plain) intrude(id int) {
	people := p.people[:Users-machines]
	u := oneOf(p.r, people...)
	d := TrainDays + p.r.IntN(TestDays-3)
	switch {
	case id <= Hard && id%2 == 0: // from a colleague's home
		c := oneOf(p.r, people...)
		for c == u || c.home == u.home {
			c = oneOf(p.r, people...)
		}
		t := p.day(d).Add(hoursOf(u.start + 2 + 3*p.r.Float64()))
		for range 4 + p.r.IntN(6) {
			p.access(u, t, in24(c.home, c.host), oneOf(p.r, u.apis...), c.agent, p.bucket(), "", id)
			t = t.Add(4 * time.Minute)
		}
	case id <= Hard: // low and slow, from a consumer's provider
		address := in24(p.newHome(), p.r.IntN(256))
		for k := range 3 {
			t := p.day(d + k).Add(hoursOf(u.start + 2 + 4*p.r.Float64()))
			for range 1 + p.r.IntN(3) {
				p.access(u, t, address, oneOf(p.r, u.apis...), u.agent, p.bucket(), "", id)
				t = t.Add(20 * time.Minute)
			}
		}
	default:
		address, agent := p.anywhere(oneOf(p.r, 45, 185, 91, 5, 194, 3, 52)), oneOf(p.r, "Boto3/1.34.11", u.agent, "aws-cli/2.15.30 Python/3.11", "python-requests/2.31")
		t := p.day(d).Add(time.Duration(p.r.IntN(86400)) * time.Second)
		for range 5 + p.r.IntN(25) {
			api, code := oneOf(p.r, plainThief...), ""
			if p.r.Float64() < .4 {
				api = oneOf(p.r, u.apis...)
			}
			if p.r.Float64() < .2 {
				code = "AccessDenied"
			}
			p.access(u, t, address, api, agent, p.bucket(), code, id)
			t = t.Add(time.Duration(p.r.IntN(120)) * time.Second)
		}
	}
	p.w.IsHard[id] = id <= Hard
}

func (p *plain) access(u *employee, t time.Time, address, api, agent, resource, code string, incident int) {
	service, name, _ := strings.Cut(api, ":")
	a := signal.Access{
		ID: fmt.Sprintf("x%d-%d", p.seed, len(p.w.Accesses)), Time: t.UnixMilli(), Org: "999988887777", Account: "999988887777", Type: "IAMUser", User: u.name,
		ARN: "arn:aws:iam::999988887777:user/" + u.name, Key: u.key, Address: address, Service: service + ".amazonaws.com", API: name, Region: u.region, Agent: agent,
		Error: code, Kind: "AwsApiCall", Category: "Management", Resources: []string{resource},
		ReadOnly: strings.HasPrefix(name, "Get") || strings.HasPrefix(name, "List") || strings.HasPrefix(name, "Describe"),
	}
	if p.bare {
		a.Agent, a.Region, a.Error, a.Key = "", "", "", ""
	}
	if incident > 0 {
		p.w.Incident[a.ID] = incident
	}
	p.w.Accesses = append(p.w.Accesses, a)
}
