package detect

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A checkpoint file, little endian:
//
//	"hsdc\x01"  position u64  detectors u32  each: name length u32, name, state length u32, state
//	crc         u32, Castagnoli, over all before it
const checkpointMagic = "hsdc\x01"

const checkpointName = "detect.checkpoint"

// checkpoint is the state of all detectors: what is read from position on makes it whole.
type checkpoint struct {
	position uint64
	states   map[string][]byte
}

func (c checkpoint) encode() []byte {
	le := binary.LittleEndian
	b := le.AppendUint64([]byte(checkpointMagic), c.position)
	b = le.AppendUint32(b, uint32(len(c.states)))
	for _, name := range sortedKeys(c.states) {
		for _, part := range [][]byte{[]byte(name), c.states[name]} {
			b = le.AppendUint32(b, uint32(len(part)))
			b = append(b, part...)
		}
	}
	return le.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

func decodeCheckpoint(b []byte) (checkpoint, error) {
	c := checkpoint{states: map[string][]byte{}}
	head := len(checkpointMagic)
	if len(b) < head+8+4+4 || string(b[:head]) != checkpointMagic {
		return c, errors.New("no header of this version")
	}
	le := binary.LittleEndian
	body, sum := b[:len(b)-4], le.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) != sum {
		return c, errors.New("the checksum is wrong: cut short or altered")
	}
	c.position = le.Uint64(body[head:])
	n := le.Uint32(body[head+8:])
	rest := body[head+12:]
	next := func() ([]byte, error) {
		if len(rest) < 4 || uint64(le.Uint32(rest)) > uint64(len(rest)-4) {
			return nil, errors.New("a length beyond the end")
		}
		size := le.Uint32(rest)
		part := rest[4 : 4+size]
		rest = rest[4+size:]
		return part, nil
	}
	for range n {
		name, err := next()
		if err != nil {
			return c, err
		}
		state, err := next()
		if err != nil {
			return c, err
		}
		c.states[string(name)] = state
	}
	if len(rest) > 0 {
		return c, fmt.Errorf("%d bytes too many", len(rest))
	}
	return c, nil
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

// readCheckpoint returns the checkpoint in dir, an empty one where there is none. One that is damaged is set aside under the
// name that it returns with the error, so that the next start isn't held up by it and a person can look.
func readCheckpoint(dir string) (c checkpoint, aside string, err error) {
	name := filepath.Join(dir, checkpointName)
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return checkpoint{}, "", nil
	}
	if err != nil {
		return checkpoint{}, "", err
	}
	if c, err = decodeCheckpoint(b); err == nil {
		return c, "", nil
	}
	aside = name + ".damaged-" + time.Now().UTC().Format("20060102T150405Z")
	return checkpoint{}, aside, errors.Join(err, os.Rename(name, aside))
}
