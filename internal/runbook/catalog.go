package runbook

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"homeostat/automation"
	"homeostat/internal/signal"
)

// Catalog is the documents that executions begin with: the built-in ones and the operator's. It does not change.
type Catalog struct {
	docs map[string]document
}

type document struct {
	*automation.Document
	text    string
	file    string
	builtin bool
}

// LoadCatalog parses the documents of builtin and of the folders dirs (*.yaml, *.yml, *.json). The error joins every mistake
// of every document with its place; a name that two documents have is one.
func LoadCatalog(builtin fs.FS, dirs []string) (*Catalog, error) {
	c := &Catalog{docs: map[string]document{}}
	var errs []error
	if builtin != nil {
		errs = append(errs, c.load(builtin, "", true))
	}
	for _, dir := range dirs {
		root, err := os.OpenRoot(dir)
		if err != nil {
			errs = append(errs, fmt.Errorf("runbooks: %w", err))
			continue
		}
		errs = append(errs, c.load(root.FS(), dir, false), root.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Catalog) load(files fs.FS, dir string, builtin bool) error {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return fmt.Errorf("runbooks %s: %w", dir, err)
	}
	var errs []error
	for _, e := range entries {
		if !slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(e.Name())) || e.IsDir() {
			continue
		}
		text, err := fs.ReadFile(files, e.Name())
		if err != nil {
			errs = append(errs, err)
			continue
		}
		file := filepath.Join(dir, e.Name())
		doc, err := automation.Parse(file, text)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if other, ok := c.docs[doc.Name]; ok {
			where := other.file
			if other.builtin {
				where = "built-in " + where
			}
			errs = append(errs, fmt.Errorf("%s: a document called %s is there already: %s", file, doc.Name, where))
			continue
		}
		c.docs[doc.Name] = document{Document: doc, text: string(text), file: file, builtin: builtin}
	}
	return errors.Join(errs...)
}

// Document implements automation.Documents over the texts of today.
func (c *Catalog) Document(name, version string) (*automation.Document, error) {
	d, ok := c.docs[name]
	if !ok || version != "" && version != d.Version {
		return nil, fmt.Errorf("%s: %w", name, automation.ErrNoDocument)
	}
	return d.Document, nil
}

// Names are those of all documents, in order.
func (c *Catalog) Names() []string { return slices.Sorted(maps.Keys(c.docs)) }

// maxAttachment bounds what an attachment may have, in bytes.
const maxAttachment = 16 << 20

// Attachment returns a file that a version of a document declares under files: it lies in the folder NAME.files beside the
// document, and has the SHA-256 that the document says. Of a version that is no longer the one of today there is none.
func (c *Catalog) Attachment(document, version, name string) ([]byte, error) {
	d, ok := c.docs[document]
	sum, declared := "", false
	if ok && d.Version == version {
		sum, declared = d.Files[name]
	}
	if !declared || d.builtin {
		return nil, fmt.Errorf("attachment %s: %s declares none of that name", name, document)
	}
	root, err := os.OpenRoot(strings.TrimSuffix(d.file, path.Ext(d.file)) + ".files")
	if err != nil {
		return nil, fmt.Errorf("attachment %s is not at hand: %w", name, err)
	}
	defer root.Close()
	f, err := root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("attachment %s is not at hand: %w", name, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxAttachment+1))
	switch got := sha256.Sum256(text); {
	case err != nil:
		return nil, fmt.Errorf("attachment %s: %w", name, err)
	case len(text) > maxAttachment:
		return nil, fmt.Errorf("attachment %s has more than %d bytes", name, maxAttachment)
	case sum == "":
		return nil, fmt.Errorf("attachment %s: the document doesn't say its SHA-256, so it is not taken", name)
	case hex.EncodeToString(got[:]) != sum:
		return nil, fmt.Errorf("attachment %s is another file than the document declares: its SHA-256 is %x", name, got)
	}
	return text, nil
}

// uses returns name and version of each document that d may use, itself included: what it names, and what those name. Where
// a name is only known when it runs, that is the whole catalog.
func (c *Catalog) uses(d *automation.Document) map[string]string {
	out := map[string]string{}
	var visit func(d *automation.Document)
	var steps func(ss []automation.Step)
	visit = func(d *automation.Document) {
		if _, seen := out[d.Name]; seen {
			return
		}
		out[d.Name] = d.Version
		steps(d.Steps)
	}
	steps = func(ss []automation.Step) {
		for _, s := range ss {
			steps(s.Steps)
			name, ok := s.Inputs["DocumentName"].(string)
			switch {
			case !ok:
			case strings.Contains(name, "{{"):
				for _, other := range c.docs {
					out[other.Name] = other.Version
				}
			default:
				if other, ok := c.docs[name]; ok {
					visit(other.Document)
				}
			}
		}
	}
	visit(d)
	return out
}

// list returns all documents by name, without their texts.
func (c *Catalog) list(hands automation.Hands) []signal.Runbook {
	out := []signal.Runbook{}
	for _, name := range slices.Sorted(maps.Keys(c.docs)) {
		b := c.shown(c.docs[name], hands)
		b.Text = ""
		out = append(out, b)
	}
	return out
}

// shown is a document as people see it.
func (c *Catalog) shown(d document, hands automation.Hands) signal.Runbook {
	b := signal.Runbook{
		Name: d.Name, Version: d.Version, Kind: strings.ToLower(d.Type), Origin: d.file, Description: d.Description, Text: d.text,
	}
	if d.builtin {
		b.Origin = "built-in"
	}
	for _, p := range d.Parameters {
		b.Parameters = append(b.Parameters, signal.RunbookParameter{
			Name: p.Name, Type: p.Type, Description: p.Description, Default: p.Default, Required: p.Default == nil,
		})
	}
	for _, s := range d.Steps {
		b.Steps = append(b.Steps, signal.RunbookStep{Name: s.Name, Action: s.Action, Effect: c.effect(hands, s, 0).String()})
	}
	if d.Type == automation.TypeAutomation {
		for _, w := range automation.Ways(d.Steps) {
			b.Ways = append(b.Ways, signal.RunbookWay(w))
		}
	}
	for _, w := range d.Warnings() {
		b.Warnings = append(b.Warnings, w.Error())
	}
	return b
}

// maxNested is how deep documents are followed that name others.
const maxNested = 8

// effect says what a step does as far as documents alone tell: one that runs another document changes what that one changes.
func (c *Catalog) effect(hands automation.Hands, s automation.Step, depth int) automation.Effect {
	inner := s.Steps
	switch s.Action {
	case "aws:branch", "aws:sleep", "aws:approve", "aws:pause", "aws:updateVariable":
		return automation.Reading
	case "aws:loop":
	case "aws:runCommand", "aws:executeAutomation":
		name, _ := s.Inputs["DocumentName"].(string)
		d, ok := c.docs[name]
		if !ok || depth == maxNested {
			return automation.Changing
		}
		inner = d.Steps
	default:
		return hands.Effect(automation.Call{Step: s.Name, Action: s.Action, Inputs: s.Inputs})
	}
	for _, s := range inner {
		if c.effect(hands, s, depth+1) != automation.Reading {
			return automation.Changing
		}
	}
	return automation.Reading
}
