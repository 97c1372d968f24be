package deepar

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

// Freq is how far apart the values of a series are: N units.
type Freq struct {
	N    int
	Unit string // "M", "W", "D", "H", "min" or "s"
}

// unitSeconds is a unit's length in seconds; a month's is its mean.
var unitSeconds = map[string]float64{"s": 1, "min": 60, "H": 3600, "D": 86400, "W": 604800, "M": 2629746}

// ParseFreq reads a frequency as SageMaker writes it: an integer (1 when left out) and M, W, D, H or min; beyond SageMaker, s for
// seconds. Pandas' other spellings of these (h, T, S, MS, ME) are understood.
func ParseFreq(s string) (Freq, error) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	f := Freq{N: 1, Unit: s[i:]}
	if i > 0 {
		n, err := strconv.Atoi(s[:i])
		if err != nil || n < 1 || n > 1e6 {
			return Freq{}, fmt.Errorf("frequency %q: want a number from 1 to 1000000 before the unit", s)
		}
		f.N = n
	}
	switch f.Unit {
	case "h":
		f.Unit = "H"
	case "T":
		f.Unit = "min"
	case "S":
		f.Unit = "s"
	case "MS", "ME":
		f.Unit = "M"
	}
	if unitSeconds[f.Unit] == 0 {
		return Freq{}, fmt.Errorf("frequency %q: want a number and M, W, D, H, min or s, as in 1H or 5min", s)
	}
	return f, nil
}

// String writes it as ParseFreq reads it.
func (f Freq) String() string { return strconv.Itoa(f.N) + f.Unit }

// Seconds is the length of a step; of months, its mean.
func (f Freq) Seconds() float64 { return float64(f.N) * unitSeconds[f.Unit] }

// Add returns the time that is so many steps after t.
func (f Freq) Add(t time.Time, steps int) time.Time {
	if f.Unit == "M" {
		return t.AddDate(0, f.N*steps, 0)
	}
	return t.Add(time.Duration(steps*f.N) * time.Duration(unitSeconds[f.Unit]) * time.Second)
}

// Seasons returns the steps of the cycles that a frequency may have, the usual one first: of hours 24 and 168, of 5 minutes 288,
// 12 and 2016, of 10 seconds 360, 6 and 8640. It is empty where none is whole.
func (f Freq) Seasons() []int {
	cycles := map[string][]float64{ // in seconds
		"s":   {3600, 60, 86400},
		"min": {86400, 3600, 604800},
		"H":   {86400, 604800},
		"D":   {604800},
		"W":   {52 * 604800},
		"M":   {12 * unitSeconds["M"]},
	}[f.Unit]
	var out []int
	for _, c := range cycles {
		n := c / f.Seconds()
		if n >= 2 && n == math.Trunc(n) && !slices.Contains(out, int(n)) {
			out = append(out, int(n))
		}
	}
	return out
}

// Lags returns how many steps back a model of this frequency looks, ascending, none beyond longest: the last seven, and one to a few
// cycles with a margin, after the lists of GluonTS (SageMaker's own are not published).
func (f Freq) Lags(longest int) []int {
	out := []int{1, 2, 3, 4, 5, 6, 7}
	// around adds k cycles of so many units, k = 1..n, each with the steps beside it.
	around := func(unit string, cycle float64, n, margin int) {
		for k := 1; k <= n; k++ {
			at := int(float64(k) * cycle * unitSeconds[unit] / f.Seconds())
			for l := at - margin; l <= at+margin; l++ {
				out = append(out, l)
			}
		}
	}
	level := map[string]int{"s": 0, "min": 1, "H": 2, "D": 3, "W": 4, "M": 5}[f.Unit]
	if level <= 0 {
		around("s", 60, 3, 2)
	}
	if level <= 1 {
		around("min", 60, 3, 2)
	}
	if level <= 2 {
		around("H", 24, 7, 1)
	}
	if level <= 3 {
		around("D", 7, 4, 1)
		around("D", 30, 1, 1)
	}
	if level <= 4 {
		around("W", 52, 3, 1)
		for _, w := range []float64{4, 8, 12} {
			around("W", w, 1, 0)
		}
	}
	if level == 5 {
		around("M", 12, 3, 1)
	}
	out = slices.DeleteFunc(out, func(l int) bool { return l < 1 || l > longest || l > 1200 })
	slices.Sort(out)
	return slices.Compact(out)
}

// calendar is a cycle of the calendar that a frequency can follow.
type calendar struct {
	seconds float64 // its length
	at      func(time.Time) float64
}

// calendars are the features that SageMaker derives from time, each as a place in its cycle from 0 to 1, the longest last.
func (f Freq) calendars() []calendar {
	all := []struct {
		calendar
		from, to int // levels of unit, as in Lags
	}{
		{calendar{60, func(t time.Time) float64 { return float64(t.Second()) / 60 }}, 0, 0},
		{calendar{3600, func(t time.Time) float64 { return (float64(t.Minute()) + float64(t.Second())/60) / 60 }}, 0, 1},
		{calendar{86400, func(t time.Time) float64 { return (float64(t.Hour()) + float64(t.Minute())/60) / 24 }}, 0, 2},
		{calendar{604800, func(t time.Time) float64 { return (float64((t.Weekday()+6)%7) + float64(t.Hour())/24) / 7 }}, 0, 3},
		{calendar{unitSeconds["M"], func(t time.Time) float64 { return float64(t.Day()-1) / 31 }}, 0, 4},
		{calendar{365.25 * 86400, func(t time.Time) float64 { return float64(t.YearDay()-1) / 366 }}, 0, 5},
	}
	level := map[string]int{"s": 0, "min": 1, "H": 2, "D": 3, "W": 4, "M": 5}[f.Unit]
	var out []calendar
	for _, c := range all {
		if c.from <= level && level <= c.to && c.seconds > f.Seconds() {
			out = append(out, c.calendar)
		}
	}
	return out
}
