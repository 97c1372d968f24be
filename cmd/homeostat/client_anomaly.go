package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"homeostat/internal/signal"
)

// anomalyCommand is homeostat anomaly.
func anomalyCommand() *cobra.Command {
	var f listFlags
	var state, incident string
	ls := &cobra.Command{
		Use: "list", Short: "List anomalies and unusual access, the newest last", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			q, err := f.query("state", state, "incident", incident)
			if err != nil {
				return err
			}
			all, err := listFound(cmd.Context(), c, q, f.limit)
			if err != nil {
				return err
			}
			now := time.Now()
			return printList(cmd.OutOrStdout(), &f.clientFlags, all, "No anomalies.", []string{"ID", "KIND", "BEGAN", "ENDED", "GRADE", "ENTITY", "DETECTOR", "REASON"},
				func(t *table, _ paint, x found) {
					ended := "goes on"
					if !x.ended.IsZero() {
						ended = stamp(x.ended, now)
					}
					t.row(x.id, x.kind, stamp(x.began, now), ended, fmt.Sprintf("%.2f", x.grade), x.entity, x.detector, x.reason)
				})
		},
	}
	f.add(ls)
	ls.Flags().StringVar(&state, "state", "", "only `STATE`: open or ended")
	ls.Flags().StringVar(&incident, "incident", "", "only of this incident, by `ID`")
	return group(&cobra.Command{
		Use: "anomaly", Short: "What detectors found",
		Long: `What detectors found in the figures of entities (kind anomaly), and in the records of who called which API of AWS: unusual
access (kind access). Breaches that are foreseen are listed by 'homeostat event list --type "Forecast Breach"'.`,
	}, ls,
		anomalyJudge("mute", "Say that an anomaly wasn't worth an event",
			"Says that an anomaly, or unusual access, wasn't worth an event. The threshold of the model that found it rises so far that\nthe same again is none; it holds until the next mute or confirm. Unusual access ends and is learnt as ordinary, and the user's\nthreshold rises.", "is muted"),
		anomalyJudge("confirm", "Say that an anomaly was worth an event",
			"Says that an anomaly, or unusual access, was worth an event. The threshold of the model that found it falls by a tenth, so\nthat somewhat weaker ones are told too, and what muting has added falls by half. Unusual access is never learnt, nor what\ncomes from its address later.", "is confirmed"))
}

// found is what a detector found, of either kind.
type found struct {
	id, kind, detector, reason string
	entity                     signal.EntityID
	began, ended               time.Time
	grade                      float64
	detail                     any // as the API has it, and its kind
}

func (x found) MarshalJSON() ([]byte, error) { return json.Marshal(x.detail) }

// listFound lists what was found of both kinds, the newest last.
func listFound(ctx context.Context, c *client, q url.Values, limit int) ([]found, error) {
	anomalies, err := list[signal.Anomaly](ctx, c, "/api/anomalies", maps.Clone(q), limit)
	if err != nil {
		return nil, err
	}
	findings, err := list[signal.Finding](ctx, c, "/api/findings", maps.Clone(q), limit)
	if err != nil {
		return nil, err
	}
	all := make([]found, 0, len(anomalies)+len(findings))
	for _, a := range anomalies {
		const kind = "anomaly"
		all = append(all, found{a.ID, kind, a.Detector, a.Reason, a.Entity, a.Began, a.Ended, a.Grade, struct {
			Kind string `json:"kind"`
			signal.Anomaly
		}{kind, a}})
	}
	for _, f := range findings {
		const kind = "access"
		all = append(all, found{f.ID, kind, f.Detector, f.Reason, f.Entity, f.Began, f.Ended, f.Grade, struct {
			Kind string `json:"kind"`
			signal.Finding
		}{kind, f}})
	}
	slices.SortStableFunc(all, func(a, b found) int { return a.began.Compare(b.began) })
	if limit > 0 {
		all = all[max(0, len(all)-limit):]
	}
	return all, nil
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
