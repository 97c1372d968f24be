package main

import (
	"bufio"
	"strconv"

	"homeostat/internal/detect"
	"homeostat/internal/source/csvfile"
)

// scoreWriter writes the rows with what was said of them.
type scoreWriter struct {
	out   *bufio.Writer
	names int // value columns
	line  []byte
}

func (w *scoreWriter) header(header, names []string) {
	w.names = len(names)
	for _, h := range header {
		w.field(csvfile.Quote(h))
	}
	for _, h := range []string{"anomaly_score", "anomaly_grade", "threshold"} {
		w.field(h)
	}
	if len(names) <= 1 {
		for _, h := range []string{"expected", "lower", "upper"} {
			w.field(h)
		}
	} else {
		for _, name := range names {
			for _, h := range []string{"expected_", "lower_", "upper_", "attribution_"} {
				w.field(csvfile.Quote(h + name))
			}
		}
	}
	w.end()
}

// row writes a row; v is nil for one that was set aside.
func (w *scoreWriter) row(fields []string, v *detect.Verdict) {
	for _, f := range fields {
		w.field(csvfile.Quote(f))
	}
	if v == nil {
		w.field("0")
		w.field("0")
		w.field("")
		for range max(3, 4*w.names*min(1, w.names-1)) {
			w.field("")
		}
		w.end()
		return
	}
	w.number(v.Score)
	w.number(v.Grade)
	w.number(v.Threshold)
	for i := range v.Expected {
		w.number(v.Expected[i])
		w.number(v.Lower[i])
		w.number(v.Upper[i])
		if len(v.Expected) > 1 {
			w.number(v.Attribution[i])
		}
	}
	w.end()
}

func (w *scoreWriter) field(s string) { w.line = append(append(w.line, s...), ',') }

func (w *scoreWriter) number(v float64) {
	w.line = append(strconv.AppendFloat(w.line, v, 'g', -1, 64), ',')
}

// end ends the line. An error of the writer stays in it until Flush returns it.
func (w *scoreWriter) end() {
	w.line[len(w.line)-1] = '\n'
	_, _ = w.out.Write(w.line)
	w.line = w.line[:0]
}
