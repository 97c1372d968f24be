package console

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"homeostat/internal/signal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "rewrite the golden files")

// golden holds text against testdata/NAME.golden.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("%s (-want +got, `go test -update` rewrites it):\n%s", path, diff)
	}
}

var (
	points = regexp.MustCompile(`points="[^"]*"`)
	blank  = regexp.MustCompile(`\n\s*\n+`)
)

// body is what a reader sees of a page: its main part, without the assets' stamp and the figures of little charts.
func body(c *Console, w *httptest.ResponseRecorder) string {
	_, text, _ := strings.Cut(w.Body.String(), `<main id="main" tabindex="-1">`)
	text, _, _ = strings.Cut(text, "</main>")
	return strings.TrimSpace(tidy(c, text)) + "\n"
}

func tidy(c *Console, text string) string {
	text = strings.ReplaceAll(text, c.stamp, "STAMP")
	text = regexp.MustCompile(` data-mark="[0-9a-f]+"`).ReplaceAllString(text, "")
	return blank.ReplaceAllString(points.ReplaceAllString(text, `points="..."`), "\n")
}

func TestPagesLookAsTheyShould(t *testing.T) {
	w := troubledWorld(noon)
	c := newConsole(t, w.loop())
	for name, path := range allPages(w) {
		res := get(t, acting(c, somebody), path)
		want := http.StatusOK
		if name == "error" {
			want = http.StatusNotFound
		}
		if res.Code != want {
			t.Errorf("%s: status %d", name, res.Code)
		}
		golden(t, "pages/"+name, body(c, res))
	}
	w = stolenWorld(noon)
	stolen := newConsole(t, w.loop())
	for name, path := range stolenPages(w) {
		golden(t, "pages/"+name, body(stolen, get(t, acting(stolen, somebody), path)))
	}
	golden(t, "pages/layout", tidy(c, get(t, acting(c, somebody), "/runbooks").Body.String()))
	golden(t, "pages/login", body(c, get(t, c, "/login?next=/incidents&failed=1")))
}

func TestOverviewTellsTheStateInOneSentence(t *testing.T) {
	ill := []signal.Stage{{Name: "stream", State: "has no room on the disk"}}
	says := []signal.Stage{{Name: "notify", Ready: true, State: "the last message to ops was not delivered: connection refused"}}
	for _, tt := range []struct {
		name   string
		change func(*world)
		head   string
		text   string
	}{
		{"learning", func(*world) {}, "Nothing is wrong.", "Watching 1 host since <time datetime=\"2026-11-23T09:00:00.000Z\">2026-11-23 09:00:00 UTC</time>. The detector has learnt 3 % of what it wants."},
		{"learnt", func(w *world) { w.learning[0].Confidence = 1 }, "Nothing is wrong.", "UTC</time>."},
		{"several detectors", func(w *world) { w.learning = append(w.learning, signal.Learning{Confidence: 0.5}) }, "Nothing is wrong.", "The detectors have learnt at least 3 % of what they want."},
		{"no detector", func(w *world) { w.learning = nil }, "Nothing is wrong.", "No detector has seen anything yet; threshold rules are on."},
		{"nothing yet", func(w *world) { w.entities = nil }, "Nothing is watched yet.", "arrive within seconds"},
		{"ill", func(w *world) { w.stages = ill }, "Homeostat itself is not well.", "stream has no room on the disk"},
		{"nobody can be told", func(w *world) { w.stages = says }, "Homeostat itself needs a look.", "the last message to ops was not delivered."},
		{"wrong, and nobody can be told", func(w *world) { w.incidents, w.stages = troubledWorld(noon).incidents, says }, "1 thing is wrong.", "And not everything works here: the last message to ops was not delivered."},
		{"training", func(w *world) {
			w.stages = []signal.Stage{{Name: "detect", Ready: true, State: "ok, training 3 of its models"}}
		}, "Nothing is wrong.", "Watching 1 host"},
		{"wrong, nobody at it", func(w *world) { w.incidents = troubledWorld(noon).incidents }, "1 thing is wrong.", "Nothing is being done about it at the moment."},
		{"wrong, a person is needed", func(w *world) { *w = *troubledWorld(noon) }, "1 thing is wrong.", "You are needed: 1 approval waits."},
		{"wrong and ill", func(w *world) { w.incidents, w.stages = troubledWorld(noon).incidents, ill }, "1 thing is wrong.", "And not everything works here: stream has no room on the disk."},
		{"wrong, seen to", func(w *world) {
			t := troubledWorld(noon)
			w.incidents, w.executions = t.incidents, t.executions
			w.executions[1].State, w.executions[1].Approval = signal.InProgress, nil
		}, "1 thing is wrong.", "It is being seen to: 1 execution in progress."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := quietWorld(noon)
			tt.change(w)
			text := get(t, acting(newConsole(t, w.loop()), somebody), "/").Body.String()
			_, text, _ = strings.Cut(text, `<section class="verdict`)
			text, _, _ = strings.Cut(text, "</section>")
			if !strings.Contains(text, "<h1>"+tt.head+"</h1>") || !strings.Contains(text, tt.text) {
				t.Errorf("want %q and %q in:\n%s", tt.head, tt.text, text)
			}
		})
	}
}

func TestPagesWithoutALoopAreHonest(t *testing.T) {
	c := newConsole(t, Loop{})
	h := acting(c, somebody)
	for path, want := range map[string]string{
		"/": "Nothing is watched yet.", "/entities": "Nothing is watched yet.", "/incidents": "There has been no incident yet.", "/executions": "No runbook has been executed yet.",
		"/events": "Nothing has happened yet.", "/runbooks": "No runbook is loaded.", "/health": "No stage reports.",
	} {
		if w := get(t, h, path); w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: status %d, lacks %q", path, w.Code, want)
		}
	}
	for path, want := range map[string]int{"/entities/host:a": 404, "/incidents/in-1": 501, "/executions/ex-1": 501, "/events/ev-1": 501, "/runbooks/a": 501, "/why/ev-1": 501, "/nowhere": 404} {
		if w := get(t, h, path); w.Code != want {
			t.Errorf("%s: status %d, want %d", path, w.Code, want)
		}
	}
}

// TestHostileTextStaysText looks for whatever could have become markup: the world's stranger put markup into every field.
func TestHostileTextStaysText(t *testing.T) {
	w := troubledWorld(noon)
	w.incidents[1].Title, w.incidents[1].Note = hostile, hostile
	w.incidents[1].Members[0].Title = hostile
	w.executions[1].Approval.Message, w.executions[1].Reason, w.executions[1].By, w.executions[1].Step = hostile, hostile, hostile, hostile
	w.executions[1].Steps[0].Outputs["Output"], w.executions[1].Steps[0].Error, w.executions[1].Steps[0].Would, w.executions[1].Steps[0].Name = hostile, hostile, hostile, hostile
	w.executions[1].Parameters[hostile] = hostile
	w.chain[1].Text = hostile
	w.stages[0].State, w.stages[1].Name = hostile, hostile
	w.stages[1].Ready = false
	w.processes[0].Command, w.processes[0].Name = hostile, hostile
	w.entities[0].Labels[hostile] = hostile
	w.runbooks[0].Description, w.runbooks[0].Text = hostile, hostile
	w.runbooks[0].Parameters = append(w.runbooks[0].Parameters, signal.RunbookParameter{Name: hostile, Description: hostile, Default: hostile})
	w.sw = signal.Switch{Paused: true, By: hostile, Reason: hostile}
	var alert signal.Alert
	if err := json.Unmarshal(w.incidents[1].Members[1].Detail, &alert); err != nil {
		t.Fatal(err)
	}
	alert.Runbook = `javascript:alert("x")`
	w.incidents[1].Members[1].Detail = must(json.Marshal(alert))
	h := acting(newConsole(t, w.loop()), somebody)
	for name, path := range allPages(w) {
		text := get(t, h, path).Body.String()
		for _, bad := range []string{"<script>alert", "<img src=x", "</textarea>", `href="javascript:`, `onerror=alert(1)>`} {
			if strings.Contains(text, bad) {
				t.Errorf("%s: %q came through", name, bad)
			}
		}
	}
	stolen := stolenWorld(noon)
	var f signal.Finding
	if err := json.Unmarshal(stolen.events[0].Detail, &f); err != nil {
		t.Fatal(err)
	}
	f.User, f.Identity, f.Address, f.Reason, f.Organisation, f.Keys, f.Resources = hostile, hostile, hostile, hostile, hostile, []string{hostile}, []string{hostile}
	f.Because = map[string]string{"network": hostile, hostile: hostile}
	f.Attribution = map[string]float64{"network": .5, hostile: .5}
	f.Techniques = []signal.Technique{{ID: hostile, Name: hostile}}
	f.Calls[0].API, f.Calls[0].Service, f.Calls[0].Region, f.Since[0].Address = hostile, hostile, hostile, hostile
	stolen.events[0].Detail = must(json.Marshal(f))
	stolen.incidents[0].Members[0].Detail = stolen.events[0].Detail
	stolen.models[0].Reason, stolen.models[0].Series = hostile, hostile
	h = acting(newConsole(t, stolen.loop()), somebody)
	for name, path := range stolenPages(stolen) {
		if text := get(t, h, path).Body.String(); strings.Contains(text, "<script>alert") || strings.Contains(text, "<img src=x") || strings.Contains(text, "</textarea>") {
			t.Errorf("%s: markup came through", name)
		}
	}
	for _, path := range []string{"/events?entity=" + url.QueryEscape(`"><script>alert(1)</script>`), "/entities?q=" + url.QueryEscape(`"><script>alert(1)</script>`), "/login?next=" + url.QueryEscape(`/"><script>alert(1)</script>`)} {
		if text := get(t, h, path).Body.String(); strings.Contains(text, "<script>alert") {
			t.Errorf("%s: markup came through", path)
		}
	}
}

func TestEntitiesOfAnyNameHaveAPage(t *testing.T) {
	w := quietWorld(noon)
	for _, id := range []signal.EntityID{"host:web-1", "service:shop/cart", "host:a b?c#d%2F", "instance:10.0.0.1:9100", `host:"quoted"`, "host:grün"} {
		w.entities[0].ID = id
		h := acting(newConsole(t, w.loop()), somebody)
		page := get(t, h, "/entities").Body.String()
		m := regexp.MustCompile(`href="(/entities/[^"]+)"`).FindStringSubmatch(page)
		if m == nil {
			t.Fatalf("%s has no link", id)
		}
		link := strings.ReplaceAll(m[1], "&#43;", "+")
		if got := get(t, h, link); got.Code != 200 || !strings.Contains(got.Body.String(), "<h1>"+template.HTMLEscapeString(id.Name())+"</h1>") {
			t.Errorf("%s: %s answers %d", id, link, got.Code)
		}
	}
}

// post presses a button.
func post(t *testing.T, h http.Handler, path string, form url.Values, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestButtonsDoWhatTheySay(t *testing.T) {
	w := troubledWorld(noon)
	h := acting(newConsole(t, w.loop()), somebody)
	ex, in := w.executions[1].ID, w.incidents[1].ID
	for _, tt := range []struct {
		path string
		form url.Values
		to   string
	}{
		{"/executions/" + ex + "/approve", url.Values{"note": {" looked at it "}, "back": {"/executions/" + ex}}, "/executions/" + ex},
		{"/executions/" + ex + "/reject", nil, "/"},
		{"/executions/" + ex + "/cancel", url.Values{"back": {"//evil.example.com"}}, "/"},
		{"/incidents/" + in + "/resolve", url.Values{"note": {"a drill"}}, "/"},
		{"/anomalies/an-1/mute", url.Values{"note": {"the backup"}, "back": {"/incidents/" + in}}, "/incidents/" + in},
		{"/anomalies/an-1/confirm", nil, "/"},
		{"/pause", url.Values{"back": {"https://evil.example.com"}}, "/"},
		{"/resume", nil, "/"},
		{"/runbooks/HighCPU-Host/run", url.Values{"entity": {"host:web-1"}, "mode": {"auto"}, "p.MinCores": {"0.7"}, "p.Entity": {""}}, "/executions/ex-1"},
		{"/runbooks/HighCPU-Host/run", url.Values{"mode": {"hasty"}}, "/executions/ex-1"},
	} {
		if got := post(t, h, tt.path, tt.form); got.Code != http.StatusSeeOther || got.Header().Get("Location") != tt.to {
			t.Errorf("%s: status %d, to %q, want %q", tt.path, got.Code, got.Header().Get("Location"), tt.to)
		}
	}
	want := []string{
		"approve " + ex + " by local: looked at it", "reject " + ex + " by local: ", "cancel " + ex + " by local: ", "resolve " + in + " by local: a drill",
		"mute an-1 by local: the backup", "confirm an-1 by local: ",
		"pause by local", "resume by local", "run HighCPU-Host on host:web-1 mode auto map[MinCores:0.7] by local", "run HighCPU-Host on  mode observe map[] by local",
	}
	if diff := cmp.Diff(want, w.did); diff != "" {
		t.Error(diff)
	}
	if got := post(t, h, "/executions/"+ex+"/approve", nil); got.Code != http.StatusConflict {
		t.Errorf("a second approval: status %d", got.Code)
	}
	if got := post(t, h, "/pause", nil, "HX-Request", "true"); got.Code != 200 || strings.TrimSpace(got.Body.String()) != `<p class="notice">Paused. No automatic action is taken.</p>` {
		t.Errorf("htmx: %d %s", got.Code, got.Body)
	}
	if got := post(t, h, "/runbooks/HighCPU-Host/run", nil, "HX-Request", "true"); got.Header().Get("HX-Redirect") != "/executions/ex-1" {
		t.Errorf("htmx: %v", got.Header())
	}
}

func TestOnlookersSeeAndDoNothing(t *testing.T) {
	w := troubledWorld(noon)
	c := newConsole(t, w.loop())
	ex := w.executions[1].ID
	for _, path := range []string{"/executions/" + ex + "/approve", "/executions/" + ex + "/reject", "/executions/" + ex + "/cancel", "/incidents/in-1/resolve", "/anomalies/an-1/mute", "/anomalies/an-1/confirm", "/pause", "/resume", "/runbooks/HighCPU-Host/run"} {
		if got := post(t, acting(c, onlooker), path, nil); got.Code != http.StatusForbidden {
			t.Errorf("%s as viewer: status %d", path, got.Code)
		}
	}
	operator := signal.Actor{Name: "otto", Role: signal.Operator}
	for _, path := range []string{"/executions/" + ex + "/approve", "/executions/" + ex + "/reject", "/resume"} {
		if got := post(t, acting(c, operator), path, nil); got.Code != http.StatusForbidden {
			t.Errorf("%s as operator: status %d", path, got.Code)
		}
	}
	if got := post(t, acting(c, operator), "/runbooks/HighCPU-Host/run", url.Values{"mode": {"auto"}}); got.Code != http.StatusForbidden {
		t.Errorf("auto as operator: status %d", got.Code)
	}
	if len(w.did) > 0 {
		t.Errorf("something was done: %v", w.did)
	}
	for name, path := range allPages(w) {
		if text := get(t, acting(c, onlooker), path).Body.String(); regexp.MustCompile(`action="/(executions|incidents|anomalies|runbooks|pause|resume)[^"]*"`).MatchString(strings.ReplaceAll(text, `method="get" action=`, "")) {
			t.Errorf("%s shows a button to a viewer", name)
		}
	}
	stolen := stolenWorld(noon)
	for name, path := range stolenPages(stolen) {
		if text := get(t, acting(newConsole(t, stolen.loop()), onlooker), path).Body.String(); strings.Contains(text, `action="/anomalies`) {
			t.Errorf("%s shows a button to a viewer", name)
		}
	}
	for _, path := range []string{"/", "/live/", "/entities/host:web-1/charts"} {
		if got := get(t, c, path); got.Code != http.StatusUnauthorized {
			t.Errorf("%s as nobody: status %d", path, got.Code)
		}
	}
}

// listener reads a stream of server-sent events line by line.
func listenTo(t *testing.T, srv *httptest.Server, path string) (<-chan partMessage, func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s: %d %v", path, res.StatusCode, res.Header)
	}
	out := make(chan partMessage)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(out)
		dec := newLines(res.Body)
		event := ""
		for l := range dec {
			if name, ok := strings.CutPrefix(l, "event: "); ok {
				event = name
			}
			if data, ok := strings.CutPrefix(l, "data: "); ok && event == "part" {
				var m partMessage
				if json.Unmarshal([]byte(data), &m) != nil {
					return
				}
				select {
				case out <- m:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return out, func() { cancel(); _ = res.Body.Close(); <-done }
}

func TestLivePartsFollowEvents(t *testing.T) {
	w := quietWorld(noon)
	c := newConsole(t, w.loop())
	run, stop := context.WithCancel(t.Context())
	ran := make(chan struct{})
	go func() { defer close(ran); _ = c.Run(run) }()
	srv := httptest.NewServer(acting(c, somebody))
	defer srv.Close()
	defer srv.CloseClientConnections()
	parts, leave := listenTo(t, srv, "/live/")
	defer leave()
	first := map[string]string{}
	for len(first) < 6 {
		m := <-parts
		first[m.ID] = m.HTML
	}
	page := get(t, acting(c, somebody), "/").Body.String()
	for id, text := range first {
		if !strings.Contains(page, text) {
			t.Errorf("%s is sent otherwise than drawn", id)
		}
	}
	later := troubledWorld(noon)
	w.mu.Lock()
	w.incidents = later.incidents
	w.mu.Unlock()
	w.publish(later.events[0])
	got := map[string]bool{}
	for !got["part_verdict"] || !got["part_lately"] || !got["part_now"] {
		m := <-parts
		got[m.ID] = true
		if m.ID == "part_verdict" && !strings.Contains(m.HTML, "1 thing is wrong.") {
			t.Errorf("the verdict is %s", m.HTML)
		}
	}
	if got["part_stages"] {
		t.Error("a part that has not changed is sent again")
	}
	stop()
	for range parts { //nolint:revive // until the console has ended the stream
	}
	<-ran
	if res := get(t, acting(c, somebody), "/live/"); res.Code != http.StatusServiceUnavailable {
		t.Errorf("after the end: status %d", res.Code)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	reg := prometheus.NewRegistry()
	h := newHub(reg)
	for i := range maxStreams {
		if _, ok := h.join(); !ok {
			t.Fatalf("stream %d is refused", i)
		}
	}
	if _, ok := h.join(); ok {
		t.Error("one too many is let in")
	}
	h.wake()
	h.wake() // nobody reads: it must not block
	h.stop()
}

func TestChartsCarryBandsAndMarks(t *testing.T) {
	now := noon.Add(7 * time.Second)
	w := troubledWorld(noon)
	c := newConsole(t, w.loop())
	set, err := c.chartSet(t.Context(), w.entities[0], "15m", now)
	if err != nil {
		t.Fatal(err)
	}
	if set.To-set.From != 15*60 || set.To > now.Unix() || set.To%5 != 0 {
		t.Errorf("from %d to %d", set.From, set.To)
	}
	var names []string
	for _, ch := range set.Charts {
		names = append(names, ch.Name+" "+ch.Unit)
		if n := len(ch.Times); n != 181 || len(ch.Value) != n || len(ch.Lower) != n || len(ch.Upper) != n || len(ch.Expected) != n {
			t.Errorf("%s: columns of %d, %d, %d, %d, %d", ch.Name, n, len(ch.Value), len(ch.Lower), len(ch.Upper), len(ch.Expected))
		}
	}
	if diff := cmp.Diff([]string{"cpu ratio", "memory ratio", "disk rate", "network rate", "storage ratio"}, names); diff != "" {
		t.Error(diff)
	}
	var marks []string
	for _, m := range set.Marks {
		marks = append(marks, fmt.Sprint(m.Kind, " ", m.Link, " ", m.To))
	}
	in, ex := w.incidents[1].ID, w.executions[1]
	if diff := cmp.Diff([]string{"anomaly /incidents/" + in + " 0", "alert /incidents/" + in + " 0", fmt.Sprint("action /executions/", ex.ID, " ", ex.Began.Unix())}, marks); diff != "" {
		t.Error(diff)
	}
}

func TestChartsSkipWhatIsNoNumber(t *testing.T) {
	from := noon
	l := line{Times: []int64{from.UnixMilli(), from.UnixMilli() + 10_000, from.UnixMilli() + 20_000, from.UnixMilli() + 90_000}, Values: []float64{1, math.NaN(), math.Inf(1), 4}}
	ch := newChart("a", "A", plain, l, band{}, from, from.Add(30*time.Second), 10*time.Second)
	text, err := json.Marshal(ch)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf(`{"name":"a","label":"A","unit":"plain","t":[%d,%d,%d,%d],"value":[1,null,null,null]}`, from.Unix(), from.Unix()+10, from.Unix()+20, from.Unix()+30); string(text) != want {
		t.Errorf("got %s, want %s", text, want)
	}
}

func TestFiguresAreWrittenForPeople(t *testing.T) {
	f := func(u unit, v float64, want string) {
		t.Helper()
		if got := u.format(v); got != want {
			t.Errorf("%v of %g is %q, want %q", u, v, got, want)
		}
	}
	f(ratio, 0, "0.0 %")
	f(ratio, 0.034, "3.4 %")
	f(ratio, 0.0996, "10 %")
	f(ratio, 0.968, "97 %")
	f(ratio, math.NaN(), "–")
	f(rate, 0, "0 B/s")
	f(rate, 999.7, "1.0 kB/s")
	f(rate, 310e3, "310 kB/s")
	f(rate, 2.44e6, "2.4 MB/s")
	f(size, 1.4e9, "1.4 GB")
	f(plain, 3.14159, "3.142")
	for d, want := range map[time.Duration]string{
		-time.Second: "0 ms", 820 * time.Millisecond: "820 ms", 4200 * time.Millisecond: "4.2 s", 60 * time.Second: "60 s", 9 * time.Minute: "9 min", 150 * time.Minute: "2 h 30 min", 70 * time.Hour: "2 days",
	} {
		if got := length(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

func TestAssetsAreOursAndKept(t *testing.T) {
	c := newConsole(t, Loop{})
	for _, name := range []string{"htmx.min.js", "uPlot.iife.min.js", "uPlot.min.css", "console.js", "console.css", "icon.svg", "htmx.LICENSE", "uPlot.LICENSE"} {
		w := get(t, c, "/assets/"+name+"?v="+c.stamp)
		if w.Code != 200 || w.Body.Len() == 0 || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: status %d, %v", name, w.Code, w.Header())
		}
	}
	if w := get(t, c, "/assets/console.css"); strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
		t.Error("an address without stamp is kept for ever")
	}
	for _, path := range []string{"/assets/nothing.js", "/assets/..%2fconsole.go", "/assets/%2e%2e/console.go"} {
		if w := get(t, c, path); w.Code == 200 {
			t.Errorf("%s is served", path)
		}
	}
	for _, name := range []string{"console.js", "console.css"} {
		text, err := files.ReadFile("assets/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "http://") || strings.Contains(string(text), "https://") || strings.Contains(string(text), "@import") {
			t.Errorf("%s loads from elsewhere", name)
		}
	}
}

// TestPagesPutWhatMattersFirst: what is run before what it is made of, an incident's events by their own times, whatever came in
// late, and an execution's outputs, which can be long, folded away.
func TestPagesPutWhatMattersFirst(t *testing.T) {
	w := troubledWorld(noon)
	w.runbooks = append([]signal.Runbook{{Name: "A-Command", Kind: "command", Origin: "built-in"}}, w.runbooks...)
	w.executions[1].Outputs = map[string]any{"report.Output": strings.Repeat("4242 worker 1.94 ", 100)}
	w.events = append(w.events[1:], w.events[0])
	w.executions[0].State, w.executions[0].Step, w.executions[0].Reason = signal.Failed, "ask", "step ask/person: nothing may be ended"
	w.incidents = append(w.incidents, signal.Incident{Head: signal.Head{ID: "in-9", Entity: "host:web-1", Severity: signal.Warning}, State: "open", Title: "The newest, and only a warning", Opened: noon})
	h := acting(newConsole(t, w.loop()), somebody)
	for path, inOrder := range map[string][]string{
		"/":                                 {"Wrong now", "CPU of web-1 is at 97 %, far", "The newest, and only a warning"},
		"/runbooks":                         {"HighCPU-Host</a>", "Commands that they are made of", "A-Command</a>"},
		"/executions/" + w.executions[0].ID: {"It failed: step ask/person: nothing may be ended."},
		"/executions/" + w.executions[1].ID: {"About it", "<summary>Outputs</summary>", "report.Output", "4242 worker 1.94 4242"},
		"/incidents/" + w.incidents[1].ID:   {"In order", "/events/" + w.events[len(w.events)-1].ID, "/events/" + w.events[1].ID},
	} {
		page := get(t, h, path).Body.String()
		for _, want := range inOrder {
			_, rest, found := strings.Cut(page, want)
			if !found {
				t.Errorf("%s: %q is missing, or comes too early", path, want)
			}
			page = rest
		}
	}
}
