package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"homeostat/internal/signal"
)

// modelCommand is homeostat model.
func modelCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "model", Short: "What detectors have learnt",
		Long: `A model is what a detector has learnt of an entity. Models train themselves from history when the loop first meets an
entity; here a version is trained on request, from history or from a file, and the running detector is moved to it or back.`,
	}, modelList(), modelTrain(), modelUse())
}

// modelFlags name models.
type modelFlags struct {
	clientFlags
	detector, entity string
}

func (f *modelFlags) add(cmd *cobra.Command) {
	f.clientFlags.add(cmd)
	cmd.Flags().StringVar(&f.detector, "detector", "", "of this detector, by `NAME`")
	cmd.Flags().StringVar(&f.entity, "entity", "", "of this `ENTITY`, such as host:web-1")
}

// models fetches the models that the flags name, the oldest first.
func (f *modelFlags) models(ctx context.Context, c *client) ([]signal.Model, error) {
	q := url.Values{}
	if f.detector != "" {
		q.Set("detector", f.detector)
	}
	if f.entity != "" {
		q.Set("entity", f.entity)
	}
	ms, err := list[signal.Model](ctx, c, "/api/models", q, 0)
	slices.Reverse(ms) // this list is short and comes whole, the oldest first
	return ms, err
}

func modelList() *cobra.Command {
	var f modelFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List models, the newest last", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			ms, err := f.models(cmd.Context(), c)
			if err != nil {
				return err
			}
			now := time.Now()
			return printList(cmd.OutOrStdout(), &f.clientFlags, ms, "No models.", []string{"ID", "STATE", "MADE", "FROM", "POINTS", "ALARMS", "ENTITY", "DETECTOR"},
				func(t *table, p paint, m signal.Model) {
					alarms := ""
					if m.Quality != nil {
						alarms = fmt.Sprintf("%.2g/week", m.Quality.PerWeek)
					}
					made := "learning"
					if !m.Made.IsZero() {
						made = stamp(m.Made, now)
					}
					points := ""
					if m.Points > 0 {
						points = fmt.Sprint(m.Points)
					}
					t.row(m.ID, cell{m.State, p.state}, made, m.Source, points, alarms, m.Entity, m.Detector)
				})
		},
	}
	f.add(cmd)
	return cmd
}

// trainPoll is between two looks at a training.
const trainPoll = 200 * time.Millisecond

func modelTrain() *cobra.Command {
	var f modelFlags
	var series string
	var leave bool
	cmd := &cobra.Command{
		Use: "train [FILE.csv]", Short: "Train a version from 30 days of history, or from a file",
		Long: `Trains a version beside the running loop, from the last 30 days of history, or from a CSV file with a column timestamp and
one for each of the detector's series, and tells how it did on the last fifth of its data, each point foretold before it was
learnt. It is not used until 'homeostat model use' says so.

Without --entity it is for the only entity there is a model of, if there is one only; --detector likewise.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			body := map[string]string{}
			if len(args) == 1 {
				text, err := os.ReadFile(args[0])
				if err != nil {
					return &exitError{2, err}
				}
				if len(text) == 0 {
					return &exitError{2, fmt.Errorf("%s is empty", args[0])}
				}
				body["csv"] = string(text)
			}
			if err := f.only(cmd.Context(), c); err != nil {
				return err
			}
			body["detector"], body["entity"] = f.detector, f.entity
			if series != "" {
				body["series"] = series
			}
			var m signal.Model
			if err := c.do(cmd.Context(), http.MethodPost, "/api/models", nil, body, &m); err != nil {
				return err
			}
			if !leave {
				if m, err = c.trained(cmd.Context(), m); err != nil {
					return err
				}
			}
			if f.asJSON {
				err = printJSON(cmd.OutOrStdout(), m)
			} else {
				printModel(cmd.OutOrStdout(), m)
			}
			if err == nil && m.State == "failed" {
				return &exitError{1, fmt.Errorf("the training failed: %s", clean(m.Reason))}
			}
			return err
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&series, "series", "", "which `SERIES`, where the detector has a model for each")
	cmd.Flags().BoolVar(&leave, "no-wait", false, "don't wait until it is trained")
	return cmd
}

// only fills in detector and entity where there is but one.
func (f *modelFlags) only(ctx context.Context, c *client) error {
	if f.detector != "" && f.entity != "" {
		return nil
	}
	ms, err := f.models(ctx, c)
	if err != nil {
		return err
	}
	var detectors, entities []string
	for _, m := range ms {
		detectors, entities = append(detectors, m.Detector), append(entities, string(m.Entity))
	}
	for _, one := range []struct {
		flag string
		have []string
		into *string
	}{{"--detector", detectors, &f.detector}, {"--entity", entities, &f.entity}} {
		slices.Sort(one.have)
		one.have = slices.Compact(one.have)
		switch {
		case *one.into != "":
		case len(one.have) == 1:
			*one.into = one.have[0]
		case len(one.have) == 0:
			return errors.New("the loop has no models yet: say which with --detector and --entity")
		default:
			return &exitError{2, fmt.Errorf("%s: say which: %s", one.flag, clean(strings.Join(one.have, ", ")))}
		}
	}
	return nil
}

// trained waits until m is trained, or failed.
func (c *client) trained(ctx context.Context, m signal.Model) (signal.Model, error) {
	for m.State == "training" {
		select {
		case <-ctx.Done():
			return m, context.Cause(ctx)
		case <-time.After(trainPoll):
		}
		if err := c.do(ctx, http.MethodGet, "/api/models/"+escape(m.ID), nil, nil, &m); err != nil {
			return m, err
		}
	}
	return m, nil
}

func printModel(w io.Writer, m signal.Model) {
	p, now := newPaint(w), time.Now()
	rows := [][2]string{
		{"id", m.ID},
		{"state", m.State},
		{"detector", m.Detector},
		{"entity", string(m.Entity)},
		{"learnt from", m.Source},
		{"from", stamp(m.From, now)},
		{"to", stamp(m.To, now)},
	}
	if m.Points > 0 {
		rows = append(rows, [2]string{"points", fmt.Sprint(m.Points)})
	}
	if q := m.Quality; q != nil {
		rows = append(rows, [2]string{"on the last fifth", fmt.Sprintf("%d anomalies in %d points, %.2g a week", q.Anomalies, q.Points, q.PerWeek)})
		for _, name := range slices.Sorted(maps.Keys(q.Coverage)) {
			rows = append(rows, [2]string{name, fmt.Sprintf("%.1f %% within its band, off by %.3g on average", 100*q.Coverage[name], q.Error[name])})
		}
	}
	facts(w, p, rows)
}

func modelUse() *cobra.Command {
	var f clientFlags
	var note string
	cmd := &cobra.Command{
		Use: "use ID", Short: "Move the running detector to a model, or back to the one before",
		Long: `Has the running detector go on with this version. The one in use is kept as it is at that moment, under an id of its own
('homeostat model list'), so that the way back is the same command.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			var o signal.Order
			if err := c.do(cmd.Context(), http.MethodPost, "/api/models/"+escape(args[0])+"/use", nil, map[string]string{"note": note}, &o); err != nil {
				return err
			}
			if f.asJSON {
				return printJSON(cmd.OutOrStdout(), o)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "detector %s goes on with %s for %s\n", clean(o.Detector), clean(o.Model), clean(string(o.Entity)))
			return nil
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&note, "note", "", "why, for the record")
	return cmd
}
