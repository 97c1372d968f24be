package runbook

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	goflag "flag"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivertype"
	"go.uber.org/goleak"

	"homeostat/automation"
	"homeostat/internal/signal"
	"homeostat/internal/store"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("HOMEOSTAT_TEST_CRASH"); dir != "" {
		crashChild(dir)
		return
	}
	// Most of what these tests do is to wait for the disk.
	if err := goflag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// migrated is the files of a new database: migrations take longer than most tests do.
var migrated = sync.OnceValues(func() (map[string][]byte, error) {
	dir, err := os.MkdirTemp("", "homeostat-runbook-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	s, err := store.Open(context.Background(), dir)
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, n := range names {
		if files[n.Name()], err = os.ReadFile(filepath.Join(dir, n.Name())); err != nil {
			return nil, err
		}
	}
	return files, nil
})

// fresh is a folder with a new database.
func fresh(t testing.TB) string {
	t.Helper()
	files, err := migrated()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// testDocs are small documents: one that acts, one that only reads, one that waits.
func testDocs() fs.FS {
	return fstest.MapFS{
		"Fix.yaml": {Data: []byte(`schemaVersion: "0.3"
description: Looks, changes, and looks again.
parameters:
  Entity: {type: String, allowedPattern: "^host:.+$"}
mainSteps:
  - name: look
    action: aws:executeAwsApi
    inputs: {Service: test, Api: Read, Key: "{{ Entity }}"}
  - name: change
    action: aws:executeAwsApi
    inputs: {Service: test, Api: Change, Key: "{{ Entity }}"}
  - name: after
    action: aws:executeAwsApi
    inputs: {Service: test, Api: Read, Key: after}
    isEnd: true
`)},
		"Ladder.yaml": {Data: []byte(`schemaVersion: "0.3"
mainSteps:
  - name: skip
    action: aws:executeAwsApi
    nextStep: inner
    inputs: {Service: test, Api: Read, Key: x}
  - name: never
    action: aws:executeAwsApi
    inputs: {Service: test, Api: Change, Key: never}
  - name: inner
    action: aws:executeAutomation
    onFailure: step:harder
    inputs: {DocumentName: Twice}
  - name: enough
    action: aws:branch
    inputs: {Choices: [{NextStep: last, Variable: "{{ global:REGION }}", StringEquals: x}], Default: harder}
  - name: harder
    action: aws:executeAwsApi
    inputs: {Service: test, Api: Change, Key: harder}
  - name: last
    action: aws:executeAwsApi
    inputs: {Service: test, Api: Read, Key: x}
    isEnd: true
`)},
		"Twice.yaml": {Data: []byte(`schemaVersion: "0.3"
mainSteps:
  - {name: one, action: "aws:executeAwsApi", inputs: {Service: test, Api: Change, Key: one}}
  - {name: two, action: "aws:executeAwsApi", inputs: {Service: test, Api: Change, Key: two}, isEnd: true}
`)},
		"Stop.yaml": {Data: []byte(`schemaVersion: "0.3"
parameters:
  InstanceId: {type: "AWS::EC2::Instance::Id"}
mainSteps:
  - name: change
    action: aws:executeAwsApi
    inputs: {Service: test, Api: Change, Key: "{{ InstanceId }}"}
    isEnd: true
`)},
		"Look.yaml": {Data: []byte(`schemaVersion: "0.3"
mainSteps:
  - name: look
    action: aws:executeAwsApi
    inputs: {Service: test, Api: Read, Key: x}
    isEnd: true
`)},
		"Shell.yaml": {Data: []byte(`schemaVersion: "0.3"
mainSteps:
  - name: run
    action: aws:runCommand
    timeoutSeconds: 600
    inputs: {DocumentName: Script, Parameters: {Word: hello}}
    isEnd: true
`)},
		"Script.yaml": {Data: []byte(`schemaVersion: "2.2"
parameters:
  Word: {type: String, interpolationType: ENV_VAR}
mainSteps:
  - name: say
    action: aws:runShellScript
    inputs:
      runCommand: ['echo "$SSM_Word"']
`)},
		"Swap.yaml": {Data: []byte(`schemaVersion: "0.3"
parameters:
  Entity: {type: String, allowedPattern: "^host:.+$"}
mainSteps:
  - name: look
    action: aws:executeAwsApi
    inputs: {Service: test, Api: Read, Key: x}
    outputs: [{Name: Old, Selector: $.Was, Type: String}]
  - name: change
    action: aws:executeAwsApi
    inputs: {Service: test, Api: Change, Key: "{{ Entity }}"}
    isEnd: true
outputs: [look.Old]
`)},
		"Swap-Rollback.yaml": {Data: []byte(`schemaVersion: "0.3"
parameters:
  Entity: {type: String}
  Old: {type: String}
mainSteps:
  - name: back
    action: aws:executeAwsApi
    inputs: {Service: test, Api: Change, Key: "was {{ Old }} on {{ Entity }}"}
    isEnd: true
`)},
		"Idle.yaml": {Data: []byte(`schemaVersion: "0.3"
mainSteps:
  - name: leave
    action: aws:executeAwsApi
    inputs: {Service: test, Api: Leave, Key: x}
    isEnd: true
`)},
		"Slow.yaml": {Data: []byte(`schemaVersion: "0.3"
mainSteps:
  - name: hang
    action: aws:executeAwsApi
    inputs: {Service: test, Api: Hang, Key: x}
    isEnd: true
`)},
		"Ask.yaml": {Data: []byte(`schemaVersion: "0.3"
mainSteps:
  - name: ask
    action: aws:approve
    inputs: {Approvers: [ana], Message: "Shall it?"}
  - name: change
    action: aws:executeAwsApi
    inputs: {Service: test, Api: Change, Key: asked}
    isEnd: true
`)},
	}
}

// world is hands whose changes are lines of a file, so that they outlive the process that made them.
type world struct {
	file string
	mu   sync.Mutex
}

func api(c automation.Call) string { s, _ := c.Inputs["Api"].(string); return s }

func (w *world) Effect(c automation.Call) automation.Effect {
	if api(c) == "Read" {
		return automation.Reading
	}
	return automation.Changing
}

func (w *world) Would(_ context.Context, c automation.Call) (string, error) {
	return fmt.Sprintf("change %v", c.Inputs["Key"]), nil
}

func (w *world) Do(ctx context.Context, c automation.Call) (map[string]any, error) {
	switch api(c) {
	case "Read":
		return map[string]any{"Output": `{"text":"it was looked at"}`, "Was": "it was looked at"}, nil
	case "Leave":
		return map[string]any{"Output": `{"text":"left it alone","changed":false}`}, nil
	case "Hang":
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	f, err := os.OpenFile(w.file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(f, "%s %s\n", c.Execution, c.Step)
	return map[string]any{"Output": fmt.Sprintf(`{"text":"changed %v"}`, c.Inputs["Key"])}, errors.Join(err, f.Close())
}

func (w *world) LookUp(_ context.Context, c automation.Call) (map[string]any, error) {
	if api(c) == "Hang" {
		return nil, automation.ErrUnknown
	}
	if slices.Contains(w.changes(), c.Execution+" "+c.Step) {
		return map[string]any{"Output": `{"text":"it was changed before"}`}, nil
	}
	return nil, automation.ErrNotDone
}

// changes are all changes that were made, in order.
func (w *world) changes() []string {
	text, err := os.ReadFile(w.file)
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// record keeps events in a table of its own, within the transaction that tells of them, as the bus does.
type record struct{}

func (record) PublishTx(ctx context.Context, tx *sql.Tx, evs ...signal.Event) error {
	for _, ev := range evs {
		text, err := json.Marshal(ev)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO told (envelope) VALUES ($1)`, string(text)); err != nil {
			return err
		}
	}
	return nil
}

// condition is what fired; it holds until it is put right.
type condition struct{ holds func() (bool, string, error) }

func (c condition) Holds(context.Context, signal.Event) (bool, string, error) { return c.holds() }

// jobs stands before a client of River that is made after the stage.
type jobs struct{ *river.Client[*sql.Tx] }

func (j *jobs) InsertTx(ctx context.Context, tx *sql.Tx, args river.JobArgs, opts *river.InsertOpts) (*rivertype.JobInsertResult, error) {
	return j.Client.InsertTx(ctx, tx, args, opts)
}

// stage is the stage on a real database, carried by a real River.
type stage struct {
	*Runbooks
	store *store.Store
	world *world
}

// quick are settings for tests; the waits are what a test can afford.
func quick() Config {
	return Config{
		Mode: signal.Auto, VerifyEvery: 10 * time.Millisecond, VerifySettle: 30 * time.Millisecond, VerifyTimeout: time.Minute,
		Routes: map[string][]string{"Fix": {"broken"}},
	}
}

func start(ctx context.Context, dir string, c Config, docs fs.FS, holds func() (bool, string, error)) (*stage, func() error, error) {
	return startWith(ctx, river.QueueConfig{MaxWorkers: 8, FetchCooldown: 5 * time.Millisecond, FetchPollInterval: 20 * time.Millisecond}, dir, c, docs, holds)
}

func startWith(ctx context.Context, q river.QueueConfig, dir string, c Config, docs fs.FS, holds func() (bool, string, error)) (*stage, func() error, error) {
	s, err := store.Open(ctx, dir)
	if err != nil {
		return nil, nil, err
	}
	_, err = s.DB.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS told (seq INTEGER PRIMARY KEY, envelope TEXT NOT NULL)`)
	cat, docErr := LoadCatalog(docs, nil)
	if err := errors.Join(err, docErr); err != nil {
		return nil, nil, errors.Join(err, s.Close())
	}
	w := &world{file: dir + "/changes"}
	j := &jobs{}
	n := Needs{DB: s.DB, Read: s.Read, Catalog: cat, Hands: w, Bus: record{}, Jobs: j, Audit: s.Audit, Chain: s.Chain}
	if holds != nil {
		n.Conditions = condition{holds}
	}
	r, err := New(ctx, c, n, nil, nil)
	if err != nil {
		return nil, nil, errors.Join(err, s.Close())
	}
	ws := river.NewWorkers()
	r.AddWorkers(ws)
	j.Client, err = river.NewClient(riversqlite.New(s.DB), &river.Config{
		Queues: map[string]river.QueueConfig{Queue: q}, PollOnly: true,
		Workers: ws, Logger: slog.New(slog.DiscardHandler),
	})
	if err == nil {
		err = errors.Join(r.Recover(ctx), j.Start(ctx))
	}
	if err != nil {
		return nil, nil, errors.Join(err, s.Close())
	}
	stop := func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return errors.Join(j.StopAndCancel(ctx), s.Close())
	}
	return &stage{Runbooks: r, store: s, world: w}, stop, nil
}

func startTest(t testing.TB, c Config, holds func() (bool, string, error)) *stage {
	t.Helper()
	s, stop, err := start(t.Context(), fresh(t), c, testDocs(), holds)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// alert is an event of a rule that fires on host:h.
func alert(n int, incident string) signal.Event { return alertOf(n, incident, "host:h") }

// alertOn is one on another host, and of no incident.
func alertOn(n int, entity signal.EntityID) signal.Event { return alertOf(n, "", entity) }

func alertOf(n int, incident string, entity signal.EntityID) signal.Event {
	ev, err := signal.NewEvent("history", signal.AlertFiring, fmt.Sprint("al-", n), time.Unix(1e9+int64(n), 0), signal.Alert{
		Head: signal.Head{ID: fmt.Sprint("al-", n), Entity: entity, Cause: []string{}, Severity: signal.Critical, Incident: incident},
		Rule: "HighCPU",
	})
	if err != nil {
		panic(err)
	}
	return ev
}

// fire starts a runbook for an event as the bus does, and returns the execution's id.
func (s *stage) fire(ctx context.Context, ev signal.Event, t Target) (string, error) {
	var head signal.Head
	if err := json.Unmarshal(ev.Detail, &head); err != nil {
		return "", err
	}
	id := signal.MakeID(signal.KindExecution, finding(ev, head, t), "r", t.Runbook)
	return id, s.inTx(ctx, func(tx *sql.Tx) error { return s.Start(ctx, tx, ev, "r", t) })
}

func (s *stage) mustFire(t testing.TB, ev signal.Event, target Target) string {
	t.Helper()
	id, err := s.fire(t.Context(), ev, target)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// await polls until the execution is as ok wants it.
func (s *stage) await(t testing.TB, id string, ok func(x signal.Execution) bool) signal.Execution {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for {
		x, err := s.Execution(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if ok(x) {
			return x
		}
		select {
		case <-deadline:
			t.Fatalf("it never came: %+v", x)
		case <-tick.C:
		}
	}
}

func ended(x signal.Execution) bool { return !x.Ended.IsZero() }

func waiting(x signal.Execution) bool { return x.Approval != nil }

// told lists the types of the events about an execution, in order, with the outcome of the last.
func (s *stage) told(t testing.TB, id string) []string {
	t.Helper()
	rows, err := s.store.Read.QueryContext(t.Context(), `SELECT envelope FROM told ORDER BY seq`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var text string
		var ev signal.Event
		var x signal.Execution
		if err := errors.Join(rows.Scan(&text), json.Unmarshal([]byte(text), &ev), json.Unmarshal(ev.Detail, &x)); err != nil {
			t.Fatal(err)
		}
		if x.ID == id {
			out = append(out, ev.DetailType)
		}
	}
	return out
}

// stepNames lists name and state of each step.
func stepNames(x signal.Execution) []string {
	var out []string
	for _, s := range x.Steps {
		out = append(out, s.Name+" "+s.State)
	}
	return out
}
