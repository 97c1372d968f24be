package csvfile

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// read returns each row as "time values problem", and the reader.
func read(t *testing.T, text string) ([]string, *Reader) {
	t.Helper()
	r, err := NewReader("x.csv", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			return rows, r
		}
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, strings.TrimSpace(fmt.Sprintf("%d %v %s", row.Time, row.Values, row.Problem)))
	}
}

func TestRows(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"plain", "timestamp,value\n1970-01-01 00:00:01,2.5\n1970-01-01 00:00:02,3\n", []string{"1000 [2.5]", "2000 [3]"}},
		{"no last line break, CRLF, BOM, blank lines", "\ufefftimestamp,value\r\n\r\n1,2\r\n\n2,3", []string{"1000 [2]", "2000 [3]"}},
		{"header alone", "timestamp,value\n", nil},
		{"text is carried through", "timestamp,host,value,note\n1,a,2,x\n2,b,3,7\n", []string{"1000 [2]", "2000 [3]"}},
		{"labels are not seen", "timestamp,value,label,is_anomaly\n1,2,0,1\n", []string{"1000 [2]"}},
		{"several values, one missing", "time,a,b\n1,1,\n2,,4\n3,,\n", []string{"1000 [1 NaN]", "2000 [NaN 4]", "3000 [NaN NaN] not a number"}},
		{"not numbers", "timestamp,value\n1,NaN\n2,inf\n3,x\n4,1e999\n5,1e308\n", []string{
			"1000 [NaN] not a number", "2000 [NaN] not a number", "3000 [NaN] not a number", "4000 [NaN] not a number", "5000 [1e+308]",
		}},
		{"time goes back", "timestamp,value\n5,1\n4,2\n5,3\n6,4\n", []string{"5000 [1]", "4000 [2] time goes back", "5000 [3]", "6000 [4]"}},
		{"a bad row does not move the clock", "timestamp,value\n5,1\n99,x\n6,2\n", []string{"5000 [1]", "99000 [NaN] not a number", "6000 [2]"}},
		{"torn", "timestamp,value\n1,2\n2014-0", []string{"1000 [2]", "0 [NaN] wrong number of fields"}},
		{"too many fields", "timestamp,value\n1,2,3\n", []string{"1000 [2] wrong number of fields"}},
		{"time unread", "timestamp,value\nyesterday,2\n", []string{"0 [2] time not understood"}},
		{"an open quote costs one row", "timestamp,value,note\n1,2,\"a\"\n2,3,\"b\n3,4,\"c, \"\"d\"\"\"\n", []string{"1000 [2]", "2000 [3] quote left open", "3000 [4]"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, _ := read(t, tt.text)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTimes(t *testing.T) {
	for text, want := range map[string]int64{
		"2014-02-14 14:30:00":           1392388200000,
		"2014-02-14T14:30:00Z":          1392388200000,
		"2014-02-14T15:30:00+01:00":     1392388200000,
		"2014-02-14 14:30:00.250":       1392388200250,
		"1392388200":                    1392388200000,
		"1392388200.25":                 1392388200250,
		"1392388200000":                 1392388200000,
		"1392388200000000":              1392388200000,
		"1392388200000000000":           1392388200000,
		"2014-02-14":                    1392336000000,
		"-1":                            -1000,
		"2014-02-14 14:30:00.123456789": 1392388200123,
	} {
		if got, ok := parseTime(text); !ok || got != want {
			t.Errorf("%s: %d, %v, want %d", text, got, ok, want)
		}
	}
}

func TestFileWithoutHeader(t *testing.T) {
	for _, text := range []string{"", "\n\n", "1,2\n3,4\n", "\"timestamp,value\n"} {
		if _, err := NewReader("x.csv", strings.NewReader(text)); !errors.Is(err, ErrNoHeader) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestLineTooLong(t *testing.T) {
	got, _ := read(t, "timestamp,value\n1,2\n"+strings.Repeat("9", maxLine+1)+"\n2,3\n")
	if want := []string{"1000 [2]", "0 [NaN] line too long", "2000 [3]"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func FuzzReader(f *testing.F) {
	f.Add("timestamp,value\n1,2\n2,\"3\n")
	f.Add("time,a,b\n2014-02-14 14:30:00,1,x\n,,\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := NewReader("x.csv", strings.NewReader(text))
		if err != nil {
			return
		}
		last := int64(math.MinInt64)
		for {
			row, err := r.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(row.Fields) != len(r.Header()) || len(row.Values) != len(r.Columns()) {
				t.Fatalf("row %+v", row)
			}
			if row.Problem != "" {
				continue
			}
			if row.Time < last {
				t.Fatalf("%d after %d", row.Time, last)
			}
			last = row.Time
			if !slices.ContainsFunc(row.Values, func(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }) {
				t.Fatalf("no number in %+v", row)
			}
		}
	})
}
