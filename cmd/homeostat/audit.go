package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"homeostat/internal/store"
)

func auditCommand() *cobra.Command {
	return group(&cobra.Command{Use: "audit", Short: "The record of everything that was done"}, auditVerify())
}

func auditVerify() *cobra.Command {
	var data string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Walk the hash chain of the audit log",
		Long: `Reads the audit log in a data folder, beside a running loop too, and checks that no entry was changed, added or taken away:
each holds the hash of the one before it.

Exit status: 0 when the chain is whole, 1 when it isn't (the first bad entry is named), 2 when there is no log.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if data == "" {
				var err error
				if data, err = defaultDataDir(); err != nil {
					return &exitError{2, err}
				}
			}
			a, err := store.OpenAudit(cmd.Context(), data)
			if errors.Is(err, store.ErrTampered) || errors.Is(err, store.ErrDamaged) {
				return &exitError{1, err}
			}
			if errors.Is(err, fs.ErrNotExist) {
				err = fmt.Errorf("%w; name the data folder of 'homeostat run' with --data ('make run' has ./.data)", err)
			}
			if err != nil {
				return &exitError{2, err}
			}
			defer a.Close()
			n, verr := a.Verify(cmd.Context())
			if verr != nil && !errors.Is(verr, store.ErrTampered) {
				return verr
			}
			if asJSON {
				doc := struct {
					OK      bool   `json:"ok"`
					Entries int    `json:"entries"`
					Problem string `json:"problem,omitempty"`
				}{OK: verr == nil, Entries: n}
				if verr != nil {
					doc.Problem = verr.Error()
				}
				if err := printJSON(cmd.OutOrStdout(), doc); err != nil {
					return err
				}
			} else if verr == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "ok: %d entries, the chain is whole\n", n)
			}
			if verr != nil {
				return &exitError{1, verr}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "data folder `DIR`; $XDG_STATE_HOME/homeostat when empty")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}
