package replica

import (
	"maps"
	"slices"

	"github.com/flowtap/flowtap/openflow"
)

// Assign chooses the master of each switch. able names the replicas that can be: reachable, and
// connected to the switch. masters is who is it now. A switch that nobody is able for has none in what comes back.
//
// Who is able and is it, stays, but for the fewest moves that make the loads even: with every replica able for
// every switch they differ by one at most; otherwise no move, nor any chain of them, can make two differ less.
// rest says to leave those be for now.
func Assign(able map[openflow.DPID][]string, masters map[openflow.DPID]string, rest bool) map[openflow.DPID]string {
	a := assignment{able: able, of: map[openflow.DPID]string{}, load: map[string]int{}}
	dpids := slices.Sorted(maps.Keys(able))
	for _, names := range able {
		for _, n := range names {
			a.load[n] += 0
		}
	}
	for _, d := range dpids {
		if m := masters[d]; slices.Contains(able[d], m) {
			a.put(d, m)
		}
	}
	for _, d := range dpids {
		if a.of[d] == "" && len(able[d]) > 0 {
			a.put(d, a.idlest(able[d]))
		}
	}
	for !rest && a.improve(dpids) {
	}
	return a.of
}

type assignment struct {
	able map[openflow.DPID][]string
	of   map[openflow.DPID]string
	load map[string]int // switches by replica
}

func (a *assignment) put(d openflow.DPID, to string) {
	if was := a.of[d]; was != "" {
		a.load[was]--
	}
	a.of[d] = to
	a.load[to]++
}

func (a *assignment) idlest(names []string) string {
	return slices.MinFunc(names, func(x, y string) int {
		if a.load[x] != a.load[y] {
			return a.load[x] - a.load[y]
		}
		if x < y {
			return -1
		}
		return 1
	})
}

// improve moves a switch from one replica to another with at least two fewer, over others where neither
// can take the other's; false where there is no such pair.
func (a *assignment) improve(dpids []openflow.DPID) bool {
	names := slices.SortedFunc(maps.Keys(a.load), func(x, y string) int { // the busiest first
		if a.load[x] != a.load[y] {
			return a.load[y] - a.load[x]
		}
		if x < y {
			return -1
		}
		return 1
	})
	for _, from := range names {
		if chain := a.chain(dpids, from); chain != nil {
			for _, m := range chain {
				a.put(m.dpid, m.to)
			}
			return true
		}
	}
	return false
}

type move struct {
	dpid openflow.DPID
	to   string
}

// chain finds the shortest way from a replica to the idlest that can be reached, nil where none has two
// switches fewer.
func (a *assignment) chain(dpids []openflow.DPID, from string) []move {
	way := map[string][]move{from: nil}
	best := ""
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		for _, d := range dpids {
			if a.of[d] != at {
				continue
			}
			for _, to := range slices.Sorted(slices.Values(a.able[d])) {
				if _, known := way[to]; known {
					continue
				}
				way[to] = append(slices.Clone(way[at]), move{d, to})
				queue = append(queue, to)
				if a.load[from]-a.load[to] >= 2 && (best == "" || a.load[to] < a.load[best]) {
					best = to
				}
			}
		}
	}
	return way[best]
}
