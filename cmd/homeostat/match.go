package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"homeostat/eventpattern"
)

// maxEventLine is the longest line that match reads, in bytes. A longer one isn't an event.
const maxEventLine = 64 << 20

// matchCommand is homeostat match: one pattern against events, one a line.
func matchCommand() *cobra.Command {
	var patternFile string
	cmd := &cobra.Command{
		Use:   "match --pattern FILE [EVENTS.jsonl]",
		Short: "Try an EventBridge pattern on events, one JSON object a line",
		Long: `Try an EventBridge event pattern on events: a file of one JSON object a line, or standard input.

For each line of input there is one line of output, true or false. Any JSON object is an event. A line that isn't one
gives false, its number on standard error, and status 1 at the end. A pattern that AWS would refuse gives status 2 and
the place and reason of each mistake on standard error.`,
		Args:          cobra.MaximumNArgs(1),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if patternFile == "" {
				return &exitError{2, errors.New("match needs --pattern FILE")}
			}
			text, err := os.ReadFile(patternFile)
			if err != nil {
				return &exitError{2, err}
			}
			p, err := eventpattern.Parse(patternFile, text)
			if err != nil {
				return &exitError{2, err}
			}
			in := cmd.InOrStdin()
			if len(args) == 1 && args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return &exitError{2, err}
				}
				defer f.Close() // nothing was written to it
				in = f
			}
			return matchLines(p, in, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVarP(&patternFile, "pattern", "p", "", "the pattern's `FILE`")
	return cmd
}

// matchLines answers each line of in with a line on out. What can't be answered is answered false, told on errs, and makes the
// error at the end an exitError with status 1.
func matchLines(p *eventpattern.Pattern, in io.Reader, out, errs io.Writer) error {
	r := bufio.NewReaderSize(in, 1<<16)
	w := bufio.NewWriter(out)
	var line []byte
	bad, lines := 0, 0
	for n := 1; ; n++ {
		var long bool
		var err error
		line, long, err = readLine(r, line[:0])
		if err != nil && !errors.Is(err, io.EOF) {
			return errors.Join(w.Flush(), &exitError{2, fmt.Errorf("reading events: %w", err)})
		}
		if err != nil && len(line) == 0 && !long {
			break
		}
		lines = n
		matched, reason := false, error(nil)
		if long {
			reason = fmt.Errorf("longer than %d bytes", maxEventLine)
		} else {
			matched, reason = p.Match(line)
		}
		if reason != nil {
			bad++
			fmt.Fprintf(errs, "line %d: %v\n", n, reason)
		}
		fmt.Fprintln(w, matched)
		if r.Buffered() == 0 { // somebody may be waiting at the other end of a pipe
			if err := w.Flush(); err != nil {
				return &exitError{2, fmt.Errorf("writing answers: %w", err)}
			}
		}
	}
	if err := w.Flush(); err != nil {
		return &exitError{2, fmt.Errorf("writing answers: %w", err)}
	}
	if bad > 0 {
		return &exitError{1, fmt.Errorf("%d of %d lines aren't events", bad, lines)}
	}
	return nil
}

// readLine appends the next line to dst, without its end. Of a line beyond maxEventLine it keeps the beginning and says so. At the
// end of the input it returns io.EOF with what was left.
func readLine(r *bufio.Reader, dst []byte) (line []byte, long bool, err error) {
	for {
		piece, err := r.ReadSlice('\n')
		if len(dst)+len(piece) > maxEventLine {
			long = true
		} else {
			dst = append(dst, piece...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			if n := len(dst); n > 0 && dst[n-1] == '\n' {
				dst = dst[:n-1]
			}
			return dst, long, err
		}
	}
}
