package outlook

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"homeostat/internal/signal"
)

// Objective is what the series of single endpoints, or of an entity's, should not rise above.
type Objective struct {
	// Endpoint: a route (/checkout) or a mount point, as the console names it; * stands for any characters. Left out: any.
	Endpoint string `yaml:"endpoint"`
	// Entity that has the endpoint: service:shop, host:db-*. Left out: any.
	Entity string `yaml:"entity"`
	// ResponseTime is the limit of the minute's mean, in seconds.
	ResponseTime *float64 `yaml:"response_time"`
	// Slow is the limit of what 95 % of the minute's requests take at most, in seconds.
	Slow *float64 `yaml:"response_time_p95"`
	// Requests is the limit of requests a second.
	Requests *float64 `yaml:"requests"`
	// Errors is the limit of the share of requests that fail: 0.01 for 1 %.
	Errors *float64 `yaml:"errors"`
	// Disk is the limit of how full a filesystem is: 0.9 for 90 %.
	Disk *float64 `yaml:"disk"`
}

// limit is what o sets for a feature; nil where it sets none.
func (o *Objective) limit(feature string) *float64 {
	switch feature {
	case ResponseTime:
		return o.ResponseTime
	case Slow:
		return o.Slow
	case Requests:
		return o.Requests
	case Errors:
		return o.Errors
	case Disk:
		return o.Disk
	}
	return nil
}

// of says whose objective o is.
func (o *Objective) of() string {
	if o.Endpoint != "" && o.Entity != "" {
		return o.Endpoint + " of " + o.Entity
	}
	return o.Endpoint + o.Entity
}

// particular says how particular o is about an endpoint, by the endpoint's name and then by its entity; ok is false where it isn't
// about it at all.
func (o *Objective) particular(entity signal.EntityID, name string) (rank [2]int, ok bool) {
	for i, x := range [...]struct{ pattern, name string }{{o.Endpoint, name}, {o.Entity, string(entity)}} {
		switch {
		case x.pattern == "":
		case x.pattern == x.name:
			rank[i] = len(x.name) + 1 // more than any pattern of it
		case covers(x.pattern, x.name):
			rank[i] = len(x.pattern) - strings.Count(x.pattern, "*")
		default:
			return rank, false
		}
	}
	return rank, true
}

// covers reports whether pattern, in which each * stands for any characters or none, is name.
func covers(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	last := len(parts) - 1
	name, ok := strings.CutPrefix(name, parts[0])
	if last == 0 || !ok {
		return ok && name == ""
	}
	for _, p := range parts[1:last] {
		if _, name, ok = strings.Cut(name, p); !ok {
			return false
		}
	}
	return strings.HasSuffix(name, parts[last])
}

// set returns the limits that the configuration sets for an endpoint, by feature: the most particular objective's, or else that of
// all; and that a filesystem can't be fuller than full.
func (c *Config) set(entity signal.EntityID, name string) [][]limit {
	out := make([][]limit, len(c.Features))
	for i, f := range c.Features {
		l, best := limit{value: c.Limits[f], severity: signal.Warning}, [2]int{-1, -1}
		for j := range c.Objectives {
			o := &c.Objectives[j]
			v := o.limit(f)
			if rank, ok := o.particular(entity, name); ok && v != nil && slices.Compare(rank[:], best[:]) > 0 {
				l.value, l.of, best = *v, o.of(), rank
			}
		}
		if l.value > 0 {
			out[i] = append(out[i], l)
		}
		if f == Disk && l.value < full {
			out[i] = append(out[i], limit{value: full, severity: signal.Warning})
		}
	}
	return out
}

// CheckLimit says what is wrong with a limit of a feature.
func CheckLimit(feature string, v float64) error {
	share := feature == Errors || feature == Disk
	switch {
	case !(v > 0) || math.IsInf(v, 0):
		return fmt.Errorf("%v: want a number above 0", v)
	case share && v > 1:
		return fmt.Errorf("%v: want a share of at most 1, such as 0.05 for 5 %%", v)
	}
	return nil
}

// Mistake is something wrong in a list of a configuration.
type Mistake struct {
	Path string // of the key in the list: [2].errors
	Err  error
}

func (m Mistake) Error() string { return m.Err.Error() }

// CheckObjectives says what is wrong with the objectives of a detector of these features that watches entities of a kind, or, where
// that is "", of any.
func CheckObjectives(list []Objective, kind string, features []string) []Mistake {
	var out []Mistake
	given := map[[3]string]int{} // endpoint, entity and feature: where
	for i := range list {
		o := &list[i]
		at := fmt.Sprintf("[%d]", i)
		fail := func(key string, err error) { out = append(out, Mistake{at + key, err}) }
		if o.Endpoint == "" && o.Entity == "" {
			fail("", errors.New("want an endpoint, an entity or both; limits are for all"))
		}
		if before, _, ok := strings.Cut(o.Entity, ":"); o.Entity != "" && !strings.Contains(before, "*") {
			switch {
			case !ok:
				fail(".entity", fmt.Errorf("%q: want KIND:NAME, such as service:shop", o.Entity))
			case kind != "" && before != kind:
				fail(".entity", fmt.Errorf("%q: the detector watches entities of kind %s", o.Entity, kind))
			}
		}
		none := true
		for _, f := range Features() {
			v := o.limit(f)
			if v == nil {
				continue
			}
			none = false
			same := [3]string{o.Endpoint, o.Entity, f}
			first, twice := given[same]
			switch err := CheckLimit(f, *v); {
			case !slices.Contains(features, f):
				fail("."+f, fmt.Errorf("%q isn't among its series %s", f, strings.Join(features, ", ")))
			case err != nil:
				fail("."+f, fmt.Errorf("%s: %w", f, err))
			case twice:
				fail("."+f, fmt.Errorf("%s: objectives[%d] gives it for the same endpoints", f, first))
			default:
				given[same] = i
			}
		}
		if none {
			fail("", fmt.Errorf("want a limit of at least one of %s", strings.Join(features, ", ")))
		}
	}
	return out
}
