package detect

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"homeostat/internal/signal"
)

// A file of a version, little endian; the header can be read without the rest:
//
//	"hsdm\x01"  header length u32, header (signal.Model as JSON)  model (Model.MarshalBinary)
//	crc         u32, Castagnoli, over all before it
const versionMagic = "hsdm\x01"

const (
	versionsKept = 10      // of one model, the newest; the one in use besides
	maxHeader    = 1 << 20 // bytes
)

// versions keeps the models that were trained on request, and those that were in use before. A file never changes once it is
// written: an order in the stream that names it means the same whenever it is read. Safe for concurrent use.
type versions struct {
	dir string // "" keeps nothing

	mu    sync.Mutex
	known map[string]signal.Model
	ahead map[string]signal.Model // in training, or failed: in memory alone
}

func openVersions(dir string) (*versions, error) {
	v := &versions{dir: dir, known: map[string]signal.Model{}, ahead: map[string]signal.Model{}}
	if dir == "" {
		return v, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return v, err
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.model"))
	var errs []error
	for _, name := range names {
		m, err := readHeader(name)
		if err == nil && m.ID+".model" != filepath.Base(name) {
			err = fmt.Errorf("it says that it is %s", m.ID)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("version of a model %s: %w", name, err))
			continue
		}
		v.known[m.ID] = m
	}
	return v, errors.Join(append(errs, err)...)
}

func readHeader(name string) (m signal.Model, err error) {
	f, err := os.Open(name)
	if err != nil {
		return m, err
	}
	defer f.Close()
	head := make([]byte, len(versionMagic)+4)
	if _, err := io.ReadFull(f, head); err != nil || string(head[:len(versionMagic)]) != versionMagic {
		return m, errors.New("no header of this version")
	}
	n := binary.LittleEndian.Uint32(head[len(versionMagic):])
	if n > maxHeader {
		return m, errors.New("a header without end")
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(f, text); err != nil {
		return m, errors.New("cut short")
	}
	return m, json.Unmarshal(text, &m)
}

// put writes a version, and forgets the oldest of the same model. inUse are the ids that are kept whatever their age.
func (v *versions) put(m signal.Model, model []byte, inUse func(id string) bool) error {
	if v.dir == "" {
		return errors.New("no folder to keep models in")
	}
	m.Bytes = len(model)
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	b := binary.LittleEndian.AppendUint32([]byte(versionMagic), uint32(len(text)))
	b = append(append(b, text...), model...)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	if err := replaceFile(v.dir, m.ID+".model", b); err != nil {
		return fmt.Errorf("version %s: %w", m.ID, err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.ahead, m.ID)
	v.known[m.ID] = m
	same := slices.DeleteFunc(v.sorted(v.known), func(o signal.Model) bool {
		return o.Detector != m.Detector || o.Entity != m.Entity || o.Series != m.Series
	})
	for _, old := range same[:max(len(same)-versionsKept, 0)] {
		if inUse(old.ID) {
			continue
		}
		if err := os.Remove(filepath.Join(v.dir, old.ID+".model")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("version %s: %w", old.ID, err)
		}
		delete(v.known, old.ID)
	}
	return nil
}

// load returns a version and the model in it.
func (v *versions) load(id string) (signal.Model, []byte, error) {
	v.mu.Lock()
	m, ok := v.known[id]
	v.mu.Unlock()
	if !ok {
		return m, nil, fmt.Errorf("model %s: %w", id, signal.ErrNotFound)
	}
	b, err := os.ReadFile(filepath.Join(v.dir, id+".model"))
	if err != nil {
		return m, nil, err
	}
	head := len(versionMagic) + 4
	if len(b) < head+4 || !bytes.HasPrefix(b, []byte(versionMagic)) {
		return m, nil, fmt.Errorf("model %s: no header of this version", id)
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	n := uint64(binary.LittleEndian.Uint32(b[len(versionMagic):]))
	if crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) != sum || n > uint64(len(body)-head) {
		return m, nil, fmt.Errorf("model %s: the checksum is wrong: cut short or altered", id)
	}
	return m, body[uint64(head)+n:], nil
}

// note remembers one that has no file: in training, or failed. Of failed ones the last few are remembered.
func (v *versions) note(m signal.Model) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ahead[m.ID] = m
	failed := slices.DeleteFunc(v.sorted(v.ahead), func(o signal.Model) bool { return o.State != modelFailed })
	for _, old := range failed[:max(len(failed)-versionsKept, 0)] {
		delete(v.ahead, old.ID)
	}
}

// get returns the version of that id.
func (v *versions) get(id string) (signal.Model, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if m, ok := v.known[id]; ok {
		return m, true
	}
	m, ok := v.ahead[id]
	return m, ok
}

// list returns all of them, the oldest first.
func (v *versions) list() []signal.Model {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append(v.sorted(v.known), v.sorted(v.ahead)...)
}

// sorted is called with mu held.
func (v *versions) sorted(m map[string]signal.Model) []signal.Model {
	out := make([]signal.Model, 0, len(m))
	for _, one := range m {
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b signal.Model) int {
		return cmp.Or(a.Made.Compare(b.Made), strings.Compare(a.ID, b.ID))
	})
	return out
}
