package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"homeostat/internal/signal"
)

// listFlags are the flags of every list.
type listFlags struct {
	clientFlags
	limit  int
	entity string
}

func (f *listFlags) add(cmd *cobra.Command) {
	f.clientFlags.add(cmd)
	cmd.Flags().IntVar(&f.limit, "limit", 50, "show the newest `N`, the newest last; 0 shows all")
	cmd.Flags().StringVar(&f.entity, "entity", "", "only of this `ENTITY`, such as host:web-1")
}

func (f *listFlags) query(more ...string) (url.Values, error) {
	if f.limit < 0 {
		return nil, &exitError{2, errors.New("--limit: want 0 or more")}
	}
	q := url.Values{}
	if f.entity != "" {
		q.Set("entity", f.entity)
	}
	for i := 0; i < len(more); i += 2 {
		if more[i+1] != "" {
			q.Set(more[i], more[i+1])
		}
	}
	return q, nil
}

// printList prints items as --json wants them, or as a table; none is a sentence.
func printList[T any](w io.Writer, f *clientFlags, items []T, none string, head []string, row func(t *table, p paint, v T)) error {
	if f.asJSON {
		return printJSON(w, listOut[T]{items})
	}
	if len(items) == 0 {
		fmt.Fprintln(w, none)
		return nil
	}
	p := newPaint(w)
	t := &table{head: head}
	for _, v := range items {
		row(t, p, v)
	}
	t.print(w, p)
	return nil
}

// incidentCommand is homeostat incident.
func incidentCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "incident", Short: "What is or was wrong",
		Long: "Incidents are the anomalies and alerts that belong together, from the first one until all is well again.",
	}, incidentList(), incidentShow(), incidentResolve())
}

func incidentList() *cobra.Command {
	var f listFlags
	var state string
	cmd := &cobra.Command{
		Use: "list", Short: "List incidents, the newest last", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			q, err := f.query("state", state)
			if err != nil {
				return err
			}
			ins, err := list[signal.Incident](cmd.Context(), c, "/api/incidents", q, f.limit)
			if err != nil {
				return err
			}
			now := time.Now()
			return printList(cmd.OutOrStdout(), &f.clientFlags, ins, "No incidents.", []string{"ID", "STATE", "SEVERITY", "OPENED", "ENTITY", "TITLE"},
				func(t *table, p paint, in signal.Incident) {
					t.row(in.ID, cell{in.State, p.state}, cell{string(in.Severity), p.state}, stamp(in.Opened, now), in.Entity, in.Title)
				})
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&state, "state", "", "only `STATE`: open or resolved")
	return cmd
}

func incidentShow() *cobra.Command {
	var f clientFlags
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show one incident with what belongs to it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			var in signal.Incident
			if err := c.do(cmd.Context(), http.MethodGet, "/api/incidents/"+escape(args[0]), nil, nil, &in); err != nil {
				return err
			}
			if f.asJSON {
				return printJSON(cmd.OutOrStdout(), in)
			}
			printIncident(cmd.OutOrStdout(), in)
			return nil
		},
	}
	f.add(cmd)
	return cmd
}

func printIncident(w io.Writer, in signal.Incident) {
	p, now := newPaint(w), time.Now()
	fmt.Fprintf(w, "%s\n\n", p.bold(clean(in.Title)))
	facts(w, p, [][2]string{
		{"id", in.ID},
		{"state", in.State},
		{"severity", string(in.Severity)},
		{"entity", string(in.Entity)},
		{"opened", stamp(in.Opened, now)},
		{"resolved", stamp(in.Resolved, now)},
		{"note", in.Note},
	})
	if len(in.Members) > 0 {
		fmt.Fprintln(w)
		t := &table{head: []string{"FOUND", "SEVERITY", "BEGAN", "ENDED", "WHAT"}}
		for _, m := range in.Members {
			ended := "goes on"
			if !m.Ended.IsZero() {
				ended = stamp(m.Ended, now)
			}
			t.row(m.ID, cell{string(m.Severity), p.state}, stamp(m.Began, now), ended, m.Title)
		}
		t.print(w, p)
	}
	fmt.Fprintf(w, "\n%s\n", p.soft("homeostat why "+clean(in.ID)+"  tells how it came about and what was done"))
}

// facts prints names and values; empty values and dashes are left out. Those that say how something is are painted so.
func facts(w io.Writer, p paint, pairs [][2]string) {
	for _, f := range pairs {
		if f[1] == "" || f[1] == "-" {
			continue
		}
		value := clean(f[1])
		switch f[0] {
		case "state", "severity", "verify":
			value = p.state(value)
		}
		fmt.Fprintf(w, "%s%s%s\n", p.soft(f[0]), strings.Repeat(" ", max(1, 11-len(f[0]))), value)
	}
}

func incidentResolve() *cobra.Command {
	var f clientFlags
	var note string
	cmd := &cobra.Command{
		Use: "resolve ID", Short: "End an incident by hand", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			var in signal.Incident
			if err := c.do(cmd.Context(), http.MethodPost, "/api/incidents/"+escape(args[0])+"/resolve", nil, map[string]string{"note": note}, &in); err != nil {
				return err
			}
			if f.asJSON {
				return printJSON(cmd.OutOrStdout(), in)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is %s.\n", clean(in.ID), clean(in.State))
			return nil
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&note, "note", "", "why, for the record")
	return cmd
}

// eventCommand is homeostat event.
func eventCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "event", Short: "What happened",
		Long: "Everything that happens is an event, in the envelope of EventBridge.",
	}, eventList(), eventSend(), eventTestRoute())
}

func eventList() *cobra.Command {
	var f listFlags
	var kind, incident string
	cmd := &cobra.Command{
		Use: "list", Short: "List events, the newest last", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			q, err := f.query("type", kind, "incident", incident)
			if err != nil {
				return err
			}
			es, err := list[signal.Event](cmd.Context(), c, "/api/events", q, f.limit)
			if err != nil {
				return err
			}
			now := time.Now()
			return printList(cmd.OutOrStdout(), &f.clientFlags, es, "No events.", []string{"ID", "TIME", "TYPE", "ENTITY", "WHAT"},
				func(t *table, _ paint, e signal.Event) {
					var head signal.Head
					_ = json.Unmarshal(e.Detail, &head) // a detail of another shape has no entity
					t.row(e.ID, stamp(e.Time, now), e.DetailType, head.Entity, summary(e))
				})
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&kind, "type", "", "only of this detail-`TYPE`, such as 'Alert Firing'")
	cmd.Flags().StringVar(&incident, "incident", "", "only of this incident, by `ID`")
	return cmd
}

// maxSend is the most that event send reads, in bytes; the server takes no more.
const maxSend = 4 << 20

func eventSend() *cobra.Command {
	var f clientFlags
	cmd := &cobra.Command{
		Use: "send [FILE]", Short: "Send events: an envelope, a list of them, or one a line", Args: cobra.MaximumNArgs(1),
		Long: `Send events from a file, or from standard input: one envelope, a JSON list of them, or one after the other (JSON Lines).
Only source, detail-type and detail are needed. An id that an event brings is kept, and a second time changes nothing.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			in := cmd.InOrStdin()
			name := "standard input"
			if len(args) == 1 && args[0] != "-" {
				name = args[0]
				file, err := os.Open(name)
				if err != nil {
					return &exitError{2, err}
				}
				defer file.Close() // nothing was written to it
				in = file
			}
			events, err := readEvents(in)
			if err != nil {
				return &exitError{2, fmt.Errorf("%s: %w", name, err)}
			}
			var out listOut[struct {
				ID string `json:"id"`
			}]
			if err := c.do(cmd.Context(), http.MethodPost, "/ingest/events", nil, events, &out); err != nil {
				return err
			}
			if f.asJSON {
				return printJSON(cmd.OutOrStdout(), out)
			}
			for _, e := range out.Items {
				fmt.Fprintln(cmd.OutOrStdout(), e.ID)
			}
			return nil
		},
	}
	f.add(cmd)
	return cmd
}

// readEvents reads JSON values one after the other and returns them as one list.
func readEvents(r io.Reader) ([]json.RawMessage, error) {
	dec := json.NewDecoder(io.LimitReader(r, maxSend+1))
	var events []json.RawMessage
	for {
		var v json.RawMessage
		err := dec.Decode(&v)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			if dec.InputOffset() >= maxSend {
				return nil, fmt.Errorf("more than %d bytes; send it in pieces", maxSend)
			}
			return nil, fmt.Errorf("event %d, byte %d: %w", len(events)+1, dec.InputOffset(), err)
		}
		if v[0] == '[' {
			var several []json.RawMessage
			if err := json.Unmarshal(v, &several); err != nil {
				return nil, err
			}
			events = append(events, several...)
			continue
		}
		events = append(events, v)
	}
	if len(events) == 0 {
		return nil, errors.New("there is no event in it")
	}
	return events, nil
}

// entityCommand is homeostat entity.
func entityCommand() *cobra.Command {
	var f clientFlags
	ls := &cobra.Command{
		Use: "list", Short: "List what is watched", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			es := []signal.Entity{}
			q := url.Values{"limit": {"1000"}}
			for {
				var page struct {
					Items []signal.Entity `json:"items"`
					Next  string          `json:"next"`
				}
				if err := c.do(cmd.Context(), http.MethodGet, "/api/entities", q, nil, &page); err != nil {
					return err
				}
				es = append(es, page.Items...)
				if page.Next == "" {
					break
				}
				q.Set("after", page.Next)
			}
			now := time.Now()
			return printList(cmd.OutOrStdout(), &f, es, "Nothing is watched yet.", []string{"ID", "SERIES", "LAST SEEN"},
				func(t *table, _ paint, e signal.Entity) { t.row(e.ID, e.Series, stamp(e.LastSeen, now)) })
		},
	}
	f.add(ls)
	return group(&cobra.Command{Use: "entity", Short: "What is watched"}, ls)
}
