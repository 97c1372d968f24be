package detect

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"homeostat/internal/detect/outlook"
	"homeostat/internal/signal"
)

// adoptions keeps the models of forecasts with the place in the stream from which each was in use: a file for each, whose name
// is the message. It is there before the message is looked at with it, so that what is read again after a crash meets
// the same model at the same place. Weights are written once a day, and never with a checkpoint.
type adoptions struct {
	dir, prefix string   // dir is "" where nothing is kept
	seqs        []uint64 // ascending
	in          uint64   // the one in use
}

func openAdoptions(dir, detector string) (*adoptions, error) {
	a := &adoptions{dir: dir, prefix: signal.MakeID(signal.KindModel, detector, "forecasts")}
	if dir == "" {
		return a, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return a, err
	}
	names, err := filepath.Glob(filepath.Join(dir, a.prefix+"-*.weights"))
	for _, name := range names {
		var seq uint64
		if _, err := fmt.Sscanf(strings.TrimPrefix(filepath.Base(name), a.prefix), "-%016x.weights", &seq); err == nil {
			a.seqs = append(a.seqs, seq)
		}
	}
	slices.Sort(a.seqs)
	return a, err
}

func (a *adoptions) name(seq uint64) string { return fmt.Sprintf("%s-%016x.weights", a.prefix, seq) }

// at returns from which message on the models are in use that are at message seq; 0 where there are none yet.
func (a *adoptions) at(seq uint64) uint64 {
	i, found := slices.BinarySearch(a.seqs, seq)
	switch {
	case found:
		return seq
	case i == 0:
		return 0
	}
	return a.seqs[i-1]
}

// ahead says that others took over after message seq.
func (a *adoptions) ahead(seq uint64) bool {
	return len(a.seqs) > 0 && a.seqs[len(a.seqs)-1] > seq
}

func (a *adoptions) load(seq uint64) (m outlook.Models, err error) {
	b, err := os.ReadFile(filepath.Join(a.dir, a.name(seq)))
	if err != nil {
		return m, err
	}
	if err := m.UnmarshalBinary(b); err != nil {
		return m, fmt.Errorf("%s: %w", a.name(seq), err)
	}
	return m, nil
}

// put keeps m as in use from message seq on, and forgets what nobody comes to any more who reads on behind position.
func (a *adoptions) put(seq uint64, m outlook.Models, position uint64) error {
	if a.dir == "" {
		return nil
	}
	b, err := m.MarshalBinary()
	if err != nil {
		return err
	}
	if err := replaceFile(a.dir, a.name(seq), b); err != nil {
		return err
	}
	a.seqs, a.in = append(a.seqs, seq), seq
	from := a.at(position + 1)
	for len(a.seqs) > 0 && a.seqs[0] < from {
		if err := os.Remove(filepath.Join(a.dir, a.name(a.seqs[0]))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		a.seqs = a.seqs[1:]
	}
	return nil
}

// adopt gives o the models that are in use at message seq: those that were when it was read before, else what a training has
// brought meanwhile.
func (r *Runner) adopt(o *outlooks, seq uint64) error {
	if at := o.adopted.at(seq); at != o.adopted.in {
		o.adopted.in = at
		m, err := o.adopted.load(at)
		if err != nil {
			return err
		}
		o.d.Adopt(m)
	}
	select {
	case m := <-o.learned:
		o.busy = false
		if m.Empty() {
			return nil
		}
		if err := o.adopted.put(seq, m, r.position.Load()); err != nil {
			return err
		}
		o.d.Adopt(m)
	default:
	}
	return nil
}
