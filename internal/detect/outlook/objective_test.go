package outlook

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeostat/internal/signal"
)

func TestMostParticularObjectiveHolds(t *testing.T) {
	c := Config{
		Features: []string{Slow, Errors}, Limits: map[string]float64{Slow: 0.5},
		Objectives: []Objective{
			{Endpoint: "/*", Slow: new(0.45)},
			{Endpoint: "/check*", Slow: new(0.4)},
			{Endpoint: "/checkout", Slow: new(0.3)},
			{Endpoint: "/checkout", Entity: "service:shop", Slow: new(0.2), Errors: new(0.01)},
			{Endpoint: "/checkout", Entity: "service:*", Slow: new(0.25)},
			{Entity: "service:batch-*", Errors: new(0.1)},
			{Entity: "service:batch-1", Errors: new(0.2)},
			{Endpoint: "/*t", Errors: new(0.03)},
			{Endpoint: "/r*", Errors: new(0.04)},
			{Endpoint: "/files/*", Slow: new(9.0)},
		},
	}
	for _, tt := range []struct {
		entity signal.EntityID
		name   string
		want   string
	}{
		{"service:shop", "/checkout", "[0.2 /checkout of service:shop] [0.01 /checkout of service:shop]"},
		{"service:till", "/checkout", "[0.25 /checkout of service:*] [0.03 /*t]"},
		{"host:web-1", "/checkout", "[0.3 /checkout] [0.03 /*t]"},
		{"host:web-1", "/checkin", "[0.4 /check*] []"},
		{"host:web-1", "/cart", "[0.45 /*] [0.03 /*t]"},
		{"host:web-1", "/report", "[0.45 /*] [0.03 /*t]"}, // as particular as the next, and first
		{"host:web-1", "/read", "[0.45 /*] [0.04 /r*]"},
		{"host:web-1", "/files/*", "[9 /files/*] []"},
		{"service:batch-1", "", "[0.5 ] [0.2 service:batch-1]"},
		{"service:batch-12", "", "[0.5 ] [0.1 service:batch-*]"},
		{"service:shop", "", "[0.5 ] []"},
	} {
		got := []string{}
		for _, ls := range c.set(tt.entity, tt.name) {
			one := []string{}
			for _, l := range ls {
				one = append(one, fmt.Sprintf("%v %s", l.value, l.of))
			}
			got = append(got, fmt.Sprint(one))
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%s %s: %s, want %s", tt.entity, tt.name, s, tt.want)
		}
	}
}

func TestFullDiskIsToldBesideItsObjective(t *testing.T) {
	c := Config{Features: []string{Disk}, Limits: map[string]float64{Disk: 0.8}, Objectives: []Objective{{Endpoint: "/backup", Disk: new(0.95)}, {Endpoint: "/brim", Disk: new(1.0)}}}
	for name, want := range map[string][]float64{"/": {0.8, full}, "/backup": {0.95, full}, "/brim": {1}} {
		var got []float64
		for _, l := range c.set("host:db-1", name)[0] {
			got = append(got, l.value)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestBreachSaysWhoseObjectiveItIs(t *testing.T) {
	d := New(Config{Name: "disks", Entity: "host", Features: []string{Disk}, Limits: map[string]float64{Disk: 0.6}, Objectives: []Objective{
		{Endpoint: "/v*", Entity: "host:*", Disk: new(0.85)}, {Endpoint: "/home", Disk: new(0.7)},
	}})
	var told []string
	for _, b := range disk(d, 240, 0.35, 0.002, rand.New(rand.NewPCG(3, 4))) { // at 0.85 in minute 250
		told = append(told, fmt.Sprintf("%v %s %v", b.Limit, b.Objective, strings.Contains(b.Reason, ", the objective of /v* of host:* (now ")))
	}
	if diff := cmp.Diff([]string{"0.85 /v* of host:* true"}, told); diff != "" {
		t.Error(diff)
	}
}

func TestObjectivesAreChecked(t *testing.T) {
	list := []Objective{
		{Endpoint: "/a", Errors: new(0.1)},
		{Errors: new(0.1)},
		{Endpoint: "/b"},
		{Endpoint: "/c", Disk: new(0.9), Errors: new(2.0), ResponseTime: new(0.0)},
		{Endpoint: "/a", Errors: new(0.2)},
		{Entity: "shop", Errors: new(0.1)},
		{Entity: "host:a", Errors: new(0.1)},
		{Entity: "*:a", Errors: new(0.1)},
	}
	var got []string
	for _, m := range CheckObjectives(list, "service", []string{ResponseTime, Errors}) {
		got = append(got, m.Path+": "+m.Error())
	}
	want := []string{
		"[1]: want an endpoint, an entity or both; limits are for all",
		"[2]: want a limit of at least one of response_time, errors",
		"[3].response_time: response_time: 0: want a number above 0",
		"[3].errors: errors: 2: want a share of at most 1, such as 0.05 for 5 %",
		`[3].disk: "disk" isn't among its series response_time, errors`,
		"[4].errors: errors: objectives[0] gives it for the same endpoints",
		`[5].entity: "shop": want KIND:NAME, such as service:shop`,
		`[6].entity: "host:a": the detector watches entities of kind service`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
