package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"homeostat/internal/signal"
)

// MaxEventBytes is the largest event that is taken from outside, as PutEvents has it.
const MaxEventBytes = 256 << 10

// maxID is the longest id that an event may bring, in bytes.
const maxID = 256

// ErrTooLarge means that an event is larger than [MaxEventBytes]. It wraps [signal.ErrInvalid].
var ErrTooLarge = fmt.Errorf("an event may have %d bytes: %w", MaxEventBytes, signal.ErrInvalid)

// Ingest publishes one event from outside, an EventBridge envelope as JSON, and returns its id. An id that it brings is kept,
// and a second time changes nothing. It must have source, detail-type and detail, an object; what else is missing is filled in
// as PutEvents does: id, time (now), account, region, resources, version. Sources that begin with "homeostat." are ours and are
// refused, so that nobody makes an alert of ours up; so are new events under ids of the form that ours have ("ev-" and 20 hex
// digits), which would keep ours out. What is malformed is [signal.ErrInvalid].
func (b *Bus) Ingest(ctx context.Context, text []byte) (string, error) {
	ev, err := envelope(text, time.Now())
	if err == nil && ownID(ev.ID) && ev.ID != madeID(ev) {
		if _, err = b.Event(ctx, ev.ID); err == nil {
			return ev.ID, nil // it came from us, and is there
		} else if errors.Is(err, signal.ErrNotFound) {
			err = fmt.Errorf("event: id %s: homeostat makes ids of this form itself: %w", ev.ID, signal.ErrInvalid)
		}
	}
	if err != nil {
		if errors.Is(err, signal.ErrInvalid) {
			b.metric.refused.Inc()
		}
		return "", err
	}
	return ev.ID, b.Publish(ctx, ev)
}

// ownID says whether an id has the form of those that [signal.MakeID] gives to events.
func ownID(id string) bool {
	hex, ok := strings.CutPrefix(id, signal.KindEvent+"-")
	return ok && len(hex) == 20 && strings.Trim(hex, "0123456789abcdef") == ""
}

// madeID is the id of an event from outside that brings none: made from what it tells, so that the same text sent again with
// its time is the same event.
func madeID(ev signal.Event) string {
	return signal.MakeID(signal.KindEvent, ev.Source, ev.DetailType, ev.Time.Format(time.RFC3339Nano), string(ev.Detail),
		strings.Join(ev.Resources, "\n"))
}

// envelope reads an event from outside and fills in what is missing.
func envelope(text []byte, now time.Time) (signal.Event, error) {
	if len(text) > MaxEventBytes {
		return signal.Event{}, fmt.Errorf("event of %d bytes: %w", len(text), ErrTooLarge)
	}
	var in struct {
		Version    string          `json:"version"`
		ID         string          `json:"id"`
		DetailType string          `json:"detail-type"`
		Source     string          `json:"source"`
		Account    string          `json:"account"`
		Time       string          `json:"time"`
		Region     string          `json:"region"`
		Resources  []string        `json:"resources"`
		Detail     json.RawMessage `json:"detail"`
	}
	if !utf8.Valid(text) {
		return signal.Event{}, fmt.Errorf("event: bytes that aren't UTF-8: %w", signal.ErrInvalid)
	}
	if err := json.Unmarshal(text, &in); err != nil {
		return signal.Event{}, fmt.Errorf("event: %w: %w", err, signal.ErrInvalid)
	}
	ev := signal.Event{
		Version: "0", ID: in.ID, DetailType: in.DetailType, Source: in.Source, Account: in.Account, Region: in.Region,
		Resources: in.Resources, Time: now.UTC().Truncate(time.Millisecond),
	}
	var mistakes []string
	fail := func(format string, args ...any) { mistakes = append(mistakes, fmt.Sprintf(format, args...)) }
	switch {
	case in.Source == "":
		fail("source is missing")
	case strings.EqualFold(in.Source, "homeostat") || len(in.Source) > 10 && strings.EqualFold(in.Source[:10], "homeostat."):
		fail("source %q: homeostat's own events come from homeostat alone", in.Source)
	}
	if in.DetailType == "" {
		fail("detail-type is missing")
	}
	if len(in.ID) > maxID || strings.ContainsFunc(in.ID, func(r rune) bool { return r < ' ' }) {
		fail("id: up to %d bytes without control characters", maxID)
	}
	if in.Version != "" && in.Version != "0" {
		fail("version %q: want \"0\"", in.Version)
	}
	if in.Time != "" {
		t, err := time.Parse(time.RFC3339, in.Time)
		if t = t.UTC(); err != nil || t.Year() < 1 || t.Year() > 9999 || t.IsZero() {
			fail("time %q: want RFC 3339, as 2026-11-23T02:00:00Z", in.Time)
		}
		ev.Time = t
	}
	var detail bytes.Buffer
	switch first := bytes.TrimSpace(in.Detail); {
	case len(first) == 0 || bytes.Equal(first, []byte("null")):
		fail("detail is missing")
	case first[0] != '{':
		fail("detail has to be an object")
	default:
		if err := json.Compact(&detail, first); err != nil {
			fail("detail: %v", err)
		}
		ev.Detail = detail.Bytes()
	}
	if len(mistakes) > 0 {
		return signal.Event{}, fmt.Errorf("%s: %w", strings.Join(mistakes, "; "), signal.ErrInvalid)
	}
	if ev.Account == "" {
		ev.Account = signal.LocalAccount
	}
	if ev.Region == "" {
		ev.Region = signal.LocalRegion
	}
	if ev.Resources == nil {
		ev.Resources = []string{}
	}
	if ev.ID == "" {
		ev.ID = madeID(ev)
	}
	return ev, nil
}
