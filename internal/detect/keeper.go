package detect

import (
	"bytes"
	"context"
	"encoding/gob"
	"fmt"
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
	k.save(ctx)
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
			// A model that was swapped is saved soon: what is read again after a crash then meets the same model. All are
			// written each time, so that of many models that are trained one after the other each would cost all: saving has
			// a tenth of the time.
			due.Reset(max(0, 9*took-time.Since(last)))
			continue
		}
		began := time.Now()
		k.save(ctx)
		last = time.Now()
		took = last.Sub(began)
		due.Reset(k.r.c.Every)
	}
}

// save writes the checkpoint. Where it fails the loop goes on: the one before still holds, with more to be read again.
func (k *keeper) save(ctx context.Context) {
	r := k.r
	began := time.Now()
	c, states, err := k.cut(ctx)
	k.record(ctx) // what was said before is recorded before
	if c.position <= r.position.Load() {
		return
	}
	if r.c.Dir == "" {
		r.position.Store(c.position)
		return
	}
	var b []byte
	for i, d := range r.detectors {
		var buf bytes.Buffer
		if err == nil {
			err = gob.NewEncoder(&buf).Encode(states[i])
		}
		c.states[d.c.Name] = buf.Bytes()
	}
	if err == nil {
		b = c.encode()
		err = replaceFile(r.c.Dir, checkpointName, b)
	}
	r.metrics.checkpoints.Inc()
	r.hinder("checkpoint", err)
	if err != nil {
		r.metrics.checkpointsFailed.Inc()
		r.log.Error("checkpoint of the detectors could not be written", "err", err)
		return
	}
	r.metrics.checkpointSeconds.Observe(time.Since(began).Seconds())
	r.metrics.checkpointBytes.Set(float64(len(b)))
	r.position.Store(c.position)
}

// cut gathers the state of the detectors over samples model by model, between the batches, so that none of them waits for more than one
// model. Each is saved with the batch up to which it is true: what is read again from the checkpoint's position on is new only
// to those that were saved before it. Between two models it rests, so that it takes a quarter of a core.
func (k *keeper) cut(ctx context.Context) (c checkpoint, states []forestsState, err error) {
	r := k.r
	keys := make([][]string, len(r.detectors))
	r.state.Lock()
	if r.broken {
		r.state.Unlock()
		return c, nil, nil
	}
	c = checkpoint{r.read, map[string][]byte{}}
	for i, d := range r.detectors {
		states = append(states, forestsState{Config: d.fingerprint(), Now: d.now, Swept: d.swept})
		keys[i] = sortedKeys(d.watched)
	}
	todo := r.c.Dir != "" && c.position > r.position.Load()
	for _, d := range r.accesses {
		if todo && err == nil {
			c.states[d.name], err = d.bytes()
		}
	}
	r.state.Unlock()
	if !todo || err != nil {
		return c, states, err
	}
	for i, d := range r.detectors {
		for _, key := range keys[i] {
			r.state.Lock()
			if r.broken {
				r.state.Unlock()
				return checkpoint{}, nil, nil
			}
			began := time.Now()
			s, err := d.watched[key].save(d)
			s.From = r.read + 1
			took := time.Since(began)
			r.state.Unlock()
			if err != nil {
				return c, states, fmt.Errorf("detector %s, %q: %w", d.c.Name, key, err)
			}
			states[i].Watched = append(states[i].Watched, s)
			select {
			case <-time.After(3 * took):
			case <-ctx.Done():
			}
		}
	}
	return c, states, nil
}
