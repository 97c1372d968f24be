package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"homeostat/internal/detect"
	"homeostat/internal/source/csvfile"
)

// backtest is what the flags of one call ask for.
type backtest struct {
	detector   string
	out        string
	report     string
	asJSON     bool
	alarms     string
	percentile float64
	trainUntil string
}

func backtestCommand() *cobra.Command {
	var b backtest
	cmd := &cobra.Command{
		Use:   "backtest PATH...",
		Short: "Score files as the running detectors would have",
		Long: `Scores CSV files strictly in time order, each row before the next is read, with the very detector that the loop
runs. A file has a header, a column "timestamp" and one or more columns of numbers, which make one multivariate series;
other columns are carried through. A PATH that is a folder is walked for *.csv.

With --out, a file of the same relative path is written with as many rows as came in, in their order: the input's columns,
then anomaly_score, anomaly_grade, threshold, expected, lower and upper (of several value columns: expected_NAME, lower_NAME,
upper_NAME and attribution_NAME for each), and report.html with a chart of each file. A row that can't be used (its time goes
back, its value isn't a number) has score 0 and grade 0, and is counted.

anomaly_score says how strange a row is; anomaly_grade is the decision: above 0 only where an event would be raised or goes on.

With --detector access the files are CloudTrail's (log files, JSON Lines, events of EventBridge, exports of Lake; packed with
gzip or not), read in the order of time whatever their order. With --json a line is printed for each access at or after
--train-until: {"eventID","time","user","ip","score","grade"}. A score is that of the user, address and day that the access
belongs to, as far as it is known at that access; it never falls within the day.`,
		Example: `  homeostat backtest metrics.csv
  homeostat backtest --out scored --json data/
  homeostat backtest --detector access --train-until 2026-03-01T00:00:00Z logs/ --json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return b.run(cmd.Context(), args, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&b.detector, "detector", "rcf", "detector that scores: rcf (metrics) or access (CloudTrail)")
	f.StringVar(&b.trainUntil, "train-until", "", "with --detector access: print accesses from this time on, such as 2026-03-01T00:00:00Z")
	f.StringVar(&b.out, "out", "", "folder to write the scored files and report.html to")
	f.StringVar(&b.report, "report", "", "file to write the HTML report to, in place of report.html under --out")
	f.BoolVar(&b.asJSON, "json", false, "print the summary as one JSON document")
	f.StringVar(&b.alarms, "alarms", "1/week", "false alarms to put up with, by the times in the file")
	f.Float64Var(&b.percentile, "percentile", 0, "use this percentile of the scores as threshold, in place of --alarms")
	return cmd
}

// backtestSummary is what --json prints.
type backtestSummary struct {
	Detector string           `json:"detector"`
	Files    []backtestResult `json:"files"`
	Rows     int              `json:"rows"`
	SetAside int              `json:"setAside"`
	Events   int              `json:"events"`
	Seconds  float64          `json:"seconds"`
}

// backtestResult is one file of it.
type backtestResult struct {
	Path      string            `json:"path"`
	Columns   []string          `json:"columns"`
	Rows      int               `json:"rows"`
	SetAside  map[string]int    `json:"setAside"`
	Events    int               `json:"events"`
	RowsAbove int               `json:"rowsAbove"` // with a grade above 0
	Anomalies []backtestAnomaly `json:"anomalies"` // the first thousand
	Error     string            `json:"error,omitempty"`

	chart *chart
}

// backtestAnomaly is one event that would have been raised.
type backtestAnomaly struct {
	Began      time.Time `json:"began"`
	Ended      time.Time `json:"ended,omitzero"`
	FirstRow   int       `json:"firstRow"` // of the data, from 1
	LastRow    int       `json:"lastRow"`
	Score      float64   `json:"score"` // at the peak
	Grade      float64   `json:"grade"`
	Confidence float64   `json:"confidence"`
	Reason     string    `json:"reason"`
}

const maxAnomalies = 1000

func (b *backtest) run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	switch b.detector {
	case "rcf":
	case "access":
		return b.runAccess(ctx, args, stdout, stderr)
	default:
		return &exitError{2, fmt.Errorf("--detector %s: want rcf or access", b.detector)}
	}
	if b.trainUntil != "" {
		return &exitError{2, errors.New("--train-until is for --detector access; metrics are scored from the first row on")}
	}
	c := detect.ModelConfig{Percentile: b.percentile}
	if err := c.Alarms.UnmarshalText([]byte(b.alarms)); err != nil {
		return &exitError{2, fmt.Errorf("--alarms: %w", err)}
	}
	if b.percentile != 0 && !(b.percentile >= 50 && b.percentile < 100) {
		return &exitError{2, fmt.Errorf("--percentile %v: want at least 50 and less than 100", b.percentile)}
	}
	files, err := b.find(args)
	if err != nil {
		return &exitError{2, err}
	}
	var out *os.Root
	if b.out != "" {
		if err := os.MkdirAll(b.out, 0o777); err != nil {
			return err
		}
		if out, err = os.OpenRoot(b.out); err != nil {
			return err
		}
		defer out.Close()
	}
	if b.report == "" && b.out != "" {
		b.report = filepath.Join(b.out, "report.html")
	}
	began := time.Now()
	s := backtestSummary{Detector: b.detector, Files: []backtestResult{}}
	progress := newProgress(stderr)
	failed := 0
	for i, f := range files {
		r := backtestResult{Path: f.rel, Columns: []string{}, SetAside: map[string]int{}, Anomalies: []backtestAnomaly{}}
		if b.report != "" {
			r.chart = &chart{}
		}
		err := b.score(ctx, c, f, out, &r, func() {
			progress.show("file %d of %d, %d rows, %d events", i+1, len(files), s.Rows+r.Rows, s.Events+r.Events)
		})
		if ctx.Err() != nil {
			progress.done()
			return context.Cause(ctx)
		}
		if err != nil {
			r.Error = err.Error()
			failed++
		}
		s.Rows += r.Rows
		s.Events += r.Events
		for _, n := range r.SetAside {
			s.SetAside += n
		}
		s.Files = append(s.Files, r)
	}
	progress.done()
	s.Seconds = time.Since(began).Seconds()
	if b.report != "" {
		if err := writeReport(b.report, &s); err != nil {
			return fmt.Errorf("report: %w", err)
		}
	}
	if b.asJSON {
		err = printJSON(stdout, s)
	} else {
		err = s.print(stdout, b)
	}
	if err != nil {
		return err
	}
	if failed > 0 {
		return &exitError{1, fmt.Errorf("%d of %d files could not be scored", failed, len(files))}
	}
	return nil
}

// csvInput is a file to score.
type csvInput struct {
	path string
	rel  string // below the folder that was named, or the file's own name
}

// find returns the files that the arguments name, each once.
func (b *backtest) find(args []string) ([]csvInput, error) {
	var files []csvInput
	var out fs.FileInfo
	if b.out != "" {
		out, _ = os.Stat(b.out) // where it isn't there yet, it can't be among the inputs
	}
	for _, arg := range args {
		st, err := os.Stat(arg)
		if err != nil {
			return nil, err
		}
		if !st.IsDir() {
			files = append(files, csvInput{arg, filepath.Base(arg)})
			continue
		}
		if out != nil && os.SameFile(st, out) {
			return nil, fmt.Errorf("--out %s is the folder that is read: its files would be overwritten", b.out)
		}
		err = filepath.WalkDir(arg, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() {
				if st, err := d.Info(); err == nil && out != nil && os.SameFile(st, out) {
					return fs.SkipDir // what an earlier call has written
				}
				return nil
			}
			if !strings.EqualFold(filepath.Ext(path), ".csv") {
				return nil
			}
			rel, err := filepath.Rel(arg, path)
			files = append(files, csvInput{path, rel})
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no *.csv below %s", strings.Join(args, ", "))
	}
	seen := map[string]string{}
	for _, f := range files {
		if b.out != "" && seen[f.rel] != "" {
			return nil, fmt.Errorf("%s and %s would both be written to %s", seen[f.rel], f.path, filepath.Join(b.out, f.rel))
		}
		seen[f.rel] = f.path
		if b.out == "" {
			continue
		}
		in, err1 := os.Stat(f.path)
		target, err2 := os.Stat(filepath.Join(b.out, f.rel))
		if err1 == nil && err2 == nil && os.SameFile(in, target) {
			return nil, fmt.Errorf("--out %s: %s would be overwritten", b.out, f.path)
		}
	}
	return files, nil
}

// score scores one file into r and, where out is not nil, writes what it says beside the rows.
func (b *backtest) score(ctx context.Context, c detect.ModelConfig, f csvInput, out *os.Root, r *backtestResult, tick func()) (err error) {
	in, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer in.Close()
	rows, err := csvfile.NewReader(f.path, in)
	if err != nil {
		return err
	}
	w := &scoreWriter{out: bufio.NewWriter(io.Discard)}
	if out != nil {
		if err := out.MkdirAll(filepath.Dir(f.rel), 0o777); err != nil {
			return err
		}
		file, err := out.Create(f.rel)
		if err != nil {
			return err
		}
		w.out.Reset(file)
		defer func() { err = errors.Join(err, w.out.Flush(), file.Close()) }()
	}
	var model *detect.Model
	var open *backtestAnomaly
	for {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if r.Rows == 0 {
			names := valueNames(rows)
			r.Columns = names
			for _, name := range names {
				c.Features = append(c.Features, detect.Feature{Name: name})
			}
			if len(names) > 0 {
				if model, err = detect.NewModel(c); err != nil {
					return err
				}
			}
			w.header(rows.Header(), names)
		}
		r.Rows++
		if r.Rows%1000 == 0 {
			tick()
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		var v *detect.Verdict
		if row.Problem == "" {
			v = model.Observe(row.Time, row.Values)
		} else {
			r.SetAside[row.Problem]++
		}
		w.row(row.Fields, v)
		r.chart.add(row, v)
		if v != nil {
			open = r.note(open, row.Time, v, c.Features)
		}
	}
	if r.Rows == 0 {
		r.Columns = valueNames(rows)
		w.header(rows.Header(), r.Columns)
	}
	if open != nil {
		r.close(open)
	}
	aside := 0
	for _, n := range r.SetAside {
		aside += n
	}
	if r.Rows > 0 && aside == r.Rows {
		return fmt.Errorf("none of its %s can be scored: %s", count(r.Rows, "row"), strings.Join(sortedNames(r.SetAside), ", "))
	}
	return nil
}

func valueNames(rows *csvfile.Reader) []string {
	names := []string{}
	for _, c := range rows.Columns() {
		names = append(names, rows.Header()[c])
	}
	return names
}

// note keeps the anomaly that goes on with this row, and counts it when it has ended.
func (r *backtestResult) note(open *backtestAnomaly, at int64, v *detect.Verdict, features []detect.Feature) *backtestAnomaly {
	if v.Change == detect.Began {
		r.Events++
		open = &backtestAnomaly{Began: time.UnixMilli(at).UTC(), FirstRow: r.Rows, Score: -1}
	}
	if v.Grade > 0 {
		r.RowsAbove++
	}
	if v.Lasting && open != nil {
		open.LastRow, open.Ended = r.Rows, time.UnixMilli(at).UTC()
		if v.Score > open.Score {
			open.Score, open.Grade, open.Confidence = v.Score, max(v.Grade, open.Grade), v.Confidence
			open.Reason = detect.Explain(features, v)
		}
	}
	if v.Change == detect.Ended && open != nil {
		r.close(open)
		return nil
	}
	return open
}

func (r *backtestResult) close(a *backtestAnomaly) {
	if len(r.Anomalies) < maxAnomalies {
		r.Anomalies = append(r.Anomalies, *a)
	}
}

// print writes the summary for people.
func (s *backtestSummary) print(out io.Writer, b *backtest) error {
	w := bufio.NewWriter(out)
	for _, f := range s.Files {
		if strings.Contains(f.Error, f.Path) {
			fmt.Fprintln(w, f.Error)
			continue
		}
		fmt.Fprintf(w, "%s: ", f.Path)
		if f.Error != "" {
			fmt.Fprintln(w, f.Error)
			continue
		}
		fmt.Fprintf(w, "%s, %s", count(f.Rows, "row"), count(f.Events, "event"))
		for _, problem := range sortedNames(f.SetAside) {
			fmt.Fprintf(w, ", %s set aside: %s", count(f.SetAside[problem], "row"), problem)
		}
		fmt.Fprintln(w)
		for i, a := range f.Anomalies {
			if i == 10 && len(s.Files) > 1 {
				fmt.Fprintf(w, "  and %d more\n", len(f.Anomalies)-i)
				break
			}
			fmt.Fprintf(w, "  %s to %s  grade %.2f  %s\n", a.Began.Format(time.DateTime), a.Ended.Format(time.DateTime), a.Grade, a.Reason)
		}
	}
	if len(s.Files) > 1 {
		fmt.Fprintf(w, "%s, %s, %s in %.1f s\n", count(len(s.Files), "file"), count(s.Rows, "row"), count(s.Events, "event"), s.Seconds)
	}
	if b.out != "" {
		fmt.Fprintf(w, "scored files are in %s\n", b.out)
	}
	if b.report != "" {
		fmt.Fprintf(w, "report: %s\n", b.report)
	}
	return w.Flush()
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

func sortedNames(m map[string]int) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
