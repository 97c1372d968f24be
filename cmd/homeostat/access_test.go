package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"homeostat/internal/detect/access/accesstest"
	"homeostat/internal/signal"
)

// trailOf writes weeks of an office's life, and a stolen key at their end, as a trail leaves them: a file a day.
func trailOf(t *testing.T, dir string, end time.Time) (stolen []signal.Access) {
	t.Helper()
	call := func(user int, at time.Time, address, service, api, agent string) signal.Access {
		return signal.Access{
			ID: fmt.Sprint(user, "-", at.UnixNano(), "-", api), Time: at.UnixMilli(), Org: "111122223333", Account: "111122223333", Type: "IAMUser", User: fmt.Sprint("user", user),
			ARN: fmt.Sprint("arn:aws:iam::111122223333:user/user", user), Key: fmt.Sprint("AKIAIOSFODNN7EXAMPL", user), Address: address, Service: service, API: api,
			Region: "eu-west-1", Agent: agent, Kind: "AwsApiCall", Category: "Management", ReadOnly: true,
		}
	}
	write := func(name string, rows []signal.Access) {
		text := []byte(`{"Records":[`)
		for i := range rows {
			if i > 0 {
				text = append(text, ',')
			}
			text = append(text, accesstest.Record(&rows[i])...)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, append(text, "]}"...), 0o600); err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(-time.Minute) // a file that was written this moment is looked at later
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatal(err)
		}
	}
	for d := 40; d > 0; d-- {
		at := end.AddDate(0, 0, -d)
		var rows []signal.Access
		for u := range 10 {
			for i, api := range []string{"DescribeInstances", "DescribeImages"} {
				rows = append(rows, call(u, at.Add(time.Duration(2*u+i)*time.Minute), fmt.Sprint("198.51.100.", u%4), "ec2.amazonaws.com", api, "aws-cli/2.15"))
			}
		}
		write(fmt.Sprintf("111122223333_CloudTrail_eu-west-1_%sT0900Z_x.json", at.Format("20060102")), rows)
	}
	for i, api := range []string{"ListUsers", "CreateUser", "CreateAccessKey"} {
		stolen = append(stolen, call(3, end.Add(time.Duration(i)*time.Second), "203.0.113.9", "iam.amazonaws.com", api, "python-requests/2"))
	}
	return stolen
}

// TestUnusualAccessFromTheTrailToTheIncident lets a loop read a trail's folder, and then has a key used from elsewhere, told by
// an event as EventBridge delivers it.
func TestUnusualAccessFromTheTrailToTheIncident(t *testing.T) {
	dir := t.TempDir()
	stolen := trailOf(t, dir, time.Now().Add(-time.Hour).UTC().Truncate(time.Second))
	cfg := defaultConfig()
	cfg.Listen = "127.0.0.1:0"
	cfg.Sources.Host.Off = true
	cfg.Sources.CloudTrail.Dir = dir
	data := t.TempDir()
	l, _ := runInProcess(t, cfg, checked(t, &cfg), data)
	ctx := t.Context()
	await := func(what string, ok func() bool) {
		t.Helper()
		end := time.After(time.Minute)
		for !ok() {
			select {
			case <-end:
				t.Fatalf("%s did not come", what)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	await("the trail's end in the stream", func() bool {
		read, err := os.ReadFile(filepath.Join(data, "cloudtrail.json"))
		return err == nil && bytes.Count(read, []byte(".json")) == 40
	})
	for i := range stolen {
		event, err := json.Marshal(map[string]any{
			"id": stolen[i].ID, "source": "aws.iam", "detail-type": "AWS API Call via CloudTrail", "account": "111122223333",
			"detail": json.RawMessage(accesstest.Record(&stolen[i])),
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (accessIngest{l.bus, l.samples}).Ingest(ctx, event); err != nil {
			t.Fatal(err)
		}
	}
	var in signal.Incident
	await("the incident", func() bool {
		open, _, err := l.incidents.List(ctx, signal.Query{State: "open", Entity: "user:user3"})
		if err != nil {
			t.Fatal(err)
		}
		if len(open) > 0 {
			in = open[0]
		}
		return in.Severity == signal.Critical
	})
	whole, err := l.incidents.Get(ctx, in.ID)
	if err != nil {
		t.Fatal(err)
	}
	if len(whole.Members) != 1 || whole.Members[0].Kind != "access" || !bytes.Contains(whole.Members[0].Detail, []byte(`"T1136.003"`)) {
		t.Errorf("%+v", whole)
	}
	// Its route says approve, under the global mode, which is observe: what would be done is on record, once, though the finding is
	// told more than once.
	await("the execution", func() bool {
		xs, _, err := l.runbooks.Executions(ctx, signal.Query{Incident: in.ID})
		if err != nil {
			t.Fatal(err)
		}
		if len(xs) > 1 {
			t.Fatalf("%d executions", len(xs))
		}
		return len(xs) == 1 && xs[0].Runbook == "Access-DeactivateKey" && xs[0].Mode == signal.Observe && xs[0].State != signal.Refused && xs[0].Parameters["AccessKeyId"] == "AKIAIOSFODNN7EXAMPL3"
	})

	// A person says that it wasn't worth telling: on record, carried out in the stream, and the finding is over.
	answer, err := http.Post("http://"+l.listener.Addr().String()+"/api/anomalies/"+whole.Members[0].ID+"/mute", "application/json", strings.NewReader(`{"note":"a drill"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var o signal.Order
	if err := json.NewDecoder(answer.Body).Decode(&o); err != nil || answer.StatusCode != http.StatusOK || o.Episode == nil || o.Episode.Address != "203.0.113.9" {
		t.Fatalf("%s: %+v, %v", answer.Status, o, err)
	}
	await("the judgement", func() bool {
		es, _, err := l.bus.Events(ctx, signal.Query{Type: signal.AnomalyJudged, Entity: "user:user3"})
		if err != nil {
			t.Fatal(err)
		}
		return len(es) == 1
	})
	await("the end of the finding", func() bool {
		whole, err := l.incidents.Get(ctx, in.ID)
		if err != nil {
			t.Fatal(err)
		}
		return !whole.Members[0].Ended.IsZero()
	})
	entries, _, err := l.store.Audit.Audit(ctx, signal.Query{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(entries, func(e signal.AuditEntry) bool {
		return e.Verb == "anomaly.mute" && e.Subject == o.Anomaly && e.Actor == "local" && e.Reason == "a drill"
	}) {
		t.Error("the mute is not in the audit log")
	}
}
