package stream

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"

	"homeostat/internal/signal"
)

// A message is one byte, the version, and zstd frames (with checksums of their own) of these columns. Numbers are varints; a
// "string" is an index into the table of strings that comes first, so that a label that a thousand series share is written
// once. The first frame, the head, ends with the series: one that comes again is packed once. A reader sees one text.
//
//	strings    count, then each: length, bytes
//	series     count, then each: labels, then a pair of strings for each
//	rows       count
//	  series     difference from the row before, signed
//	  times      difference from the row before, signed
//	  values     8 planes of count bytes, the lowest first: bits of the value XOR those of the row before, if that is of the
//	             same series. Planes, as the high bytes of neighbours are alike and pack well.
//	histograms count, then each: series, time (difference from the one before, signed), length, bytes
//	meta       count, then each: four strings
//	orders     count, then each: length, JSON. Left out where there are none, as in what was written before there were any
//
// A series' id is not written: it follows from the labels. A reader refuses any other version.
const codecVersion = 1

const (
	maxRaw     = 16 << 20       // bytes of a message's columns; more is damage
	maxLabels  = 512            // of one series
	maxMessage = 8<<20 - 64<<10 // bytes of a message as published; with its headers it stays at 8 MiB, beyond which NATS warns
)

// errDamaged is what decoding says of bytes that are no message, with the part that doesn't hold.
var errDamaged = errors.New("damaged message")

func damaged(part string) error { return fmt.Errorf("%w: %s", errDamaged, part) }

// encoder turns batches into messages. It keeps its buffers and is not safe for concurrent use.
type encoder struct {
	zstd    *zstd.Encoder
	strings map[string]uint64
	table   []string
	raw     []byte
	body    []byte
	heads   map[*signal.Label]*packed // by the labels of the first series
	older   map[*signal.Label]*packed // the generation before: what isn't met again is forgotten
	bytes   int                       // of heads
}

// packed is the head of messages that a source sends again and again.
type packed struct {
	series []signal.Labels // of each series: they never change, so that their place in memory tells what they are
	frame  []byte
	raw    int // bytes unpacked
}

// headsPacked bounds the heads of one generation, in bytes.
const headsPacked = 8 << 20

func newEncoder() (*encoder, error) {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(256<<10))
	if err != nil {
		return nil, err
	}
	return &encoder{zstd: z, strings: map[string]uint64{}, heads: map[*signal.Label]*packed{}}, nil
}

// str returns the index of s in the table of strings.
func (e *encoder) str(s string) uint64 {
	if i, ok := e.strings[s]; ok {
		return i
	}
	i := uint64(len(e.table))
	e.strings[s] = i
	e.table = append(e.table, s)
	return i
}

// appendMessage appends b as a message to dst. It fails only on a batch whose columns don't fit together or that is too long.
func (e *encoder) appendMessage(dst []byte, b *signal.Batch) ([]byte, error) {
	if err := check(b); err != nil {
		return dst, err
	}
	n := len(dst)
	dst = append(dst, codecVersion)
	head := e.met(b)
	if head == nil {
		at := len(dst)
		raw, meta := e.appendHead(e.raw[:0], b)
		e.raw, e.body = raw, meta
		dst = e.zstd.EncodeAll(raw, dst)
		head = e.meet(b, dst[at:], len(raw))
	} else {
		dst = append(dst, head.frame...)
		e.body = binary.AppendUvarint(e.body[:0], 0) // of meta
	}
	raw := appendRows(e.raw[:0], b)
	raw = binary.AppendUvarint(raw, uint64(len(b.Histograms)))
	var before int64
	for i := range b.Histograms {
		h := &b.Histograms[i]
		raw = binary.AppendUvarint(raw, uint64(h.Series))
		raw = binary.AppendVarint(raw, h.Time-before)
		raw = binary.AppendUvarint(raw, uint64(len(h.Data)))
		raw = append(raw, h.Data...)
		before = h.Time
	}
	raw = append(raw, e.body...)
	raw, err := appendOrders(raw, b.Orders)
	e.raw = raw
	if err != nil {
		return dst[:n], err
	}
	if size := head.raw + len(raw); size > maxRaw {
		return dst[:n], fmt.Errorf("batch of %d samples takes %d bytes, %d at most", b.Len(), size, maxRaw)
	}
	dst = e.zstd.EncodeAll(raw, dst)
	if len(dst)-n > maxMessage {
		return dst[:n], fmt.Errorf("batch of %d samples takes %d bytes packed, %d at most", b.Len(), len(dst)-n, maxMessage)
	}
	return dst, nil
}

// appendHead appends strings and series to p. It returns meta, the message's last part, too, whose strings are in the head.
func (e *encoder) appendHead(p []byte, b *signal.Batch) (head, meta []byte) {
	clear(e.strings)
	e.table = e.table[:0]
	// The series come first: they fill the table of strings, which stands before them.
	q := binary.AppendUvarint(e.body[:0], uint64(len(b.Dict)))
	for i := range b.Dict {
		ls := b.Dict[i].Labels
		q = binary.AppendUvarint(q, uint64(len(ls)))
		for _, l := range ls {
			q = binary.AppendUvarint(q, e.str(l.Name))
			q = binary.AppendUvarint(q, e.str(l.Value))
		}
	}
	series := len(q)
	q = binary.AppendUvarint(q, uint64(len(b.Meta)))
	for _, m := range b.Meta {
		for _, s := range [...]string{m.Name, m.Type, m.Unit, m.Help} {
			q = binary.AppendUvarint(q, e.str(s))
		}
	}
	p = binary.AppendUvarint(p, uint64(len(e.table)))
	for _, s := range e.table {
		p = binary.AppendUvarint(p, uint64(len(s)))
		p = append(p, s...)
	}
	return append(p, q[:series]...), q[series:]
}

// met returns the head of b where it was packed before, or nil.
func (e *encoder) met(b *signal.Batch) *packed {
	if len(b.Meta) > 0 || len(b.Dict) == 0 || len(b.Dict[0].Labels) == 0 {
		return nil
	}
	h, ok := e.heads[&b.Dict[0].Labels[0]]
	if !ok {
		h, ok = e.older[&b.Dict[0].Labels[0]]
	}
	if !ok || len(h.series) != len(b.Dict) {
		return nil
	}
	for i := range b.Dict {
		if ls, known := b.Dict[i].Labels, h.series[i]; len(ls) != len(known) || &ls[0] != &known[0] {
			return nil
		}
	}
	return h
}

// meet returns the head that was just packed, and remembers it in place of the one that began with the same series.
func (e *encoder) meet(b *signal.Batch, frame []byte, raw int) *packed {
	h := &packed{raw: raw}
	if len(b.Meta) > 0 || len(b.Dict) == 0 {
		return h
	}
	size := len(frame) + 24*len(b.Dict)
	if size > headBytes {
		return h
	}
	for i := range b.Dict {
		if len(b.Dict[i].Labels) == 0 {
			return h
		}
		h.series = append(h.series, b.Dict[i].Labels)
	}
	h.frame = bytes.Clone(frame)
	if e.bytes += size; e.bytes > headsPacked {
		e.older, e.heads, e.bytes = e.heads, map[*signal.Label]*packed{}, size
	}
	e.heads[&h.series[0][0]] = h
	return h
}

func appendOrders(p []byte, orders []signal.Order) ([]byte, error) {
	if len(orders) == 0 {
		return p, nil
	}
	p = binary.AppendUvarint(p, uint64(len(orders)))
	for i := range orders {
		text, err := json.Marshal(&orders[i])
		if err != nil {
			return p, fmt.Errorf("order %s: %w", orders[i].ID, err)
		}
		p = append(binary.AppendUvarint(p, uint64(len(text))), text...)
	}
	return p, nil
}

func appendRows(p []byte, b *signal.Batch) []byte {
	n := len(b.Series)
	p = binary.AppendUvarint(p, uint64(n))
	var s int64
	for _, v := range b.Series {
		p = binary.AppendVarint(p, int64(v)-s)
		s = int64(v)
	}
	var t int64
	for _, v := range b.Times {
		p = binary.AppendVarint(p, v-t)
		t = v
	}
	at := len(p)
	p = slices.Grow(p, 8*n)[:at+8*n]
	planes := p[at:]
	for i, v := range b.Values {
		bits := math.Float64bits(v)
		if i > 0 && b.Series[i] == b.Series[i-1] {
			bits ^= math.Float64bits(b.Values[i-1])
		}
		for k := range 8 {
			planes[k*n+i] = byte(bits >> (8 * k))
		}
	}
	return p
}

// check refuses a batch that would not read back as it is.
func check(b *signal.Batch) error {
	if len(b.Times) != len(b.Series) || len(b.Values) != len(b.Series) {
		return fmt.Errorf("batch with columns of %d series, %d times and %d values", len(b.Series), len(b.Times), len(b.Values))
	}
	for _, s := range b.Series {
		if uint(s) >= uint(len(b.Dict)) {
			return fmt.Errorf("batch names series %d of %d", s, len(b.Dict))
		}
	}
	for i := range b.Histograms {
		if s := b.Histograms[i].Series; uint(s) >= uint(len(b.Dict)) {
			return fmt.Errorf("batch names series %d of %d", s, len(b.Dict))
		}
	}
	for i := range b.Orders {
		if err := b.Orders[i].Check(); err != nil {
			return err
		}
	}
	for i := range b.Dict {
		if n := len(b.Dict[i].Labels); n > maxLabels {
			return fmt.Errorf("series with %d labels, %d at most", n, maxLabels)
		}
	}
	return nil
}

// decoder turns messages back into batches. It remembers the series that it has met, so that a batch of known series costs
// no allocation, and is not safe for concurrent use.
type decoder struct {
	zstd    *zstd.Decoder
	raw     []byte
	table   [][]byte // the strings of the message being read: those below, or a head's
	strings [][]byte
	pairs   [][]byte // names and values of the series being read
	key     []byte
	series  map[signal.SeriesID]signal.Series
	older   map[signal.SeriesID]signal.Series // the generation before: what isn't met again is forgotten
	text    map[string]string
	heads   []*head             // the newest last
	once    map[uint64]struct{} // hashes of heads that were met once
}

// head is what messages begin with, strings and series, when the same source tells of the same series again and again: it is
// compared, and not read anew. Reading is deterministic, so that equal bytes mean an equal dictionary.
type head struct {
	text  []byte
	table [][]byte // into text
	dict  []signal.Series
}

// The bounds of what is remembered of heads: 8 MiB of text.
const (
	headsKept = 32
	headBytes = 256 << 10
	headsOnce = 4096
)

// met returns the head with which raw begins, or nil.
func (d *decoder) met(raw []byte) *head {
	for i := len(d.heads) - 1; i >= 0; i-- {
		if bytes.HasPrefix(raw, d.heads[i].text) {
			return d.heads[i]
		}
	}
	return nil
}

// meet remembers a head that comes a second time, in place of the oldest where there are enough.
func (d *decoder) meet(text []byte, dict []signal.Series) {
	if len(text) > headBytes {
		return
	}
	hash := xxhash.Sum64(text)
	if _, again := d.once[hash]; !again {
		if len(d.once) >= headsOnce {
			clear(d.once)
		}
		d.once[hash] = struct{}{}
		return
	}
	h := &head{text: bytes.Clone(text), dict: slices.Clone(dict)}
	r := cursor{p: h.text}
	if d.readStrings(&r) != nil {
		return // it was read a moment ago
	}
	h.table = slices.Clone(d.table)
	if len(d.heads) >= headsKept {
		d.heads = slices.Delete(d.heads, 0, 1)
	}
	d.heads = append(d.heads, h)
}

// seriesKept bounds the series of one of the decoder's two generations.
const seriesKept = 1 << 17

func newDecoder() (*decoder, error) {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxRaw), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	return &decoder{
		zstd:   z,
		series: map[signal.SeriesID]signal.Series{},
		older:  map[signal.SeriesID]signal.Series{},
		text:   map[string]string{},
		once:   map[uint64]struct{}{},
	}, nil
}

func (d *decoder) close() { d.zstd.Close() }

// decode fills b, which it empties first, from a message. Labels in it may be kept by whoever reads; the columns may not.
func (d *decoder) decode(b *signal.Batch, msg []byte) error {
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
	if h := d.met(raw); h != nil {
		d.table, b.Dict, r.p = h.table, append(b.Dict, h.dict...), raw[len(h.text):]
	} else {
		if err := d.readStrings(&r); err != nil {
			return err
		}
		for range r.count(1) {
			s, err := d.readSeries(&r)
			if err != nil {
				return err
			}
			b.Dict = append(b.Dict, s)
		}
		d.meet(raw[:len(raw)-len(r.p)], b.Dict)
	}
	if err := readRows(&r, b); err != nil {
		return err
	}
	var t int64
	for range r.count(3) {
		s := r.uvarint()
		t += r.varint()
		data := r.bytes(r.uvarint())
		if r.bad || s >= uint64(len(b.Dict)) {
			return damaged("histograms")
		}
		b.Histograms = append(b.Histograms, signal.Histogram{Series: int32(s), Time: t, Data: data})
	}
	for range r.count(4) {
		var f [4]string
		for i := range f {
			s, ok := d.at(r.uvarint())
			if !ok || r.bad {
				return damaged("meta")
			}
			f[i] = d.intern(s)
		}
		b.Meta = append(b.Meta, signal.Meta{Name: f[0], Type: f[1], Unit: f[2], Help: f[3]})
	}
	if !r.bad && len(r.p) > 0 {
		for range r.count(2) {
			var o signal.Order
			if text := r.bytes(r.uvarint()); r.bad || json.Unmarshal(text, &o) != nil || o.Check() != nil {
				return damaged("orders")
			}
			b.Orders = append(b.Orders, o)
		}
	}
	if r.bad || len(r.p) != 0 {
		return damaged("length")
	}
	return nil
}

func (d *decoder) readStrings(r *cursor) error {
	table := d.strings[:0]
	for range r.count(1) {
		table = append(table, r.bytes(r.uvarint()))
		if r.bad {
			return damaged("strings")
		}
	}
	d.table, d.strings = table, table
	if r.bad {
		return damaged("strings")
	}
	return nil
}

func (d *decoder) at(i uint64) ([]byte, bool) {
	if i >= uint64(len(d.table)) {
		return nil, false
	}
	return d.table[i], true
}

func (d *decoder) readSeries(r *cursor) (signal.Series, error) {
	n := r.count(2)
	if n > maxLabels {
		return signal.Series{}, damaged("labels")
	}
	d.pairs, d.key = d.pairs[:0], d.key[:0]
	for range 2 * n {
		s, ok := d.at(r.uvarint())
		if !ok || r.bad {
			return signal.Series{}, damaged("labels")
		}
		d.pairs = append(d.pairs, s)
		d.key = append(append(d.key, s...), 0xff)
	}
	if r.bad {
		return signal.Series{}, damaged("series")
	}
	id := signal.SeriesID(xxhash.Sum64(d.key)) // as signal.Labels.ID has it
	s, ok := d.series[id]
	if !ok {
		if s, ok = d.older[id]; ok {
			d.keep(s)
		}
	}
	if ok && d.same(s.Labels) {
		return s, nil
	}
	ls := make(signal.Labels, n)
	for i := range ls {
		ls[i] = signal.Label{Name: d.intern(d.pairs[2*i]), Value: d.intern(d.pairs[2*i+1])}
	}
	s = signal.MakeSeries(ls)
	d.keep(s)
	return s, nil
}

// same reports whether the series being read has these labels: two series may share a hash.
func (d *decoder) same(ls signal.Labels) bool {
	if len(d.pairs) != 2*len(ls) {
		return false
	}
	for i, l := range ls {
		if l.Name != string(d.pairs[2*i]) || l.Value != string(d.pairs[2*i+1]) {
			return false
		}
	}
	return true
}

func (d *decoder) keep(s signal.Series) {
	if len(d.series) >= seriesKept {
		d.older, d.series = d.series, d.older
		clear(d.series)
		clear(d.text)
	}
	d.series[s.ID] = s
}

func (d *decoder) intern(p []byte) string {
	if s, ok := d.text[string(p)]; ok {
		return s
	}
	if len(d.text) >= seriesKept {
		clear(d.text)
	}
	s := string(p)
	d.text[s] = s
	return s
}

func readRows(r *cursor, b *signal.Batch) error {
	n := r.count(10) // one byte of series, one of time, eight of value at least
	var s int64
	for range n {
		s += r.varint()
		if s < 0 || s >= int64(len(b.Dict)) {
			return damaged("rows")
		}
		b.Series = append(b.Series, int32(s))
	}
	var t int64
	for range n {
		t += r.varint()
		b.Times = append(b.Times, t)
	}
	planes := r.bytes(uint64(8 * n))
	if r.bad {
		return damaged("rows")
	}
	var before uint64
	for i := range n {
		var bits uint64
		for k := range 8 {
			bits |= uint64(planes[k*n+i]) << (8 * k)
		}
		if i > 0 && b.Series[i] == b.Series[i-1] {
			bits ^= before
		}
		before = bits
		b.Values = append(b.Values, math.Float64frombits(bits))
	}
	return nil
}

// cursor reads from the front of p. What doesn't hold sets bad, and all later reads give nothing.
type cursor struct {
	p   []byte
	bad bool
}

func (c *cursor) uvarint() uint64 {
	v, n := binary.Uvarint(c.p)
	if n <= 0 || c.bad {
		c.bad = true
		return 0
	}
	c.p = c.p[n:]
	return v
}

func (c *cursor) varint() int64 {
	v, n := binary.Varint(c.p)
	if n <= 0 || c.bad {
		c.bad = true
		return 0
	}
	c.p = c.p[n:]
	return v
}

// count reads how many things follow that take at least size bytes each. More than can follow is damage, so that nobody
// makes room for what isn't there.
func (c *cursor) count(size int) int {
	n := c.uvarint()
	if n > uint64(len(c.p)/size) {
		c.bad = true
		return 0
	}
	return int(n)
}

func (c *cursor) bytes(n uint64) []byte {
	if n > uint64(len(c.p)) || c.bad {
		c.bad = true
		return nil
	}
	p := c.p[:n:n]
	c.p = c.p[n:]
	return p
}
