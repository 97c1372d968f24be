package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"homeostat/eventpattern"
	"homeostat/internal/bus"
)

// testedRoute says how one route fares with an event.
type testedRoute struct {
	Route   string                   `json:"route"`
	Matched bool                     `json:"matched"`
	Targets []bus.Target             `json:"targets,omitempty"`
	Explain eventpattern.Explanation `json:"explain"`
}

func eventTestRoute() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "test-route FILE EVENT",
		Short: "Try routes on an event, and see which field failed and why",
		Long: `Reads routes from FILE and one event from the file EVENT (- for standard input), and says of each route whether it matches:
field by field, what was wanted and what is there. FILE is a configuration, a list of routes, one route, or a bare event
pattern, in YAML or JSON. Nothing is sent anywhere.

Exit status: 0 when a route matches, 1 when none does, 2 for a mistake in either file.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			routes, err := readTestedRoutes(args[0])
			if err != nil {
				return &exitError{2, err}
			}
			event, err := readInput(cmd.InOrStdin(), args[1])
			if err != nil {
				return &exitError{2, err}
			}
			var out []testedRoute
			any := false
			for _, r := range routes {
				text, err := json.Marshal(r.Pattern)
				if err != nil {
					return &exitError{2, err}
				}
				p, err := eventpattern.Parse(args[0]+": "+r.Name, text)
				if err != nil {
					return &exitError{2, err}
				}
				e, err := p.Explain(event)
				if err != nil {
					return &exitError{2, fmt.Errorf("%s: %w", args[1], err)}
				}
				any = any || e.Matched
				out = append(out, testedRoute{r.Name, e.Matched, r.Targets, e})
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), out)
			} else {
				printTestedRoutes(cmd.OutOrStdout(), out)
			}
			if err == nil && !any {
				return &exitError{Code: 1}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

func printTestedRoutes(w io.Writer, rs []testedRoute) {
	for _, r := range rs {
		verdict := "does not match"
		if r.Matched {
			verdict = "matches"
		}
		fmt.Fprintf(w, "%s: %s\n", r.Route, verdict)
		for line := range bytes.Lines([]byte(r.Explain.String())) {
			fmt.Fprintf(w, "  %s", line)
		}
		if !r.Matched {
			continue
		}
		for _, t := range r.Targets {
			if t.Runbook != "" {
				fmt.Fprintf(w, "  starts runbook %s, mode %s\n", t.Runbook, t.Mode)
			} else {
				fmt.Fprintf(w, "  tells %s\n", t.Notify)
			}
		}
	}
}

// readTestedRoutes reads routes in any of the shapes in which people keep them.
func readTestedRoutes(name string) ([]bus.Route, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(root.Content) == 0 {
		return nil, fmt.Errorf("%s: it is empty", name)
	}
	top := root.Content[0]
	var routes []bus.Route
	switch {
	case top.Kind == yaml.SequenceNode:
		err = top.Decode(&routes)
	case top.Kind != yaml.MappingNode:
		err = errors.New("want a configuration, a list of routes, a route or an event pattern")
	case has(top, "routes"):
		var c struct {
			Routes []bus.Route `yaml:"routes"`
		}
		err = top.Decode(&c)
		routes = c.Routes
	case has(top, "pattern"):
		var r bus.Route
		err = top.Decode(&r)
		routes = []bus.Route{r}
	default:
		r := bus.Route{Name: name}
		err = top.Decode(&r.Pattern)
		routes = []bus.Route{r}
	}
	if err == nil && len(routes) == 0 {
		err = errors.New("it holds no route")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return routes, nil
}

func has(n *yaml.Node, key string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return true
		}
	}
	return false
}

// readInput reads a file, or standard input for "-".
func readInput(stdin io.Reader, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(stdin, 64<<20))
	}
	return os.ReadFile(name)
}
