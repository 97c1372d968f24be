package sagemaker

import (
	"encoding/csv"
	"errors"
	"io"
	"strconv"
)

// maxLine bounds a line of CSV: 10,000 columns of numbers are a quarter of a megabyte.
const maxLine = 16 << 20

// CSVRows reads CSV as SageMaker has it (no header, commas, RFC 4180) row by row. It calls fn with the line that the row begins
// on, from 1, and its fields, which are fn's until it returns. An empty line is no row. A row may have any number of fields.
func CSVRows(r io.Reader, fn func(line int, fields []string) error) error {
	cr := csv.NewReader(&boundLines{r: r})
	cr.FieldsPerRecord = -1
	cr.ReuseRecord = true
	cr.TrimLeadingSpace = true
	for {
		fields, err := cr.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if pe, ok := errors.AsType[*csv.ParseError](err); ok {
			return BadBody("line %d, column %d: %w", pe.Line, pe.Column, pe.Err)
		}
		if err != nil {
			return err
		}
		line, _ := cr.FieldPos(0)
		if err := fn(line, fields); err != nil {
			return err
		}
	}
}

// Floats appends the numbers in fields to dst; offset is how many fields of the row are before them. A field that is no finite
// number is a [*BodyError] with its place.
func Floats(dst []float64, line, offset int, fields []string) ([]float64, error) {
	for i, text := range fields {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || v-v != 0 {
			hint := ""
			if line == 1 && err != nil {
				hint = " (SageMaker's CSV has no header)"
			}
			return dst, BadBody("line %d, field %d: %.40q is not a finite number%s", line, offset+i+1, text, hint)
		}
		dst = append(dst, v)
	}
	return dst, nil
}

// boundLines fails where a line is longer than maxLine: the reader above it keeps a whole one.
type boundLines struct {
	r    io.Reader
	line int
	at   int // bytes of the line so far
}

func (b *boundLines) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	for _, c := range p[:n] {
		if c == '\n' {
			b.line++
			b.at = 0
			continue
		}
		if b.at++; b.at > maxLine {
			return 0, BadBody("line %d: longer than %d bytes", b.line+1, maxLine)
		}
	}
	return n, err
}
