package pipeline

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/openflow/flowset"
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

// TestSlicesChangeWithTheStagesOfFlooding: were they of different phases, no stage would be the chosen
// member's in between, and flooded frames would pass unseen.
func TestSlicesChangeWithTheStagesOfFlooding(t *testing.T) {
	l := newLab(1)
	l.w.PutNetwork(Network{"red"})
	l.put("r1", topology.Port{Network: "red", Kind: topology.KindVM, MAC: macOf(1), PortSecurity: true}, status(11, 1))
	for i, id := range monitors[:2] {
		l.put(id, topology.Port{Kind: topology.KindMonitor}, status(1+i, 1))
	}
	pool := func(member string) {
		l.w.PutPool(Pool{ID: "some", Pool: topology.Pool{Mode: topology.PoolSpread, Members: []topology.PoolMember{{Port: member, Weight: 1}}}})
		l.number()
	}
	pool("ids1")
	l.tap("t1", flowtap.Tap{Src: "r1", DstPool: "some", Direction: flowtap.In, Action: flowtap.Forward, Enabled: true})
	l.number()
	have, err := desired(l.w, "n1")
	require.NoError(t, err)
	pool("ids2")
	want, err := desired(l.w, "n1")
	require.NoError(t, err)
	moved := 0
	for phase, c := range Phases(flowset.Diff(have, want)) {
		for _, f := range slices.Concat(c.FlowModify, c.FlowReplace) {
			if f.Table == TableSlice || floods(&f) {
				moved++
				require.Equal(t, PhaseFirst, phase, "%v", f)
			}
		}
	}
	require.Greater(t, moved, SlicesOfPool)
}
