package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"homeostat/internal/source/cloudtrail"
)

func cloudtrailCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "cloudtrail", Short: "Check a trail's log files"}
	var key string
	var asJSON bool
	verify := &cobra.Command{
		Use:   "verify PATH...",
		Short: "Check log files against their digests",
		Long: `Checks a copy of a trail's log files against the digests beside them: that each log file that a digest names is there and
unaltered, that the digests are one chain without a gap and, with --key, that CloudTrail has signed them.

--key is the answer of "aws cloudtrail list-public-keys", or a key as PEM or DER. A digest's signature is in the next one. That
of the newest is the metadata "signature" of its object in S3: write it to FILE.signature beside the digest to have it checked.

Status 1 when something is altered or missing.`,
		Example: `  aws s3 sync s3://trail-bucket/AWSLogs logs/
  aws cloudtrail list-public-keys --start-time 2026-01-01 > keys.json
  homeostat cloudtrail verify --key keys.json logs/`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var keys *cloudtrail.Keys
			if key != "" {
				text, err := os.ReadFile(key)
				if err != nil {
					return &exitError{2, err}
				}
				if keys, err = cloudtrail.ReadKeys(text); err != nil {
					return &exitError{2, fmt.Errorf("--key %s: %w", key, err)}
				}
			}
			r, err := cloudtrail.Verify(cmd.Context(), args, keys)
			if err != nil {
				return &exitError{2, err}
			}
			out := cmd.OutOrStdout()
			if asJSON {
				if err := printJSON(out, r); err != nil {
					return err
				}
			} else {
				fmt.Fprintf(out, "%s: signature of %d holds, of %d not checked\n", count(r.Digests, "digest"), r.Signed, r.Unsigned)
				fmt.Fprintf(out, "%s named: %d as they were delivered; %d more that no digest names\n", count(r.Logs, "log file"), r.Verified, r.Extra)
				for _, p := range r.Problems {
					fmt.Fprintln(out, p)
				}
			}
			if len(r.Problems) > 0 {
				return &exitError{1, fmt.Errorf("%s with the trail", count(len(r.Problems), "problem"))}
			}
			if r.Digests == 0 {
				return &exitError{2, fmt.Errorf("no digests (*_CloudTrail-Digest_*.json.gz) below the paths")}
			}
			return nil
		},
	}
	verify.Flags().StringVar(&key, "key", "", "`FILE` with CloudTrail's public keys")
	verify.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	cmd.AddCommand(verify)
	return cmd
}
