package sagemaker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A frame of RecordIO, little endian; a payload that is longer than 2^29-1 bytes, or holds the magic number, comes in several:
//
//	magic u32 | part u3, length u29 | payload | zeros up to a multiple of 4
//
// part: 0 whole, 1 the first of several, 2 one between, 3 the last.
const (
	frameMagic  = 0xCED7230A
	frameLength = 1<<29 - 1
	maxFrame    = 256 << 20 // of all parts together
)

// Frames reads RecordIO.
type Frames struct {
	r    io.Reader
	buf  bytes.Buffer
	read int64
	n    int
}

// NewFrames reads RecordIO from r, which is better buffered.
func NewFrames(r io.Reader) *Frames { return &Frames{r: r} }

// Next returns the payload of the next frame, which is the caller's until the next call; io.EOF after the last.
func (f *Frames) Next() ([]byte, error) {
	f.buf.Reset()
	f.n++
	for parts := 0; ; parts++ {
		var head [8]byte
		n, err := io.ReadFull(f.r, head[:])
		if n == 0 && parts == 0 && errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		if err != nil {
			return nil, f.short(err)
		}
		magic, word := binary.LittleEndian.Uint32(head[:]), binary.LittleEndian.Uint32(head[4:])
		if magic != frameMagic {
			return nil, BadBody("record %d, byte %d: no RecordIO frame begins here", f.n, f.read)
		}
		part, length := word>>29, int64(word&frameLength)
		if whole, first := part == 0, part == 1; part > 3 || (whole || first) != (parts == 0) {
			return nil, BadBody("record %d, byte %d: a frame of part %d out of order", f.n, f.read, part)
		}
		if int64(f.buf.Len())+length > maxFrame {
			return nil, BadBody("record %d, byte %d: more than %d bytes", f.n, f.read, maxFrame)
		}
		if parts > 0 { // it was cut where the magic number stood
			f.buf.Write(head[:4])
		}
		f.read += 8
		// The buffer grows with what comes, not with what the length says.
		got, err := io.CopyN(&f.buf, f.r, length)
		f.read += got
		if err != nil {
			return nil, f.short(err)
		}
		pad := (4 - length%4) % 4
		if n, err := io.ReadFull(f.r, head[:pad]); err != nil {
			f.read += int64(n)
			return nil, f.short(err)
		}
		f.read += pad
		if part == 0 || part == 3 {
			return f.buf.Bytes(), nil
		}
	}
}

// short says that the input ended within a frame, unless reading failed for a reason of its own.
func (f *Frames) short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return BadBody("record %d, byte %d: cut short", f.n, f.read)
	}
	return fmt.Errorf("record %d: %w", f.n, err)
}

// AppendFrame appends payload in one frame to dst. Readers look for the magic number only where a frame may begin, so a payload
// that holds it needs no cutting.
func AppendFrame(dst, payload []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, frameMagic)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload))&frameLength)
	dst = append(dst, payload...)
	for range (4 - len(payload)%4) % 4 {
		dst = append(dst, 0)
	}
	return dst
}
