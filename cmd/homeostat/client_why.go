package main

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"homeostat/internal/signal"
)

// whyOut is the causal chain of one thing.
type whyOut struct {
	ID    string        `json:"id"`
	Items []signal.Link `json:"items"`
}

// whyCommand is homeostat why.
func whyCommand() *cobra.Command {
	var f clientFlags
	cmd := &cobra.Command{
		Use: "why ID", Short: "Tell what led to something, and what came of it", Args: cobra.ExactArgs(1),
		Long: `Tell the causal chain of anything that has an id: a batch of samples, an anomaly, an alert, an event, an incident, an
execution, a step, a verify, a notice. Oldest first; the asked one is marked. The time of a batch is by when it had come in.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			var out whyOut
			if err := c.do(cmd.Context(), http.MethodGet, "/api/why/"+escape(args[0]), nil, nil, &out); err != nil {
				return err
			}
			if f.asJSON {
				return printJSON(cmd.OutOrStdout(), out)
			}
			printWhy(cmd.OutOrStdout(), out)
			return nil
		},
	}
	f.add(cmd)
	return cmd
}

func printWhy(w io.Writer, out whyOut) {
	p, now := newPaint(w), time.Now()
	t := &table{head: []string{" ", "TIME", "ID", "", "WHAT"}}
	for _, l := range out.Items {
		mark, how := " ", func(s string) string { return s }
		if l.ID == out.ID {
			mark, how = ">", p.bold
		}
		t.row(mark, stamp(l.Time, now), cell{l.ID, p.soft}, l.Kind, cell{l.Text, how})
	}
	t.print(w, p)
}

// pauseCommand is homeostat pause.
func pauseCommand() *cobra.Command {
	return switchCommand("pause", "Stop every automatic action (the kill switch)",
		"No automatic action is taken until 'homeostat resume'. Watching, detecting and telling go on.")
}

// resumeCommand is homeostat resume.
func resumeCommand() *cobra.Command {
	return switchCommand("resume", "Let automatic actions be taken again", "Ends what 'homeostat pause' began.")
}

func switchCommand(verb, short, long string) *cobra.Command {
	var f clientFlags
	var reason string
	cmd := &cobra.Command{
		Use: verb, Short: short, Long: long, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			var s signal.Switch
			if err := c.do(cmd.Context(), http.MethodPost, "/api/"+verb, nil, map[string]string{"reason": reason}, &s); err != nil {
				return err
			}
			if f.asJSON {
				return printJSON(cmd.OutOrStdout(), s)
			}
			if s.Paused {
				fmt.Fprintf(cmd.OutOrStdout(), "Paused by %s: no automatic action is taken.\n", clean(s.By))
			} else {
				fmt.Fprintln(cmd.OutOrStdout(), "Resumed: automatic actions may be taken.")
			}
			return nil
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	return cmd
}
