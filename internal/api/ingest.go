package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"homeostat/internal/signal"
)

// ingests registers what takes data in and is described; remote write and OTLP have descriptions of their own elsewhere.
func (s *Server) ingests(d huma.API) {
	type in struct {
		RawBody []byte `contentType:"application/json" doc:"One EventBridge envelope, or a list of them."`
	}
	type accepted struct {
		ID string `json:"id"`
	}
	op := operation{
		id: "ingest-events", method: http.MethodPost, path: "/ingest/events", tag: "inputs", least: signal.Operator, summary: "Send events",
		description: "One event or a list. Only `source`, `detail-type` and `detail` are needed. An `id` that an event brings is kept, and a second time changes nothing. " +
			"Events are stored one by one, in order; when one is refused, those before it are stored, and sending all again is harmless where they bring ids.",
	}
	huma.Register(d, huma.Operation{
		OperationID: op.id, Method: op.method, Path: op.path, Tags: []string{op.tag}, Summary: op.summary,
		Description: op.description + "\n\nNeeds the role " + string(op.least) + ".", MaxBodyBytes: maxEvents, SkipValidateBody: true,
		Errors:   []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity, http.StatusNotImplemented},
		Security: []map[string][]string{{"token": {}}},
	}, func(ctx context.Context, in *in) (*page[accepted], error) {
		if a := signal.ActorOf(ctx); !a.Role.Allows(op.least) {
			return nil, huma.Error403Forbidden(roleText(a, op.least))
		}
		if s.loop.Ingest == nil {
			return nil, huma.Error501NotImplemented("This loop runs without that part.")
		}
		events, err := split(in.RawBody)
		if err != nil {
			return nil, huma.Error422UnprocessableEntity(err.Error())
		}
		items := make([]accepted, 0, len(events))
		for i, e := range events {
			id, err := s.loop.Ingest.Ingest(ctx, e)
			if err != nil {
				return nil, asProblem(fmt.Errorf("event %d of %d: %w", i+1, len(events), err))
			}
			items = append(items, accepted{id})
		}
		return newPage(items, "", nil)
	})
}

// split returns the events of a body: one object, or a list of objects. What isn't is refused before anything is stored.
func split(body []byte) ([]json.RawMessage, error) {
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return nil, fmt.Errorf("want an event, or a list of events, not nothing")
	}
	events := []json.RawMessage{body}
	if body[0] == '[' {
		events = nil
		if err := json.Unmarshal(body, &events); err != nil {
			return nil, placed(body, err)
		}
	} else if !json.Valid(body) {
		var v any
		return nil, placed(body, json.Unmarshal(body, &v))
	}
	for i, e := range events {
		if e = bytes.TrimSpace(e); len(e) == 0 || e[0] != '{' {
			return nil, fmt.Errorf("event %d of %d: want a JSON object", i+1, len(events))
		}
	}
	return events, nil
}

// placed adds line and column to an error of encoding/json.
func placed(body []byte, err error) error {
	se, ok := err.(*json.SyntaxError)
	if !ok {
		return err
	}
	before := body[:min(int(se.Offset), len(body))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - bytes.LastIndexByte(before, '\n') - 1
	return fmt.Errorf("line %d, column %d: %w", line, max(column, 1), err)
}
