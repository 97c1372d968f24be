package evaluate

import (
	"cmp"
	"math"
	"slices"
)

// Window is a stretch of rows, first and last included.
type Window struct{ First, Last int }

// File is one series as NAB scores it: what a detector said of each row, and the windows in which it should have spoken.
type File struct {
	Name     string
	Category string
	Scores   []float64
	Windows  []Window // ascending, apart
}

// Profile weighs mistakes against each other.
type Profile struct {
	Name          string
	FalsePositive float64 // what a false row far from a window costs
	Missed        float64 // what a missed window costs; a window found at its first row is worth 1
}

// Profiles returns NAB's three.
func Profiles() []Profile {
	return []Profile{{"standard", 0.11, 1}, {"low false positives", 0.22, 1}, {"low false negatives", 0.11, 2}}
}

// probation returns how many rows at the beginning aren't scored.
func probation(rows int) int { return int(min(0.15*float64(rows), 0.15*5000)) }

// sigmoid is NAB's reward by the place in a window: nearly 1 at the first row, 0 at its end, nearly -1 a window's width after.
func sigmoid(at float64) float64 {
	if at > 3 {
		return -1
	}
	return 2/(1+math.Exp(5*at)) - 1
}

// row is a scored row: window is its number in the corpus, or -1 outside.
type row struct {
	score, worth float64
	window       int
}

// rows appends what each row of f after the probation is worth if a detector speaks there. Windows are numbered from first.
func (f *File) rows(dst []row, p Profile, first int) []row {
	next, before := 0, -1 // the window to come or under way, and the one passed last
	for i, s := range f.Scores {
		if next < len(f.Windows) && i > f.Windows[next].Last {
			before, next = next, next+1
		}
		r := row{score: s, window: -1}
		switch {
		case next < len(f.Windows) && i >= f.Windows[next].First:
			w := f.Windows[next]
			width := float64(w.Last - w.First + 1)
			r.worth = sigmoid(-float64(w.Last-i+1)/width) / sigmoid(-1)
			r.window = first + next
		case before < 0:
			r.worth = -p.FalsePositive
		default:
			w := f.Windows[before]
			r.worth = p.FalsePositive * sigmoid(float64(i-w.Last)/float64(w.Last-w.First))
		}
		if i >= probation(len(f.Scores)) {
			dst = append(dst, r)
		}
	}
	return dst
}

// corpus is files under one profile, ready to be scored at any threshold.
type corpus struct {
	rows    []row // by score, highest first
	windows int
	missed  float64
}

func gather(files []File, p Profile) corpus {
	c := corpus{missed: p.Missed}
	for i := range files {
		c.rows = files[i].rows(c.rows, p, c.windows)
		c.windows += len(files[i].Windows)
	}
	slices.SortStableFunc(c.rows, func(a, b row) int { return cmp.Compare(b.score, a.score) })
	return c
}

// sweep calls fn with the raw score at each threshold, from above the highest score (nothing is said) down.
func (c *corpus) sweep(fn func(threshold, raw float64)) {
	best := make([]float64, c.windows)
	scored := make([]bool, c.windows)
	for i := range best {
		best[i] = -c.missed
	}
	raw := 0.0
	for _, r := range c.rows {
		if r.window >= 0 && !scored[r.window] { // a window inside the probation doesn't count
			scored[r.window] = true
			raw -= c.missed
		}
	}
	fn(math.Inf(1), raw)
	for i, r := range c.rows {
		if r.window < 0 {
			raw += r.worth
		} else if r.worth > best[r.window] {
			raw += r.worth - best[r.window]
			best[r.window] = r.worth
		}
		if i+1 == len(c.rows) || c.rows[i+1].score != r.score {
			fn(r.score, raw)
		}
	}
}

// norm is NAB's: saying nothing is 0, a word at the first row of each window and nowhere else is 100.
func (c *corpus) norm(raw float64) float64 {
	if c.windows == 0 {
		return 0
	}
	n := float64(c.windows)
	return 100 * (raw + n*c.missed) / (n + n*c.missed)
}

// NAB returns the score of the files together at the best single threshold, and that threshold.
func NAB(files []File, p Profile) (score, threshold float64) {
	c := gather(files, p)
	best := math.Inf(-1)
	c.sweep(func(t, raw float64) {
		if raw > best {
			best, threshold = raw, t
		}
	})
	return c.norm(best), threshold
}

// NABAt returns the score of the files where a score of at least threshold is a word. For any score above 0, threshold is
// math.SmallestNonzeroFloat64.
func NABAt(files []File, p Profile, threshold float64) float64 {
	c := gather(files, p)
	return c.norm(c.at(threshold))
}

func (c *corpus) at(threshold float64) float64 {
	at := math.Inf(-1)
	c.sweep(func(t, raw float64) {
		if t >= threshold {
			at = raw
		}
	})
	return at
}

// NABHeldOut returns the score of the files where each category has the threshold that is best for all the others.
func NABHeldOut(files []File, p Profile) float64 {
	byCategory := map[string][]File{}
	for _, f := range files {
		byCategory[f.Category] = append(byCategory[f.Category], f)
	}
	raw := 0.0
	for name, own := range byCategory {
		var others []File
		for _, f := range files {
			if f.Category != name {
				others = append(others, f)
			}
		}
		_, threshold := NAB(others, p)
		c := gather(own, p)
		raw += c.at(threshold)
	}
	all := gather(files, p)
	return all.norm(raw)
}
