package automation

import (
	"maps"
	"slices"
	"strings"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// didYouMean is `; did you mean "x"?` for the known name that is closest to the given one, or "".
func didYouMean(given string, known []string) string {
	best, at := "", max(1, min(len(given)/2, 3))+1
	for _, k := range known {
		if n := distance(strings.ToLower(given), strings.ToLower(k)); n < at {
			best, at = k, n
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean \"" + best + "\"?"
}

// distance is Levenshtein's, in bytes.
func distance(a, b string) int {
	if len(a) > 128 || len(b) > 128 {
		return 128
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
