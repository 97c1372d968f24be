package outlook

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"homeostat/internal/signal"
)

// limit is what a forecast should not cross from below.
type limit struct {
	value    float64
	rule     string // "" of the configuration, or of a full disk
	of       string // what the configuration sets it for; "" of all
	severity signal.Severity

	// Of rules: which series it is about.
	feature  string
	metric   string            // the name that the series of a disk or of CloudWatch has; of a histogram, its base
	matchers []*labels.Matcher // on other labels than a request's status
	keeps    func(label string) bool
}

// limitsOf reads the limits that rules set for series of these features: comparisons with a number, from above, of what a
// feature is made of. Any other rule says nothing here.
func limitsOf(rules []signal.Rule, features []string) []limit {
	var out []limit
	for _, r := range rules {
		e, err := parser.NewParser(parser.Options{}).ParseExpr(r.Expr)
		if err != nil {
			continue // whoever evaluates it has told
		}
		if l, ok := limitOf(e); ok && slices.Contains(features, l.feature) {
			l.rule, l.severity = r.Name, r.Severity
			out = append(out, l)
		}
	}
	return out
}

func limitOf(e parser.Expr) (l limit, ok bool) {
	cmp, ok := bare(e).(*parser.BinaryExpr)
	if !ok || cmp.ReturnBool {
		return l, false
	}
	side, number := cmp.LHS, cmp.RHS
	switch cmp.Op {
	case parser.GTR, parser.GTE:
	case parser.LSS, parser.LTE:
		side, number = cmp.RHS, cmp.LHS
	default:
		return l, false
	}
	value, ok := constant(number)
	if !ok {
		return l, false
	}
	// 100 * share > 5 is share > 0.05.
	if b, yes := bare(side).(*parser.BinaryExpr); yes && b.Op == parser.MUL {
		if k, yes := constant(b.LHS); yes && k > 0 {
			side, value = b.RHS, value/k
		} else if k, yes := constant(b.RHS); yes && k > 0 {
			side, value = b.LHS, value/k
		}
	}
	l, factor, ok := seen(side)
	l.value = value * factor
	return l, ok && l.value > 0
}

// bare takes parentheses and what PromQL wraps for itself away.
func bare(e parser.Expr) parser.Expr {
	for {
		switch x := e.(type) {
		case *parser.ParenExpr:
			e = x.Expr
		case *parser.StepInvariantExpr:
			e = x.Expr
		default:
			return e
		}
	}
}

func constant(e parser.Expr) (float64, bool) {
	switch x := bare(e).(type) {
	case *parser.NumberLiteral:
		return x.Val, true
	case *parser.UnaryExpr:
		v, ok := constant(x.Expr)
		if x.Op == parser.SUB {
			v = -v
		}
		return v, ok
	case *parser.BinaryExpr:
		a, ok1 := constant(x.LHS)
		b, ok2 := constant(x.RHS)
		switch {
		case !ok1 || !ok2:
		case x.Op == parser.MUL:
			return a * b, true
		case x.Op == parser.DIV:
			return a / b, true
		}
	}
	return 0, false
}

// seen says which feature an expression is, with the factor to its unit.
func seen(e parser.Expr) (l limit, factor float64, ok bool) {
	switch x := bare(e).(type) {
	case *parser.BinaryExpr: // a mean, or a share
		if x.Op != parser.DIV {
			return l, 0, false
		}
		part, ok1 := source(x.LHS)
		whole, ok2 := source(x.RHS)
		if !ok1 || !ok2 || !part.rated || !whole.rated || part.base != whole.base || whole.role != count || whole.failed {
			return l, 0, false
		}
		l = limit{metric: part.base, matchers: append(part.matchers, whole.matchers...), keeps: whole.keeps}
		switch {
		case part.role == durations && !part.failed:
			l.feature, factor = ResponseTime, part.factor
		case part.role == count && part.failed:
			l.feature, factor = Errors, 1
		}
		return l, factor, factor > 0
	case *parser.Call:
		switch x.Func.Name {
		case "histogram_quantile":
			q, isNumber := constant(x.Args[0])
			s, ok := source(x.Args[1])
			if !isNumber || q != slowShare || !ok || !s.rated || s.role != bucket && s.role != native {
				return l, 0, false
			}
			return limit{feature: Slow, metric: s.base, matchers: s.matchers, keeps: s.keeps}, s.factor, true
		case "histogram_avg":
			s, ok := source(x.Args[0])
			return limit{feature: ResponseTime, metric: s.base, matchers: s.matchers, keeps: s.keeps}, s.factor, ok && s.rated && s.role == native
		}
	}
	s, ok := source(e)
	l = limit{metric: s.base, matchers: s.matchers, keeps: s.keeps}
	switch {
	case !ok:
	case s.role == usage && !s.rated:
		l.feature = Disk
		return l, 1, true
	case s.role == quantile && !s.rated:
		l.feature = Slow
		return l, s.factor, true
	case s.role == count && s.rated && !s.failed && s.adds:
		l.feature = Requests
		return l, 1, true
	}
	return l, 0, false
}

// origin is the series that an expression is made of.
type origin struct {
	binding
	rated    bool // their increase a second
	adds     bool // summed over what differs but in the request's status
	matchers []*labels.Matcher
	keeps    func(label string) bool // whether series that differ in a label are kept apart
}

// source reads a selector through rates, means over time and sums.
func source(e parser.Expr) (o origin, ok bool) {
	o.keeps = func(string) bool { return true }
	for {
		switch x := bare(e).(type) {
		case *parser.AggregateExpr:
			by, without := x.Grouping, x.Without
			switch x.Op {
			case parser.SUM, parser.AVG:
				inner := o.keeps
				o.adds = x.Op == parser.SUM
				o.keeps = func(label string) bool { return slices.Contains(by, label) != without && inner(label) }
			case parser.MAX: // the largest is above the limit when one of them is
			default:
				return o, false
			}
			e = x.Expr
		case *parser.Call:
			switch x.Func.Name {
			case "rate", "irate":
				o.rated = true
			case "avg_over_time", "max_over_time", "min_over_time", "last_over_time":
			default:
				return o, false
			}
			e = x.Args[0]
		case *parser.MatrixSelector:
			e = x.VectorSelector
		case *parser.VectorSelector:
			return o, x.OriginalOffset == 0 && x.Timestamp == nil && o.take(x)
		default:
			return o, false
		}
	}
}

// take reads what a selector selects.
func (o *origin) take(x *parser.VectorSelector) bool {
	m := map[string]string{signal.MetricName: x.Name, "le": "1"}
	for _, l := range x.LabelMatchers {
		if l.Type == labels.MatchEqual {
			m[l.Name] = l.Value
		}
	}
	o.binding = bind(signal.MakeLabels(m), "")
	for _, l := range x.LabelMatchers {
		switch {
		case l.Name == signal.MetricName:
		case slices.Contains(statusLabels[:], l.Name):
			if l.Matches("200") || !l.Matches("500") {
				return false // some other share of the requests
			}
			o.failed = true
		case l.Name == grpcCode || l.Name == "le":
			return false
		default:
			o.matchers = append(o.matchers, l)
		}
	}
	return o.role != none
}

// limit gives e the limits of rules that are about it: one of whose series, bound by b, has the labels ls.
func (e *endpoint) limit(d *Detector, b *binding, ls signal.Labels) {
	for _, l := range d.limits {
		if l.metric != b.base || !matches(l.matchers, ls) || b.label != "" && !l.keeps(b.label) || !l.keeps(entityLabel(ls)) {
			continue
		}
		i := slices.Index(d.c.Features, l.feature)
		same := func(o limit) bool { return o.value == l.value && o.rule == l.rule }
		if i >= 0 && !slices.ContainsFunc(e.limits[i], same) {
			e.limits[i] = append(e.limits[i], l)
		}
	}
}

func matches(ms []*labels.Matcher, ls signal.Labels) bool {
	for _, m := range ms {
		if !m.Matches(ls.Value(m.Name)) {
			return false
		}
	}
	return true
}

// entityLabel is the label by which a series has its entity.
func entityLabel(ls signal.Labels) string {
	for _, name := range [...]string{signal.EntityLabel, "host_name", "host_id", "service_name", "instance", "job"} {
		if ls.Value(name) != "" {
			return name
		}
	}
	return ""
}
