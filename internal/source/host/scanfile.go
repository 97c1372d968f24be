package host

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// scanFile keeps scans, one JSON document a line, in processes.jsonl; a full one becomes processes.jsonl.1 and takes the
// place of the full one before. A line cut off by a crash is passed over. A nil scanFile keeps nothing.
type scanFile struct {
	path  string
	f     *os.File
	size  int64
	since time.Time // of its first line
}

// maxScanFile bounds one of the two files, in bytes.
const maxScanFile = 8 << 20

// openScans opens the file in dir and returns the scans in it that are not older than oldest.
func openScans(dir string, oldest time.Time) (*scanFile, []scan, error) {
	s := &scanFile{path: filepath.Join(dir, "processes.jsonl")}
	var scans []scan
	for _, path := range []string{s.path + ".1", s.path} {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, nil, err
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var one scan
			if json.Unmarshal(lines.Bytes(), &one) != nil || one.At.Before(oldest) {
				continue
			}
			if n := len(scans); n > 0 && !one.At.After(scans[n-1].At) {
				continue // the clock was set back
			}
			scans = append(scans, one)
		}
		_ = f.Close()
	}
	f, err := os.OpenFile(s.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	s.f, s.size, s.since = f, info.Size(), time.Now()
	if s.size > 0 {
		// A last line that was cut off must not spoil the next.
		if _, err := f.WriteString("\n"); err != nil {
			_ = f.Close()
			return nil, nil, err
		}
		s.size++
	}
	return s, scans, nil
}

// add writes a scan. A file is full when it spans keep, or at its bound of bytes; the two together hold at least keep.
func (s *scanFile) add(one scan, keep time.Duration) error {
	if s == nil {
		return nil
	}
	line, err := json.Marshal(one)
	if err != nil {
		return err
	}
	if s.size > 0 && (one.At.Sub(s.since) > keep || s.size+int64(len(line)) > maxScanFile) {
		f, err := os.OpenFile(s.path+".new", os.O_CREATE|os.O_TRUNC|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_ = s.f.Close()
		s.f, s.size, s.since = f, 0, one.At
		if err := errors.Join(os.Rename(s.path, s.path+".1"), os.Rename(s.path+".new", s.path)); err != nil {
			return err
		}
	}
	n, err := s.f.Write(append(line, '\n'))
	s.size += int64(n)
	return err
}

func (s *scanFile) close() {
	if s != nil {
		_ = s.f.Close()
	}
}
