package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/prompb"

	"homeostat/internal/signal"
	"homeostat/internal/store"
)

// The load of TestKill.
const (
	killSenders = 4
	killEvery   = 100 * time.Millisecond // between two requests of a sender
	killTrigger = 300 * time.Millisecond // between two alerts that start the runbook
)

// killFiles are the configuration: a rule that holds for two seconds, and a runbook with two steps that change something. A
// step leaves a line with the execution's id; %[1]s is the folder.
func killFiles(dir string) map[string]string {
	texts := map[string]string{
		"homeostat.yaml": `
mode: auto
builtin: false
sources: {host: {off: true, name: kill}}
rules: ["%[1]s/rules.yaml"]
rules_interval: 200ms
runbooks: {dirs: ["%[1]s/runbooks"], verify_timeout: 1s, verify_settle: 100ms}
guards: {cooldown: 1ns, concurrent: 1000}
routes:
  - name: note
    pattern: {detail-type: [Alert Firing], detail: {rule: [KillTrigger]}}
    targets: [{runbook: Note, mode: auto, repeat: true, parameters: {Entity: "<entity>"}}]
`,
		"rules.yaml": `
groups:
  - name: kill
    rules: [{alert: KillTrigger, expr: "last_over_time(kill_trigger[2s]) > 0", for: 0s}]
`,
		"runbooks/Note.yaml": `
schemaVersion: "0.3"
parameters:
  Entity: {type: String}
mainSteps:
  - name: first
    action: aws:runCommand
    inputs: {DocumentName: Note-Line, InstanceIds: ["{{ Entity }}"], Parameters: {Word: first}}
  - name: second
    action: aws:runCommand
    inputs: {DocumentName: Note-Line, InstanceIds: ["{{ Entity }}"], Parameters: {Word: second}}
    isEnd: true
`,
		"runbooks/Note-Line.yaml": `
schemaVersion: "2.2"
parameters:
  Word: {type: String, interpolationType: ENV_VAR}
mainSteps:
  - name: note
    action: aws:runShellScript
    inputs:
      runCommand:
        - sleep 0.03
        - echo "$HOMEOSTAT_EXECUTION $SSM_Word" >> '%[1]s/done'
        - sleep 0.03
`,
	}
	for name, text := range texts {
		texts[name] = strings.ReplaceAll(text, "%[1]s", dir)
	}
	return texts
}

// sender sends samples as Prometheus does: what was not acknowledged is sent again, the same, until it is.
type sender struct {
	number int
	series int // of each request
	base   string
	client *http.Client
	acked  []int64 // times of the requests that were acknowledged
	again  int     // requests that had to be sent more than once
}

func (s *sender) request(at int64) *prompb.WriteRequest {
	w := &prompb.WriteRequest{}
	for k := range s.series {
		w.Timeseries = append(w.Timeseries, prompb.TimeSeries{
			Labels:  promLabels("__name__", "kill_load", "host_name", fmt.Sprint("load-", s.number), "k", strconv.Itoa(k)),
			Samples: []prompb.Sample{{Timestamp: at, Value: killValue(at, k)}},
		})
	}
	return w
}

func killValue(at int64, k int) float64 { return float64(at%1_000_000)*10_000 + float64(k) }

// run sends until stop is closed; its last request has been acknowledged then.
func (s *sender) run(ctx context.Context, stop <-chan struct{}) error {
	tick := time.NewTicker(killEvery)
	defer tick.Stop()
	for last := int64(0); ; {
		select {
		case <-stop:
			return nil
		case <-tick.C:
		}
		last = max(time.Now().UnixMilli(), last+1)
		tries, err := send(ctx, s.client, s.base, s.request(last))
		if err != nil {
			return err
		}
		if tries > 1 {
			s.again++
		}
		s.acked = append(s.acked, last)
	}
}

// send sends a request until it is acknowledged. An error is an answer that the sender can do nothing about.
func send(ctx context.Context, client *http.Client, base string, w *prompb.WriteRequest) (tries int, err error) {
	for tries = 1; ; tries++ {
		status, said, err := remoteWrite(ctx, client, base, w)
		switch {
		case err == nil && status/100 == 2:
			return tries, nil
		case err == nil && status/100 == 4:
			return tries, fmt.Errorf("remote write: %d %s", status, said)
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return tries, err
		}
	}
}

// trigger makes the rule true for one label after the other, until stop is closed.
func trigger(ctx context.Context, client *http.Client, base string, stop <-chan struct{}) (n int, err error) {
	tick := time.NewTicker(killTrigger)
	defer tick.Stop()
	for ; ; n++ {
		select {
		case <-stop:
			return n, nil
		case <-tick.C:
		}
		_, err := send(ctx, client, base, &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{
			Labels:  promLabels("__name__", "kill_trigger", "host_name", "kill", "n", strconv.Itoa(n)),
			Samples: []prompb.Sample{{Timestamp: time.Now().UnixMilli(), Value: 1}},
		}}})
		if err != nil {
			return n, err
		}
	}
}

// TestKill kills the whole loop at random moments under load and starts it again. Nothing that was acknowledged is missing, no
// event is told twice, no step that ended runs again, and no file is damaged.
func TestKill(t *testing.T) {
	rounds := 4
	if os.Getenv("HOMEOSTAT_SOAK") != "" {
		rounds = 100
	}
	dir := t.TempDir()
	data, config, address := filepath.Join(dir, "data"), filepath.Join(dir, "homeostat.yaml"), freeAddress(t)
	writeFiles(t, dir, killFiles(dir))
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: killSenders + 1}, Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()

	stop := make(chan struct{})
	var load sync.WaitGroup
	senders := make([]*sender, killSenders)
	for i := range senders {
		s := &sender{number: i, series: 20, base: "http://" + address, client: client}
		if i%2 == 0 {
			s.series = 1200 // fills a message of the stream's own, which then waits for no company
		}
		senders[i] = s
		load.Go(func() {
			if err := s.run(t.Context(), stop); err != nil && t.Context().Err() == nil {
				t.Error(err)
			}
		})
	}
	triggers := 0
	load.Go(func() {
		var err error
		if triggers, err = trigger(t.Context(), client, "http://"+address, stop); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	for round := range rounds {
		c := startChild(t, address, data, config)
		if round%4 != 3 { // the fourth dies while it starts
			c.awaitReady(t, "ready", func(r readiness) bool { return r.Ready })
		}
		if err := pause(t.Context(), rand.N(2*time.Second)); err != nil {
			t.Fatal(err)
		}
		c.kill(t)
		checkLog(t, c)
	}
	c := startChild(t, address, data, config)
	c.awaitReady(t, "ready", func(r readiness) bool { return r.Ready })
	c.await(t, "an execution", func() bool { return anyExecution(t, c) }, func() string { return "none began yet" })
	close(stop)
	load.Wait()

	awaitMarker(t, c, client)
	missing, again, acked := 0, 0, 0
	for _, s := range senders {
		missing += s.missing(t, c)
		again += s.again
		acked += len(s.acked) * s.series
	}
	awaitExecutions(t, c)
	c.stop(t)
	checkLog(t, c)
	t.Logf("%d rounds: %d samples acknowledged, %d missing; %d requests sent again; %d triggers", rounds, acked, missing, again, triggers)
	checkDatabase(t, data, filepath.Join(dir, "done"))
	if acked == 0 {
		t.Error("nothing was acknowledged: the test tested nothing")
	}
}

// checkLog fails on what only damage makes a loop say: a kill is nothing to complain of afterwards.
func checkLog(t *testing.T, c *child) {
	t.Helper()
	for line := range strings.Lines(c.log.String()) {
		if strings.Contains(line, `"level":"ERROR"`) || strings.Contains(line, "panic") || strings.Contains(line, "DATA RACE") {
			t.Errorf("homeostat said: %s", line)
		}
	}
}

// awaitMarker waits until the history has what was sent last: the stream is read in order, so it then has all before.
func awaitMarker(t *testing.T, c *child, client *http.Client) {
	t.Helper()
	_, err := send(t.Context(), client, c.url, &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{
		Labels:  promLabels("__name__", "kill_marker", "host_name", "marker"),
		Samples: []prompb.Sample{{Timestamp: time.Now().UnixMilli(), Value: 1}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	c.await(t, "the history has the last sample", func() bool {
		got, err := c.query(t.Context(), `kill_marker[1h]`, "host_name")
		return err == nil && len(got["marker"]) == 1
	}, func() string { return "" })
}

// missing counts the samples that were acknowledged and aren't in the history with their value.
func (s *sender) missing(t *testing.T, c *child) (n int) {
	t.Helper()
	for digit := range 10 { // a part of the series at a time bounds the answer
		got, err := c.query(t.Context(), fmt.Sprintf(`kill_load{host_name="load-%d",k=~".*%d"}[3h]`, s.number, digit), "k")
		if err != nil {
			t.Fatal(err)
		}
		for k := digit; k < s.series; k += 10 {
			ps := got[strconv.Itoa(k)]
			for _, at := range s.acked {
				if v, ok := ps[at]; !ok || v != killValue(at, k) {
					if n++; n <= 3 {
						t.Errorf("sender %d, series %d, at %d: %v (there: %v), want %v", s.number, k, at, v, ok, killValue(at, k))
					}
				}
			}
		}
	}
	return n
}

// awaitExecutions waits until nothing runs: what has not ended waits for a person, who knows what came of the step that was
// cut off. What a hundred kills have left behind takes its time; it goes on as long as executions end.
func awaitExecutions(t *testing.T, c *child) {
	t.Helper()
	for least := inProgress(t, c); least > 0; {
		c.await(t, "executions go on", func() bool { return inProgress(t, c) < least }, func() string { return fmt.Sprintf("%d in progress", least) })
		least = min(least-1, inProgress(t, c))
	}
}

// anyExecution says whether one began: rounds may be shorter than a rule takes on a slow machine.
func anyExecution(t *testing.T, c *child) bool {
	t.Helper()
	var doc struct{ Items []struct{} }
	if _, err := c.get(t.Context(), "/api/executions?limit=1", &doc); err != nil {
		t.Fatal(err)
	}
	return len(doc.Items) > 0
}

// inProgress counts the executions that are.
func inProgress(t *testing.T, c *child) (n int) {
	t.Helper()
	for after := ""; ; {
		var doc struct {
			Items []struct{}
			Next  string
		}
		if _, err := c.get(t.Context(), "/api/executions?limit=1000&state="+signal.InProgress+"&after="+after, &doc); err != nil {
			t.Fatal(err)
		}
		n += len(doc.Items)
		if after = doc.Next; after == "" {
			return n
		}
	}
}

// checkDatabase looks at what the database and the file that the steps wrote hold, after the loop has stopped.
func checkDatabase(t *testing.T, data, done string) {
	t.Helper()
	if out, err := exec.Command("homeostat", "audit", "verify", "--data", data).CombinedOutput(); err != nil {
		t.Errorf("audit verify: %v: %s", err, out)
	}
	s, err := store.Open(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var said string
	if err := s.Read.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&said); err != nil || said != "ok" {
		t.Errorf("integrity_check: %s, %v", said, err)
	}
	fired := checkAlerts(t, s)
	lines := map[string]int{} // "execution step"
	text, err := os.ReadFile(done)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if lines[line]++; lines[line] > 1 {
			t.Errorf("step done %d times: %s", lines[line], line)
		}
	}
	executions, waiting := checkExecutions(t, s, lines)
	if len(executions) != fired {
		t.Errorf("%d alerts fired and %d executions began", fired, len(executions))
	}
	for line := range lines {
		if x, _, _ := strings.Cut(line, " "); !executions[x] {
			t.Errorf("a step of no known execution: %s", line)
		}
	}
	t.Logf("%d alerts fired, %d executions, %d of them wait for a person, %d steps done", fired, len(executions), waiting, len(lines))
	if len(lines) == 0 {
		t.Error("no step ran: the test tested nothing")
	}
}

// checkAlerts holds that an alert is told once until its end is told, and returns how often one was told.
func checkAlerts(t *testing.T, s *store.Store) (fired int) {
	t.Helper()
	rows, err := s.Read.QueryContext(t.Context(), "SELECT envelope FROM events ORDER BY seq")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	ids, open, told := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for rows.Next() {
		var text string
		var ev signal.Event
		if err := errors.Join(rows.Scan(&text), json.Unmarshal([]byte(text), &ev)); err != nil {
			t.Fatal(err)
		}
		if ids[ev.ID] {
			t.Errorf("event %s is there twice", ev.ID)
		}
		ids[ev.ID] = true
		if ev.DetailType != signal.AlertFiring && ev.DetailType != signal.AlertResolved {
			continue
		}
		var a signal.Alert
		if err := json.Unmarshal(ev.Detail, &a); err != nil {
			t.Fatal(err)
		}
		what := a.Rule + signal.MakeLabels(a.Labels).String()
		fires := ev.DetailType == signal.AlertFiring
		if fires {
			fired++
			once := what + " " + a.Began.Format(time.RFC3339Nano)
			if told[once] {
				t.Errorf("told twice as firing: %s", once)
			}
			told[once] = true
		}
		if open[what] == fires {
			t.Errorf("%s told of %s, which was so before", ev.DetailType, what)
		}
		open[what] = fires
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return fired
}

// checkExecutions holds that an execution that has succeeded has left the line of each of its steps, and that one has not ended
// only where a person is asked. It returns the executions' ids.
func checkExecutions(t *testing.T, s *store.Store, lines map[string]int) (ids map[string]bool, waiting int) {
	t.Helper()
	rows, err := s.Read.QueryContext(t.Context(), "SELECT id, state, reason, approval FROM executions")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	ids = map[string]bool{}
	for rows.Next() {
		var id, state, reason, approval string
		if err := rows.Scan(&id, &state, &reason, &approval); err != nil {
			t.Fatal(err)
		}
		ids[id] = true
		switch {
		case state == signal.Waiting && approval != "":
			waiting++
		case state == signal.Success:
			if lines[id+" first"] != 1 || lines[id+" second"] != 1 {
				t.Errorf("execution %s succeeded; its steps were done %d and %d times", id, lines[id+" first"], lines[id+" second"])
			}
		default:
			t.Errorf("execution %s ended as %s: %s", id, state, reason)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return ids, waiting
}
