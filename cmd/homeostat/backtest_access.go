package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"homeostat/internal/detect/access"
	"homeostat/internal/signal"
	"homeostat/internal/source/cloudtrail"
)

// runAccess scores CloudTrail records with the very detector that the loop runs, strictly in the order of time.
func (b *backtest) runAccess(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if b.out != "" || b.report != "" || b.percentile != 0 {
		return &exitError{2, errors.New("--out, --report and --percentile are for metrics; --detector access prints JSON Lines")}
	}
	var until int64
	if b.trainUntil != "" {
		t, err := parseTime(b.trainUntil)
		if err != nil {
			return &exitError{2, fmt.Errorf("--train-until: %w", err)}
		}
		until = t.UnixMilli()
	}
	files, err := cloudtrail.Find(args)
	if err != nil {
		return &exitError{2, err}
	}
	if len(files) == 0 {
		return &exitError{2, errors.New("no CloudTrail files (*.json, *.jsonl, *.csv, packed with gzip or not) below the paths")}
	}
	d := access.New(access.Config{})
	w := bufio.NewWriterSize(stdout, 64<<10)
	progress := newProgress(stderr)
	began := time.Now()
	var line []byte
	seen, scored, findings := 0, 0, map[string]bool{}
	stats, err := cloudtrail.Merge(ctx, files, 0, func(a *signal.Access) error {
		v := d.Observe(a)
		if seen++; seen%10_000 == 0 {
			progress.show("%d accesses, to %s", seen, time.UnixMilli(a.Time).UTC().Format(time.DateOnly))
		}
		if a.Time < until {
			return nil
		}
		scored++
		if v.Grade > 0 {
			findings[v.User+" "+a.Address+" "+strconv.FormatInt(a.Time/(24*3600*1000), 10)] = true
		}
		if !b.asJSON {
			return nil
		}
		line, err := appendAccessLine(line[:0], a, v)
		if err != nil {
			return err
		}
		_, err = w.Write(line)
		return err
	})
	progress.done()
	if err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	out := stdout
	if b.asJSON {
		out = stderr
	}
	fmt.Fprintf(out, "%s, %s, %d scored, %s in %.1f s\n", count(stats.Files, "file"), count(stats.Records, "record"), scored, count(len(findings), "finding"), time.Since(began).Seconds())
	for _, n := range []struct {
		n    int
		what string
	}{
		{stats.Duplicates, "that came twice"},
		{stats.NoTime, "without a time, set aside"},
		{stats.Others, "other than CloudTrail records"},
		{stats.Broken, "that can't be read"},
	} {
		if n.n > 0 {
			fmt.Fprintf(out, "%s %s\n", count(n.n, "record"), n.what)
		}
	}
	for _, p := range stats.Problems {
		fmt.Fprintln(stderr, p)
	}
	if seen == 0 && stats.Broken > 0 {
		return &exitError{1, errors.New("nothing of it is a CloudTrail record that can be read")}
	}
	return nil
}

// appendAccessLine appends a line of JSON. Strings that need no escapes are written as they are: it is done a hundred thousand
// times a second.
func appendAccessLine(dst []byte, a *signal.Access, v access.Verdict) ([]byte, error) {
	var err error
	str := func(s string) {
		for i := range len(s) {
			if c := s[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
				text, e := json.Marshal(s)
				err = errors.Join(err, e)
				dst = append(dst, text...)
				return
			}
		}
		dst = append(append(append(dst, '"'), s...), '"')
	}
	dst = append(dst, `{"eventID":`...)
	str(a.ID)
	dst = append(dst, `,"time":"`...)
	t := time.UnixMilli(a.Time).UTC()
	if a.Time%1000 == 0 {
		dst = t.AppendFormat(dst, time.RFC3339)
	} else {
		dst = t.AppendFormat(dst, "2006-01-02T15:04:05.000Z07:00")
	}
	dst = append(dst, `","user":`...)
	str(v.User)
	dst = append(dst, `,"ip":`...)
	str(a.Address)
	dst = strconv.AppendFloat(append(dst, `,"score":`...), v.Score, 'f', -1, 64)
	dst = strconv.AppendFloat(append(dst, `,"grade":`...), v.Grade, 'f', -1, 64)
	return append(dst, "}\n"...), err
}

// parseTime reads a time as people write it: RFC 3339, or a date; without a zone it is UTC.
func parseTime(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q: want a time such as 2026-03-01T00:00:00Z, or a date", s)
}
