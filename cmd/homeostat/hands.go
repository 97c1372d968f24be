package main

import (
	"context"

	"homeostat/internal/action"
	"homeostat/internal/action/aws"
	"homeostat/internal/action/host"
	"homeostat/internal/runbook"
)

// openHands makes the hands of runbooks: this host's, and AWS' where the configuration has a region.
func openHands(ctx context.Context, c Config, catalog *runbook.Catalog, entity string) (*action.Hands, error) {
	h, err := host.New(host.Config{Entity: entity, Protect: c.Runbooks.Protect})
	if err != nil {
		return nil, err
	}
	var sessions *aws.Sessions
	if c.AWS.Region != "" {
		if sessions, err = aws.Open(ctx, c.AWS); err != nil {
			return nil, err
		}
	}
	local := func(name string) bool {
		_, err := catalog.Document(name, "")
		return err == nil
	}
	return &action.Hands{Host: h, AWS: aws.New(sessions, aws.HandsConfig{Local: local}), Webhooks: c.Runbooks.Webhooks}, nil
}
