package sagemaker

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Hyperparameters are a job's, all of them strings as SageMaker hands them over.
type Hyperparameters map[string]string

// UnmarshalJSON reads an object of strings, and names all that are none.
func (h *Hyperparameters) UnmarshalJSON(b []byte) error {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(b, &values); err != nil {
		return err
	}
	*h = make(Hyperparameters, len(values))
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if values[name][0] != '"' {
			errs = append(errs, fmt.Errorf("hyperparameter %s is %.40s; want a string, as SageMaker writes all of them", name, values[name]))
			continue
		}
		var text string
		if err := json.Unmarshal(values[name], &text); err != nil {
			return err
		}
		(*h)[name] = text
	}
	return errors.Join(errs...)
}

// Parameters reads hyperparameters and gathers what is wrong with them, so that all of it can be said at once.
//
//	p := job.Parameters()
//	dim := p.Int("feature_dim", 0, 1, 10_000)
//	if err := p.Err(); err != nil { ... }
type Parameters struct {
	has  Hyperparameters
	read []string
	errs []error
}

// text returns the value of name, and notes that name is known.
func (p *Parameters) text(name string) (string, bool) {
	p.read = append(p.read, name)
	v, ok := p.has[name]
	return strings.TrimSpace(v), ok
}

func (p *Parameters) wrong(name, format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf("hyperparameter %s: "+format, append([]any{name}, args...)...))
}

// Require notes it as a mistake when one of names is not given.
func (p *Parameters) Require(names ...string) {
	for _, name := range names {
		if _, ok := p.has[name]; !ok {
			p.wrong(name, "is required")
		}
	}
}

// Int returns a whole number from least to most, def where it isn't given.
func (p *Parameters) Int(name string, def, least, most int) int {
	text, ok := p.text(name)
	if !ok {
		return def
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		p.wrong(name, "%q: want a whole number from %d to %d", text, least, most)
		return def
	}
	return n
}

// Float returns a number from least to most, def where it isn't given.
func (p *Parameters) Float(name string, def, least, most float64) float64 {
	text, ok := p.text(name)
	if !ok {
		return def
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f >= least && f <= most) {
		p.wrong(name, "%q: want a number from %v to %v", text, least, most)
		return def
	}
	return f
}

// Choice returns one of the values in of, def where it isn't given.
func (p *Parameters) Choice(name, def string, of ...string) string {
	text, ok := p.text(name)
	if !ok {
		return def
	}
	if !slices.Contains(of, text) {
		p.wrong(name, "%q: want one of %s", text, strings.Join(of, ", "))
		return def
	}
	return text
}

// Text returns the text of name, def where it isn't given. Check it and say what is wrong with [Parameters.Wrong].
func (p *Parameters) Text(name, def string) string {
	if text, ok := p.text(name); ok {
		return text
	}
	return def
}

// Wrong notes a mistake that the caller has found in name.
func (p *Parameters) Wrong(name, format string, args ...any) { p.wrong(name, format, args...) }

// Strings returns a list, given as a JSON list or divided by commas, of values in of (any when there are none); def where it
// isn't given.
func (p *Parameters) Strings(name string, def []string, of ...string) []string {
	text, ok := p.text(name)
	if !ok {
		return def
	}
	var out []string
	if strings.HasPrefix(text, "[") {
		if err := json.Unmarshal([]byte(text), &out); err != nil {
			p.wrong(name, "%q: want a list of strings", text)
			return def
		}
	} else {
		for part := range strings.SplitSeq(text, ",") {
			out = append(out, strings.TrimSpace(part))
		}
	}
	for _, v := range out {
		if len(of) > 0 && !slices.Contains(of, v) {
			p.wrong(name, "%q: want a list of %s", v, strings.Join(of, ", "))
			return def
		}
	}
	return out
}

// Ignore notes that names are known and change nothing here.
func (p *Parameters) Ignore(names ...string) { p.read = append(p.read, names...) }

// Err returns all that is wrong, as one [*ConfigError]: a hyperparameter that nobody asked for too, unless its name begins as
// SageMaker's own do ("_tuning_objective_metric", "sagemaker_program").
func (p *Parameters) Err() error {
	errs := slices.Clone(p.errs)
	for _, name := range slices.Sorted(maps.Keys(p.has)) {
		if slices.Contains(p.read, name) || strings.HasPrefix(name, "_") || strings.HasPrefix(name, "sagemaker_") {
			continue
		}
		known := slices.Compact(slices.Sorted(slices.Values(p.read)))
		errs = append(errs, fmt.Errorf("hyperparameter %s: there is none of that name; there is %s", name, strings.Join(known, ", ")))
	}
	if len(errs) == 0 {
		return nil
	}
	return &ConfigError{errors.Join(errs...)}
}
