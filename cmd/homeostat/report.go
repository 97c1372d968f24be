package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"os"
	"strconv"
	"time"

	"homeostat/internal/detect"
	"homeostat/internal/source/csvfile"
)

//go:embed report.html.tmpl
var reportPage string

// chart gathers what the report draws of one file, in a bounded number of columns: when they are full, two become one.
type chart struct {
	each    int // rows a column
	columns []column
	rows    int
}

// column is a few rows of a file: what an eye must not miss of them.
type column struct {
	first            int64 // time
	rows             int
	low, high        float64 // of the first value
	lower, upper     float64 // of its band
	score, threshold float64
	strange          bool
}

// chartWidth is the width of a chart in units of its view box; there are at most as many columns.
const (
	chartWidth  = 800
	valueHeight = 160
	scoreHeight = 70
)

// add takes in one row; v is nil where it was set aside. A nil chart takes nothing.
func (c *chart) add(row *csvfile.Row, v *detect.Verdict) {
	if c == nil || v == nil {
		return
	}
	one := column{
		first: row.Time, rows: 1, low: v.Values[0], high: v.Values[0], lower: v.Lower[0], upper: v.Upper[0],
		score: v.Score, threshold: v.Threshold, strange: v.Lasting,
	}
	c.rows++
	if n := len(c.columns); n > 0 && c.columns[n-1].rows < c.each {
		c.columns[n-1].join(one)
		return
	}
	if len(c.columns) == 2*chartWidth {
		for i := range chartWidth {
			c.columns[i] = c.columns[2*i]
			c.columns[i].join(c.columns[2*i+1])
		}
		c.columns = c.columns[:chartWidth]
		c.each *= 2
	}
	c.each = max(c.each, 1)
	c.columns = append(c.columns, one)
}

func (c *column) join(o column) {
	c.rows += o.rows
	c.low, c.high = fmin(c.low, o.low), fmax(c.high, o.high)
	c.lower, c.upper = fmin(c.lower, o.lower), fmax(c.upper, o.upper)
	c.score, c.threshold = max(c.score, o.score), min(c.threshold, o.threshold)
	c.strange = c.strange || o.strange
}

// fmin and fmax pass over what is not a number.
func fmin(a, b float64) float64 {
	if math.IsNaN(a) || b < a {
		return b
	}
	return a
}

func fmax(a, b float64) float64 {
	if math.IsNaN(a) || b > a {
		return b
	}
	return a
}

// drawing is a chart as the page's SVG elements take it.
type drawing struct {
	Width, ValueHeight, ScoreHeight int
	Value, Band, Score, Threshold   string // path data, digits and letters alone
	Marks                           []mark
	High, Low, Top                  string
	From, To                        string
}

// mark is a stretch that is strange, in units of the view box.
type mark struct{ X, Width float64 }

// draw turns the columns into paths. The value axis spans the values, and as much of the band as is near them.
func (c *chart) draw() *drawing {
	if c == nil || len(c.columns) < 2 {
		return nil
	}
	low, high, top := math.NaN(), math.NaN(), 0.0
	for _, k := range c.columns {
		low, high = fmin(low, k.low), fmax(high, k.high)
		top = max(top, k.score, k.threshold)
	}
	if math.IsNaN(low) {
		return nil
	}
	room := (high - low) / 10
	if !(room > 0) || math.IsInf(room, 0) {
		room = math.Max(1e-9, math.Abs(high)/10)
	}
	low, high = low-room, high+room
	d := &drawing{
		Width: chartWidth, ValueHeight: valueHeight, ScoreHeight: scoreHeight,
		High: strconv.FormatFloat(high-room, 'g', 4, 64), Low: strconv.FormatFloat(low+room, 'g', 4, 64),
		Top:  strconv.FormatFloat(top, 'g', 3, 64),
		From: time.UnixMilli(c.columns[0].first).UTC().Format(time.DateTime),
		To:   time.UnixMilli(c.columns[len(c.columns)-1].first).UTC().Format(time.DateTime),
	}
	x := func(i int) float64 { return float64(i) * chartWidth / float64(len(c.columns)) }
	y := func(v float64) float64 {
		at := (v/2 - low/2) / (high/2 - low/2) // halves: the difference of two huge numbers stays finite
		return valueHeight * (1 - min(max(at, 0), 1))
	}
	s := func(v float64) float64 { return scoreHeight * (1 - v/(1.05*max(top, 1e-9))) }
	var value, upper, lower, score, threshold bytes.Buffer
	to := func(b *bytes.Buffer, x, y float64) {
		letter := 'L'
		if b.Len() == 0 {
			letter = 'M'
		}
		fmt.Fprintf(b, "%c%.1f %.1f", letter, x, y)
	}
	for i, k := range c.columns {
		if !math.IsNaN(k.low) {
			to(&value, x(i), y(k.low))
			if k.high > k.low {
				to(&value, x(i), y(k.high))
			}
		}
		to(&upper, x(i), y(k.upper))
		to(&score, x(i), s(k.score))
		to(&threshold, x(i), s(k.threshold))
		if k.strange {
			w := max(chartWidth/float64(len(c.columns)), 1.5)
			if n := len(d.Marks); n > 0 && d.Marks[n-1].X+d.Marks[n-1].Width >= x(i)-0.01 {
				d.Marks[n-1].Width = x(i) + w - d.Marks[n-1].X
			} else {
				d.Marks = append(d.Marks, mark{x(i), w})
			}
		}
	}
	lower.WriteByte(' ') // goes on where upper ends
	for i := len(c.columns) - 1; i >= 0; i-- {
		to(&lower, x(i), y(c.columns[i].lower))
	}
	d.Value, d.Score, d.Threshold = value.String(), score.String(), threshold.String()
	d.Band = upper.String() + lower.String() + "Z"
	return d
}

// writeReport writes the summary as one HTML page that loads nothing.
func writeReport(name string, s *backtestSummary) error {
	page, err := template.New("report").Funcs(template.FuncMap{
		"when":  func(t time.Time) string { return t.Format(time.DateTime) },
		"count": count,
	}).Parse(reportPage)
	if err != nil {
		return err
	}
	type file struct {
		backtestResult
		Drawing *drawing
	}
	view := struct {
		*backtestSummary
		Files []file
	}{backtestSummary: s}
	for _, f := range s.Files {
		view.Files = append(view.Files, file{f, f.chart.draw()})
	}
	var b bytes.Buffer
	if err := page.Execute(&b, view); err != nil {
		return err
	}
	return os.WriteFile(name, b.Bytes(), 0o666)
}
