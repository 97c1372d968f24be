package history

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

// RuleFile is a Prometheus rule file.
type RuleFile struct {
	Name string // as mistakes tell it
	Text []byte
}

// ReadRuleFiles reads the rule files that the patterns match, each once, in the order of the patterns. A pattern without * or
// ? must name a file.
func ReadRuleFiles(patterns []string) ([]RuleFile, error) {
	var files []RuleFile
	var mistakes []error
	seen := map[string]bool{}
	for _, p := range patterns {
		names, err := filepath.Glob(p)
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("rule files %s: %w", p, err))
			continue
		}
		if len(names) == 0 && !regexp.MustCompile(`[*?\[]`).MatchString(p) {
			names = []string{p} // so that its absence is told
		}
		for _, n := range names {
			if seen[n] {
				continue
			}
			seen[n] = true
			text, err := os.ReadFile(n)
			if err != nil {
				mistakes = append(mistakes, fmt.Errorf("rule file: %w", err))
				continue
			}
			files = append(files, RuleFile{Name: n, Text: text})
		}
	}
	return files, errors.Join(mistakes...)
}

// CheckRules parses rule files and returns all mistakes, each as file:line:column: what.
func CheckRules(files []RuleFile) error {
	_, err := loadRules(files, nil)
	return err
}

// ruleLoader hands parsed rule files to Prometheus' rule manager.
type ruleLoader map[string]*rulefmt.RuleGroups

// loadRules parses rule files, and puts other times for rules' "for" in, where there are.
func loadRules(files []RuleFile, holds map[string]time.Duration) (ruleLoader, error) {
	l := ruleLoader{}
	var mistakes []error
	known := map[string]bool{}
	for _, f := range files {
		if l[f.Name] != nil {
			mistakes = append(mistakes, fmt.Errorf("%s: given twice", f.Name))
			continue
		}
		groups, errs := rulefmt.Parse(f.Text, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
		for _, err := range errs {
			mistakes = append(mistakes, placed(f.Name, err))
		}
		if len(errs) > 0 {
			continue
		}
		for i := range groups.Groups {
			for k := range groups.Groups[i].Rules {
				r := &groups.Groups[i].Rules[k]
				if d, ok := holds[r.Alert]; ok && r.Alert != "" {
					r.For = model.Duration(d)
				}
				known[r.Alert] = true
			}
		}
		l[f.Name] = groups
	}
	for name := range holds {
		if !known[name] && len(mistakes) == 0 {
			mistakes = append(mistakes, fmt.Errorf("no rule is called %s, whose \"for\" is to be another", name))
		}
	}
	return l, errors.Join(mistakes...)
}

var (
	yamlLine  = regexp.MustCompile(`^yaml: (?:unmarshal errors:\s*)?line (\d+): `)
	lineFirst = regexp.MustCompile(`^\d+:\d+: `)
)

// placed gives a mistake of rulefmt its file, and line and column in the one way, where it knows them.
func placed(file string, err error) error {
	text := err.Error()
	switch {
	case lineFirst.MatchString(text):
		return fmt.Errorf("%s:%w", file, err)
	case yamlLine.MatchString(text):
		m := yamlLine.FindStringSubmatch(text)
		return fmt.Errorf("%s:%s:1: %s", file, m[1], text[len(m[0]):])
	}
	return fmt.Errorf("%s:1:1: %w", file, err)
}

// Load returns a file's groups.
func (l ruleLoader) Load(name string, _ bool, _ model.ValidationScheme) (*rulefmt.RuleGroups, []error) {
	g, ok := l[name]
	if !ok {
		return nil, []error{fmt.Errorf("rule file %s isn't there", name)}
	}
	return g, nil
}

// Parse parses an expression.
func (ruleLoader) Parse(query string) (parser.Expr, error) {
	return parser.NewParser(parser.Options{}).ParseExpr(query)
}
