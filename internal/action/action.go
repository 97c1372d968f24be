// Package action brings each step of a runbook to the hands that can do it: this host's, or AWS' where the configuration has
// a region.
package action

import (
	"context"
	"fmt"
	"strings"

	"homeostat/automation"
	"homeostat/internal/action/aws"
	"homeostat/internal/action/host"
	"homeostat/internal/signal"
)

// Hands implements automation.Hands, Able and Sender over those of the host and of AWS. Safe for concurrent use.
type Hands struct {
	Host     *host.Hands
	AWS      *aws.Hands
	Webhooks Webhooks
}

// part is one of the hands.
type part interface {
	automation.Hands
	automation.Able
}

// of picks by the action; a shell script goes where its instances are.
func (h *Hands) of(c automation.Call) part {
	switch {
	case c.Action == "aws:invokeWebhook":
		return h.Webhooks
	case c.Action == "aws:runShellScript" && !aws.OnAWS(c.Instances):
		return h.Host
	case h.AWS.Takes(c.Action):
		return h.AWS
	}
	return h.Host
}

// Effect implements automation.Hands.
func (h *Hands) Effect(c automation.Call) automation.Effect { return h.of(c).Effect(c) }

// Would implements automation.Hands.
func (h *Hands) Would(ctx context.Context, c automation.Call) (string, error) {
	return h.of(c).Would(ctx, c)
}

// Do implements automation.Hands.
func (h *Hands) Do(ctx context.Context, c automation.Call) (map[string]any, error) {
	return h.of(c).Do(ctx, c)
}

// LookUp implements automation.Hands.
func (h *Hands) LookUp(ctx context.Context, c automation.Call) (map[string]any, error) {
	return h.of(c).LookUp(ctx, c)
}

// Able implements automation.Able.
func (h *Hands) Able(c automation.Call) error { return h.of(c).Able(c) }

// Sends implements automation.Sender.
func (h *Hands) Sends(c automation.Call) bool { return h.AWS.Sends(c) }

// Reaches says whether an entity can be acted on: this host, and through AWS an instance or whatever is no host.
func (h *Hands) Reaches(entity string) error {
	err := h.Host.Reaches(entity)
	if err == nil {
		return nil
	}
	id := signal.EntityID(entity)
	if aws.OnAWS([]string{id.Name()}) || id.Kind() != "host" {
		if h.AWS.Configured() {
			return nil
		}
		return fmt.Errorf("%w (%w)", err, aws.ErrNotConfigured)
	}
	return err
}

// Known says whether what a step calls can be called at all, whatever is configured: for the validation of documents.
func Known(c automation.Call) error {
	h := aws.New(nil, aws.HandsConfig{})
	if strings.HasPrefix(c.Action, "aws:") && h.Takes(c.Action) {
		return h.Known(c)
	}
	return nil
}
