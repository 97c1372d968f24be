// Package host is the hands of a runbook's steps on this machine: shell scripts of Command documents, and three verbs of our
// own that such scripts call, to report processes, find a runaway one and end it.
//
// A script runs in a process group of its own, under the step's time-out, with a small environment and bounded output. Values
// reach it as environment variables (SSM_NAME), never as shell text. A script is taken to change the machine unless all of it
// is one call of a verb that only reads:
//
//	exec "$HOMEOSTAT_BIN" host find-runaway
//
// HOMEOSTAT_BIN is set here and nowhere else, so that this line means the same in whatever document it stands.
//
// What may be ended is decided by [Policy] and by the wall behind it, which no parameter takes down: pid 1, kernel threads,
// Homeostat and its ancestors, and the operator's protect list. A process is named by pid and start time, and both are looked
// at again right before the signal.
package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"homeostat/automation"
)

// Config says how steps run on this host. The zero value works.
type Config struct {
	Entity    string          // of this host ("host:web-1"); steps for another are refused. "" takes any
	Bin       string          // the program behind $HOMEOSTAT_BIN; our own executable when ""
	Protect   []string        // names of processes never to end; * and ? as in file names
	Dir       string          // where scripts are written, each in a folder of its own, see Sweep; the system's temporary folder when ""
	Growth    func() []Growth // how processes grew over the last hour, by the loop's record; nil: nobody knows
	StopGrace time.Duration   // what a script has after TERM, when its time is up or its execution was cancelled; 3 s when 0
	// Attachment returns a file that a version of a document declares, after a look at its checksum; nil: none is at hand.
	Attachment func(document, version, name string) ([]byte, error)
	MaxOutput  int // bytes kept of each of standard output and error; 24,000 when 0, as Run Command keeps characters
}

// Hands implements automation.Hands for this host. Safe for concurrent use.
type Hands struct {
	cfg Config
}

// New returns the hands of this host.
func New(c Config) (*Hands, error) {
	if c.Bin == "" {
		bin, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find our own program: %w", err)
		}
		c.Bin = bin
	}
	if c.Dir != "" {
		dir, err := filepath.Abs(c.Dir) // scripts have a working directory of their own
		if err != nil {
			return nil, err
		}
		c.Dir = dir
	}
	if c.StopGrace == 0 {
		c.StopGrace = 3 * time.Second
	}
	if c.MaxOutput == 0 {
		c.MaxOutput = 24_000
	}
	return &Hands{cfg: c}, nil
}

// Reaches says whether these hands can act on an entity: nil for this host.
func (h *Hands) Reaches(entity string) error {
	if h.cfg.Entity != "" && entity != h.cfg.Entity {
		return fmt.Errorf("this is %s, and %s can't be acted on from here", h.cfg.Entity, entity)
	}
	return nil
}

// verbs are what `homeostat host VERB` can do, and whether it changes anything.
var verbs = map[string]automation.Effect{
	"top": automation.Reading, "find-runaway": automation.Reading, "ask-person": automation.Reading,
	"report-memory": automation.Reading, "find-leak": automation.Reading, "memory-well": automation.Reading,
	"report-disk": automation.Reading, "disk-well": automation.Reading,
	"end": automation.Changing, "restart": automation.Changing, "collect": automation.Changing, "drop-caches": automation.Changing,
	"clean": automation.Changing, "rotate": automation.Changing, "grow": automation.Changing,
}

// verbOf returns the verb when all that a script does is to call it, else "".
func verbOf(script string) string {
	verb, ok := strings.CutPrefix(strings.TrimSpace(script), `exec "$HOMEOSTAT_BIN" host `)
	if _, known := verbs[verb]; !ok || !known {
		return ""
	}
	return verb
}

// Effect implements automation.Hands: Reading only for a script that is one call of a reading verb.
func (h *Hands) Effect(c automation.Call) automation.Effect {
	if c.Action != "aws:runShellScript" {
		return automation.Changing
	}
	if script, err := scriptOf(c); err == nil {
		return verbs[verbOf(script)] // the zero Effect is Changing
	}
	return automation.Changing
}

// Would implements automation.Hands.
func (h *Hands) Would(ctx context.Context, c automation.Call) (string, error) {
	if err := h.reachesAll(c); err != nil {
		return "", err
	}
	if c.Action == "aws:executeScript" {
		if name := textOf(c.Inputs["Attachment"]); name != "" {
			return fmt.Sprintf("run %s of the attachment %s on this host", textOf(c.Inputs["Handler"]), name), h.scriptAble(c)
		}
		return fmt.Sprintf("run a Python script of %d lines on this host", strings.Count(textOf(c.Inputs["Script"]), "\n")+1), h.scriptAble(c)
	}
	script, err := scriptOf(c)
	if err != nil {
		return "", err
	}
	if verbOf(script) == "end" {
		targets, err := targetsOf(c.Environment["SSM_Target"])
		if err != nil {
			return "", err
		}
		return "end " + describe(targets), nil
	}
	if verb := verbOf(script); verb != "" && verbs[verb] == automation.Changing {
		return h.rehearse(ctx, c, verb)
	}
	lines := strings.Split(strings.TrimSpace(script), "\n")
	first := lines[0]
	if len(first) > 100 {
		first = strings.ToValidUTF8(first[:100], "") + "..."
	}
	if len(lines) == 1 {
		return "run on this host: " + first, nil
	}
	return fmt.Sprintf("run a script of %d lines on this host, beginning: %s", len(lines), first), nil
}

// Do implements automation.Hands.
func (h *Hands) Do(ctx context.Context, c automation.Call) (map[string]any, error) {
	if err := h.reachesAll(c); err != nil {
		return nil, err
	}
	if c.Action == "aws:executeScript" {
		return h.script(ctx, c)
	}
	script, err := scriptOf(c)
	if err != nil {
		return nil, err
	}
	return h.run(ctx, c, script)
}

// LookUp implements automation.Hands. What came of ending a process is seen from the process: gone means done, and there
// means that it may be tried again. Of any other script nothing can be known.
func (h *Hands) LookUp(_ context.Context, c automation.Call) (map[string]any, error) {
	if c.Action == "aws:executeScript" {
		return nil, fmt.Errorf("a script was cut off: %w", automation.ErrUnknown)
	}
	script, err := scriptOf(c)
	if err != nil {
		return nil, err
	}
	switch verb := verbOf(script); verb {
	case "end", "restart":
	case "collect", "drop-caches", "clean", "rotate", "grow":
		return nil, fmt.Errorf("%s may be done again: %w", verb, automation.ErrNotDone)
	default:
		return nil, fmt.Errorf("a shell script was cut off: %w", automation.ErrUnknown)
	}
	targets, err := targetsOf(c.Environment["SSM_Target"])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, automation.ErrUnknown)
	}
	var all []Ended
	for _, t := range targets {
		now, err := processOf(t.PID)
		switch {
		case gone(now, err, t.Process):
			all = append(all, Ended{PID: t.PID, Name: t.Name, Cores: t.Cores, How: "gone"})
		case err != nil:
			return nil, fmt.Errorf("%w: %w", err, automation.ErrUnknown)
		default:
			return nil, fmt.Errorf("process %d (%s) is still there: %w", t.PID, t.Name, automation.ErrNotDone)
		}
	}
	r := endings(all)
	r.Changed = true // they may have gone by our own signal
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	return map[string]any{"Output": string(text), "ResponseCode": int64(0), "Status": "Success"}, nil
}

// rehearse says what a verb would do, by its own look at the machine.
func (h *Hands) rehearse(ctx context.Context, c automation.Call, verb string) (string, error) {
	env := map[string]string{}
	for _, v := range h.environment(c, "") {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	r, err := do(ctx, verb, func(name string) string { return env[name] }, true)
	switch r := r.(type) {
	case Done:
		return r.Text, err
	case Restarted:
		return r.Text, err
	}
	return verb, err
}

func (h *Hands) reachesAll(c automation.Call) error {
	for _, i := range c.Instances {
		if err := h.Reaches(i); err != nil {
			return err
		}
	}
	return nil
}

// scriptOf returns the lines of aws:runShellScript as one text.
func scriptOf(c automation.Call) (string, error) {
	if c.Action != "aws:runShellScript" {
		return "", fmt.Errorf("%s can't be done on this host", c.Action)
	}
	switch in := c.Inputs["runCommand"].(type) {
	case string:
		return in, nil
	case []any:
		var b strings.Builder
		for _, line := range in {
			s, ok := line.(string)
			if !ok {
				return "", fmt.Errorf("runCommand: want strings, not %T", line)
			}
			b.WriteString(s)
			b.WriteByte('\n')
		}
		return b.String(), nil
	case []string:
		return strings.Join(in, "\n") + "\n", nil
	}
	return "", errors.New("runCommand: want a list of lines")
}

// targetsOf reads what find-runaway has printed.
func targetsOf(text string) ([]Usage, error) {
	var r Runaways
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return nil, fmt.Errorf("target: want what find-runaway printed: %w", err)
	}
	if len(r.Processes) == 0 {
		return nil, errors.New("target: no process is named")
	}
	for _, p := range r.Processes {
		if p.PID <= 1 || p.Start == 0 {
			return nil, fmt.Errorf("target: process %d with start %d can't be told from another", p.PID, p.Start)
		}
	}
	return r.Processes, nil
}

// Able implements automation.Able.
func (h *Hands) Able(c automation.Call) error {
	switch c.Action {
	case "aws:runShellScript":
		return nil
	case "aws:executeScript":
		return h.scriptAble(c)
	}
	return fmt.Errorf("%s can't be done on this host", c.Action)
}
