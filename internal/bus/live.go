package bus

import (
	"context"
	"database/sql"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"homeostat/internal/signal"
)

const (
	liveBuffer = 256                    // events that a subscriber may be behind
	liveLook   = 250 * time.Millisecond // how often the database is looked at while somebody subscribes
	livePage   = 200                    // events read at once
)

// live tells subscribers of events once they are stored. It reads them from the database, so that what a transaction that was
// rolled back has published is never seen, whoever's transaction it was.
type live struct {
	read    *sql.DB
	log     *slog.Logger
	metric  *metrics
	nudge   chan struct{} // holds one: more would say the same
	dropped atomic.Uint64

	mu    sync.Mutex
	subs  map[chan signal.Event]struct{}
	since time.Time // when the first of subs came
}

func newLive(read *sql.DB, log *slog.Logger, m *metrics) *live {
	return &live{read: read, log: log, metric: m, nudge: make(chan struct{}, 1), subs: map[chan signal.Event]struct{}{}}
}

func (l *live) subscribe() (<-chan signal.Event, func()) {
	c := make(chan signal.Event, liveBuffer)
	l.mu.Lock()
	if len(l.subs) == 0 {
		l.since = time.Now()
	}
	l.subs[c] = struct{}{}
	l.mu.Unlock()
	l.wake()
	return c, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.subs, c)
	}
}

func (l *live) wake() {
	select {
	case l.nudge <- struct{}{}:
	default:
	}
}

// watched says whether anybody subscribes, and since when.
func (l *live) watched() (bool, time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.subs) > 0, l.since
}

func (l *live) run(ctx context.Context) {
	tick := time.NewTicker(liveLook)
	defer tick.Stop()
	var (
		last int64
		from time.Time // the subscription that last counts from
	)
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.nudge:
		case <-tick.C:
		}
		watched, since := l.watched()
		if !watched {
			continue
		}
		var err error
		if from != since {
			if last, err = l.before(ctx, since); err == nil {
				from = since
			}
		}
		if err == nil {
			last, err = l.pass(ctx, last)
		}
		if err != nil && ctx.Err() == nil {
			l.log.WarnContext(ctx, "live events not read", "err", err)
		}
	}
}

// before returns where the events begin that whoever subscribed at a moment hasn't seen. A second is added for transactions
// that were under way: rather an event told that the page has already than one left out.
func (l *live) before(ctx context.Context, since time.Time) (seq int64, err error) {
	err = l.read.QueryRowContext(ctx, "SELECT COALESCE(MAX(seq), 0) FROM events WHERE stored < $1", since.Add(-time.Second).UnixMilli()).Scan(&seq)
	return seq, err
}

// pass hands on what was stored after last, and returns the new last.
func (l *live) pass(ctx context.Context, last int64) (int64, error) {
	for {
		evs, seqs, err := readEvents(ctx, l.read, "SELECT seq, envelope FROM events WHERE seq > $1 ORDER BY seq LIMIT $2", last, livePage)
		if err != nil {
			return last, err
		}
		for i, ev := range evs {
			l.send(ev)
			last = seqs[i]
		}
		if len(evs) < livePage {
			return last, nil
		}
	}
}

func (l *live) send(ev signal.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.subs {
		select {
		case c <- ev:
		default:
			l.dropped.Add(1)
			l.metric.liveDropped.Inc()
		}
	}
}
