package incident_test

import (
	"fmt"
	"maps"
	"testing"

	"homeostat/internal/signal"

	"pgregory.net/rapid"
)

// model is what an operator believes of one entity: at most one incident, and why it is open.
type model struct {
	open    bool
	since   map[string]float64 // what goes on in the open incident, and since when
	ended   float64            // when the last thing in it ended
	running map[string]bool
	verify  string             // of the last execution that looked
	astray  map[string]float64 // what goes on though a person resolved its incident
	opened  int
	closed  int
}

func (m *model) over(now float64) bool {
	return m.open && len(m.since) == 0 && len(m.running) == 0 && m.verify != "failed" && now-m.ended >= quiet.Minutes()
}

func (m *model) close() {
	m.open, m.verify, m.closed = false, "", m.closed+1
	maps.Copy(m.astray, m.since)
	clear(m.since)
	clear(m.running)
}

// TestIncidentsFollowTheModel plays random days against the database and the model: one incident for an entity while anything on
// it is wrong, closed when all has ended, nothing runs, verify didn't fail and it stayed quiet, and never before.
func TestIncidentsFollowTheModel(t *testing.T) {
	w := newWorld(t)
	if _, err := w.s.DB.ExecContext(t.Context(), "PRAGMA synchronous = OFF"); err != nil { // no power is cut here
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		w.fail, w.told = rt.Fatalf, nil
		if _, err := w.s.DB.ExecContext(t.Context(), "DELETE FROM incidents"); err != nil {
			rt.Fatal(err)
		}
		m := &model{since: map[string]float64{}, running: map[string]bool{}, astray: map[string]float64{}}
		now, executions := 0.0, 0
		rule := rapid.SampledFrom([]string{"CPU", "Memory", "Disk"})
		severity := rapid.SampledFrom([]signal.Severity{signal.Info, signal.Warning, signal.Critical})
		current := func() string {
			if in := w.open(); len(in) == 1 {
				return in[0].ID
			}
			return ""
		}
		rt.Repeat(map[string]func(*rapid.T){
			"time goes by": func(rt *rapid.T) {
				now += rapid.Float64Range(0.01, 8).Draw(rt, "minutes")
			},
			"an alert fires": func(rt *rapid.T) {
				r := rule.Draw(rt, "rule")
				if _, on := m.since[r]; on {
					return
				}
				if _, on := m.astray[r]; on {
					return
				}
				now += 0.01 // an alert fires twice in one moment no more than anything does
				w.see(firing(r, now, severity.Draw(rt, "severity")))
				if !m.open {
					m.open, m.opened = true, m.opened+1
				}
				m.since[r] = now
			},
			"an alert resolves": func(rt *rapid.T) {
				r := rule.Draw(rt, "rule")
				if began, on := m.since[r]; on {
					w.see(resolved(r, began, now))
					delete(m.since, r)
					m.ended = now
				} else if began, on := m.astray[r]; on {
					w.see(resolved(r, began, now))
					delete(m.astray, r)
				}
			},
			"an execution begins": func(rt *rapid.T) {
				if !m.open {
					return
				}
				executions++
				id := fmt.Sprintf("ex-%d", executions)
				told, state := signal.ExecutionStarted, signal.InProgress
				if rapid.Bool().Draw(rt, "waits") {
					told, state = signal.ExecutionWaitingForApproval, signal.Waiting
				}
				now += 0.001
				w.see(execution(told, id, current(), now, signal.Execution{State: state}))
				m.running[id] = true
			},
			"an execution ends": func(rt *rapid.T) {
				for id := range m.running {
					verify := rapid.SampledFrom([]string{"", "skipped", "passed", "failed"}).Draw(rt, "verify")
					now += 0.001
					w.see(execution(signal.ExecutionSucceeded, id, current(), now, signal.Execution{State: signal.Success, Verify: verify}))
					delete(m.running, id)
					if verify == "passed" || verify == "failed" {
						m.verify = verify
					}
					return
				}
			},
			"the clock looks": func(*rapid.T) {
				now += 0.001
				over := m.over(now)
				w.step(minutes(now))
				if over {
					m.close()
				}
			},
			"a person resolves": func(rt *rapid.T) {
				if !m.open || rapid.IntRange(0, 3).Draw(rt, "patience") > 0 {
					return
				}
				if err := w.Resolve(w.ctx, current(), "ana", ""); err != nil {
					rt.Fatal(err)
				}
				m.close()
			},
			"": func(rt *rapid.T) {
				open := w.open()
				if (len(open) == 1) != m.open || len(open) > 1 {
					rt.Fatalf("%d incidents are open; the model has %v: %+v", len(open), m.open, open)
				}
				if m.open {
					on := 0
					for _, mem := range open[0].Members {
						if mem.Ended.IsZero() {
							on++
						}
					}
					if on != len(m.since) {
						rt.Fatalf("%d things go on in it, the model has %v", on, m.since)
					}
					if open[0].Title == "" || len(open[0].Cause) == 0 {
						rt.Fatalf("it doesn't say what it is: %+v", open[0])
					}
				}
				opened, closed := 0, 0
				seen := map[string]bool{}
				for _, ev := range w.told {
					if seen[ev.ID] {
						rt.Fatalf("%s %s is told twice", ev.DetailType, ev.ID)
					}
					seen[ev.ID] = true
					switch ev.DetailType {
					case signal.IncidentOpened:
						opened++
					case signal.IncidentResolved:
						closed++
					}
				}
				if opened != m.opened || closed != m.closed {
					rt.Fatalf("told of %d opened and %d resolved, the model has %d and %d", opened, closed, m.opened, m.closed)
				}
				alerts, err := w.OpenAlerts(w.ctx)
				if err != nil || len(alerts) != len(m.since)+len(m.astray) {
					rt.Fatalf("%d alerts go on (%v), the model has %v and %v", len(alerts), err, m.since, m.astray)
				}
			},
		})
	})
}

func BenchmarkSee(b *testing.B) {
	w := newWorld(b)
	b.ReportAllocs()
	n := 0.0
	for b.Loop() {
		w.see(firing("CPU", n, signal.Warning))
		w.see(resolved("CPU", n, n+1))
		n += 10
		w.step(minutes(n))
		w.told = nil
	}
	b.ReportMetric(2*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
