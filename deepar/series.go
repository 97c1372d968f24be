package deepar

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
)

// Series is one time series, as SageMaker's records have it.
type Series struct {
	ItemID      string // a name of ours or the user's; may be empty
	Place       string // where it was read, for errors: file:line
	Start       time.Time
	Target      []float64   // NaN is missing
	Cat         []int       // categories, from 0
	DynamicFeat [][]float64 // each as long as Target, or longer by the horizon; none missing
}

// place names the series in an error.
func (s *Series) place(i int) string {
	switch {
	case s.Place != "":
		return s.Place
	case s.ItemID != "":
		return "series " + strconv.Quote(s.ItemID)
	}
	return fmt.Sprintf("series %d", i)
}

const (
	maxAbs    = 1e30    // of a target or a feature: float32 holds its square's root's neighbours, and nothing real is larger
	maxLine   = 1 << 28 // bytes of a record
	maxErrors = 20      // told of one file
)

// ReadJSONLines reads DeepAR's JSON Lines: one record a line with start, target and, where used, cat and dynamic_feat; item_id is
// kept, other fields are passed over. name stands for the file in errors: "name:3: ...", or "line 3: ..." when it is empty. All mistakes are told, up to twenty, each with its line.
func ReadJSONLines(name string, r io.Reader) ([]Series, error) {
	at := func(line int) string {
		if name == "" {
			return fmt.Sprintf("line %d", line)
		}
		return fmt.Sprintf("%s:%d", name, line)
	}
	in := bufio.NewReaderSize(r, 1<<16)
	var out []Series
	var errs []error
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s: %w", at(n), err)
		}
		atEnd := err != nil
		if len(line) > maxLine {
			return nil, fmt.Errorf("%s: a record of more than %d bytes", at(n), maxLine)
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			s, err := ParseRecord(line)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", at(n), err))
				if len(errs) == maxErrors {
					return nil, errors.Join(append(errs, errors.New("and perhaps more"))...)
				}
			}
			s.Place = at(n)
			out = append(out, s)
		}
		if atEnd {
			break
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: no records", cmp.Or(name, "it"))
	}
	return out, nil
}

// ParseRecord reads one record, a JSON object.
func ParseRecord(text []byte) (Series, error) {
	var rec struct {
		ItemID  json.RawMessage `json:"item_id"`
		Start   *string         `json:"start"`
		Target  []number        `json:"target"`
		Cat     json.RawMessage `json:"cat"`
		Dynamic [][]number      `json:"dynamic_feat"`
	}
	if err := json.Unmarshal(text, &rec); err != nil {
		if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return Series{}, fmt.Errorf("%s: %s, want %s", e.Field, e.Value, wanted(e.Field))
		}
		return Series{}, err
	}
	var s Series
	if rec.ItemID != nil {
		if err := json.Unmarshal(rec.ItemID, &s.ItemID); err != nil {
			s.ItemID = string(rec.ItemID) // a number, taken as it is written
		}
	}
	if rec.Start == nil {
		return s, errors.New("start: missing, want YYYY-MM-DD HH:MM:SS")
	}
	var err error
	if s.Start, err = ParseStart(*rec.Start); err != nil {
		return s, err
	}
	if rec.Target == nil {
		return s, errors.New("target: missing, want an array of numbers")
	}
	if s.Target, err = values("target", rec.Target, true); err != nil {
		return s, err
	}
	if rec.Cat != nil && string(rec.Cat) != "null" {
		if err := json.Unmarshal(rec.Cat, &s.Cat); err != nil {
			var one int
			if json.Unmarshal(rec.Cat, &one) != nil {
				return s, errors.New("cat: want an array of integers from 0")
			}
			s.Cat = []int{one}
		}
	}
	for _, c := range s.Cat {
		if c < 0 {
			return s, fmt.Errorf("cat: %d, want integers from 0", c)
		}
	}
	for i, f := range rec.Dynamic {
		v, err := values(fmt.Sprintf("dynamic_feat[%d]", i), f, false)
		if err != nil {
			return s, err
		}
		s.DynamicFeat = append(s.DynamicFeat, v)
	}
	return s, nil
}

func wanted(field string) string {
	switch field {
	case "start":
		return "a string"
	case "dynamic_feat":
		return "an array of arrays of numbers"
	}
	return "an array of numbers"
}

// ParseStart reads a start: YYYY-MM-DD HH:MM:SS, or the date alone. There is no time zone in it, so UTC stands for whichever it is.
func ParseStart(s string) (time.Time, error) {
	for _, layout := range []string{time.DateTime, time.DateOnly, "2006-01-02T15:04:05", "2006-01-02 15:04"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("start: %q, want YYYY-MM-DD HH:MM:SS", s)
}

// number is a value of a record: a number, or null or "NaN" for one that is missing.
type number float64

// UnmarshalJSON reads one.
func (n *number) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case "null", `"NaN"`, `"nan"`:
		*n = number(math.NaN())
		return nil
	}
	v, err := strconv.ParseFloat(string(b), 64)
	if err != nil {
		if errors.Is(err, strconv.ErrRange) {
			*n = number(math.Inf(1)) // told with its place by values
			return nil
		}
		return fmt.Errorf("%s: want a number, null or \"NaN\"", b)
	}
	*n = number(v)
	return nil
}

// values checks an array of a record.
func values(name string, in []number, missing bool) ([]float64, error) {
	out := make([]float64, len(in))
	for i, n := range in {
		v := float64(n)
		switch {
		case math.IsNaN(v) && !missing:
			return nil, fmt.Errorf("%s[%d]: missing; a feature needs all its values", name, i)
		case math.Abs(v) > maxAbs:
			return nil, fmt.Errorf("%s[%d]: %g is beyond %g", name, i, v, maxAbs)
		}
		out[i] = v
	}
	return out, nil
}
