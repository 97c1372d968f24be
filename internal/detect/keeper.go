package detect

import (
	"context"
	"sync"
	"time"

	"homeostat/internal/signal"
)

// maxBands bounds the rows that wait for the history: beyond it the new ones are dropped and counted.
const maxBands = 100_000

// keeper does beside the stream what its batches need not wait for: bands go to the history, and the state to disk.
type keeper struct {
	r       *Runner
	rec     Recorder      // nil: bands are dropped
	wake    chan struct{} // holds one: there are bands
	swapped chan struct{} // holds one: a model was swapped

	recording sync.Mutex // held while bands are on their way, in the order in which they came

	mu    sync.Mutex // guards bands
	bands signal.Batch
}

func newKeeper(r *Runner, rec Recorder) *keeper {
	return &keeper{r: r, rec: rec, wake: make(chan struct{}, 1), swapped: make(chan struct{}, 1)}
}

// run keeps until ctx ends; what it has by then is recorded, and the state of then is on disk.
func (k *keeper) run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { k.saves(ctx) })
	for ctx.Err() == nil {
		select {
		case <-k.wake:
			k.record(ctx)
		case <-ctx.Done():
		}
	}
	wg.Wait()
	for began := time.Now(); k.save(ctx) > 0 && time.Since(began) < lastSaves; {
	}
	k.record(ctx)
}

// take takes over the bands of b, which it empties.
func (k *keeper) take(b *signal.Batch) {
	defer b.Reset()
	if b.Len() == 0 || k.rec == nil {
		return
	}
	k.mu.Lock()
	if k.bands.Len()+b.Len() > maxBands {
		k.mu.Unlock()
		k.r.metrics.recordFailed.Inc()
		return
	}
	first := int32(len(k.bands.Dict))
	k.bands.Dict = append(k.bands.Dict, b.Dict...)
	for i, s := range b.Series {
		k.bands.Add(first+s, b.Times[i], b.Values[i])
	}
	k.mu.Unlock()
	notify(k.wake)
}

// notify wakes whom a channel of one place wakes.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it will look anyway
	}
}

// record hands the bands to history. They are worth less than going on: what can't be recorded is counted and dropped.
func (k *keeper) record(ctx context.Context) {
	k.recording.Lock()
	defer k.recording.Unlock()
	k.mu.Lock()
	b := k.bands
	k.bands = signal.Batch{}
	k.mu.Unlock()
	if b.Len() == 0 {
		return
	}
	rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := k.rec.Record(rctx, &b); err != nil {
		if k.r.hinder("recording", err) {
			k.r.log.WarnContext(ctx, "bands could not be recorded", "err", err)
		}
		k.r.metrics.recordFailed.Inc()
		return
	}
	k.r.hinder("recording", nil)
}

// saves writes a checkpoint from time to time, until ctx ends.
func (k *keeper) saves(ctx context.Context) {
	last, took := time.Now(), time.Duration(0)
	due := time.NewTimer(k.r.c.Every)
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-due.C:
		case <-k.swapped:
			// A model that was swapped is saved soon: what is read again after a crash then meets the same model. Of many that
			// are trained one after the other each would cost a save: saving has a tenth of the time.
			due.Reset(max(0, 9*took-time.Since(last)))
			continue
		}
		began := time.Now()
		left := k.save(ctx)
		last = time.Now()
		took = last.Sub(began)
		due.Reset(k.r.pace(left))
	}
}

// save writes what has changed, a slice of it where it is much, and returns about how many slices are left. Where it fails the
// loop goes on: what was on disk still holds, with more to be read again.
func (k *keeper) save(ctx context.Context) (left int) {
	r := k.r
	began := time.Now()
	if r.c.Dir == "" {
		r.state.Lock()
		if !r.broken {
			r.position.Store(r.read)
		}
		r.state.Unlock()
		k.record(ctx)
		return 0
	}
	rest := func(took time.Duration) {
		select {
		case <-time.After(3 * took):
		case <-ctx.Done():
		}
	}
	n, left, err := r.slice(rest, func() { k.record(ctx) }) // what was said before is recorded before
	if n == 0 && err == nil {
		return 0
	}
	r.metrics.checkpoints.Inc()
	r.hinder("checkpoint", err)
	if err != nil {
		r.metrics.checkpointsFailed.Inc()
		r.log.Error("checkpoint of the detectors could not be written", "err", err)
		return 0
	}
	r.metrics.checkpointSeconds.Observe(time.Since(began).Seconds())
	r.metrics.checkpointBytes.Set(float64(n))
	return left
}
