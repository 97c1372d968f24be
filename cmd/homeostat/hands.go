package main

import (
	"context"
	"time"

	"homeostat/internal/action"
	"homeostat/internal/action/aws"
	"homeostat/internal/action/host"
	"homeostat/internal/runbook"
	source "homeostat/internal/source/host"
)

// openHands makes the hands of runbooks: this host's, whose scripts lie in dir while they run, and AWS' where the configuration has
// a region.
func (l *loop) openHands(ctx context.Context, catalog *runbook.Catalog, entity, dir string) (*action.Hands, error) {
	c := &l.cfg
	if err := host.Sweep(dir); err != nil {
		l.log.WarnContext(ctx, "what scripts of an earlier life left behind can't be removed", "stage", "action", "err", err)
	}
	h, err := host.New(host.Config{Entity: entity, Dir: dir, Protect: c.Runbooks.Protect, Growth: growth(l.processes), Attachment: catalog.Attachment})
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

// growth tells the hands from the record of processes how those that are biggest now grew over the last hour.
func growth(p *source.Processes) func() []host.Growth {
	return func() []host.Growth {
		out := []host.Growth{}
		for _, q := range p.Top(time.Time{}, 50) {
			t, ok := p.Trend(q.PID)
			if seconds := min(time.Hour, time.Since(t.Since)).Seconds(); ok && t.RSSSlope > 0 {
				out = append(out, host.Growth{PID: int(q.PID), Bytes: t.RSSSlope * seconds, Seconds: seconds})
			}
		}
		return out
	}
}
