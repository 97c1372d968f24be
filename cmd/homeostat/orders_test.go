package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/prompb"

	"homeostat/internal/signal"
)

// post sends a JSON document to the child's API and reads the answer.
func (c *child) post(ctx context.Context, path string, doc, answer any) error {
	text, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, res.Status)
	}
	return json.NewDecoder(res.Body).Decode(answer)
}

// TestOrdersOutliveAKill trains a version, kills the process in the midst of it, trains it again, has the detector use it, and
// kills again at once: the order was durable when it was answered, so the next life goes on with that model.
func TestOrdersOutliveAKill(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"homeostat.yaml": `
sources: {host: {off: true, name: kill}}
detectors: [{name: load, series: [load], interval: 1s}]
`})
	address, data, config := freeAddress(t), filepath.Join(dir, "data"), filepath.Join(dir, "homeostat.yaml")
	c := startChild(t, address, data, config)
	c.awaitReady(t, "a first start", func(r readiness) bool { return r.Ready })
	at := time.Now().Add(-time.Minute)
	sample := func() {
		at = at.Add(time.Second)
		_, err := send(t.Context(), http.DefaultClient, c.url, &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{
			Labels:  promLabels("__name__", "load", "host_name", "web-1"),
			Samples: []prompb.Sample{{Timestamp: at.UnixMilli(), Value: 1}},
		}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	models := func() (out []signal.Model) {
		var page struct{ Items []signal.Model }
		if _, err := c.get(t.Context(), "/api/models", &page); err != nil {
			t.Fatal(err)
		}
		return page.Items
	}
	sample()
	c.await(t, "a model", func() bool { return len(models()) == 1 }, func() string { return "" })

	var rows strings.Builder
	rows.WriteString("timestamp,load\n")
	for i := range 20_000 {
		fmt.Fprintf(&rows, "%d,%.3f\n", 1_790_000_000+i, 1+math.Sin(float64(i)/100))
	}
	train := map[string]string{"detector": "load", "entity": "host:web-1", "csv": rows.String()}
	var m signal.Model
	if err := c.post(t.Context(), "/api/models", train, &m); err != nil || m.State != "training" {
		t.Fatalf("%+v, %v", m, err)
	}
	c.kill(t)

	c = startChild(t, address, data, config)
	c.awaitReady(t, "after a kill in training", func(r readiness) bool { return r.Ready })
	if left, err := filepath.Glob(filepath.Join(data, "detect", "models", "*.model")); err != nil || len(left) > 0 {
		t.Errorf("the training that was cut off left %v, %v", left, err)
	}
	sample()
	if err := c.post(t.Context(), "/api/models", train, &m); err != nil {
		t.Fatal(err)
	}
	c.await(t, "the model is trained", func() bool {
		_, err := c.get(t.Context(), "/api/models/"+m.ID, &m)
		return err == nil && m.State == "ready"
	}, func() string { return fmt.Sprintf("%+v", m) })
	if m.Points != 20_000 || m.Quality == nil || m.Quality.Points != 4000 {
		t.Errorf("trained: %+v, %+v", m, m.Quality)
	}
	var o signal.Order
	if err := c.post(t.Context(), "/api/models/"+m.ID+"/use", map[string]string{"note": "drill"}, &o); err != nil {
		t.Fatal(err)
	}
	c.kill(t)

	c = startChild(t, address, data, config)
	c.awaitReady(t, "after a kill behind an order", func(r readiness) bool { return r.Ready })
	c.await(t, "the detector uses the model", func() bool {
		_, err := c.get(t.Context(), "/api/models/"+m.ID, &m)
		return err == nil && m.State == "in use"
	}, func() string { return fmt.Sprintf("%+v", m) })
	var page struct{ Items []signal.Event }
	c.await(t, "it is told", func() bool {
		_, err := c.get(t.Context(), "/api/events?type=Model+Changed", &page)
		return err == nil && len(page.Items) == 1
	}, func() string { return fmt.Sprintf("%d events", len(page.Items)) })
	c.stop(t)
}
