package pipeline

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/topology"
)

// TestGains: a port that arrives is told from one whose gate an epoch restates.
func TestGains(t *testing.T) {
	l := newLab(1)
	l.w.PutNetwork(Network{"red"})
	vm := func(id string, n int) {
		l.put(id, topology.Port{Network: "red", Kind: topology.KindVM, MAC: macOf(n), PortSecurity: true}, status(10+n, 1))
		l.number()
	}
	vm("r1", 1)
	l.put("ids1", topology.Port{Kind: topology.KindMonitor}, status(1, 1))
	l.number()
	f, err := newFleet(l.w)
	require.NoError(t, err)
	carried := func() (gains, restated bool) {
		stages, err := f.plan(l.w)
		require.NoError(t, err)
		for _, stage := range stages {
			for _, c := range stage {
				if c.name == "rest" {
					gains = gains || Gains(c.changes)
					for _, add := range c.changes.FlowAdd {
						restated = restated || restates(&add) && add.Table == TableClassify
					}
				}
				require.NoError(t, f.commit(l.w, c))
			}
		}
		return gains, restated
	}
	tap := func(id string, match flowtap.Match) {
		l.tap(id, flowtap.Tap{Src: "r1", Dst: "ids1", Match: match, Direction: flowtap.Out, Action: flowtap.Forward, Enabled: true})
		l.number()
	}
	tap("t1", flowtap.Match{})
	carried() // the first epoch of a connection is the whole bridge's
	l.w.DeleteTap("t1")
	carried()
	tap("t2", flowtap.Match{})
	gains, restated := carried()
	require.True(t, restated, "a gate is restated, or this proves nothing")
	require.False(t, gains)
	vm("r2", 2)
	gains, _ = carried()
	require.True(t, gains)
}
