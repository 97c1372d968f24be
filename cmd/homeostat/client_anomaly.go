package main

import (
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"homeostat/internal/signal"
)

// anomalyCommand is homeostat anomaly.
func anomalyCommand() *cobra.Command {
	var f listFlags
	var state, incident string
	ls := &cobra.Command{
		Use: "list", Short: "List anomalies, the newest last", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			q, err := f.query("state", state, "incident", incident)
			if err != nil {
				return err
			}
			as, err := list[signal.Anomaly](cmd.Context(), c, "/api/anomalies", q, f.limit)
			if err != nil {
				return err
			}
			now := time.Now()
			return printList(cmd.OutOrStdout(), &f.clientFlags, as, "No anomalies.", []string{"ID", "BEGAN", "ENDED", "GRADE", "ENTITY", "DETECTOR", "REASON"},
				func(t *table, _ paint, a signal.Anomaly) {
					ended := "goes on"
					if !a.Ended.IsZero() {
						ended = stamp(a.Ended, now)
					}
					t.row(a.ID, stamp(a.Began, now), ended, fmt.Sprintf("%.2f", a.Grade), a.Entity, a.Detector, a.Reason)
				})
		},
	}
	f.add(ls)
	ls.Flags().StringVar(&state, "state", "", "only `STATE`: open or ended")
	ls.Flags().StringVar(&incident, "incident", "", "only of this incident, by `ID`")
	return group(&cobra.Command{
		Use: "anomaly", Short: "What detectors found",
		Long: `What detectors found in the figures of entities. Unusual access, which 'homeostat event list --type "Unusual Access"' lists, is
muted and confirmed here too, by its id (an-...).`,
	}, ls,
		anomalyJudge("mute", "Say that an anomaly wasn't worth an event",
			"Says that an anomaly, or unusual access, wasn't worth an event. The threshold of the model that found it rises so far that\nthe same again is none; it holds until the next mute or confirm. Unusual access ends and is learnt as ordinary, and the user's\nthreshold rises.", "is muted"),
		anomalyJudge("confirm", "Say that an anomaly was worth an event",
			"Says that an anomaly, or unusual access, was worth an event. The threshold of the model that found it falls by a tenth, so\nthat somewhat weaker ones are told too, and what muting has added falls by half. Unusual access is never learnt, nor what\ncomes from its address later.", "is confirmed"))
}

func anomalyJudge(verb, short, long, done string) *cobra.Command {
	var f clientFlags
	var note string
	cmd := &cobra.Command{
		Use: verb + " ID", Short: short, Long: long, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			var o signal.Order
			if err := c.do(cmd.Context(), http.MethodPost, "/api/anomalies/"+escape(args[0])+"/"+verb, nil, map[string]string{"note": note}, &o); err != nil {
				return err
			}
			if f.asJSON {
				return printJSON(cmd.OutOrStdout(), o)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s %s; 'homeostat why %s' tells what that did to detector %s\n", clean(o.Anomaly), done, clean(o.Anomaly), clean(o.Detector))
			return nil
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&note, "note", "", "why, for the record")
	return cmd
}
