package bus_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"homeostat/internal/bus"
	"homeostat/internal/signal"
	"homeostat/internal/store"
	"homeostat/internal/store/storetest"
)

// What tells the test's own binary that it is the process that gets killed, and where.
const (
	crashDir  = "HOMEOSTAT_TEST_CRASH_DIR"
	crashStep = "HOMEOSTAT_TEST_CRASH_STEP"
)

// crashSteps are the moments of publishing at which the process ends.
var crashSteps = []string{"incident seen", "target started", "second target started", "before commit", "after commit"}

const (
	crashEvents = 3
	anyMoment   = "any moment" // publishes without end, and another kills it
)

func crashRoute() bus.Route {
	return route("r", signal.AlertFiring, bus.Target{Runbook: "first"}, bus.Target{Runbook: "second"})
}

// publishUntilKilled publishes three events and kills itself with the second, at the step of its environment.
func publishUntilKilled() {
	at := func(step string, ev signal.Event) {
		if step == os.Getenv(crashStep) && strings.Contains(string(ev.Detail), `"al-1"`) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	ctx := context.Background()
	s, err := store.Open(ctx, os.Getenv(crashDir))
	if err != nil {
		panic(err)
	}
	b, err := bus.New(bus.Needs{
		DB: s.DB, Read: s.Read, Audit: s.Audit, Chain: s.Chain,
		Incidents: sees(func(_ context.Context, _ *sql.Tx, ev *signal.Event) ([]signal.Event, error) {
			at("incident seen", *ev)
			return nil, nil
		}),
		Targets: starts(func(_ context.Context, _ *sql.Tx, ev signal.Event, _ bus.Route, t bus.Target) error {
			if t.Runbook == "first" {
				at("target started", ev)
			} else {
				at("second target started", ev)
			}
			return nil
		}),
	}, []bus.Route{crashRoute()}, nil, nil)
	if err != nil {
		panic(err)
	}
	for i := 0; os.Getenv(crashStep) == anyMoment; i++ {
		if err := b.Publish(ctx, crashEvent(i)); err != nil {
			panic(err)
		}
		fmt.Println(crashEvent(i).ID) // acknowledged
	}
	for i := range crashEvents {
		ev := crashEvent(i)
		tx, err := s.DB.BeginTx(ctx, nil)
		if err != nil {
			panic(err)
		}
		if err := b.PublishTx(ctx, tx, ev); err != nil {
			panic(err)
		}
		at("before commit", ev)
		if err := tx.Commit(); err != nil {
			panic(err)
		}
		at("after commit", ev)
	}
}

func crashEvent(n int) signal.Event {
	id := fmt.Sprintf("al-%d", n)
	ev, err := signal.NewEvent("history", signal.AlertFiring, id, noon, signal.Alert{Head: signal.Head{ID: id, Entity: "host:web-1"}})
	if err != nil {
		panic(err)
	}
	return ev
}

func TestKilledAtAnyStepAnEventHappensOnce(t *testing.T) {
	for _, step := range crashSteps {
		t.Run(step, func(t *testing.T) {
			dir := t.TempDir()
			l := newLoop(t, storetest.OpenDir(t, dir), nil, nil) // makes the table
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), crashDir+"="+dir, crashStep+"="+step)
			out, err := cmd.CombinedOutput()
			if cmd.ProcessState == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("it was not killed: %v\n%s", err, out)
			}

			l = newLoop(t, storetest.OpenDir(t, dir), starts(nil), nil, crashRoute())
			l.want("events after the kill", map[bool]int{false: 1, true: 2}[step == "after commit"], "SELECT count(*) FROM events")
			for i := range crashEvents { // what comes before publishes all of it again
				if err := l.Publish(t.Context(), crashEvent(i)); err != nil {
					t.Fatal(err)
				}
			}
			l.want("events", crashEvents, "SELECT count(*) FROM events")
			l.want("targets started", 2*crashEvents, "SELECT count(*) FROM started")
			l.want("targets started twice", 0, "SELECT count(*) FROM (SELECT 1 FROM started GROUP BY event, target HAVING count(*) > 1)")
			if n, err := l.Audit.Verify(t.Context()); n != crashEvents || err != nil {
				t.Errorf("audit: %d entries, %v", n, err)
			}
		})
	}
}

func TestKilledAtAnyMomentNothingAcknowledgedIsLost(t *testing.T) {
	dir := t.TempDir()
	l := newLoop(t, storetest.OpenDir(t, dir), nil, nil) // makes the table
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	acknowledged := map[string]bool{}
	for round := range 5 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), crashDir+"="+dir, crashStep+"="+anyMoment)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// It begins with what is there already; the kill comes a little after a number of lines that differs from round to round.
		lines, last := bufio.NewScanner(out), 20+31*round
		for n := 0; lines.Scan(); n++ {
			acknowledged[lines.Text()] = true
			if n == last {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("it was not killed")
		}

		l := newLoop(t, storetest.OpenDir(t, dir), nil, nil)
		for id := range acknowledged {
			if _, err := l.Event(t.Context(), id); err != nil {
				t.Errorf("round %d: acknowledged and lost: %v", round, err)
			}
		}
		events := l.count("SELECT count(*) FROM events")
		l.want("targets started", 2*events, "SELECT count(*) FROM started")
		if n, err := l.Audit.Verify(t.Context()); n != events || err != nil {
			t.Errorf("round %d: audit: %d entries, %v; want %d", round, n, err, events)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
