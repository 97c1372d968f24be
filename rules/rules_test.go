package rules_test

import (
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"

	"homeostat/rules"
)

// load returns all rules of the files, by their names.
func load(t *testing.T) map[string]rulefmt.Rule {
	t.Helper()
	names, err := fs.Glob(rules.Files, "*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatalf("no rule files: %v", err)
	}
	all := map[string]rulefmt.Rule{}
	for _, name := range names {
		text, err := fs.ReadFile(rules.Files, name)
		if err != nil {
			t.Fatal(err)
		}
		groups, errs := rulefmt.Parse(text, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
		for _, err := range errs {
			t.Errorf("%s: %v", name, err)
		}
		for _, g := range groups.Groups {
			for _, r := range g.Rules {
				all[r.Alert] = r
			}
		}
	}
	return all
}

func TestEachRuleSaysWhatAPersonNeeds(t *testing.T) {
	all := load(t)
	for name, hold := range map[string]time.Duration{"HighCPU": 5 * time.Minute, "MemoryLeak": time.Minute, "DiskSpace": 2 * time.Minute} {
		r, ok := all[name]
		if !ok {
			t.Errorf("no rule %s", name)
			continue
		}
		if time.Duration(r.For) != hold {
			t.Errorf("%s: for %s, want %s", name, r.For, hold)
		}
		if s := r.Labels["severity"]; s != "warning" && s != "critical" {
			t.Errorf("%s: severity %q", name, s)
		}
		if s := r.Annotations["summary"]; !strings.Contains(s, "$value") || strings.Contains(s, "\n") {
			t.Errorf("%s: summary %q", name, s)
		}
	}
}

// The cases are in the language of Prometheus' own tests: series from minute 0 on, a value a minute; then when the rule's
// expression is asked, and what it gives.
func TestRulesHoldWhenTheyShould(t *testing.T) {
	all := load(t)
	const cpu, mem, disk = "system_cpu_utilization_ratio", "system_memory_utilization_ratio", "system_filesystem_utilization_ratio"
	for _, tt := range []struct{ name, rule, series, at, want string }{
		{
			"a busy CPU", "HighCPU",
			cpu + `{cpu_mode="idle",host_name="web-1"} 0.05x10
			` + cpu + `{cpu_mode="iowait",host_name="web-1"} 0.05x10
			` + cpu + `{cpu_mode="user",host_name="web-1"} 0.9x10`,
			"10m", `{host_name="web-1"} 0.9`,
		},
		{
			"one that waits for its disk isn't busy", "HighCPU",
			cpu + `{cpu_mode="idle",host_name="web-1"} 0.05x10
			` + cpu + `{cpu_mode="iowait",host_name="web-1"} 0.9x10`,
			"10m", "",
		},
		{
			"80 % is not above 80 %", "HighCPU", cpu + `{cpu_mode="idle",host_name="web-1"} 0.25x10`, "10m", "",
		},
		{
			"hosts are told apart", "HighCPU",
			cpu + `{cpu_mode="idle",host_name="web-1"} 0.5x10
			` + cpu + `{cpu_mode="idle",host_name="web-2"} 0.125x10`,
			"10m", `{host_name="web-2"} 0.875`,
		},
		{
			"cores are taken together", "HighCPU",
			cpu + `{cpu_mode="idle",cpu_logical_number="0",host_name="web-1"} 0x10
			` + cpu + `{cpu_mode="idle",cpu_logical_number="1",host_name="web-1"} 0.5x10`,
			"10m", "",
		},
		{
			"a leak", "MemoryLeak", mem + `{system_memory_state="used",host_name="web-1"} 0.6+0.01x40`, "30m",
			`{system_memory_state="used",host_name="web-1"} 0.9`,
		},
		{
			"memory that is full and steady", "MemoryLeak", mem + `{system_memory_state="used",host_name="web-1"} 0.95x40`, "30m", "",
		},
		{
			"rising, but not yet high", "MemoryLeak", mem + `{system_memory_state="used",host_name="web-1"} 0.1+0.01x40`, "30m", "",
		},
		{
			"high and falling", "MemoryLeak", mem + `{system_memory_state="used",host_name="web-1"} 0.99-0.001x40`, "30m", "",
		},
		{
			"a short peak at the end is no trend", "MemoryLeak",
			mem + `{system_memory_state="used",host_name="web-1"} 0.7x27 0.95x4`, "31m", "",
		},
		{
			"a dip and a peak don't hide a leak", "MemoryLeak",
			mem + `{system_memory_state="used",host_name="web-1"} 0.7+0.005x12 0.2 0.77+0.005x12 0.99 0.85+0.005x8`, "34m",
			`{system_memory_state="used",host_name="web-1"} 0.88`,
		},
		{
			"too little rise", "MemoryLeak", mem + `{system_memory_state="used",host_name="web-1"} 0.9+0.0001x40`, "30m", "",
		},
		{
			"too young to tell", "MemoryLeak", mem + `{system_memory_state="used",host_name="web-1"} 0.86+0.01x8`, "8m", "",
		},
		{
			"a full disk", "DiskSpace",
			disk + `{system_filesystem_state="used",system_filesystem_mountpoint="/",host_name="web-1"} 0.9x5
			` + disk + `{system_filesystem_state="used",system_filesystem_mountpoint="/home",host_name="web-1"} 0.85x5
			` + disk + `{system_filesystem_state="free",system_filesystem_mountpoint="/",host_name="web-1"} 0.9x5`,
			"5m", disk + `{system_filesystem_state="used",system_filesystem_mountpoint="/",host_name="web-1"} 0.9`,
		},
		{
			"what can't be filled isn't full", "DiskSpace",
			disk + `{system_filesystem_state="used",system_filesystem_mountpoint="/snap/x",system_filesystem_type="squashfs"} 1x5
			` + disk + `{system_filesystem_state="used",system_filesystem_mountpoint="/cdrom",system_filesystem_mode="ro"} 1x5
			` + disk + `{system_filesystem_state="used",system_filesystem_mountpoint="/o",system_filesystem_type="overlay"} 1x5`,
			"5m", "",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var script strings.Builder
			script.WriteString("load 1m\n")
			for line := range strings.Lines(tt.series) {
				fmt.Fprintf(&script, "  %s\n", strings.TrimSpace(line))
			}
			fmt.Fprintf(&script, "\neval instant at %s %s\n  %s\n", tt.at, oneLine(t, all[tt.rule].Expr), tt.want)
			promqltest.RunTest(t, script.String(), promqltest.NewTestEngine(t, false, 5*time.Minute, 100_000))
		})
	}
}

// oneLine writes an expression without line breaks and comments.
func oneLine(t *testing.T, expr string) string {
	e, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Fatal(err)
	}
	return e.String()
}
