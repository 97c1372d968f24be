package cloudtrail

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"

	"homeostat/internal/signal"
)

// maxRecord bounds one value of a file in bytes. AWS's own records stay below 1 MiB.
const maxRecord = 64 << 20

// Problem is a place in a file that can't be read.
type Problem struct {
	File         string
	Line, Column int // from 1; of the unpacked text
	Text         string
}

func (p Problem) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Text)
}

// maxProblems bounds how many problems of a file are kept with their place.
const maxProblems = 20

// Reader reads the records of one file, whatever its shape: log files ({"Records": [...]}), bare lists, JSON Lines, envelopes
// of EventBridge, what LookupEvents and CloudTrail Lake export, tables of them as CSV; any of it packed with gzip. Nulls,
// members that are missing and members that nobody knows make no record unreadable. Where the text is broken the reader
// counts the place and goes on with the next record that is whole.
type Reader struct {
	Records int // read so far
	Others  int // values that are JSON and no record: digests, other events
	Broken  int // places that could not be read

	name     string
	in       io.Reader
	p        *parser
	at       int // next of p.found
	buf      []byte
	pos      int
	eof      bool
	stack    []byte // of '[': a list whose elements are read one by one; 'R': such a list within an object; '}': that object's rest
	lost     bool   // something broken was met: brackets may not match any more
	line     int    // of buf[0], from 0
	column   int    // of buf[0], from 0, in bytes
	problems []Problem
	table    *table
}

// NewReader reads from in the file called name. Readers may share a dictionary, one after the other; nil makes a new one.
func NewReader(name string, in io.Reader, names *Dictionary) (*Reader, error) {
	if names == nil {
		names = &Dictionary{}
	}
	r := &Reader{name: name, p: &parser{names: names}}
	br := bufio.NewReaderSize(in, 64<<10)
	for range 2 { // what is packed twice has been seen where a proxy packs again
		magic, err := br.Peek(2)
		if err != nil || magic[0] != 0x1f || magic[1] != 0x8b {
			break
		}
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		br = bufio.NewReaderSize(z, 64<<10)
	}
	if bom, err := br.Peek(3); err == nil && string(bom) == "\xef\xbb\xbf" {
		_, _ = br.Discard(3)
	}
	r.in = br
	head, _ := br.Peek(4096)
	if looksLikeTable(head) {
		r.table = newTable(br)
	}
	return r, nil
}

// Problems returns the first places that could not be read.
func (r *Reader) Problems() []Problem { return r.problems }

// Next reads the next record into a, which shares no memory with the reader. At the end it returns io.EOF; any other error is
// one of reading the file, after which what was read still counts.
func (r *Reader) Next(a *signal.Access) error {
	for r.at >= len(r.p.found) {
		r.p.found, r.p.others, r.at = r.p.found[:0], 0, 0
		step := r.step
		if r.table != nil {
			step = r.row
		}
		if err := step(); err != nil {
			return err
		}
		r.Others += r.p.others
	}
	*a = r.p.found[r.at]
	r.at++
	r.Records++
	return nil
}

// step reads on by one bracket or one value.
func (r *Reader) step() error {
	c := cursor{r.buf, r.pos}
	for {
		ch, err := c.peek()
		if err != nil {
			r.pos = c.i
			if err := r.fill(); err != nil {
				return err
			}
			c = cursor{r.buf, r.pos}
			continue
		}
		if ch != ',' && ch != 0 {
			break
		}
		c.i++
	}
	r.pos = c.i
	top := byte(0)
	if n := len(r.stack); n > 0 {
		top = r.stack[n-1]
	}
	switch ch := c.b[c.i]; {
	case ch == '[' && len(r.stack) < 4:
		r.push('[')
		return nil
	case ch == ']' && top == '[':
		r.pop()
		return nil
	case ch == ']' && top == 'R':
		r.pop()
		r.stack = append(r.stack, '}')
		return nil
	case ch == '}' && top == '}':
		r.pop()
		return nil
	case (ch == ']' || ch == '}') && r.lost:
		r.pos++
		return nil
	}
	for {
		c := cursor{r.buf, r.pos}
		err := r.value(&c, top)
		if err == nil {
			r.pos = c.i
			return nil
		}
		if !errors.Is(err, errMore) {
			r.broken(c.i, err)
			return nil
		}
		r.p.found, r.p.others = r.p.found[:0], 0
		if len(r.buf)-r.pos >= maxRecord {
			r.broken(len(r.buf), fmt.Errorf("a value of more than %d MiB", maxRecord>>20))
			return nil
		}
		switch err := r.fill(); {
		case errors.Is(err, io.EOF):
			r.broken(len(r.buf), errMore)
			return nil
		case err != nil:
			return err
		}
	}
}

// value reads what stands at the cursor: a member of an object whose list has been read, a list's object, or a value.
func (r *Reader) value(c *cursor, top byte) error {
	if top == '}' {
		if _, err := c.key(); err != nil {
			return err
		}
		_, err := c.skip(0)
		return err
	}
	if c.b[c.i] == '{' && len(r.stack) < 4 {
		// {"Records": [ is read element by element, however long it is.
		look := *c
		if more, err := look.open('}'); err != nil {
			return err
		} else if more {
			name, err := look.key()
			if err != nil {
				if !errors.Is(err, errMore) {
					c.i = look.i
				}
				return err
			}
			if memberOf(name) == mContainer && look.b[look.i] == '[' {
				c.i = look.i + 1
				r.stack = append(r.stack, 'R')
				return nil
			}
		}
	}
	r.p.found, r.p.others = r.p.found[:0], 0
	r.p.listed = top == 'R'
	err := r.p.value(c, 0)
	if err != nil {
		r.p.found, r.p.others = r.p.found[:0], 0
	}
	return err
}

func (r *Reader) push(b byte) { r.stack = append(r.stack, b); r.pos++ }

func (r *Reader) pop() { r.stack = r.stack[:len(r.stack)-1]; r.pos++ }

// broken counts what is wrong at a place and goes to where the next record may begin: an object at or behind the place.
func (r *Reader) broken(at int, err error) {
	r.Broken++
	r.lost = true
	if s, ok := errors.AsType[*syntaxError](err); ok {
		at = max(at, s.at)
	}
	r.note(at, err.Error())
	r.pos = max(min(at, len(r.buf)), r.pos)
	for {
		i := bytes.IndexByte(r.buf[r.pos:], '{')
		if i >= 0 {
			r.pos += i
			c := cursor{r.buf, r.pos + 1}
			if ch, err := c.peek(); err != nil || ch == '"' {
				return // looked at again with more of the file, where that is needed
			}
			r.pos++
			continue
		}
		r.pos = len(r.buf)
		if r.fill() != nil {
			return // said again by the next step
		}
	}
}

// note keeps a problem with its place.
func (r *Reader) note(at int, text string) {
	if len(r.problems) >= maxProblems {
		return
	}
	before := r.buf[:min(at, len(r.buf))]
	line, column := r.line+bytes.Count(before, []byte{'\n'}), r.column+len(before)
	if i := bytes.LastIndexByte(before, '\n'); i >= 0 {
		column = len(before) - i - 1
	}
	r.problems = append(r.problems, Problem{r.name, line + 1, column + 1, text})
}

// fill reads more of the file behind what is not read yet. io.EOF: there is no more.
func (r *Reader) fill() error {
	if r.eof {
		if len(r.stack) > 0 && !r.lost && r.pos == len(r.buf) {
			r.lost = true
			r.Broken++
			r.note(len(r.buf), "the file ends within a list")
		}
		return io.EOF
	}
	if r.pos > 0 {
		gone := r.buf[:r.pos]
		if n := bytes.Count(gone, []byte{'\n'}); n > 0 {
			r.line += n
			r.column = len(gone) - bytes.LastIndexByte(gone, '\n') - 1
		} else {
			r.column += len(gone)
		}
		r.buf = r.buf[:copy(r.buf, r.buf[r.pos:])]
		r.pos = 0
	}
	if len(r.buf) == cap(r.buf) {
		grown := make([]byte, len(r.buf), max(256<<10, 2*cap(r.buf)))
		copy(grown, r.buf)
		r.buf = grown
	}
	for {
		n, err := r.in.Read(r.buf[len(r.buf):cap(r.buf)])
		r.buf = r.buf[:len(r.buf)+n]
		switch {
		case errors.Is(err, io.EOF):
			r.eof = true
			if n > 0 {
				return nil
			}
			return r.fill()
		case err != nil:
			r.eof = true
			r.Broken++
			r.note(len(r.buf), err.Error())
			return fmt.Errorf("%s: %w", r.name, err)
		case n > 0:
			return nil
		}
	}
}
