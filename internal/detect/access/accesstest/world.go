// Package accesstest simulates an organisation: 90 days of ordinary life and 14 more in which intruders are about, for
// measuring detectors of unusual access where no real history can be had.
//
// People work from offices behind NAT pools, from home behind providers that change their address, over VPN gateways and
// mobile carriers; they travel, move house, change roles, are hired; an office opens; builds run on machines with new
// addresses each day; roles serve instances and functions. How much of each there is is drawn anew for each seed, so that
// nothing can be fitted to one world. Incidents are of several kinds; the hard ones use a colleague's network, or come from a
// near one, seldom, at the right hours, with the calls that the victim makes too.
package accesstest

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"homeostat/internal/signal"
)

// Days of a world: first ordinary life, then life with intruders.
const (
	TrainDays = 90
	TestDays  = 14
	Users     = 80
	Incidents = 25
	Hard      = 8
)

// World is one simulated organisation.
type World struct {
	Begin         time.Time
	Accesses      []signal.Access // in the order of time
	Incident      map[string]int  // eventID -> incident, from 1; what isn't there is ordinary
	IsHard        map[int]bool
	Kind          map[int]string // of an incident
	Unrest, Guile float64        // how often addresses change that need not; how much intruders look like their victims
}

// Until is when training ends.
func (w *World) Until() time.Time { return w.Begin.AddDate(0, 0, TrainDays) }

// block is a range of IPv4 addresses that a provider hands out of.
type block struct {
	base uint32
	bits int
}

func (b block) draw(r *rand.Rand) uint32 {
	host := uint32(1)<<(32-b.bits) - 1
	return b.base&^host | r.Uint32()&host
}

type office struct {
	pool  []uint32
	opens int
}

type agentSet struct{ browser, cli string }

type call struct {
	service, api string
	read         bool
}

// person is a user and how it lives.
type person struct {
	name        string
	typ         string
	role        string
	team        int
	calls       []call // most used first
	things      []string
	agents      agentSet
	region      string
	start, span float64 // hours, UTC
	week        float64 // share of weekdays at work
	weekend     float64
	office      int
	toOffice    float64 // share of days
	vpn         float64
	mobile      float64
	travel      float64 // journeys a day
	provider    block
	home        uint32
	leases      float64 // changes of the home address a day
	carrier     block
	rate        float64 // calls a day
	hired       int
	leaves      int // end of the journey
	hotel       []uint32
	abroad      float64 // hours that the journey shifts the day
	curious     float64 // share of calls beyond its own
	machine     int     // 0 a person, 1 builds, 2 an instance, 3 a function
	fixed       []uint32
	active      map[int][]uint32 // addresses by day
}

type sim struct {
	r       *rand.Rand
	w       *World
	people  []*person
	offices []office
	vpns    []uint32
	clouds  []block
	catalog [][]call
	rows    []signal.Access
	n       int

	unrest float64 // 0 to 1: how often addresses change that need not
	guile  float64 // 0 to 1: how much intruders look like their victims
}

// New makes the world of a seed.
func New(seed uint64) *World {
	s := begin(seed)
	s.days(TrainDays + TestDays)
	s.intrude()
	s.w.Accesses, s.w.Unrest, s.w.Guile = s.ordered(), s.unrest, s.guile
	return s.w
}

// Ordinary returns the first days of a seed's world, before anything happens.
func Ordinary(seed uint64, days int) []signal.Access {
	s := begin(seed)
	s.days(days)
	return s.ordered()
}

func begin(seed uint64) *sim {
	s := &sim{r: rand.New(rand.NewPCG(seed, 0xacce55)), w: &World{
		Begin: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC).AddDate(0, 0, int(seed%50)), Incident: map[string]int{}, IsHard: map[int]bool{}, Kind: map[int]string{},
	}}
	s.settle()
	return s
}

// days lets everybody live the first n days.
func (s *sim) days(n int) {
	for d := range n {
		for _, p := range s.people {
			if d >= p.hired {
				s.live(p, d)
			}
		}
	}
}

func (s *sim) ordered() []signal.Access {
	slices.SortStableFunc(s.rows, func(a, b signal.Access) int { return cmp.Compare(a.Time, b.Time) })
	return s.rows
}

func (s *sim) between(a, b float64) float64 { return a + (b-a)*s.r.Float64() }

func (s *sim) chance(p float64) bool { return s.r.Float64() < p }

// public draws an address out of what is in use on the internet.
func (s *sim) public() uint32 {
	for {
		v := s.r.Uint32()
		switch top := v >> 24; {
		case top < 2, top == 10, top == 127, top >= 224, top == 172, top == 192, top == 169, top == 100, top == 198, top == 203:
			continue
		}
		return v
	}
}

func (s *sim) block(bits int) block { return block{s.public(), bits} }

var catalogs = []string{
	"ec2.amazonaws.com:DescribeInstances DescribeInstanceStatus DescribeImages DescribeVolumes DescribeSubnets DescribeSecurityGroups RunInstances! StopInstances! StartInstances! TerminateInstances! CreateTags! DescribeTags DescribeRegions CreateSnapshot! AuthorizeSecurityGroupIngress! DescribeAddresses DescribeKeyPairs",
	"s3.amazonaws.com:ListBuckets GetObject PutObject! ListObjects HeadObject DeleteObject! GetBucketLocation GetBucketPolicy GetBucketAcl CreateBucket! PutBucketPolicy! GetBucketVersioning",
	"lambda.amazonaws.com:ListFunctions GetFunction Invoke! UpdateFunctionCode! CreateFunction! GetPolicy PublishVersion! ListVersionsByFunction",
	"rds.amazonaws.com:DescribeDBInstances DescribeDBClusters ModifyDBInstance! CreateDBSnapshot! DescribeDBSnapshots DescribeDBLogFiles",
	"dynamodb.amazonaws.com:DescribeTable ListTables Query Scan PutItem! UpdateTable! CreateTable!",
	"logs.amazonaws.com:DescribeLogGroups FilterLogEvents GetLogEvents StartQuery GetQueryResults DescribeLogStreams",
	"monitoring.amazonaws.com:GetMetricData ListMetrics DescribeAlarms PutMetricAlarm! GetDashboard",
	"iam.amazonaws.com:GetUser ListRoles GetRole ListUsers ListPolicies GetPolicyVersion ListAttachedRolePolicies CreateRole! AttachRolePolicy! CreateAccessKey! CreateUser! PassRole! GetAccountSummary",
	"cloudformation.amazonaws.com:DescribeStacks ListStacks UpdateStack! CreateChangeSet! DescribeStackEvents GetTemplate",
	"ecs.amazonaws.com:DescribeServices ListClusters UpdateService! RegisterTaskDefinition! ListTasks DescribeTasks",
	"sqs.amazonaws.com:ListQueues GetQueueAttributes SendMessage! ReceiveMessage PurgeQueue!",
	"glue.amazonaws.com:GetTables GetDatabases StartJobRun! GetJobRun GetPartitions",
	"athena.amazonaws.com:StartQueryExecution! GetQueryExecution GetQueryResults ListWorkGroups",
	"secretsmanager.amazonaws.com:ListSecrets GetSecretValue DescribeSecret PutSecretValue!",
	"kms.amazonaws.com:Decrypt ListKeys DescribeKey GenerateDataKey ListAliases",
	"ce.amazonaws.com:GetCostAndUsage GetDimensionValues GetCostForecast",
	"cloudtrail.amazonaws.com:LookupEvents DescribeTrails GetTrailStatus StopLogging!",
	"sts.amazonaws.com:GetCallerIdentity AssumeRole! GetSessionToken",
	"ssm.amazonaws.com:GetParameter GetParametersByPath DescribeInstanceInformation SendCommand! StartSession!",
	"eks.amazonaws.com:DescribeCluster ListClusters UpdateClusterVersion! ListNodegroups",
}

// teams say which services each works with, the favourite first.
var teams = [][]int{
	{2, 1, 5, 4, 8, 10, 6, 17, 18},   // developers
	{0, 9, 5, 6, 8, 1, 19, 18, 17},   // platform
	{1, 11, 12, 4, 14, 17},           // data
	{7, 0, 16, 6, 14, 13, 17, 5, 18}, // security, administrators
	{15, 1, 6},                       // finance
	{0, 6, 15, 3},                    // managers, support
	{8, 9, 1, 2, 14, 13, 17},         // builds
	{1, 10, 4, 14, 13},               // instances and functions
}

func (s *sim) settle() {
	for _, line := range catalogs {
		var name, rest string
		for i := range line {
			if line[i] == ':' {
				name, rest = line[:i], line[i+1:]
				break
			}
		}
		var calls []call
		for f := range fields(rest) {
			read := f[len(f)-1] != '!'
			if !read {
				f = f[:len(f)-1]
			}
			calls = append(calls, call{name, f, read})
		}
		s.catalog = append(s.catalog, calls)
	}
	zone := s.between(-9, 9)
	s.unrest, s.guile = s.r.Float64(), s.r.Float64()
	for i := range 1 + s.r.IntN(3) {
		o := office{}
		base := s.public()
		for range 1 + s.r.IntN(6) {
			o.pool = append(o.pool, base&^255|uint32(s.r.IntN(250)+2))
		}
		if s.chance(.3) { // a pool over two networks
			other := s.public()
			o.pool = append(o.pool, other, other&^255|uint32(s.r.IntN(250)))
		}
		if i > 0 && s.chance(.5) {
			o.opens = 60 + s.r.IntN(40)
		}
		s.offices = append(s.offices, o)
	}
	if s.offices[len(s.offices)-1].opens == 0 && s.chance(.6) {
		base := s.public()
		s.offices = append(s.offices, office{[]uint32{base, base + 1, base + 2}, 70 + s.r.IntN(30)})
	}
	for range 1 + s.r.IntN(3) {
		s.vpns = append(s.vpns, s.public())
	}
	for range 6 {
		s.clouds = append(s.clouds, s.block(12+s.r.IntN(4)+int(8*(1-s.unrest))))
	}
	var providers, carriers []block
	for range 5 + s.r.IntN(6) {
		providers = append(providers, s.block(11+s.r.IntN(6)))
	}
	for range 2 + s.r.IntN(3) {
		carriers = append(carriers, s.block(11+s.r.IntN(5)+int(8*(1-s.unrest))))
	}
	remote, travel, vpn := s.between(.2, .8), s.between(.002, .02), s.between(0, .6)
	regions := []string{"eu-west-1", "us-east-1", "eu-central-1", "ap-southeast-2"}
	homeRegion := regions[s.r.IntN(len(regions))]
	for i := range Users {
		p := &person{name: fmt.Sprintf("user%02d", i), typ: "IAMUser", region: homeRegion, active: map[int][]uint32{}}
		p.team = []int{0, 0, 0, 0, 1, 1, 2, 2, 3, 4, 5}[s.r.IntN(11)]
		switch {
		case i < 2+s.r.IntN(2):
			p.machine, p.team, p.typ, p.role = 1, 6, "AssumedRole", fmt.Sprintf("ci-%d", i)
		case i >= 4 && i < 12:
			p.machine, p.team, p.typ = 2, 7, "AssumedRole"
			if i%2 == 0 {
				p.machine = 3
			}
			p.role = fmt.Sprintf("svc-%d", i)
		}
		if p.machine == 0 && s.chance(.35) {
			p.typ, p.role = "AssumedRole", []string{"Developer", "Platform", "Data", "Admin", "Billing", "ReadOnly"}[p.team]
		}
		s.equip(p)
		p.start = math.Mod(8.5-zone+s.r.NormFloat64()*1.2+48, 24)
		p.span = s.between(7, 10.5)
		p.week, p.weekend = s.between(.75, .98), s.between(0, .15)
		if s.chance(.06) { // a night shift
			p.start, p.weekend = math.Mod(p.start+12, 24), .4
		}
		p.office = s.r.IntN(len(s.offices))
		p.toOffice = min(1, max(0, 1-remote+s.r.NormFloat64()*.25))
		p.vpn = min(.95, max(0, vpn+s.r.NormFloat64()*.3))
		p.mobile = max(0, s.between(-.2, .3)*s.unrest)
		p.travel = travel * s.r.ExpFloat64() * s.unrest
		if s.chance(.08) {
			p.travel = s.between(.04, .1) * s.unrest // sales, consultants
		}
		p.provider = providers[s.r.IntN(len(providers))]
		p.home = p.provider.draw(s.r)
		p.leases = []float64{0, 0, .01, .03, .15, .5}[s.r.IntN(6)] * s.unrest
		p.carrier = carriers[s.r.IntN(len(carriers))]
		p.rate = math.Exp(s.between(1.8, 3.9))
		p.curious = s.between(0, .04)
		if s.chance(.1) {
			p.hired = 1 + s.r.IntN(TrainDays+8)
		}
		for range 1 + s.r.IntN(3) {
			b := s.clouds[s.r.IntN(len(s.clouds))]
			p.fixed = append(p.fixed, b.draw(s.r))
		}
		s.people = append(s.people, p)
	}
}

// equip gives a person the calls, things and programs of its team.
func (s *sim) equip(p *person) {
	p.calls, p.things = nil, nil
	t := teams[p.team]
	want := 12 + s.r.IntN(25)
	if p.machine > 0 {
		want = 4 + s.r.IntN(8)
	}
	for len(p.calls) < want {
		cs := s.catalog[t[min(len(t)-1, int(s.r.ExpFloat64()*2.2))]]
		c := cs[min(len(cs)-1, int(s.r.ExpFloat64()*3.5))]
		if !slices.Contains(p.calls, c) || s.chance(.1) {
			p.calls = append(p.calls, c)
		}
	}
	for range 2 + s.r.IntN(8) {
		p.things = append(p.things, fmt.Sprintf("bucketName=%s-%d", []string{"app", "platform", "data", "audit", "billing", "shared", "build", "svc"}[p.team], s.r.IntN(12)))
	}
	oses := []string{"Macintosh; Intel Mac OS X 10_15_7", "Windows NT 10.0; Win64; x64", "X11; Linux x86_64"}
	p.agents = agentSet{
		fmt.Sprintf("Mozilla/5.0 (%s) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36", oses[s.r.IntN(3)], 118+s.r.IntN(3)),
		[]string{"aws-cli/2.15.%d", "Boto3/1.34.%d", "aws-sdk-go/1.44.%d", "APN/1.0 HashiCorp/1.0 Terraform/1.6.%d"}[s.r.IntN(4)],
	}
	p.agents.cli = fmt.Sprintf(p.agents.cli, s.r.IntN(20))
}

func fields(s string) func(func(string) bool) {
	return func(yield func(string) bool) {
		from := 0
		for i := 0; i <= len(s); i++ {
			if i == len(s) || s[i] == ' ' {
				if i > from && !yield(s[from:i]) {
					return
				}
				from = i + 1
			}
		}
	}
}

func addressOf(v uint32) string {
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}).String()
}
