package pipeline

import (
	"hash/fnv"
	"math"
	"slices"

	"github.com/flowtap/flowtap/topology"
)

// SlicesOfPool is into how many slices a spread pool's connections are hashed.
const SlicesOfPool = 256

// Slices says which of some members has each slice of a spread pool, by weighted rendezvous: of each
// slice every member has a score of its own, which does not depend on who else is there, and the
// highest has it. So a member that goes hands its slices to the others and takes none of theirs, and
// has the same ones when it is back; one whose weight grows gets slices and nobody else does. Over 256
// slices shares differ from the weights by a few hundredths. All nil without members.
func Slices(members []topology.PoolMember) (of [SlicesOfPool]string) {
	if len(members) == 0 {
		return of
	}
	for i := range of {
		best := slices.MaxFunc(members, func(a, b topology.PoolMember) int {
			x, y := score(a, i), score(b, i)
			switch {
			case x < y || x == y && a.Port > b.Port:
				return -1
			case x > y || x == y && a.Port < b.Port:
				return 1
			}
			return 0
		})
		of[i] = best.Port
	}
	return of
}

// score is weight / -ln(u), where u, between 0 and 1, is a hash of member and slice.
func score(m topology.PoolMember, slice int) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(m.Port))
	x := h.Sum64() + uint64(slice+1)*0x9e3779b97f4a7c15
	// FNV leaves neighbours alike; this is the finalizer of splitmix64.
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	u := (float64(x>>11) + 0.5) / (1 << 53)
	return float64(m.Weight) / -math.Log(u)
}
