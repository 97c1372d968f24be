package evaluate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Series is made of a background and faults in it. Its name and labels are for scoring alone.
type Series struct {
	Name       string
	Background string
	Times      []int64 // Unix milliseconds
	Values     []float64
	Faults     []Fault
}

// Fault is what was put in, and where.
type Fault struct {
	Kind string
	Window
}

// Truth returns, for each row, whether a fault was under way.
func (s *Series) Truth() []bool {
	truth := make([]bool, len(s.Values))
	for _, f := range s.Faults {
		for i := f.First; i <= f.Last; i++ {
			truth[i] = true
		}
	}
	return truth
}

// Windows returns NAB's windows for the faults: together they are a tenth of the rows, each around the begin of its fault.
func (s *Series) Windows() []Window {
	var ws []Window
	if len(s.Faults) == 0 {
		return nil
	}
	half := len(s.Values) / 20 / len(s.Faults)
	for _, f := range s.Faults {
		w := Window{max(0, f.First-half), min(len(s.Values)-1, f.First+half)}
		if n := len(ws); n > 0 && ws[n-1].Last >= w.First {
			ws[n-1].Last = w.Last
			continue
		}
		ws = append(ws, w)
	}
	return ws
}

// sampling is how a series was taken: what monitoring systems keep.
type sampling struct {
	every time.Duration
	days  float64
}

// Backgrounds returns the kinds of load that Generate knows.
func Backgrounds() []string {
	return []string{
		"load", "counts", "bursts", "sparse", "levels", "constant", "sawtooth", "latency", "wander", "jobs", "utilisation", "slow",
	}
}

// Kinds returns the kinds of fault that Generate puts in.
func Kinds() []string {
	return []string{
		"spike", "dip", "shift", "excursion", "outage", "trend", "noise", "stuck", "season", "burst", "surge", "sag",
	}
}

// Generate returns n series made from seed: backgrounds in turn, with none to four faults of any kind in each, from hardly
// to plainly visible. The same seed makes the same series, and different seeds have nothing in common.
func Generate(seed uint64, n int) []Series {
	all := make([]Series, n)
	for i := range all {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		all[i] = generate(r, i)
	}
	return all
}

func generate(r *rand.Rand, i int) Series {
	kinds := Backgrounds()
	s := Series{Background: kinds[i%len(kinds)]}
	s.Name = fmt.Sprintf("%s-%d", s.Background, i)
	how := pick(r, []sampling{{time.Minute, 4}, {5 * time.Minute, 14}, {5 * time.Minute, 14}, {5 * time.Minute, 21}, {15 * time.Minute, 40}, {time.Hour, 60}})
	rows := int(how.days * 24 * float64(time.Hour) / float64(how.every))
	begin := time.Date(2026, 1, 1+r.IntN(300), r.IntN(24), 0, 0, 0, time.UTC).UnixMilli()
	s.Times, s.Values = make([]int64, rows), make([]float64, rows)
	for j := range s.Times {
		s.Times[j] = begin + int64(j)*how.every.Milliseconds()
	}
	perDay := float64(24*time.Hour) / float64(how.every)
	background(r, &s, perDay)
	habits(r, &s, perDay)
	faults(r, &s, perDay)
	if slices.Contains([]string{"counts", "bursts", "sparse", "latency", "utilisation", "load", "jobs"}, s.Background) {
		for j := range s.Values {
			s.Values[j] = max(0, s.Values[j])
		}
	}
	return s
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// rhythm is a smooth day with a week upon it, about 0 to 1.
type rhythm struct {
	peak, second, share, weekend float64
	days                         [64]float64 // no day is quite like another
}

func newRhythm(r *rand.Rand) rhythm {
	h := rhythm{24 * r.Float64(), 24 * r.Float64(), 0.6 * r.Float64(), 0.3 + 0.7*r.Float64(), [64]float64{}}
	vary := 0.2 * r.Float64()
	for d := range h.days {
		h.days[d] = math.Exp(vary * r.NormFloat64())
	}
	return h
}

func (h rhythm) at(t int64) float64 {
	hour := float64(t%86_400_000) / 3_600_000
	day := (t/86_400_000 + 4) % 7
	v := 0.5 + 0.5*math.Cos(2*math.Pi*(hour-h.peak)/24)
	v = (1-h.share)*v + h.share*(0.5+0.5*math.Cos(4*math.Pi*(hour-h.second)/24))
	if day == 0 || day == 6 {
		v *= h.weekend
	}
	// From one day's factor to the next over the day, without a step at midnight.
	n, part := t/86_400_000, float64(t%86_400_000)/86_400_000
	return v * (h.days[n%64]*(1-part) + h.days[(n+1)%64]*part)
}

// background fills s with what is normal.
func background(r *rand.Rand, s *Series, perDay float64) {
	h := newRhythm(r)
	scale := math.Exp(6 * r.Float64())
	near := 0.0 // an autocorrelated disturbance
	rho := pick(r, []float64{0, 0.5, 0.9, 0.98})
	noise := 0.02 + 0.13*r.Float64()
	step := func(rho float64) float64 {
		near = rho*near + math.Sqrt(1-rho*rho)*r.NormFloat64()
		return near
	}
	hold, level := 0, 0.0
	offset, every := r.IntN(int(perDay)), max(2, int(perDay/pick(r, []float64{1, 4, 24, 24})))
	for j, t := range s.Times {
		day := h.at(t)
		v := 0.0
		switch s.Background {
		case "load": // requests a second
			v = (0.2 + day) * (1 + noise*step(rho))
		case "counts": // of events, excited by each other
			if r.Float64() < 0.004 {
				hold, level = 3+r.IntN(12), 1+3*r.ExpFloat64()
			}
			rate := 2 + 15*day
			if hold > 0 {
				hold--
				rate *= 1 + level
				level *= 0.8
			}
			s.Values[j] = poisson(r, rate)
			continue
		case "bursts": // idle, with work that comes when it comes
			v = 0.05 * math.Abs(r.NormFloat64())
			if hold > 0 {
				hold--
				v += level * (1 + 0.2*r.NormFloat64())
			} else if r.Float64() < 0.02 {
				hold, level = 1+r.IntN(5), 0.3*math.Exp(0.6*r.NormFloat64())
			}
		case "sparse":
			if r.Float64() < 0.02+0.1*day {
				v = float64(1 + int(2*r.ExpFloat64()))
			}
			s.Values[j] = v
			continue
		case "levels": // pods, connections: whole numbers that stay a while
			if j == 0 || r.Float64() < 24/perDay/6 {
				level = math.Round(4 + 10*day + r.NormFloat64())
			}
			s.Values[j] = level
			continue
		case "constant":
			v = 1
			if r.Float64() < 0.02 {
				v += 0.01 * r.NormFloat64()
			}
		case "sawtooth": // a heap, a disk between rotations
			level += (0.5 + r.Float64()) * 3 / float64(every)
			if level > 2+0.3*r.NormFloat64() {
				level = 0.3 + 0.1*r.Float64()
			}
			v = level + 0.02*r.NormFloat64()
		case "latency":
			v = (0.5 + 0.3*day) * math.Exp(0.3*math.Abs(step(rho))*r.NormFloat64()+0.1*r.NormFloat64())
			if r.Float64() < 0.002 {
				v *= 1 + 2*r.ExpFloat64()
			}
		case "wander":
			v = 3 + step(0.995) + 0.1*r.NormFloat64()
		case "jobs": // the same each hour, or each day
			v = 0.3 + 0.2*day + noise*step(rho)*0.3
			if (j+offset)%every < max(1, every/12) {
				v += 0.5 + 0.05*r.NormFloat64()
			}
		case "utilisation":
			v = 0.1 + 0.6*day + 0.05*step(rho) + 0.02*math.Abs(r.NormFloat64())
			v = min(v, 1)
			s.Values[j] = 100 * max(v, 0)
			continue
		case "slow": // temperature, a queue of days
			v = 5 + 0.5*day + 0.5*step(0.999) + 0.01*r.NormFloat64()
		}
		s.Values[j] = scale * v
	}
}

// habits puts in what isn't a fault though it stands out: deployments, backups by hand, collections of garbage. Each series
// has its own, of about one size and length, from one in two days to four a day; two in five have none.
func habits(r *rand.Rand, s *Series, perDay float64) {
	if r.Float64() < 0.4 || s.Background == "constant" {
		return
	}
	every := perDay / (4 * math.Exp(-2*r.Float64()))
	size := deviation(s.Values) * (0.5 + 2*r.Float64())
	length := 1 + int(perDay/24*r.Float64()*r.Float64())
	if r.Float64() < 0.2 {
		size = -size
	}
	for j := int(every * r.ExpFloat64()); j < len(s.Values); j += 1 + int(every*r.ExpFloat64()) {
		high := size * math.Exp(0.3*r.NormFloat64())
		for k := range 1 + r.IntN(length) {
			if j+k < len(s.Values) {
				s.Values[j+k] += high * (0.8 + 0.2*r.Float64())
			}
		}
	}
	if slices.Contains([]string{"counts", "levels", "sparse"}, s.Background) {
		for j := range s.Values {
			s.Values[j] = max(0, math.Round(s.Values[j]))
		}
	}
}

func poisson(r *rand.Rand, rate float64) float64 {
	if rate > 50 {
		return math.Max(0, math.Round(rate+math.Sqrt(rate)*r.NormFloat64()))
	}
	n, p := 0.0, math.Exp(-rate)
	for u := r.Float64(); u > p; n++ {
		u *= r.Float64()
	}
	return n
}

// faults puts faults into the last 80 % of s, apart from each other.
func faults(r *rand.Rand, s *Series, perDay float64) {
	n := pick(r, []int{0, 1, 1, 2, 2, 3, 4})
	rows := len(s.Values)
	spread := deviation(s.Values)
	slot := rows * 8 / 10 / max(n, 1)
	for k := range n {
		first := rows/5 + k*slot + r.IntN(max(1, slot*2/3))
		size := spread * 1.5 * math.Exp(1.5*r.Float64()) // 1.5 to 6.7 deviations
		if r.Float64() < 0.3 {
			size = -size
		}
		// From a handful of points to half a day.
		length := 3 + int(math.Exp(math.Log(perDay/2)*(0.3+0.7*r.Float64())))
		length = min(length, rows-first-1, slot/4)
		kind := pick(r, Kinds())
		if length < 1 || !visible(s.Background, kind) {
			kind, length = "spike", 1
		}
		length = inject(r, s, kind, first, length, size, perDay)
		s.Faults = append(s.Faults, Fault{kind, Window{first, min(rows, first+length) - 1}})
	}
}

// visible says that the fault can be seen on the background at all.
func visible(background, kind string) bool {
	switch kind {
	case "season":
		return background == "load" || background == "utilisation" || background == "counts" || background == "jobs"
	case "stuck":
		return background != "constant" && background != "sparse" && background != "levels" && background != "bursts"
	case "dip", "sag":
		return background != "sparse" && background != "bursts"
	case "outage":
		return background == "load" || background == "counts" || background == "utilisation" || background == "latency" || background == "levels"
	}
	return true
}

// inject puts one fault in, and returns how many rows of it are labelled.
func inject(r *rand.Rand, s *Series, kind string, first, length int, size, perDay float64) int {
	v := s.Values
	stretch := v[first : first+length]
	switch kind {
	case "spike":
		length = 1 + r.IntN(3)
		for j := range min(length, len(v)-first) {
			v[first+j] += 2 * math.Abs(size) * (0.7 + 0.3*r.Float64())
		}
	case "dip":
		length = 1 + r.IntN(4)
		for j := range min(length, len(v)-first) {
			v[first+j] -= 1.5 * math.Abs(size)
		}
	case "shift": // stays; called a fault for half a day at most
		for j := first; j < len(v); j++ {
			v[j] += size
		}
		length = min(length, int(perDay/2)+1)
	case "excursion":
		for j := range stretch {
			stretch[j] += size
		}
	case "outage":
		for j := range stretch {
			stretch[j] *= 0.02 * r.Float64()
		}
	case "trend":
		for j := range stretch {
			stretch[j] += 1.5 * size * float64(j+1) / float64(length)
		}
	case "noise":
		for j := range stretch {
			stretch[j] += 0.8 * math.Abs(size) * r.NormFloat64()
		}
	case "stuck":
		for j := range stretch {
			stretch[j] = v[first]
		}
	case "season": // the day doesn't come
		length = min(int(perDay/3)+1, len(v)-first-1)
		mean := 0.0
		for _, x := range v[max(0, first-length/4) : first+1] {
			mean += x / float64(first+1-max(0, first-length/4))
		}
		for j := range length {
			v[first+j] = mean + (v[first+j]-mean)*0.1
		}
	case "burst": // many small spikes
		for j := range stretch {
			if r.Float64() < 0.3 {
				stretch[j] += math.Abs(size) * (0.5 + r.Float64())
			}
		}
	case "surge":
		for j := range stretch {
			stretch[j] += math.Abs(size) * math.Sin(math.Pi*float64(j+1)/float64(length+1))
		}
	case "sag":
		for j := range stretch {
			stretch[j] *= 0.5
		}
	}
	if s.Background == "counts" || s.Background == "levels" || s.Background == "sparse" {
		for j := first; j < min(len(v), first+length); j++ {
			v[j] = math.Round(v[j])
		}
	}
	return length
}

// deviation returns the standard deviation, or a tenth of the level where there is hardly any.
func deviation(v []float64) float64 {
	mean, sq := 0.0, 0.0
	for i, x := range v {
		d := x - mean
		mean += d / float64(i+1)
		sq += d * (x - mean)
	}
	return max(math.Sqrt(sq/float64(len(v))), 0.02*math.Abs(mean), 1e-9)
}
