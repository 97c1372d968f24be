package evaluate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Absences returns n series of four or five weeks made from seed, in each of which something fails to come, once, in the last
// week and a half: the rise of the day ("season": what was in the night goes on, so that each value is one that the day knows), or all
// traffic of a thing that is often idle ("silence": nothing, for longer than ever at that time of the day). Every third has no
// fault. None has a value that was never there before.
func Absences(seed uint64, n int) []Series {
	all := make([]Series, n)
	for i := range all {
		r := rand.New(rand.NewPCG(seed, 1<<32+uint64(i)))
		all[i] = absence(r, i)
	}
	return all
}

func absence(r *rand.Rand, i int) Series {
	steady := []string{"load", "utilisation", "counts", "latency"}
	idle := []string{"idle", "sparse"}
	kind, kinds := "season", steady
	if i%3 == 1 {
		kind, kinds = "silence", idle
	} else if i%6 == 5 {
		kinds = idle
	}
	s := Series{Background: kinds[i/3%len(kinds)]}
	s.Name = fmt.Sprintf("%s-%d", s.Background, i)
	every := pick(r, []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute})
	perDay := int(24 * time.Hour / every)
	rows := (28 + r.IntN(8)) * perDay
	begin := time.Date(2026, 1, 1+r.IntN(300), r.IntN(24), 0, 0, 0, time.UTC).UnixMilli()
	s.Times, s.Values = make([]int64, rows), make([]float64, rows)
	for j := range s.Times {
		s.Times[j] = begin + int64(j)*every.Milliseconds()
	}
	if s.Background == "idle" || s.Background == "sparse" {
		traffic(r, &s, every)
	} else {
		background(r, &s, float64(perDay))
		habits(r, &s, float64(perDay))
		for j := range s.Values {
			s.Values[j] = max(0, s.Values[j])
		}
	}
	if i%3 != 2 {
		fail(r, &s, kind, perDay)
	}
	return s
}

// traffic fills s with what comes in single bursts, rarely by night: bytes of a host that is mostly idle, or counts.
func traffic(r *rand.Rand, s *Series, every time.Duration) {
	h := newRhythm(r)
	scale := math.Exp(3 + 10*r.Float64())
	if s.Background == "sparse" {
		scale = 1
	}
	often := 0.1 + 0.4*r.Float64() // of the points at the busiest hour have any
	if every > time.Minute {
		often = 0.3 + 0.5*r.Float64()
	}
	least := 0.3 * r.Float64() * r.Float64()
	for j, t := range s.Times {
		if r.Float64() < often*(least+(1-least)*min(1, h.at(t))) {
			s.Values[j] = scale * r.ExpFloat64()
			if s.Background == "sparse" {
				s.Values[j] = 1 + math.Floor(2*s.Values[j])
			}
		}
	}
}

// fail puts the fault in, on the first day from a random one on that would have been as busy as is usual.
func fail(r *rand.Rand, s *Series, kind string, perDay int) {
	rows := len(s.Values)
	day := profile(s.Values[:rows*6/10], perDay)
	low, high := 0, 0
	for k := range day {
		if day[k] < day[low] {
			low = k
		}
		if day[k] > day[high] {
			high = k
		}
	}
	rise := (high - low + perDay) % perDay
	for first := rows*65/100/perDay*perDay + r.IntN(3)*perDay; first < rows-2*perDay; first += perDay {
		from := first + low
		top := mean(s.Values[from+rise-perDay/24 : from+rise+perDay/24])
		if top-day[low] < 0.6*(day[high]-day[low]) {
			continue
		}
		length := min(rise+perDay/12, perDay/2)
		if kind == "silence" {
			// Twice as long as any at these hours, and more.
			from += rise - perDay/12
			longest := longestZero(s.Values[:from], from%perDay, perDay)
			length = min(int(float64(longest)*(1.5+1.5*r.Float64()))+1, perDay/2)
			clear(s.Values[from : from+length])
		} else {
			back := perDay / 8
			night := append([]float64(nil), s.Values[from-back:from]...)
			for j := range length {
				at := j % (2 * back)
				if at >= back {
					at = 2*back - 1 - at
				}
				s.Values[from+j] = night[back-1-at]
			}
		}
		s.Faults = []Fault{{kind, Window{from, from + length - 1}}}
		return
	}
}

// profile returns the mean day of v, an hour smoothed.
func profile(v []float64, perDay int) []float64 {
	day := make([]float64, perDay)
	days := len(v) / perDay
	for j, x := range v[:days*perDay] {
		day[j%perDay] += x / float64(days)
	}
	smooth := make([]float64, perDay)
	half := max(1, perDay/48)
	for j := range smooth {
		for k := -half; k <= half; k++ {
			smooth[j] += day[(j+k+perDay)%perDay] / float64(2*half+1)
		}
	}
	return smooth
}

// longestZero returns the length of the longest run of zeros in v that reaches into the four hours around a place of the day.
func longestZero(v []float64, place, perDay int) int {
	longest, length := 0, 0
	for j, x := range v {
		if length++; x != 0 {
			length = 0
		}
		if off := (j - place + perDay/2 + perDay) % perDay; off >= perDay/2-perDay/12 && off <= perDay/2+perDay/12 {
			longest = max(longest, length)
		}
	}
	return longest
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x / float64(len(v))
	}
	return sum
}
