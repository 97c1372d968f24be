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
	"github.com/prometheus/prometheus/rules"
	"go.yaml.in/yaml/v3"

	"homeostat/internal/signal"
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
		told := map[string]bool{}
		for _, err := range errs {
			// What isn't YAML is told by each of rulefmt's two passes.
			if err := placed(f, err); !told[err.Error()] {
				told[err.Error()] = true
				mistakes = append(mistakes, err)
			}
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

// AlertingRules returns the alerting rules of files, which must be right: in the order of the files.
func AlertingRules(files []RuleFile) ([]signal.Rule, error) {
	l, err := loadRules(files, nil)
	if err != nil {
		return nil, err
	}
	var out []signal.Rule
	for _, f := range files {
		for _, g := range l[f.Name].Groups {
			for _, r := range g.Rules {
				if r.Alert != "" {
					out = append(out, signal.Rule{Name: r.Alert, Expr: r.Expr, Severity: severity(rules.FromMaps(g.Labels, r.Labels).Get("severity"))})
				}
			}
		}
	}
	return out, nil
}

var (
	yamlLine  = regexp.MustCompile(`^yaml: (?:unmarshal errors:\s*)?line (\d+): `)
	lineFirst = regexp.MustCompile(`^\d+:\d+: `)
)

// placed gives a mistake of rulefmt its file, line and column. Rulefmt tells the place of most; for the others it is looked
// for in the text.
func placed(f RuleFile, err error) error {
	text := err.Error()
	if lineFirst.MatchString(text) {
		return fmt.Errorf("%s:%w", f.Name, err)
	}
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		return fmt.Errorf("%s:%s:1: %s", f.Name, m[1], text[len(m[0]):])
	}
	line, column := 1, 1
	var doc yaml.Node
	if e, ok := errors.AsType[*rulefmt.Error](err); ok && yaml.Unmarshal(f.Text, &doc) == nil {
		if n := ruleNode(&doc, e.Group, e.Rule); n != nil {
			line, column = n.Line, n.Column
		}
	}
	return fmt.Errorf("%s:%d:%d: %w", f.Name, line, column, err)
}

// ruleNode returns the place of the group's rule with this number, from 1, or of the group itself for 0.
func ruleNode(doc *yaml.Node, group string, rule int) *yaml.Node {
	child := func(n *yaml.Node, key string) *yaml.Node {
		if n == nil || n.Kind != yaml.MappingNode {
			return nil
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				return n.Content[i+1]
			}
		}
		return nil
	}
	if len(doc.Content) == 0 {
		return nil
	}
	groups := child(doc.Content[0], "groups")
	if groups == nil {
		return nil
	}
	for _, g := range groups.Content {
		if name := child(g, "name"); name == nil || name.Value != group {
			continue
		}
		if rules := child(g, "rules"); rules != nil && rule > 0 && rule <= len(rules.Content) {
			return rules.Content[rule-1]
		}
		return g
	}
	return nil
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
