package detect

import (
	"slices"
	"time"

	"homeostat/internal/signal"
)

// learningEvery is how old what Learning says may be: a model gains confidence over hours.
const learningEvery = 5 * time.Second

// Learning says how far each detector is with each entity, in the order of detectors and entities. It is a picture that Run's
// goroutine takes every few seconds, so that asking costs the stream nothing. Safe for concurrent use.
func (r *Runner) Learning() []signal.Learning {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.learning)
}

// learn takes the picture that Learning shows. Run's goroutine alone calls it, or what makes the Runner.
func (r *Runner) learn() {
	var all []signal.Learning
	bytes := int64(0)
	for _, d := range r.detectors {
		bytes += int64(len(d.watched)) * int64(d.perModel)
		all = d.learning(all)
	}
	for _, d := range r.accesses {
		all = append(all, d.d.Learning()...)
	}
	for _, d := range r.outlooks {
		all = d.d.Learning(all)
		bytes += d.d.Bytes()
	}
	r.bytes.Store(bytes)
	r.mu.Lock()
	r.learning = all
	r.mu.Unlock()
}

// learning appends how far d is with each entity. Where each series has a model of its own, the least of them speaks.
func (d *Forests) learning(dst []signal.Learning) []signal.Learning {
	first := len(dst)
	for _, key := range sortedKeys(d.watched) {
		w := d.watched[key]
		s := &w.model.state
		l := signal.Learning{Detector: d.c.Name, Kind: d.c.Kind, Entity: w.entity, Note: "watching"}
		if s.Seen > 0 {
			l.Confidence = w.model.confidence()
			l.Since = time.UnixMilli(s.First).UTC()
		}
		switch {
		case w.wait != nil:
			l.Note = "reading its history"
		case s.Seen < warmUp:
			l.Note = "learning"
		}
		if n := len(dst); n > first && dst[n-1].Entity == l.Entity { // keys begin with the entity
			if l.Confidence < dst[n-1].Confidence {
				dst[n-1] = l
			}
			continue
		}
		dst = append(dst, l)
	}
	return dst
}
