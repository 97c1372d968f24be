package runbook

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"homeostat/internal/signal"
)

func ics(typ string, events ...string) string {
	lines := []string{"BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//AWS//Change Calendar 1.0//EN"}
	if typ != "" {
		lines = append(lines, "X-CALENDAR-TYPE:"+typ)
	}
	for i, e := range events {
		if !strings.HasPrefix(e, "UID:") {
			e = "UID:" + string(rune('a'+i)) + "|" + e
		}
		lines = append(lines, "BEGIN:VEVENT", strings.ReplaceAll(e, "|", "\r\n"), "END:VEVENT")
	}
	return strings.Join(append(lines, "END:VCALENDAR", ""), "\r\n")
}

func TestFreezes(t *testing.T) {
	const berlin = `BEGIN:VTIMEZONE|TZID:Own/Zone|BEGIN:STANDARD|DTSTART:19701025T030000|TZOFFSETFROM:+0200|TZOFFSETTO:+0100|RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU|END:STANDARD|BEGIN:DAYLIGHT|DTSTART:19700329T020000|TZOFFSETFROM:+0100|TZOFFSETTO:+0200|RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU|END:DAYLIGHT|END:VTIMEZONE`
	own := strings.Replace(ics("", "DTSTART;TZID=\"Own/Zone\":20260101T020000|DURATION:PT1H|RRULE:FREQ=DAILY"), "BEGIN:VEVENT", strings.ReplaceAll(berlin, "|", "\r\n")+"\r\nBEGIN:VEVENT", 1)
	for _, tt := range []struct {
		name, text string
		on, off    []string // RFC 3339
	}{
		{"once, in UTC", ics("", "SUMMARY:Closing of the\r\n  year|DTSTART:20261220T180000Z|DTEND:20270103T060000Z"), []string{"2026-12-20T18:00:00Z", "2027-01-03T05:59:59Z"}, []string{"2026-12-20T17:59:59Z", "2027-01-03T06:00:00Z"}},
		{"a day", ics("", "DTSTART;VALUE=DATE:20261224|X-WR:1"), nil, []string{"2026-12-26T12:00:00Z", "2026-12-22T12:00:00Z"}},
		{"weekends, in a zone with summer time", ics("", "DTSTART;TZID=Europe/Berlin:20260102T180000|DTEND;TZID=Europe/Berlin:20260105T060000|RRULE:FREQ=WEEKLY;BYDAY=FR"), []string{"2026-01-16T17:00:00Z", "2026-07-17T16:00:00Z", "2026-07-20T03:59:59Z"}, []string{"2026-01-16T16:59:59Z", "2026-07-17T15:59:59Z", "2026-07-20T04:00:00Z", "2026-01-14T12:00:00Z"}},
		{"a zone of its own", own, []string{"2026-02-01T01:30:00Z", "2026-07-01T00:30:00Z"}, []string{"2026-02-01T00:30:00Z", "2026-07-01T01:30:00Z"}},
		{"a zone by its name in Windows", ics("", "DTSTART;TZID=W. Europe Standard Time:20260701T180000|DURATION:PT1H|RRULE:FREQ=DAILY"), []string{"2026-07-01T16:30:00Z", "2026-12-01T17:30:00Z"}, []string{"2026-07-01T17:30:00Z", "2026-12-01T16:30:00Z"}},
		{"an end in UTC", ics("", "DTSTART;TZID=America/New_York:20260301T220000|DURATION:PT2H|RRULE:FREQ=DAILY;UNTIL=20260310T020000Z"), []string{"2026-03-10T02:30:00Z"}, []string{"2026-03-11T02:30:00Z"}},
		{"a count, and an exception", ics("", "DTSTART:20260101T000000Z|DURATION:P1D|RRULE:FREQ=MONTHLY;COUNT=3|EXDATE:20260201T000000Z"), []string{"2026-01-01T12:00:00Z", "2026-03-01T12:00:00Z"}, []string{"2026-02-01T12:00:00Z", "2026-04-01T12:00:00Z"}},
		{"one that was moved", ics("", "UID:m|DTSTART:20260105T100000Z|DURATION:PT1H|RRULE:FREQ=WEEKLY", "UID:m|RECURRENCE-ID:20260112T100000Z|DTSTART:20260113T100000Z|DURATION:PT1H"), []string{"2026-01-05T10:30:00Z", "2026-01-13T10:30:00Z", "2026-01-19T10:30:00Z"}, []string{"2026-01-12T10:30:00Z"}},
		{"cancelled", ics("", "STATUS:CANCELLED|DTSTART:20260101T000000Z|DTEND:20270101T000000Z"), nil, []string{"2026-06-01T00:00:00Z"}},
		{"more dates", ics("", "DTSTART:20260101T000000Z|DURATION:PT1H|RDATE:20260201T000000Z,20260301T000000Z"), []string{"2026-01-01T00:30:00Z", "2026-03-01T00:30:00Z"}, []string{"2026-04-01T00:30:00Z"}},
		{"open by default", ics("DEFAULT_OPEN", "DTSTART:20260101T000000Z|DTEND:20260102T000000Z"), []string{"2026-01-01T12:00:00Z"}, []string{"2026-01-02T12:00:00Z"}},
		{"closed by default", ics("DEFAULT_CLOSED", "DTSTART:20260101T000000Z|DTEND:20260102T000000Z"), []string{"2026-01-02T12:00:00Z"}, []string{"2026-01-01T12:00:00Z"}},
		{"closed for ever", ics("DEFAULT_CLOSED"), []string{"2026-01-02T12:00:00Z"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := parseCalendar(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			for i, times := range [][]string{tt.off, tt.on} {
				for _, text := range times {
					at, err := time.Parse(time.RFC3339, text)
					if err != nil {
						t.Fatal(err)
					}
					why, frozen, err := c.frozen(at)
					if err != nil || frozen != (i == 1) || frozen != (why != "") {
						t.Errorf("%s: %v (%s), %v", text, frozen, why, err)
					}
				}
			}
		})
	}
}

// TestWindowsZonesAreThere: each name that Windows gives to a zone leads to one of the IANA database.
func TestWindowsZonesAreThere(t *testing.T) {
	n := 0
	for line := range strings.Lines(windowsZones) {
		name, _, _ := strings.Cut(line, "\t")
		if _, err := zoneOf(property{params: map[string]string{"TZID": name}}, nil, ""); err != nil {
			t.Error(err)
		}
		n++
	}
	if n < 130 {
		t.Errorf("%d names", n)
	}
}

// TestChangeCalendarOfSystemsManager: a freeze can be a calendar there, by its ARN; where it can't be asked, nothing is changed.
func TestChangeCalendarOfSystemsManager(t *testing.T) {
	const arn = "arn:aws:ssm:eu-west-1:123456789012:document/Change"
	closed, fails := "", error(nil)
	ask := func(_ context.Context, calendar string, _ time.Time) (string, error) {
		if calendar != arn {
			t.Errorf("asked for %s", calendar)
		}
		return closed, fails
	}
	file := filepath.Join(t.TempDir(), "none.ics")
	if err := os.WriteFile(file, []byte(ics("DEFAULT_OPEN")), 0o600); err != nil {
		t.Fatal(err)
	}
	freezes := []string{file, arn}
	if why, err := frozenAt(t.Context(), ask, freezes, time.Now()); why != "" || err != nil {
		t.Errorf("open: %q %v", why, err)
	}
	closed = "Change is closed until 2026-01-01T00:00:00Z"
	if why, err := frozenAt(t.Context(), ask, freezes, time.Now()); why != closed || err != nil {
		t.Errorf("closed: %q %v", why, err)
	}
	closed, fails = "", errors.New("throttled")
	if _, err := frozenAt(t.Context(), ask, freezes, time.Now()); err == nil || !strings.Contains(err.Error(), "throttled") {
		t.Errorf("not answered: %v", err)
	}
	if _, err := frozenAt(t.Context(), nil, freezes, time.Now()); err == nil {
		t.Error("nobody to ask, and yet open")
	}
	if err := CheckGuards(signal.Guards{Freezes: freezes}, signal.Guards{}); err != nil {
		t.Error(err)
	}
}

func TestCalendarThatCantBeReadIsAnError(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":          "",
		"not a calendar":   "BEGIN:VTODO\nEND:VTODO\n",
		"cut off":          "BEGIN:VCALENDAR\nBEGIN:VEVENT\n",
		"crossed":          "BEGIN:VCALENDAR\nEND:VEVENT\n",
		"no colon":         "BEGIN:VCALENDAR\nhello\nEND:VCALENDAR\n",
		"another default":  ics("SOMETIMES"),
		"no begin":         ics("", "SUMMARY:x"),
		"a bad time":       ics("", "DTSTART:tomorrow"),
		"an unknown zone":  ics("", "DTSTART;TZID=Nowhere:20260101T000000"),
		"ends first":       ics("", "DTSTART:20260102T000000Z|DTEND:20260101T000000Z"),
		"a bad rule":       ics("", "DTSTART:20260102T000000Z|RRULE:FREQ=SOMETIMES"),
		"by the second":    ics("", "DTSTART:20260102T000000Z|RRULE:FREQ=SECONDLY"),
		"backwards":        ics("", "DTSTART:20260102T000000Z|RRULE:FREQ=DAILY;INTERVAL=-1;BYMONTH=2;BYMONTHDAY=30"),
		"a bad duration":   ics("", "DTSTART:20260102T000000Z|DURATION:PT"),
		"a bad exception":  ics("", "DTSTART:20260102T000000Z|EXDATE:x"),
		"too large":        strings.Repeat(" ", maxCalendar+1),
		"nested too deep":  strings.Repeat("BEGIN:VCALENDAR\n", 20),
		"a line of itself": " BEGIN:VCALENDAR",
	} {
		if c, err := parseCalendar(text); err == nil {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func FuzzCalendar(f *testing.F) {
	f.Add(ics("DEFAULT_OPEN", "DTSTART;TZID=Europe/Berlin:20260102T180000|DURATION:PT1H|RRULE:FREQ=WEEKLY;BYDAY=FR"))
	f.Add(ics("", "DTSTART;VALUE=DATE:20261224|EXDATE:20261224T000000"))
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseCalendar(text)
		if err != nil {
			return
		}
		began := time.Now()
		if _, _, err := c.frozen(time.Unix(1.8e9, 0)); err != nil {
			t.Log(err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
