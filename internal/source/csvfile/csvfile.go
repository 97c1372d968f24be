// Package csvfile reads samples from CSV files, row by row and in the order of the file.
//
// A file has a header, a column of times and one or more columns of numbers; any other column is carried through. A row is a
// line, always: a quote that is left open spoils its own row and not the rest of the file. What a row holds is decided
// without looking ahead: which columns are numbers by the header and the first row alone, so that a file cut short reads the
// same as far as it goes. A row that can't be used is handed over with the reason, never left out.
package csvfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The problems that a row can have. They are few, as they are counted by name.
const (
	TimeUnread  = "time not understood"
	TimeBack    = "time goes back"
	NotANumber  = "not a number"
	WrongFields = "wrong number of fields"
	OpenQuote   = "quote left open"
	TooLong     = "line too long"
)

// maxLine bounds a line in bytes; ten thousand numbers fit in it.
const maxLine = 1 << 20

// ErrNoHeader means that there is no first line that names the columns.
var ErrNoHeader = errors.New("no header")

// Reader reads one file. Make it with [NewReader].
type Reader struct {
	name    string
	in      *bufio.Reader
	line    int
	header  []string
	time    int   // column of the times
	columns []int // of the values; nil until the first row has shown which they are
	last    int64
	begun   bool
	row     Row
}

// Row is one row of the file. It belongs to the reader: the next one overwrites it.
type Row struct {
	Line    int       // from 1
	Fields  []string  // as many as the header has
	Time    int64     // Unix milliseconds, UTC where the text has no zone
	Values  []float64 // of the value columns; NaN where there is no finite number
	Problem string    // why the row can't be used, "" when it can
}

// NewReader reads the header of the file called name.
func NewReader(name string, in io.Reader) (*Reader, error) {
	r := &Reader{name: name, in: bufio.NewReaderSize(in, 64<<10), time: -1}
	text, err := r.next()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w: the file is empty", name, ErrNoHeader)
	}
	if err != nil {
		return nil, err
	}
	header, ok := split(nil, strings.TrimPrefix(text, "\ufeff"))
	if !ok {
		return nil, fmt.Errorf("%s:%d: %w: %s", name, r.line, ErrNoHeader, OpenQuote)
	}
	for i, h := range header {
		header[i] = strings.TrimSpace(h)
	}
	r.header = header
	for _, want := range [...]string{"timestamp", "time", "datetime", "date", "ts"} {
		if r.time = slices.IndexFunc(header, func(h string) bool { return strings.EqualFold(h, want) }); r.time >= 0 {
			break
		}
	}
	if r.time < 0 {
		return nil, fmt.Errorf("%s:%d: %w: want a column timestamp among %s", name, r.line, ErrNoHeader, clip(strings.Join(header, ",")))
	}
	if len(header) < 2 {
		return nil, fmt.Errorf("%s:%d: want a column of values beside the times", name, r.line)
	}
	return r, nil
}

// Header returns the names of all columns.
func (r *Reader) Header() []string { return r.header }

// Columns returns which columns hold values, by index, once the first row has been read; in a file without rows, all that
// could.
func (r *Reader) Columns() []int {
	if r.columns == nil {
		r.choose(make([]string, len(r.header)))
	}
	return r.columns
}

// Next returns the next row, io.EOF after the last one, and else only what the underlying reader failed with.
func (r *Reader) Next() (*Row, error) {
	text, err := r.next()
	row := &r.row
	row.Line, row.Problem = r.line, ""
	if errors.Is(err, errTooLong) {
		row.Problem, text = TooLong, ""
	} else if err != nil {
		return nil, err
	}
	fields, ok := split(row.Fields[:0], text)
	switch {
	case row.Problem != "":
	case !ok:
		row.Problem = OpenQuote
	case len(fields) != len(r.header):
		row.Problem = WrongFields
	}
	for len(fields) < len(r.header) {
		fields = append(fields, "")
	}
	row.Fields = fields[:len(r.header)]
	if r.columns == nil {
		r.choose(row.Fields)
	}
	row.Values = row.Values[:0]
	found := false
	for _, c := range r.columns {
		v, ok := number(row.Fields[c])
		if !ok {
			v = math.NaN()
		}
		found = found || ok
		row.Values = append(row.Values, v)
	}
	if row.Time, ok = parseTime(row.Fields[r.time]); row.Problem == "" {
		switch {
		case !ok:
			row.Problem = TimeUnread
		case r.begun && row.Time < r.last:
			row.Problem = TimeBack
		case !found:
			row.Problem = NotANumber
		}
	}
	if ok && row.Problem == "" {
		r.last, r.begun = row.Time, true
	}
	return row, nil
}

// choose decides by the first row which columns are values: those that hold a number or nothing there. A column that is
// named as a label is none: a detector must not see it.
func (r *Reader) choose(first []string) {
	r.columns = []int{}
	for i, f := range first {
		if i == r.time || isLabel(r.header[i]) {
			continue
		}
		if _, ok := number(f); ok || isGap(f) {
			r.columns = append(r.columns, i)
		}
	}
	// A first row that is spoilt must not cost the plain case its column.
	if v := slices.IndexFunc(r.header, func(h string) bool { return strings.EqualFold(h, "value") }); v >= 0 && !slices.Contains(r.columns, v) {
		r.columns = append(r.columns, v)
		slices.Sort(r.columns)
	}
}

func isLabel(name string) bool {
	switch strings.ToLower(name) {
	case "label", "labels", "is_anomaly", "anomaly", "is_outlier", "outlier", "anomaly_score", "anomaly_grade", "threshold":
		return true
	}
	return false
}

func isGap(s string) bool {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "", "nan", "null", "none", "na", "n/a", "-", "inf", "+inf", "-inf":
		return true
	}
	return false
}

// number reads a finite number.
func number(s string) (float64, bool) {
	v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	return v, err == nil && !math.IsNaN(v) && !math.IsInf(v, 0)
}

var errTooLong = errors.New(TooLong)

// next returns the next line that isn't blank, without its end.
func (r *Reader) next() (string, error) {
	for {
		var text []byte
		long := false
		for {
			part, err := r.in.ReadSlice('\n')
			if len(text)+len(part) > maxLine {
				long = true
			} else {
				text = append(text, part...)
			}
			if err == nil {
				break
			}
			if errors.Is(err, bufio.ErrBufferFull) {
				continue
			}
			if !errors.Is(err, io.EOF) {
				return "", fmt.Errorf("%s:%d: %w", r.name, r.line+1, err)
			}
			if len(text) == 0 && !long {
				return "", io.EOF
			}
			break
		}
		r.line++
		if long {
			return "", errTooLong
		}
		if s := strings.TrimRight(string(text), "\r\n"); strings.TrimSpace(s) != "" {
			return s, nil
		}
	}
}

// split appends the fields of a line to dst. It returns false for a line with a quote that is left open.
func split(dst []string, line string) ([]string, bool) {
	for {
		if !strings.HasPrefix(line, `"`) {
			field, rest, more := strings.Cut(line, ",")
			dst = append(dst, field)
			if !more {
				return dst, true
			}
			line = rest
			continue
		}
		var b strings.Builder
		rest := line[1:]
		for {
			part, after, ok := strings.Cut(rest, `"`)
			b.WriteString(part)
			if !ok {
				return append(dst, b.String()), false
			}
			if rest = after; !strings.HasPrefix(rest, `"`) {
				break
			}
			b.WriteByte('"')
			rest = rest[1:]
		}
		part, after, more := strings.Cut(rest, ",") // what follows the closing quote belongs to the field
		b.WriteString(part)
		dst = append(dst, b.String())
		if !more {
			return dst, true
		}
		line = after
	}
}

// Quote returns a field as CSV has it, quoted where it must be.
func Quote(s string) string {
	if s == "" || !strings.ContainsAny(s, "\",\r\n") && s[0] != ' ' {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + " ..."
	}
	return s
}

// parseTime reads a time: dates as ISO 8601 and its common variants have them, UTC where there is no zone, or seconds,
// milliseconds, microseconds or nanoseconds since 1970, told apart by their size.
func parseTime(s string) (int64, bool) {
	s = strings.TrimSpace(s)
	if s == "" || len(s) > 40 {
		return 0, false
	}
	for _, layout := range [...]string{
		"2006-01-02 15:04:05", "2006-01-02T15:04:05", time.RFC3339, "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04",
		"2006-01-02T15:04", "2006-01-02T15:04Z07:00", "2006/01/02 15:04:05", "2006/01/02 15:04", "2006-01-02", "2006/01/02",
		"01/02/2006 15:04:05", "01/02/2006 15:04", "1/2/2006 15:04",
	} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UnixMilli(), true
		}
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		switch a := max(n, -n); {
		case a < 1e11: // seconds until the year 5138
			return n * 1000, true
		case a < 1e14:
			return n, true
		case a < 1e17:
			return n / 1000, true
		}
		return n / 1_000_000, true
	}
	if v, ok := number(s); ok && math.Abs(v) < 1e11 {
		return int64(math.Floor(v * 1000)), true
	}
	return 0, false
}
