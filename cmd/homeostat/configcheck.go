package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"homeostat/eventpattern"
)

func configCommand() *cobra.Command {
	return group(&cobra.Command{Use: "config", Short: "Check the configuration"}, configCheckCommand())
}

func configCheckCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Check a configuration and all that it names: rule files, routes, runbooks",
		Long: `Reads the configuration as "homeostat run" would, with the rule files, event patterns and runbooks that it names, and
prints every mistake with file, line and column. Nothing is started and nothing is changed.

Without FILE the defaults are checked. Exit status: 0 when all is right, 2 when it isn't.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) == 1 {
				name = args[0]
			}
			c, p, err := loadConfig(name)
			warnings := []string{}
			if err == nil {
				warnings = p.warnings()
			}
			if asJSON {
				doc := struct {
					OK       bool     `json:"ok"`
					Mistakes []string `json:"mistakes"`
					Warnings []string `json:"warnings"`
				}{err == nil, []string{}, warnings}
				for _, e := range flatten(err) {
					doc.Mistakes = append(doc.Mistakes, e.Error())
				}
				if perr := printJSON(cmd.OutOrStdout(), doc); perr != nil {
					return perr
				}
			}
			if err != nil {
				if errors.Is(err, os.ErrNotExist) || !asJSON {
					return &exitError{2, err}
				}
				return &exitError{Code: 2}
			}
			if !asJSON {
				for _, w := range warnings {
					fmt.Fprintln(cmd.ErrOrStderr(), "warning:", w)
				}
				fmt.Fprintf(cmd.OutOrStdout(), "ok: mode %s, %s, %s, %s\n", c.Mode,
					counted(len(p.rules), "rule file"), counted(len(p.routes), "route"), counted(len(c.Notify), "notify target"))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

// warnings are what AWS would raise only on request, or what has no effect, in routes' patterns.
func (p *parts) warnings() []string {
	out := []string{}
	for _, r := range p.routes {
		text, err := json.Marshal(r.Pattern)
		if err != nil {
			continue
		}
		pattern, err := eventpattern.Parse("route "+r.Name+": pattern", text)
		if err != nil {
			continue // a mistake, told as one
		}
		for _, w := range pattern.Warnings() {
			out = append(out, w.Error())
		}
	}
	return out
}

// flatten takes nested joins of errors apart, in their order.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range j.Unwrap() {
			out = append(out, flatten(e)...)
		}
		return out
	}
	return []error{err}
}
