package program

import "slices"

// Bounds of suggestions: which names are looked for, in bytes, and with how many others all of a policy's are compared.
const (
	maxName     = 64
	maxCompared = 20_000
)

// nearest gives the name that was most likely meant, or "" where none is near, or looking costs too much.
func (c *checker) nearest(name string, names []string) string {
	if c.compared += len(names); len(name) > maxName || c.compared > maxCompared {
		return ""
	}
	best, far := "", max(1, len(name)/3)+1
	slices.Sort(names)
	for _, n := range names {
		if d := distance(name, n, far); d < far {
			best, far = n, d
		}
	}
	return best
}

// distance counts the changes (a character more, less, other, or two exchanged) between two names; at
// least limit where they differ more.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	before, last, now := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		now[0] = i
		for j := 1; j <= len(b); j++ {
			same := 1
			if a[i-1] == b[j-1] {
				same = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+same)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last, now = last, now, before
	}
	return last[len(b)]
}
