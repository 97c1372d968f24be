// Command homeostat keeps an environment inside its normal range: it watches metrics, learns what normal is, says what is
// wrong and why, and, within limits that its operator sets, puts it right and proves that it did.
//
// This package is the only one that knows the whole loop; run.go wires it in the order in which data goes.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// version is set by the build.
var version = "dev"

func main() { os.Exit(realMain()) }

// realMain runs the command line and returns its exit status: 0 done, 1 something wrong was found, 2 wrong usage or
// configuration.
func realMain() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := rootCommand().ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	ee, coded := errors.AsType[*exitError](err)
	if !coded || ee.Err != nil {
		fmt.Fprintln(os.Stderr, "homeostat:", err)
	}
	if coded {
		return ee.Code
	}
	return 1
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "homeostat",
		Short: "Keeps an environment inside its normal range",
		Long: `Homeostat watches metrics and audit logs, learns what normal is, says what is wrong and why, and, within
limits that its operator sets, puts it right and proves that it did.

Start with "homeostat run" and open http://127.0.0.1:8080. Nothing is changed until a route's mode and the
configuration's mode both say so; the default is observe.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version,
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &exitError{2, fmt.Errorf("%w%s\nSee '%s --help'", err, nearFlag(cmd, err), cmd.CommandPath())}
	})
	section := func(title string, cmds ...*cobra.Command) {
		root.AddGroup(&cobra.Group{ID: title, Title: title})
		for _, c := range cmds {
			c.GroupID = title
		}
		root.AddCommand(cmds...)
	}
	section("The loop:", runCommand(), configCommand(), gamedayCommand(), pauseCommand(), resumeCommand())
	section("What happens:", incidentCommand(), whyCommand(), eventCommand(), anomalyCommand(), entityCommand(), modelCommand(), detectorCommand())
	section("What is done:", runbookCommand(), auditCommand())
	section("Without a loop:", backtestCommand(), forecastCommand(), matchCommand(), cloudtrailCommand(), trainCommand(), serveCommand())
	group(root, versionCommand(), gamedayChildCommand(), hostCommand())
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			group(c)
		}
	}
	usageErrors(root)
	return root
}

// nearFlag names the flag that was meant where one that isn't known was given. Cobra knows how to do that for commands.
func nearFlag(cmd *cobra.Command, err error) string {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok || len(unknown.GetSpecifiedName()) < 2 {
		return ""
	}
	names := &cobra.Command{SuggestionsMinimumDistance: 2}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		names.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
	})
	if near := names.SuggestionsFor(unknown.GetSpecifiedName()); len(near) > 0 {
		return "; did you mean --" + near[0] + "?"
	}
	return ""
}

// group makes cmd a command that only holds others: alone it prints its help, and a name that it doesn't hold is wrong usage.
func group(cmd *cobra.Command, subs ...*cobra.Command) *cobra.Command {
	cmd.AddCommand(subs...)
	cmd.SuggestionsMinimumDistance = 2
	cmd.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		near := ""
		if s := c.SuggestionsFor(args[0]); len(s) > 0 {
			near = "; did you mean " + s[0] + "?"
		}
		return fmt.Errorf("unknown command %q%s", args[0], near)
	}
	cmd.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	return cmd
}

// usageErrors makes wrong arguments exit with status 2, as wrong flags do.
func usageErrors(cmd *cobra.Command) {
	if args := cmd.Args; args != nil {
		cmd.Args = func(c *cobra.Command, a []string) error {
			err := args(c, a)
			if err == nil {
				return nil
			}
			switch {
			case c.HasSubCommands():
			case len(c.ValidArgs) > 0:
				err = fmt.Errorf("%s: want one of %s", strings.TrimSpace(c.Name()+" "+strings.Join(a, " ")), strings.Join(c.ValidArgs, ", "))
			default: // what is needed says more than how many were counted
				err = fmt.Errorf("%s given; usage: %s", count(len(a), "argument"), c.UseLine())
			}
			return &exitError{2, fmt.Errorf("%w\nSee '%s --help'", err, c.CommandPath())}
		}
	}
	for _, c := range cmd.Commands() {
		usageErrors(c)
	}
}

func versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]string{
					"version": version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH,
				})
			}
			fmt.Fprintln(cmd.OutOrStdout(), version)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}
