package bus_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"homeostat/internal/bus"
	"homeostat/internal/signal"
	"homeostat/internal/store/storetest"

	"github.com/google/go-cmp/cmp"
)

func TestParametersAreFilledFromTheEvent(t *testing.T) {
	for _, tt := range []struct {
		name string
		give map[string]any
		want string
	}{
		{"of the detail", map[string]any{"Entity": "<entity>"}, `{"Entity":"host:web-1"}`},
		{"deeper", map[string]any{"Host": "<labels.host_name>"}, `{"Host":"web-1"}`},
		{"by the event's path", map[string]any{"Host": "<detail.labels.host_name>", "Whole": "<$.detail.labels.host_name>"}, `{"Host":"web-1","Whole":"web-1"}`},
		{"of the event", map[string]any{"Type": "<detail-type>", "ID": "<id>"}, `{"ID":"al-1","Type":"Alert Firing"}`},
		{"a value keeps its type", map[string]any{"Value": "<value>", "Labels": "<labels>"}, `{"Labels":{"host_name":"web-1"},"Value":0.97}`},
		{"within a text", map[string]any{"Text": "<rule> on <labels.host_name>: <value>, <labels>"}, `{"Text":"HighCPU on web-1: 0.97, {\"host_name\":\"web-1\"}"}`},
		{"nothing there", map[string]any{"A": "<labels.nothing>", "B": "x<nothing>y", "C": "<entity.a>"}, `{"B":"xy"}`},
		{"no placeholder", map[string]any{"A": "a < b > c", "B": "<>", "C": "<a b>", "D": 7, "E": true, "F": "<entity"}, `{"A":"a < b > c","B":"<>","C":"<a b>","D":7,"E":true,"F":"<entity"}`},
		{"lists and objects", map[string]any{"Ids": []any{"<entity>", "<nothing>"}, "Map": map[string]any{"a": "<entity>"}}, `{"Ids":["host:web-1"],"Map":{"a":"host:web-1"}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLoop(t, storetest.Open(t), starts(nil), nil, route("r", signal.AlertFiring, bus.Target{Runbook: "x", Parameters: tt.give}))
			if err := l.Publish(t.Context(), alert(t, 1)); err != nil {
				t.Fatal(err)
			}
			var got string
			if err := l.Read.QueryRowContext(t.Context(), "SELECT parameters FROM started").Scan(&got); err != nil {
				t.Fatal(err)
			}
			got = strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(got)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestInputTransformerMakesParametersAndText(t *testing.T) {
	l := newLoop(t, storetest.Open(t), starts(nil), nil, route("r", signal.AlertFiring,
		bus.Target{Runbook: "x", InputPaths: map[string]string{"host": "$.detail.labels.host_name"}, InputTemplate: `{"Entity": "host:<host>", "Route": "<aws.events.rule-name>"}`},
		bus.Target{Runbook: "no object", InputTemplate: `"text"`},
	))
	if err := l.Publish(t.Context(), alert(t, 1)); err != nil {
		t.Fatal(err)
	}
	l.want("what the template makes", 1, "SELECT count(*) FROM started WHERE parameters = $1", `{"Entity":"host:web-1","Route":"r"}`)
	l.want("a template that makes no object", 1, "SELECT count(*) FROM audit WHERE verb = 'target.fail'")
}

func TestMistakesInRoutesComeAllAtOnce(t *testing.T) {
	pattern := map[string]any{"source": []any{"shop"}}
	_, err := bus.New(bus.Needs{}, []bus.Route{
		{Pattern: pattern, Targets: []bus.Target{{Notify: "ops"}}},
		{Name: "twice", Pattern: pattern, Targets: []bus.Target{{Notify: "ops"}}},
		{Name: "twice", Pattern: pattern, Targets: []bus.Target{{Notify: "ops"}}},
		{Name: "idle", Pattern: pattern},
		{Name: "vague", Pattern: map[string]any{"source": "shop"}, Targets: []bus.Target{{Notify: "ops"}}},
		{Name: "both", Pattern: pattern, Targets: []bus.Target{{Notify: "ops", Runbook: "x"}}},
		{Name: "mode", Pattern: pattern, Targets: []bus.Target{{Runbook: "x", Mode: "yes"}}},
		{Name: "paths", Pattern: pattern, Targets: []bus.Target{{Runbook: "x", InputPaths: map[string]string{"a": "$.a"}}}},
		{Name: "template", Pattern: pattern, Targets: []bus.Target{{Runbook: "x", InputTemplate: "{"}}},
		{Name: "notify", Pattern: pattern, Targets: []bus.Target{{Notify: "ops", Mode: signal.Auto}}},
		{Name: "off", Off: true},
	}, nil, nil)
	if err == nil {
		t.Fatal("no mistake found")
	}
	for _, want := range []string{
		"route 1: it has no name", "route twice: there is another", "route idle: it has no targets", "route vague: pattern", "route both: target 1: it needs either",
		`route mode: target 1: mode: want observe, approve or auto, not "yes"`, "route paths: target 1: input_paths without", "route template: target 1", "route notify: target 1: mode, parameters",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "route off") {
		t.Errorf("a route that is off is no mistake:\n%v", err)
	}
}

func TestSetRoutesKeepsTheOldOnesOnAMistake(t *testing.T) {
	l := newLoop(t, storetest.Open(t), starts(nil), nil, route("r", signal.AlertFiring, bus.Target{Notify: "ops"}))
	if err := l.SetRoutes([]bus.Route{{Name: "idle"}}); err == nil {
		t.Fatal("a route without pattern and targets was taken")
	}
	if err := l.Publish(t.Context(), alert(t, 1)); err != nil {
		t.Fatal(err)
	}
	l.want("targets started", 1, "SELECT count(*) FROM started WHERE route = 'r'")
	if err := l.SetRoutes(nil); err != nil {
		t.Fatal(err)
	}
	if err := l.Publish(t.Context(), alert(t, 2)); err != nil {
		t.Fatal(err)
	}
	l.want("targets started", 1, "SELECT count(*) FROM started")
}

func TestOwnRouteTakesTheBuiltInsPlace(t *testing.T) {
	builtin, err := bus.ReadRoutes(fstest.MapFS{
		"b.json": {Data: []byte(`[{"name": "b", "pattern": {"source": ["x"]}, "targets": [{"notify": "*"}]}]`)},
		"a.json": {Data: []byte(`[{"name": "a", "pattern": {"source": ["x"]}, "targets": [{"notify": "*"}]}]`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := bus.Merge(builtin, []bus.Route{{Name: "c"}, {Name: "b", Off: true}})
	var names []string
	for _, r := range got {
		names = append(names, r.Name)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, names); diff != "" || !got[1].Off || builtin[1].Off {
		t.Errorf("(-want +got):\n%s%+v", diff, got)
	}
	if _, err := bus.ReadRoutes(fstest.MapFS{"a.json": {Data: []byte(`[{"nmae": "a"}]`)}}); err == nil {
		t.Error("a key that nothing knows was taken")
	}
}

// TestBuiltInRoutes holds the embedded routes to what they promise: a host's busy processors start the runbook, with its
// entity; people hear of incidents and of how executions go, once for each.
func TestBuiltInRoutes(t *testing.T) {
	routes, err := bus.ReadRoutes(os.DirFS("../../routes"))
	if err != nil {
		t.Fatal(err)
	}
	l := newLoop(t, storetest.Open(t), starts(nil), nil, routes...)
	publish := func(stage, detailType string, detail any) {
		t.Helper()
		ev, err := signal.NewEvent(stage, detailType, "x", noon, detail)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Publish(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Publish(t.Context(), alert(t, 1)); err != nil {
		t.Fatal(err)
	}
	publish("history", signal.AlertFiring, signal.Alert{Head: signal.Head{Entity: "service:shop"}, Rule: "HighCPU"})
	publish("history", signal.AlertResolved, signal.Alert{Head: signal.Head{Entity: "host:web-1"}, Rule: "HighCPU"})
	l.want("executions", 1, "SELECT count(*) FROM started")
	l.want("executions of the runbook", 1, `SELECT count(*) FROM started WHERE target = 'HighCPU-Host' AND parameters = '{"Entity":"host:web-1"}'`)

	for _, told := range []string{signal.IncidentOpened, signal.IncidentUpdated, signal.IncidentResolved} {
		publish("incident", told, signal.Incident{Head: signal.Head{ID: "in-1"}})
	}
	for _, told := range []string{
		signal.ExecutionStarted, signal.ExecutionWaitingForApproval, signal.ExecutionSucceeded, signal.ExecutionFailed, signal.ExecutionRefused,
	} {
		publish("runbook", told, signal.Execution{Head: signal.Head{ID: "ex-1"}, Route: "high-cpu"})
	}
	l.want("notices", 6, "SELECT count(*) FROM started WHERE target = '*'")
}

// TestHostAndEC2RoutesExclude: an alert of a host starts one runbook: EC2's where host.id is an instance's, however the host is
// called, and the host's own everywhere else.
func TestHostAndEC2RoutesExclude(t *testing.T) {
	routes, err := bus.ReadRoutes(os.DirFS("../../routes"))
	if err != nil {
		t.Fatal(err)
	}
	const instance = "i-0123456789abcdef0"
	for _, tt := range []struct {
		entity string
		labels map[string]string
		want   string // how the runbook's name ends; "" for none
	}{
		{"host:web-1", map[string]string{"host_name": "web-1", "host_id": "4c4c4544-0042"}, "-Host"},
		{"host:web-1", map[string]string{"host_name": "web-1"}, "-Host"},
		{"host:web-1", nil, "-Host"},
		{"host:i-beam", map[string]string{"host_name": "i-beam", "host_id": "4c4c"}, "-Host"},
		{"host:" + instance, map[string]string{"host_id": instance}, "-EC2"},
		{"host:ip-10-0-0-7", map[string]string{"host_name": "ip-10-0-0-7", "host_id": instance}, "-EC2"},
		{"service:shop", map[string]string{"host_id": instance}, ""},
	} {
		l := newLoop(t, storetest.Open(t), starts(nil), nil, routes...)
		for _, rule := range []string{"HighCPU", "MemoryLeak", "DiskSpace"} {
			ev, err := signal.NewEvent("history", signal.AlertFiring, rule, noon, signal.Alert{Head: signal.Head{Entity: signal.EntityID(tt.entity)}, Rule: rule, Labels: tt.labels})
			if err != nil {
				t.Fatal(err)
			}
			targets, err := l.Targets(ev)
			var got []string
			for _, r := range targets {
				got = append(got, r.Target.Runbook)
			}
			var want []string
			if tt.want != "" {
				want = []string{rule + tt.want}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s %v: %v, %v; want %v", tt.entity, tt.labels, got, err, want)
			}
		}
	}
}
