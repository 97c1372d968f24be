package main

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"golang.org/x/sync/errgroup"

	"homeostat/internal/api"
	"homeostat/internal/bus"
	"homeostat/internal/console"
	"homeostat/internal/detect"
	"homeostat/internal/history"
	"homeostat/internal/incident"
	"homeostat/internal/notify"
	"homeostat/internal/runbook"
	"homeostat/internal/signal"
	"homeostat/internal/source/cloudtrail"
	"homeostat/internal/source/host"
	"homeostat/internal/source/otlp"
	"homeostat/internal/source/remotewrite"
	"homeostat/internal/store"
	"homeostat/internal/stream"
)

// loop is all stages of one process, made and not yet running, in the order in which data goes.
type loop struct {
	cfg   Config
	log   *slog.Logger
	began time.Time

	store     *store.Store
	samples   *stream.Stream
	host      *host.Source
	processes *host.Processes
	received  *remotewrite.Receiver
	otlp      *otlp.Receiver
	trail     *cloudtrail.Source // nil where none is configured
	history   *history.History
	rules     *history.Rules
	detectors *detect.Runner
	bus       *bus.Bus
	incidents *incident.Incidents
	runbooks  *runbook.Runbooks
	notices   *notify.Notices
	jobs      *jobs
	server    *api.Server
	console   *console.Console
	listener  net.Listener
	stages    stages
	memory    heapAim
}

// jobs is River's client. It can only be made when all who work for it are known, and they want to insert jobs: it is filled
// in before the first of them runs.
type jobs struct{ *river.Client[*sql.Tx] }

// noticePoll is how often River looks for notices to send.
const noticePoll = 5 * time.Second

// openLoop makes the stages over a data folder. What it has opened is closed again when it fails.
func openLoop(ctx context.Context, cfg Config, p *parts, dir *dataDir, log *slog.Logger) (l *loop, err error) {
	l = &loop{cfg: cfg, log: log, began: time.Now(), jobs: &jobs{}, memory: boundMemory()}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	if l.store, err = store.Open(ctx, dir.path); err != nil {
		return l, err
	}
	l.samples, err = stream.Open(ctx, stream.Config{
		Dir: dir.join("stream"), Sync: cfg.Stream.Sync, MaxBytes: cfg.Stream.MaxBytes, Reserve: cfg.Stream.Reserve,
	}, log.With("stage", "stream"), reg)
	if err != nil {
		return l, err
	}
	l.history, err = history.Open(ctx, history.Config{
		Dir: dir.join("history"), Keep: cfg.Data.Keep, Reserve: cfg.Stream.Reserve / 2, Version: version,
	}, log.With("stage", "history"), reg)
	if err != nil {
		return l, err
	}
	limits, err := history.AlertingRules(p.rules)
	if err != nil {
		return l, err
	}
	l.detectors, err = detect.NewRunner(detect.RunnerConfig{Detectors: cfg.Detectors, Dir: dir.join("detect"), Rules: limits}, log.With("stage", "detect"), reg)
	if err != nil {
		return l, err
	}
	if l.host, err = host.New(cfg.Sources.Host, log.With("source", "host"), reg); err != nil {
		return l, err
	}
	l.processes, err = host.NewProcesses(host.ProcessConfig{}, l.host.Host(), dir.path, log.With("source", "processes"))
	if err != nil {
		return l, err
	}
	l.received = remotewrite.Handler(l.samples, cfg.Sources.RemoteWrite, log.With("source", "remotewrite"), reg)
	if l.trail, err = openTrail(ctx, &cfg, dir.join("cloudtrail.json"), log.With("source", "cloudtrail"), reg); err != nil {
		return l, err
	}
	l.otlp = otlp.Handler(l.samples, cfg.Sources.OTLP, log.With("source", "otlp"), reg)

	if err := l.openBus(ctx, p, dir.join("steps"), reg); err != nil {
		return l, err
	}
	if err := l.openServer(ctx, reg); err != nil {
		return l, err
	}
	return l, nil
}

// openBus makes what stands behind the bus, and the rules before it. Bus, incidents, runbooks and notices write in one
// transaction of one database. steps is the folder for scripts of runbooks.
func (l *loop) openBus(ctx context.Context, p *parts, steps string, reg prometheus.Registerer) (err error) {
	db, read, audit, chain := l.store.DB, l.store.Read, l.store.Audit, l.store.Chain
	targets := &targets{log: l.log.With("stage", "bus")}

	l.incidents = incident.New(l.cfg.Incidents, incident.Needs{
		DB: db, Read: read, Audit: audit, Chain: chain,
		Publish: func(ctx context.Context, tx *sql.Tx, evs ...signal.Event) error {
			return l.bus.PublishTx(ctx, tx, evs...)
		},
	}, l.log.With("stage", "incident"), reg)
	l.bus, err = bus.New(bus.Needs{
		DB: db, Read: read, Audit: audit, Chain: chain, Incidents: l.incidents, Targets: targets,
	}, p.routes, l.log.With("stage", "bus"), reg)
	if err != nil {
		return err
	}
	evidence := &evidence{bus: l.bus, processes: l.processes, history: l.history}
	l.rules, err = history.NewRules(l.history, history.RulesConfig{Files: p.rules, Interval: l.cfg.RulesInterval},
		evidence, openAlerts{l.incidents}, l.log.With("stage", "rules"), reg)
	if err != nil {
		return err
	}

	entity := string(l.host.Host().Entity())
	h, err := l.openHands(ctx, p.catalog, entity, steps)
	if err != nil {
		return err
	}
	l.runbooks, err = runbook.New(ctx, runbook.Config{
		Mode: l.cfg.Mode, Guards: l.cfg.Guards, Route: guardsOf(p.routes), LinksTo: l.cfg.linksTo(),
		ApprovalExpiry: l.cfg.Runbooks.ApprovalExpiry, VerifyTimeout: l.cfg.Runbooks.VerifyTimeout, VerifySettle: l.cfg.Runbooks.VerifySettle,
		Routes: startedBy(p.routes), Host: signal.EntityID(entity),
	}, runbook.Needs{
		DB: db, Read: read, Catalog: p.catalog, Hands: h, Reaches: h.Reaches, Bus: l.bus, Jobs: l.jobs, Audit: audit, Chain: chain,
		Conditions: &conditions{rules: l.rules, incidents: l.incidents}, Entities: entities{l.history}.Entities, Calendars: h.AWS.Closed,
	}, l.log.With("stage", "runbook"), reg)
	if err != nil {
		return err
	}
	l.notices, err = notify.New(notify.Config{Targets: l.cfg.Notify, BaseURL: cmp.Or(l.cfg.BaseURL, "http://"+l.cfg.Listen), Answer: l.answer},
		notify.Needs{DB: db, Read: read, Jobs: l.jobs, Audit: audit, Chain: chain}, l.log.With("stage", "notify"), reg)
	if err != nil {
		return err
	}
	targets.runbooks, targets.events, targets.notices, targets.names = l.runbooks, l.bus, l.notices, l.cfg.Notify

	workers := river.NewWorkers()
	l.runbooks.AddWorkers(workers)
	l.notices.AddWorkers(workers)
	l.jobs.Client, err = river.NewClient(riversqlite.New(db), &river.Config{
		Queues: map[string]river.QueueConfig{
			river.QueueDefault: {MaxWorkers: 4, FetchPollInterval: noticePoll},
			runbook.Queue:      runbook.QueueConfig(),
		},
		Workers:  workers,
		PollOnly: true, // on SQLite, listening is polling too, and costs 1.4 % of a core besides
		Logger:   quietJobs(l.log.With("stage", "jobs")),
	})
	return err
}

// guardsOf are the guards that routes say for themselves, by route and runbook.
func guardsOf(rs []bus.Route) map[string]map[string]signal.Guards {
	out := map[string]map[string]signal.Guards{}
	for _, r := range rs {
		for _, t := range r.Targets {
			if t.Runbook == "" {
				continue
			}
			if out[r.Name] == nil {
				out[r.Name] = map[string]signal.Guards{}
			}
			out[r.Name][t.Runbook] = t.Guards
		}
	}
	return out
}

// answer is the path of the link by which a notify target's reader answers what an execution asks.
func (l *loop) answer(ev signal.Event, target string) string {
	var x signal.Execution
	if json.Unmarshal(ev.Detail, &x) != nil {
		return ""
	}
	if secret := l.runbooks.Link(x, target); secret != "" {
		return "/answer/" + secret
	}
	return ""
}

// startedBy names the routes that start each document, by its name.
func startedBy(rs []bus.Route) map[string][]string {
	out := map[string][]string{}
	for _, r := range rs {
		for _, t := range r.Targets {
			if t.Runbook != "" && !r.Off && !slices.Contains(out[t.Runbook], r.Name) {
				out[t.Runbook] = append(out[t.Runbook], r.Name)
			}
		}
	}
	return out
}

// openServer makes the API and the console, and takes the port.
func (l *loop) openServer(ctx context.Context, reg *prometheus.Registry) (err error) {
	if !l.cfg.Sources.Host.Off {
		l.stages = append(l.stages, l.host.Health)
	}
	if l.trail != nil {
		l.stages = append(l.stages, l.trail.Health)
	}
	l.stages = append(l.stages, l.received.Health, l.otlp.Health, l.samples.Health, l.history.Health, l.rules.Health,
		l.detectors.Health, l.bus.Health, l.incidents.Health)
	if len(l.cfg.Notify) > 0 {
		l.stages = append(l.stages, l.notices.Health)
	}
	l.stages = append(l.stages, storeHealth(l.store))
	prom := l.history.Handler()
	entities := entities{l.history}
	orders := &orders{l.detectors, l.incidents, l.samples, l.store}
	l.console, err = console.New(console.Loop{
		Version: version, Mode: l.cfg.Mode, Began: l.began,
		Events: l.bus, Feed: l.bus, Incidents: l.incidents, Executions: l.runbooks, Decisions: l.runbooks, Judge: orders, Models: orders, Switch: l.runbooks,
		Runbooks: l.runbooks, Starter: l.runbooks, Entities: entities, Processes: l.processes, Chain: l.store.Chain,
		Learning: l.detectors, Outlooks: l.detectors, Stages: l.stages, Prometheus: prom,
	}, l.log.With("stage", "console"), reg)
	if err != nil {
		return err
	}
	l.server, err = api.New(l.cfg.Config, api.Loop{
		Version: version, Mode: l.cfg.Mode, Began: l.began,
		Events: l.bus, Ingest: accessIngest{l.bus, l.samples}, Incidents: l.incidents, Anomalies: l.incidents, Findings: l.incidents, Judge: orders, Models: orders, Executions: l.runbooks, Decisions: l.runbooks,
		Switch: l.runbooks, Runbooks: l.runbooks, Starter: l.runbooks, Entities: entities, Processes: l.processes,
		Links: l.runbooks, Rehearser: &rehearser{cfg: l.cfg, history: l.history, rules: l.rules, bus: l.bus, runbooks: l.runbooks, turn: make(chan struct{}, 1)},
		Audit: l.store.Audit, Chain: l.store.Chain, Stages: l.stages,
		Prometheus: prom, RemoteWrite: l.received, OTLP: l.otlp, Console: l.console,
		Metrics: promhttp.HandlerFor(reg, promhttp.HandlerOpts{}),
	}, l.log.With("stage", "api"), reg)
	if err != nil {
		return err
	}
	l.listener, err = l.server.Listen(ctx)
	return err
}

// Run runs the loop until ctx ends or a stage fails, and returns when all of it has stopped. It reads like the picture in
// docs/architecture.md: a line an arrow.
func (l *loop) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	run := func(what string, f func() error) {
		g.Go(func() error {
			if err := f(); err != nil && ctx.Err() == nil {
				return fmt.Errorf("%s: %w", what, err)
			}
			return nil
		})
	}
	evidence := &evidence{bus: l.bus, processes: l.processes, history: l.history}

	if !l.cfg.Sources.Host.Off {
		run("host", func() error { return l.host.Run(ctx, l.samples) }) // source -> stream
		run("processes", func() error { return l.processes.Run(ctx) })  // what ran, for anomalies and alerts
	}
	if l.trail != nil {
		run("cloudtrail", func() error { return l.trail.Run(ctx, l.samples) }) // a trail's files -> stream
	}
	run("history", func() error { return l.history.Run(ctx, l.samples) })                                  // stream -> history
	run("rules", func() error { return l.rules.Run(ctx) })                                                 // history -> rules -> bus
	run("detect", func() error { return l.detectors.Run(ctx, l.samples, evidence, l.history, l.history) }) // stream -> detect -> bus
	run("bus", func() error { return l.bus.Run(ctx) })                                                     // bus -> who follows it live
	run("incident", func() error { return l.incidents.Run(ctx) })                                          // bus -> incident, until all is well
	run("jobs", func() error { return l.work(ctx) })                                                       // bus -> runbook: guard, act, verify; bus -> notify
	run("console", func() error { return l.console.Run(ctx) })                                             // all of it -> people
	run("server", func() error { return l.server.Serve(ctx, l.listener) })
	run("housekeeping", func() error { return l.keepHouse(ctx) })
	return g.Wait()
}

// work runs River's workers: executions and notices.
func (l *loop) work(ctx context.Context) error {
	if err := l.runbooks.Recover(ctx); err != nil {
		return err
	}
	if err := l.jobs.Start(ctx); err != nil {
		return err
	}
	<-l.jobs.Stopped()
	return nil
}

// keepHouse trims the stream behind its readers, forgets what is older than data.keep, and bounds the memory.
func (l *loop) keepHouse(ctx context.Context) error {
	look, trim, prune := time.NewTicker(10*time.Second), time.NewTicker(30*time.Second), time.NewTicker(time.Hour)
	defer look.Stop()
	defer trim.Stop()
	defer prune.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			l.memory.follow()
		case <-trim.C:
			if err := l.samples.Trim(ctx, min(l.history.Position(), l.detectors.Position())); err != nil && ctx.Err() == nil {
				l.log.WarnContext(ctx, "stream not trimmed", "err", err)
			}
		case <-prune.C:
			before := time.Now().Add(-l.cfg.Data.Keep)
			err := l.store.Prune(ctx, before, l.bus.Prune, l.incidents.Prune, l.runbooks.Prune, l.notices.Prune)
			if err != nil && ctx.Err() == nil {
				l.log.WarnContext(ctx, "database not pruned", "err", err)
			}
		}
	}
}

// Close closes what openLoop opened, the stages nearest to the disk last. It is safe on a loop that was half made.
func (l *loop) Close() error {
	var errs []error
	if l.listener != nil {
		if err := l.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if l.samples != nil {
		errs = append(errs, l.samples.Close())
	}
	if l.history != nil {
		errs = append(errs, l.history.Close())
	}
	if l.store != nil {
		errs = append(errs, l.store.Close())
	}
	return errors.Join(errs...)
}
