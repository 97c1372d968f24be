package host

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of one step: what is beyond them waits for the next.
const (
	maxFiles = 10_000
	maxWalk  = 200_000 // entries looked at
)

// DiskReport is what is known of a file system.
type DiskReport struct {
	Text     string  `json:"text"`
	Used     float64 `json:"used"`
	Growable bool    `json:"growable"` // its device is larger than it
	FullIn   float64 `json:"fullInSeconds,omitempty"`
	Biggest  []file  `json:"biggestLogs,omitempty"`
}

type file struct {
	Path  string `json:"path"`
	Bytes uint64 `json:"bytes"`
}

// diskOf says how full the file system at a path is; with a limit, how much of it the files below the path take.
func diskOf(path string, limit uint64) (used, of uint64, err error) {
	if limit == 0 {
		return filesystem(path)
	}
	err = walk(path, func(_ string, s stat) { used += s.taken })
	return used, limit, err
}

// reportDisk looks at a file system twice, and says from the difference when it will be full.
func reportDisk(ctx context.Context, path string, limit uint64, window time.Duration, logs []string) (DiskReport, error) {
	before, of, err := diskOf(path, limit)
	if err != nil {
		return DiskReport{}, err
	}
	begin := time.Now()
	select {
	case <-ctx.Done():
		return DiskReport{}, context.Cause(ctx)
	case <-time.After(window):
	}
	used, _, err := diskOf(path, limit)
	if err != nil {
		return DiskReport{}, err
	}
	r := DiskReport{Used: float64(used) / float64(of)}
	r.Text = fmt.Sprintf("%s is %.0f %% full (%s of %s)", path, 100*r.Used, size(used), size(of))
	if used > before && used < of {
		rate := float64(used-before) / time.Since(begin).Seconds()
		r.FullIn = float64(of-used) / rate
		r.Text += fmt.Sprintf("; it grows by %s a minute and will be full in %s", size(uint64(rate*60)), roughly(r.FullIn))
	}
	r.Growable = thisMachine().growable(path)
	for _, dir := range logs {
		_ = walk(dir, func(p string, s stat) {
			if isLog(p) {
				r.Biggest = append(r.Biggest, file{p, s.taken})
			}
		})
	}
	slices.SortFunc(r.Biggest, func(a, b file) int { return int(min(max(int64(b.Bytes)-int64(a.Bytes), -1), 1)) })
	r.Biggest = r.Biggest[:min(10, len(r.Biggest))]
	return r, nil
}

// walk calls fn for the regular files below dir that lie on its file system. What can't be read is passed over.
func walk(dir string, fn func(path string, s stat)) error {
	root, err := statOf(dir)
	if err != nil {
		return err
	}
	seen := 0
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // gone, or not ours to read
		}
		if seen++; seen > maxWalk {
			return filepath.SkipAll
		}
		s, err := statOf(path)
		if err != nil {
			return nil //nolint:nilerr // likewise
		}
		if d.IsDir() && s.dev != root.dev {
			return filepath.SkipDir
		}
		if d.Type().IsRegular() {
			fn(path, s)
		}
		return nil
	})
}

// clean deletes temporary files that nobody has touched for age: regular ones with one name, of the owners that are named (any
// where none is), and never one that is open.
func clean(dirs []string, age time.Duration, owners []int, dry bool) (Done, error) {
	open, err := openFiles()
	if err != nil {
		return Done{}, err
	}
	var d Done
	n := 0
	var errs []error
	for _, dir := range dirs {
		if dir = filepath.Clean(dir); !filepath.IsAbs(dir) || strings.Count(dir, "/") < 2 && dir != "/tmp" {
			return d, fmt.Errorf("%q is no folder of temporary files", dir)
		}
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		root, err := os.OpenRoot(dir) // no link leads out of it
		if err != nil {
			errs = append(errs, err)
			continue
		}
		err = walk(dir, func(path string, s stat) {
			switch {
			case n >= maxFiles, time.Since(s.touched) < age:
				return
			case len(owners) > 0 && !slices.Contains(owners, s.uid):
				d.left("%s: it belongs to user %d", path, s.uid)
				return
			case open[s.id]:
				d.left("%s: it is open", path)
				return
			case s.links > 1:
				d.left("%s: it has another name", path)
				return
			}
			rel, err := filepath.Rel(dir, path)
			if err == nil && heldAt(root, rel) {
				d.left("%s: it is open", path)
				return
			}
			if err == nil && !dry {
				err = root.Remove(rel)
			}
			if err != nil {
				d.left("%s: %v", path, err)
				return
			}
			n++
			d.Freed += s.taken
			d.did("%s", path)
		})
		errs = append(errs, err, root.Close())
	}
	verb := "deleted"
	if dry {
		verb = "delete"
	}
	d.Text = fmt.Sprintf("%s %s untouched for %s, %s", verb, several(n, "temporary file"), plainly(age), size(d.Freed))
	if n == 0 {
		d.Changed = new(false)
	}
	return d, errors.Join(errs...)
}

// several counts things in words: 1 log, 2 logs.
func several(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// plainly tells a length of time as people do: 7 days, 36h, 90m.
func plainly(d time.Duration) string {
	switch day := 24 * time.Hour; {
	case d >= 2*day && d%day == 0:
		return fmt.Sprintf("%d days", d/day)
	case d >= time.Hour && d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= time.Minute && d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}

// roughly tells so many seconds ahead as people do.
func roughly(seconds float64) string {
	const year = 365 * 24 * time.Hour
	if seconds > year.Seconds() {
		return "more than a year"
	}
	d := time.Duration(seconds * float64(time.Second))
	for _, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute} {
		if d >= 2*unit {
			return plainly(d.Round(unit))
		}
	}
	return plainly(d.Round(time.Second))
}

// heldAt says that somebody has a file open. One that can't be opened to look can't be held up to the light this way.
func heldAt(root *os.Root, name string) bool {
	f, err := root.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	return held(f)
}

// isLog says that a file is called as logs are, and is not compressed yet.
func isLog(path string) bool {
	name := filepath.Base(path)
	if ext := filepath.Ext(name); ext == ".gz" || ext == ".xz" || ext == ".zst" || ext == ".bz2" || ext == ".journal" {
		return false
	}
	return strings.HasSuffix(name, ".log") || strings.Contains(name, ".log.") || strings.HasSuffix(name, ".out") || name == "syslog" || name == "messages"
}

// logrotate is the configuration of the program of that name, and the folder whose logs it is about.
type logrotate struct{ conf, dir string }

// takes says that these folders are logrotate's to look after, and that it is configured.
func (l logrotate) takes(dirs []string) bool {
	_, err := os.Stat(l.conf)
	return err == nil && slices.Contains(dirs, l.dir)
}

// run has logrotate do what is due by its own configuration.
func (l logrotate) run(ctx context.Context, d *Done) {
	ctx, stop := context.WithTimeout(ctx, 5*time.Minute)
	defer stop()
	if out, err := exec.CommandContext(ctx, "logrotate", l.conf).CombinedOutput(); err != nil {
		d.left("logrotate: %v: %s", err, lastLine(string(out)))
		return
	}
	d.did("logrotate with %s", l.conf)
}

// rotate makes room by compressing logs of at least so many bytes. Where logrotate is configured it is asked first. What it
// leaves is done here: a log that nobody has open is compressed and replaced by its archive; one that is being written is
// compressed up to the end of its last full line, and the blocks of that part are then given back (a hole is punched), while
// the file itself stays: the writer goes on in the same file at the same place, and no line is lost.
func rotate(ctx context.Context, lr logrotate, dirs []string, least uint64, dry bool) (Done, error) {
	var d Done
	asked := ""
	if lr.takes(dirs) {
		if asked = "have logrotate do what is due by " + lr.conf + ", and "; !dry {
			lr.run(ctx, &d)
		}
	}
	open, err := openFiles()
	if err != nil {
		return d, err
	}
	var found []string
	stats := map[string]stat{}
	for _, dir := range dirs {
		if !filepath.IsAbs(dir) {
			return d, fmt.Errorf("%q is no folder of logs", dir)
		}
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		err := walk(dir, func(path string, s stat) {
			if isLog(path) && s.taken >= least && s.links == 1 && len(found) < maxFiles {
				found, stats[path] = append(found, path), s
			}
		})
		if err != nil {
			return d, err
		}
	}
	n := 0
	for _, path := range found {
		s := stats[path]
		if dry {
			n++
			d.Freed += s.taken
			d.did("%s (%s)", path, size(s.taken))
			continue
		}
		freed, err := archive(ctx, path, s, open[s.id])
		d.Freed += freed
		if err != nil {
			d.left("%s: %v", path, err)
			continue
		}
		n++
		d.did("%s (%s)", path, size(freed))
	}
	if dry {
		d.Text = fmt.Sprintf("%scompress %s, in all %s", asked, several(n, "log"), size(d.Freed))
	} else {
		d.Text = fmt.Sprintf("compressed %s, which gave back %s", several(n, "log"), size(d.Freed))
	}
	return d, ctx.Err()
}

// chunk is what is compressed, made durable and given back at a time: a full disk needs room for the archive of one chunk only.
const chunk = 8 << 20

// archive compresses a log into NAME.TIME.gz beside it, chunk by chunk, each durable before its blocks are given back. One that
// nobody has open loses its name first, and is deleted at the end only if nobody has opened it in between: who did before it
// lost its name still has it open, or has left it changed.
func archive(ctx context.Context, path string, s stat, writing bool) (freed uint64, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if now, err := statOpen(f); err != nil || now.id != s.id {
		return 0, errors.Join(errors.New("another file has its name by now"), err)
	}
	writing = writing || held(f)
	stamped := path + "." + time.Now().UTC().Format("20060102T150405.000")
	out, err := os.OpenFile(stamped+".gz", os.O_CREATE|os.O_EXCL|os.O_WRONLY, s.mode.Perm())
	if err != nil {
		return 0, err
	}
	if !writing {
		if err := os.Rename(path, stamped); err != nil {
			return 0, errors.Join(err, out.Close(), os.Remove(stamped+".gz"))
		}
	}
	freed, err = squeeze(ctx, f, out, s, writing)
	err = errors.Join(err, out.Close())
	if st, serr := statOf(stamped + ".gz"); serr == nil {
		freed -= min(freed, st.taken)
	}
	if err != nil || writing || held(f) {
		return freed, err
	}
	_ = f.Close() // ours would count as open
	open, err := openFiles()
	if now, serr := statOf(stamped); err != nil || serr != nil || open[s.id] || now.size != s.size {
		return freed, errors.Join(err, serr) // what came later stays where it is
	}
	return freed, os.Remove(stamped)
}

// squeeze compresses a log's allocated part, up to the end of its last full line while it is being written, into out.
func squeeze(ctx context.Context, f, out *os.File, s stat, writing bool) (freed uint64, err error) {
	at, end := dataFrom(f), s.size
	if writing {
		end = lastLineEnd(f, s.size)
	}
	for at < end && ctx.Err() == nil {
		n := min(chunk, end-at)
		text := make([]byte, n)
		if _, err := f.ReadAt(text, at); err != nil {
			return freed, err
		}
		zip := gzip.NewWriter(out) // a member of its own for each chunk: archives may be several, one after the other
		// A hole ends within a block: its rest reads as zeros.
		if _, err := zip.Write(bytes.TrimLeft(text, "\x00")); err != nil {
			return freed, err
		}
		if err := errors.Join(zip.Close(), out.Sync()); err != nil {
			return freed, err
		}
		if err := punch(f, at, n); err != nil {
			return freed, fmt.Errorf("its blocks can't be given back: %w", err)
		}
		at += n
		freed += uint64(n)
	}
	if at < end {
		return freed, context.Cause(ctx)
	}
	return freed, nil
}

// lastLineEnd is where the last full line ends.
func lastLineEnd(f *os.File, size int64) int64 {
	tail := make([]byte, min(size, 64<<10))
	n, err := f.ReadAt(tail, size-int64(len(tail)))
	if err != nil && !errors.Is(err, io.EOF) {
		return 0
	}
	for i := n - 1; i >= 0; i-- {
		if tail[i] == '\n' {
			return size - int64(len(tail)) + int64(i) + 1
		}
	}
	return size - int64(len(tail)) // one long line: all but its end
}

// uids turns users' names and numbers, separated by blanks, into numbers.
func uids(text string) ([]int, error) {
	var out []int
	for f := range strings.FieldsSeq(text) {
		n, err := strconv.Atoi(f)
		if err != nil {
			return nil, fmt.Errorf("owner %q: want a user's number", f)
		}
		out = append(out, n)
	}
	return out, nil
}
