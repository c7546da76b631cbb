package replica

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/flowtap/flowtap/openflow"
)

func loads(of map[openflow.DPID]string) map[string]int {
	n := map[string]int{}
	for _, m := range of {
		n[m]++
	}
	return n
}

// TestAssign draws who is able and who is master.
func TestAssign(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e"}
	rapid.Check(t, func(t *rapid.T) {
		everywhere := rapid.Bool().Draw(t, "everywhere")
		all := names[:rapid.IntRange(1, len(names)).Draw(t, "replicas")]
		able, masters := map[openflow.DPID][]string{}, map[openflow.DPID]string{}
		for d := range openflow.DPID(rapid.IntRange(0, 20).Draw(t, "switches")) {
			if able[d] = all; !everywhere {
				able[d] = slices.Compact(slices.Sorted(slices.Values(rapid.SliceOf(rapid.SampledFrom(all)).Draw(t, "able"))))
			}
			if m := rapid.SampledFrom(append([]string{""}, names...)).Draw(t, "master"); m != "" {
				masters[d] = m
			}
		}
		got := Assign(able, masters, false)
		moved := 0
		for d, m := range got {
			require.Contains(t, able[d], m, "only who is able")
			if slices.Contains(able[d], masters[d]) && masters[d] != m {
				moved++
			}
		}
		for d, who := range able {
			require.Equal(t, len(who) > 0, got[d] != "", "everyone who can have a master has one")
		}
		require.Equal(t, got, Assign(able, got, false), "it is then at rest")
		load := loads(got)
		for d, m := range got {
			for _, other := range able[d] {
				require.LessOrEqual(t, load[m]-load[other], 1, "no move would make loads more even")
			}
		}
		if len(able) > 0 && everywhere {
			require.LessOrEqual(t, moved, fewest(able, masters, len(all)), "no more moves than needed")
		}
		still := Assign(able, masters, true)
		for d, m := range masters {
			if slices.Contains(able[d], m) {
				require.Equal(t, m, still[d], "at rest nobody moves")
			}
		}
	})
}

// fewest is how many switches must move where every replica is able for all: what some have too many of.
func fewest(able map[openflow.DPID][]string, masters map[openflow.DPID]string, replicas int) (n int) {
	stay := map[string]int{}
	for d := range able {
		if slices.Contains(able[d], masters[d]) {
			stay[masters[d]]++
		}
	}
	low, more := len(able)/replicas, len(able)%replicas // so many may have one more
	for _, have := range slices.Backward(slices.Sorted(maps.Values(stay))) {
		if room := low; have > room {
			if more > 0 {
				room, more = room+1, more-1
			}
			n += have - room
		}
	}
	return n
}

// TestAssignByAChain moves two switches where no single move would do.
func TestAssignByAChain(t *testing.T) {
	able := map[openflow.DPID][]string{1: {"a", "b"}, 2: {"a"}, 3: {"b", "c"}, 4: {"b"}}
	masters := map[openflow.DPID]string{1: "a", 2: "a", 3: "b", 4: "b"}
	require.ElementsMatch(t, []int{2, 1, 1}, slices.Collect(maps.Values(loads(Assign(able, masters, false)))))
	able[5], masters[5] = []string{"a"}, "a" // a has three now, and c is two away
	require.ElementsMatch(t, []int{2, 2, 1}, slices.Collect(maps.Values(loads(Assign(able, masters, false)))))
}
