package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"homeostat/internal/signal"
)

// readAhead is how many messages JetStream may send a reader ahead. (A limit in bytes beside it was tried: its status messages
// overflow the client's channel of as many messages, and each time the reader has to start again.)
const readAhead = 128

// Read calls fn with each message after the position after, in order, each once, and waits for more until ctx ends or fn
// fails; it returns the context's cause or fn's error. The batch and its columns are valid only within fn, which must not
// change them, as other readers see the same; the labels in its dictionary may be kept. What doesn't decode is counted,
// logged and stepped over.
func (s *Stream) Read(ctx context.Context, after uint64, fn func(seq uint64, b *signal.Batch) error) error {
	dec, err := newDecoder()
	if err != nil {
		return err
	}
	defer dec.close()
	if after > s.opened && after > max(s.shown.Load(), s.last.Load()) {
		s.log.WarnContext(ctx, "position beyond the stream: messages were lost with it", "position", after, "last", s.opened)
		after = s.opened
	}
	r := reader{s: s, dec: dec, last: after, fn: fn}
	for {
		err := r.follow(ctx)
		if err == nil {
			err = r.catchUp(ctx)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if f, ok := errors.AsType[*fnError](err); ok {
			return f.err
		}
		if err == nil {
			continue // up with the tail
		}
		if errors.Is(err, ErrClosed) {
			return err
		}
		s.metrics.resets.Inc()
		s.log.DebugContext(ctx, "stream reader starts again", "position", r.last, "err", err)
		select {
		case <-time.After(100 * time.Millisecond):
		case <-s.stop:
			return ErrClosed
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// reader is one Read.
type reader struct {
	s     *Stream
	dec   *decoder
	batch signal.Batch
	last  uint64 // sequence of the message that fn has had
	gap   uint64 // sequence before which messages were missing
	fn    func(uint64, *signal.Batch) error
}

// fnError carries the error of the caller's function through.
type fnError struct{ err error }

func (e *fnError) Error() string { return e.err.Error() }

// follow reads from the tail, and returns nil when it doesn't have what comes next.
func (r *reader) follow(ctx context.Context) error {
	for {
		k, came, ok := r.s.tail.take(r.last + 1)
		switch {
		case !ok:
			return nil
		case k != nil:
			err := r.hand(r.last+1, &k.batch)
			if free := r.s.tail.release(k); free != nil {
				r.s.recycle(free)
			}
			if err != nil {
				return err
			}
			continue
		}
		select {
		case <-came:
		case <-r.s.stop:
			return ErrClosed
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// catchUp reads with one ordered consumer of JetStream until something fails, and returns nil when the tail has the rest.
func (r *reader) catchUp(ctx context.Context) error {
	cons, err := r.s.js.OrderedConsumer(ctx, streamName, jetstream.OrderedConsumerConfig{
		FilterSubjects:    []string{samplesSubject + "*", accessSubject + "*"},
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       r.last + 1,
		InactiveThreshold: time.Minute,
	})
	if err != nil {
		return fmt.Errorf("read the stream: %w", err)
	}
	msgs, err := cons.Messages(jetstream.PullMaxMessages(readAhead))
	if err != nil {
		return fmt.Errorf("read the stream: %w", err)
	}
	defer msgs.Stop()
	for {
		msg, err := msgs.Next(jetstream.NextContext(ctx))
		if err != nil {
			return fmt.Errorf("read the stream: %w", err)
		}
		if err := r.take(ctx, msg); err != nil {
			return err
		}
		if r.s.tail.near(r.last + 1) {
			return nil
		}
	}
}

// take hands one message on.
func (r *reader) take(ctx context.Context, msg jetstream.Msg) error {
	md, err := msg.Metadata()
	if err != nil {
		return err
	}
	seq := md.Sequence.Stream
	if seq <= r.last {
		return nil // a consumer that was made anew may begin a little early
	}
	if seq != r.last+1 && r.gap != seq {
		// Nothing but Trim removes messages, and it stays behind all readers. Look twice before believing in a gap.
		st, err := r.s.js.Stream(ctx, streamName)
		if err != nil {
			return err
		}
		if st.CachedInfo().State.FirstSeq != seq {
			r.gap = seq
			return fmt.Errorf("message %d after %d", seq, r.last)
		}
	}
	if seq != r.last+1 {
		r.s.metrics.missed.Add(float64(seq - r.last - 1))
		r.s.log.WarnContext(ctx, "messages are missing in the stream", "from", r.last+1, "to", seq-1)
	}
	partition, accesses := strings.CutPrefix(msg.Subject(), accessSubject)
	decode := r.dec.decodeAccesses
	if !accesses {
		partition, decode = strings.TrimPrefix(msg.Subject(), samplesSubject), r.dec.decode
	}
	if err := decode(&r.batch, msg.Data()); err != nil {
		r.s.metrics.damaged.Inc()
		r.s.log.ErrorContext(ctx, "message stepped over", "seq", seq, "partition", partition, "err", err)
		r.last = seq
		return nil
	}
	r.batch.ID = batchID(partition, seq)
	return r.hand(seq, &r.batch)
}

// batchID names a message.
func batchID(partition string, seq uint64) string {
	return signal.KindBatch + "-" + partition + "-" + strconv.FormatUint(seq, 10)
}

// hand gives one message to the reader's function.
func (r *reader) hand(seq uint64, b *signal.Batch) error {
	if err := r.fn(seq, b); err != nil {
		return &fnError{err}
	}
	r.last = seq
	for {
		shown := r.s.shown.Load()
		if shown >= seq || r.s.shown.CompareAndSwap(shown, seq) {
			return nil
		}
	}
}
