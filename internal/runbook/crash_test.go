package runbook

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"homeostat/internal/signal"
)

// crashExecutions are begun by each child; as their ids are made from their events, those of all children are the same.
const crashExecutions = 12

// crashConfig lets them all act at once.
func crashConfig() Config {
	c := quick()
	c.Guards = signal.Guards{Concurrent: 1000, Cooldown: time.Nanosecond, BlastRadius: "1000"}
	return c
}

// crashChild is the process that is killed: it begins all executions, and carries them until the end.
func crashChild(dir string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, stop, err := start(ctx, dir, crashConfig(), testDocs(), gone)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	for i := range crashExecutions {
		if _, err := s.fire(ctx, alert(i, fmt.Sprint("in-", i)), Target{Runbook: "Fix", Mode: signal.Auto}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
	}
	for open := true; open; time.Sleep(5 * time.Millisecond) {
		xs, _, err := s.Executions(ctx, signal.Query{})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
		open = false
		for _, x := range xs {
			open = open || x.Ended.IsZero()
		}
	}
	if err := stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
}

// TestCrash kills a process that carries executions at random moments, and lets the next go on: whatever the moments, each
// changing step is done once, none is left out, and the audit log is whole.
func TestCrash(t *testing.T) {
	t.Parallel()
	rounds, most, slower, all := 2, 10, 100, 0
	if os.Getenv("HOMEOSTAT_SOAK") != "" {
		rounds, most, slower = 200/crashExecutions+1, 50, 15
	}
	for round := range rounds {
		dir := fresh(t)
		kills := 0
		for kills < most {
			cmd := exec.Command(os.Args[0], "-test.run=^$")
			cmd.Env = append(os.Environ(), "HOMEOSTAT_TEST_CRASH="+dir)
			cmd.Stderr = os.Stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			// The first ones die while things begin, the later ones deeper and deeper within. Where a child begins slowly, as with
			// the race detector, it gets longer before one dies again.
			after := time.Duration(rand.IntN(80+slower*kills)) * time.Millisecond
			timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
			err := cmd.Wait()
			if timer.Stop() && err != nil {
				t.Fatalf("the child ended by itself: %v", err)
			}
			if err == nil {
				break
			}
			kills++
		}
		s, stop, err := start(t.Context(), dir, crashConfig(), testDocs(), gone)
		if err != nil {
			t.Fatal(err)
		}
		for i := range crashExecutions {
			id := s.mustFire(t, alert(i, fmt.Sprint("in-", i)), Target{Runbook: "Fix", Mode: signal.Auto})
			x := s.await(t, id, ended)
			if x.State != signal.Success || len(x.Steps) != 4 {
				t.Errorf("round %d: %+v", round, x)
			}
			told := s.told(t, id)
			if len(told) != 3 {
				t.Errorf("round %d: events %q", round, told)
			}
		}
		done := map[string]int{}
		for _, c := range s.world.changes() {
			done[c]++
		}
		for c, n := range done {
			if n != 1 {
				t.Errorf("round %d: %s was done %d times", round, c, n)
			}
		}
		if len(done) != crashExecutions {
			t.Errorf("round %d: %d changes, want %d", round, len(done), crashExecutions)
		}
		if _, err := s.store.Audit.Verify(t.Context()); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		all += kills
		t.Logf("round %d: %d kills", round, kills)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
	if t.Failed() {
		return
	}
	t.Logf("%d executions, %d kills: no ended step run again, no change made twice or left out, the audit chain whole", rounds*crashExecutions, all)
}
