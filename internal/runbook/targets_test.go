package runbook

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"homeostat/internal/signal"
)

// TestRunbookRunsForEachTarget: by list and by tag, as one execution whose guards are asked about each target; a value that
// looks like a reference is data.
func TestRunbookRunsForEachTarget(t *testing.T) {
	t.Parallel()
	c := quick()
	c.Guards = signal.Guards{Cooldown: time.Hour, BlastRadius: "2"}
	s := startTest(t, c, gone)
	s.need.Entities = func(context.Context) ([]signal.Entity, error) {
		var all []signal.Entity
		for id, env := range map[signal.EntityID]string{"host:a": "prod", "host:b": "prod", "host:c": "test", "host:d": "test", "host:e": "test"} {
			all = append(all, signal.Entity{ID: id, Labels: map[string]string{"tag_env": env}})
		}
		slices.SortFunc(all, func(a, b signal.Entity) int { return strings.Compare(string(a.ID), string(b.ID)) })
		return all, nil
	}
	run := func(key string, values ...string) signal.Execution {
		t.Helper()
		id, err := s.StartRunbook(t.Context(), signal.Start{
			Runbook: "Fix", Mode: signal.Auto, By: "ana", Rate: &signal.RateControl{Targets: []signal.RateTarget{{Key: key, Values: values}}, MaxConcurrency: "1"},
		})
		if err != nil {
			t.Fatal(err)
		}
		return s.await(t, id, ended)
	}
	if x := run("ParameterValues", "host:elsewhere"); x.State != signal.Success || len(s.world.changes()) != 1 {
		t.Errorf("by list: %+v", x)
	}
	// In observe too, what a plan would do is not told as done because another of its steps fails.
	id, err := s.StartRunbook(t.Context(), signal.Start{
		Runbook: "Fix", By: "ana", Rate: &signal.RateControl{Targets: []signal.RateTarget{{Key: "ParameterValues", Values: []string{"host:z", "no host"}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if x := s.await(t, id, ended); x.State != signal.Failed || x.Outcome != "would change host:z" {
		t.Errorf("%+v", x)
	}
	x := run("tag:env", "prod")
	var changed []any
	for _, st := range x.Steps {
		if strings.HasSuffix(st.Name, "/change") {
			changed = append(changed, st.Inputs["Key"])
		}
	}
	if x.State != signal.Success || x.Runbook != "Fix" || !slices.Equal(changed, []any{"host:a", "host:b"}) || len(s.world.changes()) != 3 {
		t.Errorf("by tag: %v %+v", changed, x)
	}
	if x := run("tag:env", "test"); x.State != signal.Refused || !strings.Contains(x.Reason, "blast radius: 4 of the 5") {
		t.Errorf("three more of five: %+v", x)
	}
	// What it acted on cools down for the next, too, whoever begins it.
	if x := s.await(t, s.mustFire(t, alertOn(9, "host:b"), Target{Runbook: "Fix", Mode: signal.Auto}), ended); x.State != signal.Refused || !strings.Contains(x.Reason, "cooldown: Fix acted on host:b") {
		t.Errorf("%+v", x)
	}
	if x := s.await(t, s.mustFire(t, alertOn(10, "host:c"), Target{Runbook: "Fix", Mode: signal.Auto}), ended); x.State != signal.Refused || !strings.Contains(x.Reason, "blast radius: 2 of the 5") {
		t.Errorf("%+v", x)
	}
	// A document that asks for an instance gets its id there; the guards are asked about the entity that has it.
	s.need.Entities = func(context.Context) ([]signal.Entity, error) {
		return []signal.Entity{{ID: "host:f", Labels: map[string]string{"tag_env": "aws", "host_id": "i-0123456789abcdef0"}}}, nil
	}
	for n, want := range []string{signal.Success, signal.Refused} {
		id, err := s.StartRunbook(t.Context(), signal.Start{
			Runbook: "Stop", Mode: signal.Auto, By: "ana", Rate: &signal.RateControl{Targets: []signal.RateTarget{{Key: "tag:env", Values: []string{"aws"}}}, Parameter: "InstanceId"},
		})
		if err != nil {
			t.Fatal(err)
		}
		x := s.await(t, id, ended)
		if x.State != want || n == 0 && x.Steps[1].Inputs["Key"] != "i-0123456789abcdef0" || n == 1 && !strings.Contains(x.Reason, "acted on host:f less than") {
			t.Errorf("%+v", x)
		}
	}
	for _, bad := range []signal.Start{
		{Runbook: "Fix", Rate: &signal.RateControl{Targets: []signal.RateTarget{{Key: "ParameterValues", Values: []string{"host:a"}}}, Parameter: "None"}},
		{Runbook: "Fix", Rate: &signal.RateControl{Targets: []signal.RateTarget{{Key: "ParameterValues", Values: []string{"host:a"}}}, MaxErrors: "many"}},
		{Runbook: "Fix", Rate: &signal.RateControl{Targets: []signal.RateTarget{{Key: "ParameterValues", Values: []string{"host:a"}}}}, Parameters: map[string]any{"Entity": "host:b"}},
	} {
		if _, err := s.StartRunbook(t.Context(), bad); !errors.Is(err, signal.ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
