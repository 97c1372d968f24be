package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"homeostat/internal/action/aws"
	"homeostat/internal/bus"
	"homeostat/internal/history"
	"homeostat/internal/incident"
	"homeostat/internal/signal"
	"homeostat/internal/source/cloudtrail"
	"homeostat/internal/source/host"
	"homeostat/internal/store"
	"homeostat/internal/stream"
)

// This file is the map of who needs what of whom: the small pieces that fit one stage's wish to another's offer.

// openAlerts tells the rules which alerts the database has open, so that a restart doesn't fire them again.
type openAlerts struct{ in *incident.Incidents }

func (o openAlerts) Open(ctx context.Context) ([]signal.Alert, error) { return o.in.OpenAlerts(ctx) }

// evidence puts the processes of the moment into anomalies and alerts of this host on their way to the bus, and into unusual
// access the names under which what it touched is watched.
type evidence struct {
	bus       *bus.Bus
	processes *host.Processes
	history   *history.History
}

func (e *evidence) Publish(ctx context.Context, evs ...signal.Event) error {
	for i := range evs {
		if err := e.processes.Attach(ctx, &evs[i]); err != nil {
			return fmt.Errorf("attach processes to %s: %w", evs[i].ID, err)
		}
		if evs[i].DetailType == signal.UnusualAccess {
			if err := watchedAs(&evs[i], e.history.Entities()); err != nil {
				return fmt.Errorf("name what %s touched: %w", evs[i].ID, err)
			}
		}
	}
	return e.bus.Publish(ctx, evs...)
}

// watchedAs adds to a finding those entities that were touched under another name: CloudTrail knows an instance by its id, and
// figures of the same host mostly come under the host's name, with the id as label host_id.
func watchedAs(ev *signal.Event, watched []signal.Entity) error {
	var f signal.Finding
	if err := json.Unmarshal(ev.Detail, &f); err != nil {
		return err
	}
	n := len(f.Entities)
	for _, e := range watched {
		id := e.Labels["host_id"]
		if id != "" && slices.Contains(f.Entities[:n], signal.EntityID("host:"+id)) && !slices.Contains(f.Entities, e.ID) {
			f.Entities = append(f.Entities, e.ID)
		}
	}
	if len(f.Entities) == n {
		return nil
	}
	text, err := json.Marshal(f)
	ev.Detail = text
	return err
}

// accessIngest takes events in, and hands those that are CloudTrail's records to the access stream too.
type accessIngest struct {
	bus     *bus.Bus
	samples *stream.Stream
}

// Ingest puts the accesses into the stream first: an event that is stored is not sent again, and what comes twice counts once.
func (i accessIngest) Ingest(ctx context.Context, text []byte) (string, error) {
	if bytes.Contains(text, []byte("via CloudTrail")) && len(text) <= bus.MaxEventBytes {
		if rows := cloudtrail.Parse(text); len(rows) > 0 {
			if err := i.samples.AppendAccesses(ctx, rows); err != nil {
				return "", err
			}
		}
	}
	return i.bus.Ingest(ctx, text)
}

// openTrail makes the source over a trail's folder or bucket; nil where none is configured.
func openTrail(ctx context.Context, cfg *Config, state string, log *slog.Logger, reg prometheus.Registerer) (*cloudtrail.Source, error) {
	c := cfg.Sources.CloudTrail
	switch {
	case c.Bucket != "":
		where := cfg.AWS
		where.Region = cmp.Or(c.Region, where.Region)
		sessions, err := aws.Open(ctx, where)
		if err != nil {
			return nil, err
		}
		return cloudtrail.New(c, cloudtrail.NewBucket(c, sessions.Of("", "")), state, log, reg)
	case c.Dir != "":
		return cloudtrail.New(c, nil, state, log, reg)
	}
	return nil, nil
}

// conditions tells verify whether what an event told of still holds.
type conditions struct {
	rules     *history.Rules
	incidents *incident.Incidents
}

func (c *conditions) Holds(ctx context.Context, ev signal.Event) (bool, string, error) {
	switch ev.DetailType {
	case signal.AlertFiring:
		var a signal.Alert
		if err := json.Unmarshal(ev.Detail, &a); err != nil {
			return true, "", err
		}
		holds, value, err := c.rules.Holds(ctx, a.Rule, a.Labels)
		if err != nil {
			return true, "", err
		}
		if holds {
			return true, fmt.Sprintf("%s still holds (%.3g)", a.Rule, value), nil
		}
		return false, a.Rule + " holds no more", nil
	case signal.UnusualAccess:
		// CloudTrail tells of accesses minutes late, too late to be looked at now. That the power is gone is what the last step of
		// the runbook has read.
		return false, "what was taken away was looked at by the runbook itself", nil
	case signal.AnomalyDetected:
		var a signal.Anomaly
		if err := json.Unmarshal(ev.Detail, &a); err != nil {
			return true, "", err
		}
		ended, err := c.incidents.Ended(ctx, a.ID)
		if err != nil {
			return true, "", err
		}
		if !ended {
			return true, "the anomaly goes on", nil
		}
		return false, "the anomaly has ended", nil
	}
	return false, "", fmt.Errorf("nobody knows whether what %q tells of still holds", ev.DetailType)
}

// entities fits the history's list to the API's.
type entities struct{ h *history.History }

func (e entities) Entities(context.Context) ([]signal.Entity, error) { return e.h.Entities(), nil }

// stages asks each stage how it is doing, in the loop's order.
type stages []func() signal.Stage

func (s stages) Stages() []signal.Stage {
	out := make([]signal.Stage, len(s))
	for i, f := range s {
		out[i] = f()
	}
	return out
}

func storeHealth(s *store.Store) func() signal.Stage {
	return func() signal.Stage {
		if s.Full() {
			return signal.Stage{Name: "store", State: "the disk is full; nothing new can be recorded until there is room"}
		}
		return signal.Stage{Name: "store", Ready: true, State: "ok"}
	}
}

// quietJobs lets through what an operator wants of the job queue: warnings and errors.
func quietJobs(log *slog.Logger) *slog.Logger { return slog.New(atLeastWarn{log.Handler()}) }

type atLeastWarn struct{ slog.Handler }

func (h atLeastWarn) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && h.Handler.Enabled(ctx, l)
}

// Handle leaves out what River complains of when it is stopped in the middle of a query.
func (h atLeastWarn) Handle(ctx context.Context, r slog.Record) error {
	stopped := false
	r.Attrs(func(a slog.Attr) bool {
		stopped = stopped || a.Value.String() == context.Canceled.Error()
		return !stopped
	})
	if stopped {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

func (h atLeastWarn) WithAttrs(as []slog.Attr) slog.Handler {
	return atLeastWarn{h.Handler.WithAttrs(as)}
}

func (h atLeastWarn) WithGroup(name string) slog.Handler {
	return atLeastWarn{h.Handler.WithGroup(name)}
}
