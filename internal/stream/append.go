package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"homeostat/internal/signal"
)

// gather is a message in the making: samples of one partition, from as many Appends as came by. It goes from open (rows are
// added under Stream.mu) through the queue to publish and acknowledge, which closes done.
type gather struct {
	partition int
	began     time.Time
	batch     signal.Batch
	call      uint64                    // the Append that all its series are of; 0 where they are of several
	index     map[signal.SeriesID]int32 // of the first series of the dictionary; more are added when another Append joins
	bytes     int
	done      chan struct{}
	err       error // set before done is closed
}

// pending is a message on its way.
type pending struct {
	g   *gather
	ack jetstream.PubAckFuture
}

// place says where a series of the batch being appended lies: in which gather, at which index of its dictionary.
type place struct {
	partition int
	in        *gather
	index     int32
}

// Append hands b to the stream and returns when it is durable. It keeps nothing of b but the labels of its series, which are
// never to be changed. It fails with ErrFull when there is no
// room, and with the context's error when that ends first: then some of b may be stored, and so it is when any other error is
// returned; the caller sends b again, and readers take what comes twice.
func (s *Stream) Append(ctx context.Context, b *signal.Batch) error {
	if b.Len() == 0 && len(b.Meta) == 0 && len(b.Orders) == 0 {
		return nil
	}
	if err := check(b); err != nil {
		s.metrics.dropped.WithLabelValues("malformed").Add(float64(b.Len()))
		return err
	}
	if why := s.full.Load(); why != nil {
		return fmt.Errorf("%w: %s", ErrFull, *why)
	}
	began := time.Now()
	in, err := s.gather(ctx, b)
	for _, g := range in {
		select {
		case <-g.done:
			err = errors.Join(err, g.err)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if err != nil {
		return err
	}
	s.metrics.append.Observe(time.Since(began).Seconds())
	return nil
}

// gather adds the rows of b to the gathers of their partitions and returns those.
func (s *Stream) gather(ctx context.Context, b *signal.Batch) ([]*gather, error) {
	var in []*gather
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	call, places := s.calls, s.takePlaces(len(b.Dict))
	defer s.givePlaces(places)
	// at returns the gather and the index for a series of b, with room for n more bytes.
	at := func(series int32, n int) (*gather, int32, error) {
		p := &places[series]
		if p.in == nil {
			p.partition = s.partition(b.Dict[series].Entity)
		}
		g, err := s.room(ctx, p.partition, n)
		if err != nil {
			return nil, 0, err
		}
		if g != p.in {
			p.in, p.index = g, g.series(&b.Dict[series], call)
			if len(in) == 0 || in[len(in)-1] != g && !slices.Contains(in, g) {
				in = append(in, g)
			}
		}
		return g, p.index, nil
	}
	for i, series := range b.Series {
		g, index, err := at(series, 0)
		if err != nil {
			return in, err
		}
		g.batch.Add(index, b.Times[i], b.Values[i])
	}
	for i := range b.Histograms {
		h := &b.Histograms[i]
		g, index, err := at(h.Series, len(h.Data))
		if err != nil {
			return in, err
		}
		g.batch.Histograms = append(g.batch.Histograms, signal.Histogram{Series: index, Time: h.Time, Data: slices.Clone(h.Data)})
		g.bytes += len(h.Data)
	}
	if len(b.Meta) > 0 {
		// What is known of metrics belongs to no entity: it travels with the batch's first series, else in partition 0.
		partition := 0
		if len(b.Dict) > 0 {
			partition = s.partition(b.Dict[0].Entity)
		}
		for _, m := range b.Meta {
			n := len(m.Name) + len(m.Help) + len(m.Unit) + 16
			g, err := s.room(ctx, partition, n)
			if err != nil {
				return in, err
			}
			if !slices.Contains(in, g) {
				in = append(in, g)
			}
			g.batch.Meta = append(g.batch.Meta, m)
			g.bytes += n
		}
	}
	for _, o := range b.Orders {
		g, err := s.room(ctx, s.partition(o.Partition()), len(o.Note)+512)
		if err != nil {
			return in, err
		}
		if !slices.Contains(in, g) {
			in = append(in, g)
		}
		g.batch.Orders = append(g.batch.Orders, o)
		g.bytes += len(o.Note) + 512
	}
	// A gather that this batch has filled goes at once; the others may wait for company.
	for _, g := range in {
		if g.batch.Len() >= gatherRows && s.open[g.partition] == g {
			s.enqueue(g)
		}
	}
	return in, nil
}

// takePlaces returns n empty places. mu is held.
func (s *Stream) takePlaces(n int) []place {
	var p []place
	if k := len(s.places); k > 0 {
		p, s.places = s.places[k-1], s.places[:k-1]
	}
	return slices.Grow(p, n)[:n]
}

// givePlaces keeps the memory of places for the next. mu is held.
func (s *Stream) givePlaces(p []place) {
	clear(p)
	if len(s.places) < 16 && cap(p) <= 8*gatherRows {
		s.places = append(s.places, p[:0])
	}
}

// partition returns where an entity's samples go.
func (s *Stream) partition(e signal.EntityID) int {
	return int(xxhash.Sum64String(string(e)) % uint64(s.cfg.Partitions))
}

// room returns the open gather of a partition that takes one more row with n bytes, making one where needed. It is called
// with mu held, and lets go of it while it waits for a slot.
func (s *Stream) room(ctx context.Context, partition, n int) (*gather, error) {
	for {
		if s.closed {
			return nil, ErrClosed
		}
		g := s.open[partition]
		if g != nil && g.batch.Len() < gatherRows && (g.bytes == 0 || g.bytes+n <= gatherBytes) {
			return g, nil
		}
		if g != nil {
			s.enqueue(g)
		}
		select {
		case s.slots <- struct{}{}:
		default:
			s.mu.Unlock()
			var err error
			select {
			case s.slots <- struct{}{}:
			case <-ctx.Done():
				err = context.Cause(ctx)
			case <-s.stop:
				err = ErrClosed
			}
			s.mu.Lock()
			if err != nil {
				return nil, err
			}
			if s.open[partition] != nil { // another has made it meanwhile
				<-s.slots
				continue
			}
			if s.closed {
				<-s.slots
				return nil, ErrClosed
			}
		}
		s.open[partition] = s.begin(partition)
	}
}

// begin makes an empty gather. mu is held.
func (s *Stream) begin(partition int) *gather {
	var g *gather
	if n := len(s.free); n > 0 {
		g, s.free = s.free[n-1], s.free[:n-1]
	} else {
		g = &gather{index: map[signal.SeriesID]int32{}}
	}
	g.partition, g.began, g.done, g.err = partition, time.Now(), make(chan struct{}), nil
	s.oldest = append(s.oldest, g)
	if len(s.oldest) == 1 {
		s.nudge()
	}
	return g
}

// enqueue closes an open gather to further rows and hands it to publish. mu is held.
func (s *Stream) enqueue(g *gather) {
	s.open[g.partition] = nil
	if i := slices.Index(s.oldest, g); i >= 0 {
		s.oldest = slices.Delete(s.oldest, i, i+1)
	}
	s.queue = append(s.queue, g)
	s.nudge()
}

// nudge wakes publish.
func (s *Stream) nudge() {
	select {
	case s.wake <- struct{}{}:
	default: // it is awake already
	}
}

// series returns the index of s in the gather's dictionary. A batch has each series once, so that only the series of several
// Appends have to be looked for.
func (g *gather) series(s *signal.Series, call uint64) int32 {
	switch {
	case len(g.batch.Dict) == 0:
		g.call = call
	case g.call != call:
		g.call = 0
		for i := len(g.index); i < len(g.batch.Dict); i++ {
			g.index[g.batch.Dict[i].ID] = int32(i)
		}
		if i, ok := g.index[s.ID]; ok && slices.Equal(g.batch.Dict[i].Labels, s.Labels) {
			return i
		}
	}
	for _, l := range s.Labels {
		g.bytes += len(l.Name) + len(l.Value)
	}
	return g.batch.AddSeries(*s)
}

// publish packs and sends what is queued, in order, and queues what has waited long enough. It ends when the stream is
// closed and all is sent.
func (s *Stream) publish() {
	defer close(s.acks)
	enc, err := newEncoder()
	if err != nil {
		s.log.Error("stream encoder", "err", err)
		panic(err) // the options are ours and constant
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	stop := s.stop
	for {
		s.mu.Lock()
		now := time.Now()
		for len(s.oldest) > 0 && (s.closed || now.Sub(s.oldest[0].began) >= gatherTime) {
			s.enqueue(s.oldest[0])
		}
		if len(s.queue) > 0 {
			g := s.queue[0]
			s.queue = slices.Delete(s.queue, 0, 1)
			s.mu.Unlock()
			s.send(enc, g)
			continue
		}
		if s.closed {
			s.mu.Unlock()
			return
		}
		wait := time.Hour
		if len(s.oldest) > 0 {
			wait = gatherTime - now.Sub(s.oldest[0].began)
		}
		s.mu.Unlock()
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-s.wake:
		case <-stop:
			stop = nil // closed is set; the next turn sees it
		}
	}
}

// send packs and publishes one gather. The slots bound what is in flight, so it never has to wait for long.
func (s *Stream) send(enc *encoder, g *gather) {
	if why := s.full.Load(); why != nil {
		s.finish(g, fmt.Errorf("%w: %s", ErrFull, *why))
		return
	}
	subject, pack := samplesSubject, enc.appendMessage
	if len(g.batch.Accesses) > 0 {
		subject, pack = accessSubject, enc.appendAccesses
	}
	data, err := pack(nil, &g.batch)
	if err != nil {
		s.metrics.dropped.WithLabelValues("malformed").Add(float64(g.batch.Len()))
		s.finish(g, err)
		return
	}
	ack, err := s.js.PublishMsgAsync(&nats.Msg{Subject: subject + strconv.Itoa(g.partition), Data: data})
	if err != nil {
		s.finish(g, fmt.Errorf("publish to the stream: %w", err))
		return
	}
	s.metrics.bytes.Add(float64(len(data)))
	s.spent.Add(int64(len(data)))
	s.acks <- pending{g, ack}
}

// acknowledge waits for JetStream's answers, which come in the order of publishing.
func (s *Stream) acknowledge() {
	for p := range s.acks {
		select {
		case ack := <-p.ack.Ok():
			p.g.batch.ID = batchID(strconv.Itoa(p.g.partition), ack.Sequence)
			free := s.tail.add(ack.Sequence, p.g)
			s.last.Store(ack.Sequence)
			s.metrics.samples.Add(float64(p.g.batch.Len()))
			s.metrics.messages.Inc()
			s.rate.add(time.Now(), p.g.batch.Len())
			s.finish(p.g, nil)
			for _, g := range free {
				s.recycle(g)
			}
		case err := <-p.ack.Err():
			if isFull(err) {
				err = fmt.Errorf("%w: it holds its %d bytes, and readers are behind", ErrFull, s.cfg.MaxBytes)
			} else {
				err = fmt.Errorf("publish to the stream: %w", err)
			}
			s.finish(p.g, err)
		}
	}
}

// isFull reports whether JetStream refused for want of room. It tells of that in words only: the code 10077 is any error of
// the store.
func isFull(err error) bool {
	return strings.Contains(err.Error(), "maximum bytes exceeded") || strings.Contains(err.Error(), "insufficient")
}

// finish tells who waits for g, and frees its slot.
func (s *Stream) finish(g *gather, err error) {
	if err != nil {
		s.metrics.refused.Add(float64(g.batch.Len()))
	}
	g.err = err
	close(g.done)
	<-s.slots
	if err != nil {
		s.recycle(g) // on success it is in the tail
	}
}

// recycle keeps the memory of a gather that nobody reads any more for the next.
func (s *Stream) recycle(g *gather) {
	if cap(g.batch.Series) > 8*gatherRows || cap(g.batch.Dict) > 8*gatherRows {
		return // one of unusual size is not kept
	}
	// Whoever waits reads g.err after done: a gather in use again would show another's. So only its memory goes on.
	next := &gather{batch: g.batch, index: g.index}
	clear(next.index)
	clear(next.batch.Dict)
	clear(next.batch.Histograms)
	clear(next.batch.Meta)
	clear(next.batch.Orders)
	next.batch.Reset()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.free) < 16 {
		s.free = append(s.free, next)
	}
}
