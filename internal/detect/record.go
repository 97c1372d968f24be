package detect

import "math"

// The constants of records: counts of points and plain ratios, the same for every series.
const (
	recordWait   = 100           // points before a course speaks, and as many more as it looks back on
	recordUsual  = 1000          // points that what is usual looks back on
	recordDays   = 60.0          // in which a record loses two thirds of its distance from what is usual
	recordAge    = 3.0           // times its own age is the most that a model takes for that: what was learnt first counts least
	recordShare  = 0.3           // of the novelty of all courses but the one of the residual
	recordMost   = 100.0         // times its distance from what is usual that a record is broken by, at most
	recordWindow = 16            // points that the deviation looks back on
	stillness    = 0.003         // of the usual deviation is as good as none
	courses      = 2 + 2*lengths // the residual, its means and the value's, the deviation
	lengths      = 4             // of means: 1, 4, 16 and 64 points
)

// records are what one number has ever been, seen in several ways: its residual from what was expected, the means of late of
// the value and of its distance from what is steady over 1, 4, 16 and 64 points, and its deviation within 16 points. Of each way
// (a course) the highest and the lowest are kept, and how far a point goes beyond them is its novelty.
//
// In noise that stays as it is, whatever its shape, the n-th point is the highest so far with a chance of 1 in n. So records
// fall silent by themselves as a model grows old, without a threshold that would have to know the shape; and what comes back as
// high as before is no news, however rare.
//
// Source of the chance: Rényi, "Théorie des éléments saillants d'une suite d'observations", 1962.
type records struct {
	N         uint64 // points
	First     int64  // time of the first, Unix milliseconds
	Last      int64
	Level     [lengths]float64 // means of the value, exponential
	Away      [lengths]float64 // and of its distance from what is steady
	Window    [recordWindow]float64
	Deviation float64 // the usual one within the window
	Courses   [courses]course
}

// course is a quantity over time.
type course struct{ Highest, Lowest, Usual float64 }

// novelty returns how new x is, after e was expected for time t (Unix milliseconds), and takes it on record: 0 within all that
// was there before, 0.2 where the residual is a fifth beyond its record, more where several courses agree.
func (r *records) novelty(e expectation, t int64, x float64) float64 {
	if r.N == 0 {
		r.First, r.Last = t, t
	}
	forget := 1.0
	if t > r.Last { // it never goes back: what is forgotten is forgotten once
		forget = forgetting(t-r.Last, t-r.First)
		r.Last = t
	}
	early := 1 / float64(r.N+1)
	usual := max(1.0/recordUsual, early)
	waited := float64(r.N) - recordWait

	sum := r.Courses[0].novelty(x-e.value, forget, usual, waited > 1)
	rest := 0.0
	length := 1.0
	for i := range lengths {
		share := max(1/length, early)
		r.Level[i] += share * (x - r.Level[i])
		r.Away[i] += share * (x - e.steady - r.Away[i])
		rest += r.Courses[1+i].novelty(r.Level[i], forget, usual, waited > length)
		rest += r.Courses[1+lengths+i].novelty(r.Away[i], forget, usual, waited > length)
		length *= 4
	}
	rest += r.Courses[courses-1].novelty(r.deviation(x), forget, usual, waited > recordWindow)
	r.N++
	return sum + recordShare*rest
}

// forgetting returns what is left of a record's distance from what is usual after so many milliseconds, at that age.
func forgetting(passed, age int64) float64 {
	return math.Exp(-float64(passed) / min(recordDays*dayMs, recordAge*float64(age+1)))
}

// deviation returns the logarithm of the deviation of late, with x.
func (r *records) deviation(x float64) float64 {
	r.Window[r.N%recordWindow] = x
	n := min(int(r.N+1), recordWindow)
	mean, sq := 0.0, 0.0
	for _, v := range r.Window[:n] {
		mean += v / float64(n)
	}
	for _, v := range r.Window[:n] {
		sq += (v - mean) / float64(n) * (v - mean)
	}
	d := math.Sqrt(sq)
	r.Deviation += max(1.0/(3*recordUsual), 1/float64(r.N+1)) * (d - r.Deviation)
	return math.Log(max(d+stillness*r.Deviation, 1e-9*math.Abs(mean), 1e-12))
}

// novelty returns by what share of its distance from what is usual v goes beyond the highest or the lowest, and takes it on
// record.
func (c *course) novelty(v, forget, usual float64, speaks bool) float64 {
	if usual == 1 { // the first
		*c = course{v, v, v}
		return 0
	}
	c.Highest = c.Usual + (c.Highest-c.Usual)*forget
	c.Lowest = c.Usual + (c.Lowest-c.Usual)*forget
	beyond := 0.0
	least := max(1e-6*math.Abs(c.Usual), 1e-12)
	switch {
	case v > c.Highest:
		beyond = (v - c.Highest) / max(c.Highest-c.Usual, least)
		c.Highest = v
	case v < c.Lowest:
		beyond = (c.Lowest - v) / max(c.Usual-c.Lowest, least)
		c.Lowest = v
	}
	c.Usual += usual * (v - c.Usual)
	if !speaks {
		return 0
	}
	return min(beyond, recordMost)
}
