package pipeline

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/flowtap/flowtap/topology"
)

func (d draws) members() (ms []topology.PoolMember) {
	for i := range 1 + d.n(8) {
		ms = append(ms, topology.PoolMember{Port: fmt.Sprintf("ids%d", i*d.n(5)+i), Weight: 1 + d.n(9)})
	}
	slices.SortFunc(ms, func(a, b topology.PoolMember) int { return strings.Compare(a.Port, b.Port) })
	return slices.CompactFunc(ms, func(a, b topology.PoolMember) bool { return a.Port == b.Port })
}

// TestSlicesMoveNoMoreThanTheyMust: whatever becomes of one member, only slices from it or to it move.
func TestSlicesMoveNoMoreThanTheyMust(t *testing.T) {
	rapidly(t, cases(300), func(rt *rapid.T) {
		d := draws{rt}
		before := d.members()
		after, changed := slices.Clone(before), d.n(len(before))
		id, grows, goes := before[changed].Port, false, d.chance(40)
		if goes {
			after = slices.Delete(after, changed, changed+1)
		} else {
			after[changed].Weight = 1 + d.n(20)
			grows = after[changed].Weight > before[changed].Weight
		}
		had, has := Slices(before), Slices(after)
		for i := range had {
			switch {
			case had[i] == has[i]:
				if goes && had[i] == id {
					rt.Fatalf("slice %d stays with %s, which went", i, id)
				}
			case goes && had[i] != id, !goes && grows && has[i] != id, !goes && !grows && had[i] != id:
				rt.Fatalf("slice %d moves from %q to %q when %v becomes %v", i, had[i], has[i], before, after)
			}
		}
		slices.Reverse(before)
		if Slices(before) != had {
			rt.Fatal("the order of members matters")
		}
	})
}

// TestSlicesFollowWeights: shares are the weights' but for chance, over many pools without bias.
func TestSlicesFollowWeights(t *testing.T) {
	sum, pools := 0.0, 400
	for n := range pools {
		ms := []topology.PoolMember{{Port: fmt.Sprintf("a%d", n), Weight: 1}, {Port: fmt.Sprintf("b%d", n), Weight: 3}}
		got := 0
		for _, m := range Slices(ms) {
			if m == ms[0].Port {
				got++
			}
		}
		if math.Abs(float64(got)-64) > 5*math.Sqrt(256*0.25*0.75) {
			t.Errorf("pool %d: %d of 256 slices for a quarter of the weight", n, got)
		}
		sum += float64(got)
	}
	if mean := sum / float64(pools); math.Abs(mean-64) > 1.5 {
		t.Errorf("%.1f slices on average for a quarter of the weight", mean)
	}
}
