package accesstest

import (
	"cmp"
	"fmt"
	"slices"

	"homeostat/internal/signal"
)

// Figures are how well a detector ranks a world's episodes.
type Figures struct {
	AUC, AP  float64
	AtFive   float64 // incidents found at five false alarms a day
	AtOne    float64 // at one
	HardWeek float64 // hard ones found at one false alarm a user and week
	Episodes int
	Told     float64 // episodes that were graded, a week
	Mistold  float64 // of them, those of ordinary life
	Found    float64 // incidents that were told
}

// Episode is a user, an address, a day, with the highest score of its accesses.
type Episode struct {
	User, Address string
	Day           int64
	Score, Grade  float64
	Incident      int
	N             int
}

// Episodes lets score judge all accesses in order and gathers the episodes of the last days.
func (w *World) Episodes(score func(a *signal.Access) (score, grade float64)) []Episode {
	type key struct {
		user, address string
		day           int64
	}
	at := map[key]int{}
	var es []Episode
	until := w.Until().UnixMilli()
	for i := range w.Accesses {
		a := &w.Accesses[i]
		s, g := score(a)
		if a.Time < until {
			continue
		}
		k := key{a.User, a.Address, a.Time / 86_400_000}
		j, ok := at[k]
		if !ok {
			j = len(es)
			at[k] = j
			es = append(es, Episode{k.user, k.address, k.day, s, g, 0, 0})
		}
		e := &es[j]
		e.Score, e.Grade = max(e.Score, s), max(e.Grade, g)
		e.N++
		if id := w.Incident[a.ID]; id > 0 {
			e.Incident = id
		}
	}
	return es
}

// Measure returns the figures of the episodes of a world.
func (w *World) Measure(es []Episode) Figures {
	es = slices.Clone(es)
	// Among equals the ordinary come first: nothing is gained by not deciding.
	slices.SortStableFunc(es, func(a, b Episode) int {
		if c := cmp.Compare(b.Score, a.Score); c != 0 {
			return c
		}
		return cmp.Compare(min(a.Incident, 1), min(b.Incident, 1))
	})
	f := Figures{Episodes: len(es)}
	var hits, normal int
	var ap, auc float64
	positives := 0
	for _, e := range es {
		if e.Incident > 0 {
			positives++
		}
	}
	found, five, one, hard := map[int]bool{}, 0, 0, 0
	told := map[int]bool{}
	count := func(hardOnly bool) (n int) {
		for id := range found {
			if !hardOnly || w.IsHard[id] {
				n++
			}
		}
		return n
	}
	done := [3]bool{}
	for i, e := range es {
		if e.Grade > 0 {
			f.Told++
			if e.Incident > 0 {
				told[e.Incident] = true
			} else {
				f.Mistold++
			}
		}
		if e.Incident > 0 {
			hits++
			ap += float64(hits) / float64(i+1)
			auc += float64(len(es) - positives - normal)
			found[e.Incident] = true
			continue
		}
		normal++
		for j, limit := range [...]int{TestDays, 5 * TestDays, Users * TestDays / 7} {
			if normal > limit && !done[j] {
				done[j] = true
				switch j {
				case 0:
					one = count(false)
				case 1:
					five = count(false)
				case 2:
					hard = count(true)
				}
			}
		}
	}
	f.AUC, f.AP = auc/float64(positives)/float64(max(1, len(es)-positives)), ap/float64(positives)
	f.AtFive, f.AtOne, f.HardWeek = float64(five), float64(one), float64(hard)
	f.Told *= 7. / TestDays
	f.Mistold *= 7. / TestDays
	f.Found = float64(len(told))
	return f
}

// Add adds the figures of another world.
func (f *Figures) Add(g Figures) {
	f.AUC += g.AUC
	f.AP += g.AP
	f.AtFive += g.AtFive
	f.AtOne += g.AtOne
	f.HardWeek += g.HardWeek
	f.Episodes += g.Episodes
	f.Told += g.Told
	f.Mistold += g.Mistold
	f.Found += g.Found
}

// Mean returns the figures of one of n worlds.
func (f Figures) Mean(n int) Figures {
	k := float64(n)
	return Figures{f.AUC / k, f.AP / k, f.AtFive / k, f.AtOne / k, f.HardWeek / k, f.Episodes / n, f.Told / k, f.Mistold / k, f.Found / k}
}

func (f Figures) String() string {
	return fmt.Sprintf("AUC %.3f  AP %.3f  at 5/day %.1f of %d  at 1/day %.1f  hard %.1f of %d  | told %.1f a week, %.1f of them ordinary, %.1f incidents",
		f.AUC, f.AP, f.AtFive, Incidents, f.AtOne, f.HardWeek, Hard, f.Told, f.Mistold, f.Found)
}
