package main

import (
	"os"

	"github.com/spf13/cobra"

	"homeostat/internal/action/host"
)

// hostCommand is what the built-in Command documents call by "$HOMEOSTAT_BIN" host VERB. It is no part of the command line
// that people use, so help doesn't show it.
func hostCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "host VERB",
		Short:  "do one verb of the built-in Command documents: top, find-runaway, end",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return host.Command(cmd.Context(), args[0], os.Getenv, cmd.OutOrStdout())
		},
	}
}
