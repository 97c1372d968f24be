package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"homeostat/internal/signal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	viewerToken   = "viewer-token-0123456789"
	operatorToken = "operator-token-0123456789"
	approverToken = "approver-token-0123456789"
	adminToken    = "admin-token-0123456789"
)

var fourTokens = []Token{
	{Name: "vera", Role: signal.Viewer, Token: viewerToken},
	{Name: "otto", Role: signal.Operator, Token: operatorToken},
	{Name: "anna", Role: signal.Approver, Token: approverToken},
	{Name: "adam", Role: signal.Admin, Token: adminToken},
}

// record is a loop that answers little and remembers what was asked of it.
type record struct {
	mu     sync.Mutex
	did    []string
	events int
	query  signal.Query
	fail   error
	stages []signal.Stage
}

func (r *record) note(format string, args ...any) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.did = append(r.did, fmt.Sprintf(format, args...))
	return r.fail
}

func (r *record) Events(_ context.Context, q signal.Query) ([]signal.Event, string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.query = q
	var out []signal.Event
	for i := range r.events {
		out = append(out, signal.Event{Version: "0", ID: fmt.Sprint("ev-", i), DetailType: signal.AlertFiring, Resources: []string{}, Time: time.Unix(0, 0).UTC(), Detail: json.RawMessage(`{"entity":"host:a"}`)})
	}
	if len(out) > q.Limit {
		return out[:q.Limit], out[q.Limit-1].ID, nil
	}
	return out, "", nil
}

func (r *record) Event(_ context.Context, id string) (signal.Event, error) {
	return signal.Event{}, fmt.Errorf("event %s: %w", id, signal.ErrNotFound)
}

func (r *record) Ingest(_ context.Context, e []byte) (string, error) {
	return "ev-1", r.note("ingest %s", e)
}

func (r *record) List(context.Context, signal.Query) ([]signal.Incident, string, error) {
	return nil, "", nil
}

func (r *record) Get(_ context.Context, id string) (signal.Incident, error) {
	return signal.Incident{Head: signal.Head{ID: id}}, nil
}

func (r *record) Resolve(_ context.Context, id, by, note string) error {
	return r.note("resolve %s by %s: %s", id, by, note)
}

func (r *record) Executions(context.Context, signal.Query) ([]signal.Execution, string, error) {
	return nil, "", nil
}

func (r *record) Execution(_ context.Context, id string) (signal.Execution, error) {
	return signal.Execution{Head: signal.Head{ID: id}}, nil
}

func (r *record) Approve(_ context.Context, id, by, note string) error {
	return r.note("approve %s by %s: %s", id, by, note)
}

func (r *record) Reject(_ context.Context, id, by, note string) error {
	return r.note("reject %s by %s: %s", id, by, note)
}

func (r *record) Cancel(_ context.Context, id, by, note string) error {
	return r.note("cancel %s by %s: %s", id, by, note)
}

func (r *record) Pause(_ context.Context, by, reason string) error {
	return r.note("pause by %s: %s", by, reason)
}

func (r *record) Resume(_ context.Context, by, reason string) error {
	return r.note("resume by %s: %s", by, reason)
}

func (r *record) Paused(context.Context) (signal.Switch, error) { return signal.Switch{}, nil }

func (r *record) Runbooks(context.Context) ([]signal.Runbook, error) {
	return []signal.Runbook{{Name: "b"}, {Name: "a"}, {Name: "c"}}, nil
}

func (r *record) Runbook(_ context.Context, name string) (signal.Runbook, error) {
	return signal.Runbook{Name: name}, nil
}

func (r *record) StartRunbook(_ context.Context, s signal.Start) (string, error) {
	return "ex-1", r.note("run %s on %q mode %s by %s", s.Runbook, s.Entity, s.Mode, s.By)
}

func (r *record) Judge(_ context.Context, id string, do signal.OrderKind, by, note string) (signal.Order, error) {
	return signal.Order{Anomaly: id}, r.note("%s %s by %s: %s", do, id, by, note)
}

func (r *record) Models(context.Context) ([]signal.Model, error) {
	return []signal.Model{
		{ID: "mo-2", Detector: "host", Entity: "host:a", Made: time.Unix(2, 0)},
		{ID: "mo-1", Detector: "host", Entity: "host:a"},
		{ID: "mo-3", Detector: "db", Entity: "host:a"},
	}, nil
}

func (r *record) Model(_ context.Context, id string) (signal.Model, error) {
	return signal.Model{ID: id}, nil
}

func (r *record) TrainModel(_ context.Context, t signal.Train) (signal.Model, error) {
	return signal.Model{ID: "mo-9"}, r.note("train %s of %s by %s on %q", t.Detector, t.Entity, t.By, t.CSV)
}

func (r *record) UseModel(_ context.Context, id, by, note string) (signal.Order, error) {
	return signal.Order{Model: id}, r.note("use %s by %s: %s", id, by, note)
}

func (r *record) Stages() []signal.Stage { return r.stages }

func (r *record) Walk(_ context.Context, id string) ([]signal.Link, error) {
	return []signal.Link{{ID: id, Kind: "event", Text: "It was.", Cause: []string{}}}, nil
}

func (r *record) loop() Loop {
	answer := func(text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if _, err := io.ReadAll(req.Body); isTooLarge(err) {
				http.Error(w, "too large", http.StatusRequestEntityTooLarge)
				return
			}
			_, _ = io.WriteString(w, text+" "+req.URL.Path)
		})
	}
	return Loop{
		Version: "1.2.3", Mode: signal.Observe, Events: r, Ingest: r, Incidents: r, Executions: r, Decisions: r, Switch: r, Runbooks: r, Starter: r, Links: r, Judge: r, Models: r,
		Stages: r, Chain: r, Prometheus: answer("prometheus"), RemoteWrite: answer("write"), OTLP: answer("otlp"), Metrics: answer("metrics"),
		Console: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/panic" {
				panic("at the console")
			}
			fmt.Fprintf(w, "console %s as %s", req.URL.Path, signal.ActorOf(req.Context()).Name)
		}),
	}
}

func newServer(t testing.TB, c Config, r *record) *Server {
	t.Helper()
	s, err := New(c, r.loop(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ask is one request; its zero value comes from loopback to a loopback host.
type ask struct {
	method, path, body, host, remote, token string
	header                                  map[string]string
}

func (a ask) to(t testing.TB, s *Server) *httptest.ResponseRecorder {
	t.Helper()
	if a.method == "" {
		a.method = http.MethodGet
	}
	if a.host == "" {
		a.host = "127.0.0.1:8080"
	}
	if a.remote == "" {
		a.remote = "127.0.0.1:40000"
	}
	r := httptest.NewRequestWithContext(t.Context(), a.method, "http://"+a.host+a.path, strings.NewReader(a.body))
	r.RemoteAddr = a.remote
	if a.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if a.token != "" {
		r.Header.Set("Authorization", "Bearer "+a.token)
	}
	for k, v := range a.header {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

func TestListenBeyondLoopbackNeedsTokens(t *testing.T) {
	for _, tt := range []struct {
		name   string
		c      Config
		errors []string // "" in the list: any; none: fine
	}{
		{"the default", Config{}, nil},
		{"loopback, a free port", Config{Listen: "127.0.0.1:0"}, nil},
		{"localhost", Config{Listen: "localhost:9000"}, nil},
		{"IPv6 loopback", Config{Listen: "[::1]:9000"}, nil},
		{"everywhere", Config{Listen: ":8080"}, []string{"listen: :8080 can be reached"}},
		{"everywhere, spelt out", Config{Listen: "0.0.0.0:8080"}, []string{"listen: 0.0.0.0:8080 can be reached"}},
		{"an address of the network", Config{Listen: "192.0.2.7:8080"}, []string{"can be reached from other machines"}},
		{"everywhere with tokens", Config{Listen: ":8080", Tokens: fourTokens}, nil},
		{"no port", Config{Listen: "127.0.0.1"}, []string{"listen: \"127.0.0.1\" is not an address and port"}},
		{
			"all that is wrong with tokens",
			Config{Tokens: []Token{{Name: "a", Role: "boss", Token: "short"}, {Name: "a", Role: signal.Viewer, Token: viewerToken}, {Role: signal.Viewer, Token: viewerToken}, {Name: "local", Role: signal.Viewer, Token: adminToken}}},
			[]string{"tokens[0].role: want viewer, operator, approver or admin", "tokens[0].token: needs at least 16", "tokens[1].name: \"a\" is there twice", "tokens[2].name: is missing", "tokens[2].token: two tokens", "tokens[3].name: \"local\" is a name of Homeostat's own"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(tt.c, Loop{}, nil, nil)
			if (err == nil) != (len(tt.errors) == 0) {
				t.Fatalf("error %v", err)
			}
			for _, want := range tt.errors {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
			if err != nil && strings.Contains(err.Error(), viewerToken) {
				t.Error("the error tells a secret")
			}
		})
	}
}

func TestWithoutTokensOnlyThisMachineIsAnswered(t *testing.T) {
	s := newServer(t, Config{}, &record{})
	for _, tt := range []struct {
		name string
		ask  ask
		want int
	}{
		{"loopback", ask{}, 200},
		{"localhost", ask{host: "localhost:9999"}, 200},
		{"localhost without port", ask{host: "localhost"}, 200},
		{"IPv6", ask{host: "[::1]:8080", remote: "[::1]:40000"}, 200},
		{"IPv4 in IPv6", ask{remote: "[::ffff:127.0.0.1]:40000"}, 200},
		{"another machine", ask{remote: "192.0.2.7:40000"}, 403},
		{"a rebound name", ask{host: "evil.example.com:8080"}, 403},
		{"a name that begins well", ask{host: "localhost.evil.example.com"}, 403},
		{"a name that begins like an address", ask{host: "127.0.0.1.evil.example.com"}, 403},
		{"the machine's address", ask{host: "192.0.2.7:8080"}, 403},
		{"through a proxy", ask{header: map[string]string{"X-Forwarded-For": "192.0.2.7"}}, 403},
		{"through a proxy, the standard's way", ask{header: map[string]string{"Forwarded": "for=192.0.2.7"}}, 403},
		{"an unreadable remote", ask{remote: "@"}, 403},
	} {
		for _, path := range []string{"/api/status", "/", "/live/", "/healthz", "/metrics", "/prometheus/api/v1/query", "/docs", "/openapi.json"} {
			tt.ask.path = path
			if got := tt.ask.to(t, s).Code; got != tt.want {
				t.Errorf("%s, %s: status %d, want %d", tt.name, path, got, tt.want)
			}
		}
	}
}

func TestForeignPagesGetNothing(t *testing.T) {
	rec := &record{}
	for name, c := range map[string]Config{"open": {}, "tokens": {Tokens: fourTokens}} {
		s := newServer(t, c, rec)
		for _, tt := range []struct {
			name   string
			header map[string]string
			want   bool // answered
		}{
			{"a program", nil, true},
			{"our page", map[string]string{"Origin": "http://127.0.0.1:8080", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, true},
			{"typed into the address bar", map[string]string{"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, true},
			{"another origin", map[string]string{"Origin": "https://evil.example.com"}, false},
			{"another port", map[string]string{"Origin": "http://127.0.0.1:9999"}, false},
			{"a sandboxed frame", map[string]string{"Origin": "null"}, false},
			{"a picture on another page", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, false},
			{"a frame on another page", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, false},
			{"an event stream from another page", map[string]string{"Origin": "https://evil.example.com", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}, false},
			{"a neighbouring site", map[string]string{"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}, false},
		} {
			for _, a := range []ask{{path: "/api/events"}, {path: "/live/"}, {method: http.MethodPost, path: "/api/pause"}, {method: http.MethodPost, path: "/ingest/events", body: `{}`}} {
				a.header, a.token = tt.header, adminToken
				if name == "open" {
					a.token = ""
				}
				got := a.to(t, s).Code
				if (got < 400) != tt.want || !tt.want && got != http.StatusForbidden {
					t.Errorf("%s, %s, %s %s: status %d", name, tt.name, a.method, a.path, got)
				}
			}
		}
		link := ask{path: "/incidents/in-1", token: adminToken, header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}}
		if name == "open" {
			link.token = ""
		}
		if got := link.to(t, s).Code; got != 200 {
			t.Errorf("%s: a link from a chat: status %d", name, got)
		}
		link.method, link.path = http.MethodPost, "/api/pause"
		if got := link.to(t, s).Code; got != 403 {
			t.Errorf("%s: a form on another page: status %d", name, got)
		}
	}
}

func TestHostsAreOursWithTokens(t *testing.T) {
	s := newServer(t, Config{Listen: "0.0.0.0:8080", Tokens: fourTokens, Hosts: []string{"Homeostat.example.com"}}, &record{})
	for host, want := range map[string]int{
		"homeostat.example.com": 200, "HOMEOSTAT.example.com:443": 200, "homeostat.example.com.": 200, "192.0.2.7:8080": 200, "[2001:db8::1]:8080": 200,
		"localhost:8080": 200, "evil.example.com": 403, "homeostat.example.com.evil.example.com": 403,
	} {
		if got := (ask{path: "/api/status", host: host, remote: "192.0.2.99:4000", token: viewerToken}).to(t, s).Code; got != want {
			t.Errorf("%s: status %d, want %d", host, got, want)
		}
	}
}

func TestRolesHold(t *testing.T) {
	type op struct {
		ask   ask
		least signal.Role
	}
	post := func(path, body string) ask { return ask{method: http.MethodPost, path: path, body: body} }
	ops := []op{
		{ask{path: "/api/events"}, signal.Viewer},
		{ask{path: "/api/why/ev-1"}, signal.Viewer},
		{ask{path: "/api/status"}, signal.Viewer},
		{ask{path: "/docs"}, signal.Viewer},
		{ask{path: "/metrics"}, signal.Viewer},
		{ask{path: "/prometheus/api/v1/query"}, signal.Viewer},
		{post("/ingest/events", `{"source":"a"}`), signal.Operator},
		{post("/api/v1/write", "x"), signal.Operator},
		{post("/v1/metrics", "x"), signal.Operator},
		{post("/api/incidents/in-1/resolve", ""), signal.Operator},
		{post("/api/executions/ex-1/cancel", ""), signal.Operator},
		{post("/api/anomalies/an-1/mute", ""), signal.Operator},
		{post("/api/anomalies/an-1/confirm", ""), signal.Operator},
		{ask{path: "/api/models"}, signal.Viewer},
		{post("/api/models", `{"detector":"host","entity":"host:a"}`), signal.Operator},
		{post("/api/models/mo-1/use", ""), signal.Operator},
		{post("/api/pause", ""), signal.Operator},
		{post("/api/runbooks/a/run", ""), signal.Operator},
		{post("/api/runbooks/a/run", `{"mode":"observe"}`), signal.Operator},
		{post("/api/runbooks/a/run", `{"mode":"approve"}`), signal.Approver},
		{post("/api/runbooks/a/run", `{"mode":"auto"}`), signal.Approver},
		{post("/api/executions/ex-1/approve", ""), signal.Approver},
		{post("/api/executions/ex-1/reject", ""), signal.Approver},
		{post("/api/resume", ""), signal.Approver},
		{ask{path: "/debug/pprof/"}, signal.Admin},
	}
	s := newServer(t, Config{Tokens: fourTokens, Pprof: true}, &record{})
	for _, o := range ops {
		if got := o.ask.to(t, s).Code; got != http.StatusUnauthorized {
			t.Errorf("%s %s without token: status %d", o.ask.method, o.ask.path, got)
		}
		o.ask.token = "a-token-that-nobody-has"
		if got := o.ask.to(t, s).Code; got != http.StatusUnauthorized {
			t.Errorf("%s %s with a wrong token: status %d", o.ask.method, o.ask.path, got)
		}
		for _, k := range fourTokens {
			o.ask.token = k.Token
			w := o.ask.to(t, s)
			want := k.Role.Allows(o.least)
			if (w.Code == 200) != want || !want && w.Code != http.StatusForbidden {
				t.Errorf("%s %s %s as %s: status %d %s", o.ask.method, o.ask.path, o.ask.body, k.Role, w.Code, w.Body)
			}
		}
	}
	for _, path := range []string{"/healthz", "/readyz", "/login", "/assets/console.css"} {
		if got := (ask{path: path}).to(t, s).Code; got != 200 {
			t.Errorf("%s without token: status %d", path, got)
		}
	}
	if got := (ask{path: "/debug/pprof/"}).to(t, newServer(t, Config{}, &record{})); !strings.HasPrefix(got.Body.String(), "console") {
		t.Errorf("profiles are served without being asked for: %s", got.Body)
	}
	basic := ask{path: "/metrics", header: map[string]string{"Authorization": "Basic eDp2aWV3ZXItdG9rZW4tMDEyMzQ1Njc4OQ=="}}
	if got := basic.to(t, s).Code; got != 200 {
		t.Errorf("a token as password: status %d", got)
	}
}

func TestDecisionsBearTheActorAndTheNote(t *testing.T) {
	rec := &record{}
	s := newServer(t, Config{Tokens: fourTokens}, rec)
	for _, a := range []ask{
		{path: "/api/executions/ex-1/approve", body: `{"note":"looked at it"}`},
		{path: "/api/executions/ex-2/reject"},
		{path: "/api/executions/ex-3/cancel", body: `{}`},
		{path: "/api/executions/ex-4/continue", body: `{"note":"it did","retry":true}`},
		{path: "/api/executions/ex-5/continue"},
		{path: "/api/runbooks/HighCPU-Host/reset", body: `{"entity":"host:a"}`},
		{path: "/api/incidents/in-1/resolve", body: `{"note":"a drill"}`},
		{path: "/api/anomalies/an-1/mute", body: `{"note":"a backup"}`},
		{path: "/api/anomalies/an-2/confirm"},
		{path: "/api/models", body: `{"detector":"host","entity":"host:a","csv":"timestamp,cpu"}`},
		{path: "/api/models/mo-1/use", body: `{"note":"better"}`},
		{path: "/api/pause", body: `{"reason":"a drill"}`},
		{path: "/api/resume"},
		{path: "/api/runbooks/HighCPU-Host/run", body: `{"entity":"host:a","mode":"auto"}`},
		{path: "/api/runbooks/HighCPU-Host/run"},
	} {
		a.method, a.token = http.MethodPost, adminToken
		if w := a.to(t, s); w.Code != 200 {
			t.Errorf("%s: status %d %s", a.path, w.Code, w.Body)
		}
	}
	want := []string{
		"approve ex-1 by adam: looked at it", "reject ex-2 by adam: ", "cancel ex-3 by adam: ",
		"continue ex-4 (retry true) by adam: it did", "continue ex-5 (retry false) by adam: ", "reset HighCPU-Host on host:a by adam: ", "resolve in-1 by adam: a drill",
		"mute an-1 by adam: a backup", "confirm an-2 by adam: ", `train host of host:a by adam on "timestamp,cpu"`, "use mo-1 by adam: better",
		"pause by adam: a drill", "resume by adam: ", `run HighCPU-Host on "host:a" mode auto by adam`, `run HighCPU-Host on "" mode observe by adam`,
	}
	if diff := cmp.Diff(want, rec.did); diff != "" {
		t.Error(diff)
	}
}

func TestErrorsBecomeStatuses(t *testing.T) {
	rec := &record{}
	s := newServer(t, Config{}, rec)
	for _, tt := range []struct {
		err  error
		want int
	}{
		{fmt.Errorf("execution ex-1 is Success: %w", signal.ErrConflict), 409},
		{fmt.Errorf("execution ex-1: %w", signal.ErrNotFound), 404},
		{fmt.Errorf("parameter Entity: %w", signal.ErrInvalid), 422},
		{context.DeadlineExceeded, 504},
		{errors.New("disk full"), 500},
	} {
		rec.fail = tt.err
		w := ask{method: http.MethodPost, path: "/api/executions/ex-1/approve"}.to(t, s)
		if w.Code != tt.want || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%v: status %d, want %d: %s", tt.err, w.Code, tt.want, w.Body)
		}
	}
}

func TestListsPage(t *testing.T) {
	rec := &record{events: 3}
	s := newServer(t, Config{}, rec)
	type list struct {
		Items []map[string]any `json:"items"`
		Next  *string          `json:"next"`
	}
	get := func(path string) (out list) {
		t.Helper()
		w := ask{path: path}.to(t, s)
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || w.Code != 200 {
			t.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
		return out
	}
	if p := get("/api/events?limit=2"); len(p.Items) != 2 || p.Next == nil || *p.Next != "ev-1" {
		t.Errorf("first page: %+v", p)
	}
	if p := get("/api/events"); len(p.Items) != 3 || p.Next != nil {
		t.Errorf("the last page has a next: %+v", p)
	}
	e := get("/api/events").Items[0]
	for _, k := range []string{"version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail"} {
		if _, ok := e[k]; !ok {
			t.Errorf("an event lacks %q of its envelope: %v", k, e)
		}
	}
	get("/api/events?limit=1000&after=ev-9&type=Alert+Firing&entity=host:a&incident=in-1&order=newest")
	if diff := cmp.Diff(signal.Query{After: "ev-9", Limit: 1000, Entity: "host:a", Incident: "in-1", Type: "Alert Firing", Newest: true}, rec.query); diff != "" {
		t.Error(diff)
	}
	if w := (ask{path: "/api/incidents"}).to(t, s); strings.TrimSpace(w.Body.String()) != `{"items":[]}` {
		t.Errorf("an empty list: %s", w.Body)
	}
	for _, bad := range []string{"limit=0", "limit=1001", "limit=x", "order=best"} {
		if w := (ask{path: "/api/events?" + bad}).to(t, s); w.Code != 422 {
			t.Errorf("%s: status %d", bad, w.Code)
		}
	}
	var names []any
	for after := ""; ; {
		p := get("/api/runbooks?limit=1&after=" + after)
		names = append(names, p.Items[0]["name"])
		if p.Next == nil {
			break
		}
		after = *p.Next
	}
	if diff := cmp.Diff([]any{"a", "b", "c"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestIngestTakesOneOrSeveral(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		want       int
		did        int
	}{
		{"one", `{"source":"shop"}`, 200, 1},
		{"several", ` [{"source":"a"}, {"source":"b"}]`, 200, 2},
		{"an empty list", `[]`, 200, 0},
		{"nothing", ``, 422, 0},
		{"not JSON", `{"source":`, 422, 0},
		{"a text", `"source"`, 422, 0},
		{"a list with something else in it: none is stored", `[{"source":"a"}, 7]`, 422, 0},
		{"two values", `{} {}`, 422, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec := &record{}
			w := ask{method: http.MethodPost, path: "/ingest/events", body: tt.body}.to(t, newServer(t, Config{}, rec))
			if w.Code != tt.want && !(tt.body == "" && w.Code == 400) || len(rec.did) != tt.did {
				t.Errorf("status %d, want %d, %d stored: %s", w.Code, tt.want, len(rec.did), w.Body)
			}
		})
	}
	w := ask{method: http.MethodPost, path: "/ingest/events", body: "{\n  \"a\": ,}"}.to(t, newServer(t, Config{}, &record{}))
	if !strings.Contains(w.Body.String(), "line 2, column") {
		t.Errorf("no place: %s", w.Body)
	}
}

func TestLargeBodiesAreRefused(t *testing.T) {
	rec := &record{}
	s := newServer(t, Config{}, rec)
	big := strings.Repeat(" ", maxSamples+1)
	for _, path := range []string{"/ingest/events", "/api/v1/write", "/v1/metrics", "/api/pause"} {
		if w := (ask{method: http.MethodPost, path: path, body: big}).to(t, s); w.Code != http.StatusRequestEntityTooLarge {
			t.Errorf("%s, announced: status %d", path, w.Code)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost"+path, struct{ io.Reader }{strings.NewReader(big)})
		r.RemoteAddr, r.ContentLength = "127.0.0.1:9", -1
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code != http.StatusRequestEntityTooLarge {
			t.Errorf("%s, not announced: status %d", path, w.Code)
		}
	}
	if len(rec.did) > 0 {
		t.Errorf("something was done: %v", rec.did)
	}
}

func TestReadyzNamesWhatIsNotReady(t *testing.T) {
	rec := &record{stages: []signal.Stage{{Name: "source", Ready: true, State: "ok"}, {Name: "stream", State: "disk full"}}}
	s := newServer(t, Config{}, rec)
	w := ask{path: "/readyz"}.to(t, s)
	if want := `{"ready":false,"notReady":[{"name":"stream","state":"disk full"}]}`; w.Code != 503 || strings.TrimSpace(w.Body.String()) != want {
		t.Errorf("status %d %s", w.Code, w.Body)
	}
	rec.stages[1].Ready = true
	if w := (ask{path: "/readyz"}).to(t, s); w.Code != 200 || strings.TrimSpace(w.Body.String()) != `{"ready":true}` {
		t.Errorf("status %d %s", w.Code, w.Body)
	}
}

func TestPanicIsCountedAndAnswered(t *testing.T) {
	reg := prometheus.NewRegistry()
	s, err := New(Config{}, (&record{}).loop(), nil, reg)
	if err != nil {
		t.Fatal(err)
	}
	if w := (ask{path: "/panic"}).to(t, s); w.Code != 500 || strings.Contains(w.Body.String(), "console") {
		t.Errorf("status %d %s", w.Code, w.Body)
	}
	got := map[string]float64{}
	fs, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fs {
		for _, m := range f.Metric {
			got[f.GetName()] += m.GetCounter().GetValue()
		}
	}
	if got["homeostat_api_panics_total"] != 1 || got["homeostat_api_requests_failed_total"] != 1 || got["homeostat_api_requests_total"] != 1 {
		t.Errorf("counted %v", got)
	}
}

func TestEveryAnswerIsHeaded(t *testing.T) {
	s := newServer(t, Config{}, &record{})
	for _, a := range []ask{{path: "/"}, {path: "/api/status"}, {path: "/docs"}, {path: "/panic"}, {path: "/", host: "evil.example.com"}} {
		h := a.to(t, s).Header()
		csp := h.Get("Content-Security-Policy")
		if strings.Contains(csp, "unsafe") || !strings.Contains(csp, "frame-ancestors 'none'") || !strings.Contains(csp, "default-src 'none'") {
			t.Errorf("%s: policy %q", a.path, csp)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "same-origin" {
			t.Errorf("%s: %v", a.path, h)
		}
	}
}

func TestManualAndDescription(t *testing.T) {
	s := newServer(t, Config{}, &record{})
	w := ask{path: "/openapi.json"}.to(t, s)
	var api struct {
		OpenAPI string                    `json:"openapi"`
		Paths   map[string]map[string]any `json:"paths"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &api); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(api.OpenAPI, "3.1") {
		t.Errorf("openapi %q", api.OpenAPI)
	}
	page := ask{path: "/docs"}.to(t, s).Body.String()
	for path := range api.Paths {
		if !strings.Contains(page, "<code>"+path+"</code>") {
			t.Errorf("the manual lacks %s", path)
		}
	}
	for _, path := range []string{"/api/events", "/api/events/{id}", "/api/incidents/{id}/resolve", "/api/executions/{id}/approve", "/api/runbooks/{name}/run", "/api/why/{id}", "/api/pause", "/ingest/events", "/api/processes", "/api/audit", "/api/anomalies", "/api/findings/{id}", "/api/entities"} {
		if api.Paths[path] == nil {
			t.Errorf("%s is not described", path)
		}
	}
	for _, outside := range []string{"//cdn", "https://unpkg", "http://", "<script", "<style"} {
		if strings.Contains(page, outside) {
			t.Errorf("the manual has %q", outside)
		}
	}
}

func TestLoginTradesATokenForACookie(t *testing.T) {
	s := newServer(t, Config{Tokens: fourTokens}, &record{})
	html := map[string]string{"Accept": "text/html"}
	w := ask{path: "/incidents?state=open", header: html}.to(t, s)
	if got := w.Header().Get("Location"); w.Code != 303 || got != "/login?next=%2Fincidents%3Fstate%3Dopen" {
		t.Fatalf("status %d, to %q", w.Code, got)
	}
	form := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	w = ask{method: http.MethodPost, path: "/login", body: "token=wrong&next=/x", header: form}.to(t, s)
	if got := w.Header().Get("Location"); got != "/login?failed=1&next=%2Fx" || w.Header().Get("Set-Cookie") != "" {
		t.Errorf("a wrong token: %q %v", got, w.Header())
	}
	for next, want := range map[string]string{"/incidents": "/incidents", "https://evil.example.com": "/", "//evil.example.com": "/", `/\evil.example.com`: "/", "": "/"} {
		w = ask{method: http.MethodPost, path: "/login", body: url.Values{"token": {approverToken}, "next": {next}}.Encode(), header: form}.to(t, s)
		if got := w.Header().Get("Location"); got != want {
			t.Errorf("next %q leads to %q", next, got)
		}
	}
	c := w.Result().Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || strings.Contains(c.Value, approverToken) {
		t.Errorf("cookie %v", c)
	}
	in := map[string]string{"Cookie": c.Name + "=" + c.Value}
	if w := (ask{path: "/incidents", header: in}).to(t, s); w.Body.String() != "console /incidents as anna" {
		t.Errorf("with the cookie: %d %s", w.Code, w.Body)
	}
	// The cookie alone, sent by a page elsewhere, does nothing.
	elsewhere := map[string]string{"Cookie": in["Cookie"], "Origin": "https://evil.example.com"}
	if w := (ask{method: http.MethodPost, path: "/api/pause", header: elsewhere}).to(t, s); w.Code != 403 {
		t.Errorf("from elsewhere: %d", w.Code)
	}
	ask{method: http.MethodPost, path: "/logout", header: in}.to(t, s)
	if w := (ask{path: "/api/status", header: in}).to(t, s); w.Code != 401 {
		t.Errorf("after logging out: %d", w.Code)
	}
}

func TestSessionsAreBounded(t *testing.T) {
	s := newSessions()
	first := s.open(signal.Actor{Name: "a", Role: signal.Viewer})
	for range maxSessions {
		s.open(signal.Actor{Name: "b", Role: signal.Viewer})
	}
	if len(s.byID) > maxSessions {
		t.Errorf("%d sessions", len(s.byID))
	}
	if _, ok := s.who(first); ok {
		t.Error("the oldest is still there")
	}
}

func TestAbsentPartsSayso(t *testing.T) {
	s, err := New(Config{}, Loop{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/api/events": 501, "/api/audit": 501, "/prometheus/api/v1/query": 404, "/metrics": 404, "/api/nothing": 404, "/api/status": 200} {
		if got := (ask{path: path}).to(t, s).Code; got != want {
			t.Errorf("%s: status %d, want %d", path, got, want)
		}
	}
}

func TestMountsSeeTheirOwnPaths(t *testing.T) {
	s := newServer(t, Config{}, &record{})
	for path, want := range map[string]string{"/prometheus/api/v1/query": "prometheus /api/v1/query", "/metrics": "metrics /metrics", "/whatever": "console /whatever as local"} {
		if got := (ask{path: path}).to(t, s).Body.String(); got != want {
			t.Errorf("%s: %q", path, got)
		}
	}
	if got := (ask{method: http.MethodPost, path: "/api/v1/write", body: "x"}).to(t, s).Body.String(); got != "write /api/v1/write" {
		t.Error(got)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	s := newServer(t, Config{Listen: "127.0.0.1:0"}, &record{})
	ctx, cancel := context.WithCancel(t.Context())
	ln, err := s.Listen(ctx)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	res, err := (&http.Client{Transport: tr}).Get("http://" + ln.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if !bytes.Equal(body, []byte("ok\n")) {
		t.Errorf("%s", body)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		_ = c.Close()
		t.Error("it still listens")
	}
}

func TestListenSaysThatThePortIsTaken(t *testing.T) {
	s := newServer(t, Config{Listen: "127.0.0.1:0"}, &record{})
	ln, err := s.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	other := newServer(t, Config{Listen: ln.Addr().String()}, &record{})
	if _, err := other.Listen(t.Context()); err == nil || !strings.Contains(err.Error(), "listen on "+ln.Addr().String()) {
		t.Errorf("error %v", err)
	}
}

func TestAProblemSaysItsKindOnce(t *testing.T) {
	for _, kind := range []error{signal.ErrConflict, signal.ErrInvalid} {
		if got := asProblem(fmt.Errorf("parameter Entity is missing: %w", kind)).Error(); got != "parameter Entity is missing" {
			t.Errorf("%v: %q", kind, got)
		}
	}
}

func (r *record) Continue(_ context.Context, id, by, note string, retry bool) error {
	return r.note("continue %s (retry %t) by %s: %s", id, retry, by, note)
}

func (r *record) Reset(_ context.Context, runbook string, entity signal.EntityID, by, note string) error {
	return r.note("reset %s on %s by %s: %s", runbook, entity, by, note)
}

func (r *record) Asked(_ context.Context, token string) (signal.Execution, string, error) {
	if token != "good.link" {
		return signal.Execution{}, "", signal.ErrNotFound
	}
	return signal.Execution{Runbook: "Fix", Approval: &signal.Approval{Message: "<b>May</b> it?"}}, "ana", nil
}

func (r *record) AnswerLink(_ context.Context, token string, approve bool, note string) error {
	return r.note("link %s: %t %s", token, approve, note)
}

// A link needs no token; to open it does nothing, to post does what is chosen.
func TestAnswerByLink(t *testing.T) {
	rec := &record{}
	s := newServer(t, Config{Tokens: fourTokens}, rec)
	w := ask{path: "/answer/good.link"}.to(t, s)
	if w.Code != 200 || !strings.Contains(w.Body.String(), "&lt;b&gt;May&lt;/b&gt; it?") || w.Header().Get("Referrer-Policy") != "no-referrer" || len(rec.did) != 0 {
		t.Errorf("%d %s %v", w.Code, w.Body, rec.did)
	}
	if w := (ask{path: "/answer/bad"}).to(t, s); w.Code != 404 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for _, tt := range []struct {
		body string
		want int
	}{{"answer=approve&note=fine", 200}, {"answer=reject", 200}, {"answer=perhaps", 422}, {"", 422}} {
		r := httptest.NewRequest(http.MethodPost, "/answer/good.link", strings.NewReader(tt.body))
		r.Host = "127.0.0.1:8080"
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code != tt.want {
			t.Errorf("%s: %d %s", tt.body, w.Code, w.Body)
		}
	}
	if diff := cmp.Diff([]string{"link good.link: true fine", "link good.link: false "}, rec.did); diff != "" {
		t.Error(diff)
	}
}
