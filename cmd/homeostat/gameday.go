package main

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"homeostat/internal/bus"
	"homeostat/internal/config"
	"homeostat/internal/detect"
	"homeostat/internal/gameday"
	"homeostat/internal/history"
	"homeostat/internal/signal"
	"homeostat/internal/source/host"
)

//go:embed gameday_rules.yaml
var gamedayRules []byte

// The course of a game day.
const (
	gamedayCalm  = 15 * time.Second // watched before the fault begins
	gamedayBound = 2 * time.Minute  // from the fault's begin to giving up
	gamedayLook  = 100 * time.Millisecond
	gamedayBusy  = 0.60 // with less CPU in use before it, a fault shows
)

// thresholds are the shares above which the game day's rules fire: the seed's.
var thresholds = map[string]float64{gameday.CPU: 0.80, gameday.Memory: 0.85, gameday.Disk: 0.85}

func gamedayCommand() *cobra.Command {
	var asJSON, keep, verbose bool
	cmd := &cobra.Command{
		Use:   "gameday FAULT",
		Short: "Inject a real, bounded fault and watch the loop deal with it: cpu, memory, disk",
		Long: `Starts a private loop in a temporary folder and on a port of its own, in mode auto, and injects a fault into a child process:

  cpu      burns all processors, beside an innocent neighbour that uses 60 % of a core
  memory   grows in a supervised process with a limit of its own of 1 GB: 50 MB a second to 80 %, 5 MB a second from there
  disk     fills a small file system of its own

It looks at this machine each second, its rules' windows and "for" times are shortened to seconds, and an incident resolves
after 5 quiet seconds; the thresholds are the built-in ones. Only processes that the game day itself has started can be ended.
The runbooks' own windows are shortened to seconds too, and what would concern the whole machine (dropping caches) is rehearsed
only.

Exit status: 0 when the fault was detected, put right and verified; 1 when not.`,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{gameday.CPU, gameday.Memory, gameday.Disk},
		RunE: func(cmd *cobra.Command, args []string) error {
			level := slog.LevelError + 4
			if verbose {
				level = slog.LevelInfo
			}
			day := &gameDay{
				fault: args[0], keep: keep, began: time.Now(), progress: cmd.ErrOrStderr(),
				log: slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level})),
			}
			report, err := day.run(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), report)
			} else {
				report.print(cmd.OutOrStdout())
			}
			if err == nil && !report.good() {
				return &exitError{Code: 1, Err: errors.New("the fault was not dealt with")}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	cmd.Flags().BoolVar(&keep, "keep", false, "keep the data folder, to look at what happened with homeostat run --data")
	cmd.Flags().BoolVar(&verbose, "verbose", false, "the private loop's log on standard error")
	return cmd
}

// gamedayChildCommand is what the faults' processes run.
func gamedayChildCommand() *cobra.Command {
	return &cobra.Command{
		Use: gameday.ChildCommand, Hidden: true, DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error { return gameday.Child(args) },
	}
}

// gameDay is one fault in one private loop.
type gameDay struct {
	fault    string
	keep     bool
	began    time.Time
	progress io.Writer
	log      *slog.Logger

	after string // the last event seen
	seen  []signal.Event
}

// gamedayReport is what came of it. Times are seconds from the crossing of the threshold.
type gamedayReport struct {
	Fault           string   `json:"fault"`
	What            string   `json:"what"`
	DetectedAfter   *float64 `json:"detected_after_s"`
	DetectedBy      string   `json:"detected_by,omitempty"`
	RemediatedAfter *float64 `json:"remediated_after_s"`
	Recovered       bool     `json:"recovered"`
	Neighbour       string   `json:"neighbour,omitempty"`
	Events          []string `json:"events"`
	Execution       string   `json:"execution"`
	Reason          string   `json:"reason,omitempty"`
	Data            string   `json:"data,omitempty"`
}

func (r *gamedayReport) good() bool {
	return r.DetectedAfter != nil && r.Recovered && (r.Fault != gameday.CPU || r.Neighbour == "untouched")
}

func (r *gamedayReport) print(w io.Writer) {
	if r.DetectedAfter == nil {
		fmt.Fprintf(w, "%s: not detected\n", r.Fault)
	} else {
		fmt.Fprintf(w, "%s: detected %.1f s after crossing the threshold, by %s\n", r.Fault, *r.DetectedAfter, r.DetectedBy)
	}
	if r.RemediatedAfter != nil {
		fmt.Fprintf(w, "remediated and verified after %.1f s (%s)\n", *r.RemediatedAfter, r.Execution)
	}
	if r.Reason != "" {
		fmt.Fprintln(w, r.Reason)
	}
	if r.Neighbour != "" {
		fmt.Fprintf(w, "the busy neighbour: %s\n", r.Neighbour)
	}
	if r.Data != "" {
		fmt.Fprintf(w, "data: %s (homeostat run --data %s)\n", r.Data, r.Data)
	}
}

func (d *gameDay) say(format string, args ...any) {
	fmt.Fprintf(d.progress, "%5.1fs  %s\n", time.Since(d.began).Seconds(), fmt.Sprintf(format, args...))
}

// config is the private loop's: as built in, in mode auto, at a second, with short times, and bound to our own children.
func (d *gameDay) config(dir string) (Config, *parts, error) {
	c := defaultConfig()
	c.Mode, c.Builtin, c.Listen = signal.Auto, false, "127.0.0.1:0"
	c.Data.Dir = dir
	c.Sources.Host = host.Config{Interval: time.Second}
	c.RulesInterval = time.Second
	c.Detectors = detect.Defaults()
	c.Detectors[0].Interval = time.Second
	c.Runbooks.VerifyTimeout, c.Runbooks.VerifySettle = 45*time.Second, 2*time.Second
	c.Incidents.Quiet, c.Incidents.Look = 5*time.Second, time.Second
	id, err := host.Identify(c.Sources.Host)
	if err != nil {
		return c, nil, err
	}
	here, within := string(id.Entity()), strconv.Itoa(os.Getpid())
	route := func(name, rule, runbook string, params map[string]any) bus.Route {
		return bus.Route{
			Name:    name,
			Pattern: map[string]any{"detail-type": []any{signal.AlertFiring}, "detail": map[string]any{"rule": []any{rule}}},
			Targets: []bus.Target{{Runbook: runbook, Mode: signal.Auto, Parameters: params}},
		}
	}
	const folder = "<labels.system_filesystem_mountpoint>"
	c.Routes = []bus.Route{
		route("high-cpu", "HighCPU", "HighCPU-Host", map[string]any{
			"Entity": "<entity>", "Within": within, "MinCores": "0.7", "WindowSeconds": "2", "GraceSeconds": "5",
		}),
		// The fault's memory is what its processes hold of its own limit; what concerns the whole machine is rehearsed only.
		route("memory-leak", "MemoryLeak", "MemoryLeak-Host", map[string]any{
			"Entity": here, "Within": within, "LimitBytes": strconv.Itoa(gameday.DefaultMemoryLimit), "WindowSeconds": "3", "GraceSeconds": "5",
			"RehearseCaches": "true",
		}),
		route("disk-space", "DiskSpace", "DiskSpace-Host", map[string]any{
			"Entity": here, "MountPoint": folder, "LimitBytes": strconv.Itoa(gameday.DefaultDiskSize), "WindowSeconds": "2",
			"TempFolders": folder, "LogFolders": folder,
		}),
	}
	p, err := c.check(&config.File{})
	if err != nil {
		return c, nil, err
	}
	p.rules = []history.RuleFile{{Name: "gameday_rules.yaml", Text: gamedayRules}}
	return c, p, history.CheckRules(p.rules)
}

// run makes the loop, waits until it has seen a calm stretch, injects the fault and follows what happens.
func (d *gameDay) run(ctx context.Context) (*gamedayReport, error) {
	dir, err := os.MkdirTemp("", "homeostat-gameday-")
	if err != nil {
		return nil, err
	}
	if !d.keep {
		defer os.RemoveAll(dir)
	}
	cfg, p, err := d.config(dir)
	if err != nil {
		return nil, err
	}
	data, err := openDataDir(dir)
	if err != nil {
		return nil, err
	}
	defer data.Close()
	l, err := openLoop(ctx, cfg, p, data, d.log)
	if err != nil {
		return nil, err
	}
	lctx, stop := context.WithCancel(ctx)
	defer stop()
	g, lctx := errgroup.WithContext(lctx)
	g.Go(func() error { return l.Run(lctx) })
	var report *gamedayReport
	g.Go(func() error {
		defer stop()
		var err error
		report, err = d.play(lctx, l)
		return err
	})
	err = errors.Join(g.Wait(), l.Close())
	if err != nil {
		return nil, err
	}
	if d.keep {
		report.Data = dir
	}
	return report, ctx.Err()
}

// play is the day itself, beside the running loop.
func (d *gameDay) play(ctx context.Context, l *loop) (*gamedayReport, error) {
	d.say("a private loop runs: mode auto, one look a second, http://%s", l.listener.Addr())
	if err := d.calm(ctx, l); err != nil {
		return nil, err
	}
	var neighbour *gameday.Fault
	if d.fault == gameday.CPU {
		var err error
		if neighbour, err = gameday.Start(ctx, gameday.Neighbour, gameday.Options{Log: d.log}); err != nil {
			return nil, err
		}
		defer func() { _ = neighbour.Stop() }()
		d.say("%s", neighbour.Describe())
		if err := pause(ctx, 3*time.Second); err != nil {
			return nil, err
		}
	}
	if _, err := d.look(ctx, l); err != nil { // what happened before the fault is not of it
		return nil, err
	}
	d.seen = nil
	fault, err := gameday.Start(ctx, d.fault, gameday.Options{Log: d.log})
	if err != nil {
		return nil, err
	}
	defer func() { _ = fault.Stop() }()
	d.say("%s", fault.Describe())
	report := &gamedayReport{Fault: d.fault, What: fault.Describe(), Events: []string{}}
	fctx, ended := context.WithCancel(ctx)
	told := make(chan error, 1)
	go func() { told <- fault.Run(fctx, l.samples) }()
	err = d.follow(ctx, l, fault, report)
	ended()
	err = errors.Join(err, <-told)
	if neighbour != nil {
		report.Neighbour = "ended"
		if neighbour.Alive() {
			report.Neighbour = "untouched"
		}
	}
	return report, errors.Join(err, fault.Stop())
}

// calm waits until the loop is ready and has watched for a while, and for cpu until this machine leaves room for a fault to show.
func (d *gameDay) calm(ctx context.Context, l *loop) error {
	d.say("watching for %v before the fault begins", gamedayCalm)
	begin := time.Now()
	told := false
	for {
		if err := pause(ctx, gamedayLook); err != nil {
			return err
		}
		if time.Since(begin) < gamedayCalm || !l.history.Ready() {
			continue
		}
		if d.fault != gameday.CPU {
			return nil
		}
		lines, err := l.history.Query(ctx, `1 - sum without (cpu_mode) (avg_over_time(system_cpu_utilization_ratio{cpu_mode=~"idle|iowait"}[5s]))`, time.Now())
		if err != nil {
			return err
		}
		if len(lines) == 0 || len(lines[0].Values) == 0 {
			continue
		}
		busy := lines[0].Values[0]
		if busy < gamedayBusy {
			return nil
		}
		if time.Since(begin) > gamedayBound {
			return fmt.Errorf("this machine's CPU is at %.0f %% without any fault; a game day needs it below %.0f %%", 100*busy, 100*gamedayBusy)
		}
		if !told {
			told = true
			d.say("this machine is busy (CPU %.0f %%): waiting until it is below %.0f %%", 100*busy, 100*gamedayBusy)
		}
	}
}

// follow waits for the fault to cross the threshold, to be detected, remediated and verified.
func (d *gameDay) follow(ctx context.Context, l *loop, f *gameday.Fault, r *gamedayReport) error {
	entity := f.Entity()
	if entity == "" {
		entity = l.host.Host().Entity()
	}
	end := time.Now().Add(gamedayBound)
	var crossed, detected time.Time
	first := "" // the execution that began; where others keep the machine busy, an alert may fire again, and a second is refused
	for time.Now().Before(end) {
		if err := pause(ctx, gamedayLook); err != nil {
			return err
		}
		if crossed.IsZero() {
			var err error
			if crossed, err = d.crossing(ctx, l, f); err != nil {
				return err
			}
			if !crossed.IsZero() {
				d.say("%s crossed %.0f %%", d.fault, 100*thresholds[d.fault])
			}
		}
		news, err := d.look(ctx, l)
		if err != nil {
			return err
		}
		for _, ev := range news {
			var head signal.Execution
			if err := unmarshalDetail(ev, &head); err != nil {
				return err
			}
			if head.Entity != entity {
				continue
			}
			r.Events = append(r.Events, ev.ID)
			d.say("%s: %s", ev.DetailType, summary(ev))
			switch ev.DetailType {
			case signal.AnomalyDetected, signal.AlertFiring:
				if detected.IsZero() {
					detected, r.DetectedBy = time.Now(), byWhat(ev)
				}
			case signal.ExecutionStarted:
				first = cmp.Or(first, head.ID)
			case signal.ExecutionSucceeded, signal.ExecutionFailed, signal.ExecutionRefused:
				if first != "" && head.ID != first {
					continue
				}
				r.Execution, r.Reason = head.ID, head.Reason
				if d.fault == gameday.CPU && ev.DetailType != signal.ExecutionSucceeded && !f.Alive() {
					r.Reason += "; the fault's own process has ended, so that others keep this machine busy"
				}
				if ev.DetailType == signal.ExecutionSucceeded && head.Verify == "passed" && !crossed.IsZero() {
					r.RemediatedAfter, r.Recovered = new(time.Since(crossed).Seconds()), true
				}
			}
		}
		if !detected.IsZero() && !crossed.IsZero() && r.DetectedAfter == nil {
			r.DetectedAfter = new(max(0, detected.Sub(crossed).Seconds()))
		}
		if r.DetectedAfter != nil && r.Execution != "" {
			return nil
		}
	}
	return nil
}

// crossing is when the fault crossed the threshold; the zero time before that. For cpu it is this machine's own reading, raw.
func (d *gameDay) crossing(ctx context.Context, l *loop, f *gameday.Fault) (time.Time, error) {
	if d.fault != gameday.CPU {
		at, _ := f.Crossed(thresholds[d.fault])
		return at, nil
	}
	lines, err := l.history.QueryRange(ctx, `1 - sum without (cpu_mode) (system_cpu_utilization_ratio{cpu_mode=~"idle|iowait"}) > 0.80`,
		f.Began().Truncate(time.Second).Add(time.Second), time.Now(), time.Second)
	if err != nil {
		return time.Time{}, err
	}
	first := time.Time{}
	for _, s := range lines {
		for _, t := range s.Times {
			if at := time.UnixMilli(t); first.IsZero() || at.Before(first) {
				first = at
			}
		}
	}
	return first, nil
}

// look returns the events stored since the look before.
func (d *gameDay) look(ctx context.Context, l *loop) ([]signal.Event, error) {
	from := len(d.seen)
	for {
		evs, next, err := l.bus.Events(ctx, signal.Query{After: d.after, Limit: 1000})
		if err != nil {
			return nil, err
		}
		d.seen = append(d.seen, evs...)
		if len(evs) > 0 {
			d.after = evs[len(evs)-1].ID
		}
		if next == "" {
			return slices.Clone(d.seen[from:]), nil
		}
	}
}

// pause waits; an error means that ctx has ended.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
