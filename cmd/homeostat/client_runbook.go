package main

import (
	"cmp"
	"context"
	"encoding/json"
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

	"homeostat/automation"
	"homeostat/internal/config"
	"homeostat/internal/signal"
	"homeostat/runbooks"
)

// runbookCommand is homeostat runbook.
func runbookCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "runbook", Short: "What can be done, and what was",
		Long: `Runbooks are SSM documents: Automation (schema 0.3) and Command (schema 2.2). An execution is one run of one.

validate, show and iam need no running loop.`,
	}, runbookList(), runbookShow(), runbookValidate(), runbookRun(), runbookExecutions(),
		decideCommand("approve", "Let an execution that waits for approval go on"),
		decideCommand("reject", "End an execution that waits for a person"),
		decideCommand("continue", "Let an execution go on that is paused, or that asks what came of a change"),
		decideCommand("cancel", "End an execution: the step that it is at is stopped"),
		runbookReset(), runbookRehearse(), runbookIAM())
}

func runbookList() *cobra.Command {
	var f clientFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List the runbooks that the loop has loaded", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			var page listOut[signal.Runbook]
			if err := c.do(cmd.Context(), http.MethodGet, "/api/runbooks", url.Values{"limit": {"1000"}}, nil, &page); err != nil {
				return err
			}
			// What routes start and people run comes before the steps that it is made of.
			slices.SortStableFunc(page.Items, func(a, b signal.Runbook) int { return cmp.Compare(a.Kind, b.Kind) })
			return printList(cmd.OutOrStdout(), &f, page.Items, "No runbooks.", []string{"NAME", "KIND", "STEPS", "CHANGES", "ROUTES", "FROM", "DESCRIPTION"},
				func(t *table, p paint, b signal.Runbook) {
					changes := "no"
					if slices.ContainsFunc(b.Steps, func(s signal.RunbookStep) bool { return s.Effect == "changing" }) {
						changes = "yes"
					}
					t.row(b.Name, b.Kind, len(b.Steps), changes, cmp.Or(strings.Join(b.Routes, ", "), "-"), b.Origin, firstSentence(b.Description))
				})
		},
	}
	f.add(cmd)
	return cmd
}

// firstSentence is what a line of a table has room for; a description is wrapped wherever its author wrapped it.
func firstSentence(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if one, _, more := strings.Cut(s, ". "); more {
		return one + "."
	}
	return s
}

// shownRunbook is a document as show prints it.
type shownRunbook struct {
	Name        string                 `json:"name"`
	Version     string                 `json:"version"`
	Type        string                 `json:"type"`
	Schema      string                 `json:"schemaVersion"`
	Description string                 `json:"description,omitempty"`
	Parameters  []automation.Parameter `json:"-"`
	Steps       []shownStep            `json:"steps"`
	Text        string                 `json:"text"`
}

type shownStep struct {
	Name   string              `json:"name"`
	Action string              `json:"action"`
	Ways   []signal.RunbookWay `json:"ways,omitempty"` // from it; of Automation documents
}

func runbookShow() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show FILE|NAME", Short: "Show a document: a file, or a built-in one by name", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, text, err := readRunbook(args[0])
			if err != nil {
				return err
			}
			doc, err := automation.Parse(name, text)
			if err != nil {
				return &exitError{1, err}
			}
			out := shownRunbook{Name: doc.Name, Version: doc.Version, Type: doc.Type, Schema: doc.SchemaVersion, Description: doc.Description, Parameters: doc.Parameters, Steps: []shownStep{}, Text: string(text)}
			for _, s := range doc.Steps {
				out.Steps = append(out.Steps, shownStep{Name: s.Name, Action: s.Action})
			}
			if doc.Type == automation.TypeAutomation {
				for _, way := range automation.Ways(doc.Steps) {
					i := slices.IndexFunc(out.Steps, func(s shownStep) bool { return s.Name == way.From })
					out.Steps[i].Ways = append(out.Steps[i].Ways, signal.RunbookWay(way))
				}
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), out)
			}
			printRunbook(cmd.OutOrStdout(), out)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

// readRunbook reads a document: a file, else a built-in one. Names don't hold slashes and dots; files that are meant do.
func readRunbook(arg string) (name string, text []byte, err error) {
	text, err = os.ReadFile(arg)
	if err == nil {
		return arg, text, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", nil, &exitError{2, err}
	}
	if text, err2 := runbooks.Files.ReadFile(arg + ".yaml"); err2 == nil {
		return arg + ".yaml", text, nil
	}
	var known []string
	if es, err2 := runbooks.Files.ReadDir("."); err2 == nil {
		for _, e := range es {
			known = append(known, strings.TrimSuffix(e.Name(), ".yaml"))
		}
	}
	return "", nil, &exitError{2, fmt.Errorf("%s is neither a file nor a built-in runbook%s (for one of yours name its file, as 'homeostat runbook list' does)", arg, config.Nearest(arg, known))}
}

func printRunbook(w io.Writer, b shownRunbook) {
	p := newPaint(w)
	fmt.Fprintf(w, "%s\n", p.bold(clean(b.Name)))
	if b.Description != "" {
		fmt.Fprintf(w, "%s\n", cleanText(strings.TrimSpace(b.Description)))
	}
	fmt.Fprintln(w)
	facts(w, p, [][2]string{{"type", b.Type + ", schema " + b.Schema}, {"version", b.Version}})
	if len(b.Parameters) > 0 {
		fmt.Fprintln(w)
		t := &table{head: []string{"PARAMETER", "TYPE", "DEFAULT", "MEANING"}}
		for _, q := range b.Parameters {
			def := "needed"
			if q.Default != nil {
				def = jsonText(q.Default)
			}
			t.row(q.Name, q.Type, def, firstSentence(q.Description))
		}
		t.print(w, p)
	}
	fmt.Fprintln(w)
	t := &table{head: []string{"STEP", "ACTION", "THEN"}}
	for _, s := range b.Steps {
		var then []string
		for _, way := range s.Ways {
			to := cmp.Or(way.To, "the end")
			if way.When != "" {
				to += " (" + way.When + ")"
			}
			then = append(then, to)
		}
		t.row(s.Name, s.Action, strings.Join(then, ", "))
	}
	t.print(w, p)
}

func jsonText(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}

// validation is what validate says of one document.
type validation struct {
	Path     string   `json:"path"`
	Valid    bool     `json:"valid"`
	Name     string   `json:"name,omitempty"`
	Type     string   `json:"type,omitempty"`
	Errors   []string `json:"errors,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

func runbookValidate() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "validate FILE...", Short: "Check documents as AWS would", Args: cobra.MinimumNArgs(1),
		Long: `Check SSM documents: what AWS's CreateDocument would refuse is an error with its place, and what has no effect is a
warning. Exit status 1 when a document is refused, 2 when a file can't be read.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			items := []validation{}
			bad := 0
			for _, path := range args {
				name, text, err := readRunbook(path)
				if err != nil {
					return err
				}
				v := validation{Path: path, Valid: true}
				doc, err := automation.Parse(name, text)
				if err != nil {
					v.Valid, v.Errors = false, strings.Split(err.Error(), "\n")
					bad++
				} else {
					v.Name, v.Type = doc.Name, doc.Type
					for _, w := range slices.Concat(doc.Warnings(), unknownCalls(doc.Steps)) {
						v.Warnings = append(v.Warnings, w.Error())
					}
				}
				items = append(items, v)
			}
			if asJSON {
				if err := printJSON(cmd.OutOrStdout(), listOut[validation]{items}); err != nil {
					return err
				}
			} else {
				for _, v := range items {
					for _, e := range v.Errors {
						fmt.Fprintln(cmd.ErrOrStderr(), clean(e))
					}
					for _, w := range v.Warnings {
						fmt.Fprintln(cmd.ErrOrStderr(), clean(w)+" (warning)")
					}
					if v.Valid {
						fmt.Fprintf(cmd.OutOrStdout(), "%s: valid %s document\n", clean(v.Path), v.Type)
					}
				}
			}
			if bad > 0 {
				return &exitError{1, fmt.Errorf("%d of %d documents would be refused", bad, len(items))}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

func runbookRun() *cobra.Command {
	var f clientFlags
	var entity, mode, reason string
	var params, targets []string
	var rate signal.RateControl
	var wait bool
	cmd := &cobra.Command{
		Use: "run NAME", Short: "Start a runbook, behind the same guards as a route's", Args: cobra.ExactArgs(1),
		Long: `Starts a runbook. In mode observe, the default, nothing is changed, and the plan is printed: each step, the request of each
call, what changes something, and what the steps that only read were answered.

With --targets it runs once for each of them, as Systems Manager's rate control has it:
  --targets Key=tag:env,Values=prod --max-concurrency 10% --max-errors 1`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			switch signal.Mode(mode) {
			case signal.Observe, signal.Approve, signal.Auto:
			default:
				return &exitError{2, fmt.Errorf("--mode: want observe, approve or auto, not %q", mode)}
			}
			given := map[string]any{}
			for _, p := range params {
				k, v, ok := strings.Cut(p, "=")
				if !ok || k == "" {
					return &exitError{2, fmt.Errorf("--param: want NAME=VALUE, not %q", p)}
				}
				given[k] = v
			}
			body := map[string]any{"mode": mode, "parameters": given}
			if entity != "" {
				body["entity"] = entity
			}
			if reason != "" {
				body["reason"] = reason
			}
			if rate.Targets, err = rateTargets(targets); err != nil {
				return &exitError{2, err}
			}
			if len(rate.Targets) > 0 {
				body["rate"] = rate
			} else if rate.Parameter+rate.MaxConcurrency+rate.MaxErrors != "" {
				return &exitError{2, errors.New("--target-parameter-name, --max-concurrency and --max-errors are for --targets")}
			}
			var x signal.Execution
			if err := c.do(cmd.Context(), http.MethodPost, "/api/runbooks/"+escape(args[0])+"/run", nil, body, &x); err != nil {
				return err
			}
			plan := signal.Mode(mode) == signal.Observe // it is over at once
			if wait || plan {
				fmt.Fprintln(cmd.ErrOrStderr(), clean(x.ID)+" runs")
				if x, err = c.await(cmd.Context(), x.ID, cmd.ErrOrStderr()); err != nil {
					return err
				}
			}
			if f.asJSON {
				if err := printJSON(cmd.OutOrStdout(), x); err != nil {
					return err
				}
			} else if plan {
				printPlan(cmd.OutOrStdout(), x)
			} else if wait {
				printExecution(cmd.OutOrStdout(), x)
			} else {
				fmt.Fprintf(cmd.OutOrStdout(), "%s\n", clean(x.ID))
			}
			if wait && x.State != signal.Success {
				return &exitError{1, fmt.Errorf("the execution ended as %s", clean(x.State))}
			}
			return nil
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&entity, "entity", "", "on which `ENTITY`, such as host:web-1 (default this host, where the runbook asks for one)")
	cmd.Flags().StringVar(&mode, "mode", string(signal.Observe), "observe, approve or auto")
	cmd.Flags().StringArrayVar(&params, "param", nil, "a parameter as `NAME=VALUE`; may be given several times")
	cmd.Flags().StringArrayVar(&targets, "targets", nil, "run it for each of `Key=KEY,Values=VALUE,...`: KEY is ParameterValues, or tag:NAME of what is watched; may be given several times")
	cmd.Flags().StringVar(&rate.Parameter, "target-parameter-name", "", "the `PARAMETER` that each target goes into (default Entity)")
	cmd.Flags().StringVar(&rate.MaxConcurrency, "max-concurrency", "", "how many targets at once: a `NUMBER` or a percentage (default 10)")
	cmd.Flags().StringVar(&rate.MaxErrors, "max-errors", "", "how many targets may fail before no more are begun: a `NUMBER` or a percentage (default 0)")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait for its end; exit status 1 unless it is Success")
	return cmd
}

// rateTargets reads targets as the AWS CLI takes them: Key=tag:env,Values=prod,test.
func rateTargets(texts []string) ([]signal.RateTarget, error) {
	var out []signal.RateTarget
	for _, text := range texts {
		key, values, ok := strings.Cut(strings.TrimPrefix(text, "Key="), ",Values=")
		if !ok || key == "" || values == "" || !strings.HasPrefix(text, "Key=") {
			return nil, fmt.Errorf("--targets: want Key=KEY,Values=VALUE,..., not %q", text)
		}
		out = append(out, signal.RateTarget{Key: key, Values: strings.Split(values, ",")})
	}
	return out, nil
}

// await asks for an execution every half second until it has ended, and says on w what it waits for.
func (c *client) await(ctx context.Context, id string, w io.Writer) (signal.Execution, error) {
	said := ""
	for {
		var x signal.Execution
		if err := c.do(ctx, http.MethodGet, "/api/executions/"+escape(id), nil, nil, &x); err != nil {
			return x, err
		}
		switch x.State {
		case signal.Success, signal.Failed, signal.TimedOut, signal.Cancelled, signal.Refused:
			return x, nil
		}
		if now := strings.TrimSpace(x.State + " " + x.Step); now != said {
			said = now
			fmt.Fprintln(w, clean(now))
		}
		select {
		case <-ctx.Done():
			return x, errors.New("interrupted; the execution goes on")
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// printPlan prints what an execution in observe found and would have done.
func printPlan(w io.Writer, x signal.Execution) {
	head := x
	head.Steps = nil
	printExecution(w, head)
	p := newPaint(w)
	for i, s := range x.Steps {
		does := "reads"
		switch {
		case s.Would != "":
			does = "would " + s.Would
		case s.Effect == "changing":
			does = "changes"
		}
		fmt.Fprintf(w, "\n%d. %s  %s  %s\n", i+1, p.bold(clean(s.Name)), clean(s.Action), p.state(s.Effect))
		lines := [][2]string{{"", clean(does)}, {"note", clean(s.Note)}, {"error", clean(s.Error)}}
		answer := s.Outputs
		if s.Would != "" || i+1 < len(x.Steps) && strings.HasPrefix(x.Steps[i+1].Name, s.Name+"/") {
			answer = nil // there is none yet; or a step within has it
		}
		for _, m := range []struct {
			what string
			of   map[string]any
		}{{"request", s.Inputs}, {"answer", answer}} {
			if len(m.of) > 0 {
				lines = append(lines, [2]string{m.what, clean(short(jsonText(m.of)))})
			}
		}
		for _, l := range lines {
			if l[1] != "" && l[1] != "reads" {
				fmt.Fprintf(w, "   %s\n", strings.TrimSpace(p.soft(l[0])+" "+l[1]))
			}
		}
	}
}

// short cuts an answer that fills a screen; --json has it whole.
func short(s string) string {
	const most = 2000
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

func runbookExecutions() *cobra.Command {
	var f listFlags
	var state, incident string
	cmd := &cobra.Command{
		Use: "executions [ID]", Short: "List executions, the newest last, or show one with its steps", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				var x signal.Execution
				if err := c.do(cmd.Context(), http.MethodGet, "/api/executions/"+escape(args[0]), nil, nil, &x); err != nil {
					return err
				}
				if f.asJSON {
					return printJSON(cmd.OutOrStdout(), x)
				}
				printExecution(cmd.OutOrStdout(), x)
				return nil
			}
			q, err := f.query("state", state, "incident", incident)
			if err != nil {
				return err
			}
			xs, err := list[signal.Execution](cmd.Context(), c, "/api/executions", q, f.limit)
			if err != nil {
				return err
			}
			now := time.Now()
			return printList(cmd.OutOrStdout(), &f.clientFlags, xs, "No executions.", []string{"ID", "STATE", "MODE", "BEGAN", "ENTITY", "RUNBOOK", "BY"},
				func(t *table, p paint, x signal.Execution) {
					t.row(x.ID, cell{x.State, p.state}, x.Mode, stamp(x.Began, now), x.Entity, x.Runbook, x.By)
				})
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&state, "state", "", "only `STATE`: Pending, InProgress, Waiting, Success, TimedOut, Cancelling, Cancelled, Failed or Refused")
	cmd.Flags().StringVar(&incident, "incident", "", "only of this incident, by `ID`")
	return cmd
}

func printExecution(w io.Writer, x signal.Execution) {
	p, now := newPaint(w), time.Now()
	fmt.Fprintf(w, "%s\n\n", p.bold(clean(x.Runbook+" on "+cmp.Or(string(x.Entity), "no entity"))))
	took := ""
	if !x.Ended.IsZero() {
		took = span(x.Ended.Sub(x.Began))
	}
	facts(w, p, [][2]string{
		{"id", x.ID},
		{"state", x.State},
		{"mode", string(x.Mode)},
		{"by", x.By},
		{"began", stamp(x.Began, now)},
		{"took", took},
		{"verify", x.Verify},
		{"outcome", x.Outcome},
		{"reason", x.Reason},
		{"incident", x.Incident},
		{"event", x.Event},
	})
	for _, k := range slices.Sorted(maps.Keys(x.Parameters)) {
		fmt.Fprintf(w, "%s %s\n", p.soft("parameter "+clean(k)), clean(jsonText(x.Parameters[k])))
	}
	if a := x.Approval; a != nil {
		fmt.Fprintf(w, "\n%s %s\n", p.state("Waiting"), clean(a.Message))
		switch a.Kind {
		case signal.AskResume:
			fmt.Fprintf(w, "Until %s. homeostat runbook continue %s\n", stamp(a.Expires, now), clean(x.ID))
		case signal.AskOutcome:
			fmt.Fprintf(w, "homeostat runbook continue %[1]s, with --retry to do it again; or homeostat runbook reject %[1]s\n", clean(x.ID))
		default:
			fmt.Fprintf(w, "%d of %d given, until %s. homeostat runbook approve %[4]s, or homeostat runbook reject %[4]s\n", len(a.Given), max(a.Needed, 1), stamp(a.Expires, now), clean(x.ID))
		}
	}
	if len(x.Steps) == 0 {
		return
	}
	fmt.Fprintln(w)
	t := &table{head: []string{"STEP", "STATE", "EFFECT", "TOOK", "WHAT"}}
	for _, s := range x.Steps {
		took := "-"
		if !s.Ended.IsZero() && !s.Began.IsZero() {
			took = span(s.Ended.Sub(s.Began))
		}
		what := s.Action
		switch {
		case s.Error != "":
			what = s.Error
		case s.Would != "":
			what = "would: " + s.Would
		}
		t.row(s.Name, cell{s.State, p.state}, cell{s.Effect, p.state}, took, what)
	}
	t.print(w, p)
}
