package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"homeostat/internal/signal"
)

// decideCommand is what a person says to an execution.
func decideCommand(verb, short string) *cobra.Command {
	var f clientFlags
	var note string
	var retry bool
	cmd := &cobra.Command{
		Use: verb + " EXECUTION", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			body := map[string]any{"note": note}
			if verb == "continue" {
				body["retry"] = retry
			}
			var x signal.Execution
			if err := c.do(cmd.Context(), http.MethodPost, "/api/executions/"+escape(args[0])+"/"+verb, nil, body, &x); err != nil {
				return err
			}
			if f.asJSON {
				return printJSON(cmd.OutOrStdout(), x)
			}
			state := "is " + x.State
			if x.State == signal.Waiting { // the job that carries it on comes after this answer
				said := map[string]string{"approve": "is approved by you", "reject": "is rejected", "cancel": "is being ended", "continue": "goes on"}
				state = said[verb] + "; 'homeostat runbook executions " + x.ID + "' shows what comes of it"
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s %s.\n", clean(x.ID), clean(state))
			return nil
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&note, "note", "", "why, for the record")
	if verb == "continue" {
		cmd.Long = `Lets an execution go on that is paused (aws:pause), or that asks what came of a change which was cut off: without --retry the
change counts as done, with it the change is done again. If it failed, reject the execution.`
		cmd.Flags().BoolVar(&retry, "retry", false, "do the cut-off change again")
	}
	return cmd
}

// runbookReset lifts what two failed verifications have set.
func runbookReset() *cobra.Command {
	var f clientFlags
	var note string
	cmd := &cobra.Command{
		Use: "reset NAME ENTITY", Short: "Let a runbook act on an entity again after verification failed there", Args: cobra.ExactArgs(2),
		Long: `A runbook that has failed verification twice on an entity asks before it acts there again, whatever its route says.
Reset ends that.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			var b signal.Runbook
			body := map[string]string{"entity": args[1], "note": note}
			if err := c.do(cmd.Context(), http.MethodPost, "/api/runbooks/"+escape(args[0])+"/reset", nil, body, &b); err != nil {
				return err
			}
			if f.asJSON {
				return printJSON(cmd.OutOrStdout(), b)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s acts on %s again as its route says.\n", clean(args[0]), clean(args[1]))
			return nil
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&note, "note", "", "why, for the record")
	return cmd
}

// runbookRehearse asks the loop what it would have done.
func runbookRehearse() *cobra.Command {
	var f clientFlags
	var days float64
	cmd := &cobra.Command{
		Use: "rehearse", Short: "Say what would have been done over the last days, with today's configuration", Args: cobra.NoArgs,
		Long: `Plays what the loop has stored through today's rules, detectors, routes and guards: what would have been done, when, to what,
and how often a guard would have refused. Nothing is changed. Steps are not run: an execution counts as one that acts.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			c.http.Timeout = 15 * time.Minute // a month of many hosts takes its time
			var r signal.Rehearsal
			if err := c.do(cmd.Context(), http.MethodPost, "/api/rehearse", nil, map[string]float64{"days": days}, &r); err != nil {
				return err
			}
			if f.asJSON {
				return printJSON(cmd.OutOrStdout(), r)
			}
			printRehearsal(cmd.OutOrStdout(), r)
			return nil
		},
	}
	f.add(cmd)
	cmd.Flags().Float64Var(&days, "days", 30, "how far back")
	return cmd
}

func printRehearsal(w io.Writer, r signal.Rehearsal) {
	p, now := newPaint(w), time.Now()
	fmt.Fprintf(w, "%s to %s\n", stamp(r.From, now), stamp(r.To, now))
	for _, k := range slices.Sorted(maps.Keys(r.Events)) {
		fmt.Fprintf(w, "%6d %s\n", r.Events[k], clean(k))
	}
	fmt.Fprintf(w, "%6d notices\n\n", r.Notices)
	if len(r.Runbooks) == 0 {
		fmt.Fprintln(w, "No runbook would have been started.")
		return
	}
	t := &table{head: []string{"RUNBOOK", "ROUTE", "MODE", "STARTED", "DONE", "ASKED", "OBSERVED", "REFUSED"}}
	for _, b := range r.Runbooks {
		var refused []string
		for _, g := range slices.Sorted(maps.Keys(b.Refused)) {
			refused = append(refused, fmt.Sprintf("%d by %s", b.Refused[g], g))
		}
		t.row(b.Runbook, b.Route, b.Mode, b.Started, b.Done, b.Asked, b.Observed, cmp.Or(strings.Join(refused, ", "), "0"))
	}
	t.print(w, p)
	fmt.Fprintln(w)
	t = &table{head: []string{"TIME", "RUNBOOK", "ENTITY", "WOULD BE", "WHY"}}
	for _, x := range r.Executions {
		t.row(stamp(x.Time, now), x.Runbook, x.Entity, cmp.Or(strings.TrimSuffix(x.Outcome+": "+x.Reason, ": "), x.Outcome), x.Why)
	}
	t.print(w, p)
}
