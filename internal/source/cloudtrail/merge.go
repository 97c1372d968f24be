package cloudtrail

import (
	"bufio"
	"cmp"
	"container/heap"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/s2"

	"homeostat/internal/signal"
)

// Stats counts what Merge has met.
type Stats struct {
	Files      int
	Records    int
	Duplicates int       // records with an eventID that came before
	NoTime     int       // records that tell no time, which can't be put in order
	Others     int       // values that are JSON and no record
	Broken     int       // places that could not be read
	Problems   []Problem // the first of them
}

// Find returns the files below the paths that may hold records, sorted. A path that is a file is taken whatever its name is;
// digests are left out.
func Find(paths []string) ([]string, error) {
	var files []string
	for _, path := range paths {
		st, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !st.IsDir() {
			files = append(files, path)
			continue
		}
		err = filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if !d.IsDir() && Wanted(name) {
				files = append(files, name)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// Wanted reports whether a file or an object of that name may hold records.
func Wanted(name string) bool {
	if strings.Contains(name, "CloudTrail-Digest") || strings.HasPrefix(filepath.Base(name), ".") {
		return false
	}
	name = strings.TrimSuffix(strings.ToLower(name), ".gz")
	switch filepath.Ext(name) {
	case ".json", ".jsonl", ".ndjson", ".csv", ".log":
		return true
	}
	return false
}

// Merge reads all files and hands their records over in the order of time, each eventID once. Records of one moment keep the
// order in which they came. It holds spill records in memory (100,000 when 0) and keeps the rest in temporary files.
func Merge(ctx context.Context, files []string, spill int, fn func(*signal.Access) error) (Stats, error) {
	if spill <= 0 {
		spill = 100_000
	}
	m := merger{limit: spill}
	defer m.close()
	names := &Dictionary{}
	for _, name := range files {
		if err := ctx.Err(); err != nil {
			return m.stats, context.Cause(ctx)
		}
		if err := m.read(ctx, name, names); err != nil {
			return m.stats, err
		}
	}
	return m.stats, m.each(ctx, fn)
}

// merger sorts by time what doesn't fit into memory.
type merger struct {
	limit int
	stats Stats
	rows  []signal.Access
	runs  []*run
	dir   string
}

func (m *merger) close() {
	for _, r := range m.runs {
		_ = r.file.Close()
	}
	if m.dir != "" {
		_ = os.RemoveAll(m.dir)
	}
}

func (m *merger) read(ctx context.Context, name string, names *Dictionary) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	m.stats.Files++
	r, err := NewReader(name, f, names)
	if err != nil {
		m.stats.Broken++
		m.stats.Problems = append(m.stats.Problems, Problem{name, 1, 1, err.Error()})
		return nil
	}
	for err == nil {
		if r.Records%10_000 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var a signal.Access
		if err = r.Next(&a); err != nil {
			break
		}
		if a.Time == 0 {
			m.stats.NoTime++
			continue
		}
		m.rows = append(m.rows, a)
		if len(m.rows) >= m.limit {
			if err := m.spill(); err != nil {
				return err
			}
		}
	}
	m.stats.Records += r.Records
	m.stats.Others += r.Others
	m.stats.Broken += r.Broken
	if room := maxProblems - len(m.stats.Problems); room > 0 {
		m.stats.Problems = append(m.stats.Problems, r.Problems()[:min(room, len(r.Problems()))]...)
	}
	return nil // an error of reading the file is among its problems
}

func (m *merger) sort() {
	slices.SortStableFunc(m.rows, func(a, b signal.Access) int { return cmp.Compare(a.Time, b.Time) })
}

// spill writes what is in memory to a file of its own, in order.
func (m *merger) spill() (err error) {
	m.sort()
	if m.dir == "" {
		if m.dir, err = os.MkdirTemp("", "homeostat-sort-"); err != nil {
			return err
		}
	}
	f, err := os.Create(filepath.Join(m.dir, fmt.Sprintf("run-%d", len(m.runs))))
	if err != nil {
		return err
	}
	m.runs = append(m.runs, &run{file: f, number: len(m.runs)})
	w := s2.NewWriter(f, s2.WriterConcurrency(1), s2.WriterBlockSize(64<<10))
	var buf []byte
	for i := range m.rows {
		buf = appendAccess(buf[:0], &m.rows[i])
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	clear(m.rows)
	m.rows = m.rows[:0]
	if err := w.Close(); err != nil {
		return err
	}
	_, err = f.Seek(0, io.SeekStart)
	return err
}

// each merges the runs.
func (m *merger) each(ctx context.Context, fn func(*signal.Access) error) error {
	m.sort()
	names := &Dictionary{}
	var h runs
	for _, r := range m.runs {
		r.in = bufio.NewReader(s2.NewReader(r.file, s2.ReaderMaxBlockSize(64<<10)))
		r.names = names
		if err := r.next(); err == nil {
			h = append(h, r)
		} else if !errors.Is(err, io.EOF) {
			return err
		}
	}
	last := &run{rows: m.rows, number: len(m.runs)}
	if last.next() == nil {
		h = append(h, last)
	}
	heap.Init(&h)
	var now int64
	var ids []string // of the moment that is being handed over
	for n := 0; len(h) > 0; n++ {
		if n%1000 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r := h[0]
		if r.row.Time != now {
			now, ids = r.row.Time, ids[:0]
		}
		switch {
		case r.row.ID != "" && slices.Contains(ids, r.row.ID):
			m.stats.Duplicates++
		default:
			ids = append(ids, r.row.ID)
			if err := fn(&r.row); err != nil {
				return err
			}
		}
		switch err := r.next(); {
		case err == nil:
			heap.Fix(&h, 0)
		case errors.Is(err, io.EOF):
			heap.Pop(&h)
		default:
			return err
		}
	}
	return nil
}

// run is a sorted part of all records: in a file, or in memory.
type run struct {
	number int
	row    signal.Access
	rows   []signal.Access
	file   *os.File
	in     *bufio.Reader
	names  *Dictionary
	buf    []byte
}

func (r *run) next() error {
	if r.in == nil {
		if len(r.rows) == 0 {
			return io.EOF
		}
		r.row, r.rows = r.rows[0], r.rows[1:]
		return nil
	}
	size, err := binary.ReadUvarint(r.in)
	if err != nil {
		return err
	}
	r.buf = slices.Grow(r.buf[:0], int(size))[:size]
	if _, err := io.ReadFull(r.in, r.buf); err != nil {
		return err
	}
	return decodeAccess(&r.row, r.buf, r.names)
}

type runs []*run

func (h runs) Len() int { return len(h) }

func (h runs) Less(i, j int) bool {
	if h[i].row.Time != h[j].row.Time {
		return h[i].row.Time < h[j].row.Time
	}
	return h[i].number < h[j].number
}

func (h runs) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

func (h *runs) Push(x any) { *h = append(*h, x.(*run)) }

func (h *runs) Pop() any {
	old := *h
	r := old[len(old)-1]
	*h = old[:len(old)-1]
	return r
}

// texts are the strings of an access in the order in which a run keeps them.
func texts(a *signal.Access) [20]*string {
	return [...]*string{
		&a.ID, &a.Org, &a.Account, &a.Type, &a.User, &a.Session, &a.Role, &a.ARN, &a.Origin, &a.Key, &a.Address, &a.Service, &a.API,
		&a.Region, &a.Agent, &a.Error, &a.Kind, &a.Category, &a.Shared, &a.Granted,
	}
}

// appendAccess appends an access with its length before it.
func appendAccess(dst []byte, a *signal.Access) []byte {
	body := binary.AppendVarint(nil, a.Time)
	str := func(s string) {
		body = binary.AppendUvarint(body, uint64(len(s)))
		body = append(body, s...)
	}
	for _, s := range texts(a) {
		str(*s)
	}
	str(a.GrantARN)
	str(string(a.Extra))
	var flags byte
	if a.NoMFA {
		flags |= 1
	}
	if a.ReadOnly {
		flags |= 2
	}
	body = append(body, flags, byte(len(a.Resources)))
	for _, s := range a.Resources {
		str(s)
	}
	dst = binary.AppendUvarint(dst, uint64(len(body)))
	return append(dst, body...)
}

var errDamaged = errors.New("a temporary file is damaged")

func decodeAccess(a *signal.Access, b []byte, names *Dictionary) error {
	*a = signal.Access{}
	t, n := binary.Varint(b)
	if n <= 0 {
		return errDamaged
	}
	a.Time, b = t, b[n:]
	ok := true
	str := func() []byte {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			ok = false
			return nil
		}
		s := b[n : n+int(size)]
		b = b[n+int(size):]
		return s
	}
	for i, s := range texts(a) {
		if i == 0 {
			*s = string(str())
			continue
		}
		*s = names.bytes(str())
	}
	a.GrantARN = names.bytes(str())
	if extra := str(); len(extra) > 0 {
		a.Extra = slices.Clone(extra)
	}
	if !ok || len(b) < 2 {
		return errDamaged
	}
	a.NoMFA, a.ReadOnly = b[0]&1 != 0, b[0]&2 != 0
	count := int(b[1])
	b = b[2:]
	for range count {
		a.Resources = append(a.Resources, names.bytes(str()))
	}
	if !ok {
		return errDamaged
	}
	return nil
}
