package stream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"homeostat/internal/signal"
)

// A message of accesses is one byte, the version, and a zstd frame of: strings as in a message of samples; the count of rows;
// row by row the time (difference from the row before), flags, 21 strings, the strings of the resources with their count before
// them, and the length and bytes of what nobody knows. Rows hold much the same strings, and zstd finds what columns would.

// AppendAccesses hands accesses to the stream and returns when they are durable, in their order within an organisation. It
// keeps their strings, which never change, and nothing else. It fails as Append does.
func (s *Stream) AppendAccesses(ctx context.Context, rows []signal.Access) error {
	if why := s.full.Load(); why != nil {
		return fmt.Errorf("%w: %s", ErrFull, *why)
	}
	by := map[int][]signal.Access{}
	var order []int
	for i := range rows {
		p := s.partition(signal.EntityID(rows[i].Org))
		if by[p] == nil {
			order = append(order, p)
		}
		by[p] = append(by[p], rows[i])
	}
	var in []*gather
	var err error
	for _, p := range order {
		for part := range slices.Chunk(by[p], gatherRows) {
			g, e := s.gatherAccesses(ctx, p, part)
			if err = e; err != nil {
				break
			}
			in = append(in, g)
		}
	}
	for _, g := range in {
		select {
		case <-g.done:
			err = errors.Join(err, g.err)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return err
}

// gatherAccesses queues a message of accesses. It goes at once: they come by the file, and have company.
func (s *Stream) gatherAccesses(ctx context.Context, partition int, rows []signal.Access) (*gather, error) {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-s.stop:
		return nil, ErrClosed
	}
	g := &gather{partition: partition, done: make(chan struct{}), index: map[signal.SeriesID]int32{}}
	g.batch.Accesses = rows
	g.bytes = 700 * len(rows)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		<-s.slots
		return nil, ErrClosed
	}
	s.queue = append(s.queue, g)
	s.nudge()
	return g, nil
}

// accessTexts are the strings of an access in the order of a message.
func accessTexts(a *signal.Access) [21]*string {
	return [...]*string{
		&a.ID, &a.Org, &a.Account, &a.Type, &a.User, &a.Session, &a.Role, &a.ARN, &a.Origin, &a.Key, &a.Address, &a.Service, &a.API,
		&a.Region, &a.Agent, &a.Error, &a.Kind, &a.Category, &a.Shared, &a.Granted, &a.GrantARN,
	}
}

// appendAccesses appends b's accesses as a message to dst.
func (e *encoder) appendAccesses(dst []byte, b *signal.Batch) ([]byte, error) {
	clear(e.strings)
	e.table = e.table[:0]
	q := binary.AppendUvarint(e.body[:0], uint64(len(b.Accesses)))
	var t int64
	for i := range b.Accesses {
		a := &b.Accesses[i]
		q = binary.AppendVarint(q, a.Time-t)
		t = a.Time
		var flags byte
		if a.NoMFA {
			flags |= 1
		}
		if a.ReadOnly {
			flags |= 2
		}
		q = append(q, flags)
		for _, s := range accessTexts(a) {
			q = binary.AppendUvarint(q, e.str(*s))
		}
		q = binary.AppendUvarint(q, uint64(len(a.Resources)))
		for _, s := range a.Resources {
			q = binary.AppendUvarint(q, e.str(s))
		}
		q = binary.AppendUvarint(q, uint64(len(a.Extra)))
		q = append(q, a.Extra...)
	}
	p := binary.AppendUvarint(e.raw[:0], uint64(len(e.table)))
	for _, s := range e.table {
		p = binary.AppendUvarint(p, uint64(len(s)))
		p = append(p, s...)
	}
	p = append(p, q...)
	e.raw, e.body = p, q
	if len(p) > maxRaw {
		return dst, fmt.Errorf("%d accesses take %d bytes, %d at most", len(b.Accesses), len(p), maxRaw)
	}
	n := len(dst)
	dst = e.zstd.EncodeAll(p, append(dst, codecVersion))
	if len(dst)-n > maxMessage {
		return dst[:n], fmt.Errorf("%d accesses take %d bytes packed, %d at most", len(b.Accesses), len(dst)-n, maxMessage)
	}
	return dst, nil
}

// decodeAccesses fills b, which it empties first, from a message of accesses.
func (d *decoder) decodeAccesses(b *signal.Batch, msg []byte) error {
	b.Reset()
	if len(msg) == 0 {
		return damaged("empty")
	}
	if msg[0] != codecVersion {
		return fmt.Errorf("message of version %d, known is %d", msg[0], codecVersion)
	}
	raw, err := d.zstd.DecodeAll(msg[1:], d.raw[:0])
	if err != nil {
		return damaged(err.Error())
	}
	d.raw = raw
	r := cursor{p: raw}
	if err := d.readStrings(&r); err != nil {
		return err
	}
	text := make([]string, len(d.table)) // one copy of each string of the message
	for i, s := range d.table {
		text[i] = d.intern(s)
	}
	var t int64
	for range r.count(25) {
		var a signal.Access
		t += r.varint()
		a.Time = t
		flags := r.bytes(1)
		str := func() string {
			i := r.uvarint()
			if i >= uint64(len(text)) {
				r.bad = true
				return ""
			}
			return text[i]
		}
		for _, s := range accessTexts(&a) {
			*s = str()
		}
		for range r.count(1) {
			a.Resources = append(a.Resources, str())
		}
		if extra := r.bytes(r.uvarint()); len(extra) > 0 {
			a.Extra = slices.Clone(extra)
		}
		if r.bad {
			b.Accesses = b.Accesses[:0]
			return damaged("accesses")
		}
		a.NoMFA, a.ReadOnly = flags[0]&1 != 0, flags[0]&2 != 0
		b.Accesses = append(b.Accesses, a)
	}
	if r.bad || len(r.p) != 0 {
		return damaged("length")
	}
	return nil
}
