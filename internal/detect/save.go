package detect

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"homeostat/internal/detect/access"
)

// mark says how far what is on disk of a model reaches.
type mark struct {
	from  uint64 // it was restored as it was after this message of the stream, and passes over all up to it
	saved uint64 // its state on disk is of after this message; where there is none yet, the message before it came to be
	dirty bool   // it has changed since
	soon  bool   // and is to be saved before others
	going bool   // it is on its way to disk
}

// passes says that the model has had the message seq: it was saved after it, and the stream is read again for others.
func (m *mark) passes(seq uint64) bool { return m.from > 0 && seq <= m.from }

// The bounds of saving. Where all that has changed fits into one slice it is saved at once, each time.
const (
	sliceBytes = 8 << 20          // of states in one save
	cycle      = 10 * time.Minute // in which all models come round where they are many: so much is read again after a crash
	lastSaves  = 10 * time.Second // that saving the rest at the end may take
	idleAfter  = time.Hour        // without a sample, and a model is on disk alone
)

// saver writes what has changed since it was written before, the oldest first. The keeper alone uses it.
type saver struct {
	shelf  *shelf
	most   int     // bytes of states in one slice; sliceBytes when 0
	slices []stand // those that the position may still go back to, ascending
}

// stand is what detectors knew besides their models after the message seq, of a slice that was saved there.
type stand struct {
	seq    uint64
	clocks map[string]clock
}

// unsaved is a model that has changed, with its mark's values of the moment.
type unsaved struct {
	*mark
	key    string
	before mark
	d      *Forests
	w      *watched
	a      *accesses
	o      *outlooks
	part   string // of o: which of its endpoints
}

func (u *unsaved) encode() ([]byte, error) {
	switch {
	case u.a != nil:
		return u.a.bytes()
	case u.o != nil:
		return u.o.d.Encode(u.part)
	}
	return u.w.encode(u.d)
}

func (r *Runner) clocks() map[string]clock {
	out := map[string]clock{}
	for _, d := range r.detectors {
		out[d.c.Name] = clock{d.fingerprint(), d.now, d.swept}
	}
	for _, a := range r.accesses {
		c := a.d.Clock()
		out[a.name] = clock{kindAccess, c.Now, c.Since}
	}
	for _, o := range r.outlooks {
		out[o.name] = clock{Config: o.d.Fingerprint(), Now: o.d.Now()}
	}
	return out
}

// unsaved returns what has changed. state is held.
func (r *Runner) unsaved() []unsaved {
	var out []unsaved
	for _, d := range r.detectors {
		for key, w := range d.watched {
			if w.dirty {
				out = append(out, unsaved{mark: &w.mark, before: w.mark, key: shelfKey(d.c.Name, key), d: d, w: w})
			}
		}
	}
	for _, a := range r.accesses {
		if a.dirty {
			out = append(out, unsaved{mark: &a.mark, before: a.mark, key: shelfKey(a.name, ""), a: a})
		}
	}
	for _, o := range r.outlooks {
		for key, m := range o.marks {
			if m.dirty {
				out = append(out, unsaved{mark: m, before: *m, key: shelfKey(o.name, key), o: o, part: key})
			}
		}
	}
	return out
}

// byAge sorts what is to be saved soon first, and then the oldest first.
func byAge(a, b unsaved) int {
	if a.before.soon != b.before.soon {
		if a.before.soon {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(a.before.saved, b.before.saved), cmp.Compare(a.key, b.key))
}

// slice writes what has changed, as much as fits, and moves the position on as far as all models are on disk. It works model
// by model between the batches, so that none of them waits for more than one model, and rests between two, so that it takes a
// quarter of a core. rest is called with the time that a model took, told once all are encoded and before they are written.
// It returns the bytes written and about how many slices are left.
func (r *Runner) slice(rest func(took time.Duration), told func()) (size, left int, err error) {
	r.state.Lock()
	now := stand{r.read, r.clocks()}
	todo, broken := r.unsaved(), r.broken
	r.state.Unlock()
	if broken {
		return 0, 0, nil
	}
	slices.SortFunc(todo, byAge)
	bytes, most := 0, cmp.Or(r.saver.most, sliceBytes)
	var records []record
	var taken []unsaved
	defer func() {
		r.state.Lock()
		defer r.state.Unlock()
		for _, u := range taken {
			if u.going = false; err != nil {
				u.saved, u.dirty, u.soon = u.before.saved, true, u.before.soon
			}
		}
	}()
	for len(taken) < len(todo) && bytes < most {
		u := todo[len(taken)]
		began := time.Now()
		r.state.Lock()
		if broken = r.broken; broken {
			r.state.Unlock()
			return 0, 0, nil
		}
		state, err := u.encode()
		if err == nil {
			u.saved, u.dirty, u.soon, u.going = r.read, false, false, true
			taken = append(taken, u)
			records = append(records, record{u.key, r.read, state})
		}
		r.state.Unlock()
		if err != nil {
			return 0, 0, fmt.Errorf("%q: %w", u.key, err)
		}
		bytes += len(state)
		rest(time.Since(began))
	}
	told()
	oldest := now.seq
	r.state.Lock()
	for _, u := range r.unsaved() {
		oldest = min(oldest, u.saved)
	}
	r.state.Unlock()
	// All models are on disk as of oldest or later; of the stands before that the last is where reading goes on.
	stands := append(r.saver.slices, now)
	at := stands[0]
	for _, s := range stands {
		if s.seq <= oldest {
			at = s
		}
	}
	if n := len(todo) - len(taken); n > 0 {
		left = n*max(bytes/len(taken), 1)/most + 1
	}
	if at.seq == r.position.Load() && len(records) == 0 {
		return 0, 0, nil // nothing has changed
	}
	if size, err = r.saver.shelf.add(header{at.seq, at.clocks}, records); err != nil {
		return 0, 0, err
	}
	r.saver.slices = slices.DeleteFunc(stands, func(s stand) bool { return s.seq < at.seq })
	r.position.Store(at.seq)
	return size, left, nil
}

// pace is how long to wait for the next save when so many slices are left.
func (r *Runner) pace(left int) time.Duration {
	if left == 0 {
		return r.c.Every
	}
	return min(max(cycle/time.Duration(left+1), time.Second), r.c.Every)
}

// restore takes on what is on disk.
func (r *Runner) restore() error {
	s, newest, aside, err := openShelf(filepath.Join(r.c.Dir, "state"))
	if s == nil {
		return fmt.Errorf("checkpoint of the detectors: %w", err)
	}
	if len(aside) > 0 {
		r.log.Error("a checkpoint of the detectors can't be used and was set aside; its models learn anew", "file", aside[0], "err", err)
	}
	r.saver.shelf = s
	for _, d := range r.detectors {
		d.shelve = func(key string) ([]byte, uint64, error) { return s.load(shelfKey(d.c.Name, key)) }
	}
	if newest == nil {
		r.saver.slices = []stand{{0, r.clocks()}}
		return nil
	}
	for _, d := range r.detectors {
		c := newest.Clocks[d.c.Name]
		if c.Config != d.fingerprint() {
			if c.Config != "" {
				r.log.Warn("the detector was configured otherwise; its models learn anew", "detector", d.c.Name, "before", c.Config, "now", d.fingerprint())
			}
			continue
		}
		d.now, d.swept = c.Now, c.Swept
	}
	for _, a := range r.accesses {
		c := newest.Clocks[a.name]
		a.d.Resume(access.Clock{Now: c.Now, Since: c.Swept})
	}
	for _, o := range r.outlooks {
		if c := newest.Clocks[o.name]; c.Config == o.d.Fingerprint() {
			o.d.Resume(c.Now)
		} else if c.Config != "" {
			r.log.Warn("the detector was configured otherwise; it learns anew", "detector", o.name, "before", c.Config, "now", o.d.Fingerprint())
		}
	}
	for _, key := range sortedKeys(s.index) {
		if err := r.restoreOne(key, newest); err != nil {
			s.forget(key)
			name, _ := splitShelfKey(key)
			r.log.Warn("a model can't be used, and learns anew", "detector", name, "err", err)
		}
	}
	for _, o := range r.outlooks {
		r.show(o, o.d.Entities())
	}
	r.saver.slices = []stand{{newest.Position, newest.Clocks}}
	r.position.Store(newest.Position)
	r.read = newest.Position
	r.learn()
	return nil
}

// restoreOne restores one model. One of a detector that is configured no more, or otherwise, is forgotten.
func (r *Runner) restoreOne(full string, newest *header) error {
	name, key := splitShelfKey(full)
	state, seq, err := r.saver.shelf.load(full)
	if err != nil {
		return err
	}
	for _, d := range r.detectors {
		if d.c.Name != name {
			continue
		}
		if newest.Clocks[name].Config != d.fingerprint() {
			r.saver.shelf.forget(full)
			return nil
		}
		w, err := d.decode(state, seq)
		if err != nil {
			return err
		}
		if d.idle(w) {
			delete(d.watched, key)
		}
		return nil
	}
	for _, a := range r.accesses {
		if a.name == name {
			a.from, a.saved = seq, seq
			return a.d.Restore(bytes.NewReader(state))
		}
	}
	for _, o := range r.outlooks {
		if o.name != name {
			continue
		}
		if newest.Clocks[name].Config != o.d.Fingerprint() {
			r.saver.shelf.forget(full)
			return nil
		}
		if _, err := o.d.Decode(state, seq); err != nil {
			return err
		}
		o.marks[key] = &mark{from: seq, saved: seq}
		return nil
	}
	r.saver.shelf.forget(full)
	return nil
}

// idle says that a model may be on disk alone: it is there as it is, and nothing has come for long.
func (d *Forests) idle(w *watched) bool {
	return !w.dirty && !w.going && w.saved > 0 && !w.begun && w.open == nil && w.wait == nil && len(w.meters) == 0 && d.now-w.last > max(idleAfter.Milliseconds(), d.silence())
}

// wake brings a model back that is on disk alone; nil where there is none.
func (d *Forests) wake(key string) *watched {
	if d.shelve == nil {
		return nil
	}
	state, seq, err := d.shelve(key)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			d.lost++ // it learns anew; the runner says so
		}
		return nil
	}
	w, err := d.decode(state, seq)
	if err != nil {
		d.lost++
		return nil
	}
	return w
}
