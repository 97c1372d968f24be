package detect

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"time"

	"homeostat/internal/signal"
)

// heldOut is the share of a training's points, the last of them, that tell how well the model does: each is foretold before
// it is learnt, as live points are.
const heldOut = 5 // one in

// quality gathers what a model did on the held-out tail.
type quality struct {
	signal.Quality
	within, off, n []float64 // by feature
	first, last    int64
}

func newQuality(features int) *quality {
	return &quality{within: make([]float64, features), off: make([]float64, features), n: make([]float64, features)}
}

// see takes in what the model said of the point at time t.
func (q *quality) see(t int64, v *Verdict) {
	if q.Points == 0 {
		q.first = t
	}
	q.Points++
	q.last = t
	if v.Change == Began {
		q.Anomalies++
	}
	for i, x := range v.Values {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			continue
		}
		q.n[i]++
		q.off[i] += math.Abs(x - v.Expected[i])
		if x >= v.Lower[i] && x <= v.Upper[i] {
			q.within[i]++
		}
	}
}

// tell returns what was gathered; nil where there was nothing.
func (q *quality) tell(names []string, step int64) *signal.Quality {
	if q.Points == 0 {
		return nil
	}
	q.Coverage, q.Error = map[string]float64{}, map[string]float64{}
	for i, name := range names {
		if q.n[i] > 0 {
			q.Coverage[name], q.Error[name] = q.within[i]/q.n[i], q.off[i]/q.n[i]
		}
	}
	weeks := float64(q.last-q.first+step) / float64((7 * 24 * time.Hour).Milliseconds())
	q.PerWeek = float64(q.Anomalies) / weeks
	return &q.Quality
}

// grid is points by interval: those of a file, gathered as means.
type grid struct {
	first  int64 // number of the first interval
	count  int
	points []float64 // count x features, NaN where there is nothing
}

func (g *grid) point(k int, x []float64) bool {
	any := false
	for i := range x {
		x[i] = g.points[k*len(x)+i]
		any = any || !math.IsNaN(x[i])
	}
	return any
}

// cells gathers the rows into intervals of step. Where they span more than a training takes, the newest count.
func (r *Rows) cells(step int64, names []string) (*grid, error) {
	if len(r.Times) == 0 {
		return nil, fmt.Errorf("no rows: %w", signal.ErrInvalid)
	}
	columns := make([][]float64, len(names))
	found := 0
	for i, name := range names {
		c, ok := r.Columns[name]
		if !ok && len(names) == 1 && len(r.Columns) == 1 {
			for _, c = range r.Columns { // the only column is the only series, whatever it is called
				ok = true
			}
		}
		if ok && len(c) == len(r.Times) {
			columns[i] = c
			found++
		}
	}
	if found == 0 {
		return nil, fmt.Errorf("columns %q: want those of the detector's series, %q: %w", sortedKeys(r.Columns), names, signal.ErrInvalid)
	}
	last := floorDiv(slices.Max(r.Times), step)
	g := &grid{first: max(floorDiv(slices.Min(r.Times), step), last-trainIntervals+1)}
	g.count = int(last - g.first + 1)
	g.points = make([]float64, g.count*len(names))
	n := make([]float64, len(g.points))
	for row, t := range r.Times {
		k := floorDiv(t, step) - g.first
		if k < 0 {
			continue
		}
		for i, c := range columns {
			if c == nil || math.IsNaN(c[row]) || math.IsInf(c[row], 0) {
				continue
			}
			g.points[int(k)*len(names)+i] += c[row]
			n[int(k)*len(names)+i]++
		}
	}
	for i := range g.points {
		g.points[i] /= n[i] // 0/0 is NaN: a gap
	}
	return g, nil
}

// digest tells files apart.
func (r *Rows) digest() string {
	h := sha256.New()
	for _, name := range sortedKeys(r.Columns) {
		h.Write([]byte(cmp.Or(name, "-")))
		var b [16]byte
		for i, v := range r.Columns[name] {
			binary.LittleEndian.PutUint64(b[:], uint64(r.Times[i]))
			binary.LittleEndian.PutUint64(b[8:], math.Float64bits(v))
			h.Write(b[:])
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
