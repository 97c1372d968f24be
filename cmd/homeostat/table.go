package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// paint colours text on a terminal, and nowhere else.
type paint bool

// newPaint reports whether w is a terminal that takes colours.
func newPaint(w io.Writer) paint {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	st, err := f.Stat()
	return paint(err == nil && st.Mode()&os.ModeCharDevice != 0)
}

func (p paint) with(code, s string) string {
	if !p || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p paint) bold(s string) string { return p.with("1", s) }
func (p paint) soft(s string) string { return p.with("2", s) }

// state colours the words that say how something is.
func (p paint) state(s string) string {
	switch strings.ToLower(s) {
	case "critical", "failed", "timedout":
		return p.with("31", s)
	case "warning", "open", "waiting", "refused", "cancelled", "paused", "changing":
		return p.with("33", s)
	case "success", "resolved", "passed", "ok":
		return p.with("32", s)
	}
	return s
}

// table gathers rows and prints them in columns as wide as they need to be.
type table struct {
	head []string
	rows [][]cell
}

// cell is a text and how it is painted: the width is the text's.
type cell struct {
	text  string
	paint func(string) string
}

func (t *table) row(cells ...any) {
	row := make([]cell, len(cells))
	for i, c := range cells {
		if v, ok := c.(cell); ok {
			row[i] = cell{clean(v.text), v.paint}
		} else {
			row[i] = cell{text: clean(fmt.Sprint(c))}
		}
	}
	t.rows = append(t.rows, row)
}

// print writes the table. The last column is not padded.
func (t *table) print(w io.Writer, p paint) {
	width := make([]int, len(t.head))
	for i, h := range t.head {
		width[i] = utf8.RuneCountInString(h)
	}
	for _, r := range t.rows {
		for i, c := range r {
			width[i] = max(width[i], utf8.RuneCountInString(c.text))
		}
	}
	var b strings.Builder
	line := func(cells []cell) {
		for i, c := range cells {
			text := c.text
			if c.paint != nil {
				text = c.paint(text)
			}
			b.WriteString(text)
			if i < len(cells)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(c.text)+2))
			}
		}
		b.WriteByte('\n')
	}
	head := make([]cell, len(t.head))
	for i, h := range t.head {
		head[i] = cell{h, p.soft}
	}
	line(head)
	for _, r := range t.rows {
		line(r)
	}
	fmt.Fprint(w, b.String())
}

// clean makes a stranger's text fit for a terminal: on one line, and without the characters that would steer it.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == utf8.RuneError:
			return '\ufffd'
		}
		return r
	}, s)
}

// cleanText is clean for texts of several lines.
func cleanText(s string) string {
	lines := strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	for i := range lines {
		lines[i] = clean(lines[i])
	}
	return strings.Join(lines, "\n")
}

// stamp writes a moment in the reader's time, with its age.
func stamp(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	l := t.Local()
	at := l.Format("15:04:05")
	if y, m, d := now.Local().Date(); l.Year() != y || l.Month() != m || l.Day() != d {
		at = l.Format("2006-01-02 15:04")
	}
	return at + " (" + age(now.Sub(t)) + ")"
}

// age writes how long ago something was.
func age(d time.Duration) string {
	if d < 0 {
		return "in " + span(-d)
	}
	return span(d) + " ago"
}

// span writes a duration in its largest unit that still tells something.
func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 90*time.Second:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 90*time.Minute:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 36*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
