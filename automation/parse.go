package automation

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"go/token"
	"path"
	"slices"
	"strings"
)

// Parse reads a document, JSON or YAML. name is what errors call the file, and without folder and extension the document's
// own name. The error joins a *PlaceError for each mistake, in the order of the text.
func Parse(name string, text []byte) (*Document, error) {
	sum := sha256.Sum256(text)
	base := path.Base(strings.ReplaceAll(name, `\`, "/"))
	d := &Document{Name: strings.TrimSuffix(base, path.Ext(base)), Version: hex.EncodeToString(sum[:])}
	p := &parser{reader: reader{file: name}, actions: actions(), plugins: plugins(), doc: d, source: string(text)}
	if root := p.read(text); len(p.errs) == 0 {
		p.document(root)
	}
	d.warnings = inOrder(p.warnings)
	if len(p.errs) > 0 {
		return nil, errors.Join(inOrder(p.errs)...)
	}
	return d, nil
}

// inOrder sorts mistakes by place, and leaves out what is said twice.
func inOrder(errs []error) []error {
	pos := func(err error) token.Position {
		if e, ok := errors.AsType[*PlaceError](err); ok {
			return e.Pos
		}
		return token.Position{}
	}
	slices.SortStableFunc(errs, func(a, b error) int {
		return cmp.Or(cmp.Compare(pos(a).Line, pos(b).Line), cmp.Compare(pos(a).Column, pos(b).Column))
	})
	return slices.CompactFunc(errs, func(a, b error) bool { return a.Error() == b.Error() })
}

// parser builds a Document from nodes. It goes on after a mistake, to find them all.
type parser struct {
	reader
	actions   map[string]action
	plugins   map[string]plugin
	doc       *Document
	source    string
	stepNames map[string]token.Position
	uses      []use // references, checked when all names are known
}

// use is a reference in a text.
type use struct {
	name  string
	pos   token.Position
	shell bool       // it stands in the text of a script
	scope *stepScope // the steps among which it stands; nil in the document's outputs
	step  int        // index in the scope, -1 outside steps
	key   string     // the input that it is in
	lax   bool       // within a script: an unknown name is a warning, as the braces may be the script's own
}

// want reports a node of another kind.
func (p *parser) want(n node, kind nodeKind, what string) bool {
	if n.kind == kind {
		return true
	}
	p.errorf(n.pos, "%s: %s is wanted, not %s", what, kind, n.kind)
	return false
}

func (p *parser) text(n node, what string) string {
	if !p.want(n, scalarNode, what) {
		return ""
	}
	if n.value == nil {
		return ""
	}
	return n.raw
}

func (p *parser) textAt(n node, key, what string) string {
	v, ok := n.get(key)
	if !ok {
		return ""
	}
	return p.text(v, what+"."+key)
}

// knownKeys reports fields that aren't in known.
func (p *parser) knownKeys(n node, what string, known []string) {
	for _, f := range n.fields {
		if !slices.Contains(known, f.name) {
			p.errorf(f.pos, "%s has no property %q%s", what, f.name, didYouMean(f.name, known))
		}
	}
}

func (p *parser) boolean(n node, what string) bool {
	v, err := coerce(n.plain(), "Boolean")
	if err != nil {
		p.errorf(n.pos, "%s: true or false is wanted, not %s", what, quoted(n.plain()))
		return false
	}
	return v.(bool)
}

func (p *parser) integer(n node, what string, least, most int64) int64 {
	v, err := coerce(n.plain(), "Integer")
	if err != nil || v.(int64) < least || v.(int64) > most {
		p.errorf(n.pos, "%s: a whole number from %d to %d is wanted, not %s", what, least, most, quoted(n.plain()))
		return least
	}
	return v.(int64)
}

var (
	automationKeys = []string{"schemaVersion", "description", "assumeRole", "parameters", "variables", "mainSteps", "outputs", "files"}
	commandKeys    = []string{"schemaVersion", "description", "parameters", "mainSteps", "files", "assumeRole"}
	oldCommandKeys = []string{"schemaVersion", "description", "parameters", "runtimeConfig"}
)

func (p *parser) document(root node) {
	if !p.want(root, mapNode, "the document") {
		return
	}
	d := p.doc
	version, ok := root.get("schemaVersion")
	if !ok {
		p.errorf(root.pos, `schemaVersion is missing: "0.3" of Automation, "2.2" of Command`)
		return
	}
	d.SchemaVersion = p.text(version, "schemaVersion")
	keys := automationKeys
	switch d.SchemaVersion {
	case "0.3":
		d.Type = TypeAutomation
	case "2.2", "2.0":
		d.Type, keys = TypeCommand, commandKeys
	case "1.2":
		d.Type, keys = TypeCommand, oldCommandKeys
	default:
		p.errorf(version.pos, `schemaVersion: "0.3" (Automation) or "2.2" (Command; 2.0 and 1.2 too), not %q`, d.SchemaVersion)
		return
	}
	p.knownKeys(root, "a document of schemaVersion "+d.SchemaVersion, keys)
	d.Description = p.textAt(root, "description", "document")
	command := d.Type == TypeCommand
	if n, ok := root.get("parameters"); ok {
		d.Parameters = p.parameters(n, "parameters", command)
	}
	if n, ok := root.get("variables"); ok && !command {
		d.Variables = p.parameters(n, "variables", false)
	}
	if n, ok := root.get("assumeRole"); ok {
		d.AssumeRole = p.text(n, "assumeRole")
		p.usesIn(n, nil, -1, "assumeRole", false)
	}
	if n, ok := root.get("files"); ok {
		p.files(n)
	}
	body := "mainSteps"
	if d.SchemaVersion == "1.2" {
		body = "runtimeConfig"
	}
	steps, ok := root.get(body)
	if ok && body == "runtimeConfig" {
		steps = p.runtimeConfig(steps)
	}
	switch {
	case !ok:
		p.errorf(root.pos, "%s is missing", body)
		return
	case !p.want(steps, listNode, body):
		return
	case len(steps.items) == 0:
		p.errorf(steps.pos, "%s is empty", body)
		return
	}
	if command {
		d.Steps = p.commandSteps(steps)
	} else {
		scope := p.steps(steps, nil, 0)
		d.Steps = scope.steps
		if n, ok := root.get("outputs"); ok {
			p.documentOutputs(n, scope)
		}
	}
	p.checkUses()
	p.checkShellText()
}

// files is what the document brings along: names and their SHA-256.
func (p *parser) files(n node) {
	if !p.want(n, mapNode, "files") {
		return
	}
	p.doc.Files = map[string]string{}
	for _, f := range n.fields {
		p.warnf(f.pos, "files.%s: an attachment isn't in the document; where it isn't at hand, a step that needs it can't run", f.name)
		if !p.want(f.value, mapNode, "files."+f.name) {
			continue
		}
		p.knownKeys(f.value, "files."+f.name, []string{"checksums", "size"})
		sum := ""
		if c, ok := f.value.get("checksums"); ok && p.want(c, mapNode, "files."+f.name+".checksums") {
			sum = strings.ToLower(p.textAt(c, "sha256", "files."+f.name+".checksums"))
		}
		p.doc.Files[f.name] = sum
	}
}

func (p *parser) documentOutputs(n node, scope *stepScope) {
	if !p.want(n, listNode, "outputs") {
		return
	}
	for _, it := range n.items {
		name := strings.TrimSpace(p.text(it, "outputs"))
		if name == "" {
			continue
		}
		if isReference(name) {
			name = references(name)[0]
		}
		p.doc.Outputs = append(p.doc.Outputs, name)
		p.uses = append(p.uses, use{name: name, pos: it.pos, scope: scope, step: len(scope.steps), key: "outputs"})
	}
}
