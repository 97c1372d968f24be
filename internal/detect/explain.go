package detect

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Explain says in a sentence what is strange in a point: "CPU 93 % where 35 to 50 % was expected at this hour; of the score
// CPU has 71 %, disk 20 %".
func Explain(features []Feature, v *Verdict) string {
	order := make([]int, len(features))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case v.Attribution[a] > v.Attribution[b]:
			return -1
		case v.Attribution[a] < v.Attribution[b]:
			return 1
		}
		return 0
	})
	// The largest share leads, unless it lies within its band and another does not: then that one is what a person sees. One
	// that is out by a trifle gives way to one that is out by what its unit makes worth telling.
	lead := order[0]
	if i := slices.IndexFunc(order, func(i int) bool { return features[i].Effect > 0 && matters(features[i], v, i, false) }); i >= 0 {
		lead = order[i]
	} else if i := slices.IndexFunc(order, func(i int) bool { return outside(v, i) }); i >= 0 {
		lead = order[i]
	}
	var b strings.Builder
	u := features[lead].Unit
	name := Title(features[lead].Name)
	switch {
	case v.Lapse != nil:
		b.WriteString(v.Lapse.explain(features, v))
	case math.IsNaN(v.Values[lead]):
		fmt.Fprintf(&b, "%s has no value", name)
	case outside(v, lead):
		fmt.Fprintf(&b, "%s %s where %s was expected at this hour", name, u.Format(v.Values[lead]), u.between(v.Lower[lead], v.Upper[lead]))
	default:
		fmt.Fprintf(&b, "the course of %s is unusual, though %s itself is within %s", name, u.Format(v.Values[lead]),
			u.between(v.Lower[lead], v.Upper[lead]))
	}
	if len(features) > 1 {
		sep, has := "; of the score ", " has"
		for _, i := range order {
			if v.Attribution[i] < 0.1 {
				break
			}
			fmt.Fprintf(&b, "%s%s%s %.0f %%", sep, Title(features[i].Name), has, 100*v.Attribution[i])
			sep, has = ", ", ""
		}
	}
	if v.Confidence < 0.5 {
		fmt.Fprintf(&b, " (still learning: confidence %.0f %%)", 100*v.Confidence)
	}
	return b.String()
}

func (l *Lapse) explain(features []Feature, v *Verdict) string {
	f := features[l.Feature]
	if l.Silent {
		return Title(f.Name) + " has been silent for longer than ever at such a time"
	}
	return fmt.Sprintf("%s %s where about %s is usual at this time, and has been as far from its rhythm for hours", Title(f.Name),
		f.Unit.Format(v.Values[l.Feature]), f.Unit.Format(l.Usual))
}

func outside(v *Verdict, i int) bool { return v.Values[i] < v.Lower[i] || v.Values[i] > v.Upper[i] }

// Title returns how a feature is called within a sentence.
func Title(name string) string {
	if name == "cpu" {
		return "CPU"
	}
	return name
}

// Format writes a number as a person reads it.
func (u Unit) Format(x float64) string {
	number, unit := u.format(x)
	return number + unit
}

func (u Unit) format(x float64) (number, unit string) {
	switch u {
	case Share:
		if math.Abs(x) < 0.0995 {
			return digits(100 * x), " %"
		}
		return strconv.FormatFloat(100*x, 'f', 0, 64), " %"
	case BytesSecond:
		for _, p := range [...]struct {
			size float64
			name string
		}{{1e9, " GB/s"}, {1e6, " MB/s"}, {1e3, " kB/s"}} {
			if math.Abs(x) >= p.size {
				return digits(x / p.size), p.name
			}
		}
		return strconv.FormatFloat(x, 'f', 0, 64), " B/s"
	case PerSecond:
		return digits(x), " a second"
	}
	return digits(x), ""
}

// between writes a range, its unit once where both ends have the same.
func (u Unit) between(a, b float64) string {
	n1, u1 := u.format(a)
	n2, u2 := u.format(b)
	switch {
	case n1 == n2 && u1 == u2:
		return "about " + n2 + u2
	case u1 == u2:
		return n1 + " to " + n2 + u2
	}
	return n1 + u1 + " to " + n2 + u2
}

// digits writes x with three significant digits, without an exponent where that reads well.
func digits(x float64) string {
	if a := math.Abs(x); a != 0 && (a < 1e-3 || a >= 1e7) {
		return strconv.FormatFloat(x, 'g', 3, 64)
	}
	s := strconv.FormatFloat(x, 'g', 3, 64)
	if strings.Contains(s, "e") {
		s = strconv.FormatFloat(x, 'f', 0, 64)
	}
	return s
}
