package automation

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
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
	warnings  []error
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

func (p *parser) warnf(pos token.Position, format string, args ...any) {
	p.warnings = append(p.warnings, &PlaceError{Pos: pos, Err: fmt.Errorf(format, args...)})
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
	case "2.2":
		d.Type, keys = TypeCommand, commandKeys
	case "1.2", "2.0":
		p.errorf(version.pos, `schemaVersion %q of Command documents is not supported: write it as "2.2", with mainSteps`, d.SchemaVersion)
		return
	default:
		p.errorf(version.pos, `schemaVersion: "0.3" (Automation) or "2.2" (Command), not %q`, d.SchemaVersion)
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
	steps, ok := root.get("mainSteps")
	switch {
	case !ok:
		p.errorf(root.pos, "mainSteps is missing")
		return
	case !p.want(steps, listNode, "mainSteps"):
		return
	case len(steps.items) == 0:
		p.errorf(steps.pos, "mainSteps is empty")
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

// files is what the document brings along: names and their SHA-256. None is at hand here.
func (p *parser) files(n node) {
	if !p.want(n, mapNode, "files") {
		return
	}
	for _, f := range n.fields {
		p.warnf(f.pos, "files.%s: attachments are not at hand here; a step that needs it can't run", f.name)
		if p.want(f.value, mapNode, "files."+f.name) {
			p.knownKeys(f.value, "files."+f.name, []string{"checksums", "size"})
		}
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

var (
	stepName = regexp.MustCompile(`^[a-zA-Z0-9_]{1,128}$`)
	stepKeys = []string{
		"name", "action", "description", "inputs", "onFailure", "onCancel", "isCritical", "isEnd", "nextStep",
		"timeoutSeconds", "maxAttempts", "outputs",
	}
)

// stepScope is a list of steps that see each other: mainSteps, or the steps of a loop within an outer scope.
type stepScope struct {
	steps []Step
	outer *stepScope
	at    int          // index of the loop in the outer scope
	reach [][]bool     // reach[i][j]: step j can come after step i
	known map[int]bool // indexes of steps whose action is known, so that their outputs are
}

func (sc *stepScope) index(name string) int {
	return slices.IndexFunc(sc.steps, func(s Step) bool { return s.Name == name })
}

func (sc *stepScope) names() []string {
	var names []string
	for _, s := range sc.steps {
		names = append(names, s.Name)
	}
	return names
}

// steps reads a list of Automation steps and checks the ways between them.
func (p *parser) steps(list node, outer *stepScope, at int) *stepScope {
	sc := &stepScope{outer: outer, at: at, known: map[int]bool{}}
	if outer != nil && len(list.items) == 0 {
		p.errorf(list.pos, "a loop needs steps")
	}
	for i, it := range list.items {
		sc.steps = append(sc.steps, Step{})
		sc.steps[i] = p.step(it, sc, i)
	}
	p.checkNames(list, sc)
	p.checkWays(list, sc)
	return sc
}

func (p *parser) step(n node, sc *stepScope, i int) Step {
	s := Step{Pos: n.pos, OnFailure: "Abort", OnCancel: "Abort", IsCritical: true, MaxAttempts: 1}
	if !p.want(n, mapNode, "a step") {
		return s
	}
	s.Name = p.stepName(n)
	where := fmt.Sprintf("step %q", s.Name)
	p.knownKeys(n, where, stepKeys)
	s.Description = p.textAt(n, "description", where)
	s.NextStep = p.textAt(n, "nextStep", where)
	if v, ok := n.get("onFailure"); ok {
		if s.OnFailure = p.way(v, where+".onFailure", "Abort", "Continue"); s.OnFailure == "Continue" {
			s.IsCritical = false
		}
	}
	if v, ok := n.get("isCritical"); ok {
		s.IsCritical = p.boolean(v, where+".isCritical")
	}
	if v, ok := n.get("isEnd"); ok {
		s.IsEnd = p.boolean(v, where+".isEnd")
	}
	if v, ok := n.get("maxAttempts"); ok {
		s.MaxAttempts = int(p.integer(v, where+".maxAttempts", 1, 1000))
	}
	if v, ok := n.get("timeoutSeconds"); ok {
		s.Timeout = time.Duration(p.integer(v, where+".timeoutSeconds", 1, 31_536_000)) * time.Second
	}
	if v, ok := n.get("outputs"); ok {
		s.Outputs = p.stepOutputs(v, where)
	}
	a, known := p.action(n, &s, where)
	sc.known[i] = known
	if v, ok := n.get("onCancel"); ok {
		s.OnCancel = p.way(v, where+".onCancel", "Abort")
		if known && a.noCancel {
			p.warnf(v.pos, "%s: onCancel has no effect on %s", where, s.Action)
		}
	}
	if !known {
		return s
	}
	if s.Timeout == 0 {
		s.Timeout = a.timeout
	}
	p.inputs(n, &s, a, sc, i)
	return s
}

func (p *parser) stepName(n node) string {
	v, ok := n.get("name")
	if !ok {
		p.errorf(n.pos, "a step needs a name")
		return ""
	}
	name := p.text(v, "name")
	if !stepName.MatchString(name) {
		p.errorf(v.pos, "%q is not a step's name: letters, digits and _, 128 at most", name)
	}
	return name
}

// way reads where to go: one of the words, or step:NAME.
func (p *parser) way(n node, where string, words ...string) string {
	way := p.text(n, where)
	if name, ok := strings.CutPrefix(way, "step:"); ok {
		return "step:" + strings.TrimSpace(name)
	}
	if !slices.Contains(words, way) {
		p.errorf(n.pos, "%s: %s or step:NAME, not %q%s", where, strings.Join(words, ", "), way, didYouMean(way, words))
		return "Abort"
	}
	return way
}

func (p *parser) action(n node, s *Step, where string) (action, bool) {
	v, ok := n.get("action")
	if !ok {
		p.errorf(n.pos, "%s needs an action", where)
		return action{}, false
	}
	s.Action = p.text(v, where+".action")
	a, ok := p.actions[s.Action]
	if !ok {
		why := didYouMean(s.Action, sortedKeys(p.actions))
		if _, command := p.plugins[s.Action]; command {
			why = " of Automation documents, but a plugin of Command documents"
		}
		p.errorf(v.pos, "%s: %q is not an action%s", where, s.Action, why)
	}
	return a, ok
}

// inputs reads and checks a step's inputs.
func (p *parser) inputs(n node, s *Step, a action, sc *stepScope, i int) {
	where := fmt.Sprintf("step %q", s.Name)
	in, ok := n.get("inputs")
	if !ok || in.kind == scalarNode && in.value == nil {
		in = node{pos: n.pos, kind: mapNode}
	}
	if !p.want(in, mapNode, where+".inputs") {
		return
	}
	for _, name := range a.required {
		if _, ok := in.get(name); !ok {
			p.errorf(in.pos, "%s: %s needs the input %s", where, s.Action, name)
		}
	}
	known := slices.Concat(a.required, a.optional)
	scope, at := sc, i
	if body, ok := in.get("Steps"); ok && s.Action == "aws:loop" && p.want(body, listNode, where+".Steps") {
		scope = p.steps(body, sc, i) // LoopCondition sees the outputs of the loop's steps
		at = len(scope.steps)
		s.Steps = scope.steps
	}
	for _, f := range in.fields {
		if !a.open && !slices.Contains(known, f.name) {
			p.errorf(f.pos, "%s: %s has no input %q%s", where, s.Action, f.name, didYouMean(f.name, known))
		}
		switch {
		case s.Action == "aws:loop" && f.name == "Steps":
		case s.Action == "aws:loop" && f.name == "LoopCondition":
			p.usesIn(f.value, scope, at, f.name, false)
		default:
			p.usesIn(f.value, sc, i, f.name, s.Action == "aws:executeScript" && f.name == "Script")
		}
	}
	p.scriptUses(s, in)
	s.Inputs, _ = in.plain().(map[string]any)
	if s.Action == "aws:loop" {
		delete(s.Inputs, "Steps")
	}
	if a.check != nil {
		a.check(p, s, in)
	}
}

// usesIn notes the references in a node, for checkUses.
func (p *parser) usesIn(n node, sc *stepScope, i int, key string, lax bool) {
	n.walk(func(n node) {
		text, ok := n.value.(string)
		if ok && n.kind == scalarNode {
			for _, name := range references(text) {
				p.uses = append(p.uses, use{name: name, pos: n.pos, scope: sc, step: i, key: key, lax: lax})
			}
		}
		for _, f := range n.fields {
			for _, name := range references(f.name) {
				p.uses = append(p.uses, use{name: name, pos: f.pos, scope: sc, step: i, key: key, lax: lax})
			}
		}
	})
}

func (p *parser) stepOutputs(n node, where string) []Output {
	if !p.want(n, listNode, where+".outputs") {
		return nil
	}
	var outs []Output
	for _, it := range n.items {
		if !p.want(it, mapNode, where+".outputs") {
			continue
		}
		p.knownKeys(it, where+".outputs", []string{"Name", "Selector", "Type"})
		o := Output{Pos: it.pos, Name: p.textAt(it, "Name", where), Selector: p.textAt(it, "Selector", where), Type: p.textAt(it, "Type", where)}
		if o.Name == "" || o.Selector == "" {
			p.errorf(it.pos, "%s.outputs: an output needs a Name and a Selector", where)
		}
		if slices.ContainsFunc(outs, func(b Output) bool { return b.Name == o.Name }) {
			p.errorf(it.pos, "%s.outputs: %q is here twice", where, o.Name)
		}
		if v, ok := it.get("Type"); ok {
			p.parameterType(v, o.Type, where+".outputs."+o.Name, false)
		}
		if v, ok := it.get("Selector"); ok && o.Selector != "" {
			if _, err := parsePath(o.Selector); err != nil {
				p.errorf(v.pos, "%s.outputs.%s.Selector: %w", where, o.Name, err)
			}
		}
		outs = append(outs, o)
	}
	return outs
}

// literal is the text of an input when it is there and holds no reference.
func literal(in node, name string) (string, node, bool) {
	n, ok := in.get(name)
	if !ok || n.kind != scalarNode || n.value == nil || strings.Contains(n.raw, "{{") {
		return "", n, false
	}
	return n.raw, n, true
}

// oneOf checks that an input, where it is written out, is one of the words.
func oneOf(name string, words ...string) func(*parser, *Step, node) {
	return func(p *parser, s *Step, in node) {
		if v, n, ok := literal(in, name); ok && !slices.Contains(words, v) {
			p.errorf(n.pos, "step %q.%s: one of %s, not %s%s", s.Name, name, strings.Join(words, ", "), strconv.Quote(v), didYouMean(v, words))
		}
	}
}
