package access

import (
	"encoding/gob"
	"fmt"
	"io"
	"maps"

	"github.com/klauspost/compress/zstd"

	"homeostat/ipinsights"
)

// state is what a checkpoint holds, as gob writes it, packed with zstd. Whoever keeps it sees to its being whole.
type state struct {
	Version int
	Orgs    map[string]*organisation
}

const stateVersion = 1

// Checkpoint writes what has been learnt.
func (d *Detector) Checkpoint(w io.Writer) error {
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	if err := gob.NewEncoder(z).Encode(state{stateVersion, d.orgs}); err != nil {
		return err
	}
	return z.Close()
}

// Restore reads what Checkpoint wrote. When it fails the detector is as it was.
func (d *Detector) Restore(r io.Reader) error {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(4<<30))
	if err != nil {
		return err
	}
	defer z.Close()
	var s state
	if err := gob.NewDecoder(z).Decode(&s); err != nil {
		return fmt.Errorf("state of accesses: %w", err)
	}
	if s.Version != stateVersion {
		return fmt.Errorf("state of accesses: version %d, known is %d", s.Version, stateVersion)
	}
	for name, o := range s.Orgs {
		if err := o.link(); err != nil {
			return fmt.Errorf("state of accesses: organisation %s: %w", name, err)
		}
	}
	d.orgs = s.Orgs
	if d.orgs == nil {
		d.orgs = map[string]*organisation{}
	}
	return nil
}

// made returns m, or an empty map where gob left none.
func made[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return map[K]V{}
	}
	return m
}

// link makes what a checkpoint leaves out.
func (o *organisation) link() error {
	o.Users, o.Live, o.Known, o.Granted, o.Roles, o.Barred = made(o.Users), made(o.Live), made(o.Known), made(o.Granted), made(o.Roles), made(o.Barred)
	for i := range o.Nets {
		o.Nets[i] = made(o.Nets[i])
	}
	for i := range o.Met {
		o.Met[i] = made(o.Met[i])
	}
	for name, r := range o.Roles {
		r.Sessions = made(r.Sessions)
		o.Roles[name] = r
	}
	for p := range maps.Values(o.Users) {
		if p == nil || p.Kind >= kinds {
			return fmt.Errorf("a user without a profile")
		}
		for i := range p.Nets {
			p.Nets[i] = made(p.Nets[i])
		}
		p.APIs, p.Groups, p.Agents, p.Things = made(p.APIs), made(p.Groups), made(p.Agents), made(p.Things)
	}
	if len(o.Vectors) > 0 {
		m, err := ipinsights.UnmarshalModel(o.Vectors)
		if err != nil {
			return err
		}
		o.vectors = m
	}
	o.index, o.flagged = map[key]*episode{}, map[string]*episode{}
	for _, e := range o.Open {
		if e.p = o.Users[e.User]; e.p == nil {
			return fmt.Errorf("an episode of nobody")
		}
		for p, b := range e.Bins {
			if int(b) >= bins || p >= int(parts) {
				return fmt.Errorf("an episode beyond the bins")
			}
		}
		e.Seen = made(e.Seen)
		o.index[key{e.User, e.Address, e.Day}] = e
		if f := o.flagged[e.User]; e.Grade > 0 && (f == nil || f.Grade < e.Grade || f.Day < e.Day) {
			o.flagged[e.User] = e
		}
	}
	return nil
}
