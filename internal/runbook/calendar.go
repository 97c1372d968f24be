package runbook

import (
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/teambition/rrule-go"
)

// calendar is an iCalendar text that says when nothing may be changed: while one of its events goes on. In the text of an SSM
// Change Calendar that is closed by default (X-CALENDAR-TYPE:DEFAULT_CLOSED) it is the other way round.
//
// Recurring events (RRULE, RDATE, EXDATE, RECURRENCE-ID) are worked out in the wall time of their zone, so that "daily at two"
// stays at two. Zones are those of the IANA database, else the text's own VTIMEZONE, else what Windows calls them; a time without a zone is this machine's.
// Source: RFC 5545.
type calendar struct {
	closed bool // DEFAULT_CLOSED
	events []period
}

// period is one event, with all that it repeats.
type period struct {
	uid     string
	summary string
	zone    zone
	start   time.Time     // wall time of the first, as if in UTC
	end     time.Time     // wall time; zero when length says it
	length  time.Duration // exact
	rule    *rrule.RRule
	more    []time.Time // RDATE, wall time
	except  []time.Time // EXDATE and replaced occurrences, wall time
	only    time.Time   // RECURRENCE-ID: it takes this occurrence's place
}

// Bounds on a calendar.
const (
	maxCalendar    = 1 << 20 // bytes
	maxEvents      = 5000
	maxOccurrences = 200_000         // of one rule until now
	maxWork        = 2 * time.Second // for all events
)

// zone tells wall time, written as if in UTC, from instants.
type zone interface {
	instant(wall time.Time) time.Time
	wall(instant time.Time) time.Time
}

// place is a zone of the IANA database.
type place struct{ *time.Location }

func (p place) instant(w time.Time) time.Time {
	return time.Date(w.Year(), w.Month(), w.Day(), w.Hour(), w.Minute(), w.Second(), 0, p.Location)
}

func (p place) wall(t time.Time) time.Time { return asWall(t.In(p.Location)) }

func asWall(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
}

// own is a zone that the text defines: the latest of its observances decides.
type own []observance

type observance struct {
	from   time.Time // wall time
	offset time.Duration
	rule   *rrule.RRule
}

func (o own) offset(wall time.Time) time.Duration {
	var best time.Time
	offset := o[0].offset
	for _, ob := range o {
		at := ob.from
		if ob.rule != nil {
			if b := ob.rule.Before(wall, true); !b.IsZero() {
				at = b
			}
		}
		if !at.After(wall) && !at.Before(best) {
			best, offset = at, ob.offset
		}
	}
	return offset
}

func (o own) instant(w time.Time) time.Time { return w.Add(-o.offset(w)) }

func (o own) wall(t time.Time) time.Time { return asWall(t.UTC().Add(o.offset(asWall(t.UTC())))) }

// property is one line of an iCalendar text.
type property struct {
	line   int
	name   string
	params map[string]string
	value  string
}

// component is what stands between BEGIN and END.
type component struct {
	name  string
	line  int
	props []property
	parts []*component
}

func (c *component) get(name string) (property, bool) {
	for _, p := range c.props {
		if p.name == name {
			return p, true
		}
	}
	return property{}, false
}

func (c *component) text(name string) string {
	p, _ := c.get(name)
	return strings.TrimSpace(p.value)
}

// parseCalendar reads an iCalendar text. An event that it can't read is an error: a freeze must not be lost.
func parseCalendar(text string) (*calendar, error) {
	if len(text) > maxCalendar {
		return nil, fmt.Errorf("%d bytes; %d are the most", len(text), maxCalendar)
	}
	root, err := parseComponents(text)
	if err != nil {
		return nil, err
	}
	c := &calendar{}
	switch typ := root.text("X-CALENDAR-TYPE"); typ {
	case "", "DEFAULT_OPEN":
	case "DEFAULT_CLOSED":
		c.closed = true
	default:
		return nil, fmt.Errorf("X-CALENDAR-TYPE: DEFAULT_OPEN or DEFAULT_CLOSED, not %q", typ)
	}
	zones := map[string]own{}
	for _, part := range root.parts {
		if part.name == "VTIMEZONE" {
			if o, err := parseZone(part); err == nil && len(o) > 0 {
				zones[part.text("TZID")] = o
			}
		}
	}
	for _, part := range root.parts {
		if part.name != "VEVENT" || part.text("STATUS") == "CANCELLED" {
			continue
		}
		if len(c.events) == maxEvents {
			return nil, fmt.Errorf("more than %d events", maxEvents)
		}
		p, err := parseEvent(part, zones, root.text("X-WR-TIMEZONE"))
		if err != nil {
			return nil, fmt.Errorf("line %d: event %q: %w", part.line, part.text("SUMMARY"), err)
		}
		c.events = append(c.events, p)
	}
	for _, p := range c.events {
		if p.only.IsZero() {
			continue
		}
		for i := range c.events {
			if q := &c.events[i]; q.uid == p.uid && q.only.IsZero() {
				q.except = append(q.except, p.only)
			}
		}
	}
	return c, nil
}

// parseComponents reads the lines, and what they stand in.
func parseComponents(text string) (*component, error) {
	text = strings.TrimPrefix(strings.ReplaceAll(text, "\r\n", "\n"), "\ufeff")
	root := &component{}
	stack := []*component{root}
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		line, at := lines[i], i+1
		for i+1 < len(lines) && (strings.HasPrefix(lines[i+1], " ") || strings.HasPrefix(lines[i+1], "\t")) {
			i++
			line += lines[i][1:]
		}
		if strings.TrimSpace(line) == "" {
			continue
		}
		p, ok := parseProperty(line, at)
		if !ok {
			return nil, fmt.Errorf("line %d: a name and a value are wanted", at)
		}
		top := stack[len(stack)-1]
		switch p.name {
		case "BEGIN":
			if len(stack) > 10 {
				return nil, fmt.Errorf("line %d: too deep", at)
			}
			c := &component{name: strings.ToUpper(p.value), line: at}
			top.parts = append(top.parts, c)
			stack = append(stack, c)
		case "END":
			if len(stack) == 1 || top.name != strings.ToUpper(p.value) {
				return nil, fmt.Errorf("line %d: END:%s without its BEGIN", at, p.value)
			}
			stack = stack[:len(stack)-1]
		default:
			top.props = append(top.props, p)
		}
	}
	if len(stack) > 1 {
		return nil, fmt.Errorf("BEGIN:%s without its END", stack[len(stack)-1].name)
	}
	for _, c := range root.parts {
		if c.name == "VCALENDAR" {
			return c, nil
		}
	}
	return nil, errors.New("no VCALENDAR")
}

func parseProperty(line string, at int) (property, bool) {
	p := property{line: at, params: map[string]string{}}
	quoted, from, key := false, 0, ""
	take := func(end int) {
		switch part := strings.Trim(line[from:end], `"`); {
		case p.name == "":
			p.name = strings.ToUpper(part)
		case key != "":
			p.params[key] = part
			key = ""
		}
	}
	for i := range len(line) {
		switch c := line[i]; {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '=' && p.name != "" && key == "":
			key, from = strings.ToUpper(line[from:i]), i+1
		case c == ';':
			take(i)
			from = i + 1
		case c == ':':
			take(i)
			p.value = strings.TrimRight(line[i+1:], "\r")
			return p, p.name != ""
		}
	}
	return p, false
}

func parseZone(c *component) (own, error) {
	var o own
	for _, part := range c.parts {
		from, err := time.Parse("20060102T150405", part.text("DTSTART"))
		if err != nil {
			return nil, err
		}
		offset, err := parseOffset(part.text("TZOFFSETTO"))
		if err != nil {
			return nil, err
		}
		ob := observance{from: from, offset: offset}
		if r := part.text("RRULE"); r != "" {
			if ob.rule, err = parseRule(r, from, place{time.UTC}); err != nil {
				return nil, err
			}
			if ob.rule.OrigOptions.Freq != rrule.YEARLY {
				return nil, errors.New("a zone that changes more often than yearly")
			}
		}
		o = append(o, ob)
	}
	return o, nil
}

func parseOffset(s string) (time.Duration, error) {
	n, err := strconv.Atoi(strings.TrimLeft(s, "+-"))
	if err != nil || len(s) != 5 {
		return 0, fmt.Errorf("the offset %q", s)
	}
	d := time.Duration(n/100)*time.Hour + time.Duration(n%100)*time.Minute
	if s[0] == '-' {
		d = -d
	}
	return d, nil
}

// parseEvent reads a VEVENT.
func parseEvent(c *component, zones map[string]own, tz string) (period, error) {
	p := period{uid: c.text("UID"), summary: c.text("SUMMARY")}
	start, ok := c.get("DTSTART")
	if !ok {
		return p, errors.New("it has no DTSTART")
	}
	var err error
	if p.zone, err = zoneOf(start, zones, tz); err != nil {
		return p, err
	}
	var day bool
	if p.start, day, err = p.wallTime(start, start.value); err != nil {
		return p, err
	}
	if end, ok := c.get("DTEND"); ok {
		if p.end, _, err = p.wallTime(end, end.value); err != nil {
			return p, err
		}
		if p.end.Before(p.start) {
			return p, errors.New("it ends before it begins")
		}
	} else if d := c.text("DURATION"); d != "" {
		if p.length, err = parseLength(d); err != nil {
			return p, err
		}
	} else if day {
		p.end = p.start.AddDate(0, 0, 1)
	}
	if r := c.text("RRULE"); r != "" {
		if p.rule, err = parseRule(r, p.start, p.zone); err != nil {
			return p, fmt.Errorf("RRULE: %w", err)
		}
	}
	for _, prop := range c.props {
		var into *[]time.Time
		switch prop.name {
		case "EXDATE":
			into = &p.except
		case "RDATE":
			into = &p.more
		case "RECURRENCE-ID":
			if p.only, _, err = p.wallTime(prop, prop.value); err != nil {
				return p, err
			}
			continue
		default:
			continue
		}
		for v := range strings.SplitSeq(prop.value, ",") {
			v, _, _ = strings.Cut(v, "/") // a period's end is the event's own here
			w, _, err := p.wallTime(prop, v)
			if err != nil {
				return p, fmt.Errorf("%s: %w", prop.name, err)
			}
			*into = append(*into, w)
		}
	}
	return p, nil
}

// zoneOf is the zone of a time.
func zoneOf(p property, zones map[string]own, tz string) (zone, error) {
	if strings.HasSuffix(p.value, "Z") {
		return place{time.UTC}, nil
	}
	name := cmp.Or(p.params["TZID"], tz)
	if name == "" {
		return place{time.Local}, nil
	}
	if loc, err := time.LoadLocation(strings.TrimPrefix(name, "/")); err == nil {
		return place{loc}, nil
	}
	if o, ok := zones[name]; ok {
		return o, nil
	}
	if loc, err := time.LoadLocation(cmp.Or(windowsZone(name), "none")); err == nil {
		return place{loc}, nil
	}
	return nil, fmt.Errorf("the time zone %q is not known", name)
}

// windowsZones has a line for each name that Windows gives to a zone, as Outlook writes it, with the IANA name of that zone in the
// territory that stands for it. Source: Unicode CLDR, windowsZones.xml, territory 001.
//
//go:embed windowszones.txt
var windowsZones string

// windowsZone is the IANA name of a zone that Windows has another name for, else "".
func windowsZone(name string) string {
	for line := range strings.Lines(windowsZones) {
		if windows, iana, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t"); windows == name {
			return iana
		}
	}
	return ""
}

// wallTime reads a time or a date, in the event's zone.
func (p *period) wallTime(prop property, value string) (wall time.Time, day bool, err error) {
	value = strings.TrimSpace(value)
	if prop.params["VALUE"] == "DATE" || len(value) == 8 {
		wall, err = time.Parse("20060102", value)
		return wall, true, err
	}
	if utc, ok := strings.CutSuffix(value, "Z"); ok {
		t, err := time.Parse("20060102T150405", utc)
		return p.zone.wall(t), false, err
	}
	wall, err = time.Parse("20060102T150405", value)
	return wall, false, err
}

// parseLength reads a DURATION: P1D, PT8H, P1W.
func parseLength(s string) (time.Duration, error) {
	var total time.Duration
	rest, ok := strings.CutPrefix(strings.TrimPrefix(s, "+"), "P")
	units := map[byte]time.Duration{'W': 7 * 24 * time.Hour, 'D': 24 * time.Hour, 'H': time.Hour, 'M': time.Minute, 'S': time.Second}
	n, digits := 0, 0
	for i := range len(rest) {
		switch c := rest[i]; {
		case c >= '0' && c <= '9' && digits < 7:
			n, digits = n*10+int(c-'0'), digits+1
		case c == 'T' && digits == 0:
		case units[c] > 0 && digits > 0:
			total += time.Duration(n) * units[c]
			n, digits = 0, 0
		default:
			ok = false
		}
	}
	if !ok || digits > 0 || total <= 0 {
		return 0, fmt.Errorf("the duration %q", s)
	}
	return total, nil
}

// parseRule reads an RRULE; what it yields is wall time. Rules finer than an hour could take for ever, and freeze nothing.
func parseRule(text string, start time.Time, z zone) (*rrule.RRule, error) {
	o, err := rrule.StrToROption(text)
	if err != nil {
		return nil, err
	}
	if o.Freq == rrule.MINUTELY || o.Freq == rrule.SECONDLY {
		return nil, errors.New("rules by the minute or second are not supported")
	}
	if o.Interval < 0 || o.Interval > 10_000 || o.Count < 0 || start.Year() < 1900 || start.Year() > 2200 {
		return nil, errors.New("an interval, a count or a begin out of all range")
	}
	if until := strings.ToUpper(text); !o.Until.IsZero() && strings.HasSuffix(field(until, "UNTIL"), "Z") {
		o.Until = z.wall(o.Until)
	}
	o.Dtstart = start
	return rrule.NewRRule(*o)
}

func field(rule, name string) string {
	for part := range strings.SplitSeq(rule, ";") {
		if v, ok := strings.CutPrefix(part, name+"="); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// at returns whether an occurrence goes on at t, and until when.
func (p *period) at(t time.Time) (until time.Time, on bool, err error) {
	span := p.length
	if !p.end.IsZero() {
		span = p.end.Sub(p.start)
	}
	now := p.zone.wall(t)
	from, to := now.Add(-span-26*time.Hour), now.Add(26*time.Hour) // zones lie within 26 hours of each other
	starts := slices.Clone(p.more)
	if p.rule == nil {
		starts = append(starts, p.start)
	} else {
		next, n := p.rule.Iterator(), 0
		for w, ok := next(); ok && !w.After(to); w, ok = next() {
			if n++; n > maxOccurrences {
				return until, false, fmt.Errorf("event %q repeats too often to be worked out", p.summary)
			}
			if !w.Before(from) {
				starts = append(starts, w)
			}
		}
	}
	for _, w := range starts {
		if slices.ContainsFunc(p.except, w.Equal) {
			continue
		}
		begin := p.zone.instant(w)
		end := begin.Add(p.length)
		if !p.end.IsZero() {
			end = p.zone.instant(w.Add(span))
		}
		if !t.Before(begin) && t.Before(end) && end.After(until) {
			until, on = end, true
		}
	}
	return until, on, nil
}

// frozen says whether nothing may be changed at t, and why.
func (c *calendar) frozen(t time.Time) (why string, frozen bool, err error) {
	began := time.Now()
	for i := range c.events {
		if time.Since(began) > maxWork {
			return "", true, errors.New("its rules take too long to be worked out")
		}
		until, on, err := c.events[i].at(t)
		if err != nil {
			return "", true, err
		}
		if on && c.closed {
			return "", false, nil
		}
		if on {
			return fmt.Sprintf("%s, until %s", cmp.Or(c.events[i].summary, "a freeze"), until.UTC().Format(time.RFC3339)), true, nil
		}
	}
	if c.closed {
		return "it is closed outside of its events", true, nil
	}
	return "", false, nil
}
