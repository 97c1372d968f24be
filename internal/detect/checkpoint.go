package detect

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// The models of all detectors are kept in segments, each written once and whole: a save adds one with the models that have
// changed, a slice of them where they are many, and removes those in which nothing is current any more. So a save costs what
// has changed, and a model that is idle costs nothing. Little endian:
//
//	"hsds\x01"  header length u32, header (JSON)
//	each model: key length u32, key, seq u64, state length u32, state
//	crc         u32, Castagnoli, over all before it
const segmentMagic = "hsds\x01"

// header says where in the stream a segment stands.
type header struct {
	Position uint64           // with it, all of the stream up to here is in the segments: reading goes on behind
	Clocks   map[string]clock // of each detector, as it was at Position
}

// clock is what a detector knows besides its models.
type clock struct {
	Config string // of the detector: another one can't use its models
	Now    int64  // the latest sample's time
	Swept  int64  // when silent entities were last looked for; of accesses, since when Now has gone on without a gap
}

// record is a model on its way to a segment, as it was after message seq of the stream.
type record struct {
	key   string
	seq   uint64
	state []byte
}

// shelf is the folder of the segments. One goroutine adds; others may load meanwhile.
type shelf struct {
	dir  string
	next uint64

	mu       sync.Mutex // guards what follows
	segments map[uint64]*segment
	index    map[string]place
}

type segment struct {
	name        string
	live, total int // of states that are current, and of all: bytes, and one for each
}

// place is where the newest state of a model lies.
type place struct {
	segment uint64
	seq     uint64
	at      int64
	size    int
}

// openShelf reads the folder and returns the newest header, nil where there is no segment. A segment that is damaged is set
// aside, under the names that it returns with what was wrong.
func openShelf(dir string) (s *shelf, newest *header, aside []string, err error) {
	s = &shelf{dir: dir, segments: map[uint64]*segment{}, index: map[string]place{}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, nil, err
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.segment"))
	if err != nil {
		return nil, nil, nil, err
	}
	slices.Sort(names) // by number: the names have one length
	var wrong []error
	for _, name := range names {
		var number uint64
		if _, err := fmt.Sscanf(filepath.Base(name), "%016x.segment", &number); err != nil {
			continue
		}
		s.next = number + 1
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, nil, nil, err
		}
		h, found, err := decodeSegment(b)
		if err != nil {
			to := name + ".damaged-" + time.Now().UTC().Format("20060102T150405Z")
			wrong = append(wrong, fmt.Errorf("%s: %w", name, err))
			aside = append(aside, to)
			if err := os.Rename(name, to); err != nil {
				return nil, nil, nil, err
			}
			continue
		}
		s.segments[number] = &segment{name: name}
		for _, f := range found {
			s.put(f.key, place{number, f.seq, f.at, f.size})
		}
		newest = &h
	}
	return s, newest, aside, errors.Join(wrong...)
}

// put makes a place the current one of its key. mu is held, or nobody else knows s.
func (s *shelf) put(key string, p place) {
	s.drop(key)
	s.index[key] = p
	s.segments[p.segment].live += 1 + p.size
	s.segments[p.segment].total += 1 + p.size
}

// forget drops a model. Its segment goes with the next save.
func (s *shelf) forget(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(key)
}

func (s *shelf) drop(key string) {
	if old, ok := s.index[key]; ok {
		s.segments[old.segment].live -= 1 + old.size
		delete(s.index, key)
	}
}

// load returns the newest state of a model, and after which message it was that.
func (s *shelf) load(key string) (state []byte, seq uint64, err error) {
	s.mu.Lock() // until it is read: what is current stays
	defer s.mu.Unlock()
	p, ok := s.index[key]
	if !ok {
		return nil, 0, os.ErrNotExist
	}
	seg := s.segments[p.segment]
	f, err := os.Open(seg.name)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	state = make([]byte, p.size)
	if _, err := f.ReadAt(state, p.at); err != nil {
		return nil, 0, fmt.Errorf("%s: %w", seg.name, err)
	}
	return state, p.seq, nil
}

// moveBytes bounds what one save moves of old segments that are nearly empty.
const moveBytes = 2 << 20

// add writes a segment, and removes those in which nothing is current any more. What is left in one of which less than a
// quarter is current moves to the new one, so that idle models don't hold a disk full of what is gone.
func (s *shelf) add(h header, records []record) (size int, err error) {
	current := map[string]bool{}
	for _, r := range records {
		current[r.key] = true
	}
	for _, key := range s.stale(current) {
		state, seq, err := s.load(key)
		if err != nil {
			return 0, err
		}
		records = append(records, record{key, seq, state})
	}
	b, places, err := encodeSegment(h, records)
	if err != nil {
		return 0, err
	}
	number := s.next
	name := fmt.Sprintf("%016x.segment", number)
	if err := replaceFile(s.dir, name, b); err != nil {
		return 0, err
	}
	s.next++
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segments[number] = &segment{name: filepath.Join(s.dir, name)}
	for i, r := range records {
		s.put(r.key, place{number, r.seq, places[i], len(r.state)})
	}
	for n, seg := range s.segments {
		if seg.live == 0 && n != number {
			if err := os.Remove(seg.name); err != nil && !errors.Is(err, os.ErrNotExist) {
				return len(b), err
			}
			delete(s.segments, n)
		}
	}
	return len(b), nil
}

// stale returns the models that are to move, but for those that are current anew.
func (s *shelf) stale(current map[string]bool) (keys []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	moved := 0
	for key, p := range s.index {
		if seg := s.segments[p.segment]; !current[key] && seg.live*4 < seg.total && moved+p.size <= moveBytes {
			keys = append(keys, key)
			moved += p.size
		}
	}
	return keys
}

func encodeSegment(h header, records []record) (b []byte, places []int64, err error) {
	text, err := json.Marshal(h)
	if err != nil {
		return nil, nil, err
	}
	size := len(segmentMagic) + 8 + len(text)
	for _, r := range records {
		size += 16 + len(r.key) + len(r.state)
	}
	le := binary.LittleEndian
	b = append(make([]byte, 0, size), segmentMagic...)
	b = append(le.AppendUint32(b, uint32(len(text))), text...)
	for _, r := range records {
		b = append(le.AppendUint32(b, uint32(len(r.key))), r.key...)
		b = le.AppendUint64(b, r.seq)
		b = le.AppendUint32(b, uint32(len(r.state)))
		places = append(places, int64(len(b)))
		b = append(b, r.state...)
	}
	return le.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))), places, nil
}

// found is a model in a segment.
type found struct {
	key  string
	seq  uint64
	at   int64
	size int
}

func decodeSegment(b []byte) (h header, models []found, err error) {
	if !bytes.HasPrefix(b, []byte(segmentMagic)) || len(b) < len(segmentMagic)+8 {
		return h, nil, errors.New("no header of this version")
	}
	le := binary.LittleEndian
	body, sum := b[:len(b)-4], le.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) != sum {
		return h, nil, errors.New("the checksum is wrong: cut short or altered")
	}
	at := len(segmentMagic)
	next := func() ([]byte, error) {
		if len(body)-at < 4 || uint64(le.Uint32(body[at:])) > uint64(len(body)-at-4) {
			return nil, errors.New("a length beyond the end")
		}
		part := body[at+4 : at+4+int(le.Uint32(body[at:]))]
		at += 4 + len(part)
		return part, nil
	}
	text, err := next()
	if err != nil {
		return h, nil, err
	}
	if err := json.Unmarshal(text, &h); err != nil {
		return h, nil, err
	}
	for at < len(body) {
		key, err := next()
		if err != nil {
			return h, nil, err
		}
		if len(body)-at < 8 {
			return h, nil, errors.New("cut short")
		}
		seq := le.Uint64(body[at:])
		at += 8
		state, err := next()
		if err != nil {
			return h, nil, err
		}
		models = append(models, found{string(key), seq, int64(at - len(state)), len(state)})
	}
	return h, models, nil
}

// shelfKey names a model among those of all detectors.
func shelfKey(detector, key string) string { return detector + "\x00\x00" + key }

func splitShelfKey(s string) (detector, key string) {
	detector, key, _ = strings.Cut(s, "\x00\x00")
	return detector, key
}

// replaceFile puts b at name in dir, in place of what may be there, so that after a crash at any moment one of the two is
// there whole.
func replaceFile(dir, name string, b []byte) error {
	name = filepath.Join(dir, name)
	f, err := os.Create(name + ".new")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync()); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
