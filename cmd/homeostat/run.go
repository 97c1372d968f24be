package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"
)

func runCommand() *cobra.Command {
	var file, data, listen, level string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the loop",
		Long: `Runs the whole loop in this process, until it is interrupted: sources, stream, history, detectors, rules, event bus,
incidents, runbooks, console and API.

With no configuration it watches this machine and takes what is sent to its HTTP inputs, in mode observe: it says what it
would do and changes nothing.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := newLogger(level)
			if err != nil {
				return &exitError{2, err}
			}
			cfg, p, err := loadConfig(file)
			if err != nil {
				return &exitError{2, err}
			}
			if listen != "" {
				cfg.Listen = listen
				if err := cfg.Config.Check(); err != nil {
					return &exitError{2, err}
				}
			}
			path := cmp.Or(data, cfg.Data.Dir)
			if path == "" {
				if path, err = defaultDataDir(); err != nil {
					return &exitError{2, err}
				}
			}
			return runLoop(cmd.Context(), cfg, p, path, log)
		},
	}
	f := cmd.Flags()
	f.StringVar(&file, "config", "", "configuration `FILE`; none is fine")
	f.StringVar(&data, "data", "", "data folder `DIR`; data.dir of the configuration, else $XDG_STATE_HOME/homeostat")
	f.StringVar(&listen, "listen", "", "address and port `ADDR`; listen of the configuration, else 127.0.0.1:8080")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return cmd
}

// runLoop opens the data folder and runs the loop over it until ctx ends.
func runLoop(ctx context.Context, cfg Config, p *parts, path string, log *slog.Logger) error {
	began := time.Now()
	dir, err := openDataDir(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	l, err := openLoop(ctx, cfg, p, dir, log)
	if err != nil {
		return err
	}
	log.InfoContext(ctx, "homeostat runs", "url", "http://"+l.listener.Addr().String(), "mode", cfg.Mode, "data", path,
		"version", version, "took", time.Since(began).Round(time.Millisecond).String())
	err = l.Run(ctx)
	if cerr := l.Close(); cerr != nil {
		log.ErrorContext(ctx, "not closed cleanly", "err", cerr)
	}
	if err == nil {
		log.InfoContext(ctx, "homeostat has stopped", "cause", fmt.Sprint(context.Cause(ctx)))
	}
	return err
}

func newLogger(level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level: want debug, info, warn or error, not %q", level)
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: l})), nil
}
