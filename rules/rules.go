// Package rules holds the built-in threshold rules: Prometheus rule files, embedded in the binary. Each is a file that a user
// can take, change and load in place of ours, here or in a Prometheus.
package rules

import "embed"

// Files are the rule files, NAME.yaml each.
//
//go:embed *.yaml
var Files embed.FS
