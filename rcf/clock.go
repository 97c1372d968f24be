package rcf

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"time"
)

// ErrLate means that a point is not after the one before. It changes nothing.
var ErrLate = errors.New("not after the point before")

// clock is what a forest knows of the times of its points.
type clock struct {
	interval time.Duration
	begun    bool
	last     int64     // when the last point was, Unix microseconds
	made     [4]uint64 // which of the last points were imputed; the newest is the lowest bit
}

// ScoreAndUpdateAt is [Forest.ScoreAndUpdate] for points that carry their time, of a series with Config.Interval:
//
//   - A point that is not after the one before gives [ErrLate] and changes nothing.
//   - Where points are missing, what was likely stands in for them in the shingle. With a gap longer than a shingle a new one
//     begins, and scores are 0 until it is full.
//   - A coordinate that is NaN is missing: what is likely beside the others stands in for it. A point of nothing else changes
//     nothing.
//   - A shingle more than half of whose points were made up is scored, but not learnt.
//   - The past fades by the time that has gone by, not by the number of points.
//
// Times are rounded to whole intervals from the point before, to one at least.
func (f *Forest) ScoreAndUpdateAt(t time.Time, x []float64) (float64, error) {
	c := &f.clock
	if c.interval <= 0 {
		return 0, fmt.Errorf("%w: times without Config.Interval", ErrRange)
	}
	now := t.UnixMicro()
	if c.begun && now <= c.last {
		return 0, fmt.Errorf("%v: %w at %v", t.UTC(), ErrLate, time.UnixMicro(c.last).UTC())
	}
	var missing []int
	for d, v := range x {
		if math.IsNaN(v) {
			missing = append(missing, d)
		}
	}
	if len(missing) == f.dim {
		return 0, nil
	}
	if len(missing) > 0 && !f.Ready() && len(f.recent) == 0 {
		return 0, nil // nothing is known yet of what is missing
	}
	probe := append([]float64(nil), x...) // what enter refuses must change nothing, the gap before it included
	for _, d := range missing {
		probe[d] = 0
	}
	var s scratch
	if _, err := f.enter(&s, probe); err != nil {
		return 0, err
	}
	steps := 1.0
	if c.begun {
		steps = max(1, math.Round((float64(now)-float64(c.last))/float64(c.interval.Microseconds())))
	}
	if steps > float64(f.shingle) {
		f.recent = f.recent[:0]
		c.made = [4]uint64{}
	} else {
		for range int(steps) - 1 {
			if err := f.skip(); err != nil {
				return 0, err
			}
		}
	}
	f.pass(steps - 1)
	c.begun, c.last = true, now
	if len(missing) > 0 {
		if err := f.fill(probe, missing); err != nil {
			return 0, err
		}
	}
	c.push(len(missing) > f.dim/2)
	if 2*c.madeUp(f.shingle) <= f.shingle {
		return f.ScoreAndUpdate(probe)
	}
	score, err := f.Score(probe)
	if err != nil {
		return 0, err
	}
	p, err := f.enter(&s, probe)
	if err == nil {
		f.push(p)
		f.pass(1)
	}
	return score, err
}

// skip puts what is likely in the place of one point that is missing.
func (f *Forest) skip() error {
	x := make([]float64, f.dim)
	all := make([]int, f.dim)
	for d := range all {
		all[d] = d
	}
	if err := f.fill(x, all); err != nil {
		return err
	}
	var s scratch
	p, err := f.enter(&s, x)
	if err != nil {
		return err
	}
	f.push(p)
	f.clock.push(true)
	return nil
}

// fill sets the missing coordinates of x to what is likely, or, while that isn't known, to what they were before.
func (f *Forest) fill(x []float64, missing []int) error {
	if f.Ready() {
		return f.Impute(x, missing)
	}
	for _, d := range missing {
		x[d] = 0
		if n := len(f.recent); n > 0 {
			x[d] = float64(f.recent[n-f.dim+d])
		}
	}
	return nil
}

func (c *clock) push(made bool) {
	for i := len(c.made) - 1; i > 0; i-- {
		c.made[i] = c.made[i]<<1 | c.made[i-1]>>63
	}
	c.made[0] <<= 1
	if made {
		c.made[0] |= 1
	}
}

// madeUp returns how many of the last n points were imputed.
func (c *clock) madeUp(n int) int {
	count := 0
	for _, m := range c.made {
		if n < 64 {
			m &= 1<<max(n, 0) - 1
		}
		count += bits.OnesCount64(m)
		n -= 64
	}
	return count
}

// Pace turns the times of a series that has no interval into one more coordinate for its points, for where it tells something
// when a point comes: how much longer it took than usual, as a power of two. The zero value is ready; the fields are its state.
type Pace struct {
	Last time.Time
	Mean time.Duration // of the times between points, fading with a mean age of 100
}

// Next returns the coordinate of a point at t, in [-16, 16]: 0 when it comes after the usual time, 1 after twice that, -1
// after half. It is 0 while nothing is usual yet, and -16 for a point that is not after the one before, which teaches nothing.
func (p *Pace) Next(t time.Time) float64 {
	last := p.Last
	if last.IsZero() {
		p.Last = t
		return 0
	}
	gap := t.Sub(last)
	if gap <= 0 {
		return -maxPace
	}
	p.Last = t
	if p.Mean <= 0 {
		p.Mean = gap
		return 0
	}
	pace := math.Log2(float64(gap) / float64(p.Mean))
	p.Mean = max(1, p.Mean+(gap-p.Mean)/100)
	return min(max(pace, -maxPace), maxPace)
}

const maxPace = 16
