package catalog

import (
	"cmp"
	"slices"
	"strings"
)

// nearest gives the three listed names that are spelled most like name.
func nearest(name string, all []Listed) []string {
	type near struct {
		id   string
		cost int
	}
	ranked := make([]near, len(all))
	for i, l := range all {
		cost := distance(name, l.ID)
		if strings.Contains(l.ID, name) || strings.Contains(name, l.ID) {
			cost /= 2
		}
		ranked[i] = near{l.ID, cost}
	}
	slices.SortStableFunc(ranked, func(a, b near) int { return cmp.Compare(a.cost, b.cost) })
	out := make([]string, 0, 3)
	for _, r := range ranked[:min(3, len(ranked))] {
		out = append(out, r.id)
	}
	return out
}

// distance is Levenshtein's: the single-byte edits that make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			edit := diagonal
			if a[i] != b[j] {
				edit++
			}
			diagonal = row[j+1]
			row[j+1] = min(edit, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
