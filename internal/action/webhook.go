package action

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"homeostat/automation"
)

// Webhooks are the integrations that aws:invokeWebhook names, and their addresses. What a document gives is sent as JSON by
// POST; the address is the operator's alone, as it often is a secret too.
type Webhooks map[string]string

const (
	webhookTime   = time.Minute
	webhookAnswer = 64 << 10 // bytes kept of an answer
)

// Effect implements automation.Hands: what an address does with it can't be known.
func (Webhooks) Effect(automation.Call) automation.Effect { return automation.Changing }

// Would implements automation.Hands.
func (Webhooks) Would(_ context.Context, c automation.Call) (string, error) {
	return fmt.Sprintf("send %v to the webhook %v", c.Inputs["Body"], c.Inputs["IntegrationName"]), nil
}

// Able implements automation.Able.
func (w Webhooks) Able(c automation.Call) error {
	name, ok := c.Inputs["IntegrationName"].(string)
	if !ok || strings.Contains(name, "{{") || w[name] != "" {
		return nil
	}
	return fmt.Errorf("runbooks.webhooks has no integration %q", name)
}

// Do implements automation.Hands. An answer other than 2xx is an error, with the answer kept.
func (w Webhooks) Do(ctx context.Context, c automation.Call) (map[string]any, error) {
	if err := w.Able(c); err != nil {
		return nil, err
	}
	name, _ := c.Inputs["IntegrationName"].(string)
	body, ok := c.Inputs["Body"].(string)
	if c.Inputs["Body"] != nil && !ok {
		raw, err := json.Marshal(c.Inputs["Body"])
		if err != nil {
			return nil, err
		}
		body = string(raw)
	}
	ctx, stop := context.WithTimeout(ctx, webhookTime)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w[name], bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, fmt.Errorf("webhook %s: its address can't be used", name) // which is secret
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", c.Token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("webhook %s: %w", name, unaddressed(err))
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, webhookAnswer))
	out := map[string]any{"Response": strings.ToValidUTF8(string(text), "\uFFFD"), "ResponseCode": int64(res.StatusCode)}
	if err == nil && (res.StatusCode < 200 || res.StatusCode > 299) {
		err = fmt.Errorf("webhook %s answered %s", name, res.Status)
	}
	return out, err
}

// LookUp implements automation.Hands.
func (Webhooks) LookUp(_ context.Context, c automation.Call) (map[string]any, error) {
	return nil, fmt.Errorf("a webhook (%v) was cut off: %w", c.Inputs["IntegrationName"], automation.ErrUnknown)
}

// unaddressed takes the address out of a client's error: it can hold a secret.
func unaddressed(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
