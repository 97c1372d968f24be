package host

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Command does what `homeostat host VERB` is asked to by a Command document, and writes one JSON document, in one line, to
// out. Its parameters are environment variables, as Systems Manager hands them to scripts: SSM_NAME each; an empty one is its
// default. HOMEOSTAT_PROTECT has names a line, HOMEOSTAT_GROWTH what the loop's record of processes says of the last hour.
func Command(ctx context.Context, verb string, env func(string) string, out io.Writer) error {
	result, err := do(ctx, verb, env, false)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(result)
}

// do does a verb; dry: only says what it would do.
func do(ctx context.Context, verb string, env func(string) string, dry bool) (any, error) {
	s := settings{env: env}
	p := Policy{
		MinCores:      s.number("SSM_MinCores", 0, 1024),
		Window:        s.seconds("SSM_WindowSeconds", 0),
		MinCPUSeconds: s.number("SSM_MinCPUSeconds", 0, 1e9),
		Max:           int(s.number("SSM_Max", 0, 10)),
		Within:        int(s.number("SSM_Within", 0, 1<<31)),
		AllowSystem:   env("SSM_AllowSystem") == "true",
	}
	for name := range strings.SplitSeq(env("HOMEOSTAT_PROTECT"), "\n") {
		if name = strings.TrimSpace(name); name != "" {
			p.Protect = append(p.Protect, name)
		}
	}
	grace := s.seconds("SSM_GraceSeconds", 10*time.Second)
	top := int(s.number("SSM_Top", 10, 50))
	limit := uint64(s.number("SSM_LimitBytes", 0, 1e18))
	below := s.number("SSM_Below", 0.85, 1)
	switch verb {
	case "clean", "rotate", "report-disk", "disk-well", "grow":
		return doDisk(ctx, verb, &s, limit, below, dry)
	}
	leakRate := s.number("SSM_MinGrowth", 100_000, 1e12)
	if err := errors.Join(s.errs...); err != nil {
		return nil, err
	}
	switch verb {
	case "top":
		return Report(ctx, p.withDefaults().Window, top)
	case "find-runaway":
		return FindRunaways(ctx, p)
	case "end":
		return endAll(ctx, env("SSM_Target"), p, grace)
	case "ask-person":
		return nil, askPerson(env("SSM_Found"), env("SSM_Proposal"))
	case "report-memory":
		return reportMemory(ctx, p.Within, limit, growths(env("HOMEOSTAT_GROWTH")), top)
	case "find-leak":
		return findLeak(ctx, p.withDefaults(), leakRate, growths(env("HOMEOSTAT_GROWTH")))
	case "memory-well":
		used, of, err := memoryOf(p.Within, limit)
		if err != nil {
			return nil, err
		}
		return well("memory", used, of, below), nil
	case "collect":
		return collect(ctx, p, dry)
	case "drop-caches":
		rehearsed := env("SSM_Rehearse") == "true"
		d, err := dropCaches(dropFile, dry || rehearsed)
		if rehearsed && !dry {
			d.Text, d.Changed = "would "+d.Text+", and was only rehearsed", new(false)
		}
		return d, err
	case "restart":
		targets, err := targetsOf(env("SSM_Target"))
		if err != nil {
			return nil, err
		}
		return restart(ctx, targets[0], p, grace, dry)
	}
	return nil, fmt.Errorf("homeostat host %s: no such verb", verb)
}

// doDisk does a verb that is about a file system.
func doDisk(ctx context.Context, verb string, s *settings, limit uint64, below float64, dry bool) (any, error) {
	path := s.env("SSM_MountPoint")
	dirs := strings.Fields(s.env("SSM_Folders"))
	age := time.Duration(s.number("SSM_MinAgeHours", 168, 1e5) * float64(time.Hour))
	least := uint64(s.number("SSM_MinBytes", 1e6, 1e15))
	window := s.seconds("SSM_WindowSeconds", 3*time.Second)
	owners, err := uids(s.env("SSM_Owners"))
	if err := errors.Join(append(s.errs, err)...); err != nil {
		return nil, err
	}
	if len(dirs) == 0 && path == "" {
		return nil, errors.New("which file system?")
	}
	switch verb {
	case "clean":
		return clean(dirs, age, owners, dry)
	case "rotate":
		return rotate(ctx, logrotate{"/etc/logrotate.conf", "/var/log"}, dirs, least, dry)
	case "grow":
		return thisMachine().grow(ctx, path, dry)
	case "report-disk":
		return reportDisk(ctx, path, limit, window, dirs)
	}
	used, of, err := diskOf(path, limit)
	if err != nil {
		return nil, err
	}
	return well(path, used, of, below), nil
}

// askPerson is how a runbook ends that has found nothing to do or has not helped: with an error that says what was found and
// what a person could do. An execution that fails is told to people; one that succeeds in doing nothing would not be.
func askPerson(found, proposal string) error {
	var said struct {
		Text string `json:"text"`
	}
	if json.Unmarshal([]byte(found), &said) != nil || said.Text == "" {
		said.Text = "nothing more can be done from here"
	}
	return fmt.Errorf("%s; a person is needed: %s", said.Text, cmp.Or(proposal, "look at the report"))
}

// settings reads numbers out of the environment and keeps what is wrong with them.
type settings struct {
	env  func(string) string
	errs []error
}

// number returns a number from 0 to most; def when the variable is empty.
func (s *settings) number(name string, def, most float64) float64 {
	text := s.env(name)
	if text == "" {
		return def
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= 0 && v <= most) {
		s.errs = append(s.errs, fmt.Errorf("%s: %q: want a number from 0 to %g", name, text, most))
	}
	return v
}

func (s *settings) seconds(name string, def time.Duration) time.Duration {
	return time.Duration(s.number(name, def.Seconds(), 3600) * float64(time.Second))
}

// Endings is what came of ending processes.
type Endings struct {
	Text      string  `json:"text"` // a sentence
	Ended     int     `json:"ended"`
	Changed   bool    `json:"changed"` // false: nothing was done, so that nobody counts it as acting
	Processes []Ended `json:"processes"`
}

func endAll(ctx context.Context, target string, p Policy, grace time.Duration) (Endings, error) {
	targets, err := targetsOf(target)
	if err != nil {
		return Endings{}, err
	}
	var all []Ended
	for _, t := range targets {
		e, err := End(ctx, t, p, grace)
		if err != nil {
			return endings(all), err
		}
		all = append(all, e)
	}
	return endings(all), nil
}

// endings puts into one sentence what came of each.
func endings(all []Ended) Endings {
	r := Endings{Processes: all}
	var said []string
	for _, e := range all {
		name := fmt.Sprintf("process %d (%s)", e.PID, e.Name)
		switch e.How {
		case "term":
			r.Ended++
			said = append(said, fmt.Sprintf("ended %s, which used %.1f cores; it went on TERM after %.1f s", name, e.Cores, e.AfterS))
		case "kill":
			r.Ended++
			said = append(said, fmt.Sprintf("ended %s, which used %.1f cores; it ignored TERM and was killed after %.1f s", name, e.Cores, e.AfterS))
		case "gone":
			said = append(said, name+" had ended already")
		default:
			said = append(said, "left "+name+" alone: "+e.Why)
		}
	}
	r.Text, r.Changed = strings.Join(said, "; "), r.Ended > 0
	return r
}
