package access_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"homeostat/internal/detect/access"
	"homeostat/internal/signal"
)

// Lives that bring new addresses all the time are learnt as what they are: none of them is told once that has been seen for a
// month, and an intruder among them still is.
func TestRestlessLivesAreLearntAsWhatTheyAre(t *testing.T) {
	for name, life := range map[string]func(r *rand.Rand, user, day int) (address string){
		"a NAT pool": func(r *rand.Rand, _, _ int) string { return fmt.Sprint("198.51.100.", 1+r.IntN(200)) },
		"builds on new machines": func(r *rand.Rand, user, _ int) string {
			if user < 8 {
				return "198.51.100.7"
			}
			return fmt.Sprintf("%d.%d.%d.%d", 52+2*r.IntN(2), r.IntN(256), r.IntN(256), 1+r.IntN(250))
		},
		"travellers": func(r *rand.Rand, user, _ int) string {
			if user < 6 || r.Float64() < .7 {
				return "198.51.100.7"
			}
			return fmt.Sprintf("%d.%d.%d.%d", 60+r.IntN(120), r.IntN(256), r.IntN(256), 1+r.IntN(250))
		},
		"a new office": func(_ *rand.Rand, user, day int) string {
			if day >= 45 && user < 7 {
				return fmt.Sprint("192.0.2.", 1+user%3)
			}
			return fmt.Sprint("198.51.100.", user%3)
		},
		"homes whose provider changes the address": func(r *rand.Rand, user, day int) string {
			return fmt.Sprintf("93.184.%d.%d", user*4+day/9%4, 1+day/9)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(7, 7))
			s := &scene{}
			for day := range 60 {
				for user := range 10 {
					s.at = time.Date(2026, 1, 5+day, 8, 0, 0, 0, time.UTC).Add(time.Duration(user*20+r.IntN(60)) * time.Minute)
					address := life(r, user, day)
					for _, api := range []string{"DescribeInstances", "GetObject", "PutObject"} {
						s.add(signal.Access{
							Type: "IAMUser", User: fmt.Sprint("user", user), Key: fmt.Sprint("AKIA", user), Address: address, Service: "s3.amazonaws.com",
							API: api, Region: "eu-west-1", Agent: "aws-cli/2.15", ReadOnly: api != "PutObject",
						})
					}
				}
			}
			d := access.New(access.Config{Name: "access"})
			var late []signal.Finding
			for _, f := range told(d, s) {
				if f.Began.After(time.Date(2026, 1, 5+32, 0, 0, 0, 0, time.UTC)) {
					late = append(late, f)
				}
			}
			if len(late) > 0 {
				t.Errorf("%d are told, the first: %s (%.1f above %.1f)", len(late), late[0].Reason, late[0].Score, late[0].Threshold)
			}
			theft(s, "203.0.113.9", "ListUsers", "CreateUser", "CreateAccessKey")
			if begun := told(d, s); len(begun) != 1 {
				t.Errorf("an intruder: told %+v", begun)
			}
		})
	}
}
