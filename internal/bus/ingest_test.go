package bus_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"homeostat/internal/bus"
	"homeostat/internal/signal"
	"homeostat/internal/store/storetest"
)

func TestIngestFillsInWhatPutEventsFillsIn(t *testing.T) {
	l := newLoop(t, storetest.Open(t), nil, nil)
	start := time.Now().Add(-time.Second)
	id, err := l.Ingest(t.Context(), []byte(`{"source": "shop", "detail-type": "Order Failed", "detail": {"order":  7}, "surplus": 1}`))
	if err != nil {
		t.Fatal(err)
	}
	ev, err := l.Event(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if ev.Version != "0" || ev.Account != "000000000000" || ev.Region != "local" || ev.Resources == nil || string(ev.Detail) != `{"order":7}` ||
		ev.Time.Before(start) || time.Since(ev.Time) > time.Minute || signal.KindOf(ev.ID) != signal.KindEvent {
		t.Errorf("stored: %+v, detail %s", ev, ev.Detail)
	}

	full := `{"version":"0","id":"7bf73129-1428-4cd3-a780-95db273d1602","detail-type":"EC2 Instance State-change Notification","source":"aws.ec2",` +
		`"account":"123456789012","time":"2026-11-11T21:29:54Z","region":"us-east-1",` +
		`"resources":["arn:aws:ec2:us-east-1:123456789012:instance/i-1234567890abcdef0"],"detail":{"instance-id":"i-1234567890abcdef0","state":"pending"}}`
	for range 3 {
		id, err := l.Ingest(t.Context(), []byte(full))
		if id != "7bf73129-1428-4cd3-a780-95db273d1602" || err != nil {
			t.Fatalf("got %q, %v", id, err)
		}
	}
	ev, err = l.Event(t.Context(), "7bf73129-1428-4cd3-a780-95db273d1602")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := json.Marshal(ev); err != nil || string(text) != full {
		t.Errorf("an envelope that was whole came back as\n%s, %v", text, err)
	}
	l.want("events", 2, "SELECT count(*) FROM events")
	l.want("audit entries of the source's", 1, "SELECT count(*) FROM audit WHERE actor = 'aws.ec2'")

	ctx := signal.WithActor(t.Context(), signal.Actor{Name: "ana", Role: signal.Operator})
	if _, err := l.Ingest(ctx, []byte(`{"source":"shop","detail-type":"x","detail":{}}`)); err != nil {
		t.Fatal(err)
	}
	l.want("audit entries of ana's", 1, "SELECT count(*) FROM audit WHERE actor = 'ana'")
}

func TestIngestRefuses(t *testing.T) {
	l := newLoop(t, storetest.Open(t), nil, nil)
	for _, tt := range []struct{ name, text, want string }{
		{"no JSON", `hello`, "invalid character"},
		{"a list", `[]`, "array"},
		{"nothing in it", `{}`, "source is missing; detail-type is missing; detail is missing"},
		{"no detail-type", `{"source":"shop","detail":{}}`, "detail-type is missing"},
		{"no detail", `{"source":"shop","detail-type":"x"}`, "detail is missing"},
		{"a null detail", `{"source":"shop","detail-type":"x","detail":null}`, "detail is missing"},
		{"a detail in a string", `{"source":"shop","detail-type":"x","detail":"{}"}`, "has to be an object"},
		{"a source of ours", `{"source":"homeostat.history","detail-type":"Alert Firing","detail":{}}`, "homeostat alone"},
		{"a source like ours", `{"source":"Homeostat.history","detail-type":"Alert Firing","detail":{}}`, "homeostat alone"},
		{"our name", `{"source":"homeostat","detail-type":"Alert Firing","detail":{}}`, "homeostat alone"},
		{"a time of another kind", `{"source":"shop","detail-type":"x","detail":{},"time":"yesterday"}`, "RFC 3339"},
		{"a version to come", `{"source":"shop","detail-type":"x","detail":{},"version":"1"}`, "version"},
		{"an id with a line break", `{"source":"shop","detail-type":"x","detail":{},"id":"a\nb"}`, "control characters"},
		{"an id too long", `{"source":"shop","detail-type":"x","detail":{},"id":"` + strings.Repeat("a", 300) + `"}`, "256 bytes"},
		{"an id that is a number", `{"source":"shop","detail-type":"x","detail":{},"id":7}`, "number"},
		{"bytes that aren't UTF-8", "{\"source\":\"sh\xffop\",\"detail-type\":\"x\",\"detail\":{}}", "UTF-8"},
		{"an id of our form", `{"source":"shop","detail-type":"x","detail":{},"id":"ev-0123456789abcdef0123"}`, "makes ids of this form itself"},
		{"a year before all", `{"source":"shop","detail-type":"x","detail":{},"time":"0000-01-01T00:00:00+01:00"}`, "RFC 3339"},
		{"two mistakes", `{"detail":[]}`, "detail has to be an object"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := l.Ingest(t.Context(), []byte(tt.text))
			if !errors.Is(err, signal.ErrInvalid) || !strings.Contains(fmt.Sprint(err), tt.want) {
				t.Errorf("got %v, want ErrInvalid with %q", err, tt.want)
			}
		})
	}
	large := `{"source":"shop","detail-type":"x","detail":{"a":"` + strings.Repeat("a", bus.MaxEventBytes) + `"}}`
	if _, err := l.Ingest(t.Context(), []byte(large)); !errors.Is(err, bus.ErrTooLarge) || !errors.Is(err, signal.ErrInvalid) {
		t.Errorf("a large one: %v, want ErrTooLarge", err)
	}
	l.want("events", 0, "SELECT count(*) FROM events")
}

// TestOutsideCantSpeakForOurs sends events that carry names of ours in their details.
func TestOutsideCantSpeakForOurs(t *testing.T) {
	l := newLoop(t, storetest.Open(t), nil, nil)
	for _, text := range []string{
		`{"source":"shop","detail-type":"Incident Resolved","detail":{"id":"in-1","incident":"in-1","entity":7,"cause":["ba-1-1",7]},"id":"in-1"}`,
		`{"source":"shop","detail-type":"Alert Firing","detail":{"id":"al-1","incident":"in-1","cause":"al-1"},"id":"e-1"}`,
		`{"source":"shop","detail-type":"x","detail":{"entity":"host:web-1","cause":["e-1"]},"id":"e-2"}`,
	} {
		if _, err := l.Ingest(t.Context(), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	l.want("events", 3, "SELECT count(*) FROM events")
	l.want("events in an incident", 0, "SELECT count(*) FROM events WHERE incident <> ''")
	l.want("links in the names of ours", 0, "SELECT count(*) FROM chain WHERE id IN ('in-1', 'al-1')")
	l.want("events of the entity", 1, "SELECT count(*) FROM events WHERE entity = 'host:web-1'")
	if links, err := l.Chain.Walk(t.Context(), "e-1"); len(links) != 2 || err != nil {
		t.Errorf("chain of one that caused another: %v, %v", links, err)
	}
}
