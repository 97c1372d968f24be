package evaluate

import (
	"cmp"
	"slices"
)

// AveragePrecision returns the mean precision over the true rows, in the order of falling scores, tied rows taken together:
// the area under the precision-recall curve, by steps. Point by point: a stretch that is found once counts as its one row.
// It is 0 where no row is true.
func AveragePrecision(scores []float64, truth []bool) float64 {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	found, sum := 0, 0.0
	for i := 0; i < len(order); {
		before := found
		s := scores[order[i]]
		for i < len(order) && scores[order[i]] == s {
			if truth[order[i]] {
				found++
			}
			i++
		}
		sum += float64(found-before) * float64(found) / float64(i)
	}
	if found == 0 {
		return 0
	}
	return sum / float64(found)
}
