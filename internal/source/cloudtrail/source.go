package cloudtrail

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"homeostat/internal/signal"
	"homeostat/internal/source"
)

// Config says where a trail's files are. Without a folder and a bucket nothing is read; events that come to /ingest/events are
// taken in all the same.
type Config struct {
	// Folder that log files come into, read whole at the start and watched from then on.
	Dir string `yaml:"dir"`
	// Bucket of S3 that a trail delivers to, in place of a folder.
	Bucket string `yaml:"bucket"`
	// What stands before AWSLogs/ in the bucket.
	Prefix string `yaml:"prefix"`
	// Region of the bucket; aws.region where it is empty.
	Region string `yaml:"region"`
	// How often is looked for new files.
	Interval time.Duration `yaml:"interval"`
}

// Sink takes accesses. AppendAccesses returns when they are durable; only then is a file taken for read.
type Sink interface {
	AppendAccesses(ctx context.Context, rows []signal.Access) error
}

// File is a file of log records, in a folder or a bucket. Stamp changes when the file does.
type File struct {
	Name  string
	Stamp string
}

// Files is where log files lie: a folder, or a bucket.
type Files interface {
	// List returns the files that may hold records. Of those in read, which maps names to stamps, the older ones may be left out.
	List(ctx context.Context, read map[string]string) ([]File, error)
	// Fetch returns the path of a local file with the contents of the one called name, and what to call when it is read.
	Fetch(ctx context.Context, name string) (local string, done func(), err error)
}

// DefaultInterval is how often a folder or bucket is looked into. CloudTrail delivers every few minutes.
const DefaultInterval = 30 * time.Second

const (
	batchRows = 1000           // handed over at once
	maxAhead  = 24 * time.Hour // from now; an access beyond it is set aside
)

// Why accesses are set aside: values of the metric's label "reason".
const (
	noTime    = "no_time"
	future    = "future"
	duplicate = "duplicate"
	broken    = "broken"
	other     = "other"
)

// Source reads a trail's files as they come.
type Source struct {
	c     Config
	files Files
	state string // file that remembers what was read
	log   *slog.Logger
	meter *source.Meter
	read  map[string]string // name -> stamp
}

// New returns a source over files, which is the folder of c where it is nil. What was read is remembered in the file state, in
// memory alone when that is empty.
func New(c Config, files Files, state string, log *slog.Logger, reg prometheus.Registerer) (*Source, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c.Interval = cmp.Or(c.Interval, DefaultInterval)
	if files == nil {
		files = folder(c.Dir)
	}
	s := &Source{c: c, files: files, state: state, log: log, meter: source.NewMeter(reg, "cloudtrail"), read: map[string]string{}}
	if state == "" {
		return s, nil
	}
	b, err := os.ReadFile(state)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &s.read)
	}
	if err != nil {
		// Reading again what was read costs time and is told apart by eventID; not reading at all would cost more.
		log.Error("what was read of the trail is not known; all is read again", "file", state, "err", err)
		s.read = map[string]string{}
	}
	return s, nil
}

// Health says how the source is doing.
func (s *Source) Health() signal.Stage { return s.meter.Stage() }

// Run looks for new files until ctx ends.
func (s *Source) Run(ctx context.Context, sink Sink) error {
	t := time.NewTicker(s.c.Interval)
	defer t.Stop()
	for {
		if err := s.Look(ctx, sink); err != nil && ctx.Err() == nil {
			s.meter.Failed("read")
			if s.meter.Stuck(err.Error()) {
				s.log.WarnContext(ctx, "trail can't be read", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// Look reads the files that are new, day by day, each day in the order of time.
func (s *Source) Look(ctx context.Context, sink Sink) error {
	list, err := s.files.List(ctx, s.read)
	if err != nil {
		return err
	}
	there := make(map[string]bool, len(list))
	days := map[string][]File{}
	for _, f := range list {
		there[f.Name] = true
		if s.read[f.Name] != f.Stamp {
			d := dayOf(f.Name)
			days[d] = append(days[d], f)
		}
	}
	forgot := false
	for name := range s.read {
		if !there[name] {
			delete(s.read, name)
			forgot = true
		}
	}
	var errs []error
	for _, d := range slices.Sorted(mapKeys(days)) {
		if err := s.take(ctx, sink, days[d]); err != nil {
			errs = append(errs, err)
			break
		}
		for _, f := range days[d] {
			s.read[f.Name] = f.Stamp
		}
		forgot = true
		if err := s.remember(); err != nil {
			errs = append(errs, err)
		}
	}
	if len(days) == 0 && forgot {
		errs = append(errs, s.remember())
	}
	if len(errs) == 0 {
		s.meter.Took(0)
	}
	return errors.Join(errs...)
}

func mapKeys(m map[string][]File) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

var stamped = regexp.MustCompile(`_(20\d{6})T\d{4}Z_`)

// dayOf returns the day of delivery that a log file's name tells (ACCOUNT_CloudTrail_REGION_20260102T0305Z_UNIQUE.json.gz).
func dayOf(name string) string {
	if m := stamped.FindStringSubmatch(path.Base(name)); m != nil {
		return m[1]
	}
	return ""
}

// take reads files into the sink.
func (s *Source) take(ctx context.Context, sink Sink, files []File) error {
	var names []string
	locals := map[string]string{} // local name -> name
	for _, f := range files {
		local, done, err := s.files.Fetch(ctx, f.Name)
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		defer done()
		names = append(names, local)
		locals[local] = f.Name
	}
	limit := time.Now().Add(maxAhead).UnixMilli()
	var rows []signal.Access
	flush := func() error {
		if len(rows) == 0 {
			return nil
		}
		if err := sink.AppendAccesses(ctx, rows); err != nil {
			return err
		}
		s.meter.Took(len(rows))
		rows = rows[:0]
		return nil
	}
	stats, err := Merge(ctx, names, 0, func(a *signal.Access) error {
		if a.Time > limit {
			s.meter.SetAside(future, 1)
			return nil
		}
		rows = append(rows, *a)
		if len(rows) < batchRows {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		return err
	}
	for reason, n := range map[string]int{noTime: stats.NoTime, duplicate: stats.Duplicates, broken: stats.Broken, other: stats.Others} {
		if n > 0 {
			s.meter.SetAside(reason, n)
		}
	}
	for _, p := range stats.Problems {
		p.File = cmp.Or(locals[p.File], p.File)
		s.log.WarnContext(ctx, "record can't be read and is passed over", "source", "cloudtrail", "err", p.String())
	}
	return nil
}

// remember writes what was read, so that after a crash the file is there as it was or as it is.
func (s *Source) remember() error {
	if s.state == "" {
		return nil
	}
	b, err := json.Marshal(s.read)
	if err != nil {
		return err
	}
	f, err := os.Create(s.state + ".new")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(s.state+".new", s.state)
}

// folder is a folder on this machine.
type folder string

func (d folder) List(ctx context.Context, _ map[string]string) ([]File, error) {
	var out []File
	err := filepath.WalkDir(string(d), func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if e.IsDir() || !Wanted(name) {
			return nil
		}
		st, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it went between two looks
		}
		if err != nil {
			return err
		}
		if time.Since(st.ModTime()) < time.Second {
			return nil // it may be being written: the next look takes it
		}
		out = append(out, File{name, fmt.Sprintf("%d %d", st.Size(), st.ModTime().UnixNano())})
		return nil
	})
	return out, err
}

func (folder) Fetch(_ context.Context, name string) (string, func(), error) {
	return name, func() {}, nil
}

// Parse reads the records in one text, such as an event that came by HTTP.
func Parse(text []byte) []signal.Access {
	p := parser{names: &Dictionary{}}
	if p.value(&cursor{b: text}, 0) != nil {
		return nil
	}
	return p.found
}
