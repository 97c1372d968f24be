package access_test

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"homeostat/internal/detect/access"
	"homeostat/internal/detect/access/accesstest"
	"homeostat/internal/signal"
)

func TestAFindingIsOneForEachUserAddressAndDay(t *testing.T) {
	w := world1()
	d := access.New(access.Config{Name: "access"})
	byID := map[string][]signal.Finding{}
	for _, f := range d.Process(nil, w.Accesses) {
		byID[f.ID] = append(byID[f.ID], f)
	}
	if len(byID) < 10 {
		t.Fatalf("%d findings", len(byID))
	}
	for id, fs := range byID {
		first, last := fs[0], fs[len(fs)-1]
		if want := signal.MakeID(signal.KindAnomaly, "access", "111122223333", first.User, first.Address, first.Day); id != want {
			t.Errorf("id %s, want %s", id, want)
		}
		var sum float64
		for _, s := range last.Attribution {
			sum += s
		}
		if math.Abs(sum-1) > 1e-9 {
			t.Errorf("%s: attribution adds up to %v", id, sum)
		}
		if last.Reason == "" || len(last.Evidence) == 0 || last.Grade <= 0 || last.Score <= last.Threshold || last.Accesses == 0 || len(last.Calls) == 0 {
			t.Errorf("%+v", last)
		}
		for _, f := range fs[:len(fs)-1] {
			if !f.Ended.IsZero() || f.Accesses > last.Accesses {
				t.Errorf("%s: told after its end, or shrinks", id)
			}
		}
	}
}

// The past alone decides: what comes later changes no score.
func TestScoresUseNoFuture(t *testing.T) {
	rows := accesstest.Ordinary(3, 18)
	score := func(rows []signal.Access) (out []float64) {
		d := access.New(access.Config{})
		for i := range rows {
			out = append(out, d.Observe(&rows[i]).Score)
		}
		return out
	}
	all := score(rows)
	for _, cut := range []int{1, len(rows) * 2 / 3} {
		if diff := cmp.Diff(all[:cut], score(rows[:cut])); diff != "" {
			t.Errorf("cut at %d: %s", cut, diff)
		}
	}
}

func TestARestoredCheckpointChangesNothing(t *testing.T) {
	rows := accesstest.Ordinary(3, 24)
	d := access.New(access.Config{Name: "access"})
	cut := len(rows) * 2 / 3
	d.Process(nil, rows[:cut])
	var b bytes.Buffer
	if err := d.Checkpoint(&b); err != nil {
		t.Fatal(err)
	}
	restored := access.New(access.Config{Name: "access"})
	if err := restored.Restore(&b); err != nil {
		t.Fatal(err)
	}
	for i := cut; i < len(rows); i++ {
		got, want := restored.Observe(&rows[i]), d.Observe(&rows[i])
		if got.Score != want.Score || got.Grade != want.Grade || got.User != want.User || !reflect.DeepEqual(got.Attribution(), want.Attribution()) {
			t.Fatalf("access %d: %+v, want %+v", i, got, want)
		}
	}
	if err := restored.Restore(bytes.NewReader([]byte("no checkpoint"))); err == nil {
		t.Error("what is no checkpoint was restored")
	}
}

// An event that is delivered again, in this run or after a checkpoint, counts once.
func TestAnEventCountsOnce(t *testing.T) {
	rows := accesstest.Ordinary(3, 10)
	once, twice := access.New(access.Config{Name: "a"}), access.New(access.Config{Name: "a"})
	for i := range rows {
		want := once.Observe(&rows[i])
		twice.Observe(&rows[i])
		if got := twice.Observe(&rows[i]); got.Score != want.Score {
			t.Fatalf("access %d: %v, want %v", i, got.Score, want.Score)
		}
	}
}

// An Insights event tells of many calls, and is nobody's access: it neither counts nor stands out.
func TestInsightsAreNobodysAccess(t *testing.T) {
	d := access.New(access.Config{})
	a := signal.Access{ID: "1", Org: "1", Time: 1, Kind: "AwsCloudTrailInsight", Category: "Insight", User: "unknown"}
	if v := d.Observe(&a); v.Score >= -5 || v.Grade != 0 || len(d.Learning()) != 0 {
		t.Errorf("%+v, learning %+v", v, d.Learning())
	}
}

// scene builds accesses by hand: ana and nine colleagues work from an office for weeks.
type scene struct {
	rows []signal.Access
	at   time.Time
	n    int
}

func (s *scene) add(a signal.Access) {
	s.n++
	a.ID, a.Org, a.Time = fmt.Sprint("e", s.n), "1", s.at.UnixMilli()
	s.rows = append(s.rows, a)
	s.at = s.at.Add(time.Minute)
}

func office(days int) *scene {
	s := &scene{at: time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)}
	for d := range days {
		s.at = time.Date(2026, 1, 5+d, 9, 0, 0, 0, time.UTC)
		for u := range 10 {
			for _, api := range []string{"DescribeInstances", "GetObject"} {
				s.add(signal.Access{
					Type: "IAMUser", User: fmt.Sprint("user", u), Key: fmt.Sprint("AKIA", u), Address: fmt.Sprint("198.51.100.", u%4), Service: "ec2.amazonaws.com",
					API: api, Region: "eu-west-1", Agent: "aws-cli/2.15", ReadOnly: true,
				})
			}
		}
	}
	return s
}

func TestAStolenKeyIsTold(t *testing.T) {
	s := office(40)
	s.at = s.at.Add(14 * time.Hour)
	for _, api := range []string{"ListUsers", "CreateUser", "CreateAccessKey"} {
		s.add(signal.Access{
			Type: "IAMUser", User: "user3", Key: "AKIA3", Address: "203.0.113.9", Service: "iam.amazonaws.com", API: api, Region: "us-east-1", Agent: "python-requests/2",
			ARN: "arn:aws:iam::1:user/user3", Resources: []string{"userName=mallory"},
		})
	}
	s.add(signal.Access{Type: "IAMUser", User: "user3", Key: "AKIA3", Address: "198.51.100.3", Service: "ec2.amazonaws.com", API: "DescribeInstances", Region: "eu-west-1", Agent: "aws-cli/2.15", ReadOnly: true})
	d := access.New(access.Config{Name: "access"})
	found := d.Process(nil, s.rows)
	if len(found) == 0 {
		t.Fatal("nothing was told")
	}
	f := found[len(found)-1]
	if f.User != "user3" || f.Address != "203.0.113.9" || f.Severity != signal.Critical || f.Entity != "user:user3" {
		t.Errorf("%+v", f)
	}
	if diff := cmp.Diff([]string{"AKIA3"}, f.Keys); diff != "" {
		t.Error(diff)
	}
	var ids []string
	for _, tech := range f.Techniques {
		ids = append(ids, tech.ID)
	}
	if diff := cmp.Diff([]string{"T1087.004", "T1136.003", "T1098.001"}, ids); diff != "" {
		t.Error(diff)
	}
	for _, g := range found {
		if g.User != "user3" {
			t.Errorf("told of %s: %s", g.User, g.Reason)
		}
	}
}

// Sessions of a role belong to who assumed it, by the key that the call gave out or by the identity that goes along.
func TestSessionsAreTraced(t *testing.T) {
	d := access.New(access.Config{})
	at := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC).UnixMilli()
	session := signal.Access{Type: "AssumedRole", User: "Admin/x1", Role: "Admin", Session: "x1", ARN: "arn:aws:sts::1:assumed-role/Admin/x1"}
	for i, step := range []struct {
		a    signal.Access
		want string
	}{
		{signal.Access{Type: "IAMUser", User: "ana", API: "AssumeRole", Granted: "ASIA1", GrantARN: "arn:aws:sts::1:assumed-role/Admin/y", Shared: "s1"}, "ana"},
		{signal.Access{Type: "AssumedRole", User: "Admin/y", Role: "Admin", Session: "y", Key: "ASIA1", API: "AssumeRole", Granted: "ASIA2"}, "ana"},
		{signal.Access{Type: "AssumedRole", User: "Deploy/z", Role: "Deploy", Session: "z", Key: "ASIA2"}, "ana"},
		{signal.Access{Type: "AssumedRole", User: "Admin/y", Role: "Admin", Session: "y", ARN: "arn:aws:sts::1:assumed-role/Admin/y", Key: "ASIA9"}, "ana"},
		{signal.Access{Type: "AWSAccount", User: "account 2", API: "AssumeRole", Shared: "s1", Granted: "ASIA3"}, "ana"},
		{signal.Access{Type: "AssumedRole", User: "Admin/w", Role: "Admin", Session: "w", Key: "ASIA3"}, "ana"},
		{signal.Access{Type: "AWSService", User: "lambda.amazonaws.com", API: "AssumeRole", Granted: "ASIA4"}, "lambda.amazonaws.com"},
		{signal.Access{Type: "AssumedRole", User: "Fn/fn", Role: "Fn", Session: "fn", Key: "ASIA4"}, "Fn/fn"},
		{session, "Admin/x1"},
	} {
		step.a.Org, step.a.Time, step.a.ID = "1", at+int64(i), fmt.Sprint(i)
		if got := d.Observe(&step.a).User; got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
	}
}

// Where a role's sessions hardly ever have a name twice they are one program's.
func TestSessionsThatAreNamedAnewAreOneUser(t *testing.T) {
	d := access.New(access.Config{})
	users := map[string]int{}
	for i := range 200 {
		name := fmt.Sprint("run-", i)
		a := signal.Access{ID: name, Org: "1", Time: int64(i) * 3600_000 * 8, Type: "AssumedRole", Role: "ci", Session: name, User: "ci/" + name}
		users[d.Observe(&a).User]++
	}
	if users["ci/*"] < 180 {
		t.Errorf("%d of 200 are ci/*", users["ci/*"])
	}
}

func TestSteadyObserveHardlyAllocates(t *testing.T) {
	rows := office(40).rows
	d := access.New(access.Config{})
	d.Process(nil, rows)
	last := rows[len(rows)-1]
	last.ID = ""
	if n := testing.AllocsPerRun(100, func() { d.Observe(&last) }); n > 0 {
		t.Errorf("%v allocations for an access like the one before", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	rows := accesstest.Ordinary(3, 30)
	b.ReportAllocs()
	for b.Loop() {
		d := access.New(access.Config{})
		for i := range rows {
			d.Observe(&rows[i])
		}
	}
	b.ReportMetric(float64(len(rows)*b.N)/b.Elapsed().Seconds(), "accesses/s")
}
