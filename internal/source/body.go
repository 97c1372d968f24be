package source

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// Limits bound what an HTTP source takes at once. The zero value works.
type Limits struct {
	MaxBody    int64 `yaml:"max_body"`    // bytes of one request's body as sent; 32 MiB when 0
	MaxDecoded int64 `yaml:"max_decoded"` // bytes of one request's body once decompressed; 64 MiB when 0
	InFlight   int64 `yaml:"in_flight"`   // bytes of all requests that are being taken; twice the two above when 0
}

// Defaults fills in what is zero.
func (l Limits) Defaults() Limits {
	if l.MaxBody <= 0 {
		l.MaxBody = 32 << 20
	}
	if l.MaxDecoded <= 0 {
		l.MaxDecoded = max(64<<20, l.MaxBody)
	}
	l.InFlight = max(l.InFlight, l.MaxBody+l.MaxDecoded)
	return l
}

// Patience of an HTTP source: with a sender that is slow, with the other requests, and with the stream.
const (
	readPatience   = 30 * time.Second
	flightPatience = 5 * time.Second
	AppendPatience = 30 * time.Second
)

// MaxAhead is how far from now a sample's time may be.
const MaxAhead = 10 * time.Minute

// maxPooled is the largest buffer that is kept for the next request.
const maxPooled = 4 << 20

// Errors of Intake.
var (
	// ErrTooLarge means that a body is beyond its limit: 413.
	ErrTooLarge = errors.New("the request body is over its limit")
	// ErrBusy means that other requests fill what may be in flight: 503, and the sender tries again.
	ErrBusy = errors.New("too much is being taken in at once")
)

// Intake reads bodies within [Limits], into buffers that it keeps. Safe for concurrent use.
type Intake struct {
	limits Limits
	flight *semaphore.Weighted
	pool   sync.Pool // of *[]byte
}

// NewIntake returns an Intake with these limits.
func NewIntake(l Limits) *Intake {
	l = l.Defaults()
	return &Intake{limits: l, flight: semaphore.NewWeighted(l.InFlight), pool: sync.Pool{New: func() any { return new([]byte) }}}
}

// Body is what one request holds. Release it when nothing refers to its bytes any more.
type Body struct {
	in    *Intake
	held  int64
	bufs  []*[]byte
	Bytes []byte // as sent
}

// Read reads a request's body: [ErrTooLarge] beyond the limit, [ErrBusy] when others have filled what may be in flight.
func (in *Intake) Read(w http.ResponseWriter, r *http.Request) (*Body, error) {
	if r.ContentLength > in.limits.MaxBody {
		return nil, ErrTooLarge
	}
	expected := r.ContentLength
	if expected < 0 {
		expected = in.limits.MaxBody
	}
	b := &Body{in: in}
	if err := b.hold(r.Context(), expected); err != nil {
		return nil, err
	}
	// A test's recorder has no deadlines; a server's connection does.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(readPatience))
	buf := b.buffer(int(max(r.ContentLength, 0)))
	for limit := in.limits.MaxBody; ; {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case int64(len(buf)) > limit:
			b.Release()
			return nil, ErrTooLarge
		case err == io.EOF:
			b.Bytes = buf
			*b.bufs[0] = buf
			_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
			return b, nil
		case err != nil:
			b.Release()
			return nil, err
		}
	}
}

// Decoded returns a buffer of n bytes for what the body decompresses to.
func (b *Body) Decoded(ctx context.Context, n int64) ([]byte, error) {
	if n > b.in.limits.MaxDecoded {
		return nil, ErrTooLarge
	}
	if err := b.hold(ctx, n); err != nil {
		return nil, err
	}
	buf := b.buffer(int(n))
	return buf[:n], nil
}

// DecodeFrom reads all of r, within the limit on what a body decompresses to.
func (b *Body) DecodeFrom(ctx context.Context, r io.Reader) ([]byte, error) {
	limit := b.in.limits.MaxDecoded
	buf := b.buffer(4 * len(b.Bytes))
	held := int64(0)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		if need := int64(cap(buf)); need > held {
			if err := b.hold(ctx, min(need, limit)-min(held, limit)); err != nil {
				return nil, err
			}
			held = need
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		*b.bufs[len(b.bufs)-1] = buf
		switch {
		case int64(len(buf)) > limit:
			return nil, ErrTooLarge
		case err == io.EOF:
			return buf, nil
		case err != nil:
			return nil, err
		}
	}
}

// hold counts n more bytes as in flight.
func (b *Body) hold(ctx context.Context, n int64) error {
	if n <= 0 {
		return nil
	}
	if !b.in.flight.TryAcquire(n) {
		ctx, cancel := context.WithTimeout(ctx, flightPatience)
		defer cancel()
		if err := b.in.flight.Acquire(ctx, n); err != nil {
			return ErrBusy
		}
	}
	b.held += n
	return nil
}

// buffer takes an empty buffer of at least size bytes, and keeps it for Release.
func (b *Body) buffer(size int) []byte {
	p := b.in.pool.Get().(*[]byte)
	if cap(*p) < size {
		*p = make([]byte, 0, size)
	}
	b.bufs = append(b.bufs, p)
	return (*p)[:0]
}

// Release gives back what the body holds. A nil body holds nothing.
func (b *Body) Release() {
	if b == nil {
		return
	}
	for _, p := range b.bufs {
		if cap(*p) <= maxPooled {
			b.in.pool.Put(p)
		}
	}
	b.in.flight.Release(b.held)
	b.bufs, b.held, b.Bytes = nil, 0, nil
}

// RetryAfter is what a sender is told to wait, in seconds.
const RetryAfter = 2

// Busy sets the headers of an answer that asks for another try.
func Busy(h http.Header) { h.Set("Retry-After", strconv.Itoa(RetryAfter)) }
