package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestEveryCommandIsDocumented walks the commands that people see: each says what it does, stands in docs/cli.md with all of
// its words, and has --json where it reports.
func TestEveryCommandIsDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "cli.md"))
	if err != nil {
		t.Fatal(err)
	}
	// These print what isn't a report: a server's log, lines of true and false, SageMaker's metrics. Cobra's own completion prints
	// a script for the shell.
	silent := []string{"homeostat run", "homeostat match", "homeostat train", "homeostat serve", "homeostat help"}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			path := sub.CommandPath()
			if sub.Hidden || sub.Name() == "help" || sub.Name() == "completion" {
				continue
			}
			if sub.Short == "" {
				t.Errorf("%s has no Short", path)
			}
			if sub.HasSubCommands() {
				walk(sub)
				continue
			}
			if !strings.Contains(string(page), "`"+path) {
				t.Errorf("docs/cli.md doesn't name `%s`", path)
			}
			if sub.Flags().Lookup("json") == nil && !slices.Contains(silent, path) {
				t.Errorf("%s has no --json", path)
			}
		}
	}
	walk(rootCommand())
}
