package host

import (
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
// out. Its parameters are environment variables, as Systems Manager hands them to scripts: SSM_MinCores, SSM_WindowSeconds,
// SSM_MinCPUSeconds, SSM_Max, SSM_Within, SSM_AllowSystem (true), SSM_GraceSeconds, SSM_Target (what find-runaway printed),
// SSM_Top; and HOMEOSTAT_PROTECT, names a line. An empty one is its default.
func Command(ctx context.Context, verb string, env func(string) string, out io.Writer) error {
	s := settings{env: env}
	policy := Policy{
		MinCores:      s.number("SSM_MinCores", 0, 1024),
		Window:        s.seconds("SSM_WindowSeconds", 0),
		MinCPUSeconds: s.number("SSM_MinCPUSeconds", 0, 1e9),
		Max:           int(s.number("SSM_Max", 0, 10)),
		Within:        int(s.number("SSM_Within", 0, 1<<31)),
		AllowSystem:   env("SSM_AllowSystem") == "true",
	}
	for name := range strings.SplitSeq(env("HOMEOSTAT_PROTECT"), "\n") {
		if name = strings.TrimSpace(name); name != "" {
			policy.Protect = append(policy.Protect, name)
		}
	}
	grace := s.seconds("SSM_GraceSeconds", 10*time.Second)
	top := int(s.number("SSM_Top", 10, 50))
	if err := errors.Join(s.errs...); err != nil {
		return err
	}
	var result any
	var err error
	switch verb {
	case "top":
		result, err = Report(ctx, policy.withDefaults().Window, top)
	case "find-runaway":
		result, err = FindRunaways(ctx, policy)
	case "end":
		result, err = endAll(ctx, env("SSM_Target"), policy, grace)
	default:
		return fmt.Errorf("homeostat host %s: no such verb", verb)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(result)
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
