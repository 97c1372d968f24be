package cloudtrail

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// table reads the rows of a CSV file as JSON objects: what CloudTrail Lake and Athena export (a column for each member, or one
// that holds the event as JSON), and tables that others derive from it.
type table struct {
	rows   *csv.Reader
	header []string
	text   []byte
}

// columns are names of columns that stand for a member under another name, in lower case and without anything but letters.
var columns = map[string]string{
	"eventdatetime": "eventTime", "eventtimestamp": "eventTime", "time": "eventTime", "sourceip": "sourceIPAddress", "requestuseragent": "userAgent",
	"userid": "userIdentity", "region": "awsRegion", "accountid": "recipientAccountId", "eventcategory": "eventCategory",
}

// looksLikeTable reports whether a file begins with a line of names of columns that we know.
func looksLikeTable(head []byte) bool {
	head = bytes.TrimLeft(head, " \r\n\t")
	if len(head) == 0 || head[0] == '{' || head[0] == '[' {
		return false
	}
	line, _, _ := bytes.Cut(head, []byte{'\n'})
	line = bytes.ToLower(line)
	return bytes.Contains(line, []byte("event"))
}

func newTable(in io.Reader) *table {
	t := &table{rows: csv.NewReader(in)}
	t.rows.FieldsPerRecord, t.rows.LazyQuotes, t.rows.ReuseRecord, t.rows.TrimLeadingSpace = -1, true, true, true
	return t
}

// row reads the next row of the table into p.found.
func (r *Reader) row() error {
	fields, err := r.table.rows.Read()
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	if err != nil {
		r.Broken++
		if p, ok := errors.AsType[*csv.ParseError](err); ok {
			if len(r.problems) < maxProblems {
				r.problems = append(r.problems, Problem{r.name, p.Line, p.Column, p.Err.Error()})
			}
			return nil
		}
		return fmt.Errorf("%s: %w", r.name, err)
	}
	if r.table.header == nil {
		for _, f := range fields {
			r.table.header = append(r.table.header, columnName(f))
		}
		return nil
	}
	text := append(r.table.text[:0], '{')
	for i, f := range fields {
		if i >= len(r.table.header) || f == "" || f == "null" || f == "-" {
			continue
		}
		if len(text) > 1 {
			text = append(text, ',')
		}
		text = appendQuoted(text, []byte(r.table.header[i]))
		text = append(text, ':')
		text = append(text, cell(f)...)
	}
	text = append(text, '}')
	r.table.text = text
	if err := r.p.value(&cursor{text, 0}, 0); err != nil {
		line, column := r.table.rows.FieldPos(0)
		r.Broken++
		if len(r.problems) < maxProblems {
			r.problems = append(r.problems, Problem{r.name, line, column, err.Error()})
		}
		r.p.found = r.p.found[:0]
	}
	return nil
}

// columnName returns the member that a column stands for.
func columnName(s string) string {
	plain := strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r == '@':
			return r
		}
		return -1
	}, s)
	if name, ok := columns[plain]; ok {
		return name
	}
	return plain
}

// cell writes a field as JSON: JSON as it is, a structure in the writing of Presto ({type=IAMUser, arn=...}) or of Python
// ({'type': 'IAMUser'}) as an object, and anything else as a string.
func cell(f string) []byte {
	t := strings.TrimSpace(f)
	if strings.HasPrefix(t, "{") || strings.HasPrefix(t, "[") {
		if json.Valid([]byte(t)) {
			return []byte(t)
		}
		if s := strings.ReplaceAll(t, "'", `"`); json.Valid([]byte(s)) {
			return []byte(s)
		}
		if strings.HasPrefix(t, "{") {
			if text, rest, ok := prestoRow(nil, t, 0); ok && strings.TrimSpace(rest) == "" {
				return text
			}
		}
	}
	return appendQuoted(nil, []byte(f))
}

// prestoRow appends the row {a=b, c={d=e}} at the beginning of s as an object and returns what stands behind it.
func prestoRow(dst []byte, s string, depth int) (text []byte, rest string, ok bool) {
	if depth > 20 {
		return dst, s, false
	}
	dst = append(dst, '{')
	s = strings.TrimLeft(s[1:], " ")
	for first := true; ; first = false {
		if strings.HasPrefix(s, "}") {
			return append(dst, '}'), s[1:], true
		}
		name, value, found := strings.Cut(s, "=")
		if !found || strings.ContainsAny(name, "{}") {
			return dst, s, false
		}
		if !first {
			dst = append(dst, ',')
		}
		dst = append(appendQuoted(dst, []byte(strings.TrimSpace(name))), ':')
		if strings.HasPrefix(value, "{") {
			if dst, s, ok = prestoRow(dst, value, depth+1); !ok {
				return dst, s, false
			}
		} else {
			// A value ends before the next ", name=" or the closing brace.
			end := len(value)
			for i := range len(value) {
				if value[i] == '}' || value[i] == ',' && isMember(value[i+1:]) {
					end = i
					break
				}
			}
			if v := value[:end]; v == "null" || v == "" {
				dst = append(dst, "null"...)
			} else {
				dst = appendQuoted(dst, []byte(v))
			}
			s = value[end:]
		}
		s = strings.TrimLeft(s, ", ")
	}
}

// isMember reports whether s goes on with " name=".
func isMember(s string) bool {
	s = strings.TrimLeft(s, " ")
	for i := range len(s) {
		switch ch := s[i]; {
		case ch == '=':
			return i > 0
		case ch >= 'a' && ch <= 'z', ch >= 'A' && ch <= 'Z', ch >= '0' && ch <= '9', ch == '_', ch == '.', ch == '-', ch == ':', ch == '/':
		default:
			return false
		}
	}
	return false
}
