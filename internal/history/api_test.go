package history

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"homeostat/internal/signal"
)

// TestPrometheusClientsWork asks what promtool and Grafana's data source ask, through Prometheus' own client.
func TestPrometheusClientsWork(t *testing.T) {
	h := open(t, Config{Version: "1.2.3"})
	defer h.Close()
	s := newTape()
	defer start(t, func(ctx context.Context) error { return h.Run(ctx, s) })()
	pub := &events{}
	defer start(t, newRules(t, h, gaugeRules, pub, nil).Run)()
	now := time.Now().Truncate(time.Millisecond)
	b := points(point{now, 7})
	b.Meta = []signal.Meta{{Name: "m", Type: "gauge", Unit: "1", Help: "A gauge."}, {Name: "n", Type: "counter"}}
	s.put(b)
	eventually(t, "the alert fires", func() bool { return len(pub.all()) == 1 })
	srv := httptest.NewServer(h.Handler())
	defer srv.Close()
	client, err := api.NewClient(api.Config{Address: srv.URL, Client: srv.Client()})
	if err != nil {
		t.Fatal(err)
	}
	c := v1.NewAPI(client)
	ctx := t.Context()
	if v, _, err := c.Query(ctx, "m * 2", now); err != nil || v.String() != `{host_name="web-1"} => 14 @[`+model.TimeFromUnixNano(now.UnixNano()).String()+`]` {
		t.Errorf("query: %v, %v", v, err)
	}
	if v, _, err := c.QueryRange(ctx, "m", v1.Range{Start: now, End: now.Add(2 * time.Second), Step: time.Second}); err != nil || len(v.(model.Matrix)[0].Values) != 3 {
		t.Errorf("query_range: %v, %v", v, err)
	}
	if v, _, err := c.LabelValues(ctx, "host_name", nil, now.Add(-time.Minute), now); err != nil || len(v) != 1 {
		t.Errorf("label values: %v, %v", v, err)
	}
	if v, _, err := c.LabelNames(ctx, []string{"m"}, now.Add(-time.Minute), now); err != nil || len(v) != 2 {
		t.Errorf("label names: %v, %v", v, err)
	}
	if v, _, err := c.Series(ctx, []string{`m{host_name=~"web.*"}`}, now.Add(-time.Minute), now); err != nil || len(v) != 1 {
		t.Errorf("series: %v, %v", v, err)
	}
	if v, err := c.Metadata(ctx, "", ""); err != nil || len(v) != 2 || v["m"][0].Help != "A gauge." {
		t.Errorf("metadata: %v, %v", v, err)
	}
	if v, err := c.Metadata(ctx, "m", "1"); err != nil || len(v) != 1 {
		t.Errorf("metadata of one: %v, %v", v, err)
	}
	if v, err := c.Rules(ctx, nil); err != nil || len(v.Groups) != 1 || len(v.Groups[0].Rules) != 2 {
		t.Errorf("rules: %v, %v", v, err)
	}
	if v, err := c.Alerts(ctx); err != nil || len(v.Alerts) != 1 || v.Alerts[0].State != v1.AlertStateFiring {
		t.Errorf("alerts: %v, %v", v, err)
	}
	if v, err := c.Buildinfo(ctx); err != nil || !strings.HasSuffix(v.Revision, "1.2.3") {
		t.Errorf("buildinfo: %v, %v", v, err)
	}
	if v, err := c.TSDB(ctx); err != nil || v.HeadStats.NumSeries < 2 {
		t.Errorf("tsdb: %v, %v", v, err)
	}
	if v, err := c.Targets(ctx); err != nil || len(v.Active) != 0 {
		t.Errorf("targets: %v, %v", v, err)
	}
	if _, err := c.Runtimeinfo(ctx); err != nil {
		t.Errorf("runtimeinfo: %v", err)
	}
	if v, err := c.QueryExemplars(ctx, "m", now, now); err != nil || len(v) != 0 {
		t.Errorf("exemplars: %v, %v", v, err)
	}
	if _, _, err := c.Query(ctx, "m{", now); err == nil || !strings.Contains(err.Error(), "parse error") {
		t.Errorf("half a query: %v", err)
	}
}

func TestAPIWritesAndDeletesNothing(t *testing.T) {
	h := open(t, Config{})
	defer h.Close()
	feed(t, h, newTape(), points(point{time.Now(), 7}))
	srv := httptest.NewServer(h.Handler())
	defer srv.Close()
	for _, path := range []string{
		"/admin/tsdb/delete_series?match[]=m", "/admin/tsdb/clean_tombstones", "/admin/tsdb/snapshot", "/write", "/otlp/v1/metrics",
	} {
		resp, err := srv.Client().PostForm(srv.URL+apiPrefix+path, url.Values{})
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode < 400 {
			t.Errorf("POST %s: %d", path, resp.StatusCode)
		}
	}
	if _, values := samples(t, h, "host:web-1", "m"); len(values) != 1 {
		t.Errorf("stored %v", values)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+apiPrefix+"/query?query=m", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", "http://evil.example")
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := resp.Header.Get("Access-Control-Allow-Origin"); got != "" {
		t.Errorf("another origin may read: %q", got)
	}
}
