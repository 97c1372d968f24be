package main

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"homeostat/automation"
	"homeostat/internal/action"
	"homeostat/internal/action/aws"
)

// runbookIAM is homeostat runbook iam.
func runbookIAM() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "iam FILE|NAME...", Short: "Print the least IAM policy with which runbooks can be carried out", Args: cobra.MinimumNArgs(1),
		Long: `Print, as JSON, the IAM policy that allows what the named runbooks' steps call on AWS and nothing else. What their resources
will be isn't known before an execution, so they are "*" where a step doesn't write an ARN out. Exit status 1 where what a
step calls is known only when it runs, or may not be called at all.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var docs []*automation.Document
			for _, a := range args {
				d, err := parseRunbook(a)
				if err != nil {
					return err
				}
				docs = append(docs, d)
			}
			policy, err := aws.New(nil, aws.HandsConfig{}).Policy(docs, parseRunbook)
			if err != nil {
				return &exitError{1, err}
			}
			enc := json.NewEncoder(cmd.OutOrStdout())
			if !asJSON {
				enc.SetIndent("", "  ")
			}
			return enc.Encode(policy)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "the same in one line")
	return cmd
}

// parseRunbook reads a document: a file, else a built-in one.
func parseRunbook(arg string) (*automation.Document, error) {
	name, text, err := readRunbook(arg)
	if err != nil {
		return nil, err
	}
	d, err := automation.Parse(name, text)
	if err != nil {
		return nil, &exitError{1, err}
	}
	return d, nil
}

// unknownCalls are the steps that call what is outside the allow-list: AWS takes such a document, and here it can't be run.
func unknownCalls(steps []automation.Step) []error {
	var errs []error
	for _, s := range steps {
		if err := action.Known(automation.Call{Action: s.Action, Inputs: s.Inputs}); err != nil {
			errs = append(errs, &automation.PlaceError{Pos: s.Pos, Err: err})
		}
		errs = append(errs, unknownCalls(s.Steps)...)
	}
	return errs
}
