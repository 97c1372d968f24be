package access_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"homeostat/internal/detect/access"
	"homeostat/internal/signal"
)

// theft has user3's key used from elsewhere at night.
func theft(s *scene, address string, apis ...string) {
	day := s.at.UTC().Truncate(24 * 3600e9)
	s.at = day.Add(23 * 3600e9)
	for _, api := range apis {
		s.add(signal.Access{
			Type: "IAMUser", User: "user3", Key: "AKIA3", Address: address, Service: "iam.amazonaws.com", API: api, Region: "us-east-1", Agent: "python-requests/2",
			ARN: "arn:aws:iam::1:user/user3",
		})
	}
}

// more is another week of the office's life.
func more(s *scene, days int) {
	next := s.at.Truncate(24 * 3600e9)
	for range days {
		next = next.Add(24 * 3600e9)
		s.at = next.Add(9 * 3600e9)
		for u := range 10 {
			for _, api := range []string{"DescribeInstances", "GetObject"} {
				s.add(signal.Access{
					Type: "IAMUser", User: fmt.Sprint("user", u), Key: fmt.Sprint("AKIA", u), Address: fmt.Sprint("198.51.100.", u%4), Service: "ec2.amazonaws.com",
					API: api, Region: "eu-west-1", Agent: "aws-cli/2.15", ReadOnly: true,
				})
			}
		}
	}
}

func of(f signal.Finding) signal.Episode {
	return signal.Episode{Organisation: f.Organisation, User: f.User, Address: f.Address, Day: f.Day}
}

// told has a detector see what s has added, and returns the findings that began.
func told(d *access.Detector, s *scene) (begun []signal.Finding) {
	seen := map[string]bool{}
	for _, f := range d.Process(nil, s.rows) {
		if key := f.ID + f.Began.String(); !seen[key] && f.Ended.IsZero() {
			seen[key] = true
			begun = append(begun, f)
		}
	}
	s.rows = nil
	return begun
}

func afterTheft(t *testing.T) (*access.Detector, *scene, signal.Finding) {
	t.Helper()
	s := office(40)
	theft(s, "203.0.113.9", "ListUsers", "ListRoles")
	d := access.New(access.Config{Name: "access"})
	begun := told(d, s)
	if len(begun) != 1 {
		t.Fatalf("told %+v, want one finding", begun)
	}
	return d, s, begun[0]
}

func TestWhatIsMutedEndsAndIsNotToldAgain(t *testing.T) {
	d, s, f := afterTheft(t)
	ended, before, after, err := d.Mute(nil, of(f))
	if err != nil || len(ended) != 1 || ended[0].ID != f.ID || ended[0].Ended.IsZero() || after != before+1 {
		t.Fatalf("ended %+v, threshold %v to %v, %v", ended, before, after, err)
	}
	if again, b, a, err := d.Mute(nil, of(f)); err != nil || len(again) != 0 || b != after || a != after {
		t.Errorf("a second time: %+v, %v to %v, %v; want nothing changed", again, b, a, err)
	}
	// The same again, that day, the next, and from a neighbouring address, is no finding.
	theft(s, "203.0.113.9", "ListUsers")
	more(s, 1)
	theft(s, "203.0.113.9", "ListUsers", "ListRoles")
	more(s, 1)
	theft(s, "203.0.113.77", "ListUsers", "ListRoles")
	if begun := told(d, s); len(begun) > 0 {
		t.Errorf("the same again: told %s", begun[0].Reason)
	}
	// What is worse is one.
	more(s, 1)
	theft(s, "192.0.2.14", "CreateUser", "CreateAccessKey", "AttachUserPolicy")
	if begun := told(d, s); len(begun) != 1 {
		t.Errorf("what is worse: told %+v", begun)
	}
}

// A muted episode that goes on to be worse is told as another, that begins then.
func TestAMutedEpisodeThatTurnsWorseIsToldAnew(t *testing.T) {
	d, s, f := afterTheft(t)
	if _, _, _, err := d.Mute(nil, of(f)); err != nil {
		t.Fatal(err)
	}
	theft(s, "203.0.113.9", "CreateUser", "CreateAccessKey", "AttachUserPolicy", "DeleteTrail")
	begun := told(d, s)
	if len(begun) != 1 || begun[0].ID != f.ID || !begun[0].Began.After(f.Began) {
		t.Errorf("told %+v, want the finding anew", begun)
	}
}

// What was confirmed stays strange: the network for the user, however long the intruder keeps quiet there. A colleague's life in
// the same surroundings goes on being learnt.
func TestWhatIsConfirmedIsNeverLearnt(t *testing.T) {
	quietly := func(user, address string) signal.Access {
		return signal.Access{Type: "IAMUser", User: user, Address: address, Service: "ec2.amazonaws.com", API: "GetObject", Region: "eu-west-1", Agent: "aws-cli/2.15", ReadOnly: true}
	}
	staying := func(judge func(*access.Detector, signal.Episode)) (intruder, colleague float64) {
		s := office(40)
		theft(s, "198.51.101.9", "CreateUser", "CreateAccessKey")
		d := access.New(access.Config{Name: "access"})
		begun := told(d, s)
		if len(begun) != 1 {
			t.Fatalf("told %+v", begun)
		}
		judge(d, of(begun[0]))
		for range 30 {
			more(s, 1)
			s.add(quietly("user3", "198.51.101.10"))
			s.add(quietly("user4", "198.51.102.200"))
		}
		told(d, s)
		more(s, 1)
		s.add(quietly("user3", "198.51.101.10"))
		s.add(quietly("user4", "198.51.102.200"))
		for i := range s.rows {
			v := d.Observe(&s.rows[i])
			switch s.rows[i].Address {
			case "198.51.101.10":
				intruder = v.Score
			case "198.51.102.200":
				colleague = v.Score
			}
		}
		return intruder, colleague
	}
	learnt, other := staying(func(*access.Detector, signal.Episode) {})
	confirmed, same := staying(func(d *access.Detector, at signal.Episode) {
		before, after, err := d.Confirm(at)
		if err != nil || after != before-.5 {
			t.Errorf("threshold %v to %v, %v", before, after, err)
		}
	})
	if confirmed < learnt+2 || same > other+.5 {
		t.Errorf("the intruder's place scores %.2f, confirmed %.2f; the colleague's %.2f, %.2f", learnt, confirmed, other, same)
	}
}

// A person who pressed the wrong button presses the other.
func TestAJudgementCanBeTurnedRound(t *testing.T) {
	score := func(judge func(d *access.Detector, at signal.Episode)) float64 {
		d, s, f := afterTheft(t)
		judge(d, of(f))
		more(s, 9)
		theft(s, "203.0.113.9", "ListUsers", "ListRoles")
		var v access.Verdict
		for i := range s.rows {
			v = d.Observe(&s.rows[i])
		}
		return v.Score
	}
	mute := func(d *access.Detector, at signal.Episode) {
		if _, _, _, err := d.Mute(nil, at); err != nil {
			t.Error(err)
		}
	}
	confirm := func(d *access.Detector, at signal.Episode) {
		if _, _, err := d.Confirm(at); err != nil {
			t.Error(err)
		}
	}
	muted, confirmed := score(mute), score(confirm)
	if muted > confirmed-3 {
		t.Fatalf("muted scores %.2f, confirmed %.2f", muted, confirmed)
	}
	if turned := score(func(d *access.Detector, at signal.Episode) { mute(d, at); confirm(d, at) }); turned < confirmed-.3 {
		t.Errorf("muted, then confirmed: %.2f, want about %.2f", turned, confirmed)
	}
	if turned := score(func(d *access.Detector, at signal.Episode) { confirm(d, at); mute(d, at) }); turned > muted+.3 {
		t.Errorf("confirmed, then muted: %.2f, want about %.2f", turned, muted)
	}
}

func TestJudgementsAreInTheCheckpointAndLateOnesCount(t *testing.T) {
	d, s, f := afterTheft(t)
	if _, _, err := d.Confirm(of(f)); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := d.Checkpoint(&b); err != nil {
		t.Fatal(err)
	}
	restored := access.New(access.Config{Name: "access"})
	if err := restored.Restore(&b); err != nil {
		t.Fatal(err)
	}
	if before, after, err := restored.Confirm(of(f)); err != nil || before != after {
		t.Errorf("confirmed again after a restart: %v to %v, %v", before, after, err)
	}
	// Weeks later the episode itself is forgotten; its place is learnt all the same.
	more(s, 20)
	told(restored, s)
	if ended, before, after, err := restored.Mute(nil, of(f)); err != nil || len(ended) != 0 || after != before+1 {
		t.Errorf("muted late: %+v, %v to %v, %v", ended, before, after, err)
	}
	if _, _, err := restored.Confirm(signal.Episode{Organisation: "1", User: "nobody"}); !errors.Is(err, access.ErrUnknown) {
		t.Errorf("of nobody: %v", err)
	}
}
