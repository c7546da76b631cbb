package placement

import (
	"slices"
	"strings"
)

// candidates gives the monitors that may have a flow's slices, as numbers in order, and whether they serve.
// Where none of them does, all that are down are the candidates: a redirect to one of them stops its flow, and
// one to nobody would let it pass. Flows with the same monitors share one list.
func (m *model) candidates() func(f Flow) (may []int, serve bool) {
	type answer struct {
		may   []int
		serve bool
	}
	choose := func(ok func(i int, x Monitor) bool) (a answer) {
		var down []int
		for i, x := range m.in.Monitors {
			switch {
			case ok(i, x) && x.Down:
				down = append(down, i)
			case ok(i, x):
				a.may = append(a.may, i)
			}
		}
		if a.serve = len(a.may) > 0; !a.serve {
			a.may = down
		}
		return a
	}
	known := map[string]answer{}
	return func(f Flow) ([]int, bool) {
		if f.Strategy == PerNode && f.Node == "" {
			return nil, false
		}
		node, named := "", f.Strategy == PerApplication || f.Monitors != nil
		key := "provider"
		if named {
			key = "of " + strings.Join(f.Monitors, ",")
		}
		if f.Strategy == PerNode {
			node = f.Node
			key += " on " + node
		}
		a, ok := known[key]
		if !ok {
			a = choose(func(_ int, x Monitor) bool {
				may := x.Provider
				if named {
					may = slices.Contains(f.Monitors, x.ID)
				}
				return may && (node == "" || x.Node == node)
			})
			known[key] = a
		}
		return a.may, a.serve
	}
}

// bound gives the goal of each monitor and the least that the most loaded one can have: monitors that
// flows could be shared by, directly or through others, have at least their average, some monitor has the
// largest slice, and each has what is by no slice.
func (m *model) bound() (best float64) {
	group := make([]int, m.nMonitors)
	for i := range group {
		group[i] = i
	}
	find := func(i int) int {
		for group[i] != i {
			group[i] = group[group[i]]
			i = group[i]
		}
		return i
	}
	var last []int
	for i := range m.units {
		may := m.units[i].may
		if len(may) == 0 || len(last) > 0 && &may[0] == &last[0] {
			continue
		}
		for _, x := range may[1:] {
			group[find(x)] = find(may[0])
		}
		last = may
	}
	rate, capacity := make([]float64, m.nMonitors), make([]float64, m.nMonitors)
	for i, x := range m.in.Monitors {
		if !x.Down {
			capacity[find(i)] += 1 / m.perByte[i]
			rate[find(i)] += min(x.Other, 1/m.perByte[i])
			best = max(best, m.res[i].base)
		}
	}
	for i := range m.units {
		u := &m.units[i]
		if len(u.may) == 0 {
			continue
		}
		rate[find(u.may[0])] += u.rate
		least := m.perByte[u.may[0]]
		for _, x := range u.may[1:] {
			least = min(least, m.perByte[x])
		}
		best = max(best, u.rate*least)
	}
	for i := range group {
		if g := find(i); capacity[g] > 0 {
			average := rate[g] / capacity[g]
			best = max(best, average)
			m.res[i].goal = max(m.in.Config.Low, average)
		}
	}
	return best
}
