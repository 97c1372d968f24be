package access_test

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"testing"

	"homeostat/internal/detect/access"
	"homeostat/internal/detect/access/accesstest"
	"homeostat/internal/signal"
)

// rule is the best simple rule: a network new to the user first, then how rare it is by smoothed counts.
type rule struct {
	n    map[string]float64
	c    map[string]float64
	all  map[string]float64
	sum  float64
	seen map[string]int64
	last map[string]float64
}

func netOf(address string, dots int) string {
	for i := range address {
		if address[i] == '.' {
			if dots--; dots == 0 {
				return address[:i]
			}
		}
	}
	return address
}

func (r *rule) score(a *signal.Access) (float64, float64) {
	d := a.Time / 86_400_000
	k := a.User + " " + a.Address
	if s, ok := r.seen[k]; ok && s == d {
		return r.last[k], 0
	}
	n24 := netOf(a.Address, 3)
	var s float64
	if r.c[a.User+" "+n24] == 0 {
		s += 20
	}
	p := (r.c[a.User+" "+n24] + 2*(r.all[n24]+.5)/(r.sum+100)) / (r.n[a.User] + 2)
	s -= math.Log(p)
	r.seen[k], r.last[k] = d, s
	r.n[a.User]++
	r.c[a.User+" "+n24]++
	r.all[n24]++
	r.sum++
	return s, 0
}

func TestFigures(t *testing.T) {
	n := 5
	if s, err := strconv.Atoi(os.Getenv("SEEDS")); err == nil {
		n = s
	}
	var sum, base accesstest.Figures
	add := func(s *accesstest.Figures, f accesstest.Figures) {
		s.AUC += f.AUC / float64(n)
		s.AP += f.AP / float64(n)
		s.AtFive += f.AtFive / float64(n)
		s.AtOne += f.AtOne / float64(n)
		s.HardWeek += f.HardWeek / float64(n)
		s.Told += f.Told / float64(n)
		s.ToldTrue += f.ToldTrue / float64(n)
	}
	show := func(name string, f accesstest.Figures) {
		fmt.Printf("%-10s AUC %.3f AP %.3f five %.1f one %.1f hard %.1f told %.1f/week true %.1f  (%d)\n", name, f.AUC, f.AP, f.AtFive, f.AtOne, f.HardWeek, f.Told, f.ToldTrue, f.Episodes)
	}
	for seed := range n {
		w := accesstest.New(uint64(seed) + 1)
		d := access.New(access.Config{})
		es := w.Episodes(func(a *signal.Access) (float64, float64) {
			v := d.Observe(a)
			return v.Score, v.Grade
		})
		f := w.Measure(es)
		r := &rule{map[string]float64{}, map[string]float64{}, map[string]float64{}, 0, map[string]int64{}, map[string]float64{}}
		b := w.Measure(w.Episodes(r.score))
		fmt.Printf("unrest %.2f guile %.2f\n", w.Unrest, w.Guile)
		show("detector", f)
		show("rule", b)
		add(&sum, f)
		add(&base, b)
	}
	fmt.Println()
	show("detector", sum)
	show("rule", base)
}
