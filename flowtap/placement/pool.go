package placement

import (
	"slices"

	"github.com/flowtap/flowtap/topology"
)

// Pool gives a spread pool for a flow that is to be split by connections instead of remote addresses, for
// targets most of whose peers are behind one address: each monitor weighs as many slices as it has. A flow of one
// pool is one contract. Moving a slice changes two weights, by which a spread pool moves about as many
// connections.
func Pool(monitors []string) topology.Pool {
	p := topology.Pool{Mode: topology.PoolSpread}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(monitors))) {
		n := 0
		for _, m := range monitors {
			if m == id {
				n++
			}
		}
		p.Members = append(p.Members, topology.PoolMember{Port: id, Weight: n})
	}
	return p
}
