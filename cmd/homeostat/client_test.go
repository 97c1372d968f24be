package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"homeostat/internal/api"
	"homeostat/internal/signal"
)

// TestClientScripts runs the commands that ask a loop, against the real API over a small loop in memory. $HOMEOSTAT_SERVER is
// one that asks for nothing; $TOKEN_SERVER wants the token of $TOKEN; nothing listens at $NOBODY.
func TestClientScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:  "testdata/script/client",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"status": status},
		Setup: func(env *testscript.Env) error {
			const secret = "a-token-of-enough-length"
			open, err := serveMemory(env, api.Config{})
			if err != nil {
				return err
			}
			closed, err := serveMemory(env, api.Config{Tokens: []api.Token{{Name: "ana", Role: signal.Viewer, Token: secret}}})
			if err != nil {
				return err
			}
			env.Setenv("HOMEOSTAT_SERVER", open)
			env.Setenv("TOKEN_SERVER", closed)
			env.Setenv("TOKEN", secret)
			env.Setenv("NOBODY", "http://127.0.0.1:1")
			env.Setenv("TZ", "UTC")
			return nil
		},
	})
}

func serveMemory(env *testscript.Env, c api.Config) (string, error) {
	m := newMemory()
	s, err := api.New(c, api.Loop{
		Version: "test", Events: m, Ingest: m, Incidents: m, Anomalies: m, Findings: m, Judge: m, Models: m, Executions: m, Decisions: m, Switch: m, Runbooks: m, Starter: m, Entities: m, Chain: m,
	}, slog.New(slog.NewTextHandler(os.Stderr, nil)), nil)
	if err != nil {
		return "", err
	}
	srv := httptest.NewServer(s.Handler())
	env.Defer(srv.Close)
	return srv.URL, nil
}

// memory is the part of a loop that the commands talk about.
type memory struct {
	mu         sync.Mutex
	events     []signal.Event
	incidents  []signal.Incident
	executions []signal.Execution
	anomalies  []signal.Anomaly
	findings   []signal.Finding
	models     []signal.Model
	links      []signal.Link
	sw         signal.Switch
}

var then = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func newMemory() *memory {
	m := &memory{}
	head := func(id string) signal.Head {
		return signal.Head{ID: id, Entity: "host:web-1", Cause: []string{"ev-1"}, Severity: signal.Critical, Incident: "in-1"}
	}
	m.anomalies = []signal.Anomaly{{Head: head("an-1"), Detector: "host", Began: then, Grade: 0.83, Reason: "CPU is 97 %"}}
	m.findings = []signal.Finding{
		{Head: signal.Head{ID: "an-0", Entity: "user:ana", Cause: []string{}}, Detector: "access", Began: then.Add(-time.Hour), Ended: then, Grade: 0.5, Reason: "ana from 203.0.113.9"},
		{Head: signal.Head{ID: "an-2", Entity: "user:ben", Cause: []string{}}, Detector: "access", Began: then.Add(time.Hour), Grade: 0.89, Reason: "ben from 203.0.113.9"},
	}
	m.incidents = []signal.Incident{
		{Head: head("in-0"), State: "resolved", Title: "Disk of web-1 above 85 %", Opened: then.Add(-time.Hour), Resolved: then},
		{Head: head("in-1"), State: "open", Title: "CPU of web-1 is at 97 %\x1b[2J", Opened: then, Members: []signal.Member{{ID: "an-1", Kind: "anomaly", Title: "CPU is 97 %", Severity: signal.Warning, Began: then}}},
	}
	m.executions = []signal.Execution{{
		Head: head("ex-1"), Runbook: "HighCPU-Host", Mode: signal.Approve, By: "route high-cpu", State: signal.Waiting, Step: "end", Began: then,
		Approval: &signal.Approval{Step: "end", Message: "End process 4242?", Needed: 1, Expires: then},
		Steps:    []signal.Step{{ID: "st-1", Name: "report", Action: "aws:runCommand", Effect: "reading", State: signal.Success, Began: then, Ended: then.Add(time.Second)}},
	}}
	for i := range 120 {
		m.events = append(m.events, signal.Event{
			Version: "0", ID: fmt.Sprintf("ev-%03d", i), DetailType: signal.AlertFiring, Source: "homeostat.history", Time: then.Add(time.Duration(i) * time.Second),
			Resources: []string{}, Detail: json.RawMessage(`{"entity":"host:web-1","rule":"HighCPU","reason":"CPU above 80 %"}`),
		})
	}
	m.models = []signal.Model{{ID: "mo-live", Detector: "host", Entity: "host:web-1", Series: "all", State: "in use", Source: "live"}}
	m.links = []signal.Link{
		{ID: "ev-1", Kind: "event", Time: then, Text: "It was told as Alert Firing.", Cause: []string{}},
		{ID: "ex-1", Kind: "execution", Time: then.Add(time.Second), Text: "Route high-cpu started HighCPU-Host.", Cause: []string{"ev-1"}},
	}
	return m
}

func pageOf[T any](all []T, q signal.Query, id func(T) string) ([]T, string, error) {
	all = slices.Clone(all)
	if q.Newest {
		slices.Reverse(all)
	}
	if q.After != "" {
		all = all[slices.IndexFunc(all, func(v T) bool { return id(v) == q.After })+1:]
	}
	if len(all) > q.Limit {
		return all[:q.Limit], id(all[q.Limit-1]), nil
	}
	return all, "", nil
}

func (m *memory) Events(_ context.Context, q signal.Query) ([]signal.Event, string, error) {
	return pageOf(m.events, q, func(e signal.Event) string { return e.ID })
}

func (m *memory) Event(_ context.Context, id string) (signal.Event, error) {
	return signal.Event{}, signal.ErrNotFound
}

func (m *memory) Ingest(_ context.Context, text []byte) (string, error) {
	var e signal.Event
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&e); err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("%w: %w", signal.ErrInvalid, err)
	}
	if e.Source == "" {
		return "", fmt.Errorf("%w: source is missing", signal.ErrInvalid)
	}
	return e.ID, nil
}

func (m *memory) List(_ context.Context, q signal.Query) ([]signal.Incident, string, error) {
	var some []signal.Incident
	for _, in := range m.incidents {
		if q.State == "" || in.State == q.State {
			some = append(some, in)
		}
	}
	return pageOf(some, q, func(i signal.Incident) string { return i.ID })
}

func (m *memory) Get(_ context.Context, id string) (signal.Incident, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, in := range m.incidents {
		if in.ID == id {
			return in, nil
		}
	}
	return signal.Incident{}, fmt.Errorf("incident %s: %w", id, signal.ErrNotFound)
}

func (m *memory) Resolve(_ context.Context, id, _, _ string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.incidents {
		if m.incidents[i].ID == id {
			m.incidents[i].State = "resolved"
		}
	}
	return nil
}

func (m *memory) Anomalies(_ context.Context, q signal.Query) ([]signal.Anomaly, string, error) {
	return pageOf(m.anomalies, q, func(a signal.Anomaly) string { return a.ID })
}

func (m *memory) Anomaly(_ context.Context, id string) (signal.Anomaly, error) {
	for _, a := range m.anomalies {
		if a.ID == id {
			return a, nil
		}
	}
	return signal.Anomaly{}, fmt.Errorf("anomaly %s: %w", id, signal.ErrNotFound)
}

func (m *memory) Findings(_ context.Context, q signal.Query) ([]signal.Finding, string, error) {
	return pageOf(m.findings, q, func(f signal.Finding) string { return f.ID })
}

func (m *memory) Finding(context.Context, string) (signal.Finding, error) {
	return signal.Finding{}, signal.ErrNotFound
}

func (m *memory) Judge(ctx context.Context, id string, do signal.OrderKind, by, note string) (signal.Order, error) {
	a, err := m.Anomaly(ctx, id)
	return signal.Order{ID: "or-1", Do: do, Detector: a.Detector, Entity: a.Entity, Anomaly: id, By: by, Note: note}, err
}

func (m *memory) Models(context.Context) ([]signal.Model, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.models), nil
}

// Model ends a training that is asked about: well where it was from history, else badly.
func (m *memory) Model(_ context.Context, id string) (signal.Model, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.models {
		if one := &m.models[i]; one.ID == id {
			if one.State == "training" && one.Source == "csv" {
				one.State, one.Reason = "failed", "7 points; it takes 32"
			} else if one.State == "training" {
				one.State, one.Points, one.From, one.To = "ready", 43200, then.Add(-720*time.Hour), then
				one.Quality = &signal.Quality{Points: 8640, Anomalies: 3, PerWeek: 3.5, Coverage: map[string]float64{"cpu": 0.987}, Error: map[string]float64{"cpu": 0.0123}}
			}
			return *one, nil
		}
	}
	return signal.Model{}, fmt.Errorf("model %s: %w", id, signal.ErrNotFound)
}

func (m *memory) TrainModel(_ context.Context, t signal.Train) (signal.Model, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	one := signal.Model{ID: fmt.Sprint("mo-", len(m.models)), Detector: t.Detector, Entity: t.Entity, Series: "all", State: "training", Source: "history", Made: then}
	if t.CSV != nil {
		one.Source = "csv"
	}
	m.models = append(m.models, one)
	return one, nil
}

func (m *memory) UseModel(_ context.Context, id, by, note string) (signal.Order, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, one := range m.models {
		if one.ID == id {
			return signal.Order{ID: "or-1", Do: signal.Use, Detector: one.Detector, Entity: one.Entity, Model: id, By: by, Note: note}, nil
		}
	}
	return signal.Order{}, fmt.Errorf("model %s: %w", id, signal.ErrNotFound)
}

func (m *memory) Executions(_ context.Context, q signal.Query) ([]signal.Execution, string, error) {
	return pageOf(m.executions, q, func(x signal.Execution) string { return x.ID })
}

func (m *memory) Execution(_ context.Context, id string) (signal.Execution, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, x := range m.executions {
		if x.ID == id {
			return x, nil
		}
	}
	return signal.Execution{}, fmt.Errorf("execution %s: %w", id, signal.ErrNotFound)
}

func (m *memory) decide(id, state string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.executions {
		if x := &m.executions[i]; x.ID == id {
			if x.State != signal.Waiting {
				return fmt.Errorf("execution %s is %s: %w", id, x.State, signal.ErrConflict)
			}
			x.State, x.Approval = state, nil
			return nil
		}
	}
	return fmt.Errorf("execution %s: %w", id, signal.ErrNotFound)
}

func (m *memory) Approve(_ context.Context, id, _, _ string) error {
	return m.decide(id, signal.Success)
}

// Reject leaves it waiting, as the loop does: a job carries it on.
func (m *memory) Reject(_ context.Context, id, _, _ string) error {
	return m.decide(id, signal.Waiting)
}

func (m *memory) Cancel(_ context.Context, id, _, _ string) error {
	return m.decide(id, signal.Cancelled)
}

func (m *memory) Pause(_ context.Context, by, reason string) error {
	m.sw = signal.Switch{Paused: true, By: by, Reason: reason, Since: then}
	return nil
}

func (m *memory) Resume(context.Context, string, string) error {
	m.sw = signal.Switch{}
	return nil
}

func (m *memory) Paused(context.Context) (signal.Switch, error) { return m.sw, nil }

func (m *memory) Runbooks(context.Context) ([]signal.Runbook, error) {
	return []signal.Runbook{
		{Name: "Ask-Person", Kind: "command", Origin: "built-in", Description: "Tells people\nwhat was found. Changes nothing."},
		{Name: "HighCPU-Host", Kind: "automation", Origin: "built-in", Description: "Ends a runaway.", Steps: []signal.RunbookStep{{Name: "end", Action: "aws:runCommand", Effect: "changing"}}},
	}, nil
}

func (m *memory) Runbook(_ context.Context, name string) (signal.Runbook, error) {
	if name == "HighCPU-Host" {
		return signal.Runbook{Name: name}, nil
	}
	return signal.Runbook{}, signal.ErrNotFound
}

func (m *memory) StartRunbook(_ context.Context, s signal.Start) (string, error) {
	if s.Runbook != "HighCPU-Host" {
		return "", fmt.Errorf("runbook %s: %w", s.Runbook, signal.ErrNotFound)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.executions = append(m.executions, signal.Execution{Head: signal.Head{ID: "ex-2", Entity: s.Entity}, Runbook: s.Runbook, Mode: s.Mode, By: s.By, State: signal.Refused, Parameters: s.Parameters, Reason: "paused"})
	return "ex-2", nil
}

func (m *memory) Entities(context.Context) ([]signal.Entity, error) {
	return []signal.Entity{{ID: "host:web-1", Series: 64, LastSeen: then}}, nil
}

func (m *memory) Walk(_ context.Context, id string) ([]signal.Link, error) {
	if !slices.ContainsFunc(m.links, func(l signal.Link) bool { return l.ID == id }) {
		return nil, fmt.Errorf("nothing has the id %s: %w", id, signal.ErrNotFound)
	}
	return m.links, nil
}

func TestCleanDisarmsTerminalText(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"plain, grün, 漢字", "plain, grün, 漢字"},
		{"a\x1b[2Jb", "a\ufffd[2Jb"},
		{"two\nlines\tand\rmore", "two lines and more"},
		{"\u202eevil\u2066", "\ufffdevil\ufffd"},
		{"\x07\x9b31m", "\ufffd\ufffd31m"},
	} {
		if got := clean(tt.in); got != tt.want {
			t.Errorf("clean(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestTableAlignsPaintedCells(t *testing.T) {
	var plain, coloured strings.Builder
	tb := &table{head: []string{"A", "B"}}
	tb.row(cell{"open", paint(true).state}, "x")
	tb.row("resolved", "y")
	tb.print(&plain, false)
	tb.print(&coloured, true)
	if want := "A         B\n\x1b[33mopen\x1b[0m      x\nresolved  y\n"; plain.String() != want {
		t.Errorf("got %q, want %q", plain.String(), want)
	}
	if !strings.Contains(coloured.String(), "\x1b[2mA\x1b[0m         ") {
		t.Errorf("head is not painted: %q", coloured.String())
	}
}

func (m *memory) Continue(_ context.Context, id, _, _ string, _ bool) error {
	return m.decide(id, signal.InProgress)
}

func (m *memory) Reset(_ context.Context, runbook string, entity signal.EntityID, _, _ string) error {
	if runbook != "HighCPU-Host" || entity != "host:web-1" {
		return fmt.Errorf("%s on %s: %w", runbook, entity, signal.ErrConflict)
	}
	return nil
}
