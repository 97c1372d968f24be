package history

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"homeostat/internal/signal"
)

// Reader is the stream as the history reads it. Read calls fn with each batch after the position, in order, and blocks until
// ctx ends or fn fails; Last is the newest sequence; Opened is what it was when the stream was opened.
type Reader interface {
	Read(ctx context.Context, after uint64, fn func(seq uint64, b *signal.Batch) error) error
	Last() uint64
	Opened() uint64
}

// Run consumes the stream from the history's own position until ctx ends, whose cause it returns. Errors of the disk pause
// it, with a state in Health, and it goes on by itself.
func (h *History) Run(ctx context.Context, stream Reader) error {
	h.mu.Lock()
	if h.committed > stream.Opened() {
		// A power cut may take the stream's last second and leave ours: what came since has sequences that we have seen.
		h.log.WarnContext(ctx, "the stream is behind the history's position", "position", h.committed, "last", stream.Opened())
		h.committed = stream.Opened()
	}
	h.mu.Unlock()
	h.running.Store(true)
	defer h.running.Store(false)

	c := &consumer{h: h, stream: stream}
	tctx, cancel := context.WithCancel(ctx)
	ticked := make(chan struct{})
	go func() {
		defer close(ticked)
		c.tick(tctx)
	}()
	defer func() { <-ticked }()
	defer cancel()
	for {
		h.mu.Lock()
		after := h.committed
		c.seq, c.err, h.writer.lost = after, nil, false
		h.mu.Unlock()
		err := stream.Read(ctx, after, func(seq uint64, b *signal.Batch) error { return c.take(ctx, seq, b) })
		h.mu.Lock()
		if ctx.Err() != nil {
			err := c.commit(context.WithoutCancel(ctx))
			h.mu.Unlock()
			if err != nil {
				h.log.ErrorContext(ctx, "last commit of the history", "err", err)
			}
			return context.Cause(ctx)
		}
		dropErr := h.drop()
		h.mu.Unlock()
		h.pause(fmt.Sprintf("consumption pauses: %v", err))
		h.log.ErrorContext(ctx, "consumption of the stream pauses", "err", err, "rollback", dropErr)
		select {
		case <-time.After(time.Second + rand.N(time.Second)):
		case <-ctx.Done():
		}
		h.state.Store(nil)
	}
}

// consumer is one Run. History.mu guards it.
type consumer struct {
	h      *History
	stream Reader
	seq    uint64 // newest message in hand
	err    error  // of a commit by the clock, to be returned by the next take
}

// errLost means that samples in hand were not committed after all: they must be read again.
var errLost = errors.New("samples in hand were lost")

// take appends one message and commits when there is enough.
func (c *consumer) take(ctx context.Context, seq uint64, b *signal.Batch) error {
	h := c.h
	if err := h.waitForRoom(ctx); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	if h.writer.lost {
		return errLost
	}
	now := time.Now()
	if err := h.append(ctx, b, now); err != nil {
		return err
	}
	c.seq = seq
	w := &h.writer
	if w.rows >= commitRows || now.Sub(w.since) >= commitTime {
		return c.commit(ctx)
	}
	return nil
}

// tick commits what has waited long enough, and sees whether consumption is up with the stream.
func (c *consumer) tick(ctx context.Context) {
	h := c.h
	t := time.NewTicker(commitTime / 2)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			h.mu.Lock()
			if c.err == nil && (h.writer.app != nil || c.seq > h.committed) && now.Sub(h.writer.since) >= commitTime {
				c.err = c.commit(ctx)
			}
			behind := c.seq < c.stream.Last()
			h.mu.Unlock()
			h.behind.Store(behind)
			if !behind {
				h.caught.Store(now.UnixMilli())
			}
		}
	}
}

// commit commits the samples in hand, then the position. mu is held.
func (c *consumer) commit(ctx context.Context) error {
	if c.h.writer.lost {
		return errLost // the position would go over them
	}
	c.h.posSeq = c.seq
	return c.h.flushPosition(ctx)
}

// flushPosition commits the samples in hand, then, where it has moved, the position: in this order, and apart, as the TSDB
// writes late samples to a log of their own after the commit's other samples.
func (h *History) flushPosition(ctx context.Context) error {
	if err := h.flush(); err != nil {
		return fmt.Errorf("commit to the history: %w", err)
	}
	if h.posSeq <= h.committed {
		return nil
	}
	now := time.Now()
	// The position's own time is that of the newest sample: it moves no clock that data is measured against.
	at := max(h.db.Head().MaxTime(), h.posTime+1)
	if at == 1 {
		at = now.UnixMilli() // nothing has been stored yet
	}
	app := h.db.Appender(context.WithoutCancel(ctx))
	if _, err := app.Append(0, labels.FromStrings(signal.MetricName, positionMetric), at, float64(h.posSeq)); err != nil {
		// Nothing is lost: more is read again after a restart, and the TSDB takes it twice.
		h.log.WarnContext(ctx, "position not stored", "position", h.posSeq, "err", err)
		if err := app.Rollback(); err != nil {
			return err
		}
	} else if err := app.Commit(); err != nil {
		return fmt.Errorf("commit the history's position: %w", err)
	} else {
		h.posTime = at
	}
	h.committed = h.posSeq
	h.metrics.position.Set(float64(h.committed))
	if n := len(h.safe); n == 0 || now.Sub(h.safe[n-1].at) >= time.Second {
		h.safe = append(h.safe, commit{now, h.committed})
		h.settle(now)
	}
	return nil
}

// full reports whether the disk is down to the reserve.
func (h *History) full() bool {
	if h.cfg.Reserve == 0 {
		return false
	}
	free, err := h.cfg.Free(h.cfg.Dir)
	return err == nil && free < uint64(h.cfg.Reserve)
}

// pause sets the state that Health shows.
func (h *History) pause(why string) { h.state.Store(&why) }

// waitForRoom blocks while the disk is full.
func (h *History) waitForRoom(ctx context.Context) error {
	now := time.Now().UnixMilli()
	if now-h.looked.Load() < 250 {
		return nil
	}
	h.looked.Store(now)
	if !h.full() {
		return nil
	}
	h.log.ErrorContext(ctx, "consumption pauses: the disk is full", "dir", h.cfg.Dir, "reserve", h.cfg.Reserve)
	h.pause("consumption pauses: the disk is full")
	defer h.state.Store(nil)
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(500 * time.Millisecond):
		}
		if !h.full() {
			h.log.InfoContext(ctx, "consumption goes on: the disk has room again")
			return nil
		}
	}
}
